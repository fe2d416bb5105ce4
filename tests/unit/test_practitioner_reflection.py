from __future__ import annotations

from typing import Any

import pytest
from driving import account, uuid
from msgspec.structs import replace
from practising import INSIGHT, NEW, SELF, Practitioner, json

from actors.oracle.values import Consult
from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.reflection import reflection_id_of
from actors.practitioner.state import RUNS_KEPT
from actors.ritual.values import run_id_of
from actors.runtime.entity import NOTHING_OWED, Address
from actors.runtime.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound

OLD = ArchetypalState(archetypes={"Shadow": 0.5})
ID = reflection_id_of("s:1")
RUN = c.RunToReflect(id=uuid(60), ritual_name="Descent", intention="to see", pre=OLD, post=NEW, intensity=0.5)


def practitioner() -> Practitioner:
    who = Practitioner()
    who.do(c.PutArchetypalState(state=OLD), SELF)
    return who


def test_the_oracle_is_asked_about_the_state_as_it_was_at_that_moment() -> None:
    who = practitioner()
    assert who.ask(c.Reflect(), "s:1") is None
    who.do(c.PutArchetypalState(state=NEW), SELF)
    assert who.kind.agenda(who.state).effects["consult-1"].target == Address("oracle", who.id)
    assert who.request("consult-1") == Consult(id=ID, post=OLD)


def test_the_oracle_is_asked_about_a_run() -> None:
    who = practitioner()
    who.ask(c.Reflect(run=RUN), "s:1")
    assert who.request("consult-1") == Consult(
        id=ID, ritual_name="Descent", intention="to see", pre=OLD, post=NEW, intensity=0.5
    )


def test_an_insight_is_the_answer_a_push_and_a_row() -> None:
    who = practitioner()
    who.ask(c.Reflect(run=RUN), "s:1")
    who.answer("consult-1", INSIGHT)
    answer = who.awaited(c.Reflect(), "s:1")
    assert answer == {"id": ID, "session_id": uuid(60)} | json(INSIGHT)
    assert who.frames[-1][1].event == "insight"
    assert json(who.frames[-1][1].body) == answer
    assert who.table("oracle_insights")[ID] == {
        "id": ID,
        "session_id": uuid(60),
        "practitioner_id": who.id,
        "insight_type": "interpretation",
        "archetypal_analysis": ("Shadow rose by 0.25",),
        "integration_suggestions": ("Walk at night.",),
        "symbolic_emergence": ("moon",),
        "interpretation": "The moon rises.",
        "cautions": (),
        "next_rituals": ("shadow_integration",),
        "oracle_model": "rules-v1",
        "confidence_score": None,
        "notice": None,
        "created_at": who.now,
    }
    assert who.table("ritual_sessions") == {uuid(60): {"id": uuid(60), "ai_interpretation": "The moon rises."}}
    assert who.kind.agenda(who.state) is NOTHING_OWED


def test_an_insight_about_the_state_alone_belongs_to_no_run() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    who.answer("consult-1", replace(INSIGHT, oracle_model="m" * 200))
    assert who.table("oracle_insights")[ID]["session_id"] is None
    assert who.table("oracle_insights")[ID]["oracle_model"] == "m" * 100
    assert who.table("ritual_sessions") == {}


def test_nothing_leaves_without_the_practitioners_consent_at_that_moment() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    assert not who.request("consult-1").consent
    who.do(c.UpdateProfile(oracle_consent=True), SELF)
    assert not who.request("consult-1").consent  # given after it was asked
    who.answer("consult-1", INSIGHT)
    who.ask(c.Reflect(), "s:2")
    assert who.request("consult-2").consent
    who.do(c.UpdateProfile(oracle_consent=False), SELF)
    assert not who.request("consult-2").consent  # withdrawn before it was sent again


def test_one_reflection_at_a_time_and_a_retry_is_the_same() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    with pytest.raises(Conflict):
        who.ask(c.Reflect(), "s:2")
    assert who.ask(c.Reflect(), "s:1") is None
    who.answer("consult-1", INSIGHT)
    assert who.ask(c.Reflect(), "s:1")["id"] == ID
    assert who.state.reflections_begun == 1
    assert who.ask(c.Reflect(), "s:2") is None


def test_a_run_does_not_wait_for_the_oracle_nor_it_for_a_run() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    assert who.run("s:2") is None
    assert sorted(who.owed()) == ["consult-1", "run-1"]
    assert set(who.kind.agenda(who.state).alarms) == {"run-deadline", "reflection-deadline"}
    who.answer("consult-1", INSIGHT)
    assert who.state.run is not None


@pytest.mark.parametrize("reply", [{}, [], {"insight_type": "omen"}, None])
def test_an_oracle_that_cannot_answer_leaves_nothing_behind(reply: Any) -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    if reply is None:
        who.refuse("consult-1", "internal")
    else:
        who.answer("consult-1", reply)
    with pytest.raises(Conflict):
        who.awaited(c.Reflect(), "s:1")
    assert who.table("oracle_insights") == {}
    assert who.kind.agenda(who.state) is NOTHING_OWED
    assert who.ask(c.Reflect(), "s:2") is None


def test_an_oracle_that_never_answers_is_given_up() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    who.wait(299)
    assert who.alarm("reflection-deadline").events == ()
    who.wait(1)
    who.alarm("reflection-deadline")
    assert who.state.reflection is None
    assert who.alarm("reflection-deadline").events == ()


def test_an_answer_after_the_end_changes_nothing() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    who.answer("consult-1", INSIGHT)
    assert who.answer("consult-1", INSIGHT).events == ()
    who.ask(c.Reflect(), "s:2")
    assert who.answer("consult-1", INSIGHT).events == ()
    assert who.state.reflection is not None


def test_a_models_nul_does_not_reach_the_database() -> None:
    who = practitioner()
    who.ask(c.Reflect(), "s:1")
    who.answer("consult-1", replace(INSIGHT, interpretation="a\0b"))
    assert who.table("oracle_insights")[ID]["interpretation"] == "a\ufffdb"


def test_what_is_refused() -> None:
    who = practitioner()
    with pytest.raises(BadRequest):
        who.do(c.Reflect(), SELF)
    with pytest.raises(Invalid):
        who.ask(c.Reflect(run=replace(RUN, pre=ArchetypalState(archetypes={"a": 2.0}))), "s:1")
    for command in (c.Reflect(), c.AwaitReflection(id=ID)):
        with pytest.raises(Forbidden):
            who.ask(command, "o:1", account(2))
    with pytest.raises(NotFound):
        who.do(c.AwaitReflection(id=ID), SELF)


def test_the_newest_insights_are_remembered() -> None:
    who = practitioner()
    for n in range(1, RUNS_KEPT + 2):
        who.ask(c.Reflect(), f"s:{n}")
        who.answer(f"consult-{n}", INSIGHT)
    with pytest.raises(NotFound):
        who.do(c.AwaitReflection(id=ID), SELF)
    assert len(who.state.insights) == RUNS_KEPT


def test_a_retry_repeats_which_run_it_was_about_not_what_was_read_of_it() -> None:
    kind = practitioner().kind

    def digest(command: Any) -> bytes:
        return kind.request(command, c.encode(command))

    assert digest(c.Reflect(run=RUN)) == digest(c.Reflect(run=replace(RUN, ritual_name="renamed")))
    assert digest(c.Reflect(run=RUN)) != digest(c.Reflect())
    assert digest(c.Reflect(run=RUN)) != digest(c.Reflect(run=replace(RUN, id=uuid(61))))


def test_a_reflection_is_never_taken_for_a_run() -> None:
    assert reflection_id_of("s:1") != run_id_of("s:1")

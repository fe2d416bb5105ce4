"""A run of a ritual of one's own, from asking to its rows, its notes and ratings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from driving import BEGIN, account, uuid
from msgspec.structs import replace
from practising import (
    BRIEF,
    NEEDY,
    NEW,
    OLD,
    RUN,
    SELF,
    group,
    json,
    practitioner,
    refused,
)

from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.entity import PractitionerKind, PractitionerLimits
from actors.practitioner.runs import missing
from actors.practitioner.state import RUNS_KEPT
from actors.ritual import commands as ritual
from actors.ritual.values import RunOutcome, RunRequest, run_id_of
from actors.runtime.entity import NOTHING_OWED, Address
from actors.runtime.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    RitualFailed,
    RitualRejected,
    SanghaError,
    TooLarge,
)

# A run of one's own


def test_a_run_asks_a_sandbox_with_the_state_as_it_is() -> None:
    who = practitioner()
    assert who.run(intention="to see", parameters=b'{"depth":2}') is None
    assert who.owed() == ["run-1"]
    assert who.kind.agenda(who.state).effects["run-1"].target == Address("sandbox", BRIEF.id)
    assert who.request("run-1") == RunRequest(
        run=RUN,
        ritual=BRIEF.id,
        module_hash=BRIEF.module_hash,
        state=OLD,
        parameters=b'{"depth":2}',
        intention="to see",
    )
    assert who.kind.agenda(who.state).alarms == {"run-deadline": BEGIN + timedelta(seconds=120)}
    assert who.frames[-1][1].event == "ritual_started"
    assert who.frames[-1][1].body == {"session_id": RUN, "ritual_id": BRIEF.id, "name": "Descent"}


def test_a_completed_run_is_answered_with_the_seeds_result() -> None:
    who = practitioner()
    outcome: dict[str, Any] = {
        "emerged_symbols": ("moon",),
        "integration_required": ("walk",),
        "clamped": ("archetypes.Shadow",),
        "log": ("one", "two"),
        "resonance": 0.5,
        "fuel": 1234,
        "duration_us": 1500,
    }
    result = who.completed(**outcome)
    version = who.state.version
    assert version is not None
    assert version.number == 2
    assert result == {
        "new_state": json(NEW),
        "transformation_intensity": pytest.approx(0.25 / 2 + 0.3),
        "emerged_symbols": ["moon"],
        "integration_required": ["walk"],
        "next_rituals_suggested": [],
        "oracle_consultation_recommended": True,
        "session_id": RUN,
        "ritual_id": BRIEF.id,
        "state_id": version.id,
        "state_hash": version.hash,
        "clamped": ["archetypes.Shadow"],
        "log": ["one", "two"],
        "resonance": 0.5,
        "fuel": 1234,
        "duration_ms": 1.5,
    }
    assert who.state.archetypal_state == NEW
    assert who.frames[-1][1].event == "ritual_completed"
    assert json(who.frames[-1][1].body) == result
    who.assert_chain()


def test_the_tables_follow_a_run() -> None:
    who = practitioner()
    who.run(intention="to see")
    first, _ = who.table("archetypal_states"), who.wait(2)
    (before,) = first
    assert who.table("ritual_sessions") == {
        RUN: {
            "id": RUN,
            "practitioner_id": who.id,
            "ritual_id": BRIEF.id,
            "pre_state_id": before,
            "status": "running",
            "intention": "to see",
            "parameters": msgspec.Raw(b"{}"),
            "participants": None,
            "module_hash": BRIEF.module_hash,
            "group_id": None,
            "space_id": None,
            "created_at": BEGIN,
        }
    }
    who.answer("run-1", RunOutcome(state=NEW, fuel=7, duration_us=1600))
    state_row = list(who.table("archetypal_states").values())[-1]
    assert (state_row["origin"], state_row["session_id"], state_row["version"]) == ("ritual", RUN, 2)
    assert json(state_row["state_data"]) == json(NEW)
    assert state_row["symbols"] == ("moon",)
    row = who.table("ritual_sessions")[RUN]
    assert (row["status"], row["post_state_id"], row["fuel"], row["execution_duration_ms"]) == (
        "completed",
        state_row["id"],
        7,
        2,
    )
    assert row["transformation_intensity"] == pytest.approx(0.42, abs=0.011)
    assert row["ended_at"] == BEGIN + timedelta(seconds=2)
    assert json(row["result"])["session_id"] == RUN


def test_a_first_run_of_all_begins_with_the_empty_state() -> None:
    who = practitioner(None)
    result = who.completed()
    assert who.table("ritual_sessions")[RUN]["pre_state_id"] is None
    assert who.table("archetypal_states")[result["state_id"]]["prev_hash"] is None
    assert result["transformation_intensity"] == 0


def test_a_ritual_that_left_the_state_as_it_was_still_stands_in_the_chain() -> None:
    who = practitioner()
    assert who.completed(new=OLD)["transformation_intensity"] == 0
    assert who.state.version is not None
    assert who.state.version.number == 2
    who.assert_chain()


def test_a_use_is_told_to_the_ritual_until_it_knows() -> None:
    who = practitioner()
    who.completed()
    assert who.owed() == ["use-1"]
    assert who.kind.agenda(who.state).effects["use-1"].target == Address("ritual", BRIEF.id)
    assert who.request("use-1") == ritual.RecordUse(run=RUN)
    assert len(who.answer("use-1", {}).events) == 1
    assert who.kind.agenda(who.state) is NOTHING_OWED
    assert who.answer("use-1", {}).events == ()
    who.completed("s:2")
    who.refuse("use-2", "not_found")
    assert who.kind.agenda(who.state) is NOTHING_OWED


@pytest.mark.parametrize(
    ("code", "error"),
    [("ritual_failed", RitualFailed), ("ritual_rejected", RitualRejected), ("actor_unavailable", RitualFailed)],
)
def test_a_run_that_failed_changes_nothing_and_says_why(code: Any, error: type[SanghaError]) -> None:
    who = practitioner()
    who.run()
    who.answer("run-1", RunOutcome(code=code, message="out of fuel", fuel=99, duration_us=2400))
    assert refused(who, error, c.AwaitRun(run=RUN)) == "out of fuel"
    assert who.state.archetypal_state == OLD
    assert who.frames[-1][1].event == "ritual_failed"
    assert who.frames[-1][1].body == {"session_id": RUN, "code": code, "message": "out of fuel"}
    row = who.table("ritual_sessions")[RUN]
    assert (row["status"], row["error_code"], row["error_message"]) == ("failed", code, "out of fuel")
    assert (row["fuel"], row["execution_duration_ms"]) == (99, 2)
    assert "post_state_id" not in row
    assert who.kind.agenda(who.state) is NOTHING_OWED
    assert who.state.usage.fuel == 99


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ("not_found", "ritual_rejected"),
        ("internal", "actor_unavailable"),
        ("too_large", "actor_unavailable"),
        ("invalid", "actor_unavailable"),
    ],
)
def test_a_sandbox_that_refuses_ends_the_run(error: str, code: str) -> None:
    who = practitioner()
    who.run()
    who.refuse("run-1", error)
    assert who.state.runs[RUN].code == code
    assert who.state.archetypal_state == OLD


@pytest.mark.parametrize("reply", [{"state": 1}, [], {"code": "surprise"}, {}, {"state": {"archetypes": {"a": "b"}}}])
def test_an_answer_that_means_nothing_ends_the_run(reply: Any) -> None:
    who = practitioner()
    who.run()
    who.answer("run-1", reply)
    assert who.state.runs[RUN].code == "actor_unavailable"
    assert who.state.archetypal_state == OLD


@pytest.mark.parametrize(
    "new",
    [
        ArchetypalState(archetypes={"Shadow": 1.5}),
        ArchetypalState(symbols=("a\0b",)),
        ArchetypalState(symbols=tuple(f"s{n}" for n in range(300))),
    ],
)
def test_a_new_state_out_of_bounds_is_the_rituals_failure(new: ArchetypalState) -> None:
    who = practitioner()
    who.run()
    who.answer("run-1", RunOutcome(state=new, fuel=5))
    assert who.state.runs[RUN].code == "ritual_failed"
    assert who.state.usage.fuel == 5
    assert who.state.archetypal_state == OLD


def test_what_a_ritual_tells_has_no_nul_for_the_database() -> None:
    who = practitioner()
    log = ("a\0\0b", "c\\u0000", "d\\\0")
    assert who.completed(log=log)["log"] == ["a\ufffd\ufffdb", "c\\u0000", "d\\\ufffd"]


def test_an_answer_after_the_end_changes_nothing() -> None:
    who = practitioner()
    who.completed()
    before = who.state
    assert who.answer("run-1", RunOutcome(state=OLD)).events == ()
    assert who.refuse("run-1", "internal").events == ()
    who.run("s:2")
    assert who.answer("run-1", RunOutcome(state=OLD)).events == ()
    assert who.state.archetypal_state == before.archetypal_state


def test_a_sandbox_that_never_answers_is_given_up() -> None:
    who = practitioner()
    who.run()
    who.wait(119)
    assert who.alarm("run-deadline").events == ()
    who.wait(1)
    who.alarm("run-deadline")
    assert "did not answer" in refused(who, RitualFailed, c.AwaitRun(run=RUN))
    assert who.alarm("run-deadline").events == ()
    who.run("s:2")
    assert who.alarm("run-deadline").events == ()
    assert who.state.run is not None


# What is refused


def test_one_run_at_a_time_and_no_change_by_hand_meanwhile() -> None:
    who = practitioner()
    who.run()
    assert "Descent" in refused(who, Conflict, c.RunRitual(brief=BRIEF), "s:2")
    refused(who, Conflict, c.PutArchetypalState(state=NEW), "s:2")
    refused(who, Conflict, c.TransformState(transformation_type="symbol", parameters=b'{"symbol":"a"}'), "s:2")
    who.answer("run-1", RunOutcome(state=NEW))
    who.do(c.PutArchetypalState(state=OLD), SELF)


def test_a_run_without_an_operation_is_no_request() -> None:
    who = practitioner()
    with pytest.raises(BadRequest):
        who.do(c.RunRitual(brief=BRIEF), SELF)


def test_runs_are_the_practitioners_alone() -> None:
    who, other = practitioner(), account(2)
    who.run()
    annotate = c.AnnotateRun(run=RUN, ritual=BRIEF.id, integration_notes="x")
    for command in (c.RunRitual(brief=BRIEF), c.AwaitRun(run=RUN), c.GetState(), annotate):
        refused(who, Forbidden, command, "o:1", other)
    for command in (group(), c.AwaitContribution(group=uuid(90)), c.SettleGroup(group=uuid(90))):
        refused(who, Forbidden, command, "s:2", SELF)


def test_parameters_are_a_bounded_json_object() -> None:
    who = practitioner()
    refused(who, Invalid, c.RunRitual(brief=BRIEF, parameters=b"[]"))
    refused(who, Invalid, c.RunRitual(brief=BRIEF, parameters=b'{"a":'))
    refused(who, Invalid, c.RunRitual(brief=BRIEF, parameters=b'{"a":"\\u0000"}'))
    refused(who, TooLarge, c.RunRitual(brief=BRIEF, parameters=b'{"a":"' + b"x" * 20_000 + b'"}'))


def test_what_a_ritual_requires_is_told_by_name() -> None:
    state = ArchetypalState(archetypes={"Shadow": 0.1, "Sage": 0.0}, energies={"fire": 0.25})
    assert missing(NEEDY, state) == [
        "the archetype Sage active",
        "the archetype Fool active",
        "fire energy of at least 0.5 (it is 0.25)",
        "air energy of at least 0.25 (it is 0)",
    ]
    enough = ArchetypalState(archetypes={"Shadow": 0.1, "Sage": 0.1, "Fool": 1.0}, energies={"fire": 0.5, "air": 0.25})
    assert missing(NEEDY, enough) == []
    who = practitioner(state)
    message = refused(who, RitualFailed, c.RunRitual(brief=NEEDY))
    assert message.startswith("Descent needs the archetype Sage active and ")
    assert who.table("ritual_sessions") == {}


def test_runs_and_fuel_are_bounded_by_the_day() -> None:
    who = practitioner(limits=PractitionerLimits(runs_per_day=2, fuel_per_day=100))
    who.completed("s:1", fuel=10)
    who.completed("s:2", fuel=10)
    assert "2 runs" in refused(who, RateLimited, c.RunRitual(brief=BRIEF), "s:3")
    assert "00:00 UTC" in refused(who, RateLimited, c.RunRitual(brief=BRIEF), "s:3")
    with pytest.raises(RateLimited) as limited:
        who.ask(c.RunRitual(brief=BRIEF), "s:3")
    midnight = (who.now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert limited.value.retry_after_s == (midnight - who.now).total_seconds()
    who.wait(24 * 3600 - 1)
    refused(who, RateLimited, c.RunRitual(brief=BRIEF), "s:3")
    who.wait(1)
    who.completed("s:3", fuel=100)
    assert "fuel" in refused(who, RateLimited, c.RunRitual(brief=BRIEF), "s:4")
    who.wait(24 * 3600)
    who.completed("s:4")


def test_the_quota_can_be_lifted() -> None:
    who = practitioner(limits=PractitionerLimits(runs_per_day=1, fuel_per_day=1, unlimited=True))
    for n in range(3):
        who.completed(f"s:{n}", fuel=10)


# Retries


def test_a_retry_awaits_the_same_run() -> None:
    who = practitioner()
    who.run()
    assert who.run() is None  # memory was lost: decided anew, begun once
    who.answer("run-1", RunOutcome(state=NEW))
    assert who.run()["session_id"] == RUN
    assert who.state.runs_begun == 1
    assert who.awaited(c.RunRitual(brief=BRIEF), "s:1")["session_id"] == RUN


def test_a_retry_repeats_the_ritual_and_what_was_asked_of_it_not_its_brief() -> None:
    kind = PractitionerKind()

    def digest(command: Any) -> bytes:
        return kind.request(command, c.encode(command))

    asked = c.RunRitual(brief=BRIEF, intention="to see")
    assert digest(asked) == digest(replace(asked, brief=replace(NEEDY, name="renamed")))
    assert digest(asked) != digest(replace(asked, brief=replace(BRIEF, id=uuid(71))))
    assert digest(asked) != digest(replace(asked, intention="to hear"))
    assert digest(asked) != digest(replace(asked, parameters=b'{"a":1}'))
    assert digest(group()) == digest(group(brief=NEEDY))
    assert digest(group()) != digest(group(91))
    assert digest(c.GetState()) == c.encode(c.GetState())


def test_the_newest_results_are_remembered() -> None:
    who = practitioner()
    for n in range(RUNS_KEPT + 1):
        who.completed(f"s:{n}")
    refused(who, NotFound, c.AwaitRun(run=run_id_of("s:0")))
    for n in range(1, RUNS_KEPT + 1):
        assert who.do(c.AwaitRun(run=run_id_of(f"s:{n}")), SELF).reply.session_id == run_id_of(f"s:{n}")
    refused(who, NotFound, c.AwaitRun(run=uuid(5)))


# Notes and ratings


def annotate(**fields: Any) -> c.AnnotateRun:
    return c.AnnotateRun(run=RUN, ritual=BRIEF.id, **fields)


def test_notes_change_what_they_name() -> None:
    who = practitioner()
    who.completed()
    said = {"session_id": RUN, "ritual_id": BRIEF.id, "subjective_experience": "dark", "integration_notes": None}
    assert who.reply(annotate(subjective_experience="dark", integration_notes=None), SELF) == said
    row = [row.values for row in who.rows if getattr(row, "table", "") == "ritual_sessions"][-1]
    assert row == {"id": RUN, "subjective_experience": "dark", "integration_notes": None}
    assert who.frames[-1][1].event == "run_annotated"
    assert who.frames[-1][1].body == said
    assert who.owed() == ["use-1"]
    assert who.do(annotate(), SELF).events == ()


def test_a_rating_goes_to_the_ritual_and_a_newer_one_takes_its_place() -> None:
    who = practitioner(None)
    who.do(annotate(effectiveness_rating=7), SELF)
    assert who.owed() == ["rate-1"]
    assert who.request("rate-1") == ritual.Rate(practitioner=who.id, rating=7, version=1)
    who.do(annotate(effectiveness_rating=9), SELF)
    who.do(c.AnnotateRun(run=RUN, ritual=uuid(71), effectiveness_rating=2), SELF)
    assert who.owed() == ["rate-2", "rate-3"]
    assert who.request("rate-2").rating == 9
    assert who.kind.agenda(who.state).effects["rate-3"].target == Address("ritual", uuid(71))
    assert who.answer("rate-1", {}).events == ()
    for effect in ("rate-2", "rate-3"):
        who.answer(effect, {})
    assert who.kind.agenda(who.state) is NOTHING_OWED
    assert who.row("ritual_sessions") == {"id": RUN, "effectiveness_rating": 2}


def test_a_retry_repeats_what_the_client_said_and_not_what_was_found_for_it() -> None:
    kind = PractitionerKind()

    def said(command: c.PractitionerCommand) -> bytes:
        return kind.request(command, c.encode(command))

    other = replace(BRIEF, id=uuid(99), name="another by now")
    by_name = c.RunRitual(brief=BRIEF, ritual="dance")
    assert said(by_name) == said(c.RunRitual(brief=other, ritual="dance"))
    assert said(by_name) != said(c.RunRitual(brief=BRIEF, ritual="sing"))
    assert said(c.RunRitual(brief=BRIEF)) != said(c.RunRitual(brief=other))
    rated = c.AnnotateRun(run=uuid(5), ritual=BRIEF.id, effectiveness_rating=3)
    assert said(rated) != said(replace(rated, run=uuid(6)))
    newest = replace(rated, newest=True)
    assert said(newest) == said(replace(newest, run=uuid(6)))

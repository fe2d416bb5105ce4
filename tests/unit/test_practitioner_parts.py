"""The part in a group ritual: begun or queued, once; its contribution, until the space has settled it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from driving import uuid
from practising import (
    BRIEF,
    NEEDY,
    NEW,
    OLD,
    RUN,
    SELF,
    SPACE,
    event_types,
    group,
    practitioner,
    refused,
)

from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.entity import PractitionerLimits
from actors.practitioner.state import GROUPS_MAX
from actors.ritual.values import RunOutcome, RunRequest, group_run_id
from actors.runtime.errors import (
    ActorUnavailable,
    Conflict,
    Invalid,
    NotFound,
)

PART = group_run_id(uuid(90), SELF.practitioner)


def test_a_part_in_a_group_ritual_is_answered_with_its_contribution() -> None:
    who = practitioner()
    who.do(c.UpdateProfile(oracle_consent=True), SELF)
    assert who.ask(group(intention="together"), "effect:space:x:part-1", None) is None
    request = who.request("run-1")
    assert (request.run, request.participants, request.intention) == (PART, 12, "together")
    who.answer("run-1", RunOutcome(state=NEW))
    contribution = who.awaited(group(), "effect:space:x:part-1", None)
    assert contribution == {
        "status": "transformed",
        "code": None,
        "message": "",
        "archetypes": {"Shadow": 0.75},
        "energies": {"fire": 0.5},
        "symbols": ["moon"],
        "intensity": pytest.approx(0.425),
        "oracle_consent": True,
    }
    row = who.table("ritual_sessions")[PART]
    assert (row["group_id"], row["space_id"], row["participants"]) == (uuid(90), SPACE, 12)
    assert who.do(c.AwaitRun(run=PART), SELF).reply.session_id == PART


def test_a_part_is_run_once_however_often_it_is_asked_for() -> None:
    who = practitioner()
    for operation in ("effect:1", "effect:2"):
        who.ask(group(), operation, None)
    who.answer("run-1", RunOutcome(state=NEW))
    assert who.ask(group(), "effect:3", None)["status"] == "transformed"
    assert who.state.runs_begun == 1
    assert who.do(group()).events == ()
    assert len(who.do(c.SettleGroup(group=uuid(90))).events) == 1
    assert who.do(c.SettleGroup(group=uuid(90))).events == ()
    refused(who, NotFound, c.AwaitContribution(group=uuid(90)), "x", None)
    assert who.do(group()).events == ()  # still known by its run


def test_a_part_that_comes_while_a_run_is_open_begins_with_its_end() -> None:
    who = practitioner()
    who.run()
    assert who.ask(group(intention="together", parameters=b'{"depth":2}'), "effect:1", None) is None
    assert who.do(group()).events == ()
    assert who.state.runs_begun == 1
    assert who.owed() == ["run-1"]
    assert PART not in who.table("ritual_sessions")
    assert event_types(who.answer("run-1", RunOutcome(state=NEW))) == ["run_completed", "run_started"]
    assert who.owed() == ["use-1", "run-2"]
    assert who.request("run-2") == RunRequest(
        run=PART,
        ritual=BRIEF.id,
        module_hash=BRIEF.module_hash,
        state=NEW,
        parameters=b'{"depth":2}',
        intention="together",
        participants=12,
    )
    assert who.state.version is not None
    assert who.table("ritual_sessions")[PART]["pre_state_id"] == who.state.version.id
    who.answer("run-2", RunOutcome(state=OLD))
    assert who.awaited(group(), "effect:1", None)["status"] == "transformed"
    who.assert_chain()


def test_nothing_of_ones_own_gets_ahead_of_a_group() -> None:
    who = practitioner()
    who.run()
    who.ask(group(90), "effect:1", None)
    who.ask(group(91), "effect:2", None)
    for effect in ("run-1", "run-2", "run-3"):
        refused(who, Conflict, c.RunRitual(brief=BRIEF), "s:2")
        refused(who, Conflict, c.PutArchetypalState(state=NEW), "s:2")
        who.answer(effect, RunOutcome(state=NEW))
    assert list(who.state.runs) == [RUN, PART, group_run_id(uuid(91), who.id)]
    assert who.run("s:2") is None


@pytest.mark.parametrize("end", ["failed", "refused", "late"])
def test_whatever_ends_a_run_begins_what_is_queued(end: str) -> None:
    who = practitioner()
    who.run()
    who.wait(20)
    who.ask(group(), "effect:1", None)
    match end:
        case "failed":
            decision = who.answer("run-1", RunOutcome(code="ritual_failed", message="no"))
        case "refused":
            decision = who.refuse("run-1", "internal")
        case _:
            who.wait(100)
            decision = who.alarm("run-deadline")
    assert event_types(decision) == ["run_failed", "run_started"]
    assert who.kind.agenda(who.state).alarms == {"run-deadline": who.now + timedelta(seconds=120)}
    assert who.alarm("run-deadline").events == ()


def test_a_queued_part_is_measured_when_it_begins() -> None:
    """On the state that the run before it left, on that day, by what was used up until then."""
    who = practitioner(limits=PractitionerLimits(runs_per_day=2))
    who.run()
    for n, brief in ((90, NEEDY), (91, BRIEF), (92, BRIEF)):
        who.ask(group(n, brief=brief), f"effect:{n}", None)
    able = ArchetypalState(archetypes={"Shadow": 0.1, "Sage": 0.1, "Fool": 1.0}, energies={"fire": 0.5, "air": 0.25})
    assert event_types(who.answer("run-1", RunOutcome(state=able))) == ["run_completed", "run_started"]
    decision = who.answer("run-2", RunOutcome(state=OLD))
    assert event_types(decision) == ["run_completed", *["run_started", "run_failed"] * 2]
    assert who.awaited(group(90), "effect:90", None)["status"] == "transformed"
    for n in (91, 92):
        assert who.awaited(group(n), f"effect:{n}", None)["code"] == "rate_limited"
    assert who.owed() == ["use-1", "use-2"]


def test_queued_parts_that_are_refused_do_not_hold_up_the_next() -> None:
    who = practitioner()
    who.run()
    for n, brief in ((90, NEEDY), (91, BRIEF)):
        who.ask(group(n, brief=brief), f"effect:{n}", None)
    decision = who.answer("run-1", RunOutcome(state=OLD))
    assert event_types(decision) == ["run_completed", "run_started", "run_failed", "run_started"]
    assert who.awaited(group(90), "effect:90", None)["code"] == "ritual_failed"
    assert who.owed() == ["use-1", "run-3"]


def test_a_queued_part_with_parameters_that_are_none_is_refused_at_once() -> None:
    who = practitioner()
    who.run()
    refused(who, Invalid, group(parameters=b"[]"), "effect:1", None)


def test_a_part_that_fails_is_a_contribution_too() -> None:
    who = practitioner()
    who.ask(group(), "effect:1", None)
    who.answer("run-1", RunOutcome(code="ritual_failed", message="out of fuel"))
    contribution = who.awaited(group(), "effect:1", None)
    assert (contribution["status"], contribution["code"]) == ("failed", "ritual_failed")
    assert contribution["message"] == "out of fuel"
    assert contribution["archetypes"] == {}


@pytest.mark.parametrize(("brief", "code"), [(NEEDY, "ritual_failed"), (BRIEF, "rate_limited")])
def test_a_part_that_is_refused_has_failed_at_once(brief: Any, code: str) -> None:
    who = practitioner(limits=PractitionerLimits(runs_per_day=1))
    who.completed()
    contribution = who.ask(group(brief=brief), "effect:1", None)
    assert (contribution["status"], contribution["code"]) == ("failed", code)
    assert who.owed() == ["use-1"]
    assert who.table("ritual_sessions")[PART]["error_code"] == code
    assert who.table("ritual_sessions")[PART]["group_id"] == uuid(90)


def test_a_space_that_settles_early_does_not_stop_the_run() -> None:
    who = practitioner()
    who.ask(group(), "effect:1", None)
    who.do(c.SettleGroup(group=uuid(90)))
    who.answer("run-1", RunOutcome(state=NEW))
    assert who.state.archetypal_state == NEW
    assert who.state.groups == {}


def test_a_part_that_was_settled_while_it_ran_is_not_run_again() -> None:
    who = practitioner()
    who.ask(group(), "effect:1", None)
    who.do(c.SettleGroup(group=uuid(90)))
    assert who.do(group()).events == ()
    assert event_types(who.answer("run-1", RunOutcome(state=NEW))) == ["run_completed"]


def test_a_part_that_was_settled_before_it_began_does_not_begin() -> None:
    who = practitioner()
    who.run()
    who.ask(group(), "effect:1", None)
    who.do(c.SettleGroup(group=uuid(90)))
    refused(who, NotFound, c.AwaitContribution(group=uuid(90)), "x", None)
    assert event_types(who.answer("run-1", RunOutcome(state=NEW))) == ["run_completed"]


@pytest.mark.parametrize("queued", [False, True])
def test_a_part_beyond_the_unsettled_ones_waits_for_one_to_be_settled(queued: bool) -> None:
    who = practitioner()
    if queued:
        who.run()
    for n in range(GROUPS_MAX):
        who.ask(group(1000 + n), f"effect:{n}", None)
        if not queued:
            who.refuse(f"run-{n + 1}", "internal")
    refused(who, ActorUnavailable, group(), "effect:x", None)
    assert who.do(group(1000)).events == ()
    for n in range(1, GROUPS_MAX + 1) if queued else ():
        who.refuse(f"run-{n}", "internal")
    assert [part.run for part in who.state.groups.values()] == [
        group_run_id(uuid(1000 + n), who.id) for n in range(GROUPS_MAX)
    ]
    who.do(c.SettleGroup(group=uuid(1007)))
    assert event_types(who.do(group())) == (["group_queued"] if queued else ["run_started"])

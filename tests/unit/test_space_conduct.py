from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from driving import Driver, account, guest, uuid
from group_driving import BRIEF, DONE, INSIGHT, A, B, C, Circle

from actors.oracle import values as oracle
from actors.ritual.values import Contribution, run_id_of
from actors.runtime.codec import from_wire
from actors.runtime.entity import AlarmFired, EffectDone, Tick
from actors.runtime.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Full,
    Invalid,
    NotFound,
    SanghaError,
    TooLarge,
)
from actors.space import commands as c
from actors.space import group as g
from actors.space.entity import SpaceKind, SpaceLimits

BEGIN_IT = c.BeginRitual(brief=BRIEF)
REFUSED = Contribution(status="failed", code="ritual_failed", message="m" * 1_000)


def refuses(circle: Driver, error: type[SanghaError], command: Any, caller: Any) -> SanghaError:
    before = circle.state
    with pytest.raises(error) as refused:
        circle.do(command, caller)
    assert circle.state is before
    return refused.value


# Begin


def test_beginning_answers_with_the_time_at_which_it_opens() -> None:
    circle = Circle()
    reply = circle.begin(starts_in_s=10, intention="peace", parameters=b'{"depth":2}')
    starts_at = circle.now + timedelta(seconds=10)
    assert reply == {
        "ritual_run": run_id_of(f"{circle.id}:session:{circle.operations}"),
        "space": circle.id,
        "stage": "gathering",
        "starts_at": starts_at,
        "server_time": circle.now,
    }
    assert circle.body("ritual_gathering") == {
        "ritual_run": reply["ritual_run"],
        "ritual": {"id": BRIEF.id, "name": BRIEF.name},
        "intention": "peace",
        "starts_at": starts_at.isoformat().replace("+00:00", "Z"),
        "opening_s": 3.0,
        "integration_s": 3.0,
        "by": A.practitioner,
        "stage": "gathering",
    }
    assert circle.frames[-1][1].sender == (A.practitioner, A.name)
    assert circle.kind.agenda(circle.state).alarms["ritual"] == starts_at


def test_the_timer_is_set_to_the_moment_of_opening() -> None:
    assert Circle().do(c.BeginRitual(brief=BRIEF, starts_in_s=10), A).tick_after_s == pytest.approx(10, abs=0.001)


@pytest.mark.parametrize("command", [BEGIN_IT, c.AbortRitual()])
def test_only_the_facilitator_begins_and_aborts(command: Any) -> None:
    refuses(Circle(), Forbidden, command, B)
    refuses(Circle(1, access_level="private"), NotFound, command, account(7))


def test_a_guests_space_has_no_group_rituals() -> None:
    driver = Driver(SpaceKind())
    driver.do(c.CreateSpace(name="n", purpose="p", access_level="open"), guest(9))
    refuses(driver, Forbidden, BEGIN_IT, guest(9))


def test_a_ritual_without_an_operation_is_a_bad_request() -> None:
    driver = Driver(SpaceKind())
    driver.do(c.CreateSpace(name="n", purpose="p"), A)
    refuses(driver, BadRequest, BEGIN_IT, A)


def test_one_at_a_time() -> None:
    circle = Circle()
    circle.begin()
    refuses(circle, Conflict, BEGIN_IT, A)


@pytest.mark.parametrize(
    ("parameters", "error"),
    [(b"[1]", Invalid), (b'{"a":"\\u0000"}', Invalid), (b'{"a":"' + b"x" * 16_400 + b'"}', TooLarge)],
)
def test_parameters_are_a_bounded_object(parameters: bytes, error: type[SanghaError]) -> None:
    refused = refuses(Circle(), error, c.BeginRitual(brief=BRIEF, parameters=parameters), A)
    assert [each.path for each in refused.errors] == ["parameters"]


def test_a_retry_need_not_repeat_what_the_gateway_looked_up() -> None:
    kind = SpaceKind()
    again = msgspec.structs.replace(BEGIN_IT, brief=msgspec.structs.replace(BRIEF, module_hash="1" * 64))
    gone = msgspec.structs.replace(BEGIN_IT, brief=c.NO_BRIEF)
    others = [msgspec.structs.replace(BEGIN_IT, **other) for other in ({"intention": "another"}, {"ritual": "another"})]
    first, *digests = [kind.request(command, c.encode(command)) for command in (BEGIN_IT, again, gone, *others)]
    assert [digest == first for digest in digests] == [True, True, False, False]


def test_a_ritual_that_the_gateway_did_not_find_is_not_begun() -> None:
    refuses(Circle(), NotFound, c.BeginRitual(brief=c.NO_BRIEF), A)
    refuses(Circle(), Forbidden, c.BeginRitual(brief=c.NO_BRIEF), B)


def test_the_same_key_in_two_spaces_begins_two_rituals() -> None:
    """Participants, rows and insights are found by the ritual's id: two with one id would be one."""
    runs = set()
    for space in (uuid(71), uuid(72)):
        driver = Driver(SpaceKind(), space)
        driver.do(c.CreateSpace(name="n", purpose="p"), A)
        context = msgspec.structs.replace(driver.context(A), operation="k-morning")
        runs.add(driver.kind.decide(driver.state, BEGIN_IT, context).reply["ritual_run"])
    assert len(runs) == 2


@pytest.mark.parametrize("until", ["gathering", "closed", "scheduled"])
def test_a_beginning_whose_reply_is_forgotten_is_refused_and_not_done_again(until: str) -> None:
    circle = Circle()
    run = circle.begin(**({"at": circle.now + timedelta(hours=1)} if until == "scheduled" else {}))["ritual_run"]
    if until == "closed":
        circle.do(c.AbortRitual(), A)
    circle.operations -= 1 if until != "closed" else 2
    assert run in refuses(circle, Conflict, BEGIN_IT, A).message


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_time_that_utc_does_not_have_is_invalid(at: str) -> None:
    with pytest.raises(Invalid, match="years 1 to 9999"):
        from_wire(c.BeginRitual, {"brief": msgspec.to_builtins(BRIEF), "at": at})


def test_while_it_is_under_way_the_space_cannot_be_closed() -> None:
    circle = Circle()
    circle.begin()
    assert "abort the ritual first" in refuses(circle, Conflict, c.Close(), A).message
    circle.do(c.AbortRitual(), A)
    circle.do(c.Close(), A)


# The whole


def test_a_ritual_goes_through_its_stages_on_time() -> None:
    circle = Circle(2)
    began = circle.now
    run = circle.active()
    assert circle.body("ritual_opening")["roster"] == [A.practitioner, B.practitioner]
    assert circle.body("ritual_active") == {"ritual_run": run, "stage": "active", "participants": 2}
    for effect in circle.owed("transform"):
        circle.done(effect)
    assert circle.body("ritual_integration")["collective"]["archetypes"] == {"Light": {"mean": 0.5, "sd": 0.0, "n": 2}}
    circle.done(circle.owed("oracle")[0], INSIGHT)
    assert circle.stage == "integration"
    circle.tick(3)
    assert circle.stage is None
    assert circle.told == [f"ritual_{stage}" for stage in ("gathering", "opening", "active", "integration", "closed")]
    assert circle.summary == circle.body("ritual_closed")["summary"]
    assert circle.summary["counts"] == {
        "participants": 2,
        "transformed": 2,
        "failed": 0,
        "absent": 0,
        "left": 0,
        "late": 0,
        "witness": 0,
    }
    assert circle.summary["duration_s"] == (circle.now - began).total_seconds() == 16
    assert circle.summary["insight"]["interpretation"] == "together"
    assert "tokens" not in circle.summary["insight"]


def test_with_the_last_acknowledgement_nothing_is_owed() -> None:
    circle = Circle(2)
    circle.integration()
    circle.done(circle.owed("oracle")[0], INSIGHT)
    circle.tick(3)
    assert len(circle.owed("settle")) == 2
    circle.done(circle.owed("settle")[0], {})
    circle.done(circle.owed("settle")[0], error="not_found")
    assert set(circle.kind.agenda(circle.state).alarms) == {"sweep"}
    assert not circle.kind.agenda(circle.state).effects
    assert circle.state.effects == circle.state.unsettled == {}


def test_acknowledgements_are_owed_beyond_the_end_of_the_space() -> None:
    circle = Circle(1)
    circle.integration()
    circle.do(c.AbortRitual(), A)
    circle.do(c.Close(), A)
    circle.done(circle.owed("settle")[0], {})
    assert circle.kind.agenda(circle.state).effects == {}


def test_alarms_alone_take_it_through_too() -> None:
    circle = Circle(1)
    circle.begin()
    for stage in ("opening", "active"):
        circle.alarm()
        assert circle.stage == stage
    circle.done(circle.owed("transform")[0])
    circle.alarm()
    circle.done(circle.owed("oracle")[0], INSIGHT)
    assert circle.summary["outcome"] == "completed"


def test_a_tick_and_an_alarm_for_the_same_moment_change_it_once() -> None:
    circle = Circle()
    circle.begin()
    circle.tick(10)
    before = circle.state
    assert circle.do(AlarmFired(name="ritual")).events == ()
    assert circle.do(Tick()).events == ()
    assert circle.state is before


@pytest.mark.parametrize("early_ms", [1, 5])
def test_a_timer_may_be_early_by_a_little(early_ms: int) -> None:
    circle = Circle()
    circle.begin()
    decision = circle.tick(10 - early_ms / 1000)
    assert (circle.stage == "opening") == (early_ms == 1)
    assert decision.tick_after_s is not None


def test_stages_without_a_length_follow_at_once() -> None:
    circle = Circle(1)
    circle.begin(starts_in_s=0, opening_s=0, integration_s=0)
    circle.tick()
    assert circle.stage == "active"
    circle.done(circle.owed("transform")[0])
    circle.done(circle.owed("oracle")[0], INSIGHT)
    assert circle.stage is None


def test_another_ritual_is_another_operation_for_the_same_practitioner() -> None:
    circle = Circle(1)
    seen = set()
    for _ in range(2):
        circle.active()
        seen |= set(circle.owed("transform"))
        circle.done(circle.owed("transform")[0])
        circle.do(c.AbortRitual(), A)
        seen |= set(circle.owed("settle"))
    assert len(seen) == 4


# Who takes part


def test_who_is_gone_for_less_than_the_grace_takes_part_and_who_is_gone_for_longer_is_absent() -> None:
    circle = Circle(3)
    circle.begin(starts_in_s=40)
    circle.wait(5)
    circle.detach(B)
    circle.wait(20)
    circle.detach(C)
    circle.tick(15)
    assert circle.body("ritual_opening")["roster"] == [A.practitioner, C.practitioner]
    assert g.status_of(circle.group, B.practitioner) == "absent"


def test_guests_watch() -> None:
    circle = Circle(1)
    circle.enter(guest(9))
    circle.active()
    assert circle.group.called == 1
    assert g.status_of(circle.group, uuid(9)) == "witness"
    assert circle.owed("transform") == [g.transform_id(circle.group.plan.run, A.practitioner)]


def test_who_comes_late_watches_and_is_told_so() -> None:
    circle = Circle(1)
    circle.active()
    circle.enter(B)
    assert circle.group.called == 1
    assert circle.reply(c.GetRitual(), B)["current"]["you"] == "late"
    assert circle.reply(c.GetRitual(), A)["current"]["you"] == "called"


def test_leaving_during_gathering_is_no_part_of_it() -> None:
    circle = Circle(2)
    circle.begin()
    circle.do(c.Leave(), B)
    circle.tick(10)
    assert B.practitioner not in circle.group.parts


def test_leaving_during_opening_is_not_to_be_transformed() -> None:
    circle = Circle(2)
    circle.begin()
    circle.tick(10)
    circle.do(c.Leave(), B)
    circle.enter(B)
    circle.tick(3)
    assert circle.owed("transform") == [g.transform_id(circle.group.plan.run, A.practitioner)]
    circle.done(circle.owed("transform")[0])
    circle.do(c.AbortRitual(), A)
    assert circle.summary["left"] == [B.practitioner]


def test_leaving_during_active_comes_too_late() -> None:
    circle = Circle(2)
    circle.active()
    circle.do(c.Leave(), B)
    for effect in circle.owed("transform"):
        circle.done(effect)
    assert circle.body("ritual_integration")["transformed"] == 2


def test_losing_the_connection_during_opening_changes_nothing() -> None:
    circle = Circle(2)
    circle.begin()
    circle.tick(10)
    circle.detach(B)
    circle.tick(3)
    assert circle.group.called == 2


def test_when_nobody_came_nothing_is_done() -> None:
    circle = Circle(1)
    circle.detach(A)
    circle.wait(60)
    circle.begin()
    circle.tick(10)
    assert (circle.summary["outcome"], circle.summary["reason"]) == ("aborted", "nobody came")
    assert circle.told == ["ritual_gathering", "ritual_closed"]


def test_when_everyone_left_nothing_is_done() -> None:
    circle = Circle(1)
    circle.begin()
    circle.tick(10)
    circle.do(c.Leave(), A)
    circle.tick(3)
    assert (circle.summary["outcome"], circle.summary["reason"]) == ("aborted", "everyone left")


# Restarts


def test_after_a_restart_opening_waits_for_those_who_may_be_coming_back() -> None:
    circle = Circle(2)
    circle.begin()
    circle.wait(8)
    circle.restart()
    circle.alarm()
    assert circle.stage == "gathering"
    assert circle.kind.agenda(circle.state).alarms["ritual"] == circle.now + g.RESTART_PATIENCE
    circle.attach(A)
    circle.tick(0.25)
    assert circle.stage == "gathering"
    circle.attach(B)
    circle.tick(0.25)
    assert circle.stage == "opening"
    assert circle.group.called == 2


def test_but_not_for_ever() -> None:
    circle = Circle(2)
    circle.begin()
    circle.restart()
    circle.alarm()
    circle.attach(A)
    circle.alarm()
    assert circle.body("ritual_opening")["roster"] == [A.practitioner]


def test_a_stage_that_is_late_by_an_outage_lasts_from_when_it_began() -> None:
    circle = Circle(1)
    circle.begin()
    circle.restart()
    circle.wait(60)
    circle.attach(A)
    circle.tick(0.25)
    assert circle.body("ritual_opening")["starts_at"] == circle.now.isoformat().replace("+00:00", "Z")
    assert circle.group.active_at == circle.now + timedelta(seconds=3)


def test_who_is_known_to_have_gone_is_not_waited_for() -> None:
    circle = Circle(2)
    circle.restart()
    circle.attach(A)
    circle.attach(B)
    circle.detach(B)
    circle.wait(1)
    limits = circle.kind.limits
    circle.kind = SpaceKind(msgspec.structs.replace(limits, presence_grace_s=0.5))
    circle.begin(starts_in_s=1)
    circle.tick(1)
    assert circle.body("ritual_opening")["roster"] == [A.practitioner]


@pytest.mark.parametrize("stage", ["gathering", "opening", "active", "integration"])
def test_a_restart_at_any_stage_finds_all_that_is_owed(stage: str) -> None:
    circle = Circle(2)
    if stage in ("gathering", "opening"):
        circle.begin()
        circle.tick(10 if stage == "opening" else 0)
    else:
        getattr(circle, stage)()
    before = circle.kind.agenda(circle.state)
    circle.restart()
    assert circle.kind.agenda(circle.state) == before
    assert circle.stage == stage


# Outcomes


def test_one_who_fails_does_not_fail_the_others() -> None:
    circle = Circle(3)
    circle.active()
    first, second, third = circle.owed("transform")
    circle.done(first, REFUSED)
    circle.done(second, error="not_found")
    circle.done(third)
    assert len(circle.owed("settle")) == 2, "who is not there has nothing to forget"
    circle.done(circle.owed("oracle")[0], INSIGHT)
    circle.tick(3)
    assert circle.summary["outcome"] == "completed"
    assert circle.summary["transformed"] == 1
    assert circle.summary["failed"] == [
        {"practitioner": A.practitioner, "code": "ritual_failed"},
        {"practitioner": B.practitioner, "code": "not_found"},
    ]


def test_where_all_failed_there_is_no_collective_state_and_nothing_to_ask() -> None:
    circle = Circle(1)
    circle.active()
    circle.done(circle.owed("transform")[0], REFUSED)
    assert circle.body("ritual_integration")["collective"] is None
    assert circle.owed("oracle") == []
    circle.tick(3)
    assert circle.summary["outcome"] == "completed"
    assert circle.summary["transformed"] == 0


def test_an_outcome_that_cannot_be_read_does_not_hold_the_ritual_up() -> None:
    circle = Circle(1)
    circle.active()
    circle.do(EffectDone(id=circle.owed("transform")[0], reply=b"[]"))
    assert circle.stage == "integration"
    assert circle.group.parts[A.practitioner].code == "internal"


def test_an_outcome_that_comes_twice_counts_once() -> None:
    circle = Circle(2)
    circle.active()
    effect = circle.owed("transform")[0]
    circle.done(effect)
    before = circle.state
    assert circle.done(effect).events == ()
    assert circle.state is before


def test_progress_is_told_a_few_times_a_second() -> None:
    circle = Circle(5)
    run = circle.active()
    for effect in circle.owed("transform")[:4]:
        assert circle.done(effect).tick_after_s == pytest.approx(0.25)
    circle.tick(0.25)
    told = [push for push in circle.pushes if push.event == "ritual_progress"]
    assert [push.fields for push in told] == [{"ritual_run": run, "stage": "active", "settled": 4, "of": 5}]
    circle.tick(0.25)
    assert len([push for push in circle.pushes if push.event == "ritual_progress"]) == 1


def test_single_outcomes_are_not_pushed() -> None:
    circle = Circle(2)
    circle.active()
    frames = len(circle.frames)
    circle.done(circle.owed("transform")[0])
    assert len(circle.frames) == frames


# Integration


def test_the_collective_state_is_in_the_shared_state_and_its_row() -> None:
    circle = Circle(1)
    circle.do(c.UpdateSpace(shared_state=b'{"mine":1}'), A)
    circle.integration()
    shared = msgspec.json.decode(circle.state.shared_state)
    assert shared["mine"] == 1
    assert shared["collective"] == circle.body("ritual_integration")["collective"]
    assert circle.row("collective_spaces")["shared_state"] == circle.state.shared_state


def test_a_shared_state_without_room_stays_and_the_ritual_goes_on() -> None:
    circle = Circle(1, SpaceLimits(shared_state_bytes=100))
    circle.integration()
    assert circle.state.shared_state == msgspec.Raw(b"{}")
    assert circle.body("ritual_integration")["collective"]["transformed"] == 1


def test_the_coherence_is_that_of_the_moment() -> None:
    circle = Circle(2)
    circle.active()
    circle.do(c.Pulse(phase_rad=0.0), A)
    circle.do(c.Pulse(phase_rad=0.0), B)
    for effect in circle.owed("transform"):
        circle.done(effect)
    assert circle.body("ritual_integration")["collective"]["coherence"] == {"r": 1.0, "unbiased": 1.0, "n": 2}


@pytest.mark.parametrize(("second", "consent"), [(True, True), (False, False)])
def test_the_oracle_is_asked_outside_only_if_all_agree(second: bool, consent: bool) -> None:
    circle = Circle(2)
    run = circle.active(intention="peace")
    for effect, agrees in zip(circle.owed("transform"), (True, second), strict=True):
        circle.done(effect, msgspec.structs.replace(DONE, oracle_consent=agrees))
    effect = circle.kind.agenda(circle.state).effects[g.oracle_id(run)]
    assert str(effect.target) == f"oracle:{circle.id}"
    consult = oracle.codec.decode(effect.command)
    assert (consult.consent, consult.ritual_name, consult.intention) == (consent, "attunement", "peace")
    assert consult.collective is not None
    assert consult.collective["participants"] == 2


def test_the_insight_is_a_row_of_the_space() -> None:
    circle = Circle(1)
    run = circle.integration()
    circle.done(circle.owed("oracle")[0], INSIGHT)
    row = circle.row("oracle_insights")
    assert (row["id"], row["space_id"], row["insight_type"]) == (g.insight_id(run), circle.id, "guidance")
    assert row["cautions"] == ["rest"]
    assert "practitioner_id" not in row


def test_integration_waits_for_the_oracle_but_not_for_ever() -> None:
    circle = Circle(1)
    circle.integration()
    integrated_at = circle.now
    circle.alarm()
    assert circle.stage == "integration"
    circle.alarm()
    assert circle.stage is None
    assert circle.now == integrated_at + g.ORACLE_PATIENCE
    assert (circle.summary["insight"], circle.summary["insight_error"]) == (None, "timeout")
    assert circle.owed("oracle") == []


@pytest.mark.parametrize("reply", [b"[]", None])
def test_an_oracle_that_says_nothing_of_use_is_no_failure(reply: bytes | None) -> None:
    circle = Circle(1)
    circle.integration()
    effect = circle.owed("oracle")[0]
    circle.do(EffectDone(id=effect, reply=reply, error=None if reply else "internal"))
    circle.tick(3)
    assert circle.summary["insight_error"] == "internal"
    assert circle.summary["outcome"] == "completed"
    assert not [row for row in circle.rows if getattr(row, "table", "") == "oracle_insights"]


# Abort


@pytest.mark.parametrize("seconds", [(), (10,)])
def test_aborted_before_active_nobody_is_transformed(seconds: tuple[int, ...]) -> None:
    circle = Circle(2)
    run = circle.begin()["ritual_run"]
    for each in seconds:
        circle.tick(each)
    assert circle.reply(c.AbortRitual(), A)["stage"] == "closed"
    assert (circle.summary["outcome"], circle.summary["transformed"]) == ("aborted", 0)
    assert circle.body("ritual_closed")["ritual_run"] == run
    assert circle.owed("transform") == []


def test_aborted_in_active_whoever_is_being_transformed_still_is() -> None:
    circle = Circle(2)
    circle.active()
    circle.done(circle.owed("transform")[0])
    assert circle.reply(c.AbortRitual(), A)["stage"] == "aborting"
    assert circle.reply(c.AbortRitual(), A)["stage"] == "aborting"
    assert circle.told[-1] == "ritual_aborting"
    circle.done(circle.owed("transform")[0])
    assert (circle.summary["outcome"], circle.summary["transformed"]) == ("aborted", 2)
    assert "ritual_integration" not in circle.told


def test_aborted_in_integration_it_closes_at_once() -> None:
    circle = Circle(1)
    circle.integration()
    effect = circle.owed("oracle")[0]
    assert circle.reply(c.AbortRitual(), A)["stage"] == "closed"
    assert (circle.summary["outcome"], circle.summary["transformed"]) == ("aborted", 1)
    assert circle.done(effect, INSIGHT).events == ()


def test_there_has_to_be_something_to_abort() -> None:
    circle = Circle()
    refuses(circle, NotFound, c.AbortRitual(), A)
    circle.begin()
    refuses(circle, NotFound, c.AbortRitual(ritual_run=uuid(77)), A)


# The schedule


def test_a_scheduled_one_gathers_a_minute_before_its_time() -> None:
    circle = Circle(1)
    at = circle.now + timedelta(days=1)
    reply = circle.begin(at=at)
    assert (reply["stage"], reply["starts_at"]) == ("scheduled", at)
    assert circle.kind.agenda(circle.state).alarms["ritual-scheduled"] == at - g.GATHERING
    assert circle.told == ["ritual_scheduled"]
    decision = circle.alarm("ritual-scheduled")
    assert circle.stage == "gathering"
    assert decision.tick_after_s == pytest.approx(60)
    assert circle.group.plan.run == reply["ritual_run"]
    assert circle.state.scheduled == {}
    circle.tick(60)
    assert circle.stage == "opening"


def test_what_is_far_away_is_for_its_alarm_and_no_timer() -> None:
    circle = Circle(1)
    decision = circle.do(c.BeginRitual(brief=BRIEF, at=circle.now + timedelta(days=300)), A)
    assert decision.tick_after_s is None


def test_one_within_a_minute_gathers_at_once() -> None:
    circle = Circle(1)
    assert circle.begin(at=circle.now + timedelta(seconds=60))["stage"] == "gathering"


@pytest.mark.parametrize("days", [-0.001, 367])
def test_a_schedule_is_for_the_year_ahead(days: float) -> None:
    circle = Circle(1)
    refused = refuses(circle, Invalid, c.BeginRitual(brief=BRIEF, at=circle.now + timedelta(days=days)), A)
    assert [error.path for error in refused.errors] == ["at"]


def test_the_schedule_has_an_end() -> None:
    circle = Circle(1)
    for n in range(16):
        circle.begin(at=circle.now + timedelta(days=1 + n))
    refuses(circle, Full, c.BeginRitual(brief=BRIEF, at=circle.now + timedelta(days=20)), A)
    planned = circle.reply(c.GetRitual(), A)["scheduled"]
    assert [plan["starts_at"] for plan in planned] == sorted(plan["starts_at"] for plan in planned)
    assert len(planned) == 16


def test_a_scheduled_one_can_be_taken_back() -> None:
    circle = Circle(1)
    run = circle.begin(at=circle.now + timedelta(days=1))["ritual_run"]
    assert circle.reply(c.AbortRitual(ritual_run=run), A)["stage"] == "unscheduled"
    assert circle.body("ritual_unscheduled") == {"ritual_run": run, "stage": "unscheduled", "reason": "aborted"}
    assert "ritual-scheduled" not in circle.kind.agenda(circle.state).alarms


def test_its_time_come_while_another_is_under_way_it_begins_right_after() -> None:
    circle = Circle(1)
    run = circle.begin(at=circle.now + timedelta(seconds=100))["ritual_run"]
    circle.integration()
    circle.wait(70)
    circle.do(Tick())
    circle.done(circle.owed("oracle")[0], INSIGHT)
    assert circle.told[-2:] == ["ritual_closed", "ritual_gathering"]
    assert circle.group.plan.run == run


def test_a_minute_after_its_time_it_is_missed() -> None:
    circle = Circle(1)
    run = circle.begin(at=circle.now + timedelta(seconds=100))["ritual_run"]
    circle.active()
    circle.alarm("ritual-scheduled")
    assert circle.now == circle.state.created_at + timedelta(seconds=20 + 100 + 60)
    assert circle.body("ritual_unscheduled") == {"ritual_run": run, "stage": "unscheduled", "reason": "missed"}
    assert circle.stage == "active"


def test_an_outage_makes_the_schedule_late_or_missed() -> None:
    for seconds, event in ((150, "ritual_gathering"), (170, "ritual_unscheduled")):
        circle = Circle(1)
        circle.begin(at=circle.now + timedelta(seconds=100))
        circle.restart()
        circle.wait(seconds)
        circle.do(AlarmFired(name="ritual-scheduled"))
        assert circle.told[-1] == event


def test_the_schedule_ends_with_the_space() -> None:
    circle = Circle(1)
    circle.begin(at=circle.now + timedelta(days=1))
    circle.do(c.Close(), A)
    assert circle.state.scheduled == {}
    assert circle.kind.agenda(circle.state).alarms == {}
    assert circle.do(AlarmFired(name="ritual-scheduled")).events == ()


# Reading


def test_participants_and_the_facilitator_read_it() -> None:
    circle = Circle(2)
    assert circle.reply(c.GetRitual(), B)["current"] is None
    circle.integration()
    current = circle.reply(c.GetRitual(), A)["current"]
    assert (current["stage"], current["settled"], current["participants"]) == ("integration", 2, 2)
    assert circle.reply(c.GetSpace(), B)["ritual"]["stage"] == "integration"
    circle.do(c.AbortRitual(), A)
    reply = circle.reply(c.GetRitual(), A)
    assert msgspec.json.decode(reply["last"])["transformed"] == 2
    assert circle.reply(c.GetSpace(), B)["ritual"] is None
    refuses(circle, Forbidden, c.GetRitual(), account(8))


def test_a_crowd_is_counted_and_not_listed() -> None:
    circle = Circle(1, participant_limit=2_000)
    for n in range(2, 1_102):
        circle.do(c.Join(), account(n))
    circle.begin()
    circle.tick(10)
    circle.tick(3)
    assert circle.group.called == 1
    assert len(circle.group.parts) == 1_101
    circle.done(circle.owed("transform")[0])
    circle.do(c.AbortRitual(), A)
    assert len(circle.summary["absent"]) == 200
    assert circle.summary["counts"]["absent"] == 1_100


def test_a_roster_too_long_to_tell_is_found_by_asking() -> None:
    circle = Circle(1_001, participant_limit=2_000)
    circle.begin()
    circle.tick(10)
    body = circle.body("ritual_opening")
    assert (body["roster"], body["participants"]) == (None, 1_001)
    assert circle.reply(c.GetRitual(), B)["current"]["you"] == "called"

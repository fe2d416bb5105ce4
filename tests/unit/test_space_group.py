from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any, get_args

import msgspec
import pytest
from driving import BEGIN, uuid
from group_driving import BRIEF, DONE

from actors.practitioner import commands as practitioner
from actors.space import group as g
from actors.space import group_events as e

RUN = uuid(50)
PLAN = e.Plan(
    run=RUN,
    brief=BRIEF,
    intention="peace",
    parameters=msgspec.Raw(b'{"a":1}'),
    starts_at=BEGIN + timedelta(seconds=10),
    opening_s=3,
    integration_s=3,
    by=uuid(1),
)
STAGED: dict[type, Any] = {
    e.RitualGathering: e.RitualGathering(plan=PLAN),
    e.RitualHeld: e.RitualHeld(run=RUN, until=BEGIN),
    e.RitualOpening: e.RitualOpening(run=RUN, starts_at=BEGIN, active_at=BEGIN, roster=(uuid(1), uuid(2))),
    e.RitualActive: e.RitualActive(run=RUN, participants=2),
    e.ParticipantTransformed: e.ParticipantTransformed(run=RUN, practitioner=uuid(1), contribution=DONE),
    e.ParticipantFailed: e.ParticipantFailed(run=RUN, practitioner=uuid(2), code="c", answered=True),
    e.RitualAborting: e.RitualAborting(run=RUN, by=uuid(1)),
    e.RitualIntegration: e.RitualIntegration(
        run=RUN, transformed=1, failed=1, closes_at=BEGIN, collective=msgspec.Raw(b"{}"), insight_by=BEGIN
    ),
    e.RitualInsight: e.RitualInsight(run=RUN, id=uuid(60)),
    e.RitualClosed: e.RitualClosed(run=RUN, outcome="completed", summary=msgspec.Raw(b"{}")),
}
WAYS: dict[str | None, tuple[type, ...]] = {
    None: (),
    "gathering": (e.RitualGathering,),
    "opening": (e.RitualGathering, e.RitualOpening),
    "active": (e.RitualGathering, e.RitualOpening, e.RitualActive),
    "aborting": (e.RitualGathering, e.RitualOpening, e.RitualActive, e.RitualAborting),
    "integration": (e.RitualGathering, e.RitualOpening, e.RitualActive, e.RitualIntegration),
}
FORWARD = ("gathering", "opening", "active", "aborting", "integration", "closed")


def fold(*events: Any) -> g.GroupRitual | None:
    group = None
    for event in events:
        group = g.evolve(group, event, BEGIN)
    return group


def at_stage(stage: str | None) -> g.GroupRitual | None:
    return fold(*(STAGED[event] for event in WAYS[stage]))


@pytest.mark.parametrize(("stage", "event"), list(product(WAYS, STAGED)))
def test_only_what_the_table_has_is_folded(stage: Any, event: type) -> None:
    group = at_stage(stage)
    assert (None if group is None else group.stage) == stage
    expected = g.TRANSITIONS.get((stage, event))
    if expected is None:
        with pytest.raises(g.IllegalTransition):
            g.evolve(group, STAGED[event], BEGIN)
        return
    after = g.evolve(group, STAGED[event], BEGIN)
    assert (None if after is None else after.stage) == (None if expected == "closed" else expected)


def test_every_stage_is_reached_and_all_go_forward_to_the_end() -> None:
    assert set(g.TRANSITIONS.values()) == set(get_args(g.Stage))
    for (before, _), after in g.TRANSITIONS.items():
        assert before is None or FORWARD.index(before) <= FORWARD.index(after)
        assert before != "closed"
    for stage in FORWARD[:-1]:
        ways = [after for (before, _), after in g.TRANSITIONS.items() if before == stage and after != stage]
        assert ways, f"{stage} is left"


def test_an_event_of_another_ritual_is_not_folded() -> None:
    other = msgspec.structs.replace(STAGED[e.RitualHeld], run=uuid(51))
    with pytest.raises(g.IllegalTransition):
        g.evolve(at_stage("gathering"), other, BEGIN)


def test_nobody_has_two_outcomes_and_only_the_called_have_one() -> None:
    group = g.evolve(at_stage("active"), STAGED[e.ParticipantTransformed], BEGIN)
    with pytest.raises(g.IllegalTransition):
        g.evolve(group, STAGED[e.ParticipantTransformed], BEGIN)
    stranger = msgspec.structs.replace(STAGED[e.ParticipantTransformed], practitioner=uuid(9))
    with pytest.raises(g.IllegalTransition):
        g.evolve(group, stranger, BEGIN)


def test_an_insight_comes_once() -> None:
    group = g.evolve(at_stage("integration"), STAGED[e.RitualInsight], BEGIN)
    with pytest.raises(g.IllegalTransition):
        g.evolve(group, STAGED[e.RitualInsight], BEGIN)


@pytest.mark.parametrize("stage", ["opening", "active", "aborting", "integration"])
def test_who_joins_after_opening_began_is_late(stage: str) -> None:
    group = g.joined(at_stage(stage), uuid(9))
    assert group is not None
    assert g.status_of(group, uuid(9)) == "late"
    assert group.called == 2


def test_who_joins_during_gathering_may_still_take_part() -> None:
    group = at_stage("gathering")
    assert g.joined(group, uuid(9)) is group
    assert g.joined(None, uuid(9)) is None


def test_who_leaves_during_opening_is_out_and_stays_out() -> None:
    group = g.left(at_stage("opening"), uuid(1))
    assert group is not None
    assert (g.status_of(group, uuid(1)), group.called) == ("left", 1)
    assert g.left(group, uuid(1)) is group
    assert g.joined(group, uuid(1)) is group


@pytest.mark.parametrize("stage", ["gathering", "active", "aborting", "integration"])
def test_leaving_at_any_other_stage_changes_nothing(stage: str) -> None:
    group = at_stage(stage)
    assert g.left(group, uuid(1)) is group


def test_each_called_is_asked_once_with_the_same_command() -> None:
    group = at_stage("active")
    assert group is not None
    effects = g.transforms(group, uuid(999))
    assert list(effects) == [f"transform-{RUN}-{uuid(1)}", f"transform-{RUN}-{uuid(2)}"]
    assert [str(effect.target) for effect in effects.values()] == [f"practitioner:{uuid(1)}", f"practitioner:{uuid(2)}"]
    commands = {effect.command for effect in effects.values()}
    assert practitioner.codec.decode(commands.pop()) == practitioner.RunInGroup(
        group=RUN, space=uuid(999), brief=BRIEF, intention="peace", parameters=b'{"a":1}', participants=2
    )
    assert not commands


def test_what_is_owed_can_be_made_anew_at_any_time() -> None:
    ack = g.Ack(run=uuid(49), practitioner=uuid(3))
    for stage, prefixes in [("opening", set()), ("active", {"transform"}), ("integration", {"oracle"})]:
        effects = g.owed(at_stage(stage), {g.settle_id(ack.run, ack.practitioner): ack}, uuid(999))
        assert {id_.partition("-")[0] for id_ in effects} == prefixes | {"settle"}
        assert all(id_ == effect.id for id_, effect in effects.items())

"""Everything that can happen to a group ritual in a small world, every fault at every point, is looked at.

``group_world`` has the model, ``group_faults`` what may go wrong, ``group_explorer`` what must hold.

Each world that can be reached is visited once; how many executions (ways from the beginning to the end) go through them is
counted along. The numbers are asserted: when a change makes them smaller, something is no longer looked at.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import group_world as w
import msgspec
import pytest
from driving import BEGIN
from group_explorer import Explorer

from actors.practitioner import runs
from actors.practitioner.entity import PractitionerKind
from actors.runtime.entity import Agenda, AlarmFired, Decision, EffectDone
from actors.runtime.errors import ActorUnavailable
from actors.space.entity import SpaceKind


def explore(n: int, faults: dict[str, int], **options: Any) -> Explorer:
    explorer = Explorer(w.begin(n, w.Faults(**faults), **options))
    print(  # noqa: T201 - the figures are what one runs this for
        f"{n} participants, {faults}: {explorer.worlds} worlds ({explorer.queued} queued), {explorer.edges} steps,"
        f" {explorer.total:.3g} executions, ends: {explorer.ends}"
    )
    return explorer


@pytest.mark.parametrize(
    ("n", "faults", "worlds"),
    [
        (1, {}, 30),
        (2, {}, 190),
        (3, {}, 1_100),
        (1, {"crashes": 2, "duplicates": 1, "aborts": 1, "leaves": 1}, 30_000),
        (1, {"crashes": 1, "duplicates": 1, "aborts": 1, "delays": 1}, 19_000),
        (1, {"crashes": 3}, 1_800),
        (2, {"crashes": 2}, 10_000),
        (2, {"crashes": 1, "aborts": 1, "leaves": 1}, 14_000),
        (2, {"crashes": 1, "delays": 1}, 27_000),
        (2, {"duplicates": 2, "aborts": 1}, 34_000),
        (3, {"crashes": 1}, 23_000),
        (3, {"aborts": 1, "leaves": 1}, 6_500),
    ],
)
def test_whatever_dies_whenever_everyone_is_transformed_exactly_once(
    n: int, faults: dict[str, int], worlds: int
) -> None:
    explorer = explore(n, faults)
    assert explorer.worlds >= worlds
    assert explorer.ends.get(f"completed, {n} of {n}", 0) >= 1
    if not faults:
        assert set(explorer.ends) == {f"completed, {n} of {n}"}


@pytest.mark.parametrize(
    ("n", "faults", "worlds", "queued"),
    [
        (1, {"runs": 2}, 340, 8),
        (2, {"runs": 1}, 880, 34),
        (1, {"runs": 2, "crashes": 1}, 3_100, 60),
        (1, {"runs": 1, "crashes": 1, "delays": 1}, 10_900, 158),
        (1, {"runs": 1, "duplicates": 1, "aborts": 1}, 3_400, 28),
        (2, {"runs": 1, "crashes": 1}, 11_100, 378),
        (2, {"runs": 1, "aborts": 1, "leaves": 1}, 5_800, 188),
    ],
)
def test_runs_of_their_own_keep_nobody_out(n: int, faults: dict[str, int], worlds: int, queued: int) -> None:
    """One participant begins runs of their own whenever they can: the group's part waits for one of them at most."""
    explorer = explore(n, faults)
    assert explorer.worlds >= worlds
    assert explorer.queued >= queued
    assert explorer.ends.get(f"completed, {n} of {n}", 0) >= 1
    if faults.keys() == {"runs"}:
        assert set(explorer.ends) == {f"completed, {n} of {n}"}


@pytest.mark.parametrize("faults", [{"crashes": 2}, {"crashes": 1, "delays": 1}, {"duplicates": 1, "aborts": 1}])
def test_a_scheduled_one_is_held_or_missed(faults: dict[str, int]) -> None:
    explorer = explore(1, faults, at=BEGIN + timedelta(seconds=300))
    assert explorer.ends.get("completed, 1 of 1", 0) >= 1


def test_stages_without_a_length_are_no_special_case() -> None:
    explorer = explore(2, {"crashes": 1, "aborts": 1}, starts_in_s=0, opening_s=0, integration_s=0)
    assert explorer.ends.get("completed, 2 of 2", 0) >= 1


def test_a_practitioner_who_forgot_the_operation_still_knows_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(w, "REMEMBERS", False)
    explorer = explore(1, {"crashes": 1, "duplicates": 1})
    assert set(explorer.ends) >= {"completed, 1 of 1"}


# The world notices what it is for: kinds that are wrong in one way each


class RunsAgain(PractitionerKind):
    """Begins a run whenever it is asked to, as if it had never been."""

    def decide(self, state: Any, command: Any, context: Any) -> Decision:
        if isinstance(command, w.pc.RunInGroup):
            state = msgspec.structs.replace(state, groups={}, runs={})
        return super().decide(state, command, context)


class Impatient(SpaceKind):
    """Acknowledges nothing."""

    def agenda(self, state: Any) -> Agenda:
        agenda = super().agenda(state)
        return Agenda(
            alarms=agenda.alarms, effects={id_: e for id_, e in agenda.effects.items() if "settle" not in id_}
        )


class Forgetful(SpaceKind):
    """Comes back from a checkpoint without what it owes."""

    def decode_state(self, format_: int, data: bytes) -> Any:
        return msgspec.structs.replace(super().decode_state(format_, data), effects={})


class Timeless(SpaceKind):
    """Has no alarms: only the timer of a process that lives takes it on."""

    def agenda(self, state: Any) -> Agenda:
        return Agenda(effects=super().agenda(state).effects)


class Hasty(PractitionerKind):
    """Forgets its part as soon as it is done, before the space said that it knows."""

    def decide(self, state: Any, command: Any, context: Any) -> Decision:
        decision = super().decide(state, command, context)
        if any(type(event).__name__ == "RunCompleted" for event in decision.events):
            forget = w.pc.SettleGroup(group=next(iter(state.groups)))
            settled = runs.settle_group(state, forget, context)
            return msgspec.structs.replace(decision, events=(*decision.events, *settled.events))
        return decision


class Neglectful(PractitionerKind):
    """Begins nothing when a run has ended."""

    def decide(self, state: Any, command: Any, context: Any) -> Decision:
        decision = super().decide(state, command, context)
        if isinstance(command, EffectDone | AlarmFired):
            return msgspec.structs.replace(decision, events=decision.events[:1])
        return decision


class Busy(PractitionerKind):
    """Refuses a part while a run is open."""

    def decide(self, state: Any, command: Any, context: Any) -> Decision:
        if isinstance(command, w.pc.RunInGroup) and state.run is not None:
            raise ActorUnavailable("another ritual is under way")
        return super().decide(state, command, context)


@pytest.mark.parametrize(
    ("space", "practitioner"),
    [
        (SpaceKind, RunsAgain),
        (SpaceKind, Hasty),
        (SpaceKind, Neglectful),
        (SpaceKind, Busy),
        (Impatient, PractitionerKind),
        (Forgetful, PractitionerKind),
        (Timeless, PractitionerKind),
    ],
)
def test_a_kind_that_is_wrong_is_found_out(
    space: type[SpaceKind], practitioner: type[PractitionerKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = (space(w.KINDS[0].limits), practitioner())
    monkeypatch.setattr(w, "KINDS", kinds)
    if practitioner is RunsAgain:
        monkeypatch.setattr(w, "REMEMBERS", False)
    faults = {"runs": 1} if practitioner in (Neglectful, Busy) else {"crashes": 1, "duplicates": 1}
    with pytest.raises(AssertionError):
        explore(1, faults)

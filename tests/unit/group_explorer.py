"""Visits every world of a group ritual that can be reached from a first one, and checks each step and each end."""

from __future__ import annotations

from typing import Any

import msgspec
from group_faults import possible
from group_world import SPACE, World, required, versions

from actors.runtime.codec import NULL

ORDER = ("gathering", "opening", "active", "aborting", "integration", "closed")


def check_step(before: World, after: World) -> None:
    """Of any step: stages and versions go forward only, and nobody is transformed twice."""
    assert _stage(after) >= _stage(before)
    for was, now in zip(before.histories[1:], after.histories[1:], strict=True):
        assert versions(was.state) <= versions(now.state) <= 1


def _stage(world: World) -> int:
    group = world.space.group
    if group is None:
        return -1 if world.space.scheduled else len(ORDER)
    return ORDER.index(group.stage)


def check_rest(world: World) -> str:
    """Of a world in which nothing more happens by itself: it is over, all was said, nothing is owed. The outcome."""
    space = world.space
    assert space.group is None
    assert not space.effects
    assert not space.unsettled
    assert not world.parked
    assert set(world.histories[SPACE].agenda.alarms) <= {"sweep"}
    assert not space.scheduled
    if space.last == NULL:
        assert all(versions(h.state) == 0 for h in world.histories[1:])
        return "missed"
    summary = msgspec.json.decode(space.last)
    people = {h.id: h.state for h in world.histories[1:]}
    for person in people.values():
        assert person.run is None
        assert not person.queue
        assert not person.groups, "the space said that it knows"
    transformed = {who for who, person in people.items() if versions(person) == 1}
    failed = {each["practitioner"] for each in summary["failed"]}
    assert summary["transformed"] == summary["counts"]["transformed"] == len(transformed)
    assert transformed | failed == (set(summary["participants"]) if summary["active_at"] else set())
    assert not transformed & failed
    if summary["collective"] is not None:
        assert summary["collective"]["transformed"] == len(transformed)
    for history in world.histories:
        assert history.checked
    return f"{summary['outcome']}, {len(transformed)} of {len(people)}"


class Explorer:
    """Every world that can be reached from a first one, each once."""

    def __init__(self, first: World) -> None:
        self.executions: dict[Any, int] = {}
        self.edges = 0
        self.queued = 0
        """In how many worlds a part waits for the end of another run."""
        self.ends: dict[str, int] = {}
        self._path: list[str] = []
        self._on_path: set[Any] = set()
        self.total = self._visit(first)
        """Executions: ways from the first world to one at rest."""

    @property
    def worlds(self) -> int:
        return len(self.executions)

    def _visit(self, world: World) -> int:
        """How many executions lead from here to rest."""
        key = world.key()
        if (known := self.executions.get(key)) is not None:
            return known
        assert key not in self._on_path, f"goes round in circles: {self._path}"
        self._on_path.add(key)
        self.queued += any(history.state.queue for history in world.histories[1:])
        total, rests = 0, True
        for must, steps in ((True, required(world)), (False, possible(world))):
            for name, after in steps:
                self._path.append(name)
                rests = rests and not must
                if after.key() != key:
                    self.edges += 1
                    check_step(world, after)
                    total += self._visit(after)
                else:
                    assert not must, f"{name} does nothing: {self._path}"
                self._path.pop()
        if rests:
            end = check_rest(world)
            self.ends[end] = self.ends.get(end, 0) + 1
            total += 1
        self._on_path.discard(key)
        self.executions[key] = total
        return total

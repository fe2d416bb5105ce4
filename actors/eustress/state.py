"""The state of a space: a header, which is the fold of its events, and the scene, which is in the versioned rows.

What always holds: ``version`` is the number of events; ``at`` never goes back; an alarm or a task under way follows from the
header alone. The header is immutable. The scene is not: the state after an event has the same scene as the state before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec import UNSET, structs

from actors.eustress import events as e
from actors.eustress.lake import Archive, Count, LakeTask, Removable
from actors.eustress.replies import Epoch
from actors.eustress.scene import Scene
from actors.eustress.values import Policy
from actors.runtime.codec import Codec, Uuid
from actors.runtime.entity import Struct

STREAMS: Final = 1_000
"""Whose cursors are kept: those that went on last."""
TRIM_EVERY: Final = timedelta(seconds=0.2)
"""A step of retention is some milliseconds of the database; ingest goes on between them."""
TRIM_ROWS: Final = 1_000


class EpochMark(Struct, frozen=True, kw_only=True):
    """What of an epoch decides when it becomes part of another."""

    id: Uuid
    start_time: datetime
    end_time: datetime


class Trimming(Struct, frozen=True, kw_only=True):
    """What a round of retention still has to remove, and when its next step is due."""

    before: datetime
    left: Removable
    due: datetime


class Header(Struct, frozen=True, kw_only=True):
    """All of a space but its scene. Before ``created_at`` is set there is none."""

    space: str
    version: int = 0
    at: datetime | None = None
    created_at: datetime | None = None
    changed_at: datetime | None = None
    policy: Policy = Policy()
    cursors: Mapping[str, int] = {}
    seen: int = 0
    changes: int = 0
    updates: int = 0
    """Since the last snapshot."""
    dirty_since: datetime | None = None
    snapshots: int = 0
    last_snapshot: datetime | None = None
    horizon: datetime | None = None
    forgotten: int = 0
    """Events that are not in the journal any more."""
    retention_at: datetime | None = None
    tasks: Mapping[str, LakeTask] = {}
    trimming: Trimming | None = None
    epochs: tuple[EpochMark, ...] = ()

    @property
    def removed_before(self) -> datetime | None:
        """What ended before may be gone: the horizon, from the moment on at which a round begins to remove."""
        return self.horizon if self.trimming is None else self.trimming.before

    @property
    def removes_snapshots(self) -> bool:
        """Whether more of them go in this round."""
        return self.trimming is not None and self.trimming.left.markers > 0


class EustressState(Struct, frozen=True, kw_only=True):
    """A space."""

    header: Header
    scene: Scene


codec: Final[Codec[Header]] = Codec(Header, e.FORMAT)


def evolve(state: EustressState, event: e.EustressEvent, at: datetime) -> EustressState:
    """The state after the event; its scene is the same one, changed."""
    was = state.header
    now = at if was.at is None or at > was.at else was.at
    if was.created_at is None:
        was = structs.replace(was, created_at=now, changed_at=now)
    fields: dict[str, Any] = _FOLD[type(event)](state, event, now)
    header = structs.replace(was, version=was.version + 1, at=now, **fields)
    return EustressState(header=header, scene=state.scene)


def next_round(policy: Policy, now: datetime) -> datetime | None:
    """When retention looks again: a quarter of the time that it keeps things, from a second to an hour."""
    times = [seconds for seconds in (policy.retention_s, policy.consolidate_after_s) if seconds]
    return now + timedelta(seconds=max(1.0, min(min(times) / 4, 3600.0))) if times else None


def _changed(state: EustressState, event: e.Changed, at: datetime) -> dict[str, Any]:
    header = state.header
    fields: dict[str, Any] = {"changes": header.changes + event.accepted, "seen": header.seen + event.seen}
    if event.delta is not UNSET:
        state.scene.apply(event.delta, at)
    if event.updates:
        fields |= {"updates": header.updates + event.updates, "changed_at": at, "dirty_since": header.dirty_since or at}
    if event.stream is not None:
        cursors = {name: cursor for name, cursor in header.cursors.items() if name != event.stream}
        if len(cursors) >= STREAMS:
            del cursors[next(iter(cursors))]
        fields["cursors"] = cursors | {event.stream: event.cursor}
    return fields


def _snapshot_taken(state: EustressState, event: e.SnapshotTaken, at: datetime) -> dict[str, Any]:
    return {"updates": 0, "dirty_since": None, "snapshots": state.header.snapshots + 1, "last_snapshot": at}


def _policy_set(state: EustressState, event: e.PolicySet, at: datetime) -> dict[str, Any]:
    return {"policy": event.policy, "retention_at": next_round(event.policy, at)}


def _epoch_created(state: EustressState, event: e.EpochCreated, at: datetime) -> dict[str, Any]:
    return {"epochs": (*state.header.epochs, _mark(event.epoch))}


def _retention_began(state: EustressState, event: e.RetentionBegan, at: datetime) -> dict[str, Any]:
    return {"tasks": {**state.header.tasks, **event.tasks}, "retention_at": event.next_at}


def _archived(state: EustressState, event: e.WasArchived, at: datetime) -> dict[str, Any]:
    return _removable(state, event.task, event.archived.removable, at)


def _counted(state: EustressState, event: e.WasCounted, at: datetime) -> dict[str, Any]:
    return _removable(state, event.task, event.removable, at)


def _removable(state: EustressState, task: str, removable: Removable, at: datetime) -> dict[str, Any]:
    asked = state.header.tasks[task]
    assert isinstance(asked, (Archive, Count)), "nothing else is answered so"
    return {"tasks": _done(state, task), "trimming": Trimming(before=asked.before, left=removable, due=at)}


def _trimmed(state: EustressState, event: e.Trimmed, at: datetime) -> dict[str, Any]:
    trimming = state.header.trimming
    assert trimming is not None, "there is no step without a round"
    left = {_LEFT[table]: max(0, getattr(trimming.left, _LEFT[table]) - event.limit) for table in event.tables}
    after = structs.replace(trimming, left=structs.replace(trimming.left, **left), due=at + TRIM_EVERY)
    return {"trimming": after, "forgotten": state.header.forgotten + event.forgotten}


def _retained(state: EustressState, event: e.Retained, at: datetime) -> dict[str, Any]:
    if state.header.horizon is not None:
        state.scene.forget(state.header.horizon)  # a round later than storage, whose rows go in steps
    return {"trimming": None, "horizon": event.horizon}


def _consolidated(state: EustressState, event: e.EpochConsolidated, at: datetime) -> dict[str, Any]:
    kept = tuple(mark for mark in state.header.epochs if mark.id not in event.replaced)
    return {"tasks": _done(state, event.task), "epochs": (*kept, _mark(event.epoch))}


def _task_failed(state: EustressState, event: e.TaskFailed, at: datetime) -> dict[str, Any]:
    return {"tasks": _done(state, event.task)}


def _done(state: EustressState, task: str) -> dict[str, LakeTask]:
    return {id_: asked for id_, asked in state.header.tasks.items() if id_ != task}


def _mark(epoch: Epoch) -> EpochMark:
    return EpochMark(id=epoch.id, start_time=epoch.start_time, end_time=epoch.end_time)


MARKERS: Final = "eustress_markers"
_LEFT: Final = {
    MARKERS: "markers",
    "eustress_entity_versions": "entities",
    "eustress_connection_versions": "connections",
}

_FOLD: Final[Mapping[type, Callable[[EustressState, Any, datetime], dict[str, Any]]]] = {
    e.Changed: _changed,
    e.SnapshotTaken: _snapshot_taken,
    e.PolicySet: _policy_set,
    e.EpochCreated: _epoch_created,
    e.RetentionBegan: _retention_began,
    e.WasArchived: _archived,
    e.WasCounted: _counted,
    e.Trimmed: _trimmed,
    e.Retained: _retained,
    e.EpochConsolidated: _consolidated,
    e.TaskFailed: _task_failed,
}

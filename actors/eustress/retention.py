"""What a space removes: versions that ended too long ago and the snapshots of before, and epochs that become one a day.

A round begins with an alarm. The lake's worker writes what is to go to files (or counts it); then it goes in small steps, an
alarm each, between which ingest goes on: markers first, for what a marker shows stays. What an epoch has is kept. A round that
could not archive removes nothing; the next one asks again.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from actors.eustress import events as e
from actors.eustress import lake
from actors.eustress.replies import Epoch
from actors.eustress.scene import CONNECTIONS, ENTITIES
from actors.eustress.showing import id_of
from actors.eustress.state import MARKERS, TRIM_ROWS, EustressState, Header, next_round
from actors.eustress.values import Policy
from actors.runtime.entity import Address, Agenda, Decision, Effect, EffectDone

SNAPSHOT: Final = "snapshot"
RETENTION: Final = "retention"
TRIM: Final = "trim"
EVENTS_KEPT: Final = 20_000
"""At least so many of the newest events: what followers and retries may still ask for."""
EVENTS_STEP: Final = 2_000


def agenda(header: Header) -> Agenda:
    """Alarms and what the lake's worker is asked."""
    alarms: dict[str, datetime] = {}
    if header.dirty_since is not None and header.policy.snapshot_interval_s:
        alarms[SNAPSHOT] = header.dirty_since + timedelta(seconds=header.policy.snapshot_interval_s)
    if header.retention_at is not None:
        alarms[RETENTION] = header.retention_at
    if header.trimming is not None:
        alarms[TRIM] = header.trimming.due
    effects = {
        id_: Effect(id=id_, target=Address("lake", header.space), command=lake.encode(task))
        for id_, task in header.tasks.items()
    }
    return Agenda(alarms=alarms, effects=effects)


def begin(state: EustressState, now: datetime) -> Decision:
    """A round: what the lake's worker is to do, and when the next one is due."""
    header = state.header
    next_at = next_round(header.policy, now)
    if header.retention_at is None or next_at is None:
        return Decision()
    tasks = {f"{name}-{header.version + 1}": task for name, task in _tasks(header, now).items()}
    return Decision(events=(e.RetentionBegan(tasks=tasks, next_at=next_at),))


def done(state: EustressState, signal: EffectDone, now: datetime) -> Decision:
    """The lake's worker answered."""
    header = state.header
    task = header.tasks.get(signal.id)
    if task is None:
        return Decision()
    if signal.error is not None or signal.reply is None:
        return Decision(events=(e.TaskFailed(task=signal.id, error=signal.error or "no answer"),))
    if isinstance(task, (lake.Archive, lake.Count)) and not _is_wanted(header.policy, task, now):
        return Decision(events=(e.TaskFailed(task=signal.id, error="the policy is another by now"),))
    if isinstance(task, lake.Archive):
        archived = lake.archived_codec.decode(1, signal.reply)
        archive = id_of(header.space, "archive", signal.id)
        return Decision(events=(e.WasArchived(task=signal.id, id=archive, archived=archived),))
    if isinstance(task, lake.Count):
        removable = lake.removable_codec.decode(1, signal.reply)
        return Decision(events=(e.WasCounted(task=signal.id, removable=removable),))
    found = lake.consolidated_codec.decode(1, signal.reply)
    epoch = Epoch(
        id=id_of(header.space, "epoch", signal.id),
        space_name=header.space,
        snapshot_ids=found.snapshot_ids,
        start_time=found.start_time,
        end_time=found.end_time,
        sample_count=found.sample_count,
        stats=found.stats,
    )
    return Decision(events=(e.EpochConsolidated(task=signal.id, epoch=epoch, replaced=task.epoch_ids),))


def step(state: EustressState) -> Decision:
    """Remove a little; after the last of it the horizon is where the round began."""
    header = state.header
    if header.trimming is None:
        return Decision()
    left = header.trimming.left
    if left.markers:
        tables: tuple[str, ...] = (MARKERS,)
    else:
        tables = (ENTITIES,) * bool(left.entities) + (CONNECTIONS,) * bool(left.connections)
    over = header.version - header.forgotten - EVENTS_KEPT
    forgotten = min(over, EVENTS_STEP) if over >= EVENTS_STEP else 0
    events: list[e.EustressEvent] = []
    if tables or forgotten:
        events.append(e.Trimmed(tables=tables, limit=TRIM_ROWS, forgotten=forgotten))
    is_last = not left.markers and max(left.entities, left.connections) <= TRIM_ROWS
    if is_last and over < 2 * EVENTS_STEP:
        events.append(e.Retained(horizon=header.trimming.before))
    return Decision(events=events, forget=forgotten)


def _tasks(header: Header, now: datetime) -> dict[str, lake.LakeTask]:
    policy, tasks = header.policy, dict[str, lake.LakeTask]()
    if policy.retention_s and not _under_way(header):
        before = now - timedelta(seconds=policy.retention_s)
        if _has_past(header, before):
            kind = lake.Archive if policy.archive else lake.Count
            tasks["archive"] = kind(space=header.space, before=before, after=header.horizon)
    if policy.consolidate_after_s:
        before = now - timedelta(seconds=policy.consolidate_after_s)
        for day, ids in _days(header, before).items():
            tasks[f"consolidate-{day}"] = lake.Consolidate(space=header.space, epoch_ids=ids)
    return tasks


def _is_wanted(policy: Policy, task: lake.Archive | lake.Count, now: datetime) -> bool:
    """Whether the policy of now would remove this, and in this way; nothing is removed yet."""
    if not policy.retention_s or (policy.archive and not isinstance(task, lake.Archive)):
        return False
    return task.before <= now - timedelta(seconds=policy.retention_s)


def _under_way(header: Header) -> bool:
    asked = any(isinstance(task, (lake.Archive, lake.Count)) for task in header.tasks.values())
    return asked or header.trimming is not None


def _has_past(header: Header, before: datetime) -> bool:
    """Whether anything may have ended, or been kept, between the last horizon and this one."""
    if header.created_at is None or header.created_at >= before:
        return False
    if header.horizon is not None and before <= header.horizon:
        return False  # more is kept from now on; what is removed stays so, and the horizon says it
    last = max(filter(None, (header.created_at, header.changed_at, header.last_snapshot)))
    return header.horizon is None or last >= header.horizon


def _days(header: Header, before: datetime) -> dict[str, tuple[str, ...]]:
    """Epochs that ended before a time, by the day (UTC) of their end, where a day has several."""
    busy = {id_ for task in header.tasks.values() if isinstance(task, lake.Consolidate) for id_ in task.epoch_ids}
    days: defaultdict[str, list[str]] = defaultdict(list)
    for mark in header.epochs:
        if mark.end_time < before and mark.id not in busy:
            days[f"{mark.end_time:%Y-%m-%d}"].append(mark.id)
    return {day: tuple(ids) for day, ids in days.items() if len(ids) > 1}

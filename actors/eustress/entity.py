"""The Eustress space as an entity: what engines send becomes a change of its scene, and a change is what storage has.

A caller is whoever may use the lake; the gateway has made sure of that, and nothing here is different for one or another. The
scene is mutable: ``decide`` reads it through a draft, and ``evolve`` alone changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final

import msgspec
from msgspec import UNSET, structs

from actors.eustress import commands as c
from actors.eustress import events as e
from actors.eustress import retention, showing
from actors.eustress.draft import Draft
from actors.eustress.reading import Application
from actors.eustress.replies import Epoch, Ingested, StreamCursor
from actors.eustress.scene import CONNECTIONS, ENTITIES, Scene
from actors.eustress.state import EustressState, Header, codec, evolve
from actors.eustress.values import SceneLimits, SpaceName
from actors.runtime.codec import Kept, invalid
from actors.runtime.entity import (
    SIGNALS,
    Agenda,
    AlarmFired,
    Context,
    Decision,
    EffectDone,
    Published,
    Push,
    Row,
)
from actors.runtime.errors import ActorUnavailable, BadRequest, Conflict

_INGESTED: Final = {"entity": "Entity", "connection": "Connection", "parameter": "Parameter", "batch": "Batch"}


class EustressKind(Kept):
    """The kind ``eustress``. ``limits`` bind every space."""

    kind: ClassVar[str] = "eustress"
    format: ClassVar[int] = e.FORMAT
    events: ClassVar = e.codec
    states: ClassVar = codec
    sealed: ClassVar[bool] = False
    versioned: ClassVar[tuple[str, ...]] = (ENTITIES, CONNECTIONS)

    def __init__(self, limits: SceneLimits) -> None:
        self._limits: Final = limits
        self._decide: Final[Mapping[type, Callable[[EustressState, Any, Context], Decision]]] = {
            c.Ingest: self._ingest,
            c.IngestLines: self._ingest_lines,
            c.GetCursor: _get_cursor,
            c.TakeSnapshot: _take_snapshot,
            c.SetPolicy: _set_policy,
            c.CreateEpoch: _create_epoch,
            c.GetSpace: _get_space,
            c.Subscribe: _subscribe,
            c.Unsubscribe: _unsubscribe,
        }

    def initial(self, entity_id: str) -> EustressState:
        """Nothing was written to it yet."""
        return EustressState(header=Header(space=entity_id), scene=Scene())

    def restored(self, state: EustressState, table: str, rows: Sequence[tuple[Any, ...]]) -> EustressState:
        """The scene with live rows of a versioned table."""
        state.scene.restored(table, rows)
        return state

    def decode_command(self, data: bytes) -> c.EustressCommand:
        """The command from its link encoding. Raises BadRequest, Invalid."""
        return c.codec.decode(data)

    def subscribes(self, command: Any) -> bool:
        """To subscribe is a command of its own."""
        return isinstance(command, c.Subscribe)

    def request(self, command: Any, data: bytes) -> bytes:
        """All of it; of an epoch what was asked for, not what was counted meanwhile."""
        if isinstance(command, c.CreateEpoch):
            return msgspec.json.encode((command.start_time, command.end_time))
        return data

    def decide(self, state: EustressState, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError."""
        if isinstance(command, SIGNALS):
            return _signal(state, command, context)
        return self._decide[type(command)](state, command, context)

    def evolve(self, state: EustressState, event: e.EustressEvent, at: datetime) -> EustressState:
        """The state after the event."""
        return evolve(state, event, at)

    def rows(self, event: e.EustressEvent, state: EustressState, at: datetime) -> Iterable[Row]:
        """What began and ended in the scene, and the space's own rows."""
        return showing.rows(event, state)

    def agenda(self, state: EustressState) -> Agenda:
        """Snapshots and retention by alarm, what the lake's worker is asked."""
        return retention.agenda(state.header)

    def publish(self, event: e.EustressEvent) -> Published | None:
        """Changes, snapshots, epochs and the policy."""
        return showing.published(event)

    def snapshot(self, state: EustressState, context: Context) -> Any:
        """The space as it is; the scene is read from storage."""
        return showing.space_state(state)

    def greeting(self, state: EustressState, context: Context) -> Sequence[Push]:
        """Nothing."""
        return ()

    def may_read(self, state: EustressState, context: Context) -> None:
        """Whoever may use the lake. Raises NotFound."""
        if state.header.created_at is None:
            raise showing.not_there(state.header.space)

    def encode_event(self, event: e.EustressEvent) -> bytes:
        """As it stands in the journal: without what it makes of the scene."""
        if isinstance(event, e.Changed) and event.delta is not UNSET:
            event = structs.replace(event, delta=UNSET)
        return e.codec.encode(event)

    def encode_state(self, state: EustressState) -> bytes:
        """The header."""
        return codec.encode(state.header)

    def decode_state(self, format_: int, data: bytes) -> EustressState:
        """The header, and a scene that is to be restored."""
        return EustressState(header=codec.decode(format_, data), scene=Scene())

    # Ingest

    def _draft(self, state: EustressState) -> Draft:
        header, limits = state.header, self._limits
        if header.created_at is None:
            _check_name(header.space)
        if header.policy.max_entities:
            limits = structs.replace(limits, max_entities=min(limits.max_entities, header.policy.max_entities))
        return Draft(state.scene, header.version + 1, limits, strict=header.policy.ordering == "strict")

    def _ingest(self, state: EustressState, command: c.Ingest, context: Context) -> Decision:
        applied = Application(self._draft(state), per_item=command.per_item)
        applied.batch(command.items)
        policy = state.header.policy
        is_batch = command.what == "batch" and 0 < policy.snapshot_batch_items <= applied.items and applied.accepted > 0
        events = _changed(state, applied, kept=context.operation is not None)
        events += _snapshot_after(state, events, applied, is_batch=is_batch)
        reply = Ingested(
            message=_message(command, applied),
            snapshot_id=_snapshot_id(events),
            version=state.header.version + len(events),
            accepted=applied.accepted,
            warnings=tuple(applied.warnings),
            warning_count=applied.warning_count,
            refused=tuple(applied.refused) if command.per_item else UNSET,
        )
        return Decision(events=events, reply=reply)

    def _ingest_lines(self, state: EustressState, command: c.IngestLines, context: Context) -> Decision:
        header = state.header
        cursor = header.cursors.get(command.stream, 0)
        if command.first > cursor + 1:
            raise Conflict(f"the stream has {cursor} lines here: the next one is {cursor + 1}, not {command.first}")
        lines = command.lines.removesuffix(b"\n").split(b"\n")[cursor + 1 - command.first :] if command.lines else []
        applied = Application(self._draft(state))
        applied.lines(lines, cursor + 1)
        cursor += len(lines)
        events = _changed(state, applied, stream=command.stream, cursor=cursor) if lines else []
        events += _snapshot_after(state, events, applied, is_batch=False)
        reply = StreamCursor(
            stream=command.stream,
            cursor=cursor,
            version=header.version + len(events),
            accepted=applied.accepted,
            snapshot_id=_snapshot_id(events),
            warnings=tuple(applied.warnings),
            warning_count=applied.warning_count,
        )
        return Decision(events=events, reply=reply)


def _check_name(space: str) -> None:
    try:
        msgspec.convert(space, SpaceName)
    except msgspec.ValidationError as failure:
        raise invalid("space_name", "from 1 to 200 characters, none of them a control character") from failure


def _changed(
    state: EustressState, applied: Application, *, kept: bool = False, stream: str | None = None, cursor: int = 0
) -> list[e.EustressEvent]:
    """The change, if any. One that changes nothing is in the journal where a retry has to find it (``kept``), or a cursor."""
    delta = applied.finish()
    if not (applied.updates or kept or stream):
        return []
    changed = e.Changed(
        version=delta.version,
        counts=applied.counts,
        accepted=applied.accepted,
        updates=applied.updates,
        seen=delta.seen,
        stream=stream,
        cursor=cursor,
        items=applied.told if applied.updates else UNSET,
        delta=delta,
    )
    return [changed]


def _snapshot_after(
    state: EustressState, events: Sequence[e.EustressEvent], applied: Application, *, is_batch: bool
) -> list[e.EustressEvent]:
    """The snapshot that a change sets off, by the size of the batch or by how much has changed since the last one."""
    header, every = state.header, state.header.policy.snapshot_every_updates
    if is_batch:
        return [_snapshot(header, len(events), "batch")]
    if applied.updates and 0 < every <= header.updates + applied.updates:
        return [_snapshot(header, len(events), "count")]
    return []


def _snapshot(header: Header, after: int, reason: e.Reason) -> e.SnapshotTaken:
    """The snapshot as the event that comes after so many others."""
    version = header.version + after + 1
    return e.SnapshotTaken(id=showing.id_of(header.space, "snapshot", version), version=version, reason=reason)


def _snapshot_id(events: Sequence[e.EustressEvent]) -> str | None:
    return events[-1].id if events and isinstance(events[-1], e.SnapshotTaken) else None


def _message(command: c.Ingest, applied: Application) -> str:
    """As the seed words it; with what was left out."""
    counts = applied.counts
    removed = counts.removed_entities + counts.removed_connections
    done = "removed" if removed and removed == applied.accepted and command.what != "batch" else "ingested"
    said = f"{_INGESTED[command.what]} {done}"
    return f"{said}; {len(applied.refused)} of {applied.items} items refused" if applied.refused else said


# The other commands


def _there(state: EustressState) -> None:
    if state.header.created_at is None:
        raise showing.not_there(state.header.space)


def _get_cursor(state: EustressState, command: c.GetCursor, context: Context) -> Decision:
    header = state.header
    cursor = header.cursors.get(command.stream, 0)
    return Decision(reply=StreamCursor(stream=command.stream, cursor=cursor, version=header.version))


def _take_snapshot(state: EustressState, command: c.TakeSnapshot, context: Context) -> Decision:
    _there(state)
    taken = _snapshot(state.header, 0, "manual")
    reply = Ingested(message="Snapshot created", snapshot_id=taken.id, version=taken.version)
    return Decision(events=(taken,), reply=reply)


def _set_policy(state: EustressState, command: c.SetPolicy, context: Context) -> Decision:
    header = state.header
    if header.created_at is None:
        _check_name(header.space)
    given = {name: value for name, value in structs.asdict(command.patch).items() if value is not UNSET}
    policy = structs.replace(header.policy, **given)
    if policy == header.policy and header.created_at is not None:
        return Decision(reply=showing.space_state(state))
    event = e.PolicySet(policy=policy)
    return Decision(events=(event,), reply=showing.space_state(evolve(state, event, context.now)))


def _create_epoch(state: EustressState, command: c.CreateEpoch, context: Context) -> Decision:
    _there(state)
    if command.start_time >= command.end_time:
        raise invalid("end_time", "must be after start_time")
    if not command.snapshot_ids:
        raise invalid("start_time", "there is no snapshot between these times")
    header = state.header
    if command.start_time < (header.removed_before or command.start_time) and (
        command.horizon != header.removed_before or header.removes_snapshots
    ):
        raise ActorUnavailable("snapshots of that time are just removed by retention; ask again")
    epoch = Epoch(
        id=showing.id_of(header.space, "epoch", context.operation or header.version + 1),
        space_name=header.space,
        snapshot_ids=command.snapshot_ids,
        start_time=command.start_time,
        end_time=command.end_time,
        sample_count=command.sample_count,
        stats=command.stats,
    )
    return Decision(events=(e.EpochCreated(epoch=epoch),), reply=epoch)


def _get_space(state: EustressState, command: c.GetSpace, context: Context) -> Decision:
    return Decision(reply=showing.space_state(state))


def _subscribe(state: EustressState, command: c.Subscribe, context: Context) -> Decision:
    _there(state)
    return Decision(reply={"space": state.header.space, "offset": context.next_offset - 1}, subscribe=True)


def _unsubscribe(state: EustressState, command: c.Unsubscribe, context: Context) -> Decision:
    if context.caller is None:
        raise BadRequest("nobody asks")
    return Decision(reply={"space": state.header.space}, unsubscribe=(context.caller.practitioner,))


# What the runtime tells


def _signal(state: EustressState, signal: Any, context: Context) -> Decision:
    if isinstance(signal, EffectDone):
        return retention.done(state, signal, context.now)
    if not isinstance(signal, AlarmFired):
        return Decision()  # who follows is no space's business
    if signal.name == retention.SNAPSHOT and state.header.dirty_since is not None:
        return Decision(events=(_snapshot(state.header, 0, "alarm"),))
    if signal.name == retention.RETENTION:
        return retention.begin(state, context.now)
    if signal.name == retention.TRIM:
        return retention.step(state)
    return Decision()  # handled already: alarms may come twice

"""One live entity inside a shard: its state, what is remembered beside it, who follows it. Data, no IO.

``state``, ``seq`` and ``offset`` run ahead of storage (they have every decided change); ``head`` is the last offset that
was released to followers. What was released is committed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from actors.runtime.entity import NOTHING_OWED, Agenda, Caller, Decision, EntityKind, Published, Subscriber
from actors.runtime.errors import SanghaError
from actors.runtime.operations import OperationMemory
from actors.runtime.ports import Alarm, Claim, JournalRow, Loaded, Unreadable
from actors.runtime.trace import Span

RING_EVENTS: Final = 256
"""Released frames kept live, so that a crowd that reconnects after a gateway's death costs no query."""
EFFECTS_ALARM: Final = "!effects"
"""The runtime's own alarm of an entity with effects that are not yet known to be done."""

encode_json: Final = msgspec.json.Encoder().encode


class Outlet(Protocol):
    """Where answers and pushes of one link go."""

    name: str

    def send(self, message: Any) -> None:
        """Queue a message, in order."""


class Work:
    """One thing for an entity to handle: a command, a signal of the runtime, or a link's question."""

    __slots__ = (
        "caller", "cid", "claimed", "digest", "entity", "missed", "operation", "peer", "request_id", "snapshot", "trace",
        "what",
    )  # fmt: skip

    def __init__(
        self,
        entity: str,
        what: Any,
        *,
        peer: Outlet | None = None,
        cid: int = 0,
        caller: Caller | None = None,
        operation: str | None = None,
        digest: bytes = b"",
        request_id: str | None = None,
        snapshot: bool = True,
        trace: str | None = None,
    ) -> None:
        self.entity, self.what, self.peer, self.cid = entity, what, peer, cid
        self.caller, self.operation, self.digest = caller, operation, digest
        self.request_id, self.snapshot, self.trace = request_id, snapshot, trace
        self.claimed = False
        self.missed: list[tuple[int, bytes]] | None = None  # a Follow's frames that were read from the journal for it


class Entry:
    """What came of a work: what the gate holds, what the commit writes, what is released."""

    __slots__ = (
        "agenda", "alarms", "cell", "claims", "decision", "frames", "journal", "live", "offset", "refusal", "reply", "rows",
        "span", "state", "subscribes", "work",
    )  # fmt: skip

    def __init__(self, cell: Cell, work: Work) -> None:
        self.cell, self.work = cell, work
        self.state, self.offset, self.agenda = cell.state, cell.offset, cell.agenda
        self.live = cell.live  # as it was before, for when this is undone
        self.reply: bytes | None = None
        self.refusal: SanghaError | None = None
        self.decision: Decision | None = None
        self.subscribes = False
        self.frames: list[tuple[int, bytes]] = []
        self.journal: list[JournalRow] = []
        self.rows: list[Any] = []
        self.claims: list[Claim] = []
        self.alarms: list[Alarm] = []
        self.span: Span | None = None  # its wait in the gate, where it is traced

    @property
    def changes(self) -> bool:
        """Whether a commit has to write something for it."""
        return bool(self.journal or self.alarms)

    @property
    def forget(self) -> int:
        """How many of the entity's events go."""
        return 0 if self.decision is None else self.decision.forget

    @property
    def closes_the_past(self) -> bool:
        """Whether a checkpoint has to go with it."""
        return self.decision is not None and bool(self.decision.forget or self.decision.revises)


class Cell:
    """See the module."""

    __slots__ = (
        "agenda", "checkpoint_bytes", "checkpoint_seq", "head", "id", "issued", "links", "live", "loads", "mailbox",
        "offset", "operations", "parked", "present", "ready", "ring", "seq", "state", "stream", "tick", "tick_at", "used_at",
    )  # fmt: skip

    def __init__(self, kind: str, entity_id: str) -> None:
        self.id = entity_id
        self.stream = f"{kind}:{entity_id}"
        self.state: Any = None
        self.live: Any = None
        self.seq = self.offset = self.head = 0
        self.checkpoint_seq = self.checkpoint_bytes = 0
        self.agenda: Agenda = NOTHING_OWED
        self.operations = OperationMemory()
        self.ready = False
        self.loads = 0
        self.mailbox: deque[Work] = deque()
        self.parked: list[Work] = []
        self.links: dict[Outlet, dict[str, Subscriber]] = {}
        self.present: dict[str, Subscriber] = {}
        self.ring: deque[tuple[int, bytes]] = deque(maxlen=RING_EVENTS)
        self.issued: set[str] = set()
        self.tick: asyncio.TimerHandle | None = None
        self.tick_at = 0.0
        self.used_at = 0.0

    def restore(self, kind: EntityKind, loaded: Loaded) -> None:
        """Become what storage has. Followers, live part and ``head`` of a cell that was live before are kept. What a versioned
        kind has beside the journal is still to come, and then ``restored``.

        Raises Unreadable.
        """
        if loaded.unreadable is not None:
            raise Unreadable(loaded.unreadable)
        kept = loaded.checkpoint
        if kept is None:
            self.state, self.seq, self.offset = kind.initial(self.id), 0, 0
            self.operations = OperationMemory(whole=True)
        else:
            self.state = kind.decode_state(kept.format, kept.data)
            self.seq, self.offset = kept.seq, kept.stream_offset
            self.operations = OperationMemory(kept.sessions)
        self.checkpoint_seq = self.seq
        for row in loaded.events:
            self.state = kind.evolve(self.state, kind.decode_event(row.format, row.data), row.at)
            self.seq, self.offset = row.seq, row.stream_offset or self.offset
            if row.operation_id is not None:
                self.operations.record(
                    row.operation_id, row.request_digest or b"", row.reply or b"{}", int(row.at.timestamp())
                )
        self.operations.settled()

    def restored(self, kind: EntityKind) -> None:
        """The state is whole."""
        self.agenda = kind.agenda(self.state)
        if self.loads == 0:
            self.head = self.offset
        self.loads += 1
        self.ready = True

    def released(self, offset: int, frame: bytes) -> None:
        """A numbered frame went to the followers."""
        self.head = offset
        self.ring.append((offset, frame))

    def recent(self, after: int) -> list[tuple[int, bytes]] | None:
        """Released frames after an offset, where the ring still has all of them."""
        if after >= self.head:
            return []
        if not self.ring or self.ring[0][0] > after + 1:
            return None
        return [item for item in self.ring if item[0] > after]

    def add_follower(self, peer: Outlet, subscriber: Subscriber) -> None:
        """A session follows through a link."""
        self.links.setdefault(peer, {})[subscriber.session] = subscriber
        self.present[subscriber.session] = subscriber

    def remove_follower(self, peer: Outlet, session: str) -> Subscriber | None:
        """A session no longer follows through that link; None where it had already come back through another."""
        sessions = self.links.get(peer)
        if sessions is None:
            return None
        subscriber = sessions.pop(session, None)
        if not sessions:
            del self.links[peer]
        if subscriber is None or self.present.get(session) is not subscriber:
            return None
        return self.present.pop(session)


class _EventFrame(msgspec.Struct, rename={"sender": "from"}, gc=False):
    """A numbered push as the client gets it."""

    type: str
    stream: str
    offset: int
    at: datetime
    event: str
    sender: dict[str, str | None] | None
    body: Any


def person(sender: tuple[str, str | None] | None) -> dict[str, str | None] | None:
    """``from`` in a push."""
    return None if sender is None else {"id": sender[0], "name": sender[1]}


def event_frame(stream: str, offset: int, at: datetime, published: Published) -> bytes:
    """The JSON text of a numbered push; the same for live and replayed ones."""
    return encode_json(
        _EventFrame("event", stream, offset, at, published.event, person(published.sender), published.body)
    )


def snapshot_frame(stream: str, offset: int, state: Any) -> bytes:
    """The state that a snapshot push carries (the gateway adds the reason)."""
    return encode_json({"stream": stream, "offset": offset, "state": state})


def alarm_changes(entity_id: str, before: Agenda, after: Agenda, retry_at: datetime) -> list[Alarm]:
    """What the commit has to write so that the alarms are those of ``after``."""
    if before is after:
        return []
    was, now = before.alarms, after.alarms
    changes = [Alarm(entity_id=entity_id, name=name, due_at=due) for name, due in now.items() if was.get(name) != due]
    changes += [Alarm(entity_id=entity_id, name=name, due_at=None) for name in was if name not in now]
    if bool(before.effects) != bool(after.effects):
        due_at = retry_at if after.effects else None
        changes.append(Alarm(entity_id=entity_id, name=EFFECTS_ALARM, due_at=due_at))
    return changes


def history_json(rows: Sequence[tuple[int, datetime, Published]], *, more: bool) -> bytes:
    """The result of a ``history`` request."""
    events = [
        {"offset": offset, "at": at, "event": item.event, "from": person(item.sender), "body": item.body}
        for offset, at, item in rows
    ]
    return encode_json({"events": events, "more": more})

"""Holds what clients were told against what is stored, with the domain's own fold. Exact: equality, never "at least"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import msgspec
import orjson

from actors.practitioner.entity import PractitionerKind, profile_object
from actors.runtime.cell import event_frame
from actors.space.entity import SpaceKind, space_object
from server.client_events import Event, event_of

KINDS = {"space": SpaceKind(), "practitioner": PractitionerKind()}


@dataclass(frozen=True, slots=True)
class Row:
    """An event as stored, and the push that it makes."""

    seq: int
    offset: int | None
    at: datetime
    operation: str | None
    event: Any
    push: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Stored:
    """An entity as storage has it: the whole journal, the newest checkpoint, the row of its table."""

    kind: str
    id: str
    rows: Sequence[Row]
    checkpoint: tuple[int, Any] | None
    table_row: Mapping[str, Any] | None

    @property
    def head(self) -> int:
        """The last offset."""
        return max((row.offset or 0 for row in self.rows), default=0)

    @property
    def pushes(self) -> list[dict[str, Any]]:
        """Every numbered push, in order, as JSON."""
        return [row.push for row in self.rows if row.push is not None]

    def fold(self, to: int | None = None) -> Any:
        """The state after the event ``to``, or after the last, from the very first."""
        kind = KINDS[self.kind]
        state: Any = kind.initial(self.id)
        for row in self.rows:
            if to is None or row.seq <= to:
                state = kind.evolve(state, row.event, row.at)
        return state


async def read(connection: asyncpg.Connection, kind: str, entity_id: str) -> Stored:
    """All of an entity, as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(
            "SELECT seq, stream_offset, at, format, data, operation_id FROM journal"
            " WHERE kind = $1 AND entity_id = $2 ORDER BY seq",
            kind,
            entity_id,
        )
        kept = await connection.fetchrow(
            "SELECT seq, format, data FROM checkpoints WHERE kind = $1 AND entity_id = $2", kind, entity_id
        )
        table = {"space": "collective_spaces", "practitioner": "practitioners"}[kind]
        table_row = await connection.fetchrow(f"SELECT * FROM {table} WHERE id = $1::uuid", entity_id)
    checkpoint = None if kept is None else (kept["seq"], KINDS[kind].decode_state(kept["format"], kept["data"]))
    return Stored(kind, entity_id, [_row(kind, entity_id, row) for row in rows], checkpoint, table_row)


def _row(kind: str, entity_id: str, row: asyncpg.Record) -> Row:
    event = KINDS[kind].decode_event(row["format"], row["data"])
    published, offset = KINDS[kind].publish(event), row["stream_offset"]
    push = None
    if published is not None:
        push = orjson.loads(event_frame(f"{kind}:{entity_id}", offset, row["at"], published))
    return Row(row["seq"], offset, row["at"], row["operation_id"], event, push)


def check_journal(stored: Stored) -> None:
    """Sequence numbers and offsets are dense, no operation is there twice, and a checkpoint is the fold of what it covers."""
    assert [row.seq for row in stored.rows] == list(range(1, len(stored.rows) + 1))
    offsets = [row.offset for row in stored.rows if row.offset is not None]
    assert offsets == list(range(1, len(offsets) + 1))
    assert [row.offset is not None for row in stored.rows] == [row.push is not None for row in stored.rows]
    operations = [row.operation for row in stored.rows if row.operation is not None]
    assert len(operations) == len(set(operations)), "an operation is in the journal twice"
    if stored.checkpoint is not None:
        seq, state = stored.checkpoint
        assert state == stored.fold(to=seq)
        for row in stored.rows[seq:]:
            state = KINDS[stored.kind].evolve(state, row.event, row.at)
        assert state == stored.fold()


def check_messages(stored: Stored, sender: str, acknowledged: Mapping[int, int]) -> None:
    """Each acknowledged message once, at its offset, in the order of sending; and no other of this sender."""
    found = [
        (push["body"]["n"], push["offset"])
        for push in stored.pushes
        if push["event"] == "message" and push["from"]["id"] == sender
    ]
    assert found == sorted(acknowledged.items())
    assert [n for n, _ in found] == list(range(1, len(found) + 1))


def check_seen(stored: Stored, after: int, seen: Sequence[Event]) -> None:
    """A client saw exactly what is stored, once and in order, with no snapshot in between."""
    assert list(seen) == [event_of(push) for push in stored.pushes if push["offset"] > after]


def check_history(stored: Stored, history: Sequence[Mapping[str, Any]]) -> None:
    """What ``history`` answers is what is stored."""
    fields = ("offset", "at", "event", "from", "body")
    assert [{name: event[name] for name in fields} for event in history] == [
        {name: push[name] for name in fields} for push in stored.pushes
    ]


def check_space(stored: Stored, live: Mapping[str, Any]) -> None:
    """The live state, and the row of the table, are the fold of the events."""
    state = stored.fold()
    participants = [{"id": who, "name": member.name} for who, member in state.participants.items()]
    expected = _json(space_object(state)) | {"participants": participants}
    assert {name: live[name] for name in expected} == expected
    assert stored.table_row is not None
    assert stored.table_row["current_participants"] == len(participants)
    assert stored.table_row["name"] == state.name
    assert orjson.loads(stored.table_row["shared_state"]) == orjson.loads(bytes(state.shared_state))


def check_states(stored: Stored, acknowledged: Sequence[int]) -> None:
    """Each acknowledged archetypal state once, in order, and no other."""
    found = [push["body"]["symbols"] for push in stored.pushes if push["event"] == "archetypal_state_updated"]
    assert found == [[str(n)] for n in acknowledged]


def check_profile(stored: Stored, live: Mapping[str, Any]) -> None:
    """The live profile is the fold of the events."""
    assert live == _json(profile_object(stored.fold()))


def _json(value: Any) -> Any:
    return orjson.loads(msgspec.json.encode(value))

"""Rows and batches for the stores' tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec

from actors.practitioner import chain
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version
from actors.runtime.entity import Upsert
from actors.runtime.ports import Checkpoint, JournalRow

NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


def event(seq: int, entity_id: str = "a", *, offset: int | None = None, **more: Any) -> JournalRow:
    return JournalRow(
        entity_id=entity_id,
        seq=seq,
        at=NOW,
        event_type="said",
        format=1,
        data=more.pop("data", b'{"n":%d}' % seq),
        stream_offset=offset,
        **more,
    )


def operation(seq: int, operation_id: str, entity_id: str = "a") -> JournalRow:
    return event(seq, entity_id, operation_id=operation_id, request_digest=b"d%d" % seq, reply=b'{"r":%d}' % seq)


def checkpoint(seq: int, entity_id: str = "a") -> Checkpoint:
    return Checkpoint(
        entity_id=entity_id,
        seq=seq,
        stream_offset=seq,
        at=NOW,
        format=2,
        data=b'{"at":%d}' % seq,
        sessions={"s": (seq, 1_700_000_000)},
    )


def practitioner(email: str = "a@example.org", **values: Any) -> Upsert:
    return Upsert(
        table="practitioners",
        values={"id": str(uuid4()), "email": email, "password_hash": "h", "archetypal_preferences": {"sage": 1}}
        | values,
    )


def space(**values: Any) -> Upsert:
    return Upsert(table="collective_spaces", values={"id": str(uuid4()), "name": "n", "purpose": "p"} | values)


def state(practitioner_id: str, version: int, prev_hash: str | None = None, **values: Any) -> Upsert:
    """A true link of a practitioner's chain."""
    data = values.pop(
        "state_data", {"archetypes": {"Sage": 0.5, "Fool": 1.0}, "energies": {"fire": 0.1 * (version % 9)}}
    )
    data = {
        name: data.get(name, []) for name in ("archetypes", "energies", "integrations", "symbols", "transformations")
    }
    link = next_version(practitioner_id, version - 1, prev_hash, data)
    return Upsert(
        table="archetypal_states",
        values={"id": link.id, "practitioner_id": practitioner_id, "state_data": data, **data, "version": version}
        | {"state_hash": link.hash, "prev_hash": prev_hash, "origin": "put", "created_at": NOW}
        | values,
    )


def next_version(practitioner_id: str, last: int, prev_hash: str | None, data: dict[str, Any]) -> Version:
    before = Version(number=last, id="", hash=prev_hash or "") if last else None
    return chain.next_version(practitioner_id, before, msgspec.convert(data, ArchetypalState))


def ritual(**values: Any) -> Upsert:
    return Upsert(
        table="sacred_rituals",
        values={
            "id": str(uuid4()),
            "name": "n",
            "description": "d",
            "intent": "i",
            "created_at": NOW,
            "is_public": True,
        }
        | values,
    )


def run(practitioner_id: str, ritual_id: str, **values: Any) -> Upsert:
    return Upsert(
        table="ritual_sessions",
        values={"id": str(uuid4()), "practitioner_id": practitioner_id, "ritual_id": ritual_id, "created_at": NOW}
        | {"status": "running", "intention": "to see", "parameters": {"depth": 2}}
        | values,
    )


def insight(practitioner_id: str | None, **values: Any) -> Upsert:
    return Upsert(
        table="oracle_insights",
        values={"id": str(uuid4()), "practitioner_id": practitioner_id, "created_at": NOW, "interpretation": "so it is"}
        | {"insight_type": "guidance", "cautions": ["slowly"], "oracle_model": "rules-v1"}
        | values,
    )

"""Rows and batches for the stores' tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

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

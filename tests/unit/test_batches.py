"""A batch as the arguments of the commit."""

from __future__ import annotations

from datetime import UTC, datetime

from actors.runtime.entity import Upsert
from actors.runtime.layout import SLOTS, slot_of
from actors.runtime.ports import Alarm, Batch, Checkpoint, Claim, JournalRow
from storage.batches import commit_arguments, last_alarms, last_claims, newest, row_statements
from storage.store import split_operation

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def checkpoint(seq: int) -> Checkpoint:
    return Checkpoint(entity_id="a", seq=seq, stream_offset=0, at=NOW, format=1, data=b"{}")


def test_what_a_batch_does_not_have_is_null() -> None:
    assert commit_arguments(Batch(), None) == [None] * 25


def test_a_part_becomes_one_array_a_column() -> None:
    row = JournalRow(entity_id="a", seq=1, at=NOW, event_type="said", format=1, data=b"{}")
    arguments = commit_arguments(Batch(journal=[row]), None)
    assert arguments[:3] == [["a"], [1], [NOW]]
    assert arguments[10:] == [None] * 15


def test_the_last_word_counts() -> None:
    alarms = [Alarm(entity_id="a", name="x", due_at=NOW), Alarm(entity_id="a", name="x", due_at=None)]
    assert last_alarms(alarms) == alarms[1:]
    claims = [
        Claim(scope="s", name="x", entity_id="a", confirm=True),
        Claim(scope="s", name="x", entity_id="a", confirm=False),
    ]
    assert last_claims(claims) == claims[1:]
    assert newest([checkpoint(2), checkpoint(3), checkpoint(1)]) == [checkpoint(3)]


def test_bytes_of_a_row_are_written_as_postgres_does() -> None:
    row = Upsert(table="auth_sessions", values={"id": "1", "token_hash": b"\x00\xff"})
    (written,) = row_statements(Batch(rows=[row]), None)
    assert written.name == "rows/auth_sessions.upsert"
    assert written.arguments == (b'[{"id":"1","token_hash":"\\\\x00ff"}]',)


def test_a_slot_never_changes() -> None:
    assert [slot_of(name) for name in ("", "a", "ü")] == [692, 559, 3895]
    assert all(0 <= slot_of(str(n)) < SLOTS for n in range(1000))


def test_operations_of_sessions_are_told_from_others() -> None:
    assert split_operation("session:12") == ("session", 12)
    for other in ("k-key", "p:k-key", "effect:space:a:1", ":1", "s:", "s:9999999999999999999", "s:²"):
        assert split_operation(other) == (other, None)

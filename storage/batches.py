"""A batch as the arguments of ``sangha_commit`` and the rows of its tables: coalesced, ordered, sealed. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from actors.runtime.layout import slot_of
from actors.runtime.ports import Alarm, Batch, Checkpoint, Claim, JournalRow
from storage.flight import RowStatement
from storage.pool import encode_json
from storage.rows import kept
from storage.seal import Seal
from storage.tables import coalesce

JOURNAL_COLUMNS: Final = 10
ALARM_COLUMNS: Final = 4
CLAIM_COLUMNS: Final = 4
CHECKPOINT_COLUMNS: Final = 7


def commit_arguments(batch: Batch, seal: Seal | None) -> list[Any]:
    """All arguments after the lease's. A part that the batch does not have is NULL throughout. Raises BadValue."""
    return [
        *_columns([_journal(row, seal) for row in batch.journal], JOURNAL_COLUMNS),
        *_columns([_alarm(alarm) for alarm in last_alarms(batch.alarms)], ALARM_COLUMNS),
        *_columns([_claim(claim) for claim in last_claims(batch.claims)], CLAIM_COLUMNS),
        *_columns([_checkpoint(found, seal) for found in newest(batch.checkpoints)], CHECKPOINT_COLUMNS),
    ]


def row_statements(batch: Batch, seal: Seal | None) -> list[RowStatement]:
    """What the batch's purges and rows need, the rows in (table, id) order. Raises BadValue."""
    statements = [
        RowStatement(name=f"rows/{purge.table}.purge", arguments=(purge.practitioner, purge.limit))
        for purge in batch.purges
    ]
    for writes in coalesce(batch.rows):
        if writes.deletes:
            statements.append(RowStatement(name=f"rows/{writes.table}.delete", arguments=(writes.deletes,)))
        if writes.upserts:
            rows = [kept(row, writes.table, seal) for row in writes.upserts]
            statements.append(RowStatement(name=f"rows/{writes.table}.upsert", arguments=(encode_json(rows),)))
    return statements


def forget_statements(batch: Batch, kind: str) -> list[RowStatement]:
    """What deletes events, after the batch's checkpoints are there."""
    return [
        RowStatement(name="shard/forget", arguments=(kind, forget.entity_id, forget.limit)) for forget in batch.forgets
    ]


def last_alarms(alarms: Iterable[Alarm]) -> list[Alarm]:
    """The last word on each alarm."""
    return list({(alarm.entity_id, alarm.name): alarm for alarm in alarms}.values())


def last_claims(claims: Iterable[Claim]) -> list[Claim]:
    """The last word of each entity on each name."""
    return list({(claim.scope, claim.name, claim.entity_id): claim for claim in claims}.values())


def newest(checkpoints: Iterable[Checkpoint]) -> list[Checkpoint]:
    """The furthest checkpoint of each entity."""
    found: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        known = found.get(checkpoint.entity_id)
        if known is None or known.seq < checkpoint.seq:
            found[checkpoint.entity_id] = checkpoint
    return list(found.values())


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[Any]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [None] * width


def _journal(row: JournalRow, seal: Seal | None) -> tuple[Any, ...]:
    data, reply = bytes(row.data), row.reply
    if seal is not None:
        data = seal.seal(data, "journal", row.entity_id, row.seq)
        if reply is not None:
            reply = seal.seal(bytes(reply), "journal.reply", row.entity_id, row.seq)
    return (
        row.entity_id,
        row.seq,
        row.at,
        row.event_type,
        row.format,
        data,
        row.operation_id,
        row.request_digest,
        reply,
        row.stream_offset,
    )


def _alarm(alarm: Alarm) -> tuple[Any, ...]:
    return alarm.entity_id, alarm.name, slot_of(alarm.entity_id), alarm.due_at


def _claim(claim: Claim) -> tuple[Any, ...]:
    return claim.scope, claim.name, claim.entity_id, claim.confirm


def _checkpoint(found: Checkpoint, seal: Seal | None) -> tuple[Any, ...]:
    data = bytes(found.data)
    if seal is not None:
        data = seal.seal(data, "checkpoints", found.entity_id, found.seq)
    return found.entity_id, found.seq, found.stream_offset, found.at, found.format, data, dict(found.sessions)

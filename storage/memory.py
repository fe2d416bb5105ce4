"""The twins of the Postgres store in memory: the same outcomes, checked by the same contract suite.

For tests and for nothing else. Faults come from subclassing ``MemoryStore`` (its methods are plain coroutines that call
nothing of each other), never from switches here. Nothing awaits, so each method is one atomic step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from actors.runtime.entity import Trim
from actors.runtime.layout import slot_of
from actors.runtime.ports import (
    Alarm,
    Batch,
    Checkpoint,
    Claim,
    CommitAborted,
    Fenced,
    Forget,
    FoundOperations,
    JournalRow,
    Loaded,
    RememberedOperation,
)
from storage.batches import last_alarms, last_claims, newest
from storage.memory_versions import live_page, no_rows, trimmed, versions_after
from storage.pool import BadValue, encode_json
from storage.store import split_operation
from storage.tables import TABLES, TableWrites, coalesce
from storage.versions import PAGE_ROWS


class HeldClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A row of claims. ``expires_at`` None is confirmed."""

    entity_id: str
    operation_id: str | None
    expires_at: datetime | None


class HeldLease(msgspec.Struct, frozen=True, kw_only=True):
    """A row of shard_leases."""

    epoch: int
    owner: object


class MemoryDatabase:
    """What several MemoryStores share. ``now`` is the database's clock; raise ``incarnation`` to be a new cluster owner."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC), incarnation: int = 1) -> None:
        self.now = now
        self.incarnation = incarnation
        self.journal: dict[tuple[str, str], list[JournalRow]] = {}
        self.checkpoints: dict[tuple[str, str], Checkpoint] = {}
        self.alarms: dict[tuple[str, str, str], datetime] = {}
        self.claims: dict[tuple[str, str], HeldClaim] = {}
        self.leases: dict[tuple[str, str, str], HeldLease] = {}
        self.tables: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in TABLES}
        self.versions = no_rows()


class MemoryStore:
    """``actors.runtime.ports.Store`` for one shard, on a MemoryDatabase."""

    def __init__(
        self, database: MemoryDatabase, *, kind: str, layout: str, shard: int | str, incarnation: int = 1
    ) -> None:
        self.database = database
        self.epoch = 0
        self._kind = kind
        self._lease = (kind, layout, str(shard))
        self._incarnation = incarnation
        self._owner = object()

    async def acquire(self) -> int:
        """See ``Store``."""
        if self.database.incarnation != self._incarnation:
            raise Fenced("another incarnation owns the cluster")
        held = self.database.leases.get(self._lease)
        self.epoch = held.epoch + 1 if held else 1
        self.database.leases[self._lease] = HeldLease(epoch=self.epoch, owner=self._owner)
        return self.epoch

    async def confirm(self) -> None:
        """See ``Store``."""
        self._check_epoch()

    async def settle(self) -> None:
        """See ``Store``."""
        held = self.database.leases.get(self._lease)
        if held is None or held.owner is not self._owner:
            raise Fenced("the lease is another's")
        self.epoch = held.epoch + 1
        self.database.leases[self._lease] = HeldLease(epoch=self.epoch, owner=self._owner)

    def _check_epoch(self) -> None:
        held = self.database.leases.get(self._lease)
        if held is None or held.epoch != self.epoch:
            raise Fenced(f"epoch {self.epoch} is over")

    async def commit(self, batch: Batch) -> None:
        """See ``Store``: everything is checked first, then everything is written."""
        self._check_epoch()
        try:
            encode_json([dict(found.sessions) for found in batch.checkpoints])
            versions = versions_after(self.database.versions, batch.versions)
            tables = self._rows_after(coalesce(batch.rows), self._purged(batch))
            self._trim(batch.trims, tables, versions)
        except BadValue as error:
            raise CommitAborted(str(error), data_error=True) from error
        claims = self._claims_after(last_claims(batch.claims))
        self._check_journal(batch.journal)
        self.database.tables.update(tables)
        self.database.versions = versions
        self.database.claims = claims
        for row in batch.journal:
            self.database.journal.setdefault((self._kind, row.entity_id), []).append(row)
        self._write_alarms(last_alarms(batch.alarms))
        for found in newest(batch.checkpoints):
            known = self.database.checkpoints.get((self._kind, found.entity_id))
            if known is None or known.seq < found.seq:
                self.database.checkpoints[self._kind, found.entity_id] = found
        for forget in batch.forgets:
            self._forget(forget)

    def _trim(self, trims: Sequence[Trim], tables: dict[str, dict[str, dict[str, Any]]], versions: Any) -> None:
        for trim in trims:
            markers = tables["eustress_markers"]
            gone = trimmed(versions, markers, tables["eustress_epochs"], trim)
            tables["eustress_markers"] = {id_: row for id_, row in markers.items() if id_ not in gone}

    def _forget(self, forget: Forget) -> None:
        checkpoint = self.database.checkpoints.get((self._kind, forget.entity_id))
        if checkpoint is not None:
            events = self._events(forget.entity_id)
            gone = {row.seq for row in events[: forget.limit] if row.seq <= checkpoint.seq}
            kept = [row for row in events if row.seq not in gone]
            self.database.journal[self._kind, forget.entity_id] = kept

    def _purged(self, batch: Batch) -> dict[str, dict[str, dict[str, Any]]]:
        """The tables without what the batch purges."""
        tables = dict(self.database.tables)
        for purge in batch.purges:
            rows = tables[purge.table]
            theirs = [id_ for id_, row in rows.items() if str(row["practitioner_id"]) == purge.practitioner]
            gone = set(theirs[: purge.limit])
            tables[purge.table] = {id_: row for id_, row in rows.items() if id_ not in gone}
        return tables

    def _check_journal(self, rows: Sequence[JournalRow]) -> None:
        there = {(row.entity_id, row.seq) for row in rows}
        if len(there) < len(rows) or any(
            (known.entity_id, known.seq) in there
            for entity_id in {row.entity_id for row in rows}
            for known in self.database.journal.get((self._kind, entity_id), ())
        ):
            raise CommitAborted("the journal has that seq already")
        for row in rows:
            if "\0" in f"{row.entity_id}{row.event_type}{row.operation_id}":
                raise CommitAborted("NUL in a text", data_error=True)

    def _rows_after(
        self, writes: Sequence[TableWrites], before: dict[str, dict[str, dict[str, Any]]]
    ) -> dict[str, dict[str, dict[str, Any]]]:
        after = _with_whom_they_referred_to(before, writes)
        for part in writes:
            rows = {row_id: row for row_id, row in after[part.table].items() if row_id not in part.deletes}
            for values in part.upserts:
                if TABLES[part.table].insert_only and str(values["id"]) in rows:
                    raise CommitAborted(f"{part.table}: {values['id']} is there", data_error=True, conflict=True)
                rows[str(values["id"])] = {**rows.get(str(values["id"]), {}), **_checked(part.table, values)}
            _check_rows(part.table, rows)
            after[part.table] = rows
        for part in writes:
            for values in part.upserts:
                _check_references(part.table, values, after)
        return after

    def _claims_after(self, changes: Sequence[Claim]) -> dict[tuple[str, str], HeldClaim]:
        after = dict(self.database.claims)
        for claim in (change for change in changes if not change.confirm):
            held = after.get((claim.scope, claim.name))
            if held is not None and held.entity_id == claim.entity_id:
                del after[claim.scope, claim.name]
        for claim in (change for change in changes if change.confirm):
            held = after.get((claim.scope, claim.name))
            if held is not None and held.entity_id != claim.entity_id:
                raise CommitAborted("a claimed name has gone to another entity", data_error=True, conflict=True)
            operation = held.operation_id if held else None
            after[claim.scope, claim.name] = HeldClaim(
                entity_id=claim.entity_id, operation_id=operation, expires_at=None
            )
        return after

    def _write_alarms(self, alarms: Sequence[Alarm]) -> None:
        for alarm in alarms:
            key = (self._kind, alarm.entity_id, alarm.name)
            if alarm.due_at is None:
                self.database.alarms.pop(key, None)
            else:
                self.database.alarms[key] = alarm.due_at

    async def load(self, entity_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """See ``Store``."""
        return {entity_id: self._loaded(entity_id) for entity_id in entity_ids}

    def _loaded(self, entity_id: str) -> Loaded:
        checkpoint = self.database.checkpoints.get((self._kind, entity_id))
        after = checkpoint.seq if checkpoint else 0
        return Loaded(checkpoint=checkpoint, events=[row for row in self._events(entity_id) if row.seq > after])

    def _events(self, entity_id: str) -> list[JournalRow]:
        return sorted(self.database.journal.get((self._kind, entity_id), ()), key=lambda row: row.seq)

    async def load_live(
        self, entity_id: str, table: str, after: tuple[Any, ...] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """See ``Store``."""
        return live_page(self.database.versions, entity_id, table, after, PAGE_ROWS)

    async def page(self, entity_id: str, after: int, limit: int, max_bytes: int) -> Sequence[JournalRow]:
        """See ``Store``."""
        page: list[JournalRow] = []
        size = 0
        for row in self._events(entity_id):
            if row.stream_offset is None or row.stream_offset <= after:
                continue
            if len(page) == limit or (page and size >= max_bytes):
                break
            page.append(row)
            size += len(row.data)
        return page

    async def find_operations(self, entity_id: str, window: int, operation_ids: Sequence[str]) -> FoundOperations:
        """See ``Store``."""
        events = self._events(entity_id)
        recent = [row for row in events if row.seq > events[-1].seq - window]
        asked = {session for session, n in map(split_operation, operation_ids) if n is not None}
        oldest: dict[str, int] = {}
        operations = []
        for row in recent:
            if row.operation_id is None:
                continue
            session, n = split_operation(row.operation_id)
            if n is not None and session in asked:
                oldest[session] = min(n, oldest.get(session, n))
            if row.operation_id in operation_ids:
                operations.append(
                    RememberedOperation(
                        operation_id=row.operation_id,
                        request_digest=row.request_digest or b"",
                        reply=row.reply or b"",
                    )
                )
        whole = recent[0].seq == 1 if recent else (self._kind, entity_id) not in self.database.checkpoints
        return FoundOperations(operations=operations, oldest=oldest, whole=whole)

    async def claim(self, scope: str, name: str, entity_id: str, operation_id: str, ttl_s: float) -> bool:
        """See ``Store``."""
        now = self.database.now()
        held = self.database.claims.get((scope, name))
        expires_at: datetime | None = now + timedelta(seconds=ttl_s)
        if held is not None and held.entity_id == entity_id:
            expires_at = None if held.expires_at is None else max(held.expires_at, now + timedelta(seconds=ttl_s))
        elif held is not None and (held.expires_at is None or held.expires_at >= now):
            return False
        self.database.claims[scope, name] = HeldClaim(
            entity_id=entity_id, operation_id=operation_id, expires_at=expires_at
        )
        return True

    async def due_alarms(self, slots: Sequence[tuple[int, int]], limit: int) -> Sequence[tuple[str, str]]:
        """See ``Store``."""
        now = self.database.now()
        return [(entity_id, name) for due_at, entity_id, name in self._alarms(slots) if due_at <= now][:limit]

    async def next_alarm_in(self, slots: Sequence[tuple[int, int]]) -> float | None:
        """See ``Store``."""
        alarms = self._alarms(slots)
        return max(0.0, (alarms[0][0] - self.database.now()).total_seconds()) if alarms else None

    def _alarms(self, slots: Sequence[tuple[int, int]]) -> list[tuple[datetime, str, str]]:
        return sorted(
            (due_at, entity_id, name)
            for (kind, entity_id, name), due_at in self.database.alarms.items()
            if kind == self._kind and any(first <= slot_of(entity_id) < last for first, last in slots)
        )

    async def close(self) -> None:
        """See ``Store``."""


def _checked(table: str, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """What PostgreSQL would refuse about a row by itself."""
    text = encode_json({name: value for name, value in values.items() if not isinstance(value, bytes)})
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise BadValue(f"{table}: NUL in a text")
    return values


def _with_whom_they_referred_to(
    before: dict[str, dict[str, dict[str, Any]]], writes: Sequence[TableWrites]
) -> dict[str, dict[str, dict[str, Any]]]:
    """The tables without what goes with deleted practitioners, or with their wheels."""
    after = dict(before)
    for part in writes:
        gone = set(part.deletes)
        for name, shape in TABLES.items() if gone else ():
            if shape.references.get("practitioner_id") == part.table:
                rows = after[name].items()
                after[name] = {id_: row for id_, row in rows if str(row["practitioner_id"]) not in gone}
    return after


def _check_references(
    table: str, values: Mapping[str, Any], tables: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    """What PostgreSQL would refuse at the end of the commit."""
    for column, other in TABLES[table].references.items():
        if values.get(column) is not None and str(values[column]) not in tables[other]:
            raise CommitAborted(f"{table}: {column} refers to nothing", data_error=True)


def _check_rows(table: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    """What PostgreSQL would refuse about a row among the others."""
    shape = TABLES[table]
    for row in rows.values():
        missing = [name for name in sorted(shape.required) if row.get(name) is None]
        if missing:
            raise CommitAborted(f"{table}: {missing[0]} is missing", data_error=True)
    for column in shape.unique:
        taken = [row[column] for row in rows.values() if row.get(column) is not None and row.get("closed_at") is None]
        if len(taken) != len(set(taken)):
            raise CommitAborted(f"{table}: {column} is taken", data_error=True, conflict=True)

"""A shard's fenced storage on PostgreSQL.

Responsible for: one writer connection whose backend the lease names, at most one reader, and saying exactly how a commit
ended. Always:

* A commit checks the lease's epoch in its own transaction, under a row lock that a takeover waits for.
* No writer is used before the lease names its backend, and none is opened before the backend that the lease named is gone:
  so whoever takes over knows the one backend to end, and a half-open connection of our own holds nothing up.
* CommitAborted is raised only where the server said so, or where the statement that commits was not yet sent. Every other
  end of a commit is CommitUnknown, after which nothing is committed until ``settle``.

Reads are not fenced: what they return is committed, and nobody is told of it before the shard has confirmed its lease.

Rejected: BEGIN, SELECT … FOR SHARE, COPY, COMMIT instead of one call of ``sangha_commit``. Measured (2 cores, embedded
server, journal rows of 300 bytes, medians of 3,000 commits in turn; time as the client sees it, CPU of client + server):

=====  =================  =================
rows   one call           COPY
=====  =================  =================
1      288 µs, 100 + 123  377 µs, 157 + 147
10     346 µs, 125 + 177  422 µs, 155 + 207
100    941 µs, 408 + 642  922 µs, 388 + 567
=====  =================  =================

At 1,000 rows COPY wins (6.7 ms to 10.8 ms): bulk ingest wants it, commands do not. Ten rows of a table beside ten of the
journal, in a transaction of their own, make it 680 µs. ``load`` brings 60,000 entities/s (checkpoint and two events each).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg

from actors.runtime.ports import (
    Batch,
    Checkpoint,
    CommitAborted,
    CommitUnknown,
    Fenced,
    FoundOperations,
    JournalRow,
    Loaded,
    RememberedOperation,
    StoreDown,
)
from storage.batches import commit_arguments, forget_statements, row_statements
from storage.flight import Disagrees, Flight
from storage.pool import (
    CLIENT_TIMEOUT_S,
    DRIVER_ERRORS,
    BadValue,
    LazyConnection,
    Verdict,
    connect,
    cut_after,
    verdict,
)
from storage.seal import CannotUnseal, Seal, Unsealed
from storage.statements import statement
from storage.versions import PAGE_BYTES, PAGE_ROWS, key_after, shape_of, trim_statements, version_steps

CONNECT_TIMEOUT_S: Final = 5.0
"""Bounds one attempt of acquire, settle or a reconnecting commit; the caller decides how often to try."""
LEASE_TRIES: Final = 3
"""Each ends the lease's backend and then waits LOCK_TIMEOUT_S at most; more means that somebody keeps coming back."""

Lease = Callable[[asyncpg.Connection], Awaitable[int | None]]


class PostgresStore:
    """``actors.runtime.ports.Store`` for one shard. ``epoch`` is 0 until ``acquire``."""

    def __init__(
        self,
        dsn: str,
        *,
        kind: str,
        layout: str,
        shard: int | str,
        incarnation: int,
        seal: Seal | None = None,
        sealed: bool = True,
    ) -> None:
        """``seal`` keeps the sealed columns of rows; journal, replies and checkpoints too, where the kind is ``sealed``."""
        self.epoch = 0
        self._dsn = dsn
        self._kind = kind
        self._lease = (kind, layout, str(shard))
        self._incarnation = incarnation
        self._owner: UUID = uuid4()
        self._name = f"sangha {kind}/{layout}/{shard}"[:63]
        self._row_seal = seal
        self._seal = seal if sealed else None
        self._unseal: Seal = seal or Unsealed()
        self._reader = LazyConnection(dsn, application_name=f"{self._name} r"[:63])
        self._writer: asyncpg.Connection | None = None
        self._commit: Any = None
        self._writing = asyncio.Lock()
        self._doubtful = False

    # ── the lease ──

    async def acquire(self) -> int:
        """Take the shard over. See ``Store``."""
        async with self._writing:
            self._drop_writer()
            self.epoch = await self._open_writer(
                lambda writer: writer.fetchval(statement("shard/acquire"), *self._lease, self._incarnation, self._owner)
            )
            self._doubtful = False
            return self.epoch

    async def settle(self) -> None:
        """Find out what a doubtful commit became. See ``Store``. Raises StoreDown (try again), Fenced."""
        async with self._writing:
            self._drop_writer()
            self.epoch = await self._open_writer(self._renew(1))
            self._doubtful = False

    async def confirm(self) -> None:
        """See ``Store``."""
        if not await self._reader.fetch(statement("shard/confirm"), *self._lease, self._owner):
            raise Fenced(f"{self._name} is another's")

    def _renew(self, raised_by: int) -> Lease:
        return lambda writer: writer.fetchval(
            statement("shard/renew"), *self._lease, self._incarnation, self._owner, raised_by
        )

    async def _open_writer(self, take: Lease) -> int:
        """A connection that the lease names, with the lease's epoch. ``take`` is the statement that names it."""
        writer = await connect(self._dsn, application_name=self._name, timeout_s=CONNECT_TIMEOUT_S)
        try:
            epoch = await self._take(writer, take)
            self._commit = await writer.prepare(statement("shard/commit"))
        except DRIVER_ERRORS as error:
            writer.terminate()
            raise StoreDown(f"the lease of {self._name} could not be taken: {error!r}") from error
        except BaseException:
            writer.terminate()
            raise
        self._writer = writer
        return epoch

    async def _take(self, writer: asyncpg.Connection, take: Lease) -> int:
        for _ in range(LEASE_TRIES):
            async with cut_after(writer, CLIENT_TIMEOUT_S):
                await writer.fetch(statement("shard/terminate_owner"), *self._lease)
                try:
                    epoch = await take(writer)
                except asyncpg.LockNotAvailableError:
                    continue  # the last owner came back on another backend in between
            if epoch is None:
                raise Fenced(f"{self._name} is another's")
            return epoch
        raise StoreDown(f"the lease of {self._name} stays locked")

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.terminate()
        self._writer = self._commit = None

    # ── the commit ──

    async def commit(self, batch: Batch) -> None:
        """See ``Store``. Table rows make it an explicit transaction; without any it is one round trip."""
        async with self._writing:
            if self._doubtful:
                raise CommitAborted("an earlier commit is in doubt: settle it first")
            try:
                arguments = commit_arguments(batch, self._seal)
                steps = [
                    *version_steps(batch.versions),
                    *row_statements(batch, self._row_seal),
                    *trim_statements(batch.trims),
                    *forget_statements(batch, self._kind),
                ]
            except BadValue as error:
                raise CommitAborted(str(error), data_error=True) from error
            writer = await self._writer_again()
            flight = Flight(writer, self._commit, [*self._lease, self.epoch, *arguments], steps)
            try:
                async with cut_after(writer, CLIENT_TIMEOUT_S * flight.patience):
                    await flight.fly()
            except asyncio.CancelledError:
                self._doubtful = flight.sent
                self._drop_writer()
                raise
            except (*DRIVER_ERRORS, BadValue) as error:
                await self._ended(error, flight)

    async def _writer_again(self) -> asyncpg.Connection:
        """The writer; another one where the last was lost. It is only lost here where nothing was in flight."""
        if self._writer is not None and not self._writer.is_closed():
            return self._writer
        if not self.epoch:
            raise Fenced("the lease was never acquired")
        self._drop_writer()
        try:
            self.epoch = await self._open_writer(self._renew(0))
        except StoreDown as error:
            raise CommitAborted(str(error)) from error
        return self._writer

    async def _ended(self, error: Exception, flight: Flight) -> None:
        """Say how a commit ended that did not return."""
        what = verdict(error)
        if what is Verdict.GONE or (flight.writer.is_closed() and what is not Verdict.DATA):
            self._drop_writer()
            if what is Verdict.GONE and flight.sent:
                self._doubtful = True
                raise CommitUnknown(f"{error!r}") from error
            raise CommitAborted(f"{error!r}") from error
        await self._roll_back(flight)
        if what is Verdict.FENCED:
            raise Fenced(str(error)) from error
        # A seq that is already there is no fault of a command: the shard's memory is behind the journal, and falls back.
        data_error = what is Verdict.DATA and getattr(error, "constraint_name", None) != "journal_pkey"
        taken = data_error and isinstance(error, asyncpg.UniqueViolationError)
        raise CommitAborted(
            str(error),
            data_error=data_error,
            conflict=taken and not flight.copying,
            disagrees=isinstance(error, Disagrees) or (taken and flight.copying),
        ) from error

    async def _roll_back(self, flight: Flight) -> None:
        if flight.writer.is_closed():
            self._drop_writer()
        elif flight.steps:
            try:
                async with cut_after(flight.writer, CLIENT_TIMEOUT_S):
                    await flight.writer.execute("ROLLBACK")
            except DRIVER_ERRORS:
                self._drop_writer()  # the end of the connection rolls back too

    # ── reads ──

    async def load(self, entity_ids: Sequence[str]) -> Mapping[str, Loaded]:
        """See ``Store``. Two queries, however many entities."""
        loaded = {entity_id: Loaded(events=[]) for entity_id in entity_ids}
        ids = list(loaded)
        for row in await self._reader.fetch(statement("shard/load_checkpoints"), self._kind, ids):
            with _noted(loaded[row["entity_id"]]):
                loaded[row["entity_id"]].checkpoint = self._checkpoint(row)
        after = [found.checkpoint.seq if found.checkpoint else 0 for found in loaded.values()]
        events: dict[str, list[JournalRow]] = {entity_id: [] for entity_id in ids}
        for row in await self._reader.fetch(statement("shard/load_events"), self._kind, ids, after):
            with _noted(loaded[row["entity_id"]]):
                events[row["entity_id"]].append(self._journal_row(row))
        for entity_id, found in loaded.items():
            found.events = events[entity_id]
        return loaded

    async def load_live(
        self, entity_id: str, table: str, after: tuple[Any, ...] | None = None
    ) -> Sequence[tuple[Any, ...]]:
        """See ``Store``. One query; jsonb as bytes."""
        key = key_after(shape_of(table), after)
        rows = await self._reader.fetch(statement(f"versions/{table}.live"), entity_id, *key, PAGE_ROWS, PAGE_BYTES)
        return list(map(tuple, rows))

    async def page(self, entity_id: str, after: int, limit: int, max_bytes: int) -> Sequence[JournalRow]:
        """See ``Store``."""
        rows = await self._reader.fetch(statement("shard/page"), self._kind, entity_id, after, limit, max_bytes)
        return [self._journal_row(row) for row in rows]

    async def find_operations(self, entity_id: str, window: int, operation_ids: Sequence[str]) -> FoundOperations:
        """See ``Store``. ``oldest`` has the sessions of the ids that were asked for."""
        parts = {operation: split_operation(operation) for operation in operation_ids}
        keys = [operation for operation, (_, n) in parts.items() if n is None]
        requests = [operation for operation, (_, n) in parts.items() if n is not None]
        sessions = list({parts[operation][0] for operation in requests})
        found = await self._reader.fetch(
            statement("shard/find_operations"), self._kind, entity_id, window, keys, requests, sessions
        )
        operations, oldest, whole = [], {}, False
        for what, key, n, digest, reply in found:
            if what == "operation":
                opened = self._unseal.unseal(reply or b"", "journal.reply", entity_id, n)
                operations.append(RememberedOperation(operation_id=key, request_digest=digest or b"", reply=opened))
            elif what == "oldest":
                oldest[key] = n
            else:
                whole = True
        return FoundOperations(operations=operations, oldest=oldest, whole=whole)

    async def claim(self, scope: str, name: str, entity_id: str, operation_id: str, ttl_s: float) -> bool:
        """See ``Store``. May be repeated where its answer was lost."""
        return bool(
            await self._reader.fetch(statement("shard/claim"), scope, name, entity_id, operation_id, float(ttl_s))
        )

    async def due_alarms(self, slots: Sequence[tuple[int, int]], limit: int) -> Sequence[tuple[str, str]]:
        """See ``Store``. The longest overdue first."""
        first, last = [slot for slot, _ in slots], [slot for _, slot in slots]
        rows = await self._reader.fetch(statement("shard/due_alarms"), self._kind, first, last, limit)
        return [(row["entity_id"], row["name"]) for row in rows]

    async def next_alarm_in(self, slots: Sequence[tuple[int, int]]) -> float | None:
        """See ``Store``. Not negative."""
        first, last = [slot for slot, _ in slots], [slot for _, slot in slots]
        rows = await self._reader.fetch(statement("shard/next_alarm_in"), self._kind, first, last)
        return max(0.0, rows[0][0]) if rows else None

    async def close(self) -> None:
        """See ``Store``. The lease stays as it is: the next owner finds no backend to end."""
        writer, self._writer, self._commit = self._writer, None, None
        if writer is not None:
            with suppress(*DRIVER_ERRORS):
                await writer.close(timeout=1)
        await self._reader.close()

    def _journal_row(self, row: asyncpg.Record) -> JournalRow:
        entity_id, seq, at, event_type, format_, data, operation_id, digest, reply, offset = row
        return JournalRow(
            entity_id=entity_id,
            seq=seq,
            at=at,
            event_type=event_type,
            format=format_,
            data=self._unseal.unseal(data, "journal", entity_id, seq),
            operation_id=operation_id,
            request_digest=digest,
            reply=None if reply is None else self._unseal.unseal(reply, "journal.reply", entity_id, seq),
            stream_offset=offset,
        )

    def _checkpoint(self, row: asyncpg.Record) -> Checkpoint:
        entity_id, seq, offset, at, format_, data, sessions = row
        return Checkpoint(
            entity_id=entity_id,
            seq=seq,
            stream_offset=offset,
            at=at,
            format=format_,
            data=self._unseal.unseal(data, "checkpoints", entity_id, seq),
            sessions={session: (known[0], known[1]) for session, known in sessions.items()},
        )


@contextmanager
def _noted(loaded: Loaded) -> Iterator[None]:
    """What cannot be read is that entity's misfortune and nobody else's."""
    try:
        yield
    except CannotUnseal as why:
        loaded.unreadable = str(why)


def split_operation(operation_id: str) -> tuple[str, int | None]:
    """The session and request id of ``<session>:<n>``; None for an id of any other form."""
    session, _, n = operation_id.rpartition(":")
    if session and ":" not in session and n.isascii() and n.isdigit() and len(n) <= 18:  # as the query has it
        return session, int(n)
    return operation_id, None

"""All that is sealed, and all that should be, under the newest key.

Goes through journal, checkpoints and the sealed columns by key, and rewrites what is under an older key, or plain from before
there was one. Each batch is one statement, so it may be stopped or killed anywhere and begun again: what is current is passed
over. It may run beside a server that has both keys: a row is only rewritten where it is still what was read, and a row that
a commit holds at that moment is left for the next pass.

Always: the associated data stays with the place, so a rewritten row opens where the old one did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol
from uuid import UUID

import asyncpg
import msgspec

from storage.migrate import require_current
from storage.pool import connect, translated
from storage.rows import kept, opened
from storage.seal import CannotUnseal, Sealer
from storage.statements import statement
from storage.tables import TABLES

BATCH: Final = 500
PASSES: Final = 5
"""Over one table, until nothing was left to do: a commit that began before us may write back what it read of a row's columns,
under the old key, after us."""


class Unopened(msgspec.Struct, frozen=True, kw_only=True):
    """A row that none of the keys opens. It stays as it is."""

    table: str
    id: str
    what: str


class Rekeyed(msgspec.Struct, kw_only=True):
    """What was done. ``left`` were written under an older key again and again while this ran."""

    rewritten: int = 0
    unopened: int = 0
    left: int = 0


class Stale(msgspec.Struct, frozen=True, kw_only=True):
    """A row to rewrite: its key, what it holds, and what it is to hold."""

    key: tuple[Any, ...]
    old: Any
    new: Any


class _Source(Protocol):
    """A table, by pages of rows that are not current."""

    table: str
    start: tuple[Any, ...]
    immutable: bool
    """Nobody else ever writes a row again, so once over it is enough."""

    async def page(self, connection: asyncpg.Connection, after: tuple[Any, ...], limit: int) -> list[asyncpg.Record]:
        """Rows that are not current, in the order of their keys."""

    def key(self, row: asyncpg.Record) -> tuple[Any, ...]:
        """Of a row."""

    def stale(self, row: asyncpg.Record) -> Stale:
        """What is to become of it. Raises CannotUnseal."""

    async def rewrite(self, connection: asyncpg.Connection, rows: Sequence[Stale]) -> int:
        """How many were still what they were, and are rewritten."""


async def rekey(
    dsn: str,
    *,
    sealer: Sealer,
    kinds: Sequence[str],
    found: Callable[[Unopened], None],
    progress: Callable[[str, int], None],
    batch: int = BATCH,
) -> Rekeyed:
    """Rewrite all of it; ``kinds`` are those whose journals are sealed. ``progress`` gets the table and rows rewritten so far.

    Raises StoreDown, UnusableDatabase.
    """
    report = Rekeyed()
    connection = await connect(dsn, application_name="sangha rekey", statement_timeout_s=0)
    try:
        await require_current(connection)
        with translated():
            for source in _sources(sealer, list(kinds)):
                progress(source.table, report.rewritten)
                missed = 0
                for number in range(PASSES):
                    before = report.rewritten
                    missed = await _pass(connection, source, report, found if number == 0 else None, progress, batch)
                    if not missed and (source.immutable or report.rewritten == before):
                        break
                report.left += missed
    finally:
        connection.terminate()
    return report


async def _pass(
    connection: asyncpg.Connection,
    source: _Source,
    report: Rekeyed,
    found: Callable[[Unopened], None] | None,
    progress: Callable[[str, int], None],
    batch: int,
) -> int:
    """Once over a table: how many rows were written by another meanwhile. What cannot be opened is told in the first pass."""
    after, missed = source.start, 0
    while rows := await source.page(connection, after, batch):
        after, stale = source.key(rows[-1]), []
        for row in rows:
            try:
                stale.append(source.stale(row))
            except (CannotUnseal, ValueError) as error:
                if found is not None:
                    report.unopened += 1
                    found(Unopened(table=source.table, id=" ".join(map(str, source.key(row))), what=str(error)))
        done = await source.rewrite(connection, stale) if stale else 0
        missed += len(stale) - done
        report.rewritten += done
        progress(source.table, report.rewritten)
    return missed


def _sources(sealer: Sealer, kinds: list[str]) -> list[_Source]:
    sealed = [name for name, table in TABLES.items() if table.sealed or table.sealed_text]
    return [_Journal(sealer, kinds), _Checkpoints(sealer, kinds), *(_Rows(sealer, name) for name in sealed)]


class _Payloads:
    """What journal and checkpoints have in common: envelopes as bytes."""

    def __init__(self, sealer: Sealer, kinds: list[str]) -> None:
        self._sealer = sealer
        self._kinds = kinds
        self._prefix = sealer.prefix

    def again(self, kind: str, data: bytes | None, place: str, entity_id: str, seq: int) -> bytes | None:
        """Under the newest key, where it has to be sealed at all."""
        if data is None or self._sealer.current(data):
            return data
        plain = self._sealer.unseal(data, place, entity_id, seq)
        return data if plain is data and kind not in self._kinds else self._sealer.seal(plain, place, entity_id, seq)


class _Journal(_Payloads):
    table = "journal"
    immutable = True
    start = ("", "", 0)

    async def page(self, connection: asyncpg.Connection, after: tuple[Any, ...], limit: int) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(
            statement("rekey/journal"), *after, self._kinds, self._prefix, limit
        )
        return rows

    def key(self, row: asyncpg.Record) -> tuple[Any, ...]:
        return row["kind"], row["entity_id"], row["seq"]

    def stale(self, row: asyncpg.Record) -> Stale:
        kind, entity_id, seq, data, reply = row
        new = (
            self.again(kind, data, "journal", entity_id, seq),
            self.again(kind, reply, "journal.reply", entity_id, seq),
        )
        return Stale(key=self.key(row), old=(data, reply), new=new)

    async def rewrite(self, connection: asyncpg.Connection, rows: Sequence[Stale]) -> int:
        columns = zip(*((*row.key, *row.old, *row.new) for row in rows), strict=True)
        return _count(await connection.execute(statement("rekey/journal_update"), *map(list, columns)))


class _Checkpoints(_Payloads):
    table = "checkpoints"
    immutable = False
    start = ("", "")

    async def page(self, connection: asyncpg.Connection, after: tuple[Any, ...], limit: int) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(
            statement("rekey/checkpoints"), *after, self._kinds, self._prefix, limit
        )
        return rows

    def key(self, row: asyncpg.Record) -> tuple[Any, ...]:
        return row["kind"], row["entity_id"]

    def stale(self, row: asyncpg.Record) -> Stale:
        kind, entity_id, seq, data = row
        new = self.again(kind, data, "checkpoints", entity_id, seq)
        return Stale(key=self.key(row), old=(seq, data), new=new)

    async def rewrite(self, connection: asyncpg.Connection, rows: Sequence[Stale]) -> int:
        columns = zip(*((*row.key, *row.old, row.new) for row in rows), strict=True)
        return _count(await connection.execute(statement("rekey/checkpoints_update"), *map(list, columns)))


class _Rows:
    """The sealed columns of a table. The names in its statements are those of ``TABLES``, nobody's input."""

    start = (UUID(int=0),)
    immutable = False

    def __init__(self, sealer: Sealer, table: str) -> None:
        self.table = table
        self._sealer = sealer
        self._columns = sorted(TABLES[table].sealed | TABLES[table].sealed_text)

    async def page(self, connection: asyncpg.Connection, after: tuple[Any, ...], limit: int) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await connection.fetch(
            self._statement("rekey/rows"), *after, self._columns, self._sealer.prefix_text, limit
        )
        return rows

    def key(self, row: asyncpg.Record) -> tuple[Any, ...]:
        return (row["id"],)

    def stale(self, row: asyncpg.Record) -> Stale:
        plain = opened({"id": row["id"], **row["kept"]}, self.table, self._sealer)
        new = kept(plain, self.table, self._sealer)
        return Stale(key=self.key(row), old=row["kept"], new={name: new[name] for name in row["kept"]})

    async def rewrite(self, connection: asyncpg.Connection, rows: Sequence[Stale]) -> int:
        ids, old, new = [row.key[0] for row in rows], [row.old for row in rows], [row.new for row in rows]
        return _count(await connection.execute(self._statement("rekey/rows_update"), ids, old, new))

    def _statement(self, name: str) -> str:
        return statement(name).replace("{table}", self.table).replace("{columns}", ", ".join(self._columns))


def _count(tag: str) -> int:
    """Of the rows that a command wrote, as PostgreSQL's ``UPDATE 3`` says it."""
    return int(tag.rpartition(" ")[2])

"""What becomes files, as the lake has it: an epoch's samples, what retention is about to remove. One instant, a page at a time.

A reader is one read-only transaction at one snapshot of the database, on a connection of its own, so that a marker that is
counted as staying is not removed between two statements. Memory does not grow with the answer: rows come by a server-side
cursor, in pages of about ``PAGE_BYTES``, since one entity may be as large as a request's body.

Raises what ``storage.pool.translated`` makes of the driver's errors: StoreDown, BadValue.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from actors.eustress.lake import Consolidated, Removable
from actors.eustress.values import EpochStats
from storage.pool import connect, translated
from storage.statements import statement

STATEMENT_TIMEOUT_S: Final = 600.0
"""A million rows are sorted before the first is there. Also how long a reader of the pages may let the transaction wait."""
PAGE_BYTES: Final = 4 * 2**20
PAGE_ROWS: Final = 2_048
FIRST_PAGE_ROWS: Final = 32
"""Before it is known how large rows are; some may have megabytes."""

Page = list[Any]
"""Records, by name or position."""


class ExportedEpoch(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of its epoch. ``versions``: of its snapshots, ascending; ``stats`` is JSON text."""

    id: str
    space_name: str
    start_time: datetime
    end_time: datetime
    sample_count: int
    stats: str
    versions: list[int]


class Leaving(NamedTuple):
    """What retention takes of a space: what ended before one time and not before another; ``staying`` as ``LakeReader`` says."""

    space: str
    before: datetime
    after: datetime | None
    staying: list[int]


class LakeReader:
    """Reads within the transaction that ``lake_reader`` opened."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def epoch(self, epoch: str) -> ExportedEpoch | None:
        """An epoch and the versions of its snapshots."""
        with translated():
            row = await self._connection.fetchrow(statement("eustress/epoch_of_export"), epoch)
        if row is None:
            return None
        return ExportedEpoch(
            id=str(row["id"]),
            space_name=row["space_name"],
            start_time=row["start_time"],
            end_time=row["end_time"],
            sample_count=row["sample_count"],
            stats=row["stats"],
            versions=row["versions"],
        )

    async def staying(self, space: str, before: datetime, after: datetime | None) -> list[int]:
        """The versions of the snapshots that stay when those of before one time (and not before another) go, ascending."""
        with translated():
            versions: list[int] = await self._connection.fetchval(
                statement("eustress/staying_versions"), space, before, after
            )
        return versions

    async def removable(self, leaving: Leaving) -> Removable:
        """How many rows go."""
        with translated():
            row = await self._connection.fetchrow(statement("eustress/archive_counts"), *leaving)
        return Removable(**dict(row))

    async def union(self, space: str, epochs: Sequence[str]) -> Consolidated | None:
        """One epoch in place of several; None where there are none of them."""
        with translated():
            row = await self._connection.fetchrow(statement("eustress/epochs_union"), space, list(epochs))
            if row["start_time"] is None:
                return None
            stats = dict(await self._connection.fetchrow(statement("eustress/epoch_stats"), space, row["versions"]))
        return Consolidated(
            snapshot_ids=tuple(row["snapshot_ids"]),
            start_time=row["start_time"],
            end_time=row["end_time"],
            sample_count=stats.pop("sample_count"),
            stats=EpochStats(**stats),
        )

    def samples(self, epoch: ExportedEpoch) -> AsyncIterator[Page]:
        """An epoch's samples, parents before children."""
        return self._pages("eustress/epoch_samples", epoch.space_name, epoch.versions)

    def connections(self, epoch: ExportedEpoch) -> AsyncIterator[Page]:
        """An epoch's connections."""
        return self._pages("eustress/epoch_connections", epoch.space_name, epoch.versions)

    def leaving_snapshots(self, leaving: Leaving) -> AsyncIterator[Page]:
        """The snapshots that go."""
        return self._pages("eustress/archive_snapshots", *leaving[:3])

    def leaving_entities(self, leaving: Leaving) -> AsyncIterator[Page]:
        """The versions of entities that go with them."""
        return self._pages("eustress/archive_entities", *leaving)

    def leaving_connections(self, leaving: Leaving) -> AsyncIterator[Page]:
        """The versions of connections that go with them."""
        return self._pages("eustress/archive_connections", *leaving)

    async def _pages(self, name: str, *args: Any) -> AsyncIterator[Page]:
        rows = FIRST_PAGE_ROWS
        with translated():
            cursor = await self._connection.cursor(statement(name), *args)
        while page := await self._fetched(cursor, rows):
            size = sum(len(row[-1] or "") + 200 for row in page)  # what may be long comes last
            rows = min(PAGE_ROWS, max(1, PAGE_BYTES * len(page) // size))
            yield page

    @staticmethod
    async def _fetched(cursor: Any, rows: int) -> Page:
        with translated():
            page: Page = await cursor.fetch(rows)
        return page


@asynccontextmanager
async def lake_reader(dsn: str, *, application_name: str) -> AsyncIterator[LakeReader]:
    """A reader of the lake as it is now. Raises StoreDown, UnusableDatabase."""
    connection = await connect(dsn, application_name=application_name, statement_timeout_s=STATEMENT_TIMEOUT_S)
    try:
        with suppress(asyncpg.PostgresError):  # not every platform can tell
            await connection.execute(statement("eustress/notice_client"))
        with translated():
            await connection.transaction(isolation="repeatable_read", readonly=True).start()
        yield LakeReader(connection)
    finally:
        connection.terminate()

"""A few connections that only read, each for one view of the database at a time: REPEATABLE READ, READ ONLY.

Always: at most ``size`` connections, opened when needed; long views (streams, counts over much) have at most ``long`` of them,
so that a short read finds one free. Who waits too long for a turn gets StoreDown, and may try again. A connection in which
a statement is still under way when its view ends is cut; any other goes back. Nothing is ever written.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any, Final

import asyncpg

from actors.runtime.ports import StoreDown
from storage.pool import CLIENT_TIMEOUT_S, DRIVER_ERRORS, connect, cut_after, translated
from storage.statements import statement

WAIT_S: Final = 5.0
"""For a turn. Longer, and a client had better come back."""
STATEMENT_TIMEOUT_S: Final = 60.0
"""Also how long a stream may stand still because its reader does not read."""
FIRST_CHUNK: Final = 64
CHUNK_BYTES: Final = 1 << 20
CHUNK_ROWS: Final = 5_000
ROW_BYTES: Final = 100
"""What a row counts beside its data."""


class ReadTooLong(StoreDown):
    """The server gave a statement up after its time: the same again would take as long, less of it might not."""


class View:
    """The database as it was when the view began."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.busy = False

    async def rows(self, name: str, *args: Any) -> list[asyncpg.Record]:
        """All rows of the statement ``storage/sql/<name>.sql``. Raises StoreDown, BadValue."""
        with self._working():
            async with cut_after(self._connection, STATEMENT_TIMEOUT_S + CLIENT_TIMEOUT_S):
                rows: list[asyncpg.Record] = await self._connection.fetch(statement(name), *args)
                return rows

    async def row(self, name: str, *args: Any) -> asyncpg.Record | None:
        """The first row, if any."""
        rows = await self.rows(name, *args)
        return rows[0] if rows else None

    async def chunks(self, name: str, *args: Any, data: str | None = None) -> AsyncIterator[list[asyncpg.Record]]:
        """The rows by and by, as many at a time as have about ``CHUNK_BYTES`` of the text in the column ``data``."""
        with self._working():
            cursor = await self._connection.cursor(statement(name), *args)
        size = FIRST_CHUNK
        while True:
            with self._working():
                async with cut_after(self._connection, STATEMENT_TIMEOUT_S + CLIENT_TIMEOUT_S):
                    rows = await cursor.fetch(size)
            if rows:
                yield rows
            if len(rows) < size:
                return
            size = min(max(CHUNK_BYTES * len(rows) // weight(rows, data), 1), CHUNK_ROWS)

    @contextmanager
    def _working(self) -> Iterator[None]:
        self.busy = True
        try:
            with translated():
                yield
        except StoreDown as down:
            if isinstance(down.__cause__, asyncpg.QueryCanceledError):
                raise ReadTooLong(f"reading took more than {STATEMENT_TIMEOUT_S:.0f} s") from down
            raise
        self.busy = False


def weight(rows: list[asyncpg.Record], data: str | None) -> int:
    """About how many bytes rows have."""
    return ROW_BYTES * len(rows) + (sum(len(row[data] or "") for row in rows) if data is not None else 0)


class ReadPool:
    """See the module."""

    def __init__(
        self, dsn: str, *, application_name: str, size: int = 3, long: int = 2, wait_s: float = WAIT_S
    ) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._wait_s = wait_s
        self._turns, self._long_turns = asyncio.Semaphore(size), asyncio.Semaphore(long)
        self._free: list[asyncpg.Connection] = []
        self._open: set[asyncpg.Connection] = set()

    @asynccontextmanager
    async def view(self, *, long: bool = False) -> AsyncIterator[View]:
        """A view until the block ends. Raises StoreDown where there is no database, or no turn in time."""
        async with AsyncExitStack() as turns:
            try:
                async with asyncio.timeout(self._wait_s):
                    if long:
                        await turns.enter_async_context(self._long_turns)
                    await turns.enter_async_context(self._turns)
            except TimeoutError:
                raise StoreDown("too many are reading; try again") from None
            connection, transaction = await self._begun()
            view = View(connection)
            try:
                yield view
            finally:
                await self._back(connection, transaction, view)

    async def _begun(self) -> tuple[asyncpg.Connection, Any]:
        """A connection with a transaction. One that turns out broken is replaced."""
        while self._free:
            connection = self._free.pop()
            with suppress(*DRIVER_ERRORS):
                return connection, await self._begin(connection)
            self._drop(connection)
        connection = await connect(
            self._dsn, application_name=self._application_name, statement_timeout_s=STATEMENT_TIMEOUT_S
        )
        self._open.add(connection)
        with translated():
            try:
                await connection.execute(statement("eustress/reader_session"))
                return connection, await self._begin(connection)
            except BaseException:
                self._drop(connection)
                raise

    async def _begin(self, connection: asyncpg.Connection) -> Any:
        transaction = connection.transaction(isolation="repeatable_read", readonly=True)
        async with cut_after(connection, CLIENT_TIMEOUT_S):
            try:
                await transaction.start()
            except asyncio.CancelledError:
                self._drop(connection)
                raise
        return transaction

    async def _back(self, connection: asyncpg.Connection, transaction: Any, view: View) -> None:
        if not view.busy and not connection.is_closed():
            with suppress(*DRIVER_ERRORS):
                try:
                    async with cut_after(connection, CLIENT_TIMEOUT_S):
                        await transaction.rollback()
                except asyncio.CancelledError:
                    self._drop(connection)
                    raise
                self._free.append(connection)
                return
        self._drop(connection)

    def _drop(self, connection: asyncpg.Connection) -> None:
        self._open.discard(connection)
        connection.terminate()

    async def close(self) -> None:
        """Give the connections back, cutting whatever is under way; a later view opens another."""
        for connection in list(self._open):
            self._drop(connection)
        self._free.clear()

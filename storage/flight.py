"""One commit on its way to the server: the steps of its transaction, and from when on it may happen without us."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import msgspec

from storage.pool import DRIVER_ERRORS, BadValue
from storage.statements import statement

QUICK_ROWS: Final = 10_000
"""Versioned rows that a commit writes within the usual time; each as many more have as long again. So has each COPY."""


class RowStatement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement beside the commit's own, with its arguments: of ``sql/rows`` a JSON array of rows, or ids."""

    name: str
    arguments: tuple[Any, ...]
    rows: int | None = None
    """How many rows it has to find, where it matters."""


class Copy(msgspec.Struct, frozen=True, kw_only=True):
    """Rows for a table, by COPY."""

    table: str
    columns: tuple[str, ...]
    records: Sequence[tuple[Any, ...]]


Step = RowStatement | Copy


class Disagrees(BadValue):
    """A version that memory has for live is not live in storage."""


class Flight:
    """``sent`` is True from the moment at which it may happen without us; ``copying`` while a COPY is under way."""

    __slots__ = ("arguments", "commit", "copying", "sent", "steps", "writer")

    def __init__(self, writer: asyncpg.Connection, commit: Any, arguments: list[Any], steps: Sequence[Step]) -> None:
        self.writer = writer
        self.commit = commit
        self.arguments = arguments
        self.steps = steps
        self.sent = self.copying = False

    @property
    def patience(self) -> int:
        """How many times the usual time it may take."""
        rows = sum(len(step.records) if isinstance(step, Copy) else step.rows or 0 for step in self.steps)
        return max(1 + rows // QUICK_ROWS, sum(isinstance(step, Copy) for step in self.steps))

    async def fly(self) -> None:
        """Commit. Raises DRIVER_ERRORS, and BadValue where a value is of no use to the driver."""
        if not self.steps:
            self.sent = True
            await self.commit.fetchval(*self.arguments)
            return
        versioned = any(isinstance(step, Copy) or step.name.startswith("versions/") for step in self.steps)
        await self.writer.execute(statement("versions/begin") if versioned else "BEGIN")
        await self.commit.fetchval(*self.arguments)
        for step in self.steps:
            await (self._copy(step) if isinstance(step, Copy) else self._execute(step))
        self.sent = True
        await self.writer.execute("COMMIT")

    async def _execute(self, step: RowStatement) -> None:
        status: str = await self.writer.execute(statement(step.name), *step.arguments)
        if step.rows is not None and (found := int(status.rpartition(" ")[2])) != step.rows:
            raise Disagrees(f"{step.name}: {found} rows of {step.rows} were there")

    async def _copy(self, copy: Copy) -> None:
        writer = self.writer
        self.copying = True
        try:
            async with _ended_with(writer):
                await writer.copy_records_to_table(copy.table, records=copy.records, columns=copy.columns)
        except DRIVER_ERRORS:
            raise
        except Exception as error:
            if writer.is_closed():  # what it says then is about its own state
                raise asyncpg.ConnectionDoesNotExistError(f"{error!r}") from error
            writer.terminate()  # it is about to cancel its own statement, through another connection
            raise BadValue(f"{copy.table}: {error}") from error
        self.copying = False


@asynccontextmanager
async def _ended_with(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Raises TimeoutError where the connection ends in the block: in a COPY the driver waits for room in its send buffer, and
    where that was full when the connection ended it would wait for ever."""
    async with asyncio.timeout(None) as limit:

        def ended(_: object) -> None:
            with suppress(RuntimeError):  # the block is over
                limit.reschedule(0)

        connection.add_termination_listener(ended)
        try:
            yield
        finally:
            connection.remove_termination_listener(ended)

"""Connections to PostgreSQL, and the one place where the driver's errors become this project's.

Always: ``synchronous_commit`` is on for the connection whatever the role or database says, a server that runs with
``fsync=off`` or is too old is refused, jsonb goes over the wire as bytes made once. There is no pool in the usual sense:
a shard has one writer and one reader, so that fencing knows exactly which backend may still be writing.

What the driver raises is sorted by :func:`verdict`. An ERROR from the server is its word that nothing happened; FATAL and
PANIC, the codes of a shutdown and every lost connection are not, because a commit record may have been written before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from math import isfinite
from typing import Any, Final

import asyncpg
import msgspec
import orjson

from actors.runtime.ports import StoreDown

OLDEST_SERVER: Final = 150_000
"""PostgreSQL 15, as ``server_version_num``: the design's floor; older ones are not tested."""
STATEMENT_TIMEOUT_S: Final = 8.0
"""In the server, and shorter than the client's own limit: a statement that is too slow then ends with the server's word."""
CLIENT_TIMEOUT_S: Final = 10.0
"""After this the connection counts as half open and is cut; what it was doing is unknown."""
LOCK_TIMEOUT_S: Final = 3.0
"""Locks here are held for one short transaction; whoever holds one longer is stuck and gets terminated."""
CONNECT_TIMEOUT_S: Final = 10.0

FENCED: Final = "SG001"
"""The SQLSTATE that sangha_commit raises where the epoch is no longer the lease's."""
DATA_CLASSES: Final = ("21", "22", "23")
"""Cardinality, data and integrity errors: the content of a statement was refused."""
GONE: Final = frozenset(("57P01", "57P02", "57P03", "57P04", "57P05"))
"""Shutdown, crash, not (yet) accepting, dropped database, idle: the connection ends without a word on its transaction."""

DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""All that asyncpg lets out (``TimeoutError`` is an OSError)."""


class UnusableDatabase(Exception):
    """The server cannot keep the promises, or its schema is not ours to use: a matter for the operator, not for a retry."""


class BadValue(ValueError):
    """A value that PostgreSQL cannot hold: NaN or a NUL character in JSON, a number too large, not a UUID, …"""


class Verdict(Enum):
    """What an error of the driver says about the statement that it ended."""

    FENCED = "fenced"
    DATA = "data"  # the server (or the encoder before it) refused the content; nothing happened
    REFUSED = "refused"  # the server said that nothing happened, for another reason
    GONE = "gone"  # the connection ended; what was sent may have happened


def verdict(error: BaseException) -> Verdict:
    """Sort an error of the driver."""
    if not isinstance(error, asyncpg.PostgresError):
        return Verdict.DATA if isinstance(error, BadValue) else Verdict.GONE
    state = error.sqlstate or ""
    severity = getattr(error, "severity_en", None) or getattr(error, "severity", None)
    if state == FENCED:
        return Verdict.FENCED
    # A PANIC for want of disk space carries the same code as a harmless ERROR, but the commit record may be on disk.
    if severity in ("FATAL", "PANIC") or state in GONE or state.startswith("08"):
        return Verdict.GONE
    return Verdict.DATA if state[:2] in DATA_CLASSES else Verdict.REFUSED


@contextmanager
def translated() -> Iterator[None]:
    """For reads and small writes that may be repeated: the driver's errors become BadValue or StoreDown, cause kept."""
    try:
        yield
    except DRIVER_ERRORS as error:
        if verdict(error) is Verdict.DATA:
            raise BadValue(str(error)) from error
        raise StoreDown(f"storage: {error!r}") from error


def encode_json(value: Any) -> bytes:
    """JSON text for a jsonb parameter. Raises BadValue for NaN and infinities, which encoders would turn into null."""
    try:
        text = msgspec.json.encode(value, enc_hook=_refuse)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise BadValue(f"not JSON: {error}") from error
    # The server refuses a NUL by itself (22P05), but nobody would notice a NaN. They become null, so without a null there
    # is none and the walk is spared.
    if b"null" in text and _has_nan(value):
        raise BadValue("NaN and infinities are not JSON")
    return text


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _has_nan(value: Any) -> bool:
    if isinstance(value, float):
        return not isfinite(value)
    if isinstance(value, msgspec.Struct):
        return any(_has_nan(getattr(value, name)) for name in value.__struct_fields__)
    if isinstance(value, dict | Mapping):  # dict first: asking an abstract class is slow
        return any(_has_nan(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_nan(item) for item in value)
    return False


def _to_jsonb(value: Any) -> bytes:
    # Binary jsonb is a version byte and the text. Bytes are JSON already.
    return b"\x01" + (value if isinstance(value, bytes) else encode_json(value))


def _from_jsonb(data: bytes) -> Any:
    return orjson.loads(memoryview(data)[1:])


async def connect(
    dsn: str,
    *,
    application_name: str,
    timeout_s: float = CONNECT_TIMEOUT_S,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
) -> asyncpg.Connection:
    """A connection set up as the promises need it; ``statement_timeout_s`` 0 means none.

    Raises StoreDown where there is no server (now), UnusableDatabase where there is one that will not do.
    """
    settings = {
        "application_name": application_name,
        "synchronous_commit": "on",
        "statement_timeout": str(int(statement_timeout_s * 1000)),
        "lock_timeout": str(int(LOCK_TIMEOUT_S * 1000) if statement_timeout_s else 0),
        "idle_in_transaction_session_timeout": str(int(statement_timeout_s * 1000)),
        "default_transaction_isolation": "read committed",  # the fence has to see what the takeover committed
        "timezone": "UTC",
        "jit": "off",
    }
    connection: asyncpg.Connection | None = None
    try:
        async with asyncio.timeout(timeout_s):
            connection = await asyncpg.connect(dsn, timeout=timeout_s, server_settings=settings)
            row = await connection.fetchrow(
                "SELECT current_setting('server_version_num')::int, current_setting('fsync')"
            )
            refuse_unusable(*row)
            await connection.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=_to_jsonb, decoder=_from_jsonb, format="binary"
            )
    except DRIVER_ERRORS as error:
        _cut(connection)
        if isinstance(error, asyncpg.InvalidPasswordError | asyncpg.InvalidAuthorizationSpecificationError):
            raise UnusableDatabase(f"the database refuses the login: {error}") from error
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            raise UnusableDatabase(str(error)) from error
        raise StoreDown(f"no connection to the database: {error!r}") from error
    except BaseException:
        _cut(connection)
        raise
    return connection


def _cut(connection: asyncpg.Connection | None) -> None:
    if connection is not None:
        connection.terminate()


def refuse_unusable(version: int, fsync: str) -> None:
    """Raises UnusableDatabase for a server that is too old or may lose what it acknowledged."""
    if version < OLDEST_SERVER:
        raise UnusableDatabase(f"PostgreSQL {version // 10_000} is too old: 15 or newer is needed")
    if fsync != "on":
        raise UnusableDatabase("the database runs with fsync=off and would lose acknowledged commits in a crash")


@asynccontextmanager
async def cut_after(connection: asyncpg.Connection, timeout_s: float) -> AsyncIterator[None]:
    """Cut the connection where the block takes longer; what is under way in it then ends with a connection error.

    Not asyncpg's own timeouts: those open a second connection to send a cancel, which on a half-open link hangs too.
    """
    timer = asyncio.get_running_loop().call_later(timeout_s, connection.terminate)
    try:
        yield
    finally:
        timer.cancel()


class LazyConnection:
    """One connection for reads (and writes that may be repeated), opened when needed and again after it broke.

    Calls wait for each other. A connection that turns out broken is replaced once within a call; then StoreDown.
    """

    def __init__(self, dsn: str, *, application_name: str) -> None:
        self._dsn = dsn
        self._application_name = application_name
        self._connection: asyncpg.Connection | None = None
        self._one = asyncio.Lock()

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """All rows. Raises StoreDown, BadValue."""
        async with self._one:
            fresh = self._connection is None or self._connection.is_closed()
            try:
                return await self._fetch(sql, args)
            except DRIVER_ERRORS as error:
                if fresh or verdict(error) is not Verdict.GONE:
                    with translated():
                        raise
            self._drop()
            with translated():
                return await self._fetch(sql, args)

    async def fetchrow(self, sql: str, *args: Any) -> asyncpg.Record | None:
        """The first row, if any. Raises StoreDown, BadValue."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def close(self) -> None:
        """Give the connection back; a later call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(*DRIVER_ERRORS):
                await connection.close(timeout=1)

    async def _fetch(self, sql: str, args: tuple[Any, ...]) -> list[asyncpg.Record]:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await connect(self._dsn, application_name=self._application_name)
        try:
            async with cut_after(connection, CLIENT_TIMEOUT_S):
                rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
                return rows
        except asyncio.CancelledError:
            self._drop()  # a statement is still under way in it
            raise
        except DRIVER_ERRORS as error:
            if verdict(error) is Verdict.GONE:
                self._drop()
            raise

    def _drop(self) -> None:
        _cut(self._connection)
        self._connection = None

"""The schema: numbered SQL files, applied in order, forward only, all or none, under an advisory lock."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import asyncpg

from actors.runtime.ports import StoreDown
from storage.pool import UnusableDatabase, Verdict, connect, translated, verdict
from storage.statements import SQL_DIR

LOCK: Final = 0x53_61_6E_67_68_61
"""The advisory lock's key: "Sangha" in ASCII, so that it is nobody else's."""
FILE_NAME: Final = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")


class SchemaTooNew(UnusableDatabase):
    """A newer Sangha has migrated this database; this one does not know what it would break."""


class SchemaTooOld(UnusableDatabase):
    """The database has to be migrated first."""


class Migration(NamedTuple):
    """One file."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All that this build knows, in order; numbered from 1 without a gap."""
    found = []
    for file in (SQL_DIR / "migrations").iterdir():
        match = FILE_NAME.fullmatch(file.name)
        if match is None:
            raise ValueError(f"not a migration's name: {file.name}")
        found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort()
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered from 0001 without a gap")
    return found


async def schema_version(connection: asyncpg.Connection) -> int:
    """The last migration that the database has; 0 for an empty one. Raises StoreDown."""
    with translated():
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            return 0
        version: int = await connection.fetchval("SELECT coalesce(max(version), 0) FROM schema_migrations")
        return version


async def require_current(connection: asyncpg.Connection) -> None:
    """Raises SchemaTooNew or SchemaTooOld where the database has another schema than this build's."""
    _judge(await schema_version(connection), len(migrations()), behind_is_fine=False)


async def migrate(dsn: str) -> int:
    """Bring the database to this build's schema and return its version. Concurrent calls wait for each other.

    Raises SchemaTooNew, StoreDown, UnusableDatabase.
    """
    known = migrations()
    connection = await connect(dsn, application_name="sangha migrate", statement_timeout_s=0)
    try:
        with translated():
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                version = await schema_version(connection)
                _judge(version, len(known), behind_is_fine=True)
                for migration in known[version:]:
                    await _apply(connection, migration)
    except StoreDown as error:
        if isinstance(error.__cause__, asyncpg.PostgresError) and verdict(error.__cause__) is not Verdict.GONE:
            raise UnusableDatabase(f"the database refuses a migration: {error.__cause__}") from error
        raise
    finally:
        connection.terminate()
    return len(known)


def _judge(version: int, known: int, *, behind_is_fine: bool) -> None:
    if version > known:
        raise SchemaTooNew(f"the database has schema {version}, this Sangha knows {known}: use the newer one")
    if version < known and not behind_is_fine:
        raise SchemaTooOld(f"the database has schema {version}, this Sangha needs {known}: run sangha migrate")


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    if migration.version == 1:
        await connection.execute(
            "CREATE TABLE schema_migrations"
            " (version integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    await connection.execute(migration.sql)
    await connection.execute(
        "INSERT INTO schema_migrations (version, name) VALUES ($1, $2)", migration.version, migration.name
    )

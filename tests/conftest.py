"""A real PostgreSQL for the tests that need one: one server a session, one migrated database a test."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from databases import dsn_of
from hypothesis import settings

from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

TEMPLATE = "sangha_template"

# No test judges a time: on a busy machine an example takes as long as it takes.
settings.register_profile("sangha", deadline=None)
settings.load_profile("sangha")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With a failure, the end of the log of the whole server that the test has from a fixture: others go on with it."""
    report = yield
    if report.failed and report.when == "call":
        for argument in getattr(item, "funcargs", {}).values():
            log_tail: Any = getattr(getattr(argument, "server", argument), "log_tail", None)
            if callable(log_tail):
                report.sections.append(("the server's log", log_tail()))
    return report


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A directory that an embedded server can live in. Not pytest's ``tmp_path``: as root the server runs as another user,
    and each pytest that starts closes what lies above all of theirs to other users again."""
    with tempfile.TemporaryDirectory(prefix="sangha-test-") as path:
        yield Path(path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """The session's server. Who stops or kills it needs one of their own."""
    with tempfile.TemporaryDirectory(prefix="sangha-test-") as path:
        server = EmbeddedPostgres(Path(path))
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def postgres_dsn(postgres: EmbeddedPostgres) -> str:
    """An empty database's DSN, with a migrated template beside it."""
    asyncio.run(_make_template(postgres.dsn))
    return postgres.dsn


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[str]:
    """The DSN of a fresh migrated database, dropped afterwards with whoever is still connected."""
    name = f"test_{uuid4().hex}"
    await _execute(postgres_dsn, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield dsn_of(postgres_dsn, name)
    await _execute(postgres_dsn, f"DROP DATABASE {name} WITH (FORCE)")


async def _make_template(dsn: str) -> None:
    await _execute(dsn, f"CREATE DATABASE {TEMPLATE}")
    await migrate(dsn_of(dsn, TEMPLATE))


async def _execute(dsn: str, sql: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()

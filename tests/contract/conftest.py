"""The backends as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from backends import MemoryBackend, PostgresBackend
from town import Town

from storage.cluster import claim_cluster
from storage.pool import connect
from storage.queries import Queries
from storage.seal import Sealer


@pytest.fixture
async def postgres_backend(database: str) -> AsyncIterator[PostgresBackend]:
    connection = await connect(database, application_name="test")
    owner = await claim_cluster(connection)
    backend = PostgresBackend(database, connection, owner.incarnation)
    yield backend
    await backend.close()


@pytest.fixture
def memory_backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture(params=["plain", "sealed"])
async def town(postgres_backend: PostgresBackend, request: pytest.FixtureRequest) -> AsyncIterator[Town]:
    town = await Town(postgres_backend, Sealer(b"k" * 32) if request.param == "sealed" else None).start()
    yield town
    await town.kill()


@pytest.fixture
async def queries(town: Town) -> AsyncIterator[Queries]:
    queries = Queries(town.backend.dsn, seal=town.seal)
    yield queries
    await queries.close()

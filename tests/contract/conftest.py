"""The backends as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from backends import MemoryBackend, PostgresBackend

from storage.cluster import claim_cluster
from storage.pool import connect


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

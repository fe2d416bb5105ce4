"""One cluster a database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from backends import LAYOUT, PostgresBackend
from making import event

from actors.runtime.ports import Batch, Fenced
from storage.cluster import (
    ClusterOwned,
    adopt_cluster,
    beat,
    claim_cluster,
    layouts,
    live_leases,
    raise_all_leases,
    release,
)
from storage.heartbeat import Heartbeat
from storage.pool import connect
from storage.store import PostgresStore


@pytest.fixture
async def connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(database, application_name="test")
    yield connection
    await connection.close()


async def test_a_living_owner_keeps_the_cluster(connection: asyncpg.Connection) -> None:
    first = await claim_cluster(connection)
    assert first.incarnation == 1
    with pytest.raises(ClusterOwned):
        await claim_cluster(connection, wait_s=0.05)
    assert await beat(connection, first.incarnation)


async def test_an_owner_that_was_not_heard_of_loses_the_cluster(connection: asyncpg.Connection) -> None:
    first = await claim_cluster(connection)
    await connection.execute("UPDATE cluster_owner SET beat_at = now() - interval '6 s'")
    second = await claim_cluster(connection)
    assert (second.cluster_id, second.incarnation) == (first.cluster_id, first.incarnation + 1)
    assert not await beat(connection, first.incarnation)


async def test_a_released_cluster_is_free_at_once_and_a_waiting_serve_gets_it(
    connection: asyncpg.Connection, database: str
) -> None:
    first = await claim_cluster(connection)
    other = await connect(database, application_name="other")
    waiting = asyncio.create_task(claim_cluster(other, wait_s=5))
    await release(connection, first.incarnation)
    assert (await waiting).incarnation == first.incarnation + 1
    await release(connection, first.incarnation)  # too late to harm the new owner
    assert await beat(connection, first.incarnation + 1)
    await other.close()


async def test_adopting_keeps_the_incarnation(connection: asyncpg.Connection) -> None:
    first = await claim_cluster(connection)
    assert await adopt_cluster(connection) == first


async def test_raising_all_leases_fences_every_shard_of_every_layout(postgres_backend: PostgresBackend) -> None:
    first = postgres_backend.store()
    old_layout = PostgresStore(
        postgres_backend.dsn, kind="space", layout="shared:16", shard=3, incarnation=postgres_backend.incarnation
    )
    await first.acquire()
    await old_layout.acquire()
    # One of them is stopped in mid-commit.
    await old_layout._writer.execute("BEGIN")
    await old_layout._writer.fetch("SELECT 1 FROM shard_leases WHERE layout = 'shared:16' FOR SHARE")

    connection = postgres_backend.connection
    assert await layouts(connection) == {}
    await raise_all_leases(connection, postgres_backend.incarnation, {"space": LAYOUT})
    assert await layouts(connection) == {"space": LAYOUT}
    for store in (first, old_layout):
        with pytest.raises(Fenced):
            await store.confirm()
        with pytest.raises(Fenced):
            await store.settle()
        with pytest.raises(Fenced):
            await store.commit(Batch(journal=[event(1)]))
    assert await first.acquire() == 3
    await old_layout.close()


async def test_leases_are_not_raised_under_an_incarnation_that_is_over(postgres_backend: PostgresBackend) -> None:
    store = postgres_backend.store()
    await store.acquire()
    with pytest.raises(Fenced):
        await raise_all_leases(postgres_backend.connection, postgres_backend.incarnation - 1)


async def test_live_leases_are_those_whose_backend_is_connected(postgres_backend: PostgresBackend) -> None:
    store, gone = postgres_backend.store(), postgres_backend.store(shard=1)
    await store.acquire()
    await gone.acquire()
    await gone.close()
    found = await live_leases(postgres_backend.connection, postgres_backend.incarnation)
    assert [(lease.kind, lease.layout, lease.shard, lease.epoch) for lease in found if lease.shard == "0"] == [
        ("space", LAYOUT, "0", 1)
    ]


async def test_who_is_busy_until_an_alarm_is_told_from_whose_alarm_is_due(
    connection: asyncpg.Connection, database: str
) -> None:
    insert = "INSERT INTO alarms VALUES ($1, $2, $3, 0, clock_timestamp() + make_interval(secs => $4))"
    for kind, entity, name, in_s in (
        ("audio", "Card", "end", 60.0),
        ("audio", "default", "end", -60.0),
        ("audio", "default", "other", 90.0),
        ("space", "1", "end", -90.0),
    ):
        await connection.execute(insert, kind, entity, name, in_s)
    beating = Heartbeat(database, 1)
    assert await beating.busy_entities(["audio"]) == [("audio", "default"), ("audio", "Card")]
    assert await beating.due_entities(["audio"]) == [("audio", "default")]
    await beating.close()

"""What only a real server shows: takeovers, lost connections, the three ends of a commit, sealing at rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import psutil
import pytest
from backends import LAYOUT, PostgresBackend
from making import checkpoint, event, operation, practitioner, ritual, space

from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch, CommitAborted, CommitUnknown, Fenced, StoreDown
from storage import store as store_module
from storage.cluster import claim_cluster
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.pool import connect
from storage.seal import Sealer, from_text, is_sealed
from storage.store import PostgresStore


@pytest.fixture
async def store(postgres_backend: PostgresBackend) -> PostgresStore:
    store = postgres_backend.store()
    await store.acquire()
    return store


async def blocked(connection: asyncpg.Connection, name: str) -> int:
    """The backend of this application, as soon as it waits for a lock."""
    while True:
        pid = await connection.fetchval(
            "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'", name
        )
        if pid is not None:
            return int(pid)


class Blocker:
    """Holds the journal so that commits wait in the server until it lets go."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def __aenter__(self) -> Blocker:
        self.connection = await connect(self.dsn, application_name="blocker", statement_timeout_s=0)
        await self.connection.execute("BEGIN; LOCK TABLE journal IN EXCLUSIVE MODE")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()


# ── takeover ──


async def test_a_takeover_ends_a_backend_that_holds_the_lease_locked(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    await store._writer.execute("BEGIN")
    await store._writer.fetch("SELECT 1 FROM shard_leases FOR SHARE")  # a stopped owner in mid-commit
    second = postgres_backend.store()
    epoch = await asyncio.wait_for(second.acquire(), 3)
    assert epoch == store.epoch + 1
    with pytest.raises((CommitUnknown, CommitAborted, Fenced)):
        await store.commit(Batch(journal=[event(1)]))
    with pytest.raises(Fenced):
        await store.settle()
    await second.commit(Batch(journal=[event(1)]))


async def test_a_takeover_ends_a_commit_that_is_under_way(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    second = postgres_backend.store()
    async with Blocker(postgres_backend.dsn):
        commit = asyncio.create_task(store.commit(Batch(journal=[event(1)])))
        await blocked(postgres_backend.connection, "sangha space/shared:1/0")
        await asyncio.wait_for(second.acquire(), 3)
        with pytest.raises(CommitUnknown):
            await commit
    assert (await second.load(["a"]))["a"].events == []


async def test_a_reused_backend_pid_is_left_alone(postgres_backend: PostgresBackend, store: PostgresStore) -> None:
    own = await postgres_backend.connection.fetchval("SELECT pg_backend_pid()")
    stranger = await connect(postgres_backend.dsn, application_name="stranger")
    await postgres_backend.connection.execute(
        "UPDATE shard_leases SET backend_pid = $1", await stranger.fetchval("SELECT pg_backend_pid()")
    )
    await postgres_backend.store().acquire()
    assert await stranger.fetchval("SELECT 1") == 1
    await stranger.close()
    assert own is not None


# ── the three ends of a commit ──


async def test_a_commit_whose_backend_is_ended_is_unknown_until_settled(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    epoch = store.epoch
    async with Blocker(postgres_backend.dsn):
        commit = asyncio.create_task(store.commit(Batch(journal=[event(1)])))
        pid = await blocked(postgres_backend.connection, "sangha space/shared:1/0")
        await postgres_backend.connection.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(CommitUnknown):
            await commit
    with pytest.raises(CommitAborted):
        await store.commit(Batch(journal=[event(1)]))
    await store.settle()
    assert store.epoch == epoch + 1
    assert (await store.load(["a"]))["a"].events == []
    await store.commit(Batch(journal=[event(1)]))


async def test_a_half_open_link_ends_as_unknown_and_settling_ends_its_backend(
    postgres_backend: PostgresBackend, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Blocker(postgres_backend.dsn):
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "CLIENT_TIMEOUT_S", 0.05)
            with pytest.raises(CommitUnknown):
                await store.commit(Batch(journal=[event(1)]))
        await asyncio.wait_for(store.settle(), 3)  # its backend still waits for the lock, the lease in its hand
    assert (await store.load(["a"]))["a"].events == []
    await store.commit(Batch(journal=[event(1)]))


async def test_a_transaction_that_breaks_before_its_commit_is_aborted(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    epoch = store.epoch
    async with Blocker(postgres_backend.dsn):
        commit = asyncio.create_task(store.commit(Batch(journal=[event(1)], rows=[space()])))
        pid = await blocked(postgres_backend.connection, "sangha space/shared:1/0")
        await postgres_backend.connection.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(CommitAborted) as aborted:
            await commit
    assert not aborted.value.data_error
    await store.commit(Batch(journal=[event(1)], rows=[space()]))
    assert store.epoch == epoch


async def test_a_commit_that_is_cancelled_in_flight_is_in_doubt(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    async with Blocker(postgres_backend.dsn):
        commit = asyncio.create_task(store.commit(Batch(journal=[event(1)])))
        await blocked(postgres_backend.connection, "sangha space/shared:1/0")
        commit.cancel()
        with pytest.raises(asyncio.CancelledError):
            await commit
    with pytest.raises(CommitAborted):
        await store.commit(Batch())
    await store.settle()
    await store.commit(Batch())


async def test_a_new_writer_is_named_in_the_lease(postgres_backend: PostgresBackend, store: PostgresStore) -> None:
    before = await postgres_backend.connection.fetchval("SELECT backend_pid FROM shard_leases")
    store._writer.terminate()
    await store.commit(Batch(journal=[event(1)]))
    after = await postgres_backend.connection.fetchval("SELECT backend_pid FROM shard_leases")
    assert after == await store._writer.fetchval("SELECT pg_backend_pid()") != before


async def test_the_server_says_why_it_refused_and_the_writer_goes_on(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    await postgres_backend.connection.execute("ALTER TABLE journal RENAME TO hidden")
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(Batch(journal=[event(1)]))
    assert not aborted.value.data_error
    assert isinstance(aborted.value.__cause__, asyncpg.UndefinedTableError)
    await postgres_backend.connection.execute("ALTER TABLE hidden RENAME TO journal")
    await store.commit(Batch(journal=[event(1)]))


async def test_counting_a_use_does_not_write_the_module_again(
    postgres_backend: PostgresBackend, store: PostgresStore
) -> None:
    uploaded = ritual(wasm_module_data=bytes(2**20))
    await store.commit(Batch(rows=[uploaded]))
    toast = await postgres_backend.connection.fetchval(
        "SELECT reltoastrelid::regclass::text FROM pg_class WHERE oid = 'sacred_rituals'::regclass"
    )
    chunks = f"SELECT xmin::text FROM {toast}"
    written = await postgres_backend.connection.fetch(chunks)
    used = {"id": uploaded.values["id"], "usage_count": 1}
    await store.commit(Batch(rows=[Upsert(table="sacred_rituals", values=used)]))
    assert await postgres_backend.connection.fetch(chunks) == written


# ── a server that dies ──


@pytest.fixture
async def own_server(data_dir: Path) -> AsyncIterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir)
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.stop)


async def test_a_store_outlives_a_killed_server(own_server: EmbeddedPostgres) -> None:
    await migrate(own_server.dsn)
    connection = await connect(own_server.dsn, application_name="test")
    incarnation = (await claim_cluster(connection)).incarnation
    connection.terminate()
    store = PostgresStore(own_server.dsn, kind="space", layout=LAYOUT, shard=0, incarnation=incarnation)
    await store.acquire()
    await store.commit(Batch(journal=[event(1)]))
    assert len((await store.load(["a"]))["a"].events) == 1

    pid = own_server.pid
    assert pid is not None
    for process in (psutil.Process(pid), *psutil.Process(pid).children()):
        process.kill()
    with pytest.raises((CommitUnknown, CommitAborted)):
        await store.commit(Batch(journal=[event(2)]))
    with pytest.raises(StoreDown):
        await store.settle()
    with pytest.raises(StoreDown):
        await store.load(["a"])
    with pytest.raises(CommitAborted):
        await store.commit(Batch(journal=[event(2)]))

    await asyncio.to_thread(own_server.start)
    assert own_server.pid != pid
    await store.settle()
    await store.commit(Batch(journal=[event(2)]))
    assert [row.seq for row in (await store.load(["a"]))["a"].events] == [1, 2]
    await store.close()


# ── sealing ──


def sealed_store(
    backend: PostgresBackend, seal: Sealer | None, kind: str = "practitioner", sealed: bool = True
) -> PostgresStore:
    store = PostgresStore(
        backend.dsn, kind=kind, layout=LAYOUT, shard=0, incarnation=backend.incarnation, seal=seal, sealed=sealed
    )
    backend.stores.append(store)
    return store


async def test_a_practitioners_payloads_are_sealed_at_rest(postgres_backend: PostgresBackend) -> None:
    seal = Sealer(b"k" * 32)
    store = sealed_store(postgres_backend, seal)
    await store.acquire()
    row = practitioner()
    await store.commit(Batch(journal=[operation(1, "s:1")], checkpoints=[checkpoint(0)], rows=[row]))

    (kept,) = await postgres_backend.rows("journal")
    (kept_checkpoint,) = await postgres_backend.rows("checkpoints")
    (kept_row,) = await postgres_backend.rows("practitioners")
    assert is_sealed(kept["data"])
    assert is_sealed(kept["reply"])
    assert is_sealed(kept_checkpoint["data"])
    envelope = from_text(kept_row["archetypal_preferences"])
    place = ("practitioners.archetypal_preferences", row.values["id"], 0)
    assert seal.unseal(envelope, *place) == b'{"sage":1}'

    loaded = (await store.load(["a"]))["a"]
    assert (loaded.checkpoint, loaded.events) == (checkpoint(0), [operation(1, "s:1")])
    (found,) = (await store.find_operations("a", 10, ["s:1"])).operations
    assert found.reply == b'{"r":1}'
    unknown = await sealed_store(postgres_backend, None).load(["a", "b"])
    assert "no key is configured" in (unknown["a"].unreadable or "")
    assert unknown["b"].unreadable is None


async def test_rows_from_before_the_key_stay_readable(postgres_backend: PostgresBackend) -> None:
    plain = sealed_store(postgres_backend, None)
    await plain.acquire()
    await plain.commit(Batch(journal=[operation(1, "s:1")]))
    sealed = sealed_store(postgres_backend, Sealer(b"k" * 32))
    await sealed.acquire()
    await sealed.commit(Batch(journal=[event(2)]))
    assert (await sealed.load(["a"]))["a"].events == [operation(1, "s:1"), event(2)]


async def test_a_kind_that_is_not_sealed_keeps_its_journal_plain_and_seals_its_rows(
    postgres_backend: PostgresBackend,
) -> None:
    store = sealed_store(postgres_backend, Sealer(b"k" * 32), kind="ritual", sealed=False)
    await store.acquire()
    await store.commit(Batch(journal=[event(1)], checkpoints=[checkpoint(0)], rows=[practitioner()]))
    (kept,) = await postgres_backend.rows("journal")
    assert not is_sealed(kept["data"])
    assert not is_sealed((await postgres_backend.rows("checkpoints"))[0]["data"])
    assert is_sealed(from_text((await postgres_backend.rows("practitioners"))[0]["archetypal_preferences"]))

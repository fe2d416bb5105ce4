"""What only a real server shows of versioned rows: a commit that ends in the midst of them, and how they are looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from backends import PostgresBackend
from making import NOW, event

from actors.runtime.entity import End, Trim
from actors.runtime.ports import LIVE, Batch, CommitAborted, CommitUnknown, Fenced, Versions
from storage.flight import Copy, Flight
from storage.pool import connect
from storage.statements import statement
from storage.store import PostgresStore
from storage.versions import trim_statements, version_steps

TABLE = "eustress_entity_versions"
KEPT = "space_name_id_idx"


@pytest.fixture
async def shard(postgres_backend: PostgresBackend) -> PostgresStore:
    shard = postgres_backend.store()
    await shard.acquire()
    assert isinstance(shard, PostgresStore)
    return shard


class Blocker:
    """Holds the versions so that a commit waits in the server before it reads a row."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    async def __aenter__(self) -> Blocker:
        self.connection = await connect(self.dsn, application_name="blocker", statement_timeout_s=0)
        await self.connection.execute("BEGIN; LOCK TABLE eustress_entity_versions IN EXCLUSIVE MODE")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connection.close()

    async def waiting(self) -> int:
        """The backend that waits for us, as soon as there is one."""
        while True:
            pid = await self.connection.fetchval(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'sangha space%' AND wait_event_type = 'Lock'"
            )
            if pid is not None:
                return int(pid)


def begun(id_: str, since: int = 1, data: bytes = b"{}") -> tuple[Any, ...]:
    return ("s", id_, since, NOW, 3, 1.5, 2.5, 3.5, None, 0, None, data, LIVE, None)


def batch(rows: Sequence[tuple[Any, ...]]) -> Batch:
    return Batch(journal=[event(1, "s")], versions=[Versions(table=TABLE, begins=rows)])


async def test_a_takeover_in_the_midst_of_a_copy_leaves_nothing(
    postgres_backend: PostgresBackend, shard: PostgresStore
) -> None:
    second = postgres_backend.store()
    async with Blocker(postgres_backend.dsn) as blocker:
        commit = asyncio.create_task(shard.commit(batch([begun("a")])))
        await blocker.waiting()
        await asyncio.wait_for(second.acquire(), 3)
        with pytest.raises((CommitUnknown, CommitAborted, Fenced)):
            await commit
    with pytest.raises(Fenced):
        await shard.settle()
    assert await postgres_backend.rows(TABLE) == []
    assert (await second.load(["s"]))["s"].events == []
    await second.commit(batch([begun("a")]))
    assert len(await second.load_live("s", TABLE)) == 1


async def test_a_connection_that_ends_while_a_copy_waits_to_be_read_ends_the_commit(
    postgres_backend: PostgresBackend, shard: PostgresStore
) -> None:
    """More than a socket holds is on its way, so that the driver waits for room that there will never be."""
    rows = [begun(str(n), data=b'"%s"' % (b"x" * 60_000)) for n in range(300)]
    async with Blocker(postgres_backend.dsn) as blocker:
        commit = asyncio.create_task(shard.commit(batch(rows)))
        pid = await blocker.waiting()
        await blocker.connection.fetchval("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(CommitAborted) as aborted:
            await asyncio.wait_for(commit, 5)
        assert not aborted.value.data_error
    await shard.commit(batch(rows))
    assert len(await shard.load_live("s", TABLE)) == 300


async def test_a_page_ends_at_its_bytes(shard: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.store.PAGE_BYTES", 100)
    await shard.commit(batch([begun(str(n), data=b'"%s"' % bytes([65 + n] * 60)) for n in range(5)]))
    first = await shard.load_live("s", TABLE)
    assert [row[1] for row in first] == ["0", "1"]
    assert [row[1] for row in await shard.load_live("s", TABLE, first[-1])] == ["2", "3"]


async def test_a_value_of_another_type_is_a_data_error_and_the_next_commit_goes_well(shard: PostgresStore) -> None:
    wrong = (*begun("a")[:5], "no number", *begun("a")[6:])
    with pytest.raises(CommitAborted) as aborted:
        await shard.commit(batch([begun("b"), wrong]))
    assert aborted.value.data_error
    await shard.commit(batch([begun("b")]))
    assert len(await shard.load_live("s", TABLE)) == 1


async def test_rows_are_looked_up_by_an_index_where_nothing_is_known_of_the_table(
    postgres_backend: PostgresBackend, shard: PostgresStore
) -> None:
    """Any index that begins with the space would do while the table is small, and not for long."""
    await shard.commit(batch([begun(f"{n:05}") for n in range(3_000)]))
    ends = [End(table=TABLE, key=("s", f"{n:05}"), since=1, until=2, at=NOW) for n in range(100)]
    (ending,) = version_steps([Versions(table=TABLE, ends=ends)])
    (trimming,) = trim_statements([Trim(table=TABLE, entity_id="s", before=NOW, limit=10)])
    connection = postgres_backend.connection
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(statement("versions/begin"))
    for step, index in ((ending, KEPT), (trimming, "space_name_ended_at_idx")):
        explained = await connection.fetch(f"EXPLAIN {statement(step.name)}", *step.arguments)
        plan = "\n".join(row[0] for row in explained)
        assert index in plan
        assert "flux_position_idx" not in plan
        assert "Seq Scan" not in plan
        assert "Tid Scan" in plan
    await connection.execute("ROLLBACK")


async def test_rows_of_many_bytes_go_in_several_copies_that_each_have_their_time(
    shard: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.versions.CHUNK_BYTES", 100)
    rows = [begun(str(n), data=b'"%s"' % (b"x" * size)) for n, size in enumerate((500, 40, 40, 40, 1, 500))]
    copies = version_steps([Versions(table=TABLE, begins=rows)])
    assert [len(copy.records) for copy in copies if isinstance(copy, Copy)] == [1, 2, 2, 1]
    assert Flight(None, None, [], copies).patience == 4  # type: ignore[arg-type]
    await shard.commit(batch(rows))
    assert len(await shard.load_live("s", TABLE)) == 6

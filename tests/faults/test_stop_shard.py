"""A process that is stopped (SIGSTOP: a frozen container, a paused machine) and may wake: it is replaced and harms nobody.

Mid-commit is meant: the shard has sent its transaction and stops before it says COMMIT, so that its backend stands open with
the lease's row locked. That state is reached by holding the row from outside until the commit waits for it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from harness import RunningServer, measured, runs, until
from harness_load import Load

from actors.runtime.cell import Work
from actors.runtime.entity import Address, Caller
from actors.runtime.shard import Shard
from actors.runtime.wire import Answer
from actors.space.commands import UpdateSpace
from actors.space.entity import SpaceKind
from server.host import SystemClock
from storage.store import PostgresStore

STOPPED_S = 60.0
WITHIN_S = 40.0
WRITER = "sangha space/shared:1/0"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A space shard that stands in mid-commit."""

    pid: int
    at: float
    backend: int
    update: asyncio.Task[Any]
    """The command in that commit."""


@asynccontextmanager
async def connection_to(server: RunningServer) -> AsyncIterator[asyncpg.Connection]:
    connection = await server.connect()
    try:
        yield connection
    finally:
        await connection.close()


async def stop_in_mid_commit(server: RunningServer, load: Load, pid: int) -> Stopped:
    """Stop the space shard between what it wrote and its COMMIT, while more commands come in."""
    await load.quiet()
    async with connection_to(server) as holder, connection_to(server) as watcher:
        await holder.execute("BEGIN")
        await holder.execute("SELECT 1 FROM shard_leases WHERE kind = 'space' FOR UPDATE")
        update = asyncio.create_task(
            load.guests[0].client.request("space.update", space=load.spaces[0], shared_state={"held": True})
        )
        backend = await until(lambda: _backend(watcher, "wait_event_type = 'Lock'"), "the commit waits for the lease")
        load.go()
        at = server.hit(pid, signal.SIGSTOP)
        await holder.execute("ROLLBACK")
        await until(lambda: _backend(watcher, "state = 'idle in transaction'"), "the transaction stands open")
    return Stopped(pid, at, backend, update)


async def _backend(connection: asyncpg.Connection, condition: str) -> int | None:
    pid: int | None = await connection.fetchval(
        f"SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND {condition}", WRITER
    )
    return pid


async def test_a_shard_stopped_in_mid_commit_is_taken_over() -> None:
    """The coordinator kills it by its pid, so it never wakes; its open transaction does not hold the successor up."""
    async with RunningServer() as server, Load(server) as load:
        epochs = load.epochs
        stopped = await stop_in_mid_commit(server, load, await server.pid_of("space/0"))
        measured("SIGSTOP space/0 in mid-commit", took := await load.recovered(stopped.at))
        assert took <= WITHIN_S
        assert not runs(stopped.pid)
        async with connection_to(server) as connection:
            assert not await connection.fetchval("SELECT 1 FROM pg_stat_activity WHERE pid = $1", stopped.backend)
        assert (await stopped.update)["shared_state"] == {"held": True}
        await load.check()
        assert load.epochs["space", "shared:1", "0"] > epochs["space", "shared:1", "0"]
        assert [event.event for _, event in load.guests[0].seen].count("updated") == 1
        assert await server.stop() == 0


@pytest.mark.timeout(400)
async def test_a_shard_that_wakes_after_sixty_seconds_never_writes_answers_or_pushes() -> None:
    """Nobody kills it (whoever would is stopped too), and a successor of the test's own takes over and writes."""
    async with RunningServer() as server, Load(server) as load:
        others = {name: await server.pid_of(name) for name in ("gateway/0", "practitioner/0", "coordinator")}
        shard = await server.pid_of("space/0")
        server.hit("serve", signal.SIGSTOP)
        server.hit(others["coordinator"], signal.SIGSTOP)
        stopped = await stop_in_mid_commit(server, load, shard)
        async with connection_to(server) as connection:
            epoch = await take_over_and_write(server, load, connection)
            written = await _events(connection)
            await asyncio.sleep(max(0.0, stopped.at + STOPPED_S - time.monotonic()))  # the fault itself lasts so long
            assert not stopped.update.done()
            woken_at = server.hit(stopped.pid, signal.SIGCONT)

            async def gone_without_a_write() -> bool:
                now = await connection.fetchrow(
                    "SELECT (SELECT epoch FROM shard_leases WHERE kind = 'space' AND layout = 'shared:1') AS epoch,"
                    " (SELECT count(*) FROM journal WHERE kind = 'space') AS events"
                )
                assert now["events"] == written or now["epoch"] > epoch, "the old owner wrote"
                return not runs(stopped.pid)

            await until(gone_without_a_write, "the old owner ends by itself")
        gone_at = time.monotonic()
        measured("SIGCONT after 60 s, the fenced shard ended", gone_at - woken_at)
        server.hit(others["coordinator"], signal.SIGCONT)
        server.hit("serve", signal.SIGCONT)
        measured("SIGCONT after 60 s, clients answered again", await load.recovered(woken_at))
        assert not said_between(load, stopped.at, gone_at), "the old owner spoke"
        assert (await stopped.update)["shared_state"] == {"held": True}
        await load.check()
        assert (await load.guests[0].client.request("space.get", space=load.spaces[0]))["purpose"] == "taken over"
        for name in ("gateway/0", "practitioner/0"):
            assert await server.pid_of(name) == others[name], f"{name} was killed though it was well"
        assert await server.stop() == 0


async def _events(connection: asyncpg.Connection) -> int:
    return int(await connection.fetchval("SELECT count(*) FROM journal WHERE kind = 'space'"))


def said_between(load: Load, since: float, until_: float) -> list[Any]:
    """What the space shard said to anybody in that time: answers and pushes."""
    answers = [a for g in load.guests for a in g.writer.acknowledged if since < a.ended_at <= until_]
    return answers + [event for guest in load.guests for at, event in guest.seen if since < at <= until_]


async def take_over_and_write(server: RunningServer, load: Load, connection: asyncpg.Connection) -> int:
    """A real shard of ours takes the lease and commits an event of the first space; its epoch."""
    incarnation = await connection.fetchval("SELECT incarnation FROM cluster_owner")
    store = PostgresStore(server.dsn, kind="space", layout="shared:1", shard=0, incarnation=incarnation)
    began = time.monotonic()
    epoch = await store.acquire()
    measured("takeover of a lease whose owner stands in mid-commit", time.monotonic() - began)
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    shard = Shard(SpaceKind(), store, clock=SystemClock(), post=Nobody(), halt=pytest.fail)
    command = UpdateSpace(purpose="taken over")
    caller = Caller(load.guests[0].id, "g0", guest=True)
    shard.submit(Work(load.spaces[0], command, peer=Outlet(answer), caller=caller, operation="successor:1"))
    assert isinstance(await answer, Answer)
    await shard.stop()
    await store.close()
    return epoch


class Outlet:
    """The one answer that is waited for."""

    name = "test"

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self._answer = answer

    def send(self, message: Any) -> None:
        if not self._answer.done():
            self._answer.set_result(message)


class Nobody:
    """No other entity."""

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        raise AssertionError(f"nothing is owed to {target}")

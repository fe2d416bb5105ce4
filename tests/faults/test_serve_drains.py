"""SIGTERM drains: sockets are told to come back, what was under way is finished, exit 0. A second signal does not wait."""

from __future__ import annotations

import asyncio
import signal
import time

import asyncpg
import orjson
import pytest
from harness import measured, until
from harness_load import Load
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

AT_ONCE_S = 10.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def last_words(socket: ClientConnection) -> dict[str, object]:
    """What the server says last before it closes."""
    said: dict[str, object] = {}
    try:
        while True:
            said = orjson.loads(await socket.recv())
    except ConnectionClosed:
        return said


async def test_sigterm_drains_and_clients_resume_on_the_next_start_without_a_gap(load: Load) -> None:
    server = load.server
    async with connect(server.url.replace("http", "ws") + "/ws") as socket:
        await socket.send('{"id":1,"type":"auth","guest":"watcher"}')
        saying = asyncio.create_task(last_words(socket))
        at = server.hit("serve", signal.SIGTERM)
        bye = await saying
        assert bye["type"] == "bye"
        assert bye["code"] == "draining"
        assert isinstance(bye["retry_after_ms"], int)
        assert socket.close_code == 1001
    assert await server.exited() == 0
    measured("SIGTERM under load, exit", time.monotonic() - at)
    assert not server.left()
    assert not (server.data_dir / "server.json").exists()
    await server.start()
    await load.recovered(time.monotonic())
    await load.check()


async def test_a_second_signal_ends_at_once_and_loses_nothing(load: Load) -> None:
    server = load.server
    load.go()
    await load.recovered(time.monotonic())
    blocker = await server.connect()
    try:
        await block_commits(blocker)
        server.hit("serve", signal.SIGTERM)
        await until(lambda: any(m["message"] == "draining" for m in server.messages()), "it drains")
        at = server.hit("serve", signal.SIGTERM)
        assert await server.exited() != 0
        took = time.monotonic() - at
    finally:
        await blocker.close()
    measured("second signal, exit", took)
    assert took <= AT_ONCE_S
    await server.start()
    await load.recovered(time.monotonic())
    await load.check()


async def block_commits(connection: asyncpg.Connection) -> None:
    """No commit of the space shard goes through, so that a drain has something to wait for."""
    await connection.execute("BEGIN")
    await connection.execute("SELECT 1 FROM shard_leases WHERE kind = 'space' FOR UPDATE")

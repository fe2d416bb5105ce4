"""Clients that stop reading, vanish without a FIN, or come all at once: each hurts only itself.

Against a whole server, with a short heartbeat, a short grace of presence and a small outbox; a raw socket where a client
must not read, for every library reads ahead.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import psutil
import pytest
import pytest_asyncio
from harness import RunningServer, measured, until
from proxy import Proxy

from actors.runtime.errors import Full
from server.client import Client, Stream
from server.ws import closing

OUTBOX_BYTES = 256 * 1024
HEARTBEAT_S = 2
GRACE_S = 1
BODY = "x" * 8_000
FLOOD = 1_200
"""Messages of 8 kB: many times what the outbox and the kernel's buffers of a socket hold."""
ENOUGH = 800
"""By then both are full: 4 MiB in the kernel at most, and the outbox."""
PATIENCE_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer(
        SANGHA_OUTBOX_BYTES=str(OUTBOX_BYTES),
        SANGHA_HEARTBEAT_S=str(HEARTBEAT_S),
        SANGHA_PRESENCE_GRACE_S=str(GRACE_S),
    ) as server:
        yield server


pytestmark = pytest.mark.asyncio(loop_scope="module")


class RawSocket:
    """A WebSocket client by hand, which reads only when told."""

    def __init__(self, port: int) -> None:
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that little waits in the kernel
        self._sock.setblocking(False)
        self._port = port
        self.buffer = b""
        self.offset = 0
        """Of the last push that was read."""
        self.auth: dict[str, Any] = {}

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self._sock, ("127.0.0.1", self._port))
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        request = (
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await loop.sock_sendall(self._sock, request.encode())
        while b"\r\n\r\n" not in self.buffer:
            await self._more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert b" 101 " in head.splitlines()[0]

    async def send(self, **frame: Any) -> None:
        data, mask = json.dumps(frame).encode(), os.urandom(4)
        assert len(data) < 2**16
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))
        await asyncio.get_running_loop().sock_sendall(self._sock, b"\x81" + length + mask + masked)

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and payload."""
        while True:
            if len(self.buffer) >= 2:
                length, at = self.buffer[1] & 0x7F, 2
                if length >= 126:
                    size = 2 if length == 126 else 8
                    length, at = int.from_bytes(self.buffer[2 : 2 + size], "big"), 2 + size
                if len(self.buffer) >= at + length:
                    opcode, payload = self.buffer[0] & 0x0F, self.buffer[at : at + length]
                    self.buffer = self.buffer[at + length :]
                    return opcode, payload
            await self._more()

    async def json(self) -> dict[str, Any]:
        """The next text frame."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 1:
                frame: dict[str, Any] = json.loads(payload)
                return frame

    async def read_to_the_end(self) -> int | None:
        """Everything that had been sent, which has no gap; the close code, or None where the end came without."""
        try:
            while True:
                opcode, payload = await self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big")
                if opcode == 1 and (offset := json.loads(payload).get("offset")):
                    assert offset == self.offset + 1
                    self.offset = offset
        except ConnectionResetError:
            return None

    async def _more(self) -> None:
        data = await asyncio.get_running_loop().sock_recv(self._sock, 2**16)
        if not data:
            raise ConnectionResetError("the end")
        self.buffer += data

    def close(self) -> None:
        self._sock.close()


async def enter(
    server: RunningServer, stack: AsyncExitStack, name: str, space: str, **options: Any
) -> tuple[Client, Stream]:
    """A guest in a space."""
    client = await stack.enter_async_context(Client(server.url, guest=name, **options))
    return client, await stack.enter_async_context(client.join(space, leave=False))


async def a_space(client: Client, **fields: Any) -> str:
    """A new open space."""
    made = await client.create_space("s", purpose="p", access_level="open", **fields)
    return str(made["id"])


async def listen(stream: Stream, heard: list[tuple[float, Any]], count: int) -> None:
    """So many messages of a stream, each with when it came."""
    async for event in stream:
        if event.event == "message":
            heard.append((time.monotonic(), event))
            if len(heard) == count:
                return


async def doze(server: RunningServer, stack: AsyncExitStack, name: str, space: str) -> RawSocket:
    """Somebody who joins and from then on does not read."""
    sleeper = RawSocket(server.port)
    stack.callback(sleeper.close)
    await sleeper.open()
    await sleeper.send(id=1, type="auth", guest=name)
    sleeper.auth = (await sleeper.json())["result"]
    await sleeper.send(id=2, type="space.join", space=space)
    while (frame := await sleeper.json()).get("event") != "presence":
        if frame["type"] == "snapshot":
            sleeper.offset = frame["offset"]
    assert frame["full"]
    return sleeper


async def until_sockets(server: RunningServer, count: int) -> None:
    """Wait until the gateway has so many."""

    async def so_many() -> bool:
        return bool((await server.status())["gateways"][0]["sockets"] == count)

    await until(so_many, f"{count} sockets")


async def test_a_client_that_stops_reading_is_closed_and_nobody_else_notices(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(Client(server.url, guest="speaker"))
        space = await a_space(speaker)
        talk = await stack.enter_async_context(speaker.join(space, leave=False))
        others = [(await enter(server, stack, f"g{n}", space))[1] for n in range(3)]
        sleeper = await doze(server, stack, "sleeper", space)
        await doze(server, stack, "dead", space)
        await until_sockets(server, 6)
        gateway = psutil.Process(await server.pid_of("gateway/0"))
        uss = gateway.memory_full_info().uss
        heard: list[list[tuple[float, Any]]] = [[] for _ in others]
        listening = [
            asyncio.create_task(listen(stream, into, FLOOD)) for stream, into in zip(others, heard, strict=True)
        ]
        listening.append(asyncio.create_task(listen(talk, [], FLOOD)))
        said: list[float] = []
        peak = most_waiting = 0
        code: asyncio.Task[int | None] | None = None
        for n in range(FLOOD):
            said.append(time.monotonic())
            await talk.send([n, BODY])
            if n % 20 == 0:
                peak = max(peak, gateway.memory_full_info().uss)
                most_waiting = max(most_waiting, (await server.status())["gateways"][0]["outbox_bytes"])
            if n == ENOUGH:  # both have been told to go by now; one wakes up
                code = asyncio.create_task(sleeper.read_to_the_end())
        assert code is not None
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*listening)
            # Who takes more than the grace to wake up finds the connection aborted.
            assert await code == 4008 or time.monotonic() - said[0] > closing.GRACE_S
        await until_sockets(server, 4)
        # The others got everything, in order, at once.
        for into in heard:
            assert [event.body[0] for _, event in into] == list(range(FLOOD))
        latencies = sorted(at - said[event.body[0]] for into in heard for at, event in into)
        measured("beside two clients that do not read: delivery, median", statistics.median(latencies))
        measured("beside two clients that do not read: delivery, p99", latencies[math.floor(0.99 * len(latencies))])
        assert statistics.median(latencies) < 0.25
        assert most_waiting < 3 * OUTBOX_BYTES
        assert peak - uss < 32 * 2**20
        await resumes(server, stack, sleeper, space, talk)


async def resumes(server: RunningServer, stack: AsyncExitStack, sleeper: RawSocket, space: str, talk: Stream) -> None:
    """It comes back to where it was: what it missed, or a snapshot in its place, and no unsaid gap."""
    again = RawSocket(server.port)
    stack.callback(again.close)
    await again.open()
    auth = sleeper.auth
    resume = {"session": auth["session"], "secret": auth["secret"], "offsets": {f"space:{space}": sleeper.offset}}
    await again.send(id=1, type="auth", guest="sleeper", resume=resume)
    assert (await again.json())["result"]["resumed"]
    offset = sleeper.offset
    async with asyncio.timeout(PATIENCE_S):
        while offset < (talk.offset or 0):
            frame = await again.json()
            if frame["type"] == "snapshot":  # more than 4 MiB were missed: it says so
                assert frame["reason"] == "gap"
                offset = frame["offset"]
            elif "offset" in frame:
                assert frame["offset"] == offset + 1
                offset += 1


async def test_a_client_that_vanishes_without_a_fin_leaves_by_heartbeat_and_grace(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(("127.0.0.1", server.port)))
        watcher = await stack.enter_async_context(Client(server.url, guest="watcher"))
        space = await a_space(watcher)
        stream = await stack.enter_async_context(watcher.join(space, leave=False))
        through = f"http://127.0.0.1:{proxy.port}"
        ghost = await stack.enter_async_context(Client(through, guest="ghost"))
        await stack.enter_async_context(ghost.join(space, leave=False))
        who = ghost.practitioner["id"]
        gone = asyncio.Event()

        async def watch() -> None:
            async for event in stream:
                if event.event == "presence" and any(each["id"] == who for each in event.fields["left"]):
                    gone.set()
                    return

        watching = asyncio.create_task(watch())
        await until_sockets(server, 2)
        began = time.monotonic()
        proxy.swallow(new=True)
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
            await watching
        took = time.monotonic() - began
        measured("a client that vanished without a FIN: shown as gone after", took)
        assert took >= GRACE_S
        await until_sockets(server, 1)
        # It is a participant for ten minutes more: a place is not lost by a bad network.
        state = await watcher.request("space.get", space=space)
        assert who in [each["id"] for each in state["participants"]]
        assert who not in state["present"]


async def test_a_hundred_at_once_for_twelve_places_twelve_get_in(server: RunningServer) -> None:
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(Client(server.url, guest="host"))
        space = await a_space(host)
        clients = await asyncio.gather(
            *(stack.enter_async_context(Client(server.url, guest=f"c{n}")) for n in range(100))
        )
        outcomes = await asyncio.gather(
            *(client.request("space.join", space=space) for client in clients), return_exceptions=True
        )
        inside = [client for client, outcome in zip(clients, outcomes, strict=True) if isinstance(outcome, dict)]
        refused = [outcome for outcome in outcomes if not isinstance(outcome, dict)]
        assert len(inside) == 12
        assert [type(one) for one in refused] == [Full] * 88
        state = await host.request("space.get", space=space)
        assert state["current_participants"] == 12
        assert {each["id"] for each in state["participants"]} == {client.practitioner["id"] for client in inside}
        # One leaves, and of all that try again one more gets in.
        await inside[0].request("space.leave", space=space)
        rest = [client for client in clients if client not in inside]
        outcomes = await asyncio.gather(
            *(client.request("space.join", space=space) for client in rest), return_exceptions=True
        )
        assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
        connection = await server.connect()
        row = await connection.fetchrow(
            "SELECT current_participants FROM collective_spaces WHERE id = $1", uuid.UUID(space)
        )
        await connection.close()
        assert row["current_participants"] == 12

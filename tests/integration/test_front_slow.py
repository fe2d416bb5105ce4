"""Whoever is slow, half open or many does not keep others out. Real sockets, most of them raw."""

from __future__ import annotations

import asyncio
import gc
import resource
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import Any

import httpx
import psutil
import pytest
from gateway_fakes import ALICE, World, world

from server.http.connection import GuardedConnection
from server.http.guard import Phase

HALF_OPEN = 5_000
HEAD = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"


async def ended(reader: asyncio.StreamReader, within_s: float = 10.0) -> bytes:
    """What came until the server ended the connection."""
    came = b""
    try:
        async with asyncio.timeout(within_s):
            while chunk := await reader.read(2**16):
                came += chunk
    except ConnectionResetError:
        pass
    return came


@asynccontextmanager
async def raw(w: World, **options: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port, **options)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is in the kernel and in the server
            await asyncio.sleep(0.01)


async def test_a_head_that_drips_is_cut_and_one_that_is_whole_in_time_is_served() -> None:
    async with (
        world(header_timeout_s=1.5) as w,
        raw(w) as (dripping, slow),
        raw(w) as (served, quick),
        raw(w) as (mute, _),
    ):
        began = time.monotonic()
        quick.write(HEAD)

        async def drip() -> None:
            for byte in HEAD * 100:
                slow.write(bytes([byte]))
                await asyncio.sleep(0.05)

        dripper = asyncio.create_task(drip())
        quick.write(b"\r\n")
        assert (await served.readuntil(b"}")).startswith(b"HTTP/1.1 200")
        assert await ended(dripping) == await ended(mute) == b""
        assert 1.4 < time.monotonic() - began < 5
        dripper.cancel()
        assert w.gateway.guard.count(Phase.IDLE) == 1
        quick.write(HEAD)
        assert await ended(served) == b""


async def test_a_half_open_upgrade_is_cut_and_an_open_socket_stays() -> None:
    async with world(header_timeout_s=1.2) as w, w.guest() as client, raw(w) as (reader, writer):
        writer.write(b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        assert await ended(reader) == b""
        assert (await client.ask("ping"))["type"] == "result"
        assert w.gateway.guard.count(Phase.SOCKET) == 1


async def test_a_body_that_drips_is_cut_and_one_that_goes_on_is_taken() -> None:
    async with world(body_timeout_s=1.5) as w, raw(w) as (dripping, slow), raw(w) as (served, steady):
        w.queries.login("t", ALICE)
        text = b'{"sacred_path":"x"}'
        head = b"PUT /api/users/profile HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\n"
        for writer, length in ((slow, 100_000), (steady, 40_000)):
            writer.write(head + b"Content-Length: %d\r\n\r\n" % length)
        cut = asyncio.create_task(ended(dripping))

        async def send(writer: asyncio.StreamWriter, chunk: bytes, times: int) -> None:
            for _ in range(times):
                writer.write(chunk)
                await asyncio.sleep(0.1)

        dripper = asyncio.create_task(send(slow, b" ", 200))
        await send(steady, b" " * 1000, 40 - 1)
        steady.write(b" " * (1000 - len(text)) + text)
        assert (await served.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        assert await cut == b""
        dripper.cancel()


async def test_an_answer_that_nobody_takes_is_not_kept_for_ever() -> None:
    async with world(body_timeout_s=1.2) as w:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        with closing(small):
            await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", w.port))
            asks = (HEAD + b"\r\n") * 100

            async def ask_on() -> None:
                while True:
                    await asyncio.get_running_loop().sock_sendall(small, asks)

            asking = asyncio.create_task(ask_on())
            await until(lambda: w.gateway.guard.count(Phase.BUSY) == 1)
            await until(lambda: len(w.gateway.guard) == 0, 60)  # megabytes wait in the kernel before a write does
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            assert w.gateway.guard.cut == 1


async def test_an_idle_connection_is_closed() -> None:
    async with world(keepalive_s=0.5) as w, raw(w) as (reader, writer):
        writer.write(HEAD + b"\r\n")
        assert (await ended(reader)).startswith(b"HTTP/1.1 200")


async def test_an_address_has_so_many_connections_and_a_trusted_proxy_all() -> None:
    for trusted, third in (((), b""), (("127.0.0.1",), b"HTTP/1.1 200")):
        async with world(connections_per_address=2, trusted_proxies=trusted) as w, AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(raw(w))
            reader, writer = await stack.enter_async_context(raw(w))
            writer.write(HEAD + b"Connection: close\r\n\r\n")
            assert (await ended(reader)).startswith(third)
            other, writer = await stack.enter_async_context(raw(w, local_addr=("127.0.0.2", 0)))
            writer.write(HEAD + b"Connection: close\r\n\r\n")
            assert (await ended(other)).startswith(b"HTTP/1.1 200")


async def test_when_all_connections_are_taken_the_slowest_gives_way_and_sockets_stay() -> None:
    async with world(connections=16) as w, w.guest() as client, AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(raw(w)) for _ in range(15)]
        await until(lambda: len(w.gateway.guard) == 16)
        for _ in range(5):
            reader, writer = await stack.enter_async_context(raw(w))
            writer.write(HEAD + b"\r\n")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200")
        for reader, _ in slow[:5]:
            assert await ended(reader) == b""
        assert (await client.ask("ping"))["type"] == "result"


def resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def half_open(port: int, count: int) -> list[socket.socket]:
    """Connections from many addresses of this machine that begin a request, or not even that."""
    found = []
    for n in range(count):
        sock = socket.socket()
        sock.bind((f"127.0.{1 + n // 200}.{1 + n % 200}", 0))
        sock.settimeout(10)
        sock.connect(("127.0.0.1", port))
        if n % 2:
            sock.send(HEAD)
        found.append(sock)
    return found


async def p99_ms(http: httpx.AsyncClient, times: int = 300) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        assert (await http.get("/health")).status_code == 200
        took.append(time.perf_counter() - began)
    return sorted(took)[int(times * 0.99)] * 1000


async def wave(w: World, count: int) -> None:
    """So many come, are cut, and are gone."""
    attackers = await asyncio.to_thread(half_open, w.port, count)
    try:
        await until(lambda: len(w.gateway.guard) >= count)
        w.gateway.guard.limits = w.gateway.guard.limits._replace(header_timeout_s=0)
        await until(lambda: not w.gateway.guard.count(Phase.HEAD))
    finally:
        for sock in attackers:
            sock.close()
        w.gateway.guard.limits = w.gateway.guard.limits._replace(header_timeout_s=60)


def connections() -> int:
    gc.collect()
    return sum(isinstance(each, GuardedConnection) for each in gc.get_objects())


@pytest.fixture
def descriptors() -> Iterator[int]:
    """How many half-open connections this process can be both ends of."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield min(HALF_OPEN, hard // 2 - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_thousands_of_half_open_connections_lock_nobody_out(descriptors: int) -> None:
    async with world(header_timeout_s=60) as w, httpx.AsyncClient(base_url=w.http, timeout=5) as http:
        calm = await p99_ms(http)
        attackers = await asyncio.to_thread(half_open, w.port, descriptors)
        await until(lambda: len(w.gateway.guard) > descriptors)
        under = await p99_ms(http)
        async with w.guest() as client:
            assert (await client.ask("ping"))["type"] == "result"
        for sock in attackers:
            sock.close()
        print(f"{descriptors} half open: p99 calm {calm:.1f} ms, under {under:.1f} ms")  # noqa: T201 - pytest -s
        assert under < 3 * calm + 100


async def test_the_memory_of_half_open_connections_returns(descriptors: int) -> None:
    """The allocator keeps some of what it had; what matters is that the third wave costs nothing that the second did not."""
    async with world(header_timeout_s=60) as w:
        levels = []
        for _ in range(3):
            await wave(w, descriptors)
            await until(lambda: connections() == 0)
            levels.append(resident() >> 20)
        print(f"resident after each of three waves of {descriptors}: {levels} MiB")  # noqa: T201 - pytest -s
        assert levels[2] - levels[1] < 8

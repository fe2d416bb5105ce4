"""A socket that has ended is gone at once, however it ended: what would wait for Python's cyclic collector, or for a timer, holds
up everybody else when sockets come and go by the thousand."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
from gateway_fakes import ALICE, World, until, world
from vajra_world import sound_world

from actors.audio_session import commands as c
from actors.runtime.entity import Caller

UPGRADE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%b\r\n"
)
BEARER = b"Authorization: Bearer t\r\n"
KEPT = ("Connection", "Frames", "Request", "GuardedConnection", "Outbox", "WebSocketReader", "WebSocketDataQueue")
SOUND = ("VajraSocket", "Vajra", "Ear", "Follower", "Playout", "Renderer")
SOCKETS = 5
SESSION = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def frame(opcode: int, data: bytes) -> bytes:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked


AUTH = frame(1, b'{"id":1,"type":"auth","guest":"g"}')
OWNER = frame(1, b'{"id":1,"type":"auth"}')
LISTEN = frame(1, b'{"id":2,"type":"audio.listen","session":"%b","spectrum":true}' % SESSION.encode())


def reset(writer: Writer) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def says_goodbye(reader: Reader, writer: Writer) -> None:
    writer.write(frame(8, struct.pack("!H", 1000)))
    await reader.read()


async def hangs_up(_reader: Reader, writer: Writer) -> None:
    writer.close()


async def resets(_reader: Reader, writer: Writer) -> None:
    reset(writer)


async def asks_and_resets(_reader: Reader, writer: Writer) -> None:
    for n in range(2, 90):
        writer.write(frame(1, b'{"id":%d,"type":"ping"}' % n))
        writer.write(frame(9, b"x" * 100))
    await writer.drain()
    reset(writer)


async def babbles(reader: Reader, writer: Writer) -> None:
    for _ in range(12):
        writer.write(frame(1, b"{"))
    await reader.read()


async def breaks_the_protocol(reader: Reader, writer: Writer) -> None:
    writer.write(b"\x83\x00\xff\xff")
    await reader.read()


async def end_one(
    w: World,
    end: Callable[[Reader, Writer], Awaitable[None]],
    hello: bytes,
    path: bytes = b"/ws",
    headers: bytes = b"",
    until_heard: bytes = b"",
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    writer.write(UPGRADE % (path, headers))
    await reader.readuntil(b"\r\n\r\n")
    if hello:
        writer.write(hello)
        await reader.read(100)
    if until_heard:
        await reader.readuntil(until_heard)
    with suppress(ConnectionError):
        await end(reader, writer)
    writer.close()


def alive() -> Counter[str]:
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in (*KEPT, *SOUND))


async def gone(names: tuple[str, ...], before: Counter[str]) -> None:
    """Nothing of these is left that was not there before. To look at all objects takes a while."""
    async with asyncio.timeout(10):
        while not Counter({name: count for name, count in alive().items() if name in names}) <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.fixture
def no_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Who does not answer our close is waited for no longer than it takes."""
    monkeypatch.setattr("server.gateway.GRACE_S", 0.2)
    monkeypatch.setattr("server.gateway.SWEEP_S", 0.1)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("hello", [AUTH, b""], ids=["known", "stranger"])
@pytest.mark.parametrize(
    "end",
    [says_goodbye, hangs_up, resets, asks_and_resets, babbles, breaks_the_protocol],
    ids=lambda each: each.__name__,
)
@pytest.mark.usefixtures("no_collector")
async def test_a_socket_that_ended_is_gone_at_once(
    end: Callable[[Reader, Writer], Awaitable[None]], hello: bytes
) -> None:
    async with world() as w:
        await end_one(w, end, hello)  # what is made once
        await until(lambda: not w.gateway._connections)
        gc.collect()
        before = alive()
        for _ in range(SOCKETS):
            await end_one(w, end, hello)
        await gone((*KEPT, *SOUND), before)


@pytest.mark.parametrize(
    ("path", "hello", "heard"),
    [(b"/ws/vajra", b"", b"realtime_data"), (b"/ws", OWNER + LISTEN, b"SA\x01")],
    ids=["vajra", "listener"],
)
@pytest.mark.parametrize("end", [says_goodbye, resets, breaks_the_protocol], ids=lambda each: each.__name__)
@pytest.mark.usefixtures("no_collector")
async def test_nothing_of_who_hears_sound_stays_either(
    end: Callable[[Reader, Writer], Awaitable[None]], path: bytes, hello: bytes, heard: bytes
) -> None:
    async with sound_world() as w:
        w.queries.login("t", ALICE)
        session = w.shards.session(SESSION, ALICE, audio_type="pure_sine", duration=3_600)
        w.shards.tell(session, c.Start(), Caller(ALICE))
        await end_one(w, end, hello, path, BEARER, heard)  # what is made once
        await gone(SOUND, Counter())
        before = alive()
        for _ in range(SOCKETS):
            await end_one(w, end, hello, path, BEARER, heard)
        await gone((*KEPT, *SOUND), before)

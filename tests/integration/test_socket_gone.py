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
from gateway_fakes import World, until, world

UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
KEPT = ("Connection", "Frames", "Request", "GuardedConnection", "Outbox", "WebSocketReader", "WebSocketDataQueue")
SOCKETS = 5

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def frame(opcode: int, data: bytes) -> bytes:
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + masked


AUTH = frame(1, b'{"id":1,"type":"auth","guest":"g"}')


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


async def end_one(w: World, end: Callable[[Reader, Writer], Awaitable[None]], hello: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    writer.write(UPGRADE)
    await reader.readuntil(b"\r\n\r\n")
    if hello:
        writer.write(hello)
        await reader.read(100)
    with suppress(ConnectionError):
        await end(reader, writer)
    writer.close()


def alive() -> Counter[str]:
    return Counter(name for each in gc.get_objects() if (name := type(each).__name__) in KEPT)


@pytest.fixture
def no_collector() -> Iterator[None]:
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
        await until(lambda: alive() <= before)

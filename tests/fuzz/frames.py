"""WebSocket frames by hand, right and wrong, and a client that sends whatever it is told and hears all that comes back."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random
from typing import Any, Self
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0
HEARD_MAX = 20_000
"""Frames that are kept of one connection; a case is small."""


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """One frame. ``length`` lies about the payload's; ``width`` (0, 2, 8 bytes) spells it longer than it has to be."""
    size = len(payload) if length is None else length
    if width is None:
        width = 0 if size < 126 else 2 if size < 2**16 else 8
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    masked = 0x80 if mask is not None else 0
    head += bytes([masked | (size if width == 0 else 126 if width == 2 else 127)])
    head += size.to_bytes(width, "big") if width else b""
    if mask is None:
        return head + payload
    repeated = (mask * (len(payload) // 4 + 1))[: len(payload)]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big") if payload else 0
    return head + mask + body.to_bytes(len(payload), "big")


def text(value: Any) -> bytes:
    """A right text frame of JSON (or of bytes, as they are)."""
    return frame(value if isinstance(value, bytes) else json.dumps(value).encode())


def upgrade(host: str, path: str = "/ws", extra: str = "") -> bytes:
    """The request that opens a socket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{extra}\r\n"
    ).encode()


class Wire:
    """One connection. ``heard`` has every text frame as it came, ``code`` the server's close code once it has said one."""

    def __init__(self, url: str, path: str = "/ws", extra: str = "", *, source: str = "127.0.0.1") -> None:
        """``extra`` are more header lines, each with its end; ``source`` is the address to come from."""
        parts = urlsplit(url)
        self.source = source
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.path, self.extra = path, extra
        self.heard: list[dict[str, Any]] = []
        self.code: int | None = None
        self.reset = False
        self.ended = asyncio.Event()
        self.news = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(
            self.host, self.port, limit=2**22, local_addr=(self.source, 0)
        )
        self.writer.write(upgrade(f"{self.host}:{self.port}", self.path, self.extra))
        head = await self.reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n", 1)[0]:
            self.writer.close()
            raise ConnectionRefusedError(head.split(b"\r\n", 1)[0].decode())
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        """Bytes; what the server hung up on is lost, as ever."""
        with suppress(OSError):
            if not self.ended.is_set() and not self.writer.transport.is_closing():
                self.writer.write(data)
                await self.writer.drain()
        await asyncio.sleep(0)  # or a long case would never hear that it is over

    async def until(self, condition: Any, timeout_s: float) -> bool:
        """Whether it became so (a function of this wire) before the end of the connection, or of the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s), self.news:
                await self.news.wait_for(lambda: condition(self) or self.ended.is_set())
        return bool(condition(self))

    async def _read(self) -> None:
        try:
            while True:
                await self._hear(*await self._frame())
        except asyncio.IncompleteReadError:
            pass
        except OSError:
            self.reset = True
        finally:
            self.ended.set()
            async with self.news:
                self.news.notify_all()

    async def _frame(self) -> tuple[int, bytes]:
        first, size = await self.reader.readexactly(2)
        if size >= 126:
            size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.reader.readexactly(size)

    async def _hear(self, opcode: int, payload: bytes) -> None:
        if opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big") if payload else 1005
            self.writer.write(frame(payload[:2], CLOSE))
        elif opcode == PING:
            self.writer.write(frame(payload, PONG))
        elif opcode == TEXT and len(self.heard) < HEARD_MAX:
            async with self.news:
                self.heard.append(json.loads(payload))
                self.news.notify_all()

    async def enter(self, credential: dict[str, Any]) -> dict[str, Any]:
        """Authenticate; the welcome. Raises ConnectionRefusedError."""
        await self.send(text({"id": 1, "type": "auth", **credential}))
        await self.until(lambda wire: wire.heard, 30)
        if not self.heard or self.heard[0].get("type") != "result":
            raise ConnectionRefusedError(f"{self.heard[:1]} {self.code}")
        welcome: dict[str, Any] = self.heard.pop(0)["result"]
        return welcome


# --- raw cases -------------------------------------------------------------------------------------------------------

PING_REQUEST = b'{"id":7,"type":"ping"}'


def _bits(rng: Random) -> list[bytes]:
    return [frame(PING_REQUEST, rng.choice((TEXT, BINARY, PING, MORE)), rsv=rng.randint(1, 7))]


def _opcodes(rng: Random) -> list[bytes]:
    return [frame(PING_REQUEST, rng.choice((3, 4, 5, 6, 7, 11, 12, 13, 14, 15)), fin=rng.random() < 0.5)]


def _masks(rng: Random) -> list[bytes]:
    mask = rng.choice((None, bytes(4), rng.randbytes(4)))
    whole = frame(PING_REQUEST, mask=mask)
    return [whole, whole[: rng.randrange(len(whole))] + rng.randbytes(3)]


def _lengths(rng: Random) -> list[bytes]:
    length = rng.choice((0, 1, 125, 126, 127, 65_535, 65_536, 65_537, 2**31, 2**32, 2**63 - 1))
    width = rng.choice((2, 8)) if length < 2**16 else 8
    top = frame(b"", length=2**63 + rng.getrandbits(62), width=8)
    return rng.choice(([frame(rng.randbytes(rng.randrange(200)), length=length, width=width)], [top]))


def _big(rng: Random) -> list[bytes]:
    size = rng.choice((65_534, 65_535, 65_536, 65_537, 70_000, 300_000))
    pad = b" " * (size - len(PING_REQUEST))
    return [frame(PING_REQUEST + pad, rng.choice((TEXT, TEXT, BINARY)))]


def _fragments(rng: Random) -> list[bytes]:
    cuts = sorted(rng.sample(range(len(PING_REQUEST)), rng.randint(1, 6)))
    parts = [PING_REQUEST[a:b] for a, b in zip([0, *cuts], [*cuts, len(PING_REQUEST)], strict=True)]
    frames = [frame(part, TEXT if n == 0 else MORE, fin=n == len(parts) - 1) for n, part in enumerate(parts)]
    if rng.random() < 0.5:
        frames.insert(rng.randrange(len(frames)), frame(b"between", rng.choice((PING, PONG))))
    return frames


def _continuations(rng: Random) -> list[bytes]:
    return rng.choice(
        (
            [frame(PING_REQUEST, MORE)],
            [frame(b"{", fin=False), frame(PING_REQUEST)],
            [frame(b"", fin=False), frame(b"", fin=False)],
            [frame(b"{", fin=False), frame(b"{", BINARY, fin=False)],
            [frame(b"[", fin=False)] + [frame(b"", MORE, fin=False)] * rng.randint(100, 5_000),
            [frame(b"[", fin=False)] + [frame(b"[" * 500, MORE, fin=False)] * 200,
        )
    )


def _control(rng: Random) -> list[bytes]:
    opcode = rng.choice((PING, PONG, CLOSE))
    return [frame(rng.randbytes(rng.choice((0, 125, 126, 1_000))), opcode, fin=rng.random() < 0.5)]


def _utf8(rng: Random) -> list[bytes]:
    wrong = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xf0\x9f\x92"))
    whole = b'{"id":8,"type":"ping","x":"' + wrong + b'"}'
    cut = whole.index(wrong) + rng.randrange(len(wrong) + 1)
    return rng.choice(([frame(whole)], [frame(whole[:cut], fin=False), frame(whole[cut:], MORE)]))


def _close(rng: Random) -> list[bytes]:
    code = rng.choice((0, 1, 999, 1000, 1001, 1002, 1004, 1005, 1006, 1015, 1016, 2999, 3000, 4000, 4999, 5000, 65_535))
    reason = rng.choice((b"", b"bye", b"\xff\xfe", b"x" * 123))
    payload = rng.choice((code.to_bytes(2, "big") + reason, b"", b"\x03"))
    return [frame(payload, CLOSE), frame(PING_REQUEST)]


def _flood(rng: Random) -> list[bytes]:
    opcode = rng.choice((PING, PONG))
    return [frame(b"x" * rng.choice((0, 125)), opcode) * 50] * rng.randint(1, 40)


def _half(rng: Random) -> list[bytes]:
    whole = frame(PING_REQUEST)
    return [whole[: rng.randrange(1, len(whole))]]


def _noise(rng: Random) -> list[bytes]:
    return [rng.randbytes(rng.randint(1, 3_000))]


def _binary(rng: Random) -> list[bytes]:
    return [frame(PING_REQUEST, BINARY)] * rng.randint(1, 12)


def _dribble(rng: Random) -> list[bytes]:
    return [bytes([byte]) for byte in frame(PING_REQUEST)]


RAW = (
    _bits, _opcodes, _masks, _lengths, _big, _fragments, _continuations, _control, _utf8, _close, _flood, _half, _noise,
    _binary, _dribble,
)  # fmt: skip
"""What can be wrong with frames, whatever they carry."""


def raw_case(rng: Random) -> list[bytes]:
    """Pieces to send one after another: a few wrongs among right requests, sometimes with a flipped byte."""
    pieces = [text({"id": 5, "type": "ping"})] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 3)):
        pieces += rng.choice(RAW)(rng)
    if rng.random() < 0.2:
        at = rng.randrange(len(pieces))
        damaged = bytearray(pieces[at])
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        pieces[at] = bytes(damaged)
    return pieces

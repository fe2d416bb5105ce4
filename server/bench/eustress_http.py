"""HTTP/1.1 as cheap as it can be, so that a load's own cost stays out of the figures: requests that are bytes already, over
connections that are kept open, answers that are read and not looked into."""

from __future__ import annotations

import asyncio
import ssl as tls
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from server.client_events import ClientError

END_OF_HEAD: Final = b"\r\n\r\n"


class Wire:
    """One connection, one request at a time."""

    def __init__(self, url: str, token: str, ssl: tls.SSLContext | bool) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = (ssl or None) if parts.scheme == "https" else None
        self._common = f"Host: {parts.netloc}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._ssl)

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()

    def request(self, method: str, path: str, body: bytes) -> bytes:
        """All of a request."""
        return f"{method} {path} HTTP/1.1\r\n{self._common}Content-Length: {len(body)}\r\n\r\n".encode() + body

    async def send(self, request: bytes) -> bytes:
        """The answer's body. Raises ClientError where it is no success."""
        self._writer.write(request)
        head = await self._reader.readuntil(END_OF_HEAD)
        length = head.lower().find(b"content-length:")
        body = await self._reader.readexactly(int(head[length + 15 : head.find(b"\r", length)])) if length > 0 else b""
        if head[9:10] != b"2":
            raise ClientError(f"the server answered {head[9:12].decode()}: {body[:300].decode(errors='replace')}")
        return body


async def wires(url: str, token: str, ssl: tls.SSLContext | bool, count: int) -> list[Wire]:
    """So many, open."""
    made = [Wire(url, token, ssl) for _ in range(count)]
    await asyncio.gather(*(wire.open() for wire in made))
    return made


async def post_all(open_wires: Sequence[Wire], path: str, bodies: Sequence[bytes]) -> list[float]:
    """Send all bodies, each wire one after another; how long each took to be acknowledged, in seconds."""
    clock, latencies_s = asyncio.get_running_loop().time, list[float]()
    left = iter(bodies)

    async def work(wire: Wire) -> None:
        for body in left:  # shared: who is free takes the next
            request, began = wire.request("POST", path, body), clock()
            await wire.send(request)
            latencies_s.append(clock() - began)

    await asyncio.gather(*(work(wire) for wire in open_wires))
    return latencies_s


def percentile_ms(latencies_s: Iterable[float], q: float) -> float | None:
    """The q-quantile in milliseconds; None of nothing."""
    ordered = sorted(latencies_s)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * q))] * 1000, 2) if ordered else None

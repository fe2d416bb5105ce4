"""A proxy between two ends of ours that fails on purpose, to the byte.

It passes bytes on over TCP, to a TCP address or a Unix socket. It can cut a connection after exactly so many bytes of one
direction, answer late, swallow everything with the sockets left open (a half-open link: neither data nor FIN arrives), or
be gone. Faults are set by plain calls and act on what arrives after them; nothing here waits on a clock but the delay.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final

KEPT_BYTES: Final = 1024
"""Of what a client says first: enough to tell connections of PostgreSQL apart by their application_name."""


class Way(Enum):
    """A direction of a connection."""

    UP = "client to server"
    DOWN = "server to client"


class Cut:
    """A fault that waits for its byte: exactly ``after`` bytes of ``way``, counted from the arming, still pass."""

    def __init__(self, way: Way, after: int, *, server_hears: bool = True, half_open: bool = False) -> None:
        self.way, self.after = way, after
        self.server_hears = server_hears
        """False: only the client sees the end; the server's side stays open and silent."""
        self.half_open = half_open
        """Neither end sees anything: no more bytes, no end."""
        self.fired = False


class _End(asyncio.Protocol):
    """One socket of a pair."""

    def __init__(self, pair: Pair, way: Way) -> None:
        self.pair, self.way = pair, way
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.pair.made(self.way)

    def data_received(self, data: bytes) -> None:
        self.pair.received(self.way, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.pair.lost(self.way)


class Pair:
    """One client's connection and ours to the server."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.client = _End(self, Way.UP)
        self.server = _End(self, Way.DOWN)
        self.said = b""
        self.counted = {Way.UP: 0, Way.DOWN: 0}
        self.delay_s = {Way.UP: 0.0, Way.DOWN: 0.0}
        self.swallows = proxy.swallow_new
        self.cut_off = False
        self._early: list[bytes] = []
        self._late: dict[Way, deque[tuple[float, bytes]]] = {Way.UP: deque(), Way.DOWN: deque()}

    @property
    def application(self) -> str:
        """The application_name in PostgreSQL's opening message."""
        found = re.search(rb"application_name\0([^\0]*)\0", self.said)
        return found[1].decode() if found else ""

    def made(self, way: Way) -> None:
        """A socket of the pair is there."""
        if way is Way.DOWN:
            early, self._early = self._early, []
            for data in early:
                self.received(Way.UP, data)
            return
        self.proxy.opened()
        if self.proxy.gone:
            self.cut_off = True
            self.client.transport.abort()
        else:
            self.proxy.pairs.append(self)
            self.proxy.spawn(self._reach())

    async def _reach(self) -> None:
        loop, target = asyncio.get_running_loop(), self.proxy.target
        try:
            if isinstance(target, Path):
                await loop.create_unix_connection(lambda: self.server, str(target))
            else:
                await loop.create_connection(lambda: self.server, *target)
        except OSError:
            self.client.transport.abort()

    def received(self, way: Way, data: bytes) -> None:
        """Bytes from one end: on to the other, as far as the faults allow."""
        if way is Way.UP and self.server.transport is None:
            self._early.append(data)
            return
        if way is Way.UP and len(self.said) < KEPT_BYTES:
            self.said += data[:KEPT_BYTES]
        if self.swallows or self.cut_off:
            return
        cut = self.proxy.cut
        if cut is not None and cut.way is way and self.counted[way] + len(data) > cut.after:
            self._pass(way, data[: cut.after - self.counted[way]])
            self.proxy.cut, cut.fired = None, True
            if cut.half_open:
                self.swallows = True
            else:
                self.sever(server_hears=cut.server_hears)
            return
        self._pass(way, data)

    def _pass(self, way: Way, data: bytes) -> None:
        self.counted[way] += len(data)
        if self.proxy.trace is not None:
            self.proxy.trace(self, way, data)
        if not self.delay_s[way]:
            self._to(way).write(data)
            return
        loop, late = asyncio.get_running_loop(), self._late[way]
        late.append((loop.time() + self.delay_s[way], data))
        if len(late) == 1:
            loop.call_at(late[0][0], self._due, way)

    def _due(self, way: Way) -> None:
        loop, late = asyncio.get_running_loop(), self._late[way]
        while late and late[0][0] <= loop.time():
            data = late.popleft()[1]
            if not (self.swallows or self.cut_off):
                self._to(way).write(data)
        if late:
            loop.call_at(late[0][0], self._due, way)

    def release(self, way: Way) -> None:
        """What is late goes now."""
        late, self._late[way] = self._late[way], deque()
        for _, data in late:
            self._to(way).write(data)

    def _to(self, way: Way) -> Any:
        return (self.server if way is Way.UP else self.client).transport

    def sever(self, *, server_hears: bool = True) -> None:
        """End the connection: what was passed on still arrives, then the end."""
        self.cut_off = True
        self.client.transport.close()
        if server_hears and self.server.transport is not None:
            self.server.transport.close()

    def lost(self, way: Way) -> None:
        """One end hung up; the other hears of it, unless nothing gets through."""
        other = self._to(way)
        if self.cut_off or self.swallows or other is None:
            return
        other.close()

    def abort(self) -> None:
        """Away with both sockets."""
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.abort()


class Proxy:
    """See the module. ``async with Proxy(target) as proxy`` listens on ``127.0.0.1:proxy.port``."""

    def __init__(self, target: Path | tuple[str, int]) -> None:
        self.target = target
        self.port = 0
        self.pairs: list[Pair] = []
        self.cut: Cut | None = None
        self.gone = False
        self.swallow_new = False
        self.trace: Callable[[Pair, Way, bytes], None] | None = None
        """Hears what is passed on."""
        self.opened: Callable[[], None] = lambda: None
        """Hears of each attempt to connect."""
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Pair(self).client, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for pair in self.pairs:
            pair.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # the transports' last callbacks

    def spawn(self, work: Any) -> None:
        """Run beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def dsn(self, database: str) -> str:
        """A PostgreSQL DSN on a Unix socket, led through here."""
        name = database.rpartition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}?sslmode=disable"

    def open(self) -> Iterator[Pair]:
        """The connections that still stand."""
        return (
            pair for pair in self.pairs if pair.client.transport is not None and not pair.client.transport.is_closing()
        )

    # -- faults ---------------------------------------------------------------------------------------------------

    def arm(self, cut: Cut | None) -> None:
        """Cut the first connection that passes so many bytes from now on. Pairs that are over are forgotten."""
        self.cut = cut
        for pair in [pair for pair in self.pairs if pair.cut_off and pair.client.transport.is_closing()]:
            if pair.server.transport is None or pair.server.transport.is_closing():
                self.pairs.remove(pair)
        for pair in self.pairs:
            pair.counted = {Way.UP: 0, Way.DOWN: 0}

    def swallow(self, *, new: bool = False) -> None:
        """Half open: what stands now hears and says nothing any more; ``new`` connections too."""
        self.swallow_new = new
        for pair in self.pairs:
            pair.swallows = True

    def vanish(self) -> None:
        """The server is gone: connections end, new ones are refused, until ``come_back``."""
        self.gone = True
        for pair in list(self.open()):
            pair.sever()

    def come_back(self) -> None:
        """New connections are passed on again."""
        self.gone = self.swallow_new = False


def socket_of(dsn: str) -> Path:
    """The Unix socket of an embedded server's DSN."""
    from urllib.parse import parse_qs, urlsplit

    options = parse_qs(urlsplit(dsn).query)
    return Path(options["host"][0]) / f".s.PGSQL.{options['port'][0]}"

"""A small lake that keeps a cursor for each stream as the real one does, and cuts connections where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any

import orjson
from aiohttp import web

CHUNK_LINES = 5


class Cut(Exception):
    """The connection goes here."""


@dataclass
class FakeLake:
    """Streams of lines by (space, stream). ``cut_at`` says at which of the points it passes the connection goes."""

    cut_at: Callable[[int], bool] = lambda _: False
    points: int = 0
    requests: int = 0
    streams: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    """Every line that was committed, of all streams, in order."""
    refuse: Callable[[bytes], tuple[str, str] | None] = lambda _: None
    """(code, message) of a line that is not taken."""
    answers: list[web.Response] = field(default_factory=list)
    """What the next requests are answered instead."""
    tokens: set[str] = field(default_factory=set)
    chunk_lines: int = CHUNK_LINES
    hold: asyncio.Event | None = None
    """No line is committed before this."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    snapshots: list[tuple[str, int]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def point(self, request: web.Request) -> None:
        self.points += 1
        if self.cut_at(self.points):
            assert request.transport is not None
            request.transport.abort()
            raise Cut

    def _before(self, request: web.Request) -> None:
        self.requests += 1
        self.asked.set()
        self.tokens.add(request.headers.get("Authorization", ""))
        self.point(request)
        if self.answers:
            raise _Instead(self.answers.pop(0))

    async def cursor(self, request: web.Request) -> web.StreamResponse:
        self._before(request)
        name = request.match_info["stream"]
        return web.json_response(self._cursor((request.match_info["space"], name)))

    def _cursor(self, key: tuple[str, str], **more: Any) -> dict[str, Any]:
        return {"stream": key[1], "cursor": len(self.streams.get(key, ())), "version": 0, **more}

    async def snapshot(self, request: web.Request) -> web.StreamResponse:
        self._before(request)
        key = request.headers["Idempotency-Key"]
        if key not in self.keys:
            self.keys[key] = f"snapshot-{len(self.snapshots)}"
            self.snapshots.append((request.match_info["space"], len(self.order)))
        self.point(request)
        return web.json_response({"success": True, "snapshot_id": self.keys[key]})

    async def stream(self, request: web.Request) -> web.StreamResponse:
        self._before(request)
        key, first = (request.query["space"], request.query["stream"]), int(request.query["first"])
        self.streams.setdefault(key, [])
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        await self._say(answer, self._cursor(key))
        async for lines in self._chunks(request):
            self.point(request)
            if self.hold is not None:
                await self.hold.wait()
            wrong = self._commit(key, first, lines)
            first += len(lines)
            self.point(request)
            if wrong is not None:
                await self._say(answer, {"error": wrong, "cursor": len(self.streams[key])})
                return answer
            await self._say(answer, self._cursor(key))
        self.point(request)
        await self._say(answer, self._cursor(key, done=True, warnings=[], warning_count=0))
        return answer

    async def _chunks(self, request: web.Request) -> AsyncIterator[list[bytes]]:
        lines: list[bytes] = []
        rest = b""
        async for data in request.content.iter_any():
            *whole, rest = (rest + data).split(b"\n")
            lines += whole
            while len(lines) >= self.chunk_lines:
                yield lines[: self.chunk_lines]
                del lines[: self.chunk_lines]
        lines += [rest] if rest else []
        if lines:
            yield lines

    def _commit(self, key: tuple[str, str], first: int, lines: list[bytes]) -> dict[str, Any] | None:
        """All of the lines that are new, or an error and none."""
        had = self.streams[key]
        if first > len(had) + 1:
            return {"code": "conflict", "message": f"line {first} comes after line {len(had)}"}
        new = lines[len(had) - first + 1 :]
        for line in new:
            if (why := self.refuse(line)) is not None:
                return {"code": why[0], "message": why[1], "errors": []}
        had += new
        self.order += new
        return None

    async def _say(self, answer: web.StreamResponse, told: dict[str, Any]) -> None:
        await answer.write(orjson.dumps(told) + b"\n")


class _Instead(Exception):
    def __init__(self, answer: web.Response) -> None:
        super().__init__()
        self.answer = answer


@web.middleware
async def _outcomes(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        answer: web.StreamResponse = await handler(request)
    except Cut:
        return web.Response()
    except ConnectionResetError:  # the client went
        return web.Response()
    except _Instead as instead:
        return instead.answer
    return answer


@asynccontextmanager
async def served(fake: FakeLake, *, port: int = 0, ssl: SSLContext | None = None) -> AsyncIterator[FakeLake]:
    """The fake behind a real socket; its ``url`` is set."""
    app = web.Application(middlewares=[_outcomes], client_max_size=2**30)
    app.router.add_get("/eustress/ingest/stream/{space}/{stream}", fake.cursor)
    app.router.add_post("/eustress/ingest/stream", fake.stream)
    app.router.add_post("/eustress/ingest/snapshot/{space}", fake.snapshot)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=ssl)
        await site.start()
        taken = runner.addresses[0][1]
        fake.url = f"http{'s' if ssl else ''}://127.0.0.1:{taken}"
        yield fake
    finally:
        await runner.cleanup()

"""Audio sessions over HTTP: the real entity behind fake shards, and the rows that it wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from gateway_fakes import ALICE, BOB, SECRET, FakeQueries, FakeShards, World
from unit.driving import Driver

from actors.audio_session import commands as c
from actors.audio_session.entity import AudioSessionKind
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Ask, Refused
from server.gateway import Gateway
from server.hosts import kind_of
from server.settings import Settings
from storage.audio_queries import Place

BASE = "/api/v1/sessions"


class Shards(FakeShards):
    """``audio_session`` by the real entity, with what a shard remembers of operations."""

    def __init__(self, kind: AudioSessionKind) -> None:
        super().__init__()
        self.kind = kind
        self.sessions: dict[str, Driver] = {}
        self.done: dict[str, bytes] = {}

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind != "audio_session" or self.refuse(message) is not None:
            super()._work(kind, message, on_answer)
            return
        assert isinstance(message, Ask)
        driver = self.sessions.setdefault(message.entity, Driver(self.kind, message.entity))
        driver.now = datetime.now(UTC)
        if (known := self.done.get(message.operation or "")) is not None:
            on_answer(Answer(message.cid, known))
            return
        try:
            reply = driver.reply(c.codec.decode(message.command), message.caller)
        except SanghaError as refused:
            errors = tuple((each.path, each.message) for each in refused.errors)
            on_answer(Refused(message.cid, refused.code, refused.message, errors))
            return
        body = msgspec.json.encode(reply)
        if message.operation is not None:
            self.done[message.operation] = body
        on_answer(Answer(message.cid, body))


class Queries(FakeQueries):
    """The rows as the entities wrote them."""

    def __init__(self, shards: Shards) -> None:
        super().__init__()
        self.shards = shards
        self.members: set[tuple[str, str]] = set()

    def _rows(self) -> list[dict[str, Any]]:
        self._check()
        live = [driver for driver in self.shards.sessions.values() if driver.state.session is not None]
        return [driver.row("audio_sessions") for driver in live][::-1]

    def _page(self, rows: list[dict[str, Any]], limit: int, before: str | None) -> list[dict[str, Any]]:
        ids = [row["id"] for row in rows]
        return rows[ids.index(before) + 1 if before in ids else 0 :][:limit]

    async def audio_sessions(
        self, owner: str, limit: int, before: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        mine = [row for row in self._rows() if row["owner_id"] == owner and status in (None, row["status"])]
        return self._page(mine, limit, before)

    async def audio_sessions_of_space(self, space: str, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        return self._page([row for row in self._rows() if row["space_id"] == space], limit, before)

    async def audio_session_place(self, session: str) -> Place | None:
        found = [row for row in self._rows() if row["id"] == session]
        return Place(found[0]["owner_id"], found[0]["space_id"]) if found else None

    async def count_audio_sessions(self, owner: str) -> int:
        return sum(row["owner_id"] == owner for row in self._rows())

    async def participates(self, space: str, practitioner: str) -> bool:
        self._check()
        return (space, practitioner) in self.members


class Sounding(World):
    shards: Shards
    queries: Queries


@asynccontextmanager
async def sounding(**settings: Any) -> AsyncIterator[Sounding]:
    made = Settings(_env_file=None, **({"port": 0, "guests": True} | settings))
    kind: Any = kind_of("audio_session", made)
    shards = Shards(kind)
    queries = Queries(shards)
    gateway = Gateway(made, shards, queries, SECRET)
    shards.on_message = gateway.on_message
    for token, who in (("a", ALICE), ("b", BOB)):
        queries.login(token, who)
    port = await gateway.start()
    try:
        yield Sounding(gateway, shards, queries, port)
    finally:
        await gateway.stop()


@asynccontextmanager
async def client(w: Sounding, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http, headers={"Authorization": f"Bearer {token}"}) as http:
        yield http


async def answer(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    response = await http.request(method, f"{BASE}{path}", **options)
    assert response.status_code == 200, response.text
    return response.json()


async def refused(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> tuple[int, str]:
    problem = (await http.request(method, f"{BASE}{path}", **options)).json()
    assert problem["detail"]
    return problem["status"], problem["code"]

"""A Eustress space that is written to over HTTP and sockets at once, watched by many, while its actor is killed: a real server.

Whoever watched all the time, whoever was away and resumes, and whoever reads the history see the same changes in the same order,
each once; and what was acknowledged is among them.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from gateway_fakes import Client as Socket
from harness import RunningServer
from websockets.asyncio.client import connect

from actors.runtime.errors import Forbidden, NotFound
from actors.runtime.layout import Layout
from server.client import Client, register
from server.client_events import Event

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

CAVE = 'Höhle: "3"/§'
SHARD = f"eustress/{Layout.parse('own').shard_of(CAVE)}"
WRITERS = ("http", "ws")
KILLED_AFTER, CHANGES = 15, 40
"""Of each writer: when the actor is killed, and in all."""
HEARD_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(server: RunningServer) -> str:
    admin = (server.data_dir / "admin.token").read_text().strip()
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {admin}"}) as http:
        made = await http.post(f"{server.url}/api/admin/tokens", json={"service": "eustress"})
    assert made.status_code == 201, made.text
    return str(made.json()["token"])


def change(writer: str, n: int) -> dict[str, Any]:
    return {"entities": [{"id": f"{writer}:{n}", "position": [n, 0, 0]}]}


def entity_of(body: Any) -> str:
    """Of a push of one change."""
    assert body["counts"]["entities"] == 1
    return str(body["items"]["entities"][0]["id"])


class Writing:
    """Two writers at once; ``done`` are the entities whose change was acknowledged, with the version of each."""

    def __init__(self, server: RunningServer, token: str, client: Client) -> None:
        self._server, self._client = server, client
        self._http = httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30)
        self.done: dict[str, int] = {}
        self.half = asyncio.Event()

    async def run(self) -> None:
        async with self._http, asyncio.TaskGroup() as tasks:
            for writer in WRITERS:
                tasks.create_task(self._write(writer))

    async def _write(self, writer: str) -> None:
        ask = {"http": self._over_http, "ws": self._over_socket}[writer]
        for n in range(CHANGES):
            self.done[f"{writer}:{n}"] = (await ask(change(writer, n), f"{writer}-{n}"))["version"]
            if n == KILLED_AFTER:
                self.half.set()

    async def _over_socket(self, items: dict[str, Any], key: str) -> Any:
        return await self._client.eustress_ingest(CAVE, **items)

    async def _over_http(self, items: dict[str, Any], key: str) -> Any:
        while True:  # the same key until it is answered, as an engine has to
            url = f"{self._server.url}/eustress/ingest/batch"
            answer = await self._http.post(url, json={"space_name": CAVE} | items, headers={"Idempotency-Key": key})
            if answer.status_code == 200:
                return answer.json()
            assert answer.json()["retryable"], answer.text


async def watch(client: Client, heard: list[Event], began: asyncio.Event) -> None:
    async with client.eustress_subscribe(CAVE) as scene:
        assert scene.state["space_name"] == CAVE
        began.set()
        async for event in scene:
            heard.append(event)
            if entity_of(event.body) == "last":
                return


async def resumed(server: RunningServer, token: str, session: str, after: int) -> list[dict[str, Any]]:
    """The pushes that a socket gets which was away, up to the last."""
    frames: list[dict[str, Any]] = []
    async with connect(server.url.replace("http", "ws") + "/ws") as raw:
        socket = Socket(raw)
        offsets = {f"eustress:{CAVE}": after}
        assert (await socket.auth(token=token, resume={"session": session, "offsets": offsets}))["resumed"]
        while not frames or entity_of(frames[-1]["body"]) != "last":
            frames.append(json.loads(await asyncio.wait_for(raw.recv(), HEARD_S)))
    return frames


async def test_whoever_watches_sees_every_change_once_in_one_order_though_the_actor_is_killed(
    server: RunningServer, token: str
) -> None:
    heard: list[Event] = []
    async with Client(server.url, token=token) as client, Client(server.url, token=token) as watcher:
        with pytest.raises(NotFound):
            async with watcher.eustress_subscribe(CAVE):
                pass
        assert (await client.eustress_ingest(CAVE, **change("first", 0)))["accepted"] == 1
        began = asyncio.Event()
        watching = asyncio.create_task(watch(watcher, heard, began))
        await asyncio.wait_for(began.wait(), HEARD_S)
        async with connect(server.url.replace("http", "ws") + "/ws") as raw:
            away = Socket(raw)
            session = (await away.auth(token=token))["session"]
            after = (await away.ask("eustress.subscribe", space=CAVE))["result"]["offset"]
            assert (await away.receive())["type"] == "snapshot"
        writing = Writing(server, token, client)
        work = asyncio.create_task(writing.run())
        await asyncio.wait_for(writing.half.wait(), HEARD_S)
        killed, _ = await server.kill(SHARD)
        await asyncio.wait_for(work, HEARD_S)
        assert await server.pid_of(SHARD, other_than=killed)
        await client.eustress_ingest(CAVE, entities=[{"id": "last"}])
        await asyncio.wait_for(watching, HEARD_S)
        missed = await resumed(server, token, session, after)
        history = [event async for event in client.history(f"eustress:{CAVE}", after=after)]
    assert [event.offset for event in heard] == [each["offset"] for each in history]
    seen = [entity_of(event.body) for event in heard]
    assert sorted(seen) == sorted([*writing.done, "last"]), "what was acknowledged is there, each once"
    assert seen == [entity_of(each["body"]) for each in history] == [entity_of(each["body"]) for each in missed]
    assert [each["offset"] for each in missed] == [each["offset"] for each in history]
    versions = {entity_of(event.body): event.body["version"] for event in heard}
    assert {entity: versions[entity] for entity in writing.done} == writing.done
    for writer in WRITERS:
        assert [each for each in seen if each.startswith(writer)] == [f"{writer}:{n}" for n in range(CHANGES)]


async def test_wrong_items_change_nothing_and_a_practitioners_login_is_not_for_the_lake(
    server: RunningServer, token: str
) -> None:
    person = await register(server.url, "ana@example.org", "a long password")
    async with Client(server.url, token=person["token"]) as client:
        with pytest.raises(Forbidden):
            await client.eustress_ingest(CAVE, entities=[{"id": "a"}])
    async with connect(server.url.replace("http", "ws") + "/ws") as raw:
        engine = Socket(raw)
        await engine.auth(token=token)
        for items, path in (
            ({"entities": [{"id": "a"}, {"id": "b", "position": [1e308, 0, 0]}]}, "entities.1.position.0"),
            ({"entities": None}, "entities"),
            ({"connections": [{"source_id": "a"}]}, "connections.0.target_id"),
            ({"removed_entities": [""]}, "removed_entities.0"),
        ):
            error = (await engine.ask("eustress.ingest", space="other", **items))["error"]
            assert (error["code"], error["errors"][0]["path"]) == ("invalid", path), error
        assert (await engine.ask("eustress.subscribe", space="other"))["error"]["code"] == "not_found"
        assert (await engine.ask("space.list"))["error"]["code"] == "forbidden"

"""SIGKILL of the space's actor, the gateway and PostgreSQL while a scene is streamed in, by lines, batches and single requests.

Whoever writes asks again until it is acknowledged, under the same key. In the end every acknowledged item is there exactly once
(the space counts the items that it took), of a batch all items or none at every moment, and tree, depths and figures equal
those computed anew from the rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx
import orjson
import pytest
import pytest_asyncio
from harness import RunningServer, measured
from scene_audit import Audit

from actors.runtime.layout import Layout
from server.client import EustressIngest
from storage.pool import DRIVER_ERRORS

SECONDS = float(os.environ.get("SANGHA_TEST_INGEST_S", "24"))
"""How long is written. 60 by hand; here every kind of process dies once in it."""
SPACE = 'Höhle/1: of "many" rooms'
SHARD = f"eustress/{Layout.parse('own').shard_of(SPACE)}"
VICTIMS = (SHARD, "gateway/0", "postgres")
ROOMS, BATCH = 40, 25
RETRY = (httpx.TransportError,)
PATIENCE_S = 60.0

pytestmark = [pytest.mark.timeout(300)]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer(SANGHA_CHECKPOINT_EVERY="40") as running:
        yield running


class Writer:
    """Asks until it is answered. ``items``: how many were acknowledged; ``said``: the last word on each entity."""

    def __init__(self, server: RunningServer, token: str, enough: asyncio.Event) -> None:
        self.server, self._enough = server, enough
        self.http = httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        )
        self.items = 0
        self.repeats = 0
        self.said: dict[str, dict[str, Any] | None] = {}
        self.slowest_s = 0.0
        self.chance = random.Random(7)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    @property
    def over(self) -> bool:
        return self._enough.is_set()

    async def ask(self, path: str, body: dict[str, Any], key: str, **params: str) -> dict[str, Any]:
        """The answer, whatever dies meanwhile."""
        began, pause = time.monotonic(), 0.02
        while True:
            try:
                answer = await self.http.post(path, json=body, params=params, headers={"Idempotency-Key": key})
            except RETRY:
                answer = None
            if answer is not None and answer.status_code == 200:
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                told: dict[str, Any] = answer.json()
                self.items += told["accepted"]
                return told
            assert answer is None or answer.json()["retryable"], answer.text
            assert time.monotonic() - began < PATIENCE_S, answer and answer.text
            self.repeats += 1
            await asyncio.sleep(pause)  # a client's backoff
            pause = min(2 * pause, 0.5)

    async def batches(self) -> None:
        """Batches that hang entities on one another, move them, and take some away."""
        ids = [f"batch {n}" for n in range(ROOMS)]
        for n in itertools.count():
            if self.over:
                return
            chosen = self.chance.sample(ids, BATCH)
            entities = [
                {
                    "id": id_,
                    "class_type": "Room",
                    "position": [n % 97, self.chance.uniform(-9, 9), -n],
                    "parameters": {"n": n},
                }
                for id_ in chosen
            ]
            pairs = itertools.pairwise(chosen)
            connections = [
                {"source_id": a, "target_id": b, "connection_type": "hierarchy"} for a, b in itertools.islice(pairs, 5)
            ]
            gone = [id_ for id_ in chosen[-2:] if n % 3 == 0]
            body = {"space_name": SPACE, "entities": entities, "connections": connections, "removed_entities": gone}
            await self.ask("/eustress/ingest/batch", body, f"batch-{n}")
            self.said |= {entity["id"]: entity for entity in entities} | dict.fromkeys(gone)

    async def singles(self, name: str) -> None:
        """One entity, parameter or connection at a time."""
        for n in itertools.count():
            if self.over:
                return
            id_ = f"{name} {n % 30}"
            if n % 4 == 3 and isinstance(self.said.get(id_), dict):
                body: dict[str, Any] = {"space_name": SPACE, "entity_id": id_, "parameter_name": "heat", "value": n}
                await self.ask("/eustress/ingest/parameter", body, f"{name}-{n}")
                entity = self.said[id_]
                assert entity is not None
                entity["parameters"]["heat"] = n
                continue
            entity = {"id": id_, "position": [n / 8, 1, 2], "parameters": {"n": n}}
            await self.ask("/eustress/ingest/entity", {"space_name": SPACE, "entity": entity}, f"{name}-{n}")
            self.said[id_] = entity

    async def lines(self, token: str, spool: Path) -> None:
        """A stream through the spooling client."""
        async with EustressIngest(self.server.url, token, SPACE, spool=spool, fsync=1.0, drain_s=PATIENCE_S) as lake:
            for n in itertools.count():
                if self.over:
                    break
                entity = {"id": f"line {n % 200}", "position": [n, n % 7, 0], "parameters": {"n": n}}
                await lake.put_entity(entity)
                self.said[entity["id"]] = entity
                self.items += 1
                if n % 50 == 49:
                    await lake.flush(PATIENCE_S)
            await lake.flush(PATIENCE_S)


async def watched(server: RunningServer, stop: asyncio.Event) -> int:
    """Looks into the lake while all of it goes on: what is visible is always whole. How often it could."""
    looks = 0
    while not stop.is_set():
        with contextlib.suppress(*DRIVER_ERRORS):  # it was killed
            looks += await looked(server)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await stop.wait()
    return looks


async def looked(server: RunningServer) -> bool:
    """Whether there is a space yet; it is whole."""
    database = await server.connect()
    try:
        if await database.fetchval("SELECT count(*) FROM eustress_spaces") == 0:
            return False
        (await Audit.read(database, SPACE)).check()
    finally:
        await database.close(timeout=5)
    return True


async def written(server: RunningServer, token: str, spool: Path) -> list[Writer]:
    """Four ways of writing at once, for ``SECONDS``, while one after the other is killed."""
    enough, stop = asyncio.Event(), asyncio.Event()
    kills = len(VICTIMS) * max(1, int(SECONDS // 24))
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        writers = [await stack.enter_async_context(Writer(server, token, enough)) for _ in range(4)]
        batches, one, two, lines = writers
        writing = [
            tasks.create_task(work)
            for work in (batches.batches(), one.singles("one"), two.singles("two"), lines.lines(token, spool))
        ]
        looking = tasks.create_task(watched(server, stop))
        for n in range(kills):
            await asyncio.sleep(SECONDS / (kills + 1))  # the load's own pace: there is nothing to wait for
            await server.kill(VICTIMS[n % len(VICTIMS)])
        await asyncio.sleep(SECONDS / (kills + 1))
        enough.set()
        await asyncio.wait(writing)
        stop.set()
    assert looking.result() > 0
    return writers


def held(audit: Audit, writer: Writer) -> None:
    """The last word on each entity stands."""
    for id_, entity in writer.said.items():
        if entity is None:
            assert id_ not in audit.live, id_
        else:
            kept = audit.entity(id_)
            assert kept["position"] == entity["position"], id_
            assert kept["parameters"] == entity["parameters"], id_


async def test_kills_during_an_ingest_lose_nothing_and_double_nothing(server: RunningServer, tmp_path: Path) -> None:
    admin = (server.data_dir / "admin.token").read_text().strip()
    async with httpx.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {admin}"}) as http:
        token = (await http.post("/api/admin/tokens", json={"service": "eustress"})).json()["token"]
    writers = await written(server, token, tmp_path / "spool")
    database = await server.connect()
    try:
        audit = await Audit.read(database, SPACE)
        audit.check()
        for writer in writers:
            held(audit, writer)
        assert audit.space["changes"] == sum(writer.items for writer in writers)
        async with Writer(server, token, asyncio.Event()) as by_hand:
            taken = await by_hand.ask(f"/eustress/ingest/snapshot/{quote(SPACE, safe='')}", {}, "by-hand")
        marker = await database.fetchval(
            "SELECT metadata FROM eustress_markers WHERE id = $1::uuid", taken["snapshot_id"]
        )
        assert as_json(marker) == as_json(audit.metadata())
    finally:
        await database.close(timeout=5)
    measured("Eustress: slowest acknowledgement beside kills", max(writer.slowest_s for writer in writers))


def as_json(metadata: Any) -> Any:
    """With what is a sum rounded as sums are."""
    found = orjson.loads(metadata) if isinstance(metadata, str) else metadata
    return found | {"avg_flux_position": round(found["avg_flux_position"], 9)}

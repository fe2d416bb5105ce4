"""The lake with a scene in it: how long a large one takes and how much memory, what snapshots cost on disk, and what ingest
notices of snapshots, retention and exports beside it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
import psutil
from rich.console import Console

from actors.runtime.errors import SanghaError
from actors.runtime.layout import Layout
from server.bench import show
from server.bench.eustress import Meter, Target, blocks_of, stream_blocks
from server.bench.eustress_http import Wire, percentile_ms, wires
from server.bench.eustress_items import depth_of, entity, scene_lines
from server.client_events import ClientError
from server.client_lake import Lake, problem, quoted

Status = Callable[[], Awaitable[Mapping[str, Any]]]

BY_HAND: Final = {"snapshot_every_updates": 0, "snapshot_batch_items": 0, "snapshot_interval_s": 0}
"""No snapshots but those that are asked for."""
CHANGED: Final = 100
"""One in so many entities changes between two snapshots."""
BESIDE: Final = {"retention_s": 5, "archive": True}
SNAPSHOT_EVERY_S: Final = 0.5
LOOKS: Final = 30
LOOK_S: Final = 0.5


async def run_scene(target: Target, status: Status, *, entities: int, console: Console | None = None) -> dict[str, Any]:
    """A scene of so many entities in a tree: ingest, memory, a snapshot, queries. Raises SanghaError."""
    space = f"bench-scene-{uuid.uuid4().hex[:6]}"
    async with target.lake() as lake:
        await lake.ask("PUT", f"/eustress/spaces/{space}/policy", body=BY_HAND)
        before_mb = _memory_mb(pid := await _process_of(status, space))
        meter = Meter(target)
        await stream_blocks(lake, space, blocks_of(scene_lines(entities)))
        figures = meter.figures(entities)
        after_mb = _memory_mb(pid)
        figures |= {
            "connections": entities - 1,
            "space_mb": round(after_mb),
            "bytes_an_entity": round((after_mb - before_mb) * 2**20 / entities),
            "snapshot_ms": await _timed_ms(lake, "POST", f"/eustress/ingest/snapshot/{space}"),
        }
        deep = depth_of(entities - 1)
        for name, query in {
            f"depth_{deep}_first_1000_ms": {"depth": str(deep), "limit": "1000"},
            "depth_1_ms": {"depth": "1", "limit": "1000"},
            "flux_369_first_1000_ms": {"flux": "3,6,9", "limit": "1000"},
            "near_100_ms": {"near": "500,0,500", "limit": "100"},
        }.items():
            figures[name] = await _timed_ms(lake, "GET", "/eustress/entities", {"space": space, **query})
    show(console, f"a scene of {entities:,} entities", figures)
    return figures


async def _process_of(status: Status, space: str) -> int:
    """The pid of the process that has a space. Which there are is told by pings, and one that is busy starting may miss one.
    Raises ClientError."""
    for _ in range(LOOKS):
        topology = await status()
        shard = Layout.parse(topology["layouts"]["eustress"]).shard_of(space)
        for known in topology["shards"]:
            if known["kind"] == "eustress" and str(known["index"]) == shard and known["pid"]:
                return int(known["pid"])
        await asyncio.sleep(LOOK_S)
    raise ClientError(f"no process has {space}")


def _memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_full_info().uss / 2**20)


async def _timed_ms(lake: Lake, method: str, path: str, params: Mapping[str, str] | None = None) -> float:
    """The best of three for a query, the one for all else."""
    times: list[float] = []
    for _ in range(3 if method == "GET" else 1):
        began = time.perf_counter()
        await lake.ask(method, path, params=params)
        times.append((time.perf_counter() - began) * 1000)
    return round(min(times), 1)


async def run_snapshots(
    target: Target, *, snapshots: int, entities: int = 10_000, console: Console | None = None
) -> dict[str, Any]:
    """Snapshots of a scene that changes slowly: bytes on disk of each, relations and indexes together. Raises SanghaError."""
    space = f"bench-snapshots-{uuid.uuid4().hex[:6]}"
    async with target.lake() as lake:
        await lake.ask("PUT", f"/eustress/spaces/{space}/policy", body=BY_HAND)
        empty = await _stored(lake)
        await stream_blocks(lake, space, blocks_of(scene_lines(entities)))
        before, began, took_s = await _stored(lake), time.perf_counter(), 0.0
        changed = max(1, entities // CHANGED)
        for turn in range(snapshots):
            numbers = ((turn * changed + n) % entities for n in range(changed))
            items = [orjson.Fragment(entity(number, 550.0 + turn + 1)) for number in numbers]
            await lake.ask("POST", "/eustress/ingest/batch", body={"space_name": space, "entities": items})
            asked = time.perf_counter()
            await lake.ask("POST", f"/eustress/ingest/snapshot/{space}")
            took_s += time.perf_counter() - asked
        elapsed_s, after = time.perf_counter() - began, await _stored(lake)
    figures = {
        "entities": entities,
        "changed_between": changed,
        "snapshots": snapshots,
        "bytes_of_the_scene": before - empty,
        "bytes_a_snapshot": round((after - before) / snapshots),
        "bytes_a_changed_entity": round((after - before) / snapshots / changed),
        "snapshot_ms": round(took_s / snapshots * 1000, 2),
        "seconds": round(elapsed_s, 1),
    }
    show(console, f"{snapshots:,} snapshots", figures)
    return figures


async def _stored(lake: Lake) -> int:
    """Bytes of the lake. It should be the only load: what others write counts too."""
    return int((await lake.ask("GET", "/eustress/ingest/stats"))["storage_size_bytes"])


async def run_beside(
    target: Target,
    *,
    entities: int = 20_000,
    batch: int = 100,
    connections: int = 4,
    seconds: float = 20.0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Batches into a scene for a time alone, and then with snapshots, retention and exports beside. Raises SanghaError."""
    space = f"bench-beside-{uuid.uuid4().hex[:6]}"
    opened = await wires(target.url, target.token, target.ssl, connections)
    async with target.lake() as lake:
        await stream_blocks(lake, space, blocks_of(scene_lines(entities)))
        load = _Load(space, entities, batch)
        alone = await load.measured(opened, seconds)
        await lake.ask("PUT", f"/eustress/spaces/{space}/policy", body=BESIDE)
        others = _Others(lake, space)
        tasks = [asyncio.create_task(work()) for work in (others.take_snapshots, others.export)]
        try:
            beside = await load.measured(opened, seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        archives = len(await lake.ask("GET", f"/eustress/archives/{space}"))
        await lake.ask("PUT", f"/eustress/spaces/{space}/policy", body={"retention_s": 0})
    for wire in opened:
        wire.close()
    figures = {f"alone_{name}": value for name, value in alone.items()}
    figures |= {f"beside_{name}": value for name, value in beside.items()}
    figures |= {
        "snapshots": others.snapshots,
        "exports": others.exports,
        "exported_bytes": others.exported_bytes,
        "archives": archives,
        "refused_beside": others.refused,
    }
    show(console, "ingest beside snapshots, retention and exports", figures)
    return figures


class _Load:
    """Batches of entities that are there, each time with another value."""

    def __init__(self, space: str, entities: int, batch: int) -> None:
        self._named, self._entities, self._batch = orjson.dumps(space), entities, batch
        self._turn = 0

    def _body(self) -> bytes:
        self._turn += 1
        start = self._turn * self._batch
        some = (entity((start + n) % self._entities, 600.0 + self._turn) for n in range(self._batch))
        return b'{"space_name":%b,"entities":[%b]}' % (self._named, b",".join(some))

    async def measured(self, opened: list[Wire], seconds: float) -> dict[str, Any]:
        clock, latencies_s = time.perf_counter, list[float]()
        until = clock() + seconds

        async def work(wire: Wire) -> None:
            while (began := clock()) < until:
                await wire.send(wire.request("POST", "/eustress/ingest/batch", self._body()))
                latencies_s.append(clock() - began)

        await asyncio.gather(*(work(wire) for wire in opened))
        return {
            "entities_per_s": round(len(latencies_s) * self._batch / seconds),
            "p50_ms": percentile_ms(latencies_s, 0.5),
            "p99_ms": percentile_ms(latencies_s, 0.99),
            "max_ms": percentile_ms(latencies_s, 1.0),
        }


class _Others:
    """What else goes on in the space."""

    def __init__(self, lake: Lake, space: str) -> None:
        self._lake, self._space = lake, space
        self.snapshots = self.exports = self.exported_bytes = self.refused = 0

    async def take_snapshots(self) -> None:
        """For as long as it may."""
        while True:
            await asyncio.sleep(SNAPSHOT_EVERY_S)
            await self._lake.ask("POST", f"/eustress/ingest/snapshot/{quoted(self._space)}")
            self.snapshots += 1

    async def export(self) -> None:
        """An epoch of the newest snapshots, and all of its samples; again and again."""
        while True:
            await asyncio.sleep(SNAPSHOT_EVERY_S)
            with suppress(SanghaError):  # no snapshot in the time yet: nothing to make an epoch of
                await self._export_one()
                self.exports += 1
                continue
            self.refused += 1

    async def _export_one(self) -> None:
        now = datetime.now(UTC)
        times = {"start_time": (now - timedelta(seconds=2)).isoformat(), "end_time": now.isoformat()}
        epoch = await self._lake.ask("POST", "/eustress/epochs", body={"space_name": self._space, **times})
        async with self._lake.request("GET", f"/eustress/epochs/{epoch['id']}/export") as answer:
            if answer.status != 200:
                raise await problem(answer)
            async for chunk in answer.content.iter_chunked(2**18):
                self.exported_bytes += len(chunk)

"""The lake's ingest: entities a second that are acknowledged, which means committed, beside raw COPY of the same rows.

One entity a request over some connections, batches over some connections, one stream. Every mode has a space of its own, with
the policy that a space has by default, so snapshots are taken too. Raw: asyncpg's COPY, one connection, a commit for as many
rows as a request had (of the stream: a chunk), in the same run; what differs is what the lake does beside keeping rows.

CPU is of all of Sangha's processes with PostgreSQL; ``generator_cores`` says how busy this one was, since a full one measures
itself.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from ssl import SSLContext
from typing import Any, Final, NamedTuple

import orjson
from rich.console import Console
from rich.table import Table

from server.bench.eustress_copy import raw_rows_per_s
from server.bench.eustress_http import percentile_ms, post_all, wires
from server.bench.eustress_items import entity
from server.bench.processes import cpu_s
from server.client_events import ClientError
from server.client_lake import Lake, quoted

MODES: Final = ("single", "batch", "stream")
CHUNK_ROWS: Final = 600
"""Lines of these entities in a chunk of 256 KiB, which is what a stream commits at once."""
BLOCK_BYTES: Final = 64 * 1024


class Target(NamedTuple):
    """The server under test: its HTTP URL, a service token, what to trust, the roots of its process trees, the database."""

    url: str
    token: str
    ssl: SSLContext | bool
    sangha: Sequence[int]
    postgres: Sequence[int]
    dsn: str

    def lake(self) -> Lake:
        """Its lake."""
        return Lake(self.url, self.token, ssl=self.ssl)


class Meter:
    """Time, and CPU of the server, of PostgreSQL and of this process, since it was made."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._before, self._began = self._used(), time.perf_counter()

    def _used(self) -> tuple[float, float, float]:
        everything = cpu_s([*self._target.sangha, *self._target.postgres])  # the one may be below the other
        return everything, cpu_s(self._target.postgres), time.process_time()

    def figures(self, entities: int) -> dict[str, Any]:
        """Of so many entities."""
        elapsed_s = time.perf_counter() - self._began
        all_s, postgres_s, own_s = (now - then for now, then in zip(self._used(), self._before, strict=True))
        return {
            "entities": entities,
            "seconds": round(elapsed_s, 2),
            "entities_per_s": round(entities / elapsed_s),
            "cpu_s_per_million": round(all_s / entities * 1e6, 1),
            "of_which_postgres": round(postgres_s / entities * 1e6, 1),
            "generator_cores": round(own_s / elapsed_s, 2),
        }


def batches(space: str, count: int, size: int) -> list[bytes]:
    """Bodies of batches, all of a scene."""
    named = orjson.dumps(space)
    return [
        b'{"space_name":%b,"entities":[%b]}'
        % (named, b",".join(entity(number) for number in range(start, min(start + size, count))))
        for start in range(0, count, size)
    ]


async def run_single(target: Target, space: str, count: int, connections: int, _: int) -> dict[str, Any]:
    """One entity a request."""
    named = orjson.dumps(space)
    bodies = [b'{"space_name":%b,"entity":%b}' % (named, entity(number)) for number in range(count)]
    return await _posted(target, "/eustress/ingest/entity", bodies, count, connections)


async def run_batch(target: Target, space: str, count: int, connections: int, size: int) -> dict[str, Any]:
    """Many entities a request."""
    return await _posted(target, "/eustress/ingest/batch", batches(space, count, size), count, connections)


async def _posted(target: Target, path: str, bodies: list[bytes], count: int, connections: int) -> dict[str, Any]:
    opened = await wires(target.url, target.token, target.ssl, connections)
    meter = Meter(target)
    latencies_s = await post_all(opened, path, bodies)
    figures = meter.figures(count)
    for wire in opened:
        wire.close()
    return figures | {"p50_ms": percentile_ms(latencies_s, 0.5), "p99_ms": percentile_ms(latencies_s, 0.99)}


async def run_stream(target: Target, space: str, count: int, _: int, __: int) -> dict[str, Any]:
    """One request with all of it."""
    blocks = list(blocks_of(b'{"entity":%b}' % entity(number) for number in range(count)))
    async with target.lake() as lake:
        meter = Meter(target)
        await stream_blocks(lake, space, blocks)
        return meter.figures(count) | {"p50_ms": None, "p99_ms": None}


def blocks_of(lines: Iterator[bytes]) -> Iterator[bytes]:
    """Lines in pieces of a body."""
    some: list[bytes] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line) + 1
        if size >= BLOCK_BYTES:
            yield b"\n".join(some) + b"\n"
            some, size = [], 0
    if some:
        yield b"\n".join(some) + b"\n"


async def stream_blocks(lake: Lake, space: str, blocks: Iterator[bytes] | Sequence[bytes]) -> int:
    """Send them as one new stream of the space; how many lines are committed."""
    told: Mapping[str, Any] = {}

    async def body() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    def heard(progress: Mapping[str, Any]) -> None:
        nonlocal told
        told = progress

    await lake.send(space, f"bench-{uuid.uuid4().hex}", 1, body(), heard)
    return int(told["cursor"])


RUNS: Final[Mapping[str, Callable[[Target, str, int, int, int], Awaitable[dict[str, Any]]]]] = {
    "single": run_single,
    "batch": run_batch,
    "stream": run_stream,
}


async def run(
    target: Target,
    *,
    modes: Sequence[str] = MODES,
    entities: int = 20_000,
    batch: int = 100,
    connections: int = 16,
    space: str = "bench",
    raw: bool = True,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure each mode in a space of its own, named by ``space``. Prints a table, returns it by mode. Raises SanghaError."""
    figures: dict[str, Any] = {}
    for mode in modes:
        own = f"{space}-{mode}-{uuid.uuid4().hex[:6]}"
        await _warm(target, own)
        measured = await RUNS[mode](target, own, entities, connections, batch)
        await _check(target, own, entities)
        if raw:
            rows = {"single": 1, "batch": batch, "stream": CHUNK_ROWS}[mode]
            measured |= _beside(measured["entities_per_s"], await raw_rows_per_s(target.dsn, own, entities, rows))
        figures[mode] = measured
    _show(console, figures, f"ingest: {entities:,} entities, batches of {batch}, {connections} connections")
    return figures


async def _warm(target: Target, space: str) -> None:
    """The space's process is there: its start is no part of a rate."""
    async with target.lake() as lake:
        body = {"space_name": space, "entity": {"id": "warm"}}
        await lake.ask("POST", "/eustress/ingest/entity", body=body)


async def _check(target: Target, space: str, entities: int) -> None:
    """What was acknowledged is there."""
    async with target.lake() as lake:
        told = await lake.ask("GET", f"/eustress/spaces/{quoted(space)}")
    if told["entity_count"] != entities + 1:
        raise ClientError(f"{entities + 1:,} entities were acknowledged, {told['entity_count']:,} are there")


def _beside(rate: float, raw: Mapping[str, float]) -> dict[str, Any]:
    return {
        "raw_plain_per_s": round(raw["plain"]),
        "of_raw_plain": round(rate / raw["plain"], 3),
        "raw_indexed_per_s": round(raw["indexed"]),
        "of_raw_indexed": round(rate / raw["indexed"], 3),
    }


def _show(console: Console | None, figures: Mapping[str, Mapping[str, Any]], title: str) -> None:
    if console is None:
        return
    table = Table(title=title)
    table.add_column("")
    for mode in figures:
        table.add_column(mode, justify="right")
    for name in next(iter(figures.values())):
        values = [measured[name] for measured in figures.values()]
        table.add_row(name.replace("_", " "), *("-" if value is None else f"{value:,}" for value in values))
    console.print(table)

"""Ritual runs end to end, beside the raw wasmtime loop of the same ritual in the same run.

End to end: accounts over their sockets, each one run after another (there is one at a time for each), every run validated,
journaled twice and written to the tables before it is answered. Raw: one thread, a fresh store and instance, the host
functions as bare closures over a dict, the call; no checks, no limits but fuel, nothing stored. What differs is what a run
costs beside the ritual itself.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import psutil
import wasmtime
from rich.console import Console

from actors.ritual.builtin.builtin import BUILTINS, ritual_id
from actors.runtime.errors import SanghaError
from server.bench import show
from server.bench.accounts import tokens_of_new_accounts
from server.bench.inside import Inside, Runner, brief_of
from server.client import Client
from server.client_events import ClientError

RAW_S: Final = 2.0
START: Final = {"archetypes": {"Light": 0.8, "Shadow": 0.2}, "energies": {"fire": 0.5, "water": 0.4}}


def raw_runs_per_s(name: str, seconds: float = RAW_S) -> float:
    """Runs a second of a built-in ritual of the codex ABI, with nothing around it."""
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    module = wasmtime.Module(engine, bytes(wasmtime.wat2wasm(BUILTINS[name].wat())))
    linker, values = _bare_linker(engine), itertools.count()
    until, began = time.perf_counter() + seconds, time.perf_counter()
    while time.perf_counter() < until:
        store = wasmtime.Store(engine)
        store.set_fuel(10**9)
        call: Any = linker.instantiate(store, module).exports(store)["execute_ritual"]
        call(store)
        next(values)
    return next(values) / (time.perf_counter() - began)


def _bare_linker(engine: wasmtime.Engine) -> wasmtime.Linker:
    i32, f64 = wasmtime.ValType.i32(), wasmtime.ValType.f64()
    levels: dict[bytes, float] = {}

    def text(caller: wasmtime.Caller, at: int, length: int) -> bytes:
        memory: Any = caller["memory"]
        return bytes(memory.read(caller, at, at + length))

    def get(caller: wasmtime.Caller, at: int, length: int) -> float:
        return levels.get(text(caller, at, length), 0.5)

    def put(caller: wasmtime.Caller, at: int, length: int, level: float) -> None:
        levels[text(caller, at, length)] = level

    def note(caller: wasmtime.Caller, at: int, length: int) -> None:
        text(caller, at, length)

    linker = wasmtime.Linker(engine)
    reads, writes = wasmtime.FuncType([i32, i32], [f64]), wasmtime.FuncType([i32, i32, f64], [])
    for name in ("get_archetype_activation", "get_energy_amplitude"):
        linker.define_func("codex", name, reads, get, access_caller=True)
    for name in ("set_archetype_activation", "set_energy_amplitude"):
        linker.define_func("codex", name, writes, put, access_caller=True)
    for name in ("log", "add_symbol"):
        linker.define_func("codex", name, wasmtime.FuncType([i32, i32], []), note, access_caller=True)
    linker.define_func("codex", "get_random", wasmtime.FuncType([], [f64]), lambda: 0.5)
    return linker


def sandbox_memory_mb(status: Mapping[str, Any]) -> dict[str, float]:
    """Unique memory of each sandbox process on this machine."""
    pids = {f"sandbox/{s['index']}": s["pid"] for s in status["shards"] if s["kind"] == "sandbox"}
    return {name: round(psutil.Process(pid).memory_full_info().uss / 2**20, 1) for name, pid in pids.items()}


class Load:
    """Practitioners who run a ritual again and again until told to stop."""

    def __init__(self, ritual: str, runs: int | None) -> None:
        self.ritual, self.runs = ritual, runs
        self.enough = asyncio.Event()
        self.latencies_ms: list[float] = []
        self.failed = 0
        self.going = True

    async def practitioner(self, client: Client) -> None:
        """One of them."""
        for n in itertools.count():
            if not self.going:
                return
            began = time.perf_counter()
            try:
                await client.request("ritual.run", ritual=self.ritual, intention="load", parameters={"n": n})
            except SanghaError:
                self.failed += 1
            else:
                self.latencies_ms.append((time.perf_counter() - began) * 1000)
            if self.runs is not None and len(self.latencies_ms) + self.failed >= self.runs:
                self.enough.set()


async def run(
    url: str,
    *,
    status: Callable[[], Awaitable[Mapping[str, Any]]],
    practitioners: int = 64,
    seconds: float = 10.0,
    runs: int | None = None,
    ritual: str = "shadow_integration",
    inside: Path | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Measure for ``seconds``, or until ``runs`` were done. Prints a table, returns it.

    ``inside`` is the server's data directory: then the shard is asked without gateway and sockets.
    """
    if inside is not None:
        return await _run_inside(inside, status, practitioners, seconds, ritual, console)
    tokens = await tokens_of_new_accounts(url, practitioners)
    raw = raw_runs_per_s(ritual)
    load = Load(ritual, runs)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url, token=token)) for token in tokens]
        await asyncio.gather(*(_prepare(client) for client in clients))
        before = sandbox_memory_mb(await status())
        elapsed_s = await _measure(load, clients, seconds)
        after = sandbox_memory_mb(await status())
    figures = _figures(ritual, practitioners, load.latencies_ms, load.failed, elapsed_s, raw)
    figures |= {"sandbox_mb_before": before, "sandbox_mb_after": after}
    show(console, "ritual runs", figures)
    return figures


def _figures(
    ritual: str, practitioners: int, latencies_ms: list[float], failed: int, elapsed_s: float, raw: float
) -> dict[str, Any]:
    """Of the runs that were completed; those that failed are counted apart: a refusal is quick. Raises ClientError."""
    if not latencies_ms:
        raise ClientError(f"none of the runs was completed, {failed} failed")
    times = sorted(latencies_ms)
    return {
        "ritual": ritual,
        "practitioners": practitioners,
        "runs": len(times),
        "failed": failed,
        "runs_per_s": round(len(times) / elapsed_s),
        "raw_runs_per_s": round(raw),
        "of_raw": round(len(times) / elapsed_s / raw, 3),
        "p50_ms": round(times[len(times) // 2], 2),
        "p99_ms": round(times[len(times) * 99 // 100], 2),
    }


async def _run_inside(
    data_dir: Path,
    status: Callable[[], Awaitable[Mapping[str, Any]]],
    practitioners: int,
    seconds: float,
    ritual: str,
    console: Console | None,
) -> dict[str, Any]:
    raw = raw_runs_per_s(ritual)
    links, latencies_ms = Inside(data_dir), list[float]()
    try:
        brief = await brief_of(links, ritual_id(BUILTINS[ritual]))
        runners = [Runner(links, brief, latencies_ms) for _ in range(practitioners)]
        await asyncio.gather(*(runner.enter(START["archetypes"]) for runner in runners))
        before, began = sandbox_memory_mb(await status()), time.perf_counter()
        for runner in runners:
            runner.begin()
        await asyncio.sleep(seconds)
        elapsed_s, done = time.perf_counter() - began, len(latencies_ms)
        for runner in runners:
            runner.going = False
        await asyncio.gather(*(runner.ended for runner in runners))
        after = sandbox_memory_mb(await status())
    finally:
        await links.close()
    failed = sum(runner.failed for runner in runners)
    figures = _figures(ritual, practitioners, latencies_ms[:done], failed, elapsed_s, raw)
    figures |= {"sandbox_mb_before": before, "sandbox_mb_after": after}
    show(console, "ritual runs inside shard and sandbox", figures)
    return figures


async def _prepare(client: Client) -> None:
    for name, strength in START["archetypes"].items():
        await client.request(
            "state.transform",
            transformation_type="archetype_activation",
            parameters={"archetype": name, "strength": strength},
        )


async def _measure(load: Load, clients: Sequence[Client], seconds: float) -> float:
    began = time.perf_counter()
    tasks = [asyncio.create_task(load.practitioner(client)) for client in clients]
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds if load.runs is None else None):
            await load.enough.wait()
    elapsed_s = time.perf_counter() - began
    load.going = False
    await asyncio.gather(*tasks)
    return elapsed_s

"""The benches are commands that people run: each works, small, on a real server. Nothing here judges a time."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from harness import SANGHA, RunningServer


async def bench(*arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        SANGHA, "bench", *arguments, "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, err.decode()
    figures: dict[str, Any] = orjson.loads(out)
    return figures


@pytest.mark.timeout(300)
async def test_a_running_server_is_measured_by_each_bench() -> None:
    async with RunningServer(SANGHA_LAB="1") as server:
        there = ("--data-dir", str(server.data_dir))
        talk = await bench(
            "fanout", "--rooms", "3", "--members", "4", "--rate", "5", "--seconds", "1", "--data-dir", there[1]
        )
        assert talk["delivered_of_expected"] > 0.9
        assert talk["cpu_s_per_million"] > 0
        idle = await bench("connections", "--count", "100", *there)
        assert idle["connections"] == 100
        assert idle["private_kb_per_connection"] > 0
        killed = await bench("recovery", "--rooms", "3", "--members", "2", "--rate", "5", *there)
        assert killed["recovered_spaces"] == 3
        assert killed["acknowledged"] > 0
        assert (killed["lost"], killed["doubled"]) == (0, 0)
        load = ("--beside", "--rooms", "2", "--members", "2", "--rate", "5")
        listeners = ("--listeners", "6", "--sessions", "2", "--processes", "2")
        heard = await bench("listen", *listeners, *load, "--seconds", "1", *there)
        assert (heard["listeners"], heard["sessions"]) == (6, 2)
        assert min(heard["frames"], heard["beside_frames"]) > 100
        assert heard["fanout_sent"] > 0
        await the_lake_is_measured("eustress", *there)


async def the_lake_is_measured(*there: str) -> None:
    ingest = await bench(*there, "--entities", "120", "--batch", "50", "--connections", "2")
    for mode in ("single", "batch", "stream"):
        assert ingest[mode]["entities_per_s"] > 0
        assert ingest[mode]["raw_indexed_per_s"] > 0
    scene = await bench(*there, "--scene", "300")
    assert scene["connections"] == 299
    assert scene["snapshot_ms"] > 0
    kept = await bench(*there, "--snapshots", "2", "--entities", "100")
    assert kept["snapshots"] == 2
    beside = await bench(*there, "--beside", "--entities", "200", "--connections", "1", "--seconds", "2")
    assert beside["beside_p99_ms"] > 0


async def test_cold_activations_are_counted_without_a_server() -> None:
    figures = await bench("activation", "--count", "500")
    assert figures["entities"] == 500
    assert figures["activations_per_s"] > 0


async def test_without_a_server_a_bench_says_so_in_one_line() -> None:
    process = await asyncio.create_subprocess_exec(
        SANGHA, "bench", "fanout", "--port", "1", "--data-dir", "nowhere",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await process.communicate()
    assert process.returncode == 2
    assert err.decode().count("\n") == 1

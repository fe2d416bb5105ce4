"""A short run of the WebSocket fuzzer with fixed seeds, so that a change that breaks what it watches is seen at once.

The long runs are by hand: ``python -m tests.fuzz.websocket``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest
import pytest_asyncio
from fuzz.frames import raw_case
from fuzz.requests import Scene, structured_case, usable_id
from fuzz.watching import unhappy_lines
from fuzz.websocket import Fuzzer, perform
from harness import RunningServer

CASES = 60
"""Of each kind: a few seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    running = RunningServer(SANGHA_EUSTRESS_SPACES="3")  # each has a process
    running.arguments = ["--guests"]
    async with running:
        yield running


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("only", ["raw", "structured"])
async def test_a_short_fuzz_run_is_clean(server: RunningServer, only: str, tmp_path: Path) -> None:
    fuzzer = Fuzzer(server.url, 1, only, tmp_path / "failures", server.data_dir)
    await fuzzer.prepare()
    rng = Random(f"short:{only}")
    for _ in range(CASES):
        case, _ = fuzzer.case(rng)
        case.silent = case.silent or (only == "raw" and case.pieces[-1][:1] not in (b"\x81", b"\x88"))
        await perform(server.url, case, fuzzer.tally)
        assert not case.failure, [piece[:300] for piece in case.pieces]
    assert await fuzzer.witness.look() == fuzzer.witness.before
    assert fuzzer.tally.connections == CASES
    assert unhappy_lines(server.home / "serve-1.log", 0) == []


def test_the_same_seed_makes_the_same_cases() -> None:
    scene = Scene(["11111111-1111-4111-8111-111111111111"], ["22222222-2222-4222-8222-222222222222"], ["s.s"])
    first, again = [(raw_case(r), structured_case(r, scene, 2)) for r in (Random("7:0"), Random("7:0"))]
    assert first == again
    assert any(usable_id(payload) is not None for _, payload in first[1])

"""A group ritual goes on whatever dies at whichever stage: everyone present is transformed exactly once, and told so.

``tests/unit/test_group_crashes.py`` is the exhaustive half of this promise; here real processes of a real server are killed.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from circle import Circle
from harness import RunningServer, measured

STAGES = ("ritual_gathering", "ritual_opening", "ritual_active", "ritual_integration")
MUCH_FUEL = {"SANGHA_RITUAL_FUEL": "100000000000"}
TURNS = 400_000_000
"""Some 0.25 s: a kill at the beginning of ``active`` comes while everyone is being transformed."""
VICTIMS = ("space/0", "practitioner/0", "sandbox/0", "ritual/0", "oracle/0", "gateway/0", "coordinator", "postgres")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """One server for all of them: what one test kills is there again for the next."""
    async with RunningServer(SANGHA_CHECKPOINT_EVERY="10", SANGHA_SANDBOXES="1", **MUCH_FUEL) as running:
        yield running
        assert await running.stop() == 0


@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_process_killed_at_each_stage_leaves_everyone_transformed_exactly_once(
    server: RunningServer, victim: str
) -> None:
    async with Circle(server, turns=TURNS) as circle:
        for stage in STAGES:
            before = await circle.versions()
            began = time.monotonic()
            run = await circle.begin()
            await circle.told(run, stage)
            await server.kill(victim)
            summary = await circle.check_closed(run, before)
            assert summary["outcome"] == "completed"
            measured(f"SIGKILL {victim} at {stage}, begin to summary", time.monotonic() - began)


async def test_a_whole_server_killed_at_each_stage_resumes_the_ritual_when_it_starts_again(
    server: RunningServer,
) -> None:
    async with Circle(server, turns=TURNS) as circle:
        for stage in STAGES:
            before = await circle.versions()
            run = await circle.begin(starts_in_s=1.0)
            await circle.told(run, stage)
            await server.kill("serve")
            await server.exited()
            await server.start()
            summary = await circle.check_closed(run, before)
            assert summary["outcome"] == "completed"


async def test_processes_killed_one_after_another_through_a_ritual_change_nothing(server: RunningServer) -> None:
    """Two at each stage, so that in the end every one of them was killed in the one ritual."""
    async with Circle(server, turns=TURNS) as circle:
        before = await circle.versions()
        pids = {victim: await server.pid_of(victim) for victim in VICTIMS}
        run = await circle.begin(starts_in_s=1.0)
        for stage, victims in zip(STAGES, zip(VICTIMS[::2], VICTIMS[1::2], strict=True), strict=True):
            await circle.told(run, stage)
            for victim in victims:
                server.hit(pids[victim], signal.SIGKILL)
        summary = await circle.check_closed(run, before)
        assert summary["outcome"] == "completed"


async def test_a_sandbox_killed_in_the_middle_of_a_run_gives_the_one_result(server: RunningServer) -> None:
    async with Circle(server, 1, turns=TURNS) as circle:
        member = circle.members[0]
        running = asyncio.create_task(member.client.request("ritual.run", ritual=circle.ritual, intention="once"))
        while (await member.client.request("state.get"))["under_way"] is None:  # noqa: ASYNC110 - the server's own word
            await asyncio.sleep(0)
        pid, _ = await server.kill("sandbox/0")
        result = await running
        assert result["new_state"]["archetypes"] == {"Witness": 0.1}
        assert await server.pid_of("sandbox/0", other_than=pid) != pid
        assert (await circle.versions())[member.id] == 1

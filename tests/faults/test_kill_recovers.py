"""SIGKILL of each process that comes back by itself, under load: nothing acknowledged is lost, none is done twice."""

from __future__ import annotations

import signal

import pytest
from harness import RunningServer, measured
from harness_load import Load

WITHIN_S = 30.0
"""A bound against hanging, on a machine that may be busy; the times that were measured are printed."""
SETTINGS = {"SANGHA_CHECKPOINT_EVERY": "40"}
"""So that what is recovered is a checkpoint and later events, not only events."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def killed(load: Load, name: str) -> None:
    """Kill, see its successor answer, and check everything."""
    server, epochs = load.server, load.epochs
    load.go()
    pid, at = await server.kill(name)
    took = await load.recovered(at)
    measured(f"SIGKILL {name} {server.environment.get('SANGHA_GATEWAYS', '')}", took)
    assert await server.pid_of(name, other_than=pid) != pid
    assert took <= WITHIN_S
    await load.check()
    if name in ("space/0", "practitioner/0"):
        lease = (name[:-2], "shared:1", "0")
        assert load.epochs[lease] > epochs[lease]


async def test_one_of_two_gateways_killed_leaves_the_other_serving() -> None:
    async with RunningServer(SANGHA_GATEWAYS="2", **SETTINGS) as server, Load(server) as load:
        await killed(load, "gateway/0")
        assert await server.stop() == 0


@pytest.mark.parametrize("name", ["space/0", "practitioner/0", "gateway/0", "coordinator", "postgres"])
async def test_a_killed_process_is_started_again_and_nothing_is_lost(load: Load, name: str) -> None:
    await killed(load, name)


async def test_a_crashed_backend_takes_the_database_with_it_and_both_come_back(load: Load) -> None:
    server = load.server
    load.go()
    postmaster = await server.pid_of("postgres")
    connection = await server.connect()
    backend = await connection.fetchval("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'sangha space/%'")
    at = server.hit(backend, signal.SIGKILL)
    took = await load.recovered(at)
    measured("SIGKILL of a backend of the database", took)
    assert took <= WITHIN_S
    assert await server.pid_of("postgres", other_than=postmaster) != postmaster
    connection.terminate()
    await load.check()

"""SIGKILL of each process that comes back by itself, under load: nothing acknowledged is lost, none is done twice."""

from __future__ import annotations

from harness import RunningServer, measured
from harness_load import Load

WITHIN_S = 30.0
"""A bound against hanging, on a machine that may be busy; the times that were measured are printed."""
CHECKPOINTS = {"SANGHA_CHECKPOINT_EVERY": "40"}
"""So that what is recovered is a checkpoint and later events, not only events."""


async def killed(name: str, **environment: str) -> None:
    """Kill, see its successor answer, and check everything."""
    async with RunningServer(**CHECKPOINTS, **environment) as server, Load(server) as load:
        epochs = load.epochs
        pid, at = await server.kill(name)
        took = await load.recovered(at)
        measured(f"SIGKILL {name} {environment or ''}", took)
        assert await server.pid_of(name, other_than=pid) != pid
        assert took <= WITHIN_S
        await load.check()
        if name in ("space/0", "practitioner/0"):
            lease = (name[:-2], "shared:1", "0")
            assert load.epochs[lease] > epochs[lease]
        assert await server.stop() == 0


async def test_a_killed_space_shard_recovers() -> None:
    await killed("space/0")


async def test_a_killed_practitioner_shard_recovers() -> None:
    await killed("practitioner/0")


async def test_a_killed_gateway_recovers() -> None:
    await killed("gateway/0")


async def test_one_of_two_gateways_killed_leaves_the_other_serving() -> None:
    await killed("gateway/0", SANGHA_GATEWAYS="2")


async def test_a_killed_coordinator_recovers() -> None:
    await killed("coordinator")


async def test_a_killed_postgres_is_started_again() -> None:
    await killed("postgres")

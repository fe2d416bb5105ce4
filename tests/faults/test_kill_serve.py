"""What takes ``serve`` with it: GCS, raylet, ``serve`` itself. The next start on the data directory goes on where it was."""

from __future__ import annotations

import signal
import time

import pytest
from harness import measured, until
from harness_load import Load

EXIT_WITHIN_S = 10.0
WITHIN_S = 30.0
SETTINGS = {"SANGHA_CHECKPOINT_EVERY": "40"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("name", ["gcs", "raylet"])
async def test_a_server_that_lost_ray_ends_with_an_error_and_its_successor_loses_nothing(load: Load, name: str) -> None:
    server = load.server
    load.go()
    postgres = await server.pid_of("postgres")
    _, at = await server.kill(name)
    assert await server.exited() not in (0, 2)
    ended_s = time.monotonic() - at
    measured(f"SIGKILL {name}, serve ended", ended_s)
    assert ended_s <= EXIT_WITHIN_S
    await started_again(load, name, postgres)


async def test_a_killed_serve_leaves_postgres_to_its_successor_which_loses_nothing(load: Load) -> None:
    server = load.server
    load.go()
    postgres = await server.pid_of("postgres")
    await server.kill("serve")
    assert await server.exited() == -signal.SIGKILL
    await started_again(load, "serve", postgres)


async def test_a_killed_serve_takes_its_actors_with_it(load: Load) -> None:
    server = load.server
    server.remember()
    pid, postgres = await server.pid_of("serve"), await server.pid_of("postgres")
    space = await server.pid_of("space/0")
    gateway = await server.pid_of("gateway/0")
    at = server.hit("serve", signal.SIGKILL)
    await until(lambda: not {p.pid for p in server.left()} & {pid, space, gateway}, "the actors end")
    took = time.monotonic() - at
    measured("SIGKILL serve, its actors are gone", took)
    assert took <= WITHIN_S
    load.go()
    await started_again(load, "serve and its actors", postgres)


async def started_again(load: Load, name: str, postgres: int) -> None:
    """The next start goes on with the same database, and nothing is lost."""
    server = load.server
    measured(f"SIGKILL {name}, next start ready", await server.start())
    assert await server.pid_of("postgres") == postgres
    measured(f"SIGKILL {name}, next start answers its clients", await load.recovered(time.monotonic()))
    await load.check()

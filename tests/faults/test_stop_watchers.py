"""SIGSTOP of what has no state of its own: noticed by silence, killed, started anew."""

from __future__ import annotations

import signal
import time

import pytest
from harness import measured, runs
from harness_load import Load

WITHIN_S = 40.0

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_stopped_coordinator_is_replaced_by_serve(load: Load) -> None:
    server = load.server
    load.go()
    pid, at = await server.kill("coordinator", signal.SIGSTOP)
    await server.pid_of("coordinator", other_than=pid, timeout_s=WITHIN_S)
    measured("SIGSTOP coordinator, its successor answers", time.monotonic() - at)
    assert not runs(pid)
    space, killed_at = await server.kill("space/0")
    measured("… and SIGKILL space/0 under the new one", await load.recovered(killed_at))
    assert await server.pid_of("space/0", other_than=space) != space
    await load.check()


async def test_a_stopped_gateway_is_replaced(load: Load) -> None:
    load.go()
    pid, at = await load.server.kill("gateway/0", signal.SIGSTOP)
    measured("SIGSTOP gateway/0", took := await load.recovered(at))
    assert took <= WITHIN_S
    assert not runs(pid)
    await load.check()

"""Prints the recovery times that the tests measured; a server that the tests of a module hit one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from harness import MEASURED, RunningServer
from harness_load import Load


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def load(request: pytest.FixtureRequest) -> AsyncIterator[Load]:
    """On one data directory, with the module's ``SETTINGS``. It rests after a check: each test lets it ``go``."""
    async with RunningServer(**getattr(request.module, "SETTINGS", {})) as server, Load(server) as load:
        yield load
        assert await server.stop() == 0


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("measured")
        for line in MEASURED:
            terminalreporter.line(line)

"""SIGKILL of the audio sessions' actor while one runs, and a whole server that is away while one ends: it is where it would be.

Nobody speaks to the second session after the start: its alarm alone has to wake its actor, which runs only when it is needed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from harness import RunningServer, measured, until

SHARD = "audio_session/0"
BASE = "/api/v1/sessions"
LATE_S = 10.0
"""Mostly one poll; the rest is for a busy machine."""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer(SANGHA_LOCAL_USER="1") as running:
        yield running


async def begun(http: httpx.AsyncClient, duration: int) -> dict[str, Any]:
    made = await http.post(f"{BASE}/", json={"intention": "peace", "duration": duration})
    assert made.status_code == 200, made.text
    started = await http.post(f"{BASE}/{made.json()['id']}/start")
    assert started.json()["status"] == "running"
    return dict(started.json())


async def completed(server: RunningServer, id_: str) -> Any:
    """Its row, once its completion is written: reads of the API would say it by the time alone. ``at``: when that was."""
    connection = await server.connect()
    try:
        return await until(
            lambda: connection.fetchrow(
                "SELECT s.*, j.at FROM audio_sessions s JOIN journal j ON j.entity_id = s.id::text"
                " WHERE s.id = $1 AND s.status = 'completed' AND j.event_type = 'completed'",
                id_,
            ),
            "the session to complete",
        )
    finally:
        await connection.close()


def end_of(started: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(started["timeline"]["anchor_at"]) + timedelta(seconds=started["duration"])


async def test_a_session_goes_on_where_it_would_be_and_completes_on_time(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        started = await begun(http, 4)
        here = f"{BASE}/{started['id']}"
        await server.kill(SHARD)
        found = (await http.get(here)).json()
        assert {name: found[name] for name in ("status", "timeline", "recipe", "started_at")} == {
            name: started[name] for name in ("status", "timeline", "recipe", "started_at")
        }
        louder = await http.put(here, json={"volume": 0.2})
        assert (louder.status_code, len(louder.json()["recipe"]["voices"])) == (200, 2)
        row = await completed(server, started["id"])
    assert row["stopped_at"] == end_of(started)
    late_s = (row["at"] - end_of(started)).total_seconds()
    measured("a session's end is written", late_s)
    assert 0 <= late_s < LATE_S


async def test_a_session_that_ended_while_the_server_was_away_is_completed_unasked(server: RunningServer) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        started = await begun(http, 5)
    assert await server.stop() == 0
    await server.start()
    row = await completed(server, started["id"])
    assert (row["stopped_at"], row["position_s"], row["anchor_at"]) == (end_of(started), 5, None)
    assert await server.pid_of(SHARD), "by its alarm"

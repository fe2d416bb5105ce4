"""A whole server under load whose database is cut off, half open, or gone: it recovers by itself and loses nothing."""

from __future__ import annotations

import time

import httpx
import pytest
from harness import RunningServer, measured, until
from harness_load import Load
from proxy import Proxy, socket_of

CUTS = 25


@pytest.mark.timeout(240)
async def test_a_server_whose_database_connections_end_at_random_moments_loses_nothing(database: str) -> None:
    """Every connection there is, the gateway's and the coordinator's included, again and again, in mid-traffic."""
    async with (
        Proxy(socket_of(database)) as proxy,
        RunningServer(DATABASE_URL=proxy.dsn(database)) as server,
        Load(server) as load,
    ):
        await load.recovered(time.monotonic())
        pids = [await server.pid_of(name) for name in ("space/0", "practitioner/0", "gateway/0", "coordinator")]
        worst = 0.0
        for _ in range(CUTS):
            for pair in list(proxy.open()):
                pair.sever()
            worst = max(worst, await load.recovered(time.monotonic()))
        measured(f"all database connections cut, {CUTS} times: the longest until everybody was answered", worst)
        await load.check()
        assert pids == [await server.pid_of(name) for name in ("space/0", "practitioner/0", "gateway/0", "coordinator")]


@pytest.mark.timeout(240)
async def test_a_server_without_its_database_says_so_and_goes_on_when_it_is_back(database: str) -> None:
    async with (
        Proxy(socket_of(database)) as proxy,
        RunningServer(DATABASE_URL=proxy.dsn(database)) as server,
        Load(server) as load,
        httpx.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        await load.recovered(time.monotonic())
        proxy.vanish()

        async def status_of_ready() -> int:
            return (await http.get("/ready")).status_code

        async def unready() -> bool:
            return await status_of_ready() == 503

        await until(unready, "/ready tells that storage is away")
        assert (await http.get("/health")).status_code == 200
        reply = await http.put(
            "/api/users/archetypal_state", json={"symbols": ["x"]}, headers={"Authorization": "Bearer nobody's"}
        )
        assert (reply.status_code, reply.json()["code"]) == (503, "storage_unavailable")
        proxy.come_back()
        measured("a database that was gone: answered after it was back", await load.recovered(time.monotonic()))
        await load.check()

        load.go()
        await load.recovered(time.monotonic())
        proxy.swallow()  # and now half open: nothing fails, nothing returns
        began = time.monotonic()
        await load.recovered(began)
        measured("a half-open database: answered after", time.monotonic() - began)
        await load.check()
        assert await status_of_ready() == 200

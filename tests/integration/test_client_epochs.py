"""The client of epochs against a server that answers as the gateway does: pages, keys, downloads that are whole or not there."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from actors.runtime.errors import NotFound, RateLimited
from server.client import Epochs
from server.client_events import ConnectionLost

AT = datetime(2026, 5, 1, tzinfo=UTC)
STATS = {
    "total_entities": 1,
    "total_connections": 0,
    "unique_types": 1,
    "avg_hierarchy_depth": 0.0,
    "sacred_frequency": 0.5,
    "spatial_coverage": 0.001,
}


def epoch_row(space: str = "quantum") -> dict[str, Any]:
    row: dict[str, Any] = {"id": str(uuid4()), "space_name": space, "snapshot_ids": [], "stats": STATS}
    return row | {
        "start_time": AT.isoformat(),
        "end_time": AT.isoformat(),
        "sample_count": 3,
        "created_at": AT.isoformat(),
    }


class FakeLake:
    """Epochs in memory; exports that end as the test says."""

    def __init__(self) -> None:
        self.rows = [epoch_row() for _ in range(250)]
        self.made: list[tuple[str, Any]] = []
        self.cut = False
        self.full = False

    async def list(self, request: web.Request) -> web.Response:
        limit, before = int(request.query["limit"]), request.query.get("before")
        begin = 0 if before is None else [row["id"] for row in self.rows].index(before) + 1
        return web.json_response(self.rows[begin : begin + limit] if request.query["space"] == "quantum" else [])

    async def create(self, request: web.Request) -> web.Response:
        self.made.append((request.headers["Idempotency-Key"], await request.json()))
        return web.json_response(self.rows[0], status=201)

    async def export(self, request: web.Request) -> web.StreamResponse:
        if self.full:
            problem = {"code": "rate_limited", "detail": "2 exports are under way"}
            return web.json_response(problem, status=429, headers={"Retry-After": "5"})
        if request.match_info["id"] != self.rows[0]["id"]:
            return web.json_response({"code": "not_found", "detail": "there is no such epoch"}, status=404)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{request.query['format']} {request.query['part']}".encode())
        if self.cut:
            raise ConnectionResetError
        await response.write_eof()
        return response


@pytest.fixture
async def lake() -> AsyncIterator[tuple[FakeLake, Epochs]]:
    fake, app = FakeLake(), web.Application()
    app.add_routes([web.get("/eustress/epochs", fake.list), web.post("/eustress/epochs", fake.create)])
    app.add_routes([web.get("/eustress/epochs/{id}/export", fake.export)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield fake, Epochs(f"http://127.0.0.1:{runner.addresses[0][1]}", "token")
    await runner.cleanup()


async def test_epochs_are_listed_page_by_page(lake: tuple[FakeLake, Epochs]) -> None:
    fake, epochs = lake
    assert [epoch.id for epoch in await epochs.list("quantum")] == [row["id"] for row in fake.rows]
    assert await epochs.list("other") == []


async def test_an_epoch_is_made_over_a_range_with_a_zone(lake: tuple[FakeLake, Epochs]) -> None:
    fake, epochs = lake
    made = await epochs.create("quantum", AT, AT, key="mine")
    assert (made.id, made.sample_count, made.stats.sacred_frequency) == (fake.rows[0]["id"], 3, 0.5)
    body = {"space_name": "quantum", "start_time": AT.isoformat(), "end_time": AT.isoformat()}
    assert fake.made == [("mine", body)]
    with pytest.raises(ValueError, match="zone"):
        await epochs.create("quantum", datetime(2026, 5, 1), AT)  # noqa: DTZ001 - that is the mistake


async def test_a_download_is_whole_or_not_there(lake: tuple[FakeLake, Epochs], tmp_path: Path) -> None:
    fake, epochs = lake
    path = tmp_path / "epoch.parquet"
    assert await epochs.download(fake.rows[0]["id"], path, part="connections") == path
    assert path.read_bytes() == b"parquet connections"
    fake.cut = True
    with pytest.raises(ConnectionLost):
        await epochs.download(fake.rows[0]["id"], path)
    assert path.read_bytes() == b"parquet connections"  # the one that was there
    fake.full = True
    with pytest.raises(RateLimited) as refused:
        await epochs.download(fake.rows[0]["id"], path)
    assert refused.value.retry_after_s == 5
    fake.full = fake.cut = False
    with pytest.raises(NotFound):
        await epochs.download(str(uuid4()), tmp_path / "none.parquet")
    assert os.listdir(tmp_path) == ["epoch.parquet"]


def test_whoever_imports_the_client_does_not_pay_for_pyarrow() -> None:
    import subprocess

    code = "import server.client, sys; assert 'pyarrow' not in sys.modules; server.client.EpochReader"
    subprocess.run([sys.executable, "-c", code], check=True)

"""What leaves the lake as files: an epoch's export in a process of its own, against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import psutil
import pyarrow.parquet as pq
import pytest
from aiohttp import ClientPayloadError, ClientSession, web
from lake_history import BEGAN, History, data_of

from actors.runtime.errors import SanghaError
from server.deployment import Deployment
from server.http.context import GATEWAY
from server.http.problems import problem
from server.lake_child import Child
from server.lake_files import export_epoch, places_of
from server.settings import Settings


def deployment_file(dsn: str, directory: Path) -> Path:
    """What a gateway's children read."""
    settings = Settings(data_dir=directory)
    path = directory / "deployment.json"
    Deployment(
        settings=settings,
        dsn=dsn,
        cluster_id="c",
        incarnation=1,
        secret="00" * 32,
        admin_token="t",
        port=0,
        run_dir=directory,
    ).write(path)
    return path


class FakeGateway:
    """As much of one as an export needs."""

    def __init__(self, path: Path) -> None:
        self.deployment_path = path
        self.settings = SimpleNamespace(eustress_exports=1)


class Served:
    """A server with the one route."""

    def __init__(self, gateway: FakeGateway, url: str, http: ClientSession) -> None:
        self.gateway, self.url, self.http = gateway, url, http

    async def get(self, epoch: str, format_: str = "parquet", part: str = "entities") -> bytes:
        async with self.http.get(f"{self.url}/{epoch}/{format_}/{part}") as reply:
            assert reply.status == 200, await reply.text()
            return await reply.read()


@pytest.fixture
async def served(database: str, tmp_path: Path) -> AsyncIterator[Served]:
    gateway = FakeGateway(deployment_file(database, tmp_path))

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await export_epoch(
                request, request.match_info, request.match_info["format"], request.match_info["part"]
            )  # type: ignore[arg-type]
        except SanghaError as failure:
            return problem(failure)

    app = web.Application()
    app[GATEWAY] = gateway
    app.add_routes([web.get("/{id}/{format}/{part}", handle)])
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with ClientSession() as http:
        yield Served(gateway, f"http://127.0.0.1:{port}", http)
    await runner.cleanup()


def table_of(data: bytes) -> Any:
    return pq.read_table(io.BytesIO(data))


def versions(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(row["entity_id"], row["version"]) for row in rows]


def told(history: History) -> str:
    """An epoch over snapshots at the versions 3 and 6."""
    history.put("root", position=[0.003, 0, 0], class_type="Model", parameters={"energy": 3.6, "big": 2**70})  # 1
    history.put("leaf", "root", position=[0.001, 0, 0], tags=["light"], trains=True)  # 2
    history.connect("root", "leaf")  # 3
    history.snapshot()
    history.put("leaf", "root", position=[0.002, 0, 0])  # 4: nobody saw it
    history.put("leaf", "root", position=[0.009, 0, 0])  # 5
    history.connect("leaf", "root", "touches", 0.5)  # 6
    history.snapshot()
    history.put("late", "root")  # 7: no snapshot since
    return history.epoch(stats={"total_entities": 2})


async def test_samples_are_the_versions_that_a_snapshot_of_the_epoch_shows(served: Served, database: str) -> None:
    history = History()
    epoch = told(history)
    await history.write(database)
    table = table_of(await served.get(epoch))
    rows = table.to_pylist()
    assert versions(rows) == [("root", 1), ("leaf", 2), ("leaf", 5)]
    root, first, last = rows
    assert (root["snapshots"], root["snapshot_version"], root["ended_version"], root["ended_at"]) == (2, 3, None, None)
    assert (first["snapshots"], first["snapshot_version"], first["ended_version"]) == (1, 3, 4)
    assert (last["snapshots"], last["snapshot_version"], last["ended_version"]) == (1, 6, None)
    assert root["position"] == [0.003, 0, 0]
    assert root["flux_position"] == 3
    assert root["sacred"]
    assert root["class_type"] == "Model"
    assert not first["sacred"]
    assert first["tags"] == ["light"]
    assert first["parent_id"] == "root"
    assert first["depth"] == 1
    assert first["epoch_id"] == epoch
    assert root["timestamp"] == history.at(1)
    assert first["ended_at"] == history.at(4)
    parameters = {"energy": 3.6, "big": 2**70}
    assert json.loads(root["parameters"]) == parameters
    data = data_of("root", position=[0.003, 0, 0], class_type="Model", parameters=parameters)
    assert json.loads(root["entity_data"]) == data
    marks = {name.decode(): value.decode() for name, value in table.schema.metadata.items()}
    assert marks["sangha.schema"] == "1"
    assert marks["sangha.flux"] == "droot-v1"
    assert marks["sangha.epoch"] == epoch
    assert orjson.loads(marks["sangha.stats"]) == {"total_entities": 2}
    assert marks["sangha.start_time"] == BEGAN.isoformat()


async def test_ndjson_tells_the_same_as_parquet(served: Served, database: str) -> None:
    history = History()
    epoch = told(history)
    await history.write(database)
    for part in ("entities", "connections"):
        rows = table_of(await served.get(epoch, "parquet", part)).to_pylist()
        lines = [orjson.loads(line) for line in (await served.get(epoch, "ndjson", part)).splitlines()]
        assert len(rows) == len(lines) == (3 if part == "entities" else 2)
        for row, line in zip(rows, lines, strict=True):
            given = {name: value for name, value in row.items() if value is not None}
            assert set(given) == set(line)
            for name in set(given) - {"timestamp", "ended_at", "parameters", "entity_data"}:
                assert given[name] == line[name], name


async def test_who_refuses_to_train_is_in_no_epoch_whatever_they_said_before(served: Served, database: str) -> None:
    history = History()
    history.put("silent")
    history.put("yes", trains=True)
    history.put("no", trains=True)
    history.put("child", "no")
    history.connect("no", "child")
    history.connect("yes", "silent", "touches")
    history.snapshot()
    history.put("no", trains=False)
    history.put("was", trains=False)
    history.put("was", trains=True)
    history.remove("was")
    epoch = history.epoch()
    await history.write(database)
    rows = table_of(await served.get(epoch)).to_pylist()
    assert versions(rows) == [("silent", 1), ("yes", 2), ("child", 4)]
    assert rows[2]["parent_id"] is None
    assert rows[2]["depth"] == 1
    links = table_of(await served.get(epoch, part="connections")).to_pylist()
    assert [(row["source_id"], row["target_id"]) for row in links] == [("yes", "silent")]
    connection = await asyncpg.connect(database)
    await connection.execute("""UPDATE eustress_spaces SET policy = '{"trains_by_default": false}'""")
    await connection.close()
    assert versions(table_of(await served.get(epoch)).to_pylist()) == [("yes", 2)]


async def test_an_epoch_of_nothing_is_a_file_of_nothing(served: Served, database: str) -> None:
    history = History()
    history.put("a")
    epoch = history.epoch(())
    await history.write(database)
    assert await served.get(epoch, "ndjson") == b""
    table = table_of(await served.get(epoch))
    assert table.num_rows == 0
    assert "entity_id" in table.column_names


async def test_what_goes_wrong_before_the_first_byte_is_an_error(served: Served, tmp_path: Path) -> None:
    async with served.http.get(f"{served.url}/{uuid4()}/parquet/entities") as reply:
        assert (reply.status, (await reply.json())["code"]) == (404, "not_found")
    deployment_file("postgresql://nobody@127.0.0.1:9/none", tmp_path)
    async with served.http.get(f"{served.url}/{uuid4()}/parquet/entities") as reply:
        assert (reply.status, (await reply.json())["code"]) == (503, "storage_unavailable")
    assert places_of(served.gateway).taken == 0


async def many(database: str, rows: int, text: int = 400) -> str:
    """An epoch of so many samples."""
    history = History(space="big")
    history.version = 1
    history.snapshot()
    epoch = history.epoch()
    await history.write(database)
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(
            """INSERT INTO eustress_entity_versions (space_name, id, since, at, flux_position, x, y, z, depth, data)
            SELECT 'big', 'e' || n, 1, now(), 1 + n % 9, n, n, n, 0, jsonb_build_object('id', 'e' || n, 'name', 'n',
                'class_type', 'Part', 'rotation', '[0,0,0,1]'::jsonb, 'scale', '[1,1,1]'::jsonb, 'tags', '["a"]'::jsonb,
                'parameters', jsonb_build_object('text', repeat(md5(n::text), $2 / 32)))
            FROM generate_series(1, $1) n""",
            rows,
            text,
        )
    finally:
        await connection.close()
    return epoch


def exporters() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "server.lake_export" in child.cmdline()]


async def test_a_client_that_leaves_ends_the_process_and_gives_its_place_back(served: Served, database: str) -> None:
    epoch = await many(database, 60_000)
    reply = await served.http.get(f"{served.url}/{epoch}/ndjson/entities")
    await reply.content.readexactly(1_000)
    (child,) = exporters()
    assert child.nice() >= 10
    assert not any("postgres" in word for word in child.cmdline())
    async with served.http.get(f"{served.url}/{epoch}/ndjson/entities") as second:
        assert (second.status, second.headers["Retry-After"]) == (429, "5")
    reply.close()
    async with asyncio.timeout(20):
        while places_of(served.gateway).taken:  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0)
    assert not child.is_running()
    assert len((await served.get(epoch, "ndjson")).splitlines()) == 60_000  # there is a place again


async def test_a_failure_in_the_middle_cuts_the_answer_off(
    served: Served, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    epoch = await many(database, 60_000)
    async with served.http.get(f"{served.url}/{epoch}/ndjson/entities") as reply:
        await reply.content.readexactly(1_000)
        connection = await asyncpg.connect(database)
        ended = await connection.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'sangha export'"
        )
        await connection.close()
        assert ended == 1
        with pytest.raises(ClientPayloadError):
            await reply.read()
    assert "an export was cut off" in caplog.text
    assert places_of(served.gateway).taken == 0


async def test_a_process_that_is_killed_before_its_first_byte_may_be_tried_again(
    served: Served, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = Child.start

    async def killed(module: str, job: dict[str, Any]) -> Child:
        child = await started(module, job)
        psutil.Process(child.pid).kill()
        return child

    monkeypatch.setattr(Child, "start", killed)
    async with served.http.get(f"{served.url}/{uuid4()}/parquet/entities") as reply:
        assert (reply.status, (await reply.json())["code"]) == (503, "actor_unavailable")


async def peak(database: str, tmp_path: Path, epoch: str) -> int:
    """The most resident memory that an export was seen with, in bytes."""
    job = {"deployment": str(deployment_file(database, tmp_path)), "epoch": epoch, "part": "entities"}
    child = await Child.start("server.lake_export", job | {"format": "parquet"})
    process, seen = psutil.Process(child.pid), [0]
    while await child.read(4_096):
        with suppress(psutil.NoSuchProcess):
            seen.append(process.memory_info().rss)
    await child.outcome()
    await child.end()
    return max(seen)


async def test_memory_does_not_grow_with_the_epoch(database: str, tmp_path: Path) -> None:
    # Of 30,000 rows the text alone has 60 MB; server/lake_export.py says what 300,000 and 1,000,000 take.
    assert await peak(database, tmp_path, await many(database, 30_000, text=2_000)) < 200 * 2**20

"""Reads of the lake over HTTP without a database: who may, what is refused before anything is read, and how they break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, World, until, world

from actors.runtime.ports import StoreDown
from server.http import eustress_reading
from server.service import account_of
from storage.eustress_queries import Marker, Page
from storage.read_pool import ReadTooLong

READS = [
    "/eustress/entities?space=q",
    "/eustress/connections?space=q",
    "/eustress/hierarchy/q",
    "/eustress/changes/q",
    "/eustress/ingest/snapshots/q",
    f"/eustress/snapshots/{ALICE}",
    "/eustress/ingest/stats",
    "/eustress/spaces",
    "/eustress/spaces/q",
    "/eustress/epochs",
    f"/eustress/epochs/{ALICE}",
    "/eustress/archives/q",
]


class FakeLake:
    """One view for all; ``fail`` is raised by whatever is asked."""

    def __init__(self) -> None:
        self.fail: Exception | None = None
        self.late: Exception | None = None
        self.hold = asyncio.Event()
        self.asked: list[str] = []
        self.open = 0

    @asynccontextmanager
    async def reading(self, *, long: bool = False) -> AsyncIterator[FakeLake]:
        if self.fail is not None:
            raise self.fail
        self.open += 1
        try:
            yield self
        finally:
            self.open -= 1

    async def close(self) -> None:
        pass

    async def snapshot(self, id_: str) -> Any:
        time = datetime(2026, 1, 1, tzinfo=UTC)
        return Marker(id=id_, space_name="q", version=3, timestamp=time, reason="manual", metadata='{"entity_count":1}')

    async def scene_entities(self, moment: Any) -> AsyncIterator[list[Any]]:
        yield [{"id": "a", "data": '{"id":"a"}'}]
        if self.late is not None:
            raise self.late
        await self.hold.wait()
        while True:
            yield [{"id": "b", "data": '"' + "x" * 1_000_000 + '"'}]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("scene"):

            async def nothing(*_: Any, **__: Any) -> AsyncIterator[list[Any]]:
                return
                yield []

            return nothing

        async def asked(*_: Any, **__: Any) -> Any:
            self.asked.append(name)
            return Page([], False, 0) if name in ("entities", "connections", "changes", "near") else []

        return asked


@pytest.fixture
def lake() -> FakeLake:
    return FakeLake()


@pytest.fixture
async def w(lake: FakeLake) -> AsyncIterator[World]:
    async with world() as here:
        here.gateway.lake = lake
        here.gateway.admin_token = "the operator's"
        here.queries.login("engine", account_of("eustress"), service="eustress")
        here.queries.login("person", ALICE)
        here.queries.lake |= {"q"}
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer engine"}
    async with httpx.AsyncClient(base_url=w.http, headers=headers, timeout=20) as client:
        yield client


def code_of(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["Content-Type"].startswith("application/problem+json"), answer.text
    return answer.status_code, answer.json()["code"]


async def test_a_parameter_that_is_no_list_is_given_once(http: httpx.AsyncClient) -> None:
    answer = await http.get("/eustress/entities?space=q&flux=3&flux=6")
    assert answer.json()["errors"] == [{"path": "flux", "message": "given more than once"}]


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00%2B12:00"])
async def test_a_time_that_is_none_in_utc_is_told_by_its_name(http: httpx.AsyncClient, time: str) -> None:
    answer = await http.get(f"/eustress/entities?space=q&at={time}")
    assert (code_of(answer), answer.json()["errors"][0]["path"]) == ((422, "invalid"), "at")
    body = {"space_name": "q", "start_time": "2026-01-01T00:00:00Z", "end_time": "9999-12-31T23:59:59-12:00"}
    assert (await http.post("/eustress/epochs", json=body)).json()["errors"][0]["path"] == "end_time"


@pytest.mark.parametrize("path", READS)
async def test_engines_and_operators_read_and_nobody_else(w: World, http: httpx.AsyncClient, path: str) -> None:
    assert code_of(await http.get(path, headers={"Authorization": "Bearer person"})) == (403, "forbidden")
    assert code_of(await http.get(path, headers={"Authorization": "Bearer wrong"})) == (401, "unauthenticated")
    assert w.gateway.lake.asked == []  # type: ignore[union-attr]
    if "snapshots/q" in path or path.startswith(("/eustress/snapshots", "/eustress/ingest/stats", "/eustress/epochs/")):
        return  # the fake's rows are none
    if path != "/eustress/spaces/q":
        answer = await http.get(path, headers={"Authorization": "Bearer the operator's"})
        assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("path", READS)
async def test_a_database_that_is_away_or_too_slow_is_said_so(
    lake: FakeLake, http: httpx.AsyncClient, path: str
) -> None:
    lake.fail = StoreDown("too many are reading; try again")
    answer = await http.get(path)
    assert code_of(answer) == (503, "storage_unavailable")
    assert "Retry-After" in answer.headers
    lake.fail = ReadTooLong("reading took more than 60 s")
    answer = await http.get(path)
    assert code_of(answer) == (504, "timeout")
    assert "ask for less" in answer.json()["detail"]


async def test_a_gateway_without_a_lake_says_so(w: World, http: httpx.AsyncClient) -> None:
    w.gateway.lake = None
    assert code_of(await http.get("/eustress/spaces")) == (503, "storage_unavailable")


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("", "space"),
        ("space=q&flux=0", "flux"),
        ("space=q&flux=3;6", "flux"),
        ("space=q&box=1,2,3", "box"),
        ("space=q&box=1,2,3,4,5,1e308", "box"),
        ("space=q&box=1,2,3,4,5,1.2.3", "box"),
        ("space=q&near=1,2,nan", "near"),
        ("space=q&near=1,2,1e999", "near"),
        ("space=q&radius=1", "radius"),
        ("space=q&near=1,2,3&radius=-1", "radius"),
        ("space=q&near=1,2,3&radius=nan", "radius"),
        ("space=q&near=1,2,3&from=2026-01-01T00:00:00Z", "near"),
        ("space=q&depth=-1", "depth"),
        ("space=q&depth=99999999999", "depth"),
        ("space=q&limit=0", "limit"),
        ("space=q&limit=10001", "limit"),
        ("space=q&at=yesterday", "at"),
        ("space=q&at=2026-01-01T00:00:00", "at"),
        ("space=q&at=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z", "at"),
        (f"space=q&at=2026-01-01T00:00:00Z&snapshot={ALICE}", "snapshot"),
        ("snapshot=1", "snapshot"),
        ("space=q&after=%21%21%21", "after"),
        ("space=q&after=WzFd", "after"),
        ("space=q&after=bnVsbA", "after"),
        ("space=" + "x" * 201, "space"),
        ("&".join(f"space=s{n}" for n in range(65)), "space"),
        ("space=q&ids=" + "x" * 201, "ids"),
        ("space=q&every=0", "every"),
    ],
)
async def test_what_is_wrong_with_a_query_is_said(http: httpx.AsyncClient, query: str, path: str) -> None:
    answer = await http.get(f"/eustress/entities?{query}")
    assert code_of(answer) == (422, "invalid")
    assert answer.json()["errors"][0]["path"].partition("[")[0] == path, answer.text


async def test_a_space_that_is_not_there_is_not_found_and_nobody_is_asked(w: World, http: httpx.AsyncClient) -> None:
    for path in ("entities?space=q&space=other", "connections?space=other", "hierarchy/other", "changes/other"):
        answer = await http.get(f"/eustress/{path}")
        assert code_of(answer) == (404, "not_found")
        assert "other" in answer.json()["detail"]
    assert code_of(await http.get(f"/eustress/entities?space=other&snapshot={ALICE}")) == (404, "not_found")
    assert not any(kind == "eustress" for kind, _ in w.shards.streams)


@pytest.mark.parametrize("after", ["-1", "1.5", "9" * 30, "x", "WzksOSwiIiwiIiwiIl0"])
async def test_a_version_that_is_none_is_refused(http: httpx.AsyncClient, after: str) -> None:
    assert code_of(await http.get(f"/eustress/changes/q?after={after}")) == (422, "invalid")


async def test_an_error_in_the_middle_cuts_the_document_off(lake: FakeLake, http: httpx.AsyncClient) -> None:
    lake.late = StoreDown("gone")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.get(f"/eustress/snapshots/{ALICE}")
    assert lake.open == 0
    assert (await http.get("/eustress/spaces")).status_code == 200


async def test_a_client_that_goes_in_the_middle_leaves_nothing_open(lake: FakeLake, http: httpx.AsyncClient) -> None:
    async with http.stream("GET", f"/eustress/snapshots/{ALICE}") as answer:
        pieces = answer.aiter_raw()
        text = b""
        while b'"a"' not in text:
            text += await anext(pieces)
        assert lake.open == 1
    await until(lambda: not lake.open)


async def test_a_client_that_does_not_read_is_cut_off(
    lake: FakeLake, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eustress_reading, "STALL_S", 0.05)
    lake.hold.set()
    async with http.stream("GET", f"/eustress/snapshots/{ALICE}"):
        await until(lambda: not lake.open)

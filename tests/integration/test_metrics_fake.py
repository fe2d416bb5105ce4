"""``/metrics`` of a real gateway over fake shards: who may have it, and what a gateway counts of its sockets and of HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, HALL, World, until, world
from prometheus_client.parser import text_string_to_metric_families as families

from actors.runtime.errors import Full
from server.metrics.catalog import METRICS
from server.metrics.reports import Report, Sample


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as w:
        w.shards.space(HALL)
        yield w


async def get(w: World, path: str = "/metrics", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=w.http) as http:
        return await http.get(path, headers=headers)


async def scrape(w: World) -> dict[tuple[str, ...], float]:
    """Values by name and the values of the metric's own labels."""
    found = {}
    for family in families((await get(w)).text):
        for sample in family.samples:
            metric = METRICS[re.sub("_(bucket|sum|count)$", "", sample.name)]
            found[sample.name, *(sample.labels[label] for label in metric.labels)] = sample.value
    return found


async def test_from_this_machine_no_token_is_needed_and_a_wrong_one_is_no_harm(w: World) -> None:
    assert (await get(w)).status_code == 200
    assert (await get(w, Authorization="Bearer wrong")).status_code == 200


async def test_what_was_forwarded_needs_the_admin_token(w: World) -> None:
    w.gateway.admin_token = "the-admins"
    forwarded = {"X-Forwarded-For": "127.0.0.1"}
    assert (await get(w, **forwarded)).status_code == 401
    assert (await get(w, **forwarded, Authorization="Bearer wrong")).status_code == 401
    assert (await get(w, **forwarded, Authorization="Bearer the-admins")).status_code == 200


async def test_sockets_their_requests_and_their_ends_are_counted(w: World) -> None:
    async with w.guest() as client, w.socket() as stranger:
        await client.join()
        await client.ask("ping")
        w.shards.refuse = lambda _: Full("no room")
        await client.ask("space.send", space=HALL, body={})
        await client.ask("space.sing")
        await stranger.send(id=1, type="auth", token="wrong")
        await stranger.closed()
        told = await scrape(w)
    assert told["sangha_sockets", "authenticated"] == 1
    assert told["sangha_sockets_opened_total",] == 2
    requests = {key[1:]: n for key, n in told.items() if key[0] == "sangha_socket_requests_total"}
    assert requests == {
        ("auth", "ok"): 1,
        ("auth", "unauthenticated"): 1,
        ("space.join", "ok"): 1,
        ("ping", "ok"): 1,
        ("space.send", "ok"): 0,
        ("space.send", "full"): 1,
        ("other", "bad_request"): 1,
    }
    assert told["sangha_socket_closes_total", "4001"] == 1
    assert told["sacred_service_latency_count", "socket", "ping"] == 1
    assert told["sangha_socket_requests_unanswered",] == 0


async def test_a_push_is_counted_once_for_each_socket_that_it_goes_to(w: World) -> None:
    async with w.guest("a") as one, w.guest("b") as two:
        await one.join()
        await two.join()
        before = await scrape(w)
        reply = await one.ask("space.send", space=HALL, body={"text": "hello"})
        assert reply["type"] == "result"
        await one.receive_event("message")
        frame = await two.receive_event("message")
        told = await scrape(w)
    pushes = ("sangha_pushes_total", "space", "durable")
    assert told[pushes] == before[pushes] + 2
    assert (
        told["sangha_push_bytes_total", "space"]
        > before["sangha_push_bytes_total", "space"] + 2 * len(str(frame)) * 0.8
    )
    assert told["sacred_messages_total", "message", "guest"] == 1
    assert told["sacred_messages_total", "message", "practitioner"] == 0


async def test_http_is_counted_by_the_route_as_declared(w: World) -> None:
    for path in ("/health", f"/api/collective/spaces/{HALL}/no", "/nowhere/0123"):
        await get(w, path)
    told = await scrape(w)
    counted = {key[1:]: n for key, n in told.items() if key[0] == "sangha_http_requests_total"}
    assert counted["GET", "/health", "200"] == 1
    assert counted["GET", "unmatched", "404"] == 2
    assert told["sacred_service_latency_count", "http", "GET /health"] == 1


async def test_numbers_are_told_during_a_drain(w: World) -> None:
    async with w.guest() as client:
        drain = asyncio.ensure_future(w.gateway.drain())
        await until(lambda: w.gateway.draining)
        assert (await get(w, "/api/collective/spaces")).status_code == 503
        assert (await scrape(w))["sangha_draining",] == 1
        await client.socket.close()
        await drain


async def test_every_process_that_reports_is_told(w: World) -> None:
    async def everybody() -> list[Any]:
        return [Report("space/0", "n1", [Sample("sangha_up", 1)]), Report("space/1", "n2", [Sample("sangha_up", 0)])]

    w.gateway.scrape = everybody
    assert [s.labels | {"value": s.value} for f in families((await get(w)).text) for s in f.samples] == [
        {"process": "space/0", "kind": "space", "node": "n1", "value": 1},
        {"process": "space/1", "kind": "space", "node": "n2", "value": 0},
    ]


async def test_a_request_that_an_account_makes_is_a_practitioners(w: World) -> None:
    w.queries.login("t", ALICE)
    async with w.socket() as client:
        await client.auth(token="t")
        await client.join()
        await client.ask("space.send", space=HALL, body={"text": "hello"})
        assert (await scrape(w))["sacred_messages_total", "message", "practitioner"] == 1

"""A whole server that is measured: its numbers over all processes in one scrape, and its traces at a collector of ours."""

from __future__ import annotations

import json
import re
import secrets
import signal
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import websockets
from aiohttp.test_utils import TestServer
from harness import RunningServer, until
from otlp import Collector
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families
from readme import ROOT

from server.client_http import register
from server.metrics.catalog import METRICS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

PROCESSES = {
    "coordinator", "gateway/0", "oracle/0", "practitioner/0", "ray/gcs", "ray/raylet", "ritual/0", "sandbox/0", "sandbox/1",
    "serve", "space/0",
}  # fmt: skip
NOT_HERE = {"sangha_own_shards", "sangha_socket_closes_total"}
"""No kind is placed 'own', and no socket had to be closed."""

Samples = dict[tuple[str, str, str], float]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def measured() -> AsyncIterator[tuple[RunningServer, Collector]]:
    collector = Collector()
    async with (
        TestServer(collector.app()) as receiver,
        RunningServer(SANGHA_TRACES_URL=str(receiver.make_url("")).rstrip("/")) as server,
    ):
        yield server, collector


@pytest.fixture
def server(measured: tuple[RunningServer, Collector]) -> RunningServer:
    return measured[0]


@pytest.fixture
def collector(measured: tuple[RunningServer, Collector]) -> Collector:
    return measured[1]


def new_traceparent() -> tuple[str, str]:
    trace = secrets.token_hex(16)
    return trace, f"00-{trace}-{secrets.token_hex(8)}-01"


async def scrape(server: RunningServer, accept: str = "") -> str:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{server.url}/metrics", headers={"Accept": accept}, timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


async def values(server: RunningServer, name: str) -> dict[str, float]:
    """A metric's values by process, added up over its own labels."""
    found: dict[str, float] = {}
    for family in families(await scrape(server)):
        for sample in family.samples:
            if sample.name == name:
                process = sample.labels["process"]
                found[process] = found.get(process, 0.0) + sample.value
    return found


async def converse(server: RunningServer, traceparent: str) -> None:
    """A guest makes a space, enters it and says something, over a socket that came with a ``traceparent``."""
    url = server.url.replace("http", "ws") + "/ws"
    async with websockets.connect(url, additional_headers={"traceparent": traceparent}) as socket:

        async def ask(id_: int, type_: str, **fields: object) -> dict[str, object]:
            await socket.send(json.dumps({"id": id_, "type": type_, **fields}))
            while True:
                frame = json.loads(await socket.recv())
                if frame.get("id") == id_:
                    assert frame["type"] == "result", frame
                    return dict(frame["result"])

        await ask(1, "auth", guest="Ada")
        space = (await ask(2, "space.create", name="Hall", purpose="to be measured"))["id"]
        await ask(3, "space.join", space=space)
        await ask(4, "space.send", space=space, body={"text": "hello"})


async def transform(server: RunningServer, traceparent: str) -> None:
    """A practitioner runs a ritual over HTTP and reflects on it."""
    account = await register(server.url, f"{secrets.token_hex(6)}@example.org", "a long password")
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        headers = {"Authorization": f"Bearer {account['token']}", "traceparent": traceparent}
        ran = await http.post("/api/rituals/execute", headers=headers, json={
            "ritual_name": "archetype_invocation", "intention": "to see", "ritual_parameters": {"archetype": "Witness"},
        })  # fmt: skip
        assert ran.status_code == 200, ran.text
        told = await http.post(
            "/api/state/reflection", headers=headers | {"traceparent": new_traceparent()[1]}, json={}
        )
        assert told.status_code in (200, 201), told.text


async def test_a_message_is_traced_from_the_socket_through_the_shard_to_its_commit(
    server: RunningServer, collector: Collector
) -> None:
    trace, traceparent = new_traceparent()
    await converse(server, traceparent)
    await until(lambda: "space.send" in collector.of(trace) and "commit space" in collector.of(trace), "the trace")
    await until(
        lambda: len([s for s in collector.spans if s.trace == trace and s.name == "commit space"]) >= 3, "commits"
    )
    sent = collector.of(trace)["space.send"]
    assert sent.parent == traceparent.split("-")[2]
    below = [s for s in collector.spans if s.parent == sent.id]
    assert [(s.process, s.name) for s in below] == [("gateway/0", "ask space")]
    decided = next(s for s in collector.spans if s.parent == below[0].id)
    assert (decided.process, decided.name, decided.attributes["command"]) == ("space/0", "decide space", "SendMessage")
    gate = next(s for s in collector.spans if s.parent == decided.id)
    commit = next(s for s in collector.spans if s.parent == gate.id)
    assert (gate.name, commit.name, commit.process) == ("gate space", "commit space", "space/0")
    assert commit.attributes["sangha.outcome"] == "ok"


async def test_a_ritual_is_traced_from_http_into_the_sandbox_and_back(
    server: RunningServer, collector: Collector
) -> None:
    trace, traceparent = new_traceparent()
    await transform(server, traceparent)
    await until(lambda: {"work", "POST /api/rituals/execute"} <= collector.of(trace).keys(), "the trace")
    lineage = collector.lineage(trace, "work")
    assert [re.sub(r"sandbox/\d", "sandbox/N", each) for each in lineage] == [
        "gateway/0 POST /api/rituals/execute",
        "gateway/0 ask practitioner",
        "practitioner/0 decide practitioner",
        "practitioner/0 gate practitioner",
        "practitioner/0 effect sandbox",
        "sandbox/N work",
    ]


async def test_who_is_not_sampled_by_the_caller_is_not_traced(server: RunningServer, collector: Collector) -> None:
    trace, traceparent = new_traceparent()
    seen, seen_parent = new_traceparent()
    await converse(server, traceparent[:-2] + "00")
    await converse(server, seen_parent)
    await until(lambda: "commit space" in collector.of(seen), "the trace of the other")
    assert not collector.of(trace)


async def test_one_scrape_has_every_process_and_every_metric(server: RunningServer) -> None:
    await converse(server, "")
    await transform(server, "")
    await until(lambda: _all_up(server), "sandboxes and oracle run")
    told = list(families(await scrape(server)))
    names = {sample.name for family in told for sample in family.samples}
    assert {s.labels["process"] for f in told for s in f.samples} == PROCESSES
    exported = {name if metric.type != "histogram" else f"{name}_bucket" for name, metric in METRICS.items()}
    assert exported - names == NOT_HERE - names
    assert {name for name in names if name.removesuffix("_sum").removesuffix("_count") not in METRICS} <= exported
    again = openmetrics(await scrape(server, "application/openmetrics-text; version=1.0.0"))
    assert {family.name for family in again} == {family.name for family in told}


async def _all_up(server: RunningServer) -> bool:
    return len(await values(server, "process_start_time_seconds")) == len(PROCESSES)


async def test_what_was_done_is_counted_where_it_was_done(server: RunningServer) -> None:
    names = ("sacred_messages_total", "sangha_commits_total", "sangha_ritual_runs_total", "sangha_ritual_fuel_total")
    before = [await values(server, name) for name in names]
    await converse(server, "")
    await transform(server, "")
    messages, commits, runs, fuel = [await values(server, name) for name in names]
    assert messages["gateway/0"] == before[0]["gateway/0"] + 1
    assert commits["space/0"] >= before[1]["space/0"] + 3
    assert sum(runs.values()) == sum(before[2].values()) + 1
    assert sum(fuel.values()) > sum(before[3].values())


async def test_the_numbers_of_a_histogram_belong_together(server: RunningServer) -> None:
    await converse(server, "")
    told = {
        s.name: s.value for f in families(await scrape(server)) for s in f.samples if s.labels["process"] == "space/0"
    }
    assert told["sangha_commit_seconds_count"] == told["sangha_commit_batch_commands_count"] > 0
    assert told["sangha_commit_batch_commands_sum"] >= told["sangha_commit_batch_commands_count"]
    assert told["sangha_gate_wait_seconds_sum"] >= told["sangha_commit_seconds_sum"] * 0.9


async def test_no_label_has_an_id_in_it(server: RunningServer) -> None:
    await converse(server, "")
    async with httpx.AsyncClient(base_url=server.url) as http:
        for path in ("/api/rituals/zebra/details", "/no/such/plover", "/api/collective/spaces?q=xyzzy"):
            await http.request("GET", path)
        await http.request("BREW", "/coffee")
    text = await scrape(server)
    assert not re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|zebra|plover|xyzzy|BREW|coffee", text)
    assert 'route="unmatched"' in text


async def test_a_process_that_does_not_answer_is_told_as_down_and_the_scrape_goes_on(server: RunningServer) -> None:
    assert (await values(server, "sangha_up"))["sandbox/1"] == 1
    await server.kill("sandbox/1", signal.SIGSTOP)  # the coordinator replaces it by and by
    up = await values(server, "sangha_up")
    assert up["sandbox/1"] == 0
    assert sum(up.values()) == len(up) - 1
    await until(lambda: _is_up(server, "sandbox/1"), "its successor")
    assert (await values(server, "sangha_takeovers_total"))["coordinator"] >= 1


async def _is_up(server: RunningServer, process: str) -> bool:
    return (await values(server, "sangha_up")).get(process) == 1


def named_in(text: str) -> set[str]:
    """Metrics in PromQL, in a dashboard or in rules."""
    return set(re.findall(r"\b(?:sangha|sacred|process)_[a-z_]+", text)) - {"process_name"}


async def test_what_the_dashboard_and_the_alerts_name_is_in_a_scrape(server: RunningServer) -> None:
    await converse(server, "")
    scraped = {s.name for f in families(await scrape(server)) for s in f.samples} | NOT_HERE
    dashboard = json.loads((ROOT / ".deploy" / "grafana" / "sangha.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = {name for panel in panels for target in panel["targets"] for name in named_in(target["expr"])}
    rules = set(re.findall(r"expr: (.*)", (ROOT / ".deploy" / "prometheus-alerts.yml").read_text()))
    alerted = {name for rule in rules for name in named_in(rule)}
    assert asked - scraped == set()
    assert alerted - scraped == set()
    assert len(alerted) >= 8
    shown = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert METRICS.keys() - shown == set(), "a metric that no panel shows"

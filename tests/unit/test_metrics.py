"""From what processes report to what Prometheus reads; who may ask; who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families

from actors.runtime.entity import Tick
from actors.runtime.measures import Histogram
from actors.runtime.placement import Gone, NoAnswer, Restarting
from actors.space.commands import SendMessage
from server.http.forwarded import Trusted, client_of
from server.http.metrics import is_local
from server.measures import GatewayMeasures
from server.metrics import reports
from server.metrics.catalog import METRICS
from server.metrics.exposition import render
from server.metrics.reports import Report, Sample, merged
from server.metrics.scrape import Scraper
from server.ws import protocol


def report() -> Report:
    histogram = Histogram(METRICS["sangha_commit_seconds"].bounds)
    for value in (0.0004, 0.003, 99.0):
        histogram.observe(value)
    samples = [
        Sample("sangha_up", 1),
        Sample("sangha_commands_total", 7, ("send", "ok")),
        reports.histogram("sangha_commit_seconds", histogram),
    ]
    return Report("space/0", "0123456789abcdef", samples)


@pytest.mark.parametrize(
    ("accept", "parse"),
    [("", families), ("text/plain", families), ("application/openmetrics-text; version=1.0.0", openmetrics)],
)
def test_a_report_is_told_in_the_format_that_is_asked_for(accept: str, parse: Any) -> None:
    body, headers = render([report()], accept)
    assert ("openmetrics" in headers["Content-Type"]) is (parse is openmetrics)
    told = {(s.name, s.labels.get("le")): s for family in parse(body.decode()) for s in family.samples}
    sent = told["sangha_commands_total", None]
    common = {"process": "space/0", "kind": "space", "node": "0123456789ab"}
    assert (sent.value, sent.labels) == (7, common | {"command": "send", "outcome": "ok"})
    assert told["sangha_commit_seconds_bucket", "0.0005"].value == 1
    assert told["sangha_commit_seconds_bucket", "30.0"].value == 2
    assert told["sangha_commit_seconds_bucket", "+Inf"].value == told["sangha_commit_seconds_count", None].value == 3
    assert told["sangha_commit_seconds_sum", None].value == pytest.approx(99.0034)


def test_the_catalogs_names_and_labels_are_as_prometheus_wants_them() -> None:
    for name, metric in METRICS.items():
        assert name.endswith("_total") is (metric.type == "counter")
        assert bool(metric.bounds) is (metric.type == "histogram")
        assert not {"le", "process", "kind", "node"} & set(metric.labels)
        assert metric.help
        assert not metric.help.endswith(".")


def test_what_has_the_same_name_and_labels_is_added_up() -> None:
    twice = [Sample("m", 1, ("a",), (1, 2)), Sample("m", 2, ("b",)), Sample("m", 3, ("a",), (3, 4))]
    assert merged(twice) == [Sample("m", 4, ("a",), (4, 6)), Sample("m", 2, ("b",))]


def test_a_command_is_named_by_its_tag_and_a_signal_by_its_type() -> None:
    assert reports.command_name(SendMessage) == "send"
    assert reports.command_name(Tick) == "Tick"


def test_a_database_that_does_not_answer_is_told_as_down_and_no_more() -> None:
    assert list(reports.of_database(None)) == [Sample("sangha_database_up", 0)]


def test_a_gateway_counts_requests_by_type_and_messages_by_who_said_them() -> None:
    measures = GatewayMeasures()
    measures.answered((protocol.SpaceSend, 10.0, None), "ok", 10.2, guest=True)
    measures.answered((protocol.SpaceSend, 10.0, None), "full", 10.2, guest=True)
    measures.answered((protocol.Ping, 10.0, None), "ok", 10.2, guest=False)
    assert measures.refused == {(protocol.SpaceSend, "full"): 1}
    assert {type_: sum(each.counts) for type_, each in measures.request_s.items()} == {
        protocol.SpaceSend: 2,
        protocol.Ping: 1,
    }
    assert measures.request_s[protocol.SpaceSend].total == pytest.approx(0.4)
    assert measures.messages == [0, 1]


def test_a_method_that_a_client_made_up_makes_no_label() -> None:
    measures = GatewayMeasures()
    measures.served("BREW", "unmatched", 405, 0.1)
    measures.served("GET", "/health", 200, 0.1)
    assert measures.http == {("other", "unmatched", 405): 1, ("GET", "/health", 200): 1}


@pytest.mark.parametrize(
    ("peer", "host", "sent", "local"),
    [
        ("127.0.0.1", "localhost:8080", (), True),
        ("127.8.9.1", "127.0.0.1", (), True),
        ("::1", "[::1]:8080", (), True),
        ("::1", "[::1]", (), True),
        ("10.0.0.7", "localhost:8080", (), False),
        ("127.0.0.1", "sangha.example.org", (), False),
        ("127.0.0.1", "", (), False),
        ("127.0.0.1", "localhost", ("x-forwarded-for",), False),
        ("127.0.0.1", "localhost", ("forwarded",), False),
        ("127.0.0.1", "localhost", ("via",), False),
        ("not an address", "localhost", (), False),
        ("", "localhost", (), False),
    ],
)
def test_only_who_comes_from_this_machine_itself_needs_no_token(
    peer: str, host: str, sent: Sequence[str], local: bool
) -> None:
    who = client_of(peer, {name: ["1.2.3.4"] for name in sent}, Trusted(["127.0.0.1"]))
    assert is_local(who, host) is local


class Actors:
    """Answers with a report, or raises."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {name.replace("_", "/"): answer for name, answer in answers.items()}
        self.asked: list[str] = []

    async def call(self, name: str, method: str, *_: Any, timeout_s: float = 0.0) -> Any:
        self.asked.append(name)
        answer = self.answers[name]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def names(self) -> list[str]:
        return [*self.answers, "gateway/0"]


def up(name: str, value: float = 1) -> Report:
    return Report(name, "node", [Sample("sangha_up", value)])


async def test_who_does_not_answer_is_down_who_is_gone_is_not_told_and_oneself_is_not_asked() -> None:
    actors = Actors(space_0=[up("space/0")], space_1=NoAnswer(), sandbox_0=Restarting(), oracle_0=Gone())
    found = await Scraper(actors, actors.names, (), "gateway/0")()
    assert {r.process: r.samples[0].value for r in found} == {"space/0": 1, "space/1": 0, "sandbox/0": 0}
    assert "gateway/0" not in actors.asked


async def test_a_process_that_was_up_is_down_under_the_same_labels() -> None:
    actors = Actors(space_0=[up("space/0")])
    scraper = Scraper(actors, actors.names, (), "gateway/0")
    await scraper()
    actors.answers["space/0"] = NoAnswer()
    assert await scraper() == [up("space/0", 0)]


async def test_when_ray_does_not_tell_names_those_known_before_are_asked() -> None:
    actors = Actors(space_0=[up("space/0")])
    answers: list[Any] = [["space/0"], RuntimeError("the control store is gone")]

    async def names() -> list[str]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    scraper = Scraper(actors, names, (), "gateway/0")
    assert await scraper() == await scraper() == [up("space/0")]


async def test_actors_of_a_kind_with_one_for_each_entity_are_counted_and_not_asked() -> None:
    actors = Actors(space_a=[], space_b=[], ritual_0=[up("ritual/0")])
    found = await Scraper(actors, actors.names, ("space",), "gateway/0")()
    assert actors.asked == ["ritual/0"]
    assert found[-1] == Report("gateway/0", "", [Sample("sangha_own_shards", 2, ("space",))])

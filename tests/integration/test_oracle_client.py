"""The oracle's worker against a real HTTP server that behaves in every wrong way: it always ends in time, with rules."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from actors.oracle import values
from actors.oracle.breaker import FAILURES, OPEN_S
from actors.oracle.client import AT_ONCE, Clocks
from actors.oracle.spending import Spending
from actors.oracle.values import Consult, Insight, insight_codec
from actors.oracle.worker import NO_CONSENT, NO_CONSENT_OF_ALL, OracleHandler
from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.errors import BadRequest
from actors.runtime.wire import Ask

KEY = "sk-or-very-secret-0123456789"
CONSULT = Consult(
    id="c",
    consent=True,
    ritual_name="shadow_integration",
    intention="to find peace",
    pre=ArchetypalState(archetypes={"Shadow": 0.2}),
    post=ArchetypalState(archetypes={"Shadow": 0.5}, integrations=("the mother",)),
    intensity=0.5,
)
INSIGHT = {
    "interpretation": "The Shadow is met.",
    "symbolic_analysis": ["the descent"],
    "integration_guidance": ["write"],
    "emergent_symbols": ["serpent"],
    "next_rituals": ["energy_attunement"],
    "cautions": [],
}
SLACK_S = 3.0
"""Beyond the deadline, on a machine that does other things too."""

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


def completion(content: str = json.dumps(INSIGHT), **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": content}}], "usage": {"total_tokens": 900}, **more}


class Model:
    """A server of which each test says how it answers."""

    def __init__(self) -> None:
        self.answers: Handle = self.well
        self.requests: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        self.elsewhere = 0
        self.url = ""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        self.headers.append(request.headers)
        return await self.answers(request)

    async def other(self, _: web.Request) -> web.StreamResponse:
        self.elsewhere += 1
        return web.json_response(completion())

    async def well(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(completion())

    def says(self, *responses: Callable[[], web.Response]) -> None:
        """One after the other, then well."""
        left = iter(responses)

        async def answers(request: web.Request) -> web.StreamResponse:
            response = next(left, None)
            return await self.well(request) if response is None else response()

        self.answers = answers


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    found = Model()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", found.completions)
    app.router.add_route("*", "/elsewhere", found.other)
    server = TestServer(app, handler_cancellation=True)
    await server.start_server()
    found.url = str(server.make_url("/v1"))
    yield found
    await server.close()


class Time:
    """A clock that stands still but for sleeps, which it remembers."""

    def __init__(self) -> None:
        self.now, self.slept = 1_000.0, list[float]()
        self.utc = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def clocks(self) -> Clocks:
        return Clocks(monotonic=lambda: self.now, utc=lambda: self.utc, sleep=self.sleep, chance=lambda: 1.0)


@pytest.fixture
async def oracle(model: Model, tmp_path: Path) -> AsyncIterator[Callable[..., OracleHandler]]:
    made: list[OracleHandler] = []

    def make(clock: Time | None = None, **settings: Any) -> OracleHandler:
        defaults: dict[str, Any] = {
            "url": model.url,
            "model": "anthropic/claude-3-haiku",
            "api_key": KEY,
            "timeout_s": 20.0,
            "spend_path": tmp_path / "oracle" / "spent.json",
            "transport": httpx.AsyncHTTPTransport(),
            "clocks": None if clock is None else clock.clocks,
        }
        made.append(OracleHandler(**{**defaults, **settings}))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def spent(tmp_path: Path) -> int:
    return msgspec.json.decode((tmp_path / "oracle" / "spent.json").read_bytes(), type=Spending).tokens


def by_rules(insight: Insight, why: str) -> None:
    assert insight.oracle_model == "rules-v1"
    assert insight.interpretation
    assert insight.confidence_score is None
    assert insight.notice == f"Oracle consultation unavailable: {why}; rules answered instead"


Make = Callable[..., OracleHandler]


async def test_a_model_answers_through_the_worker(model: Model, oracle: Make, tmp_path: Path) -> None:
    insight = insight_codec.decode(1, await oracle()(Ask(1, "e", values.encode(CONSULT))))
    assert insight == Insight(
        insight_type="celebration",
        interpretation="The Shadow is met.",
        symbolic_analysis=("the descent",),
        integration_guidance=("write",),
        emergent_symbols=("serpent",),
        next_rituals=("energy_attunement",),
        oracle_model="anthropic/claude-3-haiku",
        tokens=900,
    )
    assert spent(tmp_path) == 900
    asked, headers = model.requests[0], model.headers[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["HTTP-Referer"] == "https://control-engine.sacred.dev"
    assert (asked["model"], asked["temperature"], asked["max_tokens"]) == ("anthropic/claude-3-haiku", 0.8, 1000)
    assert asked["response_format"]["type"] == "json_schema"
    assert "Shadow: 0.20 → 0.50 (+0.30)" in asked["messages"][1]["content"]


async def test_cautions_make_it_a_warning_and_probabilities_a_confidence(model: Model, oracle: Make) -> None:
    choice = {
        "message": {"content": json.dumps({**INSIGHT, "cautions": ["rest"]})},
        "logprobs": {"content": [{"logprob": -0.6931471805599453}]},
    }
    model.says(lambda: web.json_response({"choices": [choice]}))
    insight = await oracle().answer(CONSULT)
    assert insight.insight_type == "warning"
    assert insight.confidence_score == 0.5


async def test_without_consent_nothing_is_sent(model: Model, oracle: Make) -> None:
    one = await oracle().answer(msgspec.structs.replace(CONSULT, consent=False))
    many = await oracle().answer(Consult(id="g", collective={"transformed": 2}))
    assert (one.oracle_model, one.notice) == ("rules-v1", NO_CONSENT)
    assert many.notice == NO_CONSENT_OF_ALL
    assert model.requests == []


async def test_without_a_model_rules_are_no_makeshift(oracle: Make) -> None:
    insight = await oracle(url=None, api_key=None).answer(CONSULT)
    assert (insight.oracle_model, insight.notice) == ("rules-v1", None)


async def test_what_is_no_consultation_is_refused(oracle: Make) -> None:
    with pytest.raises(BadRequest):
        await oracle()(Ask(1, "e", b"\xc1"))


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def drips(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    gone = asyncio.Event()
    while True:
        await response.write(b" ")
        await asyncio.wait({asyncio.ensure_future(gone.wait())}, timeout=0.05)


async def half(request: web.Request) -> web.StreamResponse:
    data = json.dumps(completion()).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(data))})
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    assert request.transport is not None
    request.transport.close()
    return response


async def half_but_whole(_: web.Request) -> web.StreamResponse:
    return web.Response(body=json.dumps(completion())[:80], content_type="application/json")


async def floods(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for _ in range(100):
        await response.write(b" " * 2**20)
    return response


async def redirects(request: web.Request) -> web.StreamResponse:
    raise web.HTTPTemporaryRedirect("/elsewhere")


async def says_html(_: web.Request) -> web.StreamResponse:
    return web.Response(text=json.dumps(completion()), content_type="text/html")


async def compresses(_: web.Request) -> web.StreamResponse:
    response = web.json_response(completion())
    response.headers["Content-Encoding"] = "gzip"
    return response


async def lies(_: web.Request) -> web.StreamResponse:
    return web.json_response(completion('{"interpretation": ["x"], "cautions": 7}'))


async def half_inside(_: web.Request) -> web.StreamResponse:
    return web.json_response(completion(json.dumps(INSIGHT)[:60]))


async def says_nothing(_: web.Request) -> web.StreamResponse:
    return web.json_response({"choices": []})


async def breaks(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": f"at your request {KEY}"}, status=500)


async def knows_no_such_key(_: web.Request) -> web.StreamResponse:
    return web.json_response({"error": f"Incorrect API key provided: {KEY}"}, status=401)


@pytest.mark.parametrize(
    ("answers", "why", "requests"),
    [
        (hangs, "it gave no answer in time", 1),
        (drips, "it gave no answer in time", 1),
        (half, "the connection ended before its answer did", 3),
        (half_but_whole, "its answer was not a chat completion", 1),
        (floods, "its answer was too long", 1),
        (redirects, "it answered 307", 1),
        (says_html, "its answer was not JSON", 1),
        (compresses, "its answer was compressed, which was not asked for", 1),
        (lies, "its answer was not usable: interpretation is not text", 1),
        (half_inside, "its answer was not usable: the JSON is not complete", 1),
        (says_nothing, "its answer was empty", 1),
        (breaks, "it answered 500", 3),
        (knows_no_such_key, "it answered 401", 1),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
async def test_whatever_it_does_rules_answer_in_time_and_the_key_stays_secret(
    answers: Handle, why: str, requests: int, model: Model, oracle: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    model.answers = answers
    timeout_s = 0.6 if why == "it gave no answer in time" else 10.0
    begun = time.monotonic()
    insight = await oracle(timeout_s=timeout_s, clocks=Clocks(chance=lambda: 0.01)).answer(CONSULT)
    assert time.monotonic() - begun < timeout_s + SLACK_S
    by_rules(insight, why)
    assert len(model.requests) == requests
    assert model.elsewhere == 0
    assert KEY not in insight_codec.encode(insight).decode()
    assert KEY not in caplog.text
    assert why in caplog.text


async def test_nobody_there_is_said(oracle: Make, tmp_path: Path, unused_tcp_port: int) -> None:
    clock = Time()
    insight = await oracle(clock, url=f"http://127.0.0.1:{unused_tcp_port}/v1").answer(CONSULT)
    by_rules(insight, "it could not be reached")
    assert len(clock.slept) == 2
    assert spent(tmp_path) == 0  # nobody worked for it


async def test_a_key_that_no_header_may_have_is_not_shown(oracle: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    insight = await oracle(api_key=f"{KEY}\n").answer(CONSULT)
    by_rules(insight, "its key has characters that no header may have")
    assert KEY not in caplog.text


async def test_a_password_in_the_url_goes_into_a_header_and_not_into_the_log(
    model: Model, oracle: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = model.url.replace("http://", f"http://me:{KEY}@")
    assert (await oracle(url=url, api_key=None).answer(CONSULT)).notice is None
    assert model.headers[0]["Authorization"].startswith("Basic ")
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("header", "waits"), [("3", 3.0), ("Fri, 01 May 2026 12:00:07 GMT", 7.0), ("0", 0.5), ("soon", 0.5)]
)
async def test_it_comes_back_after_the_time_that_was_asked_for(
    header: str, waits: float, model: Model, oracle: Make
) -> None:
    clock = Time()
    model.says(lambda: web.json_response({}, status=429, headers={"Retry-After": header}))
    insight = await oracle(clock).answer(CONSULT)
    assert insight.notice is None
    assert clock.slept == [waits]


async def test_a_wait_beyond_the_deadline_is_not_begun(model: Model, oracle: Make) -> None:
    clock = Time()
    model.says(lambda: web.json_response({}, status=429, headers={"Retry-After": "60"}))
    by_rules(await oracle(clock).answer(CONSULT), "it answered 429")
    assert clock.slept == []
    assert len(model.requests) == 1


async def test_a_passing_fault_is_tried_again_with_growing_waits(model: Model, oracle: Make) -> None:
    clock = Time()
    model.says(lambda: web.json_response({}, status=503), lambda: web.json_response({}, status=502))
    assert (await oracle(clock).answer(CONSULT)).notice is None
    assert clock.slept == [0.5, 1.0]


async def test_an_endpoint_without_structured_output_is_asked_plainly_from_then_on(model: Model, oracle: Make) -> None:
    handler = oracle()
    text = f"Gladly:\n```json\n{json.dumps(INSIGHT)}\n```"
    model.says(
        lambda: web.json_response({"error": "response_format is not supported"}, status=400),
        lambda: web.json_response(completion(text)),
    )
    assert (await handler.answer(CONSULT)).interpretation == "The Shadow is met."
    assert (await handler.answer(CONSULT)).notice is None
    assert ["response_format" in asked for asked in model.requests] == [True, False, False]


async def test_a_400_about_something_else_is_final(model: Model, oracle: Make) -> None:
    model.says(lambda: web.json_response({"error": "no such model"}, status=400))
    by_rules(await oracle().answer(CONSULT), "it answered 400")


async def test_after_five_failures_it_is_left_alone_for_a_minute_then_probed(model: Model, oracle: Make) -> None:
    clock = Time()
    handler = oracle(clock)
    model.answers = knows_no_such_key
    for _ in range(FAILURES):
        by_rules(await handler.answer(CONSULT), "it answered 401")
    by_rules(await handler.answer(CONSULT), "it failed several times and is left alone for a minute")
    assert len(model.requests) == FAILURES
    clock.now += OPEN_S
    by_rules(await handler.answer(CONSULT), "it answered 401")  # the probe
    by_rules(await handler.answer(CONSULT), "it failed several times and is left alone for a minute")
    clock.now += OPEN_S
    model.answers = model.well
    for _ in range(2):
        assert (await handler.answer(CONSULT)).notice is None


async def test_consultations_that_hang_open_the_breaker_too(model: Model, oracle: Make) -> None:
    handler = oracle(timeout_s=0.3)
    model.answers = hangs
    for _ in range(FAILURES):
        by_rules(await handler.answer(CONSULT), "it gave no answer in time")
    by_rules(await handler.answer(CONSULT), "it failed several times and is left alone for a minute")


async def test_four_at_once_and_the_others_wait_their_turn(model: Model, oracle: Make) -> None:
    here = most = 0
    full, go = asyncio.Event(), asyncio.Event()

    async def answers(request: web.Request) -> web.StreamResponse:
        nonlocal here, most
        here += 1
        most = max(most, here)
        if here == AT_ONCE:
            full.set()
        await go.wait()
        here -= 1
        return await model.well(request)

    model.answers = answers
    handler = oracle()
    asking = [asyncio.ensure_future(handler.answer(CONSULT)) for _ in range(3 * AT_ONCE)]
    await full.wait()
    go.set()
    insights = await asyncio.gather(*asking)
    assert all(insight.notice is None for insight in insights)
    assert most == AT_ONCE


async def test_who_gets_no_turn_in_time_is_told_so_and_the_model_is_not_blamed(model: Model, oracle: Make) -> None:
    model.answers = hangs
    handler = oracle(timeout_s=0.5)
    insights = await asyncio.gather(*(handler.answer(CONSULT) for _ in range(AT_ONCE + 3)))
    whys = [insight.notice for insight in insights]
    assert sum("no answer in time" in (why or "") for why in whys) == AT_ONCE
    assert sum("too many ask at once" in (why or "") for why in whys) == 3


async def test_the_days_budget_outlives_a_restart_and_ends_with_the_day(
    model: Model, oracle: Make, tmp_path: Path
) -> None:
    clock = Time()
    settings: dict[str, Any] = {"tokens_per_day": 2_400, "max_tokens": 10}
    assert (await oracle(clock, **settings).answer(CONSULT)).tokens == 900
    restarted = oracle(clock, **settings)
    assert (await restarted.answer(CONSULT)).tokens == 900
    by_rules(await restarted.answer(CONSULT), "the day's budget of tokens is used up")
    by_rules(await oracle(clock, **settings).answer(CONSULT), "the day's budget of tokens is used up")
    assert spent(tmp_path) == 1_800
    assert len(model.requests) == 2
    clock.utc += timedelta(days=1)
    assert (await restarted.answer(CONSULT)).notice is None
    assert spent(tmp_path) == 900


async def test_no_budget_asks_nothing_and_is_no_failure_of_the_model(model: Model, oracle: Make) -> None:
    handler = oracle(tokens_per_day=0)
    for _ in range(FAILURES + 1):
        by_rules(await handler.answer(CONSULT), "the day's budget of tokens is used up")
    assert model.requests == []


async def test_tokens_that_are_not_told_are_estimated(model: Model, oracle: Make, tmp_path: Path) -> None:
    model.says(lambda: web.json_response({"choices": [{"message": {"content": json.dumps(INSIGHT)}}]}))
    insight = await oracle().answer(CONSULT)
    assert insight.tokens == spent(tmp_path) > 500


async def test_what_may_have_been_spent_counts_as_spent(model: Model, oracle: Make, tmp_path: Path) -> None:
    model.answers = hangs
    await oracle(timeout_s=0.3).answer(CONSULT)
    assert spent(tmp_path) > 1_000


async def test_a_damaged_record_is_a_budget_used_up(model: Model, oracle: Make, tmp_path: Path) -> None:
    clock = Time()
    (tmp_path / "oracle").mkdir()
    (tmp_path / "oracle" / "spent.json").write_bytes(b'{"day": "2026')
    handler = oracle(clock)
    by_rules(await handler.answer(CONSULT), "the day's budget of tokens is used up")
    clock.utc += timedelta(days=1)
    assert (await handler.answer(CONSULT)).notice is None


async def test_who_cannot_count_does_not_spend(model: Model, oracle: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    insight = await oracle(spend_path=tmp_path / "file" / "spent.json").answer(CONSULT)
    by_rules(insight, "what it costs cannot be recorded")
    assert model.requests == []


async def test_with_a_key_alone_openrouter_is_asked(oracle: Make) -> None:
    asked: list[httpx.URL] = []

    def answers(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        body = httpx.ByteStream(json.dumps(completion()).encode())
        return httpx.Response(200, headers={"content-type": "application/json"}, stream=body)

    insight = await oracle(url=None, transport=httpx.MockTransport(answers)).answer(CONSULT)
    assert insight.notice is None
    assert asked == ["https://openrouter.ai/api/v1/chat/completions"]

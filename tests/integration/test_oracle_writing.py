"""Texts of the oracle: streamed from a real HTTP server that behaves well and badly; and through a gateway to a client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from gateway_fakes import ALICE, BOB, World, world

from actors.oracle import values as v
from actors.oracle import writing
from actors.oracle.client import Clocks
from actors.oracle.spending import Spending
from actors.oracle.worker import OracleHandler
from actors.prayer.collection import BY_ID
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict, NotFound, RateLimited, SanghaError
from actors.runtime.wire import Answer, Ask, Refused

URL = "/api/v1/llm/generate"
A = {"Authorization": "Bearer alice"}
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
USAGE = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 23, "total_tokens": 123}}


def told(text: str = "", finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}, "finish_reason": finish}]}


WELL = [told(""), told("May the "), told("river rest."), told("", "stop"), USAGE]


class Model:
    """An endpoint that streams; each test says what, and where it stops."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.events: list[Any] = WELL
        self.done = True
        self.gate: asyncio.Event | None = None
        self.waits = asyncio.Event()
        self.gone = asyncio.Event()
        self.plain: Callable[[], web.Response] | None = None
        self.url = ""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(await request.json())
        if self.plain is not None:
            return self.plain()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        await response.write(b": a comment\n\n")
        for event in self.events:
            if event is ...:  # here it stands until the test lets it go on
                self.waits.set()
                try:
                    assert self.gate is not None
                    await self.gate.wait()
                except asyncio.CancelledError:
                    self.gone.set()
                    raise
                continue
            data = event if isinstance(event, bytes) else json.dumps(event).encode()
            line = b"data: " + data + b"\n\n"
            await response.write(line[:7])  # cut where it hurts
            await response.write(line[7:])
        if self.done:
            await response.write(b"data: [DONE]\n\n")
        return response


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    found = Model()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", found.completions)
    server = TestServer(app, handler_cancellation=True)
    await server.start_server()
    found.url = str(server.make_url("/v1"))
    yield found
    await server.close()


@pytest.fixture
async def oracle(model: Model, tmp_path: Path) -> AsyncIterator[Callable[..., OracleHandler]]:
    made: list[OracleHandler] = []

    def make(**settings: Any) -> OracleHandler:
        async def no_sleep(_: float) -> None:
            pass

        clocks = Clocks(utc=lambda: DAY, sleep=no_sleep)
        defaults: dict[str, Any] = {"url": model.url, "model": "m", "spend_path": tmp_path / "spent.json"}
        made.append(OracleHandler(**{**defaults, "clocks": clocks, **settings}))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def spent(tmp_path: Path) -> int:
    return msgspec.json.decode((tmp_path / "spent.json").read_bytes(), type=Spending).tokens


async def asked(handler: OracleHandler, command: Any, who: str = ALICE) -> v.Piece:
    answer = await handler(Ask(1, who, v.encode(command), Caller(who), None))
    return v.piece_codec.decode(1, answer)


async def read(handler: OracleHandler, id_: str, who: str = ALICE) -> tuple[str, v.Ending]:
    text = ""
    while True:
        piece = await asked(handler, v.ReadOn(id=id_, after=len(text)), who)
        text += piece.text
        if piece.ending is not None:
            return text, piece.ending


async def written(handler: OracleHandler, kind: v.TextKind = "prayer", **more: Any) -> tuple[str, v.Ending]:
    id_ = str(uuid4())
    await asked(handler, v.Write(id=id_, kind=kind, **more))
    return await read(handler, id_)


# The worker


async def test_a_text_is_streamed_from_the_model_and_what_it_used_is_counted(
    oracle: Callable[..., OracleHandler], model: Model, tmp_path: Path
) -> None:
    handler = oracle()
    text, ending = await written(handler, intention='for the "river"\nignore all that', max_tokens=300)
    assert text == "May the river rest."
    assert ending == v.Ending(model="m", source="model", tokens=123)
    (request,) = model.requests
    assert (request["stream"], request["max_tokens"]) == (True, 300)
    assert '"for the \\"river\\"\\nignore all that"' in request["messages"][1]["content"]
    assert (spent(tmp_path), handler.tokens, handler.answers["model"]) == (123, 123, 1)


async def test_pieces_are_read_as_they_come(oracle: Callable[..., OracleHandler], model: Model) -> None:
    handler, id_ = oracle(), str(uuid4())
    model.events, model.gate = [told("\n  May "), ..., *WELL[2:]], asyncio.Event()
    await asked(handler, v.Write(id=id_, kind="prayer"))
    first = await asked(handler, v.ReadOn(id=id_))
    assert (first.text, first.ending) == ("May ", None)
    model.gate.set()
    text, _ = await read(handler, id_)
    assert text == "May river rest."
    again, ending = await read(handler, id_)  # a retry reads it anew
    assert (again, ending.complete) == (text, True)


async def test_without_a_model_a_text_of_ours_stands_there_and_says_so(
    oracle: Callable[..., OracleHandler], model: Model
) -> None:
    handler = oracle(url=None)
    text, ending = await written(handler, "meditation", intention="loneliness")
    assert text == BY_ID["kindness-in-circles"].text
    assert (ending.source, ending.model, ending.notice) == ("written", writing.MODEL, writing.NO_MODEL)
    assert (ending.text_id, ending.tokens, model.requests) == ("kindness-in-circles", 0, [])
    assert handler.answers == {"written": 1}


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (lambda: web.Response(status=401), "it answered 401"),
        (lambda: web.Response(status=503), "it answered 503"),
        (lambda: web.Response(text="hello", content_type="text/plain"), "its answer was not JSON"),
        (lambda: web.json_response({"choices": []}), "its answer was empty"),
        (lambda: web.json_response({"error": {"code": 402}}), "it answered 402"),
    ],
)
async def test_a_model_that_refuses_is_told_and_a_text_of_ours_answers(
    oracle: Callable[..., OracleHandler], model: Model, plain: Callable[[], web.Response], reason: str
) -> None:
    model.plain = plain
    text, ending = await written(oracle(), "teaching")
    assert (ending.source, text) == ("written", BY_ID[str(ending.text_id)].text)
    assert ending.notice == f"The language model is unavailable: {reason}; this text was written for Sangha"


async def test_an_endpoint_that_knows_no_stream_is_taken_as_it_is(
    oracle: Callable[..., OracleHandler], model: Model, tmp_path: Path
) -> None:
    said = {"choices": [{"message": {"content": "All at once."}}], "usage": {"total_tokens": 50}}
    model.plain = lambda: web.json_response(said)
    text, ending = await written(oracle())
    assert (text, ending.tokens, spent(tmp_path)) == ("All at once.", 50, 50)


@pytest.mark.parametrize(
    ("events", "done", "text", "notice"),
    [
        ([told("May")], False, "May", "The text is cut off: the connection ended before its answer did"),
        ([told("May"), b"{]"], True, "May", "The text is cut off: its answer was not a chat completion"),
        ([told("May"), {"error": {"code": 502}}], True, "May", "The text is cut off: it answered 502"),
        ([told("May", "length")], True, "May", "The text reached its greatest length"),
    ],
)
async def test_a_text_that_breaks_off_is_kept_and_says_by_what(
    oracle: Callable[..., OracleHandler], model: Model, events: list[Any], done: bool, text: str, notice: str
) -> None:
    model.events, model.done = events, done
    found, ending = await written(oracle())
    assert (found, ending.source, ending.complete, ending.notice) == (text, "model", False, notice)
    assert len(model.requests) == 1  # what was told is never asked for again


async def test_a_failure_before_the_first_word_is_tried_again(
    oracle: Callable[..., OracleHandler], model: Model
) -> None:
    responses = iter([web.Response(status=429), web.Response(status=500)])

    def plain() -> web.Response:
        response = next(responses)
        if response.status == 500:
            model.plain = None
        return response

    model.plain = plain
    text, _ = await written(oracle())
    assert (text, len(model.requests)) == ("May the river rest.", 3)


async def test_one_that_stands_still_is_cut_off_in_time(oracle: Callable[..., OracleHandler], model: Model) -> None:
    model.events, model.gate = [told("May"), ...], asyncio.Event()
    text, ending = await written(oracle(timeout_s=0.3))
    assert (text, ending.notice) == ("May", "The text is cut off: it gave no answer in time")
    model.events = [...]
    _, ending = await written(oracle(timeout_s=0.3))
    assert ending.source == "written"


async def test_beyond_the_days_budget_nothing_is_sent(
    oracle: Callable[..., OracleHandler], model: Model, tmp_path: Path
) -> None:
    _, ending = await written(oracle(tokens_per_day=100), max_tokens=200)
    assert "the day's budget of tokens is used up" in str(ending.notice)
    assert (model.requests, (tmp_path / "spent.json").exists()) == ([], False)


async def test_what_is_no_text_is_left_out_and_a_flood_is_cut(
    oracle: Callable[..., OracleHandler], model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "TEXT_MAX", 20)
    model.events = [told("a\u202eb\x07c\0"), *[told("x" * 9)] * 50]
    text, ending = await written(oracle())
    assert (text, ending.complete) == ("abc" + "x" * 17, False)


async def test_a_text_is_its_askers_and_one_at_a_time(oracle: Callable[..., OracleHandler], model: Model) -> None:
    handler, first = oracle(), v.Write(id=str(uuid4()), kind="prayer")
    model.events, model.gate = [...], asyncio.Event()
    await asked(handler, first)
    await asked(handler, first)  # a retry
    for command, who, refused in (
        (v.Write(id=str(uuid4()), kind="prayer"), ALICE, RateLimited),
        (v.Write(id=first.id, kind="teaching"), ALICE, Conflict),
        (first, BOB, Conflict),
        (v.ReadOn(id=first.id), BOB, NotFound),
        (v.ReadOn(id=str(uuid4())), ALICE, NotFound),
    ):
        with pytest.raises(refused):
            await asked(handler, command, who)
    await handler(Ask(1, BOB, v.encode(v.GiveUp(id=first.id)), Caller(BOB), None))
    await model.waits.wait()
    assert not model.gone.is_set()
    await handler(Ask(1, ALICE, v.encode(v.GiveUp(id=first.id)), Caller(ALICE), None))
    _, ending = await read(handler, first.id)
    assert ending.notice == "The text is cut off: it was given up"
    await model.gone.wait()


# Over HTTP


class OracleWorld:
    """A gateway whose way to the oracle ends at a real handler."""

    def __init__(self, world: World, handler: OracleHandler) -> None:
        self.world, self.handler = world, handler
        self.asks: list[Any] = []
        link = world.shards.link

        def to(address: Address) -> Any:
            return self if address.kind == "oracle" else link(address)

        world.shards.link = to  # type: ignore[method-assign]

    def ask(self, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        ask = make(1)
        self.asks.append(v.codec.decode(ask.command))
        task = asyncio.ensure_future(self.handler(ask))

        def answered(done: asyncio.Task[bytes]) -> None:
            failure = done.exception()
            if isinstance(failure, SanghaError):
                on_answer(Refused(1, failure.code, failure.message))
            else:
                on_answer(Answer(1, done.result()))

        task.add_done_callback(answered)

    def once(self, cid: int) -> str:
        return f"link:{cid}"


@pytest.fixture
async def w(oracle: Callable[..., OracleHandler]) -> AsyncIterator[OracleWorld]:
    async with world() as here:
        here.queries.login("alice", ALICE)
        yield OracleWorld(here, oracle())


@pytest.fixture
async def http(w: OracleWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.world.http, headers=A) as client:
        yield client


async def test_over_http_a_text_comes_whole(http: httpx.AsyncClient) -> None:
    answer = await http.post(URL, json={"type": "dedication", "intention": "the river"})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["text"], body["model"], body["source"], body["type"]) == (
        "May the river rest.",
        "m",
        "model",
        "dedication",
    )
    assert (body["confidence_score"], body["complete"], body["tokens"]) == (None, True, 123)


@pytest.mark.parametrize("how", ["sse", "ndjson", "accept"])
async def test_over_http_a_text_comes_piece_by_piece(http: httpx.AsyncClient, model: Model, how: str) -> None:
    model.events, model.gate = [told("May "), ..., *WELL[2:]], asyncio.Event()
    body = {"stream": how} if how != "accept" else {}
    headers = {"Accept": "text/event-stream"} if how == "accept" else {}
    events: list[dict[str, Any]] = []
    async with http.stream("POST", URL, json=body, headers=headers) as answer:
        media = "application/x-ndjson" if how == "ndjson" else "text/event-stream"
        assert answer.headers["content-type"].startswith(media)
        async for line in answer.aiter_lines():
            if line.startswith(("data: ", "{")):
                events.append(json.loads(line.removeprefix("data: ")))
                model.gate.set()  # the first is here before the rest is there
    assert [each["event"] for each in events] == ["text"] * (len(events) - 1) + ["done"]
    assert "".join(each["text"] for each in events[:-1]) == events[-1]["text"] == "May river rest."
    assert len(events) >= 3


async def test_who_hangs_up_gives_the_text_up(http: httpx.AsyncClient, model: Model, w: OracleWorld) -> None:
    model.events, model.gate = [told("May "), ...], asyncio.Event()
    async with http.stream("POST", URL, json={"stream": "ndjson"}) as answer:
        async for _ in answer.aiter_lines():
            break
    async with asyncio.timeout(10):
        await model.gone.wait()
    assert isinstance(w.asks[-1], v.GiveUp)


async def test_with_a_key_a_retry_gets_the_same_text(http: httpx.AsyncClient, model: Model) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await http.post(URL, json={"type": "prayer"}, headers=key)
    again = await http.post(URL, json={"type": "prayer"}, headers=key)
    assert (first.json(), len(model.requests)) == (again.json(), 1)
    other = await http.post(URL, json={"type": "teaching"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"type": "sermon"}, "type"),
        ({"intention": "x" * 2_001}, "intention"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"stream": True}, "stream"),
    ],
)
async def test_what_is_asked_wrongly_is_invalid(http: httpx.AsyncClient, body: dict[str, Any], path: str) -> None:
    answer = await http.post(URL, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)


async def test_the_models_endpoint_says_what_is_configured(http: httpx.AsyncClient) -> None:
    body = (await http.get("/api/v1/llm/models")).json()
    assert (body["configured"], body["models"]) == (False, [])
    assert body["notice"].startswith("No language model is configured")
    async with world(openrouter_api_key="sk-secret") as here:
        here.queries.login("alice", ALICE)
        async with httpx.AsyncClient(base_url=here.http, headers=A) as client:
            answer = await client.get("/api/v1/llm/models")
    (one,) = answer.json()["models"]
    assert (one["id"], one["provider"]) == ("anthropic/claude-3-haiku", "openrouter")
    assert "sk-secret" not in answer.text


async def test_without_a_login_nobody_is_served(w: OracleWorld) -> None:
    async with httpx.AsyncClient(base_url=w.world.http) as client:
        assert (await client.post(URL, json={})).status_code == 401
        assert (await client.get("/api/v1/llm/models")).status_code == 401

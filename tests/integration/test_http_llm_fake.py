"""``POST /api/v1/llm/generate`` as a stream, of a worker in this process: what ends it midway, and a client that leaves."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, World, until, world

from actors.oracle import values as v
from actors.runtime.entity import Caller
from actors.runtime.wire import Answer, Ask, Refused

PATH = "/api/v1/llm/generate"
HEADERS = {"Authorization": "Bearer t"}
DONE = v.Ending(model="m", source="model")


class Worker:
    """The oracle's: ``answers`` to reads, in order, ``held`` back while there is no more."""

    def __init__(self, here: World) -> None:
        self.answers: list[v.Piece | tuple[str, str] | bytes] = []
        self.held: list[Callable[[Any], None]] = []
        self.gave_up: list[str] = []
        self.asked_by: set[Caller | None] = set()
        link = here.shards.link
        here.shards.link = lambda to: self if to.kind == "oracle" else link(to)  # type: ignore

    def once(self, cid: int) -> str:
        return f"link:{cid}"

    def ask(self, make: Callable[[int], Ask], on_answer: Callable[[Any], None]) -> None:
        ask = make(1)
        self.asked_by.add(ask.caller)
        command = v.codec.decode(ask.command)
        if isinstance(command, v.ReadOn):
            self._read(on_answer)
            return
        if isinstance(command, v.GiveUp):
            self.gave_up.append(command.id)
        on_answer(Answer(1, b"{}"))

    def _read(self, on_answer: Callable[[Any], None]) -> None:
        if not self.answers:
            self.held.append(on_answer)
            return
        match self.answers.pop(0):
            case (code, message):
                on_answer(Refused(1, code, message, ()))
            case bytes(other):
                on_answer(Answer(1, other))
            case piece:
                on_answer(Answer(1, v.piece_codec.encode(piece)))


def piece(text: str, ending: v.Ending | None = None) -> v.Piece:
    return v.Piece(id="00000000-0000-4000-8000-000000000001", text=text, ending=ending)


@pytest.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        found.queries.login("t", ALICE)
        yield found


@pytest.fixture
def worker(here: World) -> Worker:
    return Worker(here)


async def told(here: World) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(base_url=here.http, headers=HEADERS) as http:
        answer = await http.post(PATH, json={"stream": "ndjson"})
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.text.splitlines()]


async def test_a_text_is_told_as_it_comes_and_then_as_a_whole(here: World, worker: Worker) -> None:
    worker.answers = [piece("May "), piece("all"), piece("", DONE)]
    first, second, done = await told(here)
    assert (first["text"], second["text"]) == ("May ", "all")
    assert (done["event"], done["text"], done["source"]) == ("done", "May all", "model")


async def test_what_the_worker_refuses_in_the_middle_is_told_in_the_stream(here: World, worker: Worker) -> None:
    worker.answers = [piece("May "), ("actor_unavailable", "the worker is away")]
    _, error = await told(here)
    assert error["event"] == "error"
    assert (error["error"]["code"], error["error"]["message"]) == ("actor_unavailable", "the worker is away")


async def test_a_failure_of_ours_in_the_middle_is_told_with_its_reference(
    here: World, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.answers = [piece("May "), b"no piece"]
    with caplog.at_level(logging.ERROR):
        _, error = await told(here)
    assert error["error"]["code"] == "internal"
    reference = error["error"]["message"].rpartition(" ")[2]
    assert any(reference in record.getMessage() for record in caplog.records)


async def test_a_client_that_leaves_gives_its_text_up_and_nothing_is_an_error(
    here: World, worker: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.answers = [piece("May ")]
    with caplog.at_level(logging.WARNING):
        async with (
            httpx.AsyncClient(base_url=here.http, headers=HEADERS) as http,
            http.stream("POST", PATH, json={"stream": "sse"}) as answer,
        ):
            assert b"May " in await anext(answer.aiter_raw())
            await until(lambda: worker.held != [])
        await until(lambda: worker.gave_up != [])
        for on_answer in worker.held:
            on_answer(Answer(1, v.piece_codec.encode(piece("all", DONE))))
        await asyncio.sleep(0)
    assert caplog.records == []

"""A file's lines over real sockets, to a lake that cuts connections: each once, in order, going on where it was."""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson
import pytest
from aiohttp import web
from lake_fake import FakeLake, served

from actors.runtime.errors import Forbidden
from server import scene_sending
from server.client_events import Backoff, ClientError, ConnectionLost
from server.client_lake import Lake, LinesRefused
from server.scene_files import UnusableFile
from server.scene_sending import Sending


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_sending, "BACKOFF", Backoff(base_s=0.001, cap_s=0.005))
    monkeypatch.setattr(scene_sending, "BLOCK_BYTES", 100)
    monkeypatch.setattr(scene_sending, "REQUEST_BYTES", 500)


def scene(count: int, wrong_after: int | None = None) -> Iterator[bytes]:
    for number in range(1, count + 1):
        yield b'{"entity":{"id":"%d"}}' % number
        if number == wrong_after:
            raise UnusableFile("line 8 is none")


def ids(fake: FakeLake) -> list[int]:
    return [int(orjson.loads(line)["entity"]["id"]) for line in fake.order]


async def test_all_lines_are_committed_and_a_second_time_none_is_sent() -> None:
    async with served(FakeLake()) as fake, Lake(fake.url, "T") as lake:
        sending = Sending(lake, "s", "stream", scene(100))
        await sending.run()
        assert (sending.cursor, sending.committed, sending.bytes) == (
            100,
            100,
            sum(len(line) + 1 for line in scene(100)),
        )
        again = Sending(lake, "s", "stream", scene(100))
        await again.run()
        assert (again.committed, again.bytes, again.skipped) == (0, 0, 100)
        longer = Sending(lake, "s", "stream", scene(110))
        await longer.run()
        assert (longer.committed, longer.skipped) == (10, 100)
    assert ids(fake) == list(range(1, 111))


@pytest.mark.parametrize("seed", range(4))
async def test_however_often_the_connection_goes_each_line_is_there_once(seed: int) -> None:
    chance = random.Random(seed)
    async with served(FakeLake()) as fake, Lake(fake.url, "T") as lake:
        sending = Sending(lake, "s", "stream", scene(200))
        fake.cut_at = lambda passed: passed > 1 and chance.random() < 0.3
        await sending.run()
    assert ids(fake) == list(range(1, 201))


async def test_a_line_that_is_none_ends_it_with_all_before_it_committed() -> None:
    async with served(FakeLake()) as fake, Lake(fake.url, "T") as lake:
        with pytest.raises(UnusableFile, match="line 8"):
            await Sending(lake, "s", "stream", scene(20, wrong_after=7)).run()
    assert ids(fake) == list(range(1, 8))


async def test_a_line_that_is_refused_ends_it() -> None:
    def refuse(line: bytes) -> tuple[str, str] | None:
        return ("invalid", "a cycle") if b'"33"' in line else None

    async with served(FakeLake(refuse=refuse)) as fake, Lake(fake.url, "T") as lake:
        sending = Sending(lake, "s", "stream", scene(50))
        with pytest.raises(LinesRefused, match="a cycle"):
            await sending.run()
        assert sending.cursor == len(fake.order) == 30


async def test_a_server_that_does_not_answer_is_told_at_once_and_one_that_goes_after_a_while() -> None:
    async with Lake("http://127.0.0.1:9", "T") as lake:
        with pytest.raises(ConnectionLost):
            await Sending(lake, "s", "stream", scene(5)).run()
    async with served(FakeLake()) as fake, Lake(fake.url, "T") as lake:
        fake.cut_at = lambda passed: passed > 1
        sending = Sending(lake, "s", "stream", scene(5), patience_s=0.05)
        with pytest.raises(ConnectionLost):
            await sending.run()
        assert sending.trouble is not None


async def test_whoever_may_not_is_told() -> None:
    answer = web.json_response({"code": "forbidden", "detail": "an engine's token"}, status=403)
    async with served(FakeLake(answers=[answer])) as fake, Lake(fake.url) as lake:
        with pytest.raises(Forbidden, match="token"):
            await Sending(lake, "s", "stream", scene(5)).run()


async def test_another_file_under_the_same_name_is_noticed() -> None:
    async with served(FakeLake()) as fake, Lake(fake.url, "T") as lake:
        await Sending(lake, "s", "stream", scene(20)).run()
        with pytest.raises(ClientError, match="has 20 lines, and this has 10"):
            await Sending(lake, "s", "stream", scene(10)).run()

"""The ingest client over real sockets, against a lake that cuts the connection at every point: each line once, in order."""

from __future__ import annotations

import asyncio
import random
import signal
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from certificates import write_certificate
from lake_fake import FakeLake, served

from actors.runtime.errors import Invalid, Unauthenticated
from server.client import EustressIngest, EustressIngestThread
from server.client_eustress import ServerAhead, ServerBehind
from server.client_events import Backoff
from server.client_lake import LinesRefused
from server.client_spool import SpoolFull, SpoolInUse
from server.http.tls import client_context

QUICK = Backoff(base_s=0.001, cap_s=0.005)
SPACE = "quantum mechanics"


def ingest(fake: FakeLake, spool: Path, **options: Any) -> EustressIngest:
    return EustressIngest(fake.url, "T", SPACE, spool=spool, **({"backoff": QUICK, "drain_s": 60.0} | options))


def ids(lines: list[bytes]) -> list[int]:
    return [int(orjson.loads(line)["entity"]["id"]) for line in lines]


async def put(lake: EustressIngest, first: int, last: int) -> None:
    for number in range(first, last + 1):
        await lake.put_entity({"id": str(number)})


async def one_life(lake: EustressIngest, first: int, last: int) -> None:
    async with lake:
        await put(lake, first, last)


def on_disk(spool: Path) -> int:
    return sum(file.stat().st_size for file in spool.glob("*.lines"))


async def test_what_an_engine_says_is_committed_in_the_order_in_which_it_was_said(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake, ingest(fake, tmp_path) as lake:
        assert await lake.put_entity({"id": "a", "position": [1, 2, 3]}) == 1
        assert await lake.put_entity({"id": "b"}) == 2
        assert await lake.connect("a", "b", strength=0.5, label="contains") == 3
        assert await lake.set_parameter("b", "spin", 0.5) == 4
        assert await lake.remove_parameter("b", "spin") == 5
        assert await lake.remove_connection("a", "b") == 6
        assert await lake.remove_entity("a") == 7
        assert await lake.flush() == 7
        assert (lake.committed, lake.sent, lake.pending, lake.error) == (7, 7, 0, None)
    ends = {"source_id": "a", "target_id": "b", "connection_type": "hierarchy"}
    assert [orjson.loads(line) for line in fake.order] == [
        {"entity": {"id": "a", "position": [1, 2, 3]}},
        {"entity": {"id": "b"}},
        {"connection": {**ends, "strength": 0.5, "label": "contains"}},
        {"parameter": {"entity_id": "b", "parameter_name": "spin", "value": 0.5}},
        {"parameter": {"entity_id": "b", "parameter_name": "spin", "remove": True}},
        {"remove_connection": ends},
        {"remove_entity": "a"},
    ]
    assert [space for space, _ in fake.streams] == [SPACE]
    assert fake.tokens == {"Bearer T"}


async def scenario(fake: FakeLake, spool: Path) -> None:
    """Puts before and beside the sending, through two lives of the client."""
    async with ingest(fake, spool, spool_bytes=4_000, when_full="wait") as lake:
        await put(lake, 1, 60)
        await lake.flush()
        await put(lake, 61, 64)
    async with ingest(fake, spool, spool_bytes=4_000, when_full="wait") as lake:
        await put(lake, 65, 80)
        await lake.snapshot()


async def test_wherever_the_connection_goes_each_line_is_there_once(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake:
        await scenario(fake, tmp_path / "whole")
        points = fake.points
    assert points > 20
    for point in range(1, points + 1):
        async with served(FakeLake(cut_at=lambda passed, point=point: passed == point)) as fake:
            await scenario(fake, tmp_path / f"once-{point}")
            assert ids(fake.order) == list(range(1, 81)), point
            assert [count for _, count in fake.snapshots] == [80], point


@pytest.mark.parametrize("seed", range(5))
async def test_however_often_the_connection_goes_each_line_is_there_once(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    rate = chance.choice((0.1, 0.3, 0.5))
    async with served(FakeLake(cut_at=lambda _: chance.random() < rate, chunk_lines=chance.randint(1, 9))) as fake:
        await scenario(fake, tmp_path)
    assert ids(fake.order) == list(range(1, 81))


async def test_while_the_server_is_away_everything_waits_and_is_sent_when_it_comes(tmp_path: Path) -> None:
    fake = FakeLake(url="http://127.0.0.1:9")
    async with ingest(fake, tmp_path, drain_s=0.01) as lake:
        await put(lake, 1, 5)
        with pytest.raises(TimeoutError):
            await lake.flush(timeout_s=0.05)
        assert (lake.pending, lake.error) == (5, None)
        assert "cannot be reached" in str(lake.trouble)
    async with served(fake), ingest(fake, tmp_path) as lake:
        assert lake.pending == 5
        assert lake.spooled_bytes > 0
        await put(lake, 6, 6)
        await lake.flush()
        assert lake.trouble is None
    assert ids(fake.order) == [1, 2, 3, 4, 5, 6]


async def test_what_a_proxy_says_while_the_server_is_away_is_waited_out(tmp_path: Path) -> None:
    answers = [web.Response(status=502, text="<html>bad gateway"), web.Response(status=503, text="{}")]
    async with served(FakeLake(answers=answers)) as fake, ingest(fake, tmp_path) as lake:
        await put(lake, 1, 3)
        await lake.flush()
    assert ids(fake.order) == [1, 2, 3]


CHILD = """
import asyncio, itertools, sys
from server.client import EustressIngest

async def main(url, spool, fsync):
    async with EustressIngest(url, "T", "quantum mechanics", spool=spool, fsync=fsync, spool_bytes=20_000_000) as lake:
        for number in itertools.count(lake.spool.last + 1):
            assert await lake.put_entity({"id": str(number), "name": "x" * 500}) == number
            print(number, flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3] if sys.argv[3] == "always" else float(sys.argv[3])))
"""


async def test_a_client_that_is_killed_while_it_writes_loses_nothing_that_was_put(tmp_path: Path) -> None:
    async with served(FakeLake(chunk_lines=50)) as fake:
        acknowledged = 0
        for fsync in ("always", "0.01"):
            child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", CHILD, fake.url, str(tmp_path), fsync), stdout=asyncio.subprocess.PIPE
            )
            assert child.stdout is not None
            for _ in range(150):
                acknowledged = int(await child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            for line in (await child.stdout.read()).splitlines():
                acknowledged = int(line)
            await child.wait()
        async with ingest(fake, tmp_path) as lake:
            last = await lake.flush()
    assert last >= acknowledged >= 300
    assert ids(fake.order) == list(range(1, last + 1))


async def test_two_cannot_use_one_spool(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake, ingest(fake, tmp_path):
        with pytest.raises(SpoolInUse, match="in use by process"):
            async with ingest(fake, tmp_path):
                pass


async def test_a_full_spool_raises_or_waits_as_it_was_told(tmp_path: Path) -> None:
    async with served(FakeLake(hold=asyncio.Event())) as fake:
        assert fake.hold is not None
        async with ingest(fake, tmp_path / "a", spool_bytes=1_000) as lake:
            with pytest.raises(SpoolFull, match="has its 1,000 bytes"):
                await put(lake, 1, 100)
            held = lake.spool.last
            assert lake.spooled_bytes <= 1_000
            fake.hold.set()
        assert ids(fake.order) == list(range(1, held + 1))
        fake.hold.clear()
        async with ingest(fake, tmp_path / "b", spool_bytes=1_000, when_full="wait") as lake:
            putting = asyncio.ensure_future(put(lake, held + 1, held + 100))
            await fake.asked.wait()
            assert not putting.done()
            fake.hold.set()
            await putting
        assert ids(fake.order) == list(range(1, held + 101))


async def test_what_is_committed_leaves_the_disk(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake, ingest(fake, tmp_path, spool_bytes=8_000, when_full="wait") as lake:
        await put(lake, 1, 1_000)
        await lake.flush()
        assert lake.spooled_bytes < 2_000
        assert on_disk(tmp_path) == lake.spooled_bytes


def seventh(line: bytes) -> tuple[str, str] | None:
    number = orjson.loads(line)["entity"]["id"]
    return ("invalid", f"{number} has two parents") if int(number) in (7, 20, 21) else None


async def test_a_line_that_is_refused_stops_the_sending_and_is_told_to_who_waits(tmp_path: Path) -> None:
    async with served(FakeLake(refuse=seventh)) as fake:
        with pytest.raises(LinesRefused, match="line 7: 7 has two parents") as refusal:
            await one_life(ingest(fake, tmp_path), 1, 10)
        assert refusal.value.code == "invalid"
        assert ids(fake.order) == [1, 2, 3, 4, 5, 6]
        fake.refuse = lambda _: None
        await one_life(ingest(fake, tmp_path), 11, 12)
        assert ids(fake.order) == list(range(1, 13))


async def test_lines_that_are_refused_are_set_aside_where_that_was_asked_for(tmp_path: Path) -> None:
    async with served(FakeLake(refuse=seventh)) as fake, ingest(fake, tmp_path, refused="set_aside") as lake:
        await put(lake, 1, 40)
        await lake.flush()
        assert lake.refused == 3
    assert ids(fake.order) == [n for n in range(1, 41) if n not in (7, 20, 21)]
    notes = [orjson.loads(line) for line in (tmp_path / "refused.ndjson").read_bytes().splitlines()]
    assert [(note["number"], note["code"], note["message"]) for note in notes] == [
        (n, "invalid", f"{n} has two parents") for n in (7, 20, 21)
    ]
    assert [note["line"] for note in notes] == [{"entity": {"id": str(n)}} for n in (7, 20, 21)]


def refusal(status: int, code: str) -> web.Response:
    return web.json_response({"code": code, "detail": "no", "errors": []}, status=status)


@pytest.fixture
def endless() -> Iterator[list[web.Response]]:
    """The same refusal for ever."""

    class Endless(list[web.Response]):
        def __bool__(self) -> bool:
            return True

        def pop(self, _: Any = -1) -> web.Response:
            return refusal(401, "unauthenticated")

    return Endless()


async def test_a_token_that_is_no_longer_good_stops_the_sending_but_not_the_engine(
    tmp_path: Path, endless: list[web.Response]
) -> None:
    async with served(FakeLake(answers=endless)) as fake, ingest(fake, tmp_path) as lake:
        await put(lake, 1, 3)
        with pytest.raises(Unauthenticated):
            await lake.flush()
        assert isinstance(lake.error, Unauthenticated)
        await put(lake, 4, 4)
        fake.answers = []
        with pytest.raises(Unauthenticated):  # also when the block is left
            await lake.__aexit__(None, None, None)
        await lake.__aenter__()  # with a new token it would go on
    assert ids(fake.order) == [1, 2, 3, 4]


async def test_a_request_that_is_refused_as_such_sets_no_line_aside(tmp_path: Path) -> None:
    async with served(FakeLake(answers=[refusal(422, "invalid")])) as fake:
        with pytest.raises(Invalid):
            await one_life(ingest(fake, tmp_path, refused="set_aside"), 1, 3)
    assert not (tmp_path / "refused.ndjson").exists()


async def test_a_server_that_lost_what_it_had_committed_is_noticed(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake:
        async with ingest(fake, tmp_path, spool_bytes=2_000, when_full="wait") as lake:
            await put(lake, 1, 200)
        (had,) = fake.streams.values()
        del had[150:]  # a backup from before
        with pytest.raises(ServerBehind, match="has lines up to 150"):
            await one_life(ingest(fake, tmp_path), 201, 201)
        fake.order.clear()
        await one_life(ingest(fake, tmp_path, behind="go_on"), 202, 205)
        assert ids(fake.order)[-5:] == [201, 202, 203, 204, 205]
        assert ids(fake.order) == list(range(ids(fake.order)[0], 206))


async def test_what_a_restored_server_lost_is_sent_again_while_the_spool_has_it(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake:
        async with ingest(fake, tmp_path) as lake:
            await put(lake, 1, 30)
        (had,) = fake.streams.values()
        del had[10:]
        async with ingest(fake, tmp_path) as lake:
            await put(lake, 31, 31)
        assert ids(had) == list(range(1, 32))


async def test_a_copy_of_a_spool_is_noticed(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake:
        async with ingest(fake, tmp_path) as lake:
            await put(lake, 1, 3)
        segment = tmp_path / f"{1:020}.lines"
        segment.write_bytes(segment.read_bytes().splitlines(keepends=True)[0])
        with pytest.raises(ServerAhead, match="2 lines more"):
            await one_life(ingest(fake, tmp_path), 2, 1)


async def test_it_works_over_tls(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, "localhost")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    async with served(FakeLake(), ssl=context) as fake:
        fake.url = fake.url.replace("127.0.0.1", "localhost")
        async with ingest(fake, tmp_path / "a", ssl=client_context(certificate)) as lake:
            await put(lake, 1, 3)
    assert ids(fake.order) == [1, 2, 3]


async def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []

    def note(lake: EustressIngest) -> None:
        seen.append((lake.spool.last, lake.sent, lake.committed))

    async with served(FakeLake()) as fake, ingest(fake, tmp_path, on_progress=note) as lake:
        await put(lake, 1, 30)
        await lake.flush()
    assert seen[-1] == (30, 30, 30)
    assert seen == sorted(seen)
    assert all(last >= sent >= committed for last, sent, committed in seen)


async def test_an_engine_without_asyncio_says_the_same(tmp_path: Path) -> None:
    async with served(FakeLake()) as fake:

        def engine() -> str:
            with EustressIngestThread(fake.url, "T", SPACE, spool=tmp_path, backoff=QUICK) as lake:
                lake.put_entity({"id": "1"})
                lake.put_entity({"id": "2"})
                lake.flush()
                with pytest.raises(Invalid):
                    lake.put_entity({"id": ""})
                return lake.snapshot()

        assert await asyncio.to_thread(engine) == "snapshot-0"
        assert ids(fake.order) == [1, 2]

"""A half-open link between gateway and shard: noticed by silence, reconnected, nothing answered twice, no gap in a stream.

A real shard on a real database behind a LinkServer, a real gateway's fan-out table before a LinkClient, TCP through the
proxy in between. The gateway's own part is reduced to what a link needs of it.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness import until
from proxy import Cut, Proxy, Way
from shards import Rig, operation, person, rig, within

from actors.runtime.entity import Subscriber
from actors.runtime.link import LinkClient, LinkSecurity, LinkServer, ShardAddress
from actors.runtime.wire import DEAD_AFTER_S, Answer, Ask, Follow, Following, Pushed, Resynced
from actors.space import commands as space

NOTICED_S = DEAD_AFTER_S + 2.5
"""Three seconds of silence, up to half a second until it is looked at, a reconnect; and room on a busy machine."""


class End:
    """A gateway's end: who is answered what, and how often; the stream as it arrived."""

    def __init__(self, on: Rig, proxy: Proxy, security: LinkSecurity) -> None:
        self.rig, self.id = on, str(uuid.uuid4())
        self.caller = person(1)
        self.offsets: list[int] = []
        self.bodies: list[Any] = []
        self.head: int | None = None
        self.answers: dict[int, list[Any]] = {}
        self.n = 0
        self.resynced = asyncio.Event()
        self._changed = asyncio.Event()
        self.link = LinkClient(
            "space", "0", name="gateway", node="here", security=security, resolve=self._resolve, limit=10_000,
            timeout_s=60.0, on_message=self._message, follows=self._follows,
        )  # fmt: skip
        self._address = ShardAddress("space", "0", "elsewhere", "", "127.0.0.1", proxy.port, on.store.epoch)

    async def _resolve(self) -> ShardAddress:
        return self._address

    def _follows(self, _: LinkClient) -> list[Follow]:
        if self.head is None:
            return []
        assert self.caller.session is not None
        return [Follow(self.id, self.head, [Subscriber(self.caller.session, self.caller.practitioner, "p")])]

    def _message(self, _: LinkClient, message: Any) -> None:
        match message:
            case Following(offset=offset):
                self.head = offset
            case Pushed(offset=offset) if offset and self.head is not None and offset > self.head:
                self.offsets.append(offset)
                self.head = offset
                self.bodies.append(json.loads(message.frame)["body"])
            case Resynced(snapshot=snapshot):
                assert snapshot is None, "what was missed is short: it is replayed"
                self.resynced.set()
        self._changed.set()

    def ask(self, command: space.SpaceCommand) -> int:
        self.n += 1
        n, name = self.n, operation(self.caller, self.n)
        self.answers[n] = []

        def answered(answer: Any) -> None:
            self.answers[n].append(answer)
            self._changed.set()

        self.link.ask(lambda cid: Ask(cid, self.id, space.encode(command), self.caller, name), answered)
        return n

    def say(self, body: Any) -> int:
        return self.ask(space.SendMessage(body=json.dumps(body).encode()))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def all_answered(self) -> None:
        await self.until(lambda: all(self.answers.values()))

    async def check(self, said: int) -> None:
        """Every command answered once and stored once; the stream without gap or repetition."""
        assert all(len(answers) == 1 and isinstance(answers[0], Answer) for answers in self.answers.values())
        rows = await self.rig.journal(self.id)
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        assert [row.operation_id for row in rows] == [operation(self.caller, n) for n in range(1, self.n + 1)]
        assert [row.reply for row in rows] == [self.answers[n][0].body for n in range(1, self.n + 1)]
        await self.until(lambda: self.head == len(rows))
        assert self.offsets == list(range(3, len(rows) + 1))
        assert self.bodies == list(range(said))


@asynccontextmanager
async def linked(database: str, run_dir: Path) -> AsyncIterator[tuple[End, Proxy, LinkServer]]:
    """A gateway's end that has joined a space through the proxy."""
    async with rig(database, database) as on:
        security = LinkSecurity("test", b"s" * 32)
        server = LinkServer(on.shard, security, "space", "0")
        address = await server.start(run_dir, "127.0.0.1", "elsewhere", on.store.epoch)
        async with Proxy(("127.0.0.1", address.port)) as proxy:
            end = End(on, proxy, security)
            end.ask(space.CreateSpace(name="s", purpose="p", access_level="open"))
            end.ask(space.Join())
            await end.until(lambda: end.head is not None)
            try:
                yield end, proxy, server
            finally:
                await end.link.stop()
                await server.stop()


async def test_a_black_holed_link_is_noticed_and_what_was_asked_is_answered_once(database: str, tmp_path: Path) -> None:
    async with linked(database, tmp_path / "run") as (end, proxy, server):
        for n in range(5):
            end.say(n)
        await end.all_answered()
        loop = asyncio.get_running_loop()
        began = loop.time()
        proxy.swallow()
        for n in range(5, 10):
            end.say(n)
        assert len(server.peers) == 1
        await within(end.resynced.wait())
        assert loop.time() - began < NOTICED_S
        await end.all_answered()
        await end.check(10)
        assert end.link.reconnects == 1
        # The shard's own end of the old connection heard nothing either, and let it go.
        await until(lambda: len(server.peers) == 1, "the old link is dropped", NOTICED_S)


async def test_answers_that_were_swallowed_are_given_again_and_the_command_not_done_again(
    database: str, tmp_path: Path
) -> None:
    """The shard hears, decides, commits; what it says is lost. Others speak meanwhile, and their pushes are lost too."""
    async with linked(database, tmp_path / "run") as (end, proxy, _):
        proxy.arm(Cut(Way.DOWN, 0, half_open=True))
        for n in range(5):
            end.say(n)

        async def committed() -> bool:
            return len(await end.rig.journal(end.id)) == 7

        await until(committed, "the commit")
        assert not any(end.answers[n] for n in range(3, 8))
        await within(end.resynced.wait())
        for n in range(5, 10):
            end.say(n)
        await end.all_answered()
        await end.check(10)


async def test_a_link_cut_at_any_byte_of_a_command_and_its_answer(database: str, tmp_path: Path) -> None:
    """The stream goes on without gap or repetition, and each command is done and answered once."""
    async with linked(database, tmp_path / "run") as (end, proxy, _):
        sizes = {Way.UP: 0, Way.DOWN: 0}

        def count(_: Any, way: Way, data: bytes) -> None:
            sizes[way] += len(data)

        proxy.trace = count
        end.say(0)
        await end.all_answered()
        await end.until(lambda: end.head == 3)
        proxy.trace = None
        said = 1
        for way, size in sizes.items():
            for after in range(size + 1):
                cut = Cut(way, after)
                proxy.arm(cut)
                before = end.link.reconnects
                end.say(said)
                said += 1
                await end.all_answered()
                await end.until(lambda: end.head == 2 + said)  # noqa: B023
                await until(lambda: cut.fired, "bytes enough for the cut")  # noqa: B023 - a heartbeat's, if need be
                await until(lambda: end.link.reconnects > before and end.link.up, "the link is back")  # noqa: B023
        proxy.arm(None)
        await end.check(said)

"""Random commands, ends of commits, losses of links and restarts against the shard; the promises are checked at the end.

Acknowledged is durable, once and in order. A follower that resumes from where it was has seen every offset once, in order,
with what storage has. The live state is the fold of the journal.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from fakes import Add, Crash, Join, Link, Note, Owe, Read, Refuse, Wave, World, subscriber
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.runtime import activation, commits, effects, shard
from actors.runtime.wire import Answer, Follow, Following, Pushed, Refused, Resynced

ENTITIES = ("e", "f")
OUTCOMES = ("ok", "ok", "ok", "aborted", "unknown-there", "unknown-gone", "down", "lost")

steps = st.one_of(
    st.tuples(st.just("add"), st.sampled_from(ENTITIES)),
    st.tuples(st.just("add"), st.sampled_from(ENTITIES)),
    st.tuples(st.just("note"), st.sampled_from(ENTITIES)),
    st.tuples(st.just("owe"), st.sampled_from(ENTITIES)),
    st.tuples(st.just("pay"), st.integers(0, 3)),
    st.tuples(st.sampled_from(["read", "wave", "refuse", "crash", "guilty"]), st.sampled_from(ENTITIES)),
    st.tuples(st.just("retry"), st.integers(0, 30)),
    st.tuples(st.just("outcome"), st.sampled_from(OUTCOMES)),
    st.tuples(st.sampled_from(["up", "hold", "let go", "drop link", "restart", "stale", "rest"]), st.none()),
    st.tuples(st.just("turns"), st.integers(1, 6)),
)


@pytest.fixture(scope="module", autouse=True)
def _no_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "SETTLE_PAUSE_S", 0)
        patch.setattr(activation, "LOAD_PAUSE_S", 0)
        patch.setattr(shard, "CONFIRM_PAUSE_S", 0)
        patch.setattr(effects, "RETRY_S", 0)
        yield


class Follower:
    """A gateway with one session on each entity, strict about what it is sent."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, str]]] = {}
        self.head: dict[str, int] = {}
        self.live: set[str] = set()

    def take(self, message: Any) -> None:
        match message:
            case Pushed(offset=0):
                pass
            case Pushed(entity=entity, offset=offset, frame=frame):
                assert offset == self.head[entity] + 1, f"{entity}: {offset} after {self.head[entity]}"
                self.head[entity] = offset
                self.seen.setdefault(entity, []).append((offset, json.loads(frame)["body"]))
            case Resynced(entity=entity, offset=offset, snapshot=snapshot):
                assert snapshot is None
                assert offset == self.head[entity]
                self.live.add(entity)
            case Following(entity=entity, offset=offset):
                assert self.head.setdefault(entity, offset) == offset
                self.live.add(entity)


class Run:
    """One script on one world."""

    def __init__(self) -> None:
        self.world = World(checkpoint_every=3, passivate_after_s=0)
        self.follower = Follower()
        self.asked: list[tuple[int, Any, str, str]] = []  # cid, command, operation, entity
        self.acknowledged: dict[str, bytes] = {}
        self.refused_for_good: set[str] = set()
        self.by_cid: dict[int, str] = {}
        self.done_effects: set[str] = set()
        self.n = 0

    async def run(self, script: list[tuple[str, Any]]) -> None:
        await self.world.start()
        self.join()
        await self.turns(40)
        for step, argument in script:
            await self.step(step, argument)
            self.take()
        await self.finish()

    def join(self) -> None:
        for entity in ENTITIES:
            self.n += 1
            self.world.ask(Join(), f"s:{self.n}", entity=entity)

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def step(self, step: str, argument: Any) -> None:
        world = self.world
        commands = {"read": Read(), "wave": Wave(), "refuse": Refuse(), "crash": Crash(late=True)}
        if step in ("add", "note", "owe", "guilty"):
            self.n += 1
            text = f"{step} {self.n}"
            if step == "guilty":
                world.store.guilty.add(text)
            command = {"note": Note, "owe": Owe}.get(step, Add)
            made = command(id=text) if command is Owe else command(text=text)
            self.say(made, f"s:{self.n}", argument)
        elif step in commands:
            self.n += 1
            world.ask(commands[step], None if step == "read" else f"s:{self.n}", entity=argument)
        elif step == "retry" and self.asked:
            _, made, operation, entity = self.asked[argument % len(self.asked)]
            self.say(made, operation, entity)
        elif step == "pay" and world.post.sent:
            operation, tell = world.post.sent[argument % len(world.post.sent)]
            self.done_effects.add(operation)
            tell(Answer(0, b"{}"))
        elif step == "turns":
            await self.turns(argument)
        else:
            await self.mishap(step, argument)

    async def mishap(self, step: str, argument: Any) -> None:
        world = self.world
        match step:
            case "outcome":
                world.store.outcomes.append(argument)
            case "up":
                world.store.down = False
            case "hold":
                world.store.gate.clear()
            case "let go":
                world.store.gate.set()
            case "drop link":
                self.reconnect(world.link)
            case "restart":
                await self.restart()
            case "stale":
                world.clock.passed_s += 4
            case "rest":
                world.shard.activation.passivate(at_least=5)

    def say(self, command: Any, operation: str, entity: str) -> None:
        cid = self.world.ask(command, operation, entity=entity)
        self.asked.append((cid, command, operation, entity))
        self.by_cid[cid] = operation

    def reconnect(self, old: Link | None) -> None:
        """What a gateway does: what came on the old link counts up to here, then it follows from where it was."""
        if old is not None:
            self.take()
            self.world.shard.link_closed(old)
            self.world.link = self.world.open()
        self.follower.live.clear()
        for entity, head in self.follower.head.items():
            self.world.shard.link_message(self.world.link, Follow(entity, head, [subscriber("ann")]))

    async def restart(self) -> None:
        """As by SIGKILL: what was in flight in storage is there or not; no task of the old shard runs on."""
        self.take()
        for task in list(self.world.shard._tasks):
            task.cancel()
        await self.turns(3)
        guilty = self.world.store.guilty
        await self.world.start()
        self.world.store.guilty = guilty
        self.reconnect(None)

    def take(self) -> None:
        """All that came, checked in order."""
        for message in self.world.link.taken():
            self.follower.take(message)
            operation = self.by_cid.pop(message.cid, None) if isinstance(message, (Answer, Refused)) else None
            if operation is None:
                continue
            if isinstance(message, Answer):
                assert self.acknowledged.setdefault(operation, message.body) == message.body, "the first reply again"
            elif message.code in ("invalid", "internal"):
                self.refused_for_good.add(operation)

    async def finish(self) -> None:
        """Let storage be well, retry all that was not acknowledged, and check."""
        world = self.world
        world.store.outcomes.clear()
        world.store.down = False
        world.store.gate.set()
        await self.turns(150)
        self.take()
        for _, command, operation, entity in list(self.asked):
            if operation not in self.acknowledged and operation not in self.refused_for_good:
                self.say(command, operation, entity)
        await self.turns(150)
        self.take()
        self.check()

    def check(self) -> None:
        world = self.world
        assert world.halted == []
        assert world.shard.waiting == 0
        for entity in ENTITIES:
            journal = world.journal(entity)
            assert [row.seq for row in journal] == list(range(1, len(journal) + 1))
            operations = [row.operation_id for row in journal if row.operation_id is not None]
            assert len(set(operations)) == len(operations), "each is done once"
            numbered = [row for row in journal if row.stream_offset is not None]
            assert [row.stream_offset for row in numbered] == list(range(1, len(numbered) + 1))
            durable = [(row.stream_offset, json.loads(row.data)["text"]) for row in numbered]
            assert (
                self.follower.seen.get(entity, []) == durable[len(durable) - len(self.follower.seen.get(entity, [])) :]
            )
            assert self.follower.head.get(entity, 0) == len(numbered)
            cell = world.shard.cells.get(entity)
            if cell is not None and cell.loads:
                assert cell.state == world.folded(entity)
        done = {row.operation_id for entity in ENTITIES for row in world.journal(entity)}
        for _, _, operation, _ in self.asked:
            assert (operation in self.acknowledged) != (operation in self.refused_for_good)
            assert (operation in done) == (operation in self.acknowledged)
        for entity in ENTITIES:
            for owed in world.folded(entity).owed:
                assert f"effect:log:{entity}:{owed}" in world.post.operations, "what is owed is on its way"


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=60))
def test_whatever_happens_the_promises_hold(script: list[tuple[str, Any]]) -> None:
    asyncio.run(Run().run(script))

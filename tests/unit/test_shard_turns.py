"""A mailbox that takes long leaves the loop to others in between: whoever looks whether the shard is alive finds that it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fakes import Add, LogKind, Read, World
from test_versions import Put, ShelfWorld
from test_versions import Read as Shelved

from actors.runtime import shard


class Turns:
    """In which turn of the loop each command was decided."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn, self.decided, self.first = 0, list[int](), asyncio.Event()
        decide = LogKind.decide

        def noted(kind: Any, state: Any, command: Any, context: Any) -> Any:
            self.decided.append(self.turn)
            self.first.set()
            return decide(kind, state, command, context)

        monkeypatch.setattr(LogKind, "decide", noted)
        self._loop = asyncio.get_running_loop()
        self._next()

    def _next(self) -> None:
        self.turn += 1
        self.handle = self._loop.call_soon(self._next)


@pytest.fixture
async def world() -> World:
    return await World().start()


@pytest.mark.parametrize("slow", [True, False])
async def test_what_waited_for_an_entity_is_handled_in_order_and_in_turns(
    world: World, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    monkeypatch.setattr(shard, "TURN_S", -1.0 if slow else 60.0)
    turns = Turns(monkeypatch)
    cids = [world.ask(Add(str(n))) for n in range(5)]
    await turns.first.wait()
    late = world.ask(Read())  # comes while the others still wait
    await world.idle()
    turns.handle.cancel()
    assert world.texts() == list("01234")
    assert all(world.result(cid) is not None for cid in cids)
    assert world.result(late) is not None
    assert turns.decided == sorted(turns.decided)
    assert len(set(turns.decided[:5])) == (5 if slow else 1)


async def test_after_a_commit_that_failed_nothing_overtakes_what_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard, "TURN_S", -1.0)
    monkeypatch.setattr("actors.runtime.commits.SETTLE_PAUSE_S", 0)
    await world.answer(Add("first"))
    world.store.outcomes.append("aborted")
    world.ask(Add("lost"))
    await asyncio.sleep(0)
    for n in range(4):
        world.ask(Add(str(n)))
    await world.idle()
    world.ask(Add("last"))
    await world.idle()
    assert world.texts() == ["first", "0", "1", "2", "3", "last"]


async def test_a_batch_that_has_enough_rows_takes_off_before_more_is_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("actors.runtime.commits.FILL_ROWS", 3)
    world = ShelfWorld()
    await world.start()
    await world.answer(Put("first"))
    world.store.batches.clear()
    world.store.gate.clear()
    cids = [world.ask(Put(str(n))) for n in range(10)]
    reading = world.ask(Shelved())
    await world.idle()
    assert [len(batch.journal) for batch in world.store.batches] == [3]
    world.store.gate.set()
    await world.idle()
    assert [len(batch.journal) for batch in world.store.batches] == [3, 3, 3, 1]
    assert all(world.result(cid) is not None for cid in cids)
    assert len(world.result(reading)) == 11
    for task in list(world.shard._tasks):
        task.cancel()


async def test_a_batch_that_was_full_and_failed_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.runtime.commits.FILL_ROWS", 3)
    monkeypatch.setattr("actors.runtime.commits.SETTLE_PAUSE_S", 0)
    world = ShelfWorld()
    await world.start()
    await world.answer(Put("first"))
    for outcome in ("aborted", "unknown-gone", "unknown-there"):
        world.store.outcomes.append(outcome)
        for n in range(10):
            world.ask(Put(f"{outcome} {n}"))
        await world.idle()
        await world.idle()
    assert await world.agrees()
    assert len(world.stored()) == 1 + 10 + 10 + 10 - 3
    for task in list(world.shard._tasks):
        task.cancel()

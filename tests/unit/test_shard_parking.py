"""Commands that are answered with their outcome: begun and committed at once, parked until the outcome is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakes import Add, Await, Promise, World

from actors.runtime import activation, commits, effects, shard
from actors.runtime.cell import Cell, Entry, Work
from actors.runtime.commits import make_batch
from actors.runtime.entity import Upsert
from actors.runtime.wire import Answer


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)
    monkeypatch.setattr(effects, "RETRY_S", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    await world.shard.stop()


async def test_what_takes_long_is_committed_at_once_and_answered_with_its_outcome(world: World) -> None:
    cid = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    assert world.texts() == ["1"]
    assert world.result(cid) is None
    assert await world.answer(Add(text="other changes do not answer it"), "s:2") is not None
    assert world.result(cid) is None
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert world.result(cid) == {"paid": "1"}
    assert world.shard.waiting == 0


async def test_a_retry_waits_for_the_same_outcome_whatever_it_was_told_beside(world: World) -> None:
    first = world.ask(Promise(id="1", hint="then"), "s:1")
    second = world.ask(Promise(id="1", hint="now"), "s:1")
    await world.idle()
    assert len(world.post.sent) == 1
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert world.result(first) == world.result(second) == {"paid": "1"}
    assert await world.answer(Promise(id="1", hint="later"), "s:1") == {"paid": "1"}
    assert await world.answer(Promise(id="2"), "s:1") == "conflict"


async def test_an_outcome_does_not_leave_before_its_commit(world: World) -> None:
    cid = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    world.store.gate.clear()
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    again = world.ask(Await(id="1"))
    await world.idle()
    assert world.result(cid) is world.result(again) is None
    world.store.gate.set()
    await world.idle()
    assert world.result(cid) == world.result(again) == {"paid": "1"}


async def test_after_a_crash_the_retry_is_answered_with_the_outcome(world: World) -> None:
    world.ask(Promise(id="1"), "s:1")
    await world.idle()
    await world.start()
    cid = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    assert world.post.operations == ["effect:log:e:1"]
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert world.result(cid) == {"paid": "1"}
    assert world.texts() == ["1", "1"]


async def test_what_was_parked_for_a_link_goes_with_the_link(world: World) -> None:
    other = world.open("other")
    world.ask(Promise(id="1"), "s:1", link=other)
    kept = world.ask(Await(id="1"))
    await world.idle()
    world.shard.link_closed(other)
    assert world.shard.waiting == 1
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert other.answers() == {}
    assert world.result(kept) == {"paid": "1"}


async def test_one_entity_parks_so_many_and_leaves_the_queue_to_the_others(world: World) -> None:
    first = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    kept = [world.ask(Await(id="1")) for _ in range(shard.PARKED_MAX - 1)]
    assert await world.answer(Await(id="1")) == "actor_unavailable"
    assert await world.answer(Promise(id="1"), "s:1") == "actor_unavailable"
    assert world.shard.waiting == shard.PARKED_MAX
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert all(world.result(cid) == {"paid": "1"} for cid in (first, *kept))
    assert world.shard.waiting == 0
    assert await world.answer(Promise(id="1"), "s:1") == {"paid": "1"}


async def test_an_outcome_whose_commit_was_aborted_is_decided_again_and_then_answers(world: World) -> None:
    cid = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    world.store.outcomes.append("aborted")
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert world.result(cid) == {"paid": "1"}
    assert world.texts() == ["1", "1"]


async def test_a_shard_that_stops_tells_who_is_parked_to_come_back(world: World) -> None:
    cid = world.ask(Promise(id="1"), "s:1")
    await world.idle()
    await world.shard.stop()
    assert world.result(cid) == "draining"
    assert world.shard.waiting == 0


def test_rows_of_one_batch_that_name_different_columns_are_one_row_with_all() -> None:
    cell = Cell("log", "e")
    entries = [Entry(cell, Work("e", None)) for _ in range(3)]
    for entry, values in zip(entries, ({"a": 1, "b": 1}, {"b": 2}, {"c": 3}), strict=True):
        entry.rows.append(Upsert(table="t", values={"id": "1", **values}))
    (row,) = make_batch(entries, []).rows
    assert row == Upsert(table="t", values={"id": "1", "a": 1, "b": 2, "c": 3})

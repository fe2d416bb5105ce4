"""Decisions that let events go, or make what was published read differently: what is kept, told again, and answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes import Add, Forget, Join, LogState, Note, Read, Revise, World, subscriber

from actors.runtime import activation, commits, effects, shard
from actors.runtime.entity import EVERYTHING, Caller
from actors.runtime.wire import Follow, History, Paged, Pushed


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)
    monkeypatch.setattr(effects, "RETRY_S", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    for n, text in enumerate("abcde", start=1):
        await world.answer(Add(text=text), f"s:{n}")
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


async def test_the_oldest_events_go_and_the_state_stays(world: World) -> None:
    await world.answer(Forget(most=2))
    assert [row.seq for row in world.journal()] == [3, 4, 5, 6]
    await world.start()
    assert await world.answer(Read()) == {"items": list("abcde")}
    assert await world.answer(Add(text="f"), "s:7") == {"offset": 6}
    assert [row.seq for row in world.journal()] == [3, 4, 5, 6, 7]


async def test_events_of_the_same_batch_go_too_and_neighbours_keep_theirs(world: World) -> None:
    world.store.gate.clear()
    world.ask(Note(text="flies first"))
    await world.idle()
    before, forget, after, other = (
        world.ask(Add(text="before")),
        world.ask(Forget(most=EVERYTHING)),
        world.ask(Add(text="after")),
        world.ask(Add(text="neighbour"), entity="n"),
    )
    world.store.gate.set()
    await world.idle()
    assert world.journal() == []
    assert world.texts("n") == ["neighbour"]
    assert [world.result(cid) for cid in (before, forget, after, other)] == [
        {"offset": 6},
        {},
        {"offset": 7},
        {"offset": 1},
    ]
    await world.start()
    assert await world.answer(Read()) == {"items": [*"abcde", "before", "after"]}


@pytest.mark.parametrize("outcome", ["unknown-there", "unknown-gone", "aborted", "down"])
async def test_a_commit_that_forgets_may_end_badly(world: World, outcome: str) -> None:
    await world.answer(Read(), entity="n")
    world.store.outcomes.append(outcome)
    cid = world.ask(Forget(most=EVERYTHING), "s:8")
    neighbour = world.ask(Add(text="neighbour"), "s:8", entity="n")
    await world.idle()
    told = world.result(cid)
    if outcome.startswith("unknown"):
        assert (told, world.result(neighbour)) == ({}, {"offset": 1})
        assert world.journal() == []
    else:
        assert (told, world.result(neighbour)) == ("storage_unavailable",) * 2
        assert [row.seq for row in world.journal()] == [1, 2, 3, 4, 5]
    assert await world.answer(Read()) == {"items": list("abcde")}
    await world.start()
    assert await world.answer(Read()) == {"items": list("abcde")}


async def test_a_guilty_neighbour_does_not_keep_events_from_going(world: World) -> None:
    world.store.guilty.add("bad")
    world.store.gate.clear()
    world.ask(Note(text="flies first"), entity="x")
    await world.idle()
    guilty, cid = world.ask(Add(text="bad"), entity="n"), world.ask(Forget(most=EVERYTHING))
    world.store.gate.set()
    await world.idle()
    assert (world.result(guilty), world.result(cid)) == ("invalid", {})
    assert world.journal() == []


async def test_no_reply_is_remembered_of_what_is_forgotten(world: World) -> None:
    """Else a live entity would answer with what a restarted one knows nothing of."""
    assert await world.answer(Note(text="x"), "key") == {}
    assert await world.answer(Add(text="y"), "other") == {"offset": 6}
    await world.answer(Forget(most=EVERYTHING))
    assert await world.answer(Add(text="z"), "other") == {"offset": 7}
    checkpoint = world.database.checkpoints["log", "e"]
    assert dict(checkpoint.sessions) == {}


async def test_what_is_still_in_the_journal_is_still_answered(world: World) -> None:
    await world.answer(Add(text="y"), "key")
    await world.answer(Forget(most=2))
    assert await world.answer(Add(text="y"), "key") == {"offset": 6}
    assert await world.answer(Add(text="e"), "s:5") == {"offset": 5}
    assert await world.answer(Add(text="a"), "s:1") == "conflict"
    assert world.database.checkpoints["log", "e"].sessions["s"][0] == 5


async def test_a_checkpoint_only_moves_forward(world: World) -> None:
    await world.answer(Forget(most=1))
    await world.answer(Add(text="f"))
    await world.answer(Forget(most=1))
    checkpoint = world.database.checkpoints["log", "e"]
    assert (checkpoint.seq, checkpoint.stream_offset) == (8, 6)
    assert [row.seq for row in world.journal()] == [3, 4, 5, 6, 7, 8]


async def frames_after(world: World, offset: int) -> list[str]:
    """As a gateway that comes back gets them."""
    link = world.open("another")
    world.shard.link_message(link, Follow("e", offset, [subscriber("ann")]))
    await world.idle()
    pushed = [message.frame for message in link.got if isinstance(message, Pushed) and message.offset]
    paged = [frame for message in link.got if isinstance(message, Paged) for _, frame in message.frames]
    return [json.loads(frame)["body"] for frame in (*pushed, *paged)]


async def history(world: World) -> Any:
    world.cid += 1
    world.shard.link_message(world.link, History(world.cid, "e", 0, 10, Caller("ann")))
    await world.idle()
    return [event["body"] for event in world.result(world.cid)["events"]]


async def test_what_was_published_reads_differently_from_then_on(world: World) -> None:
    await world.answer(Join())
    assert await history(world) == [*"abcde", "ann"]
    await world.answer(Revise(text="b"))
    assert await history(world) == ["a", "…", *"cde", "ann"]
    assert await frames_after(world, 1) == ["…", *"cde", "ann"]
    await world.answer(Add(text="f"))
    assert [json.loads(m.frame)["body"] for m in world.link.got if isinstance(m, Pushed) and m.offset][-1] == "f"
    checkpoint = world.database.checkpoints["log", "e"]
    state: LogState = world.shard.kind.decode_state(checkpoint.format, checkpoint.data)
    assert state.unsaid == ("b",)
    await world.start()
    assert await frames_after(world, 1) == ["…", *"cde", "ann", "f"]


# -- requests that change nothing -------------------------------------------------------------------------------------


async def test_a_key_whose_request_changed_nothing_is_remembered_while_the_entity_is_live(world: World) -> None:
    assert await world.answer(Join(), "one") == {"offset": 6}
    assert await world.answer(Join(), "k-1") == {"offset": 6}
    await world.answer(Add(text="f"))
    assert await world.answer(Join(), "k-1") == {"offset": 6}
    assert await world.answer(Add(text="g"), "k-1") == "conflict"
    assert len(world.journal()) == 7


async def test_what_changed_nothing_on_top_of_a_commit_that_failed_is_decided_afresh(world: World) -> None:
    world.store.outcomes.append("aborted")
    first, again = world.ask(Join(), "one"), world.ask(Join(), "k-1")
    await world.idle()
    assert (world.result(first), world.result(again)) == ("storage_unavailable",) * 2
    assert await world.answer(Join(), "k-1") == {"offset": 6}
    assert world.texts()[-1] == "ann"


async def test_a_request_of_a_session_that_changed_nothing_is_decided_afresh(world: World) -> None:
    """Pulses are such: to remember each would cost more than they do."""
    await world.answer(Join(), "s:10")
    assert await world.answer(Join(), "s:11") == {"offset": 6}
    await world.answer(Add(text="f"), "s:12")
    assert await world.answer(Join(), "s:11") == {"offset": 7}


async def test_what_was_asked_before_a_forgetting_that_is_not_committed_is_not_done_twice(world: World) -> None:
    world.store.gate.clear()
    asked = [world.ask(Add(text="x"), "k:k-x"), world.ask(Forget(most=1)), world.ask(Add(text="x"), "k:k-x")]
    await world.idle()
    world.store.gate.set()
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"offset": 6}, {}, {"offset": 6}]
    await world.start()
    assert await world.answer(Read()) == {"items": list("abcdex")}

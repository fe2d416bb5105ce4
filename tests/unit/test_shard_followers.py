"""Streams: who follows from where, and that nobody gets a push twice, out of order or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from fakes import Add, Join, Leave, Note, Read, World, subscriber

from actors.runtime import activation, commits, followers, shard
from actors.runtime.entity import Caller
from actors.runtime.wire import Answer, Follow, Following, History, Page, Paged, Pushed, Resynced, Unfollow


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """With five events, 1 … 5."""
    world = await World().start()
    for n in range(1, 6):
        await world.answer(Add(text=str(n)), f"s:{n}")
    world.link.taken()
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


async def page(world: World, after: int, max_bytes: int = 10**6, who: str = "ann") -> object:
    world.cid += 1
    world.shard.link_message(world.link, Page(world.cid, "e", after, max_bytes, Caller(who)))
    await world.idle()
    return world.link.answers()[world.cid]


def offsets_of(paged: object) -> list[int]:
    assert isinstance(paged, Paged)
    return [json.loads(frame)["offset"] for frame in paged.frames]


async def test_a_join_has_the_snapshot_of_its_own_offset_whatever_was_decided_behind_it(world: World) -> None:
    world.store.gate.clear()
    world.ask(Join(), "t:1")
    world.ask(Add(text="later"), "s:6")
    await world.idle()
    world.ask(Add(text="later still"), "s:7")
    await world.idle()
    world.store.gate.set()
    await world.idle()
    following = next(m for m in world.link.got if isinstance(m, Following))
    assert following.offset == 6
    assert json.loads(following.snapshot or b"") == {
        "stream": "log:e",
        "offset": 6,
        "state": {"items": ["1", "2", "3", "4", "5"]},
    }
    assert [
        m.offset for m in world.link.got[world.link.got.index(following) :] if isinstance(m, Pushed) and m.offset
    ] == [*(7, 8)]


async def test_a_join_that_will_page_gets_no_snapshot(world: World) -> None:
    await world.answer(Join(), "t:1", snapshot=False)
    assert [m.snapshot for m in world.link.got if isinstance(m, Following)] == [None]


async def test_a_retried_join_follows_too_without_joining_again(world: World) -> None:
    await world.answer(Join(), "t:1")
    again = world.open("gateway 2")
    await world.answer(Join(), "t:1", link=again)
    assert again.words()[:2] == ["answer 7", "following 6"]
    assert world.texts().count("ann") == 1


async def test_a_reconnected_link_gets_what_it_missed_from_the_ring(world: World) -> None:
    world.shard.link_message(world.link, Follow("e", 2, [subscriber("ann")]))
    await world.idle()
    assert world.link.words() == ["push 3", "push 4", "push 5", "resynced 5", "Attached", "greeting"]
    assert world.store.paged == 0
    await world.answer(Add(text="6"), "s:6")
    assert world.link.offsets() == [3, 4, 5, 6]


async def test_after_a_restart_it_gets_it_from_the_journal_page_by_page(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followers, "PAGE_EVENTS", 2)
    world.shard.link_message(world.link, Follow("e", 0, [subscriber("ann")]))
    await world.idle()
    live = [m.frame for m in world.link.got if isinstance(m, Pushed) and m.offset]
    await world.start()
    world.shard.link_message(world.link, Follow("e", 0, [subscriber("ann")]))
    await world.idle()
    assert world.link.words() == [*(f"push {n}" for n in range(1, 6)), "resynced 5", "Attached", "greeting"]
    assert [m.frame for m in world.link.got if isinstance(m, Pushed) and m.offset] == live, "replayed as it was live"
    assert world.store.paged == 3


async def test_nothing_overtakes_a_replay_from_the_journal(world: World) -> None:
    """A join through the same link, or a push, ahead of the replay would make the gateway drop what comes below."""
    await world.start()
    world.store.pages.clear()
    world.shard.link_message(world.link, Follow("e", 1, [subscriber("ann")]))
    joined, added = world.ask(Join(), "t:1", who="bob"), world.ask(Add(text="7"), "s:7")
    await world.idle()
    assert world.link.got == []
    world.store.pages.set()
    await world.idle()
    assert [word for word in world.link.words() if word not in ("Attached", "greeting")] == [
        *("push 2", "push 3", "push 4", "push 5", "resynced 5"),
        *(f"answer {joined}", "push 6", "following 6", f"answer {added}", "push 7"),
    ]


@pytest.mark.parametrize("why", ["beyond the head", "too many", "too large", "no longer kept", "storage is away"])
async def test_a_gap_that_cannot_be_replayed_is_answered_with_a_snapshot(
    world: World, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    await world.start()
    await world.answer(Read())
    world.link.taken()
    after = 1
    if why == "beyond the head":
        after = 9
    elif why == "too many":
        monkeypatch.setattr(followers, "REPLAY_EVENTS", 3)
    elif why == "too large":
        monkeypatch.setattr(followers, "REPLAY_BYTES", 300)
    elif why == "no longer kept":
        del world.journal()[:3]
    else:
        world.store.down = True
    world.shard.link_message(world.link, Follow("e", after, [subscriber("ann")]))
    await world.idle()
    world.store.down = False
    assert world.link.words()[0] == "resynced 5 snapshot"
    assert world.link.offsets() == []
    if why not in ("too large", "storage is away"):  # one page of it is not too large
        assert (await page(world, after)).snapshot is not None  # type: ignore[attr-defined]


async def test_a_link_that_closed_while_its_replay_was_read_gets_nothing(world: World) -> None:
    await world.start()
    world.store.pages.clear()
    world.shard.link_message(world.link, Follow("e", 1, [subscriber("ann")]))
    await world.idle()
    world.shard.link_closed(world.link)
    world.store.pages.set()
    await world.idle()
    assert world.link.got == []
    assert not world.shard.cells["e"].links


async def test_a_follow_behind_an_uncommitted_change_resyncs_after_it(world: World) -> None:
    world.store.gate.clear()
    world.ask(Add(text="6"), "s:6")
    await world.idle()
    other = world.open("gateway 2")
    world.shard.link_message(other, Follow("e", 5, [subscriber("bob")]))
    await world.idle()
    assert other.got == []
    world.store.gate.set()
    await world.idle()
    assert other.words()[:2] == ["push 6", "resynced 6"]


async def test_pages_from_the_ring_and_from_the_journal_are_the_same(world: World) -> None:
    from_ring = [await page(world, after, 150) for after in range(6)]
    await world.start()
    from_journal = [await page(world, after, 1) for after in range(6)]
    assert [offsets_of(paged) for paged in from_journal] == [[1], [2], [3], [4], [5], []]
    assert [offsets_of(paged)[:1] for paged in from_ring] == [[1], [2], [3], [4], [5], []]
    for ring, journal in zip(from_ring, from_journal, strict=True):
        assert isinstance(ring, Paged)
        assert isinstance(journal, Paged)
        assert ring.frames[:1] == journal.frames
        assert journal.done == (journal.through == 5)
        assert ring.through == max([*offsets_of(ring), ring.through if not ring.frames else 0])


async def test_a_page_tells_nothing_that_was_not_released(world: World) -> None:
    await world.start()
    await world.answer(Read())
    world.store.outcomes.append("unknown-there")
    world.store.gate.clear()
    world.store.pages.clear()
    world.cid += 1
    world.shard.link_message(world.link, Page(world.cid, "e", 3, 10**6, Caller("ann")))
    world.ask(Add(text="6"), "s:6")
    await world.idle()
    world.store.down = True  # committed, but nobody here knows yet
    world.store.gate.set()
    world.store.pages.set()
    world.store.down = False
    await world.idle()
    assert offsets_of(next(m for m in world.link.got if isinstance(m, Paged))) in ([4, 5], [4, 5, 6])


async def test_who_may_not_read_is_refused(world: World) -> None:
    assert (await page(world, 0, who="nosy")).code == "forbidden"  # type: ignore[attr-defined]


async def test_history_is_json_with_more_where_there_is_more(world: World) -> None:
    await world.answer(Note(text="unseen"), "s:6")
    for after, limit, expected, more in ((0, 2, [1, 2], True), (3, 9, [4, 5], False), (5, 9, [], False)):
        world.cid += 1
        world.shard.link_message(world.link, History(world.cid, "e", after, limit, Caller("ann")))
        await world.idle()
        answer = world.link.answers()[world.cid]
        assert isinstance(answer, Answer)
        result = json.loads(answer.body)
        assert ([event["offset"] for event in result["events"]], result["more"]) == (expected, more)
    world.store.down = True
    world.cid += 1
    world.shard.link_message(world.link, History(world.cid, "e", 0, 9, Caller("ann")))
    await world.idle()
    assert world.link.answers()[world.cid].code == "storage_unavailable"
    assert world.shard.waiting == 0


async def test_a_page_that_was_read_under_an_old_lease_waits_for_the_confirmation(world: World) -> None:
    await world.start()
    await world.answer(Read())
    world.store.pages.clear()
    world.cid += 1
    world.shard.link_message(world.link, Page(world.cid, "e", 0, 10**6, Caller("ann")))
    await world.idle()
    world.clock.passed_s += 10
    world.store.pages.set()
    await world.idle()
    assert world.cid in world.link.answers()
    assert world.store.confirms == 1


async def test_a_closed_link_detaches_its_sessions_and_others_stay(world: World) -> None:
    other = world.open("gateway 2")
    await world.answer(Join(), "t:1")
    await world.answer(Join(), "u:1", who="bob", link=other)
    other.taken()
    world.shard.link_closed(world.link)
    await world.idle()
    assert other.words() == ["Detached"]
    assert json.loads(other.got[0].frame)["here"] == ["s-bob"]


async def test_a_session_that_came_back_elsewhere_is_not_detached_by_the_old_link(world: World) -> None:
    other = world.open("gateway 2")
    await world.answer(Join(), "t:1")
    await world.answer(Join(), "t:2", link=other)
    world.shard.link_closed(world.link)
    await world.idle()
    assert "Detached" not in other.words()
    assert set(world.shard.cells["e"].present) == {"s-ann"}


async def test_unfollow_and_leave(world: World) -> None:
    await world.answer(Join(), "t:1")
    await world.answer(Join(), "u:1", who="bob")
    world.link.taken()
    world.shard.link_message(world.link, Unfollow("e", "s-ann"))
    await world.idle()
    assert world.link.words() == ["Detached"]
    cid = world.ask(Leave(), "u:2", who="bob")
    await world.idle()
    assert world.link.words()[1:] == [f"answer {cid}", "push 8", "dropped"]
    await world.answer(Add(text="unheard"), "s:9")
    assert world.link.offsets() == [8]


async def test_a_join_whose_link_is_gone_by_the_time_of_the_commit_follows_nothing(world: World) -> None:
    world.store.gate.clear()
    world.ask(Join(), "t:1")
    await world.idle()
    world.shard.link_closed(world.link)
    world.store.gate.set()
    await world.idle()
    assert not world.shard.cells["e"].links
    assert not world.shard.cells["e"].present


async def test_one_push_a_link_however_many_sessions(world: World) -> None:
    for who in ("ann", "bob", "eve"):
        await world.answer(Join(), f"{who}:1", who=who)
    world.link.taken()
    await world.answer(Add(text="x"), "s:6")
    assert world.link.offsets() == [9]


async def test_a_recovery_while_a_replay_is_read(world: World) -> None:
    await world.start()
    await world.answer(Read())
    world.store.gate.clear()
    world.store.outcomes.append("aborted")
    world.ask(Add(text="x"), "s:6")
    await world.idle()
    world.store.pages.clear()
    world.shard.link_message(world.link, Follow("e", 0, [subscriber("ann")]))
    world.ask(Add(text="6"), "s:7")
    await world.idle()
    world.store.gate.set()
    await world.idle()
    world.store.pages.set()
    await world.idle()
    assert world.link.offsets() == [1, 2, 3, 4, 5, 6]
    resynced = [m for m in world.link.got if isinstance(m, Resynced)]
    assert [m.snapshot for m in resynced] == [None]


async def test_pushes_released_while_a_replay_waits_for_its_commit_come_once(world: World) -> None:
    await world.start()
    await world.answer(Read())
    world.store.pages.clear()
    world.store.gate.clear()
    world.ask(Add(text="6"), "s:6")
    await world.idle()
    world.shard.link_message(world.link, Follow("e", 0, [subscriber("ann")]))
    await world.idle()
    world.store.gate.set()
    await asyncio.sleep(0)
    world.store.pages.set()
    await world.idle()
    assert world.link.offsets() == [1, 2, 3, 4, 5, 6]

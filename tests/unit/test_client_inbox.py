from __future__ import annotations

import asyncio

import pytest

from server.client_events import ConnectionLost, Event, Overflow
from server.client_inbox import HARD_FACTOR, Inbox


def event(offset: int) -> Event:
    return Event(stream="space:s", event="message", offset=offset)


async def test_a_full_inbox_says_so_and_calls_when_there_is_room_again() -> None:
    calls: list[int] = []
    inbox = Inbox(4, lambda: calls.append(1))
    for n in range(4):
        assert inbox.put(event(n))
    assert inbox.full
    await inbox.next()
    assert not inbox.full
    assert calls == []
    await inbox.next()
    assert calls == [1]


async def test_the_end_comes_after_what_waits() -> None:
    inbox = Inbox(4, lambda: None)
    inbox.put(event(1))
    inbox.end(ConnectionLost("gone"))
    inbox.end(None)
    assert await inbox.next() == event(1)
    with pytest.raises(ConnectionLost):
        await inbox.next()


async def test_a_plain_end_is_none_also_for_who_waits_already() -> None:
    inbox = Inbox(4, lambda: None)
    waiting = asyncio.ensure_future(inbox.next())
    await asyncio.sleep(0)
    inbox.end(None)
    assert await waiting is None


async def test_a_consumer_that_never_reads_ends_its_stream_and_not_the_memory() -> None:
    inbox = Inbox(2, lambda: None)
    taken = sum(inbox.put(event(n)) for n in range(100))
    assert taken == 2 * HARD_FACTOR
    for _ in range(taken):
        await inbox.next()
    with pytest.raises(Overflow):
        await inbox.next()

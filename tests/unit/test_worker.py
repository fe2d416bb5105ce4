"""A worker behind a link: every ask is answered once, an operation that is under way or was just answered is joined."""

from __future__ import annotations

import asyncio

import pytest
from fakes import Link

from actors.runtime import worker
from actors.runtime.errors import RitualFailed
from actors.runtime.wire import Answer, Ask, Refused
from actors.runtime.worker import Worker


class Hand:
    """Answers when told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, ask: Ask) -> bytes:
        self.asked.append(ask.entity)
        await self.go.wait()
        if ask.command == b"fail":
            raise RitualFailed("no")
        if ask.command == b"bug":
            raise KeyError("secret")
        return ask.command


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_an_operation_under_way_is_joined_and_an_answered_one_answered_alike() -> None:
    hand, link, again = Hand(), Link(), Link()
    worker = Worker(hand)
    worker.link_message(link, Ask(1, "e", b"{}", None, "effect:1"))
    worker.link_message(again, Ask(7, "e", b"{}", None, "effect:1"))
    await turns()
    hand.go.set()
    await turns()
    worker.link_message(again, Ask(8, "e", b"{}", None, "effect:1"))
    assert hand.asked == ["e"]
    assert link.got == [Answer(1, b"{}")]
    assert again.got == [Answer(7, b"{}"), Answer(8, b"{}")]
    assert worker.waiting == 0


async def test_what_has_no_name_takes_no_place_among_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "ANSWERS_KEPT", 1)
    hand, link = Hand(), Link()
    hand.go.set()
    here = Worker(hand)
    for cid, operation in enumerate(("effect:1", None, None, "effect:1")):
        here.link_message(link, Ask(cid, "e", b"{}", None, operation))
        await turns()
    assert link.got == [Answer(cid, b"{}") for cid in range(4)]
    assert len(hand.asked) == 3


async def test_a_link_that_closed_is_not_answered_and_the_work_goes_on() -> None:
    hand, link, next_link = Hand(), Link(), Link()
    worker = Worker(hand)
    worker.link_message(link, Ask(1, "e", b"{}", None, "effect:1"))
    worker.link_closed(link)
    worker.link_message(next_link, Ask(1, "e", b"{}", None, "effect:1"))
    hand.go.set()
    await turns()
    assert link.got == []
    assert next_link.got == [Answer(1, b"{}")]


async def test_refusals_have_their_code_and_bugs_a_reference_only() -> None:
    hand, link = Hand(), Link()
    worker = Worker(hand)
    hand.go.set()
    worker.link_message(link, Ask(1, "e", b"fail"))
    worker.link_message(link, Ask(2, "e", b"bug"))
    await turns()
    failed, internal = link.got
    assert (failed.code, failed.message) == ("ritual_failed", "no")
    assert internal.code == "internal"
    assert "secret" not in internal.message


async def test_a_full_worker_and_a_stopping_one_say_so_retryably() -> None:
    hand, link = Hand(), Link()
    worker = Worker(hand, queue=1)
    worker.link_message(link, Ask(1, "e", b"{}"))
    worker.link_message(link, Ask(2, "e", b"{}"))
    hand.go.set()
    await worker.stop()
    worker.link_message(link, Ask(3, "e", b"{}"))
    refused = [message for message in link.got if isinstance(message, Refused)]
    assert [message.code for message in refused] == ["actor_unavailable", "draining"]
    assert Answer(1, b"{}") in link.got

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from server.ws.turns import TURN_BYTES, Turns


def at_once(wait: Coroutine[Any, Any, None]) -> bool:
    """Whether it is over without giving the loop a turn."""
    try:
        wait.send(None)
    except StopIteration:
        return True
    wait.close()
    return False


async def test_large_frames_wait_for_each_other_and_the_loop_turns_between() -> None:
    turns, loop = Turns(), asyncio.get_running_loop()
    order: list[str] = []

    async def reads(name: str) -> None:
        await turns.wait(TURN_BYTES)
        order.append(name)
        loop.call_soon(order.append, "the loop")

    await asyncio.gather(*map(reads, "abc"))
    assert order[:1] == ["a"]
    assert [name for name in order if name in "abc"] == ["a", "b", "c"]
    assert "the loop" in order[order.index("a") : order.index("b")]
    assert "the loop" in order[order.index("b") : order.index("c")]


async def test_what_fits_in_a_turn_does_not_wait() -> None:
    turns = Turns()
    for _ in range(4):
        assert at_once(turns.wait(TURN_BYTES // 4))
    assert not at_once(turns.wait(1))


async def test_a_frame_larger_than_a_turn_has_one_to_itself() -> None:
    turns = Turns()
    assert at_once(turns.wait(10 * TURN_BYTES))

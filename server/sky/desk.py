"""Where a gateway asks of the sky: off the event loop, one calculation at a time, the same question once.

The ephemeris is loaded in the thread, by the first question. What was answered lately is remembered; whoever asks what is being
calculated waits for that; beyond ``WAITING`` different questions the next is told to come back.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from actors.runtime.errors import RateLimited

WAITING: Final = 64
"""Questions that wait. The whole sky takes 0.1 s of a core, so the last of them waits some seconds."""
REMEMBERED: Final = 256
"""Answers; some kilobytes each."""
RETRY_AFTER_S: Final = 2.0

P = ParamSpec("P")
T = TypeVar("T")


class SkyDesk:
    """Of one gateway. ``load`` makes what the questions are asked of."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sky")
        self._known: OrderedDict[Hashable, Any] = OrderedDict()
        self._asked: dict[Hashable, asyncio.Future[Any]] = {}

    async def ask(self, question: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A reading's answer, of arguments that are values. Raises what it raises, RateLimited."""
        key = (question, args, tuple(sorted(kwargs.items())))
        if key in self._known:
            self._known.move_to_end(key)
            answer: T = self._known[key]
            return answer
        if key not in self._asked:
            self._begin(key, lambda: question(self._load(), *args, **kwargs))
        # Shielded: who goes away takes nothing from who waits for the same.
        found: T = await asyncio.shield(self._asked[key])
        return found

    def _begin(self, key: Hashable, work: Callable[[], Any]) -> None:
        if len(self._asked) >= WAITING:
            busy = RateLimited("too many ask of the sky at once; try again")
            busy.retry_after_s = RETRY_AFTER_S
            raise busy
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._asked[key] = future
        future.add_done_callback(lambda done: self._answered(key, done))

    def _answered(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        del self._asked[key]
        if done.cancelled() or done.exception() is not None:  # an error is decided afresh
            return
        self._known[key] = done.result()
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def close(self) -> None:
        """No more questions; what is being calculated is let finish, what waits is not begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)

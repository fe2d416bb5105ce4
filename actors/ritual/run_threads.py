"""A few threads for what blocks, for one event loop. Many results reach the loop with one wake-up."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Job(NamedTuple):
    call: Callable[[int], Any]
    answer: asyncio.Future[Any]


class RunThreads:
    """Jobs are taken one by one, in order, so that a long one keeps none waiting that another thread could do."""

    def __init__(self, numbers: Iterable[int], name: str) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"{name}-{number}", daemon=True)
            for number in numbers
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, call: Callable[[int], T]) -> T:
        """What ``call`` returns or raises; it is given the number of its thread."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(call, answer))
        return await answer

    def close(self) -> None:
        """Waits for what is under way."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        while (job := self._jobs.get()) is not None:
            result, failure = None, None
            try:
                result = job.call(number)
            except BaseException as raised:  # noqa: BLE001 - it is raised where the job was given
                failure = raised
            self._done.append((job.answer, result, failure))
            if not self._woken and self._loop is not None:  # appended first: whoever was woken before still finds it
                self._woken = True
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._done:
            answer, result, failure = self._done.popleft()
            if answer.cancelled():
                continue
            if failure is None:
                answer.set_result(result)
            else:
                answer.set_exception(failure)

"""A worker: what stands behind a link and keeps nothing (a sandbox, the oracle). It takes asks and answers each once.

The asker is an entity whose effect stays open until it is answered, and whose link sends an ask again after a break or a
timeout. So an operation that is under way is joined, and one that was answered a moment ago is answered alike: work that
costs money or seconds is done once, as long as this process lives. After its death it is done again, which is why a worker
may only do what is harmless to repeat.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from actors.runtime.cell import Outlet
from actors.runtime.errors import ActorUnavailable, Draining, Internal, SanghaError
from actors.runtime.measures import SECONDS, Histogram
from actors.runtime.trace import Span, Tracer
from actors.runtime.wire import Answer, Ask, Refused

log = logging.getLogger(__name__)

ANSWERS_KEPT: Final = 256
"""Answers that may be asked for again after a broken link: what a link has in flight, and then some."""
QUEUE: Final = 4_096


class Worker:
    """The other end of a ``LinkServer`` for a kind without entities. ``handle`` answers one ask with JSON."""

    def __init__(
        self, handle: Callable[[Ask], Awaitable[bytes]], *, queue: int = QUEUE, tracer: Tracer | None = None
    ) -> None:
        self._handle, self._queue, self._tracer = handle, queue, tracer
        self.answer_s = Histogram(SECONDS)
        """From the ask to its answer."""
        self._under_way: dict[str, list[tuple[Outlet, int]]] = {}
        self._answered: OrderedDict[str, Answer | Refused] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self.handled = 0
        self.refusals: Counter[str] = Counter()
        """Of those handled: ended with an error, by code."""
        self.stopped = False

    @property
    def waiting(self) -> int:
        """Asks without an answer yet."""
        return len(self._under_way)

    def link_opened(self, link: Outlet) -> None:
        """A peer proved itself."""

    def link_closed(self, link: Outlet) -> None:
        """It asks again where it still wants to know."""
        for operation, askers in self._under_way.items():
            self._under_way[operation] = [asker for asker in askers if asker[0] is not link]

    def link_message(self, link: Outlet, message: Any) -> None:
        """An ask; nothing else concerns a worker."""
        if not isinstance(message, Ask):
            return
        if self.stopped:
            link.send(_refused(message.cid, Draining("this worker stops; try again")))
            return
        operation = message.operation or f"once:{secrets.token_hex(16)}"
        if (known := self._answered.get(operation)) is not None:
            link.send(_to(known, message.cid))
        elif (askers := self._under_way.get(operation)) is not None:
            askers.append((link, message.cid))
        elif len(self._under_way) >= self._queue:
            link.send(_refused(message.cid, ActorUnavailable("too much waits for this worker; try again")))
        else:
            self._under_way[operation] = [(link, message.cid)]
            task = asyncio.get_running_loop().create_task(self._work(operation, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, operation: str, ask: Ask) -> None:
        began, span = asyncio.get_running_loop().time(), self._span(ask)
        try:
            answer: Answer | Refused = Answer(0, await self._handle(ask))
            if ask.operation is not None:
                self._answered[operation] = answer
            if len(self._answered) > ANSWERS_KEPT:
                self._answered.popitem(last=False)
        except SanghaError as refusal:
            answer = _refused(0, refusal)
        except Exception:
            reference = secrets.token_hex(6)
            log.exception("internal error %s in a worker", reference)
            answer = _refused(0, Internal(f"something went wrong here; reference {reference}"))
        self._count(answer, asyncio.get_running_loop().time() - began, span)
        for link, cid in self._under_way.pop(operation, ()):
            link.send(_to(answer, cid))

    def _span(self, ask: Ask) -> Span | None:
        return None if self._tracer is None or ask.trace is None else self._tracer.start("work", ask.trace)

    def _count(self, answer: Answer | Refused, seconds: float, span: Span | None) -> None:
        outcome = answer.code if isinstance(answer, Refused) else "ok"
        self.handled += 1
        self.answer_s.observe(seconds)
        if outcome != "ok":
            self.refusals[outcome] += 1
        if span is not None:
            span.end(outcome)

    async def stop(self) -> None:
        """Take nothing more, finish what is under way."""
        self.stopped = True
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _to(answer: Answer | Refused, cid: int) -> Answer | Refused:
    if isinstance(answer, Answer):
        return Answer(cid, answer.body)
    return Refused(cid, answer.code, answer.message, answer.errors, answer.retry_after_s)


def _refused(cid: int, refusal: SanghaError) -> Refused:
    errors = [(e.path, e.message) for e in refusal.errors]
    return Refused(cid, refusal.code, refusal.message, errors, refusal.retry_after_s)

"""Sends what entities owe to others: effects, each until the commit that takes it off its entity's agenda.

An effect leaves only after the commit of the event that made it, again on activation, and again when its receiver could not
take it; the receiver knows it by its operation id. An alarm stands for as long as there are any, so that a crashed entity to
which nobody speaks is woken.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.runtime.cell import EFFECTS_ALARM, Cell, Entry, Work
from actors.runtime.entity import Address, Effect, EffectDone
from actors.runtime.errors import CODES
from actors.runtime.ports import Alarm
from actors.runtime.trace import followed, traceparent
from actors.runtime.wire import Refused

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

RETRY_S: Final = 1.0
ALARM_AFTER: Final = timedelta(seconds=30)
"""A crashed entity with open effects is woken this long after it made them."""


class Post(Protocol):
    """Takes commands to entities of other shards."""

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        """Ask, with ``trace.traceparent``; ``on_answer`` gets an Answer or Refused."""


class Effects:
    """Part of a shard; see the module."""

    def __init__(self, shard: Shard, post: Post) -> None:
        self._shard, self._post = shard, post
        self._loop = asyncio.get_running_loop()

    def issue(self, cell: Cell, effects: Iterable[Effect], trace: str | None = None) -> None:
        """Send the effects that are not on their way yet. One is on its way until the commit that takes it off the agenda.

        ``trace`` is the span that made them.
        """
        for effect in effects:
            if effect.id not in cell.issued:
                cell.issued.add(effect.id)
                self._send(cell, effect, trace)

    def _send(self, cell: Cell, effect: Effect, trace: str | None) -> None:
        def answered(answer: Any) -> None:
            if isinstance(answer, Refused):
                if CODES[answer.code].retryable:
                    self._loop.call_later(RETRY_S, self._send_again, cell, effect, trace)
                    return
                done = EffectDone(id=effect.id, error=answer.code)
            else:
                done = EffectDone(id=effect.id, reply=answer.body)
            self._shard.submit(Work(cell.id, done, trace=trace))

        if self._shard.stopped:
            return
        operation = operation_of(self._shard.kind.kind, cell.id, effect)
        asked, on_answer = followed(self._shard.tracer, f"effect {effect.target.kind}", trace, answered)
        token = traceparent.set(asked)
        self._post.post(effect.target, effect.command, operation, on_answer)
        traceparent.reset(token)

    def _send_again(self, cell: Cell, effect: Effect, trace: str | None) -> None:
        if effect.id in cell.issued:  # else its entity has given it up meanwhile, and nobody waits for the answer
            self._send(cell, effect, trace)

    def alarm(self, cell: Cell, work: Work) -> Entry:
        """What comes of the runtime's own alarm: it stands until there are no effects left."""
        entry = Entry(cell, work)
        due_at = self._shard.clock.now() + ALARM_AFTER if cell.agenda.effects else None
        entry.alarms.append(Alarm(entity_id=cell.id, name=EFFECTS_ALARM, due_at=due_at))
        return entry


def operation_of(kind: str, entity_id: str, effect: Effect) -> str:
    """By what the receiver knows an effect: of the form of a session's request where it comes in a series."""
    if effect.series is None:
        return f"effect:{kind}:{entity_id}:{effect.id}"
    return f"effect/{kind}/{entity_id}/{effect.series}:{effect.number}"

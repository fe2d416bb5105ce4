"""The bounded queue between the connection that reads a stream and the consumer that iterates it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from actors.runtime.errors import SanghaError
from server.client_events import Event, Overflow

HARD_FACTOR: Final = 8
"""Reading goes on past the limit while a reply is awaited; this many times the limit is no longer a short wait."""


class Inbox:
    """Events in order until an end. ``full`` asks the reader to pause; ``on_room`` is called when it may go on."""

    def __init__(self, limit: int, on_room: Callable[[], None]) -> None:
        self._limit, self._on_room = limit, on_room
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._over = False
        self._error: SanghaError | None = None

    @property
    def full(self) -> bool:
        """As many events wait as should."""
        return len(self._events) >= self._limit

    @property
    def ended(self) -> bool:
        """No event will be added any more; some may wait."""
        return self._over

    def put(self, event: Event) -> bool:
        """Add an event; False where there is no room at all, which ends the queue with Overflow."""
        if self._over:
            return False
        if len(self._events) >= self._limit * HARD_FACTOR:
            self.end(Overflow(f"{len(self._events)} events wait unread"))
            return False
        self._events.append(event)
        self._changed.set()
        return True

    def end(self, error: SanghaError | None) -> None:
        """No more events; after those that wait comes this error, or the plain end. Only the first end counts."""
        if not self._over:
            self._over, self._error = True, error
        self._changed.set()

    async def next(self) -> Event | None:
        """The next event, None at the end. Raises the error that ended the queue."""
        while not self._events:
            if self._error is not None:
                raise self._error
            if self._over:
                return None
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        if len(self._events) == self._limit // 2:  # not at the first free place: pausing and resuming costs
            self._on_room()
        return event

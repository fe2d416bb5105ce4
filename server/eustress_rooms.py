"""Which Eustress spaces there are, as far as a gateway knows, and whether there may be one more.

A space is there once something of it is committed; a space that is there stays. What is not there is not asked: asking would
start an actor for it. Gateways do not tell each other of spaces that are on their way, so each may make one beyond the bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from actors.runtime.errors import Full, NotFound
from server.rituals import read

SHOWN: Final = 64
"""Characters of a name in an error."""


class Rooms:
    """Of one gateway. ``look``: whether there is a space of a name, and how many there are. Raises StoreDown."""

    def __init__(self, most: int, look: Callable[[str], Awaitable[tuple[bool, int]]]) -> None:
        self._most = most
        self._look = look
        self._known: set[str] = set()
        self._coming: Counter[str] = Counter()

    def knows(self, name: str) -> bool:
        """Whether there is surely such a space."""
        return name in self._known

    def learn(self, name: str) -> None:
        """There is such a space: it has answered."""
        self._known.add(name)

    async def has(self, name: str) -> bool:
        """Whether there is such a space. Raises StorageUnavailable."""
        return name in self._known or (await self._seen(name))[0]

    async def check(self, name: str) -> None:
        """Raises NotFound where there is no such space, StorageUnavailable."""
        if not await self.has(name):
            raise NotFound(f"there is no Eustress space {name[:SHOWN]!r}")

    @asynccontextmanager
    async def entering(self, name: str) -> AsyncIterator[None]:
        """Around what may make the space. Raises Full, StorageUnavailable."""
        if name in self._known:
            yield
            return
        known, count = await self._seen(name)
        if not known and count + len(self._coming.keys() - {name}) >= self._most:
            raise Full(f"there are {self._most} Eustress spaces, which is the most (the setting eustress_spaces)")
        self._coming[name] += 1
        try:
            yield
        finally:
            self._coming[name] -= 1
            if not self._coming[name]:
                del self._coming[name]

    async def _seen(self, name: str) -> tuple[bool, int]:
        known, count = await read(self._look(name))
        if known:
            self._known.add(name)
        return known, count

"""Counters in memory behind the limits that one gateway can hold by itself: rates by key, guests' spaces, slugs.

All are bounded in entries; what is forgotten first is what was used longest ago. Pure: times come as arguments or from the
clock that the constructor got.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final

from actors.runtime.errors import Full, RateLimited

ENTRIES: Final = 10_000
"""Keys that a table remembers; an attacker with more addresses than that is beyond what counting can hold."""
DAY_S: Final = 86_400.0


class TooSoon(RateLimited):
    """A rate limit that knows when the next attempt is worth it."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RateLimit:
    """At most ``limit`` events a minute for each key."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit = limit
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def take(self, key: str) -> None:
        """One more. Raises TooSoon."""
        now = self._clock()
        times = self._times.setdefault(key, deque())
        self._times.move_to_end(key)
        if len(self._times) > ENTRIES:
            self._times.popitem(last=False)
        while times and now - times[0] >= 60:
            times.popleft()
        if len(times) >= self._limit:
            raise TooSoon(f"more than {self._limit} attempts a minute", 60 - (now - times[0]))
        times.append(now)


class GuestSpaces:
    """How many spaces guests made, by guest and by address, within a day."""

    def __init__(self, per_guest: int, per_address: int, clock: Callable[[], float], *, lifted: bool = False) -> None:
        self._per_guest = per_guest
        self._per_address = per_address
        self._clock = clock
        self._lifted = lifted
        self._made: OrderedDict[str, tuple[str, str, float]] = OrderedDict()
        self._counts: Counter[tuple[str, str]] = Counter()  # of ("guest", …) and ("address", …)

    def claim(self, guest: str, address: str, space: str) -> None:
        """The guest is about to create the space (a retry counts once). Raises Full."""
        if self._lifted or space in self._made:
            return
        now = self._clock()
        while self._made and (len(self._made) >= ENTRIES or now - next(iter(self._made.values()))[2] > DAY_S):
            self.give_back(next(iter(self._made)))
        if self._counts["guest", guest] >= self._per_guest:
            raise Full(f"at most {self._per_guest} spaces a guest")
        if self._counts["address", address] >= self._per_address:
            raise Full(f"at most {self._per_address} spaces of guests of one address")
        self._made[space] = (guest, address, now)
        self._counts.update((("guest", guest), ("address", address)))

    def give_back(self, space: str) -> None:
        """The space did not come to be."""
        made = self._made.pop(space, None)
        for key in () if made is None else (("guest", made[0]), ("address", made[1])):
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]


class Slugs:
    """Space ids by slug, believed for ``TTL_S``: a closed space's slug may pass to another."""

    TTL_S: Final = 5.0

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def get(self, slug: str) -> str | None:
        """The id, where it was learned lately."""
        known = self._known.get(slug)
        if known is None or known[1] < self._clock():
            return None
        return known[0]

    def put(self, slug: str, space: str) -> None:
        """The slug is the space's."""
        self._known[slug] = (space, self._clock() + self.TTL_S)
        self._known.move_to_end(slug)
        if len(self._known) > ENTRIES:
            self._known.popitem(last=False)

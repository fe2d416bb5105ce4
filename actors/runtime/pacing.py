"""How long a batch may fill before it takes off. Pure.

Group commit alone takes off as soon as the last commit has landed, about 0.3 ms later, with whatever came meanwhile. A commit
costs some 220 µs of CPU (both ends) however many rows it has, and 8 µs a row; so under load small batches are most of the
cost, and waiting a few milliseconds buys it back. It also lets the gateway write several pushes of one stream to a socket at
once, which is the larger part: a write is 5 µs. Under little load nothing is gained, so nothing is waited for.

The wait grows from nothing at ``QUIET_PER_S`` entries a second to ``LONGEST_S`` at ``BUSY_PER_S``. Measured (two cores, 600
sockets in 50 spaces, 4,800 messages and 57,500 deliveries a second; CPU s per million deliveries of all processes, p50, p99):

    longest wait   0 ms   4 ms   6 ms   8 ms
    CPU s          10.4   10.3    8.9    8.2
    p50 ms          2.3    4.0    4.9    6.5
    p99 ms          8.6   11.4   11.3   12.5

Rejected: the same for what a gateway asks of a shard. 2 ms there saved nothing that could be told from noise and cost 2 ms.
"""

from __future__ import annotations

import math
from typing import Final

QUIET_PER_S: Final = 1_000.0
BUSY_PER_S: Final = 4_000.0
LONGEST_S: Final = 0.006
"""Below half of the 15 ms within which 99 of 100 messages have to arrive under that load."""
MEMORY_S: Final = 0.25
"""How fast the estimate of the load follows."""


class Pacer:
    """Estimates the load from what takes off; times are monotonic seconds."""

    __slots__ = ("_last", "per_s")

    def __init__(self, now: float) -> None:
        self._last = now
        self.per_s = 0.0

    def took_off(self, now: float, entries: int) -> None:
        """A batch of that many entries takes off."""
        elapsed = max(now - self._last, 1e-6)
        self.per_s += (entries / elapsed - self.per_s) * -math.expm1(-elapsed / MEMORY_S)
        self._last = now

    def wait(self, now: float) -> float:
        """Seconds until the next take-off is worth it; 0 is at once."""
        load = min(1.0, (self.per_s - QUIET_PER_S) / (BUSY_PER_S - QUIET_PER_S))
        return max(0.0, self._last + load * LONGEST_S - now) if load > 0 else 0.0

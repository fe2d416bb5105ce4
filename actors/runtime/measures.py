"""What a process counts about itself: plain numbers that only ever grow, made to cost next to nothing where they are counted.

Nothing here knows a metric's name or Prometheus: ``server/metrics`` reads these objects when it is scraped and names what it
finds. Always: counted on the event loop's thread, so without a lock; a dict's increment a command, a histogram's observation
a commit. A process that starts anew counts from 0. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import Final, TypeVar

K = TypeVar("K", bound=Hashable)

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""From half a commit on a fast disk to the longest run of a ritual."""
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)


class Histogram:
    """How often a value fell below each bound (the last count: above all), and the sum of all values."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One value. A bound is the greatest value that still counts below it."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Histograms(defaultdict[K, Histogram]):
    """A histogram for each key, made when first needed."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        super().__init__(lambda: Histogram(bounds))


class ShardMeasures:
    """What a shard counts."""

    __slots__ = (
        "batch_commands", "commands", "commit_s", "commits", "events", "gate_wait_s", "load_s", "passivations", "refusals",
        "repeated",
    )  # fmt: skip

    def __init__(self) -> None:
        self.commands: defaultdict[type, int] = defaultdict(int)
        """Released with a result, by the command's type."""
        self.refusals: Counter[tuple[type, str]] = Counter()
        """Released with an error, by type and code."""
        self.repeated = 0
        """Of the commands: answered from memory, as a retry of what was done."""
        self.commits: Counter[str] = Counter(committed=0, aborted=0, unknown=0)
        """Transactions by how they ended: committed, aborted, unknown."""
        self.commit_s = Histogram(SECONDS)
        """Of those that were committed: from the batch to storage's word."""
        self.batch_commands = Histogram(SIZES)
        self.gate_wait_s = Histogram(SECONDS)
        """Of each batch's first command: from its decision to its release. Nobody in the batch waited longer."""
        self.load_s = Histogram(SECONDS)
        """A query that brings entities to life."""
        self.events: defaultdict[str, int] = defaultdict(int)
        """Committed events by type."""
        self.passivations = 0

    def committed(self, seconds: float, commands: int, events: Iterable[str]) -> None:
        """A transaction is durable."""
        self.commits["committed"] += 1
        self.commit_s.observe(seconds)
        self.batch_commands.observe(commands)
        for event in events:
            self.events[event] += 1

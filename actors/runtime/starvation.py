"""How long threads have waited for a processor: what tells a process that gets no turn from one that hangs.

Linux counts it for each thread (the second number of ``schedstat``: nanoseconds on a run queue). One that is stopped, or waits
for a lock, is on none. Elsewhere nobody is known to wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

Waits = Mapping[int, float]
"""By thread, seconds since it began. No two threads of a machine have one number, so those of several processes may be joined."""


def waits_of(pid: int) -> Waits:
    """Of a process on this machine; nothing where it is gone, or nobody counts."""
    found: dict[int, float] = {}
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # it ended in between
                found[int(thread.name)] = int((thread / "schedstat").read_text().split()[1]) / 1e9
    return found


def longest(before: Waits, now: Waits) -> float:
    """How long the one that waited most has waited in between, s."""
    return max((now[thread] - before[thread] for thread in before.keys() & now.keys()), default=0.0)

"""When a device plays what it takes: the time at which position 0 of a ring was heard (or would have been). Pure.

A device says at every callback when what it takes now will be heard. That is exact to a millisecond most of the time, wrong by
tens of them while it starts, and it steps where the device ran dry and goes on later. So: who goes steadily is believed, the
median of the last seconds is the answer, and a steady step is believed at once. Times are seconds of any one clock.
"""

from __future__ import annotations

from collections import deque
from statistics import median_low
from typing import Final

KEPT: Final = 100
"""Callbacks, of 50 ms mostly: five seconds."""
STEADY: Final = 4
STEADY_S: Final = 0.004
STEP_S: Final = 0.02
"""A sound server that is late with its timing was seen 12 ms off for a second; one that ran dry steps by 60 ms and more."""
UNSTEADY: Final = 40
"""A device that is never steady is believed after so many callbacks all the same."""


class DeviceClock:
    """See the module. ``took`` is one thread's alone, and so is ``zero``."""

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=KEPT)

    def took(self, position: float, heard_at: float) -> None:
        """What lies at a position (in seconds) was taken and will be heard then."""
        self._last.append(heard_at - position)

    def zero(self) -> float | None:
        """When position 0 was heard; None until the device goes steadily."""
        last = list(self._last)
        if len(last) < STEADY:
            return None
        recent = last[-STEADY:]
        if max(recent) - min(recent) > STEADY_S:
            return median_low(last) if len(last) >= UNSTEADY else None
        usual, now = median_low(last), median_low(recent)
        if abs(now - usual) <= STEP_S:
            return usual
        for _ in range(len(last) - STEADY):
            self._last.popleft()
        return now

"""A wheel that turns by itself: how far it has come is a pure function of time, so nothing ticks.

An angle is counted in whole numbers, the product of microseconds and thousandths of a rotation a minute; ``ROTATION`` of them
are one rotation. So nothing is lost to rounding however often a spin is cut and taken up again: the angle at which a wheel
stands stays with it, and rotations are counted where it passes its mark.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from actors.runtime.codec import Uuid
from actors.runtime.entity import Struct

MILLI: Final = 1_000
ROTATION: Final = 60_000_000 * MILLI
"""A minute in microseconds, at a thousandth of a rotation a minute."""
_MICROSECOND: Final = timedelta(microseconds=1)


class Spin(Struct, frozen=True, kw_only=True):
    """It turns from ``began_at`` on, at ``angle`` then, to ``ends_at`` (None: until it is stopped)."""

    accumulation: Uuid
    rate_mrpm: int
    """Thousandths of a rotation a minute."""
    began_at: datetime
    ends_at: datetime | None = None
    angle: int = 0

    def turned(self, now: datetime) -> tuple[int, int]:
        """Rotations completed since it began, and the angle at which it stands."""
        until = now if self.ends_at is None else min(now, self.ends_at)
        micros = max(timedelta(0), until - self.began_at) // _MICROSECOND
        return divmod(self.angle + micros * self.rate_mrpm, ROTATION)

    def is_over(self, now: datetime) -> bool:
        """Whether its own end has come."""
        return self.ends_at is not None and now >= self.ends_at


def mrpm(rate_rpm: float) -> int:
    """A rate in thousandths."""
    return round(rate_rpm * MILLI)

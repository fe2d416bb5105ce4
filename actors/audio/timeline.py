"""Where in what sounds we are, as a function of the server's time. Pure: the time is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from actors.audio.values import Position
from actors.runtime.entity import Struct


class Timeline(Struct, frozen=True, kw_only=True):
    """It runs from ``position_s`` at ``anchor_at`` (UTC), which may lie ahead, so that all who play it begin together. Without an
    anchor it stands at ``position_s``."""

    position_s: Position = 0.0
    anchor_at: datetime | None = None

    def at(self, now: datetime, duration_s: float) -> float:
        """The position at a time, in seconds: from where it stands to ``duration_s``."""
        ran = 0.0 if self.anchor_at is None else max(0.0, (now - self.anchor_at).total_seconds())
        return min(self.position_s + ran, duration_s)

    def ends_at(self, duration_s: float) -> datetime | None:
        """When it will have reached ``duration_s``; None while it stands."""
        return None if self.anchor_at is None else self.anchor_at + timedelta(seconds=duration_s - self.position_s)

    def paused(self, now: datetime, duration_s: float) -> Timeline:
        """It stands from now on."""
        return Timeline(position_s=self.at(now, duration_s))

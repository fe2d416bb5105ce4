"""When which frame of a session sounds and is sent: its timeline in frames. Pure; times are the server's, in epoch seconds."""

from __future__ import annotations

import math
from typing import Self

import msgspec

from actors.audio.timeline import Timeline
from server.sound.frames import AHEAD_MS, Codec

AHEAD_S = AHEAD_MS / 1000
_SAME_S = 0.001
"""Timelines that are no further apart are one: the same run, told again."""


class Pace(msgspec.Struct, frozen=True):
    """A session that runs, from ``first`` up to, not including, ``end``."""

    origin_s: float
    """When position 0 sounded, or would have."""
    per_s: float
    """Frames a second."""
    first: int
    end: int

    @classmethod
    def of(cls, timeline: Timeline, duration_s: float, codec: Codec) -> Self | None:
        """Of a session's timeline; None while that stands. It begins with the first whole frame."""
        if timeline.anchor_at is None:
            return None
        per_s = codec.rate / codec.frame_samples
        first = math.ceil(timeline.position_s * per_s - 1e-6)
        end = math.ceil(duration_s * per_s - 1e-6)
        return cls(timeline.anchor_at.timestamp() - timeline.position_s, per_s, first, end)

    def sounds_at(self, index: int) -> float:
        """When a frame's first sample sounds."""
        return self.origin_s + index / self.per_s

    def due_at(self, index: int) -> float:
        """When it is sent."""
        return self.sounds_at(index) - AHEAD_S

    def first_from(self, time_s: float) -> int:
        """The first frame that sounds at a time or after it."""
        return max(self.first, math.ceil((time_s - self.origin_s) * self.per_s - 1e-6))

    def goes_on(self, other: Pace | None) -> bool:
        """Whether the other is the same run, as far as one could hear."""
        return other is not None and abs(self.origin_s - other.origin_s) < _SAME_S

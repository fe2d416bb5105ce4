"""A ring of stereo samples between the thread that renders ahead and the sound system's callback.

One producer, one consumer, no lock. Positions are counted from the start and never wrap. ``read`` is the consumer's alone: it
goes on with the device's time, whether or not there is sound, so what comes too late is skipped and not played late. ``write``
is the producer's alone: what lies from ``read`` to ``write`` is to be played. The producer writes samples first and the
position after; the consumer never writes a sample.

What the consumer takes has no step in it: before the samples end, while they still last, it fades out (so it always keeps a
fade's length in reserve), and in again when there are more; a change of volume is a ramp of the same slope.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.audio.values import CHANNELS, FADE_S

Samples = NDArray[np.float32]


class Ring:
    """See the module. ``capacity`` in frames: of what is ahead, and of what was ``heard``."""

    def __init__(self, capacity: int, rate: int) -> None:
        self.rate: Final = rate
        self.fade: Final = round(FADE_S * rate)
        self.read = self.write = 0
        self.volume = 1.0
        """What the consumer goes towards, of what is in the ring."""
        self.silent = False
        """The consumer goes towards silence, which is no underrun: before a stream is closed."""
        self.underruns = 0
        """Samples that sounded as silence, or faded, because there were none in time."""
        self.started = False
        self.block = 0
        """The most that was ever taken at once."""
        self._samples: Final[Samples] = np.zeros((capacity, CHANNELS), dtype=np.float32)
        self._gain = self._volume = 0.0

    # The producer

    def put(self, at: int, samples: Samples) -> None:
        """Samples (count, 2) from position ``at`` on: the last ones then that there are. ``at`` may lie before what was written
        already, which is then played no more, but further ahead than is taken at once. What is to be played before and was
        never written is silence."""
        start = max(self.write, self.read)
        if at > start:
            self._store(start, np.zeros((min(at - start, len(self._samples)), CHANNELS), dtype=np.float32))
        self._store(at, samples)
        self.write = at + len(samples)
        self.started = True

    def at(self, start: int, count: int) -> Samples:
        """What is, or was, in the ring from a position on; a copy."""
        return self._samples[np.arange(start, start + count) % len(self._samples)]

    def heard(self, count: int) -> Samples:
        """The last samples that were taken, at the volume of now; fewer where the ring has no more."""
        count = max(0, min(count, self.read, len(self._samples) - max(self.ahead, 0)))
        return self.at(self.read - count, count) * np.float32(self._gain * self._volume)

    @property
    def ahead(self) -> int:
        """How many frames are to be played; negative where so many are missing."""
        return self.write - self.read

    def _store(self, at: int, samples: Samples) -> None:
        capacity = len(self._samples)
        first = at % capacity
        head = min(len(samples), capacity - first)
        self._samples[first : first + head] = samples[:head]
        self._samples[: len(samples) - head] = samples[head:]

    # The consumer

    def take(self, out: Samples) -> None:
        """Fill ``out`` (count, 2) with the next samples; what is not there is silence."""
        count, ahead = len(out), self.write - self.read
        playing = min(max(ahead, 0), count)
        first, capacity = self.read % len(self._samples), len(self._samples)
        head = min(playing, capacity - first)
        out[:head] = self._samples[first : first + head]
        out[head:playing] = self._samples[: playing - head]
        out[playing:] = 0.0
        self.read += count
        self.block = max(self.block, count)
        lasts = ahead >= count + self.fade and not self.silent
        if self.started and not lasts and not self.silent:
            self.underruns += count
        if lasts and self._gain == 1.0 and self._volume == self.volume:
            if self._volume != 1.0:
                out *= np.float32(self._volume)
            return
        out *= self._ramped(count, 1.0 if lasts else 0.0)[:, None]

    def _ramped(self, count: int, goal: float) -> NDArray[np.float32]:
        """The gain of the next samples on the way to ``goal`` and to the volume."""
        step = np.arange(1, count + 1) / self.fade
        fade = self._gain + np.clip(step, 0.0, abs(goal - self._gain)) * np.sign(goal - self._gain)
        away = self.volume - self._volume
        volume = self._volume + np.clip(step, 0.0, abs(away)) * np.sign(away)
        self._gain = goal if step[-1] >= abs(goal - self._gain) else float(fade[-1])
        self._volume = self.volume if step[-1] >= abs(away) else float(volume[-1])
        gain: NDArray[np.float32] = (np.sin(np.pi / 2 * fade) ** 2 * volume).astype(np.float32)
        return gain

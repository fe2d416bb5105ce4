"""Samples as 16-bit PCM, and the ramps at a stream's edges. Pure."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.audio.mix import rise

Samples = NDArray[np.float32]
"""(count, 2), full scale is 1."""

_FULL_SCALE: Final = 32_767


def to_pcm16(samples: Samples) -> bytes:
    """Little-endian, interleaved. What is above full scale is held there."""
    return np.rint(np.clip(samples, -1.0, 1.0) * _FULL_SCALE).astype("<i2").tobytes()


def from_pcm16(payload: bytes, channels: int) -> Samples:
    """What ``to_pcm16`` wrote, to within half a step of 1/32,767."""
    whole = np.frombuffer(payload, dtype="<i2").reshape(-1, channels)
    return (whole / np.float32(_FULL_SCALE)).astype(np.float32)


def rising(count: int) -> Samples:
    """A ramp (count, 1) from 0 to 1."""
    return rise(0, count, count).astype(np.float32).reshape(-1, 1)


def crossfaded(before: Samples, after: Samples) -> Samples:
    """From the one to the other over their whole length."""
    ramp = rising(len(after))
    return (before * (1 - ramp) + after * ramp).astype(np.float32)


class PcmEncoder:
    """Keeps nothing from frame to frame."""

    def encode(self, samples: Samples) -> bytes:
        """One frame's payload."""
        return to_pcm16(samples)

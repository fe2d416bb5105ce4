"""What joins voices without a click and without a clip: ramps and the limiter. Both know a sample alone, never its block."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.audio.values import MAX_VOLUME

Samples = NDArray[np.float64]

KNEE: Final = 0.6
"""Up to here the limiter is the identity, whatever else sounds."""
_FULL_KNEE: Final = 0.4
"""How far the sum of levels must exceed MAX_VOLUME for the knee to be all the way down at ``KNEE``."""


def rise(start: int, count: int, length: int) -> Samples:
    """``count`` samples of a ramp from 0 at sample 0 to 1 from sample ``length`` on, from its sample ``start`` on.

    sin²(πx/2): no corner at either end, and with its mirror image it adds up to 1, so a crossfade keeps the level. Its steepest
    slope is π/(2 · length) a sample.
    """
    x = np.clip((start + np.arange(count)) / max(length, 1), 0.0, 1.0)
    found: Samples = np.sin(np.pi / 2 * x) ** 2
    return found


def limit(samples: Samples, loudest: Samples | float = np.inf) -> Samples:
    """Bounded by ``MAX_VOLUME``: the identity up to a knee, then a tanh that approaches it; slope and value are continuous.

    ``loudest``: a bound of what ``samples`` can be at that moment (the sum of the levels that sound), a number or (count,), for
    samples (count,) or (count, channels). Where it is no more than ``MAX_VOLUME`` nothing is touched; above, the knee comes down
    to ``KNEE`` as the bound rises. So a voice alone is not distorted, and the moment another joins does not click.
    """
    over = np.clip((np.asarray(loudest, dtype=np.float64) - MAX_VOLUME) / _FULL_KNEE, 0.0, 1.0)
    knee = MAX_VOLUME - (MAX_VOLUME - KNEE) * over
    if samples.ndim > knee.ndim > 0:
        knee = knee[:, None]
    room = np.maximum(MAX_VOLUME - knee, 1e-12)
    size = np.abs(samples)
    bent = knee + room * np.tanh(np.maximum(size - knee, 0.0) / room)
    found: Samples = np.where(size <= knee, samples, np.copysign(bent, samples))
    return found

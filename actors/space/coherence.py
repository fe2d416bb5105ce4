"""How much phases agree, by published formulas; None where too little is known to say.

The Kuramoto order parameter ``r = |Σ e^{iθ}| / N`` (Kuramoto 1975; Strogatz 2000) is 1 where all phases are equal. Random
phases give E[r²] = 1/N and not 0, so beside it stands ``(N r² − 1)/(N − 1)``, whose expectation for them is 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final

from actors.runtime.entity import Struct

LEAST: Final = 2
"""One phase agrees with itself: that says nothing."""


class Coherence(Struct, frozen=True, kw_only=True):
    """The agreement of ``n`` phases. ``r`` is in [0, 1], ``unbiased`` in [−1/(n − 1), 1]; both None for n < 2."""

    r: float | None = None
    unbiased: float | None = None
    n: int = 0


def from_sums(cosines: float, sines: float, n: int) -> Coherence:
    """The coherence of n phases of which the sums of cosines and sines are known."""
    if n < LEAST:
        return Coherence(n=n)
    r = min(1.0, math.hypot(cosines, sines) / n)
    return Coherence(r=r, unbiased=(n * r * r - 1) / (n - 1), n=n)


def coherence(phases_rad: Collection[float]) -> Coherence:
    """The coherence of phases in radians."""
    cosines = math.fsum(map(math.cos, phases_rad))
    sines = math.fsum(map(math.sin, phases_rad))
    return from_sums(cosines, sines, len(phases_rad))


def phase_locking(a_rad: Sequence[float], b_rad: Sequence[float]) -> float | None:
    """The phase-locking value of a pair over a window: ``|mean e^{i(θa−θb)}|`` (Lachaux 1999), in [0, 1].

    The windows are of the same length (else ValueError); None where they are shorter than two samples.
    """
    return coherence([a - b for a, b in zip(a_rad, b_rad, strict=True)]).r

"""Sums of decaying sines over any window, each sample a function of its absolute index alone.

A sine per sample and partial would be the floor of speed. Here a window is cut into rows of ``ROW`` samples, and by

    sin(ω(n + k)) · e^(−d(n + k))  =  e^(−dn) · [ sin ωn · e^(−dk) cos ωk  +  cos ωn · e^(−dk) sin ωk ]

all partials of all rows are one product of two matrices: what stands at each row's start, times a table of the ``ROW``
samples within a row, which depends on the partials only and is kept. Nothing is carried from row to row, so nothing drifts.

The phase of a row's start is exact to 1e-12 of a cycle after a day. A frequency in cycles per sample is split in two: ``coarse``
has 20 bits, so ``coarse · n`` with n < 2³³ is exact in a float64 and so is its remainder by 1; ``fine`` is at most 2⁻²¹.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

ROW: Final = 512
_TABLES: Final = 64
"""Kept: 90 kB each for a bowl, 262 kB for the largest chord."""
_COARSE: Final = 2**20
_SILENT: Final = -70.0
"""An exponent below which a decay is nothing (4e-31): denormal numbers would be slow."""


class Partials(NamedTuple):
    """Sines: in Hz, linear peak amplitudes, and decays in 1/s (amplitude · e^(−decay · seconds)). Of one length."""

    hz: tuple[float, ...]
    amplitudes: tuple[float, ...]
    decays: tuple[float, ...]

    @staticmethod
    def steady(hz: tuple[float, ...], amplitude: float) -> Partials:
        """Sines of equal amplitude that do not decay."""
        return Partials(hz, (amplitude,) * len(hz), (0.0,) * len(hz))

    def below(self, limit_hz: float) -> Partials:
        """Those that a rate of twice ``limit_hz`` can carry; the rest would fold back as other frequencies."""
        kept = [each for each in zip(*self, strict=True) if abs(each[0]) < limit_hz]
        return Partials(*map(tuple, zip(*kept, strict=True))) if kept else Partials((), (), ())


class _Table(NamedTuple):
    coarse: Samples
    fine: Samples
    decays: Samples
    within: Samples
    """(2 · partials, ROW): the cosines within a row, then the sines, decaying."""


def wave(partials: Partials, start: int, count: int, rate: int, *, struck_at: int = 0) -> Samples:
    """``count`` samples of the sum from sample ``start`` on: phase 0 at sample 0, decay from sample ``struck_at`` on."""
    if not partials.hz or count <= 0:
        return np.zeros(max(count, 0))
    table = _table(partials.hz, partials.decays, rate)
    width = min(ROW, count)
    at = start + ROW * np.arange(-(-count // ROW), dtype=np.float64)[:, None]
    angle = 2 * np.pi * ((table.coarse * at) % 1.0 + table.fine * at)
    exponent = -table.decays * (at - struck_at)
    level = np.where(exponent > _SILENT, np.exp(np.maximum(exponent, _SILENT)), 0.0) * partials.amplitudes
    heads = np.concatenate((level * np.sin(angle), level * np.cos(angle)), axis=1)
    found: Samples = (heads @ table.within[:, :width]).reshape(-1)[:count]
    return found


@lru_cache(maxsize=_TABLES)
def _table(hz: tuple[float, ...], decays: tuple[float, ...], rate: int) -> _Table:
    exact = [Fraction(each) / rate for each in hz]
    coarse = [Fraction(round(each * _COARSE), _COARSE) for each in exact]
    fine = [each - near for each, near in zip(exact, coarse, strict=True)]
    k = np.arange(ROW)
    angle = 2 * np.pi * _reals(exact)[:, None] * k
    per_sample = np.asarray(decays) / rate
    fall = np.exp(-per_sample[:, None] * k)
    within = np.concatenate((fall * np.cos(angle), fall * np.sin(angle)))
    return _Table(_reals(coarse), _reals(fine), per_sample, within)


def _reals(exact: list[Fraction]) -> Samples:
    return np.asarray([float(each) for each in exact])

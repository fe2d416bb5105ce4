"""Bessel functions of whole order, by their integrals. Pure numpy.

J_n(x) = 1/π ∫ cos(nτ - x sin τ) dτ and I_n(x) = 1/π ∫ exp(x cos τ) cos(nτ) dτ over 0 … π (Abramowitz & Stegun 9.1.21, 9.6.19).
Both integrands are periodic and smooth, so the trapezoidal rule is exact to the last digits once its points are
more than n + |x|.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

POINTS: Final = 256
"""Enough for n + |x| up to 200."""
_TAU: Final[Values] = np.arange(POINTS, dtype=np.float64) * (2 * np.pi / POINTS)


def j(n: int, x: Values | float) -> Values:
    """J_n at each x."""
    at = np.asarray(x, np.float64)[..., None]
    return np.asarray(np.cos(n * _TAU - at * np.sin(_TAU)).mean(axis=-1))


def i(n: int, x: Values | float) -> Values:
    """I_n at each x."""
    at = np.asarray(x, np.float64)[..., None]
    return np.asarray((np.exp(at * np.cos(_TAU)) * np.cos(n * _TAU)).mean(axis=-1))


def dj(n: int, x: Values | float) -> Values:
    """J_n's slope: (J_{n-1} - J_{n+1}) / 2."""
    return (j(n - 1, x) - j(n + 1, x)) / 2


def di(n: int, x: Values | float) -> Values:
    """I_n's slope: (I_{n-1} + I_{n+1}) / 2."""
    return (i(n - 1, x) + i(n + 1, x)) / 2

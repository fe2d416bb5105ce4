"""Chladni's figures: where sand comes to rest on a plate that sounds. Pure numpy.

Square plate, held at its middle: cos(nπx)cos(mπy) ± cos(mπx)cos(nπy) over [0, 1]², the classical superposition of two modes of a
plate whose edges are free to move; its frequency goes as n² + m². (A real plate's modes, which Ritz computed, differ a little.) A
tone picks n and m of one parity, whose figures have every symmetry of the square.

Circular plate with a free edge: J_n(λr) + C·I_n(λr), times cos nθ, where neither bending moment nor shear force is left at r = 1
(Leissa, Vibration of Plates, chapter 2, Poisson's ratio ``POISSON``); its frequency goes as λ². ``n`` diameters, ``s`` circles.

A tone sets the mode in motion whose frequency is nearest to it: ``fundamental`` is the lowest mode's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.visuals import bessel
from actors.visuals.contour import zero_lines
from actors.visuals.figure import UNIT, Look, document, number
from actors.visuals.raster import HALF, MIN_STROKE_PX, Pixels, axis, inked

Field = npt.NDArray[np.float64]

ORDER_MAX: Final = 24
"""Of a square plate's mode: its lines are then 10 pixels apart on 256."""
DIAMETERS_MAX: Final = 16
CIRCLES_MAX: Final = 8
"""Of a circular plate's; the highest λ is 45."""
POISSON: Final = 0.33
"""Of brass and aluminium."""
CELLS: Final = 192
"""A side of the grid that the SVG's lines are found on: eight cells between two lines of the highest mode."""
EDGE_INK: Final = 0.4
"""How strongly the plate's edge is drawn, beside its lines."""
SWEPT: Final = 0.25
"""Where the plate moves by more than so much no sand stays."""
_SCAN: Final = 0.05
"""Less than the distance of two frequencies of a circular plate, in λ."""
_HALVINGS: Final = 60


class Mode(NamedTuple):
    """Of a square plate ``n`` < ``m``, which are added (``plus``) or subtracted; of a circular one n diameters and m circles."""

    n: int
    m: int
    plus: bool = False
    round: bool = False

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.round:
            return f"Chladni figure of a circular plate: {self.n} diameters, {self.m} circles"
        return f"Chladni figure of a square plate: mode {self.n}, {self.m}, {'sum' if self.plus else 'difference'}"


def square_mode(frequency: float, fundamental: float) -> Mode:
    """The mode of a square plate that is nearest to a tone; of two that are as near the one of the more equal numbers."""
    lowest = 1**2 + 3**2
    pairs = ((n, m) for n in range(1, ORDER_MAX) for m in range(n + 2, ORDER_MAX + 1, 2))
    n, m = min(
        pairs, key=lambda pair: (abs((pair[0] ** 2 + pair[1] ** 2) / lowest * fundamental - frequency), -pair[0])
    )
    return Mode(n, m)


def round_mode(frequency: float, fundamental: float) -> Mode:
    """The mode of a circular plate that is nearest to a tone."""
    known = eigenvalues()
    lowest = min(known.values())
    n, s = min(known, key=lambda mode: abs((known[mode] / lowest) ** 2 * fundamental - frequency))
    return Mode(n, s, round=True)


@lru_cache(maxsize=1)
def eigenvalues() -> dict[tuple[int, int], float]:
    """λ of each mode (diameters, circles) of a free circular plate. The plate may move as a whole (n 0 and 1 without a circle):
    that is no vibration, and not among them."""
    found: dict[tuple[int, int], float] = {}
    for n in range(DIAMETERS_MAX + 1):
        first = 1 if n < 2 else 0
        for s, root in enumerate(_roots(n, CIRCLES_MAX + 1 - first), start=first):
            found[n, s] = root
    return found


def _roots(n: int, count: int) -> list[float]:
    """The first zeros of ``_free_edge``, each between two values of a scan where its sign changes, halved to the last digit."""
    start = max(1.0, 0.6 * n)
    at = np.arange(start, start + 4.0 * (count + 2) + 0.7 * n, _SCAN)
    sign = np.sign(_free_edge(n, at))
    low = at[:-1][sign[:-1] * sign[1:] < 0][:count]
    high, before = low + _SCAN, np.sign(_free_edge(n, low))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        same = np.sign(_free_edge(n, middle)) == before
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return [float(root) for root in low]


def _free_edge(n: int, k: Field | float) -> Field:
    """What is zero where moment and shear vanish together, as a difference of products (nothing is divided by), over I_n."""
    k = np.asarray(k, np.float64)
    stiff = 1 - POISSON
    jn, dj, in_, di = bessel.j(n, k), bessel.dj(n, k), bessel.i(n, k), bessel.di(n, k)
    moment_j, moment_i = k**2 * jn + stiff * (k * dj - n**2 * jn), k**2 * in_ - stiff * (k * di - n**2 * in_)
    shear_j = k**3 * dj + stiff * n**2 * (k * dj - jn)
    shear_i = k**3 * di - stiff * n**2 * (k * di - in_)
    return np.asarray((moment_j * shear_i - moment_i * shear_j) / in_)


def field(mode: Mode, size: int, *, inset: bool = True) -> Field:
    """The plate's deflection on a grid, at most 1: of its pixels' middles as ``raster`` has them, NaN outside of the plate; or
    (``inset`` false) of ``size`` × ``size`` points from edge to edge."""
    at = axis(size) if inset else axis(size, size / (size - 1))
    return np.where(_distance_in(mode, at) >= 0, _deflection(mode, at), np.nan)


def _deflection(mode: Mode, at: Field) -> Field:
    """Also beyond the edge, where it goes on smoothly."""
    if mode.round:
        return _circular(mode, at)
    n, m = _waves(mode.n, at), _waves(mode.m, at)
    one, other = np.outer(n, m), np.outer(m, n)
    return np.asarray((one + other if mode.plus else one - other) / 2)


def _distance_in(mode: Mode, at: Field) -> Field:
    """How far within the plate's edge a place is; below zero outside."""
    down, across = np.abs(at)[:, None], np.abs(at)[None, :]
    return np.asarray(1 - (np.hypot(down, across) if mode.round else np.maximum(down, across)))


def _waves(n: int, at: Field) -> Field:
    """cos(nπ(x+1)/2), exactly (anti)symmetric: the second half is the first one's mirror image."""
    waves = np.cos(n * np.pi * (at + 1) / 2)
    half = len(at) // 2
    waves[-half:] = waves[:half][::-1] * (-1) ** n
    if n % 2 and len(at) % 2:
        waves[half] = 0.0
    return waves


def _circular(mode: Mode, at: Field) -> Field:
    n, k = mode.n, eigenvalues()[mode.n, mode.m]
    stiff = 1 - POISSON
    jn, dj, in_, di = (float(f(n, k)) for f in (bessel.j, bessel.dj, bessel.i, bessel.di))
    share = (k**2 * jn + stiff * (k * dj - n**2 * jn)) / (k**2 * in_ - stiff * (k * di - n**2 * in_))
    radii = np.linspace(0, 1.1, 2048)
    profile = bessel.j(n, k * radii) + share * bessel.i(n, k * radii)
    profile /= np.abs(profile[radii <= 1]).max()
    x, y = at[None, :], -at[:, None]
    return np.asarray(np.interp(np.hypot(x, y), radii, profile) * np.cos(n * np.arctan2(y, x)))


def drawn(mode: Mode, size: int, look: Look) -> Pixels:
    """Sand on the plate, where it does not move; and the plate's edge."""
    at, scale = axis(size), size / (2 * HALF)
    values = _deflection(mode, at)
    down, across = np.gradient(values)
    from_line = np.abs(values) / (
        np.hypot(down, across) + 1e-9
    )  # the distance to the nearest zero, to first order, in pixels
    reach = max(look.stroke * scale, MIN_STROKE_PX) / 2
    sand = np.exp(-((np.clip(from_line - reach, 0, None) / (1.2 + reach)) ** 2))
    sand[np.abs(values) > SWEPT] = 0  # the top of a wave is flat too
    inside = _distance_in(mode, at) * scale
    edge = EDGE_INK * np.clip(reach + 0.5 - np.abs(inside), 0, 1)
    covered = np.maximum(sand * np.clip(inside + 0.5, 0, 1), edge)
    return inked(covered.astype(np.float32), look.ink, look.paper)


def svg(mode: Mode, size: int, look: Look) -> str:
    """The nodal lines, and the edge of the plate."""
    lines = zero_lines(_deflection(mode, axis(CELLS + 1, (CELLS + 1) / CELLS))) / (CELLS / 2)
    if mode.round:
        lines = lines[(np.hypot(lines[..., 0], lines[..., 1]) <= 1).all(axis=1)]
    at = (lines * UNIT).tolist()
    path = "".join(f"M{_short(a[1])} {_short(a[0])}L{_short(b[1])} {_short(b[0])}" for a, b in at)
    edge = f'<circle r="{UNIT}"/>' if mode.round else f'<path d="M{-UNIT} {-UNIT}h{2 * UNIT}v{2 * UNIT}h{-2 * UNIT}z"/>'
    body = (
        f'<g fill="none" stroke="{look.ink}" stroke-width="{number(look.stroke * UNIT)}" stroke-linecap="round">'
        f'<path d="{path}"/><g stroke-opacity="{EDGE_INK}">{edge}</g></g>'
    )
    return document(mode.title, size, look.paper, body)


def _short(value: float) -> str:
    """To a tenth, a twentieth of a pixel of the largest picture: there are thousands of them."""
    return number(round(value, 1))

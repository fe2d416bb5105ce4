"""The Sri Yantra: nine triangles in a circle, all of whose triple points are points. Pure.

Nine horizontal lines, numbered from the top, are the bases of the triangles; 1 to 5 point down, 6 to 9 up. The apex of each
stands on the middle of the line that ``APEX`` names; of the two great ones (3 and 7) it and the corners lie on the circle. What
is left are nine heights and seven half widths, and the condition that twelve triples of lines on each side meet (the 24 marmas of
the tradition), that the fifth line's corner lies where its lines 4 and 6 cross, and that the inmost triangle's inscribed circle
is centred on the bindu: fourteen equations of sixteen unknowns.

A drawing by the tradition's measures (the diameter in 48 parts: 6, 6, 5, 3, 3, 4, 3, 6, 6, 6; Lakshmidhara on the
Saundarya Lahari) misses some of them by 3 % of the radius. The figure here is the solution that is nearest to it, found by Gauss
and Newton's method, least norm of the distance from it, to ``TOLERANCE``.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin, sqrt
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.visuals.figure import Circle, Figure, Point

Vector = npt.NDArray[np.float64]

TOLERANCE: Final = 1e-12
"""By how much three lines may miss each other, in radii of the circle."""
STEPS: Final = 100
"""More than ten times as many as it takes."""
GREAT: Final = (3, 7)
FREE: Final = (1, 2, 4, 5, 6, 8, 9)
"""Lines whose width is not the circle's."""
APEX: Final = {1: 6, 2: 9, 3: 0, 4: 8, 5: 7, 6: 2, 7: 0, 8: 1, 9: 3}
"""On the middle of which line the apex of a line's triangle stands; 0: on the circle."""
CROSSINGS: Final = (
    (2, 1, 7), (3, 1, 8), (3, 2, 7), (4, 1, 6), (5, 1, 9), (5, 4, 6), (6, 4, 9), (7, 2, 9), (7, 3, 8), (8, 3, 9),
)  # fmt: skip
"""A line, and two triangles whose sides cross on it."""
CORNERS: Final = ((4, 8), (5, 4), (6, 2))
"""A line, and the triangle on whose side its end lies."""
TRADITION: Final = (6, 12, 17, 20, 23, 27, 30, 36, 42)
"""The lines, from the top, in 48ths of the diameter."""
RUBBED_OUT: Final = (3, 5, 16, 18, 16, 4, 3)
"""Of each end of the ``FREE`` lines, in the same parts."""
PETAL_STEPS: Final = 20
"""Of half a petal's outline: at 2048 pixels a step is some 8."""


class Triangle(NamedTuple):
    """Isosceles: a base at a height with its half width, an apex on the axis."""

    base_y: float
    half_width: float
    apex_y: float

    def side(self, y: float) -> float:
        """How far from the axis its sides are at a height."""
        return self.half_width * (y - self.apex_y) / (self.base_y - self.apex_y)

    @property
    def points(self) -> tuple[Point, Point, Point]:
        """The left corner, the right one, the apex."""
        return (-self.half_width, self.base_y), (self.half_width, self.base_y), (0.0, self.apex_y)


@lru_cache(maxsize=1)
def triangles() -> dict[int, Triangle]:
    """The nine by their line's number, in the unit circle. Raises ArithmeticError where the solution was not found."""
    start = _traditional()
    found = start.copy()
    for _ in range(STEPS):
        missed = misses(found)
        slope = _slope(found)
        back = found - start
        step = np.linalg.lstsq(slope, slope @ back - missed, rcond=None)[0] - back
        found = found + step
        if np.abs(misses(found)).max() < TOLERANCE and np.abs(step).max() < TOLERANCE:
            return _triangles(found)
    raise ArithmeticError(f"no solution in {STEPS} steps")


def misses(unknowns: Vector) -> Vector:
    """By how much each condition is not met; see the module for the fourteen."""
    lines = _triangles(unknowns)

    def apart(line: int, a: float, b: int) -> float:
        return a - lines[b].side(lines[line].base_y)

    crossings = [apart(line, lines[a].side(lines[line].base_y), b) for line, a, b in CROSSINGS]
    corners = [apart(line, lines[line].half_width, other) for line, other in CORNERS]
    return np.array([*crossings, *corners, lines[5].base_y - inradius(lines)])


def inradius(lines: dict[int, Triangle]) -> float:
    """Of the inmost triangle, which lies between line 5 and the apex of triangle 1: half width · height / half perimeter."""
    height = lines[5].base_y - lines[1].apex_y
    half = lines[1].side(lines[5].base_y)
    return half * height / (half + sqrt(half * half + height * height))


def figure(*, lotus: bool = True, gates: bool = True) -> Figure:
    """The triangles with the bindu, in a circle; ``lotus``: with rings of 8 and 16 petals; ``gates``: in the square of earth."""
    outer = 0.72 if gates else 1.0
    inner = outer * (0.62 if lotus else 1.0)
    paths = [tuple((x * inner, y * inner) for x, y in (*t.points, t.points[0])) for t in triangles().values()]
    circles = [Circle(0, 0, inner)]
    if lotus:
        middle = (inner + outer) / 2
        circles += [Circle(0, 0, middle), Circle(0, 0, outer)]
        paths += [*_petals(8, inner, middle), *_petals(16, middle, outer)]
    if gates:
        paths += [_square(outer + 0.03, out) for out in (0.0, 0.025, 0.05)]
    return Figure("Sri Yantra", tuple(circles), tuple(paths), (Circle(0, 0, 0.012 * inner),))


def _traditional() -> Vector:
    heights = [1 - part / 24 for part in TRADITION]
    widths = [sqrt(1 - heights[line - 1] ** 2) - part / 24 for line, part in zip(FREE, RUBBED_OUT, strict=True)]
    return np.array([*heights, *widths])


def _triangles(unknowns: Vector) -> dict[int, Triangle]:
    heights = dict(enumerate((float(y) for y in unknowns[:9]), start=1))
    widths = dict(zip(FREE, (float(w) for w in unknowns[9:]), strict=True))
    widths |= {line: sqrt(max(0.0, 1 - heights[line] ** 2)) for line in GREAT}
    heights[0] = 0.0
    return {
        line: Triangle(heights[line], widths[line], heights[apex] if apex else (-1.0 if line == 3 else 1.0))
        for line, apex in APEX.items()
    }


def _slope(unknowns: Vector) -> Vector:
    """Of ``misses``, by central differences."""
    each = 1e-6
    moved = (np.eye(len(unknowns)) * each)[:, None] * np.array((1, -1))[:, None]
    return np.array([(misses(unknowns + up) - misses(unknowns + down)) / (2 * each) for up, down in moved]).T


def _petals(count: int, inner: float, outer: float) -> list[tuple[Point, ...]]:
    """Petals side by side on the inner circle, with their tips on the outer one. Half an outline is a cubic Bézier curve of
    angle and radius, from the foot to the tip; the other half is the same with the angle's sign changed."""
    half, depth = pi / count, outer - inner
    curve = ((half, inner), (half * 1.05, inner + 0.62 * depth), (half * 0.3, inner + 0.7 * depth), (0.0, outer))
    steps = [n / PETAL_STEPS for n in range(PETAL_STEPS + 1)]
    weights = [((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3) for t in steps]
    outline = [(_mixed(w, [a for a, _ in curve]), _mixed(w, [r for _, r in curve])) for w in weights]
    edge = [*((-angle, r) for angle, r in outline), *outline[-2::-1]]
    return [tuple((r * sin(2 * half * n + a), r * cos(2 * half * n + a)) for a, r in edge) for n in range(count)]


def _mixed(weights: tuple[float, ...], values: list[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))


def _square(half: float, out: float) -> tuple[Point, ...]:
    """The square of earth with its four T-shaped gates as one line, ``out`` beyond the inmost such line on all sides."""
    neck, step, wide, top = 0.1 + out, half + 0.11 - out, 0.19 + out, half + 0.17 + out
    left = [(-half - out, half + out), (-neck, half + out), (-neck, step), (-wide, step), (-wide, top)]
    side = [*left, *((-x, y) for x, y in reversed(left))]
    turns: list[Point] = []
    for turn in range(4):
        turns += [[(x, y), (y, -x), (-x, -y), (-y, x)][turn] for x, y in side[:-1]]
    return (*turns, turns[0])

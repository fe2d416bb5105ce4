"""Figures on the hexagonal lattice: the flower of life and Metatron's cube. Pure.

A point of the lattice is (q, r) of whole numbers, at x = q + r/2, y = r·√3/2: neighbours are exactly 1 apart, and turning by 60°
is (q, r) → (-r, q + r), so the symmetry is one of whole numbers, before anything is rounded.
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt
from typing import Final

from actors.visuals.figure import Circle, Figure, Point

Axial = tuple[int, int]

ROOT: Final = sqrt(3) / 2
DIRECTIONS: Final[tuple[Axial, ...]] = ((1, 0), (0, 1), (-1, 1), (-1, 0), (0, -1), (1, -1))
"""The six neighbours of the origin, in the order of their angles."""


def at(point: Axial, spacing: float = 1.0) -> Point:
    """Where a point of the lattice lies."""
    q, r = point
    return (q + r / 2) * spacing, r * ROOT * spacing


def turned(point: Axial) -> Axial:
    """By 60° around the origin."""
    q, r = point
    return -r, q + r


def mirrored(point: Axial) -> Axial:
    """At the horizontal axis."""
    q, r = point
    return q + r, -r


def disc(rings: int) -> tuple[Axial, ...]:
    """The origin and ``rings`` hexagons of points around it: 1 + 3·rings·(rings + 1), from the middle outwards."""
    span = range(-rings, rings + 1)
    found = [(q, r) for q in span for r in span if max(abs(q), abs(r), abs(q + r)) <= rings]
    return tuple(sorted(found, key=lambda point: max(map(abs, (*point, sum(point))))))


def flower_of_life(rings: int = 2, *, enclosed: bool = True) -> Figure:
    """Circles around the points of a disc of the lattice, each through its neighbours' centres; two rings are the 19 of the
    traditional figure. ``enclosed``: two circles around all of it, as it is usually drawn."""
    spacing = 1 / (rings + 1 if not enclosed else (rings + 1) * 1.05)
    centres = (at(point, spacing) for point in disc(rings))
    around = (Circle(0, 0, (rings + 1) * spacing), Circle(0, 0, 1.0)) if enclosed else ()
    circles = tuple(Circle(x, y, spacing) for x, y in centres)
    return Figure(f"Flower of life, {len(circles)} circles", circles + around)


def fruit_of_life() -> tuple[Axial, ...]:
    """The 13 centres of Metatron's cube: the origin and, on each of six rays, the first and the second point."""
    return ((0, 0), *((q * n, r * n) for n in (1, 2) for q, r in DIRECTIONS))


def metatrons_cube() -> Figure:
    """13 circles that touch, and the 78 segments between all pairs of their centres."""
    radius = 1 / 5  # two spacings of two radii each, and the outer circle's own radius, are 1
    centres = tuple(at(point, 2 * radius) for point in fruit_of_life())
    circles = tuple(Circle(x, y, radius) for x, y in centres)
    return Figure("Metatron's cube: 13 circles, 78 lines", circles, tuple(combinations(centres, 2)))

"""Figures and fields as arrays of pixels. Pure numpy.

A pixel is covered by a line as much as lies between the line's edges, measured along the distance from its middle:
``clip(stroke/2 - distance + 1/2, 0, 1)`` in pixels, the greatest of all lines. Rows go down; the picture shows the same square as
the SVG, its margin included.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.visuals.figure import MARGIN, UNIT, Figure, Look, Point

Coverage = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]
"""(rows, columns, 3), or 4 with alpha where there is no background."""

HALF: Final = 1 + MARGIN / UNIT
"""Of the picture's side, in units of the figure."""
MIN_STROKE_PX: Final = 1.0
"""A thinner line is drawn so wide: on a small picture it would be gone."""


class _Grid(NamedTuple):
    """A picture that is being drawn: what is covered, pixels a unit, and half a line's width in pixels."""

    covered: Coverage
    scale: float
    reach: float

    @property
    def middle(self) -> float:
        return float(self.covered.shape[0]) / 2


def drawn(figure: Figure, size: int, look: Look) -> Pixels:
    """The figure on ``size`` × ``size`` pixels."""
    scale = size / (2 * HALF)
    reach = max(look.stroke * scale, MIN_STROKE_PX) / 2
    grid = _Grid(np.zeros((size, size), np.float32), scale, reach)
    for circle in figure.circles:
        _ring(grid, circle.x, circle.y, circle.r, filled=False)
    for dot in figure.dots:
        _ring(grid, dot.x, dot.y, dot.r, filled=True)
    for path in figure.paths:
        for a, b in pairwise(path):
            _segment(grid, a, b)
    return inked(grid.covered, look.ink, look.paper)


def inked(coverage: Coverage, ink: str, paper: str | None) -> Pixels:
    """Ink on paper, mixed by how much of it there is in [0, 1]; without paper the coverage is the alpha."""
    top = np.array(rgb(ink), np.float32)
    if paper is None:
        flat = np.broadcast_to(top, (*coverage.shape, 3))
        return np.concatenate((flat, 255 * coverage[..., None]), axis=2).round().astype(np.uint8)
    bottom = np.array(rgb(paper), np.float32)
    mixed: Pixels = (bottom + coverage[..., None] * (top - bottom)).round().astype(np.uint8)
    return mixed


def rgb(color: str) -> tuple[int, int, int]:
    """Red, green and blue of ``#rrggbb``, 0 … 255."""
    value = int(color.removeprefix("#"), 16)
    return value >> 16, value >> 8 & 255, value & 255


def axis(size: int, half: float | None = None) -> npt.NDArray[np.float64]:
    """The middles of ``size`` pixels of a picture from -half to half (None: ``HALF``), the same on both sides to the last bit."""
    steps = np.arange(size, dtype=np.float64) - (size - 1) / 2
    return np.asarray(steps * (2 * (HALF if half is None else half) / size))


def _ring(grid: _Grid, x: float, y: float, r: float, *, filled: bool) -> None:
    """Within the circle's own box only: most are small."""
    cx, cy, radius = grid.middle + x * grid.scale, grid.middle - y * grid.scale, r * grid.scale
    outer = radius + grid.reach + 1
    rows, columns = _span(cy - outer, cy + outer, grid), _span(cx - outer, cx + outer, grid)
    down = np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - cy)
    across = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - cx)
    distance = np.hypot(down[:, None], across) - np.float32(radius)
    depth = 0.5 - distance if filled else grid.reach + 0.5 - np.abs(distance)
    box = grid.covered[rows, columns]
    np.maximum(box, np.clip(depth, 0, 1), out=box)


def _span(low: float, high: float, grid: _Grid) -> slice:
    size = grid.covered.shape[0]
    return slice(max(0, int(low)), max(0, min(size, int(high) + 1)))


def _segment(grid: _Grid, a: Point, b: Point) -> None:
    """Only the pixels beside it are looked at: a few of each row that a steep line passes, of each column of a flat one."""
    first, last = (np.array((grid.middle + x * grid.scale, grid.middle - y * grid.scale)) for x, y in (a, b))
    way = last - first
    if abs(way[0]) > abs(way[1]):
        _steep(grid.covered.T, first[::-1], way[::-1], grid.reach)
    else:
        _steep(grid.covered, first, way, grid.reach)


def _steep(covered: Coverage, first: npt.NDArray[np.float64], way: npt.NDArray[np.float64], reach: float) -> None:
    size, length = covered.shape[0], float(np.hypot(*way))
    if length == 0:
        return
    low, high = sorted((first[1], first[1] + way[1]))
    y = np.arange(max(0, int(low - reach - 1)), min(size, int(high + reach + 2))) + 0.5
    middle = first[0] + np.clip((y - first[1]) / way[1], 0, 1) * way[0]
    around = int(np.ceil((reach + 1) * 1.5)) + 1  # a line of 45 degrees is √2 times as wide along a row
    columns = middle.astype(np.int64)[:, None] + np.arange(-around, around + 1)
    dx, dy = columns + 0.5 - first[0], y[:, None] - first[1]
    along = np.clip((dx * way[0] + dy * way[1]) / length**2, 0, 1)
    distance = np.hypot(dx - along * way[0], dy - along * way[1])
    depth = np.clip(reach + 0.5 - distance, 0, 1)
    inside = (columns >= 0) & (columns < size)
    rows = np.broadcast_to((y - 0.5).astype(np.int64)[:, None], columns.shape)[inside]
    columns = columns[inside]
    covered[rows, columns] = np.maximum(covered[rows, columns], depth[inside])

"""A sound as a picture: time to the right, frequency upwards in octaves, level as colour. Pure numpy.

Measured from the rendered samples, like a spectrum: a Hann window of ``WINDOW`` samples at each column (a sine's peak reads as
its own amplitude), 0 to ``FLOOR_DB`` dBFS as the palette's lightest to its darkest colour, the louder of the two channels. Rows
lie evenly apart in octaves; between two bins the level is interpolated, of several bins on one row the greatest counts.
"""

from __future__ import annotations

from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.audio.recipe import Recipe
from actors.audio.render import render
from actors.audio.values import SAMPLE_RATE
from actors.visuals.figure import MARGIN, UNIT, document, number
from actors.visuals.palettes import SHADES, Palette, scale
from actors.visuals.raster import Pixels

Levels = npt.NDArray[np.float64]

WINDOW: Final = 8_192
"""186 ms, bins of 5.4 Hz, as the live spectrum has them."""
FLOOR_DB: Final = -80.0
BATCH: Final = 16
"""Columns that are transformed at once: 2 MiB of samples."""
CELLS: Final = 128
"""Columns and rows of the SVG: its cells are rectangles."""
STEPS: Final = 24
"""Shades of the SVG."""


class View(NamedTuple):
    """What part of a sound is shown: seconds from ``start_s``, frequencies in Hz."""

    start_s: float
    seconds: float
    low_hz: float
    high_hz: float


def levels(recipe: Recipe, view: View, columns: int, rows: int) -> Levels:
    """(rows, columns) of levels from 0 (``FLOOR_DB`` or less) to 1 (0 dBFS); the first row is the highest frequency."""
    first, count = round(view.start_s * SAMPLE_RATE), round(view.seconds * SAMPLE_RATE)
    samples = render(recipe, first - WINDOW // 2, count + WINDOW, SAMPLE_RATE)
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    found = np.empty((rows, columns))
    pick = _Rows(view, rows)
    for batch in range(0, columns, BATCH):
        begins = (np.arange(batch, min(batch + BATCH, columns)) + 0.5) / columns * count
        cut = samples[begins.round().astype(np.int64)[:, None] + np.arange(WINDOW)] * window[:, None]
        spectra = np.abs(np.fft.rfft(cut, axis=1)).max(axis=2) * (4 / WINDOW)
        found[:, batch : batch + BATCH] = pick(20 * np.log10(np.maximum(spectra, 1e-9))).T
    return np.asarray(np.clip(1 - found / FLOOR_DB, 0, 1))


class _Rows:
    """Which bins a row shows."""

    def __init__(self, view: View, rows: int) -> None:
        edges = np.geomspace(view.high_hz, view.low_hz, rows + 1) * (WINDOW / SAMPLE_RATE)
        middles = np.sqrt(edges[:-1] * edges[1:])
        self._below = middles.astype(np.int64)
        self._part = middles - self._below
        first, last = np.ceil(edges[1:]).astype(np.int64), np.floor(edges[:-1]).astype(np.int64)
        self._several = np.nonzero(last > first)[0]
        self._runs = np.stack((first, last + 1), axis=1)[self._several].ravel()

    def __call__(self, decibels: Levels) -> Levels:
        """(columns, rows) of (columns, bins)."""
        low, high = decibels[:, self._below], decibels[:, self._below + 1]
        found = np.asarray(low + (high - low) * self._part)
        if len(self._several):
            found[:, self._several] = np.maximum.reduceat(decibels, self._runs, axis=1)[:, ::2]
        return found


def drawn(recipe: Recipe, view: View, size: int, palette: Palette) -> Pixels:
    """As pixels."""
    shown = levels(recipe, view, size, size)
    pixels: Pixels = scale(palette)[(shown * (SHADES - 1)).round().astype(np.int64)]
    return pixels


def svg(recipe: Recipe, view: View, size: int, palette: Palette) -> str:
    """As rectangles: cells of one shade beside each other are one, all of a shade one path."""
    shown = (levels(recipe, view, CELLS, CELLS) * (STEPS - 1)).round().astype(np.int64)
    side = 2 * (UNIT + MARGIN) / CELLS
    paths: dict[int, list[str]] = {}
    for row, shades in enumerate(shown.tolist()):
        column = 0
        for shade, run in groupby(shades):
            length = sum(1 for _ in run)
            if shade:  # the darkest is the ground
                paths.setdefault(shade, []).append(_rectangle(row, column, length, side))
            column += length
    colors = scale(palette)
    body = "".join(
        f'<path fill="{_hex(colors[round(shade * (SHADES - 1) / (STEPS - 1))])}" d="{"".join(parts)}"/>'
        for shade, parts in sorted(paths.items())
    )
    title = f"Spectrogram, {view.seconds:g} s, {view.low_hz:g} to {view.high_hz:g} Hz"
    return document(title, size, palette[0], f'<g shape-rendering="crispEdges">{body}</g>')


def _rectangle(row: int, column: int, length: int, side: float) -> str:
    left, top = -(UNIT + MARGIN) + column * side, -(UNIT + MARGIN) + row * side
    return f"M{number(left)} {number(top)}h{number(length * side)}v{number(side)}h{number(-length * side)}z"


def _hex(color: npt.NDArray[np.uint8]) -> str:
    return "#" + bytes(color.tolist()).hex()

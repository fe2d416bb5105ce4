"""Colour fields after Rothko: two or three soft-edged blocks on a ground. Pure; a seed decides everything.

What the seed decides comes from SHA-256 of it, whose digits are the same on every machine and in every version of every library.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from actors.visuals.figure import UNIT, document, number
from actors.visuals.palettes import PALETTES, Palette, PaletteName
from actors.visuals.raster import HALF, Pixels, axis, rgb

Reals = npt.NDArray[np.float32]

GAP: Final = 0.07
"""Between two blocks, in units of the picture."""
EDGE: Final = 0.14
"""Between a block and the picture's edge."""
WAVES: Final = 5
"""That an edge, and the thickness of the paint, are made uneven with."""


class Block(NamedTuple):
    """A rectangle in units of the figure, y downwards, whose edges are ``soft`` wide."""

    left: float
    top: float
    right: float
    bottom: float
    color: str
    soft: float


class Composition(NamedTuple):
    """What a seed makes."""

    seed: int
    ground: str
    blocks: tuple[Block, ...]


def composition(seed: int, palette: Palette | None = None) -> Composition:
    """The picture of a seed; without a palette the seed picks one of ours."""
    chance = _chances(f"field:{seed}")
    names: list[PaletteName] = sorted(PALETTES)
    picked = names[int(next(chance) * len(names))]
    colors = list(PALETTES[picked] if palette is None else palette)
    dark = next(chance) < 0.6
    ground = colors.pop(0 if dark else len(colors) - 1)
    count = 2 + (next(chance) < 0.5)
    shares = [0.35 + next(chance) for _ in range(count)]
    order = [colors.pop(int(next(chance) * len(colors))) for _ in range(count)]
    room, top = 2 * (HALF - EDGE) - GAP * (count - 1), -(HALF - EDGE)
    blocks = []
    for share, color in zip(shares, order, strict=True):
        height = room * share / sum(shares)
        inset = EDGE * (0.8 + 0.4 * next(chance))
        soft = 0.03 + 0.05 * next(chance)
        blocks.append(Block(-HALF + inset, top, HALF - inset, top + height, color, soft))
        top += height + GAP
    return Composition(seed, ground, tuple(blocks))


def drawn(what: Composition, size: int) -> Pixels:
    """As pixels: edges that fade, not quite straight, and paint that is thicker here than there."""
    at = axis(size).astype(np.float32)
    picture = np.broadcast_to(np.array(rgb(what.ground), np.float32), (size, size, 3)).copy()
    for number_, block in enumerate(what.blocks):
        chance = _chances(f"paint:{what.seed}:{number_}")
        across = _faded(at, block.left, block.right, block.soft, _wave(at, chance, block.soft / 3))
        down = _faded(at, block.top, block.bottom, block.soft, _wave(at, chance, block.soft / 3))
        paint = across * down.T  # each edge is uneven along its own length
        cover = paint * (0.9 + 0.1 * np.outer(_wave(at, chance), _wave(at, chance)))
        for channel, value in enumerate(rgb(block.color)):
            picture[..., channel] += cover * (value - picture[..., channel])
    pixels: Pixels = picture.round().astype(np.uint8)
    return pixels


def svg(what: Composition, size: int) -> str:
    """The same blocks, blurred by a filter."""
    filters, shapes = [], []
    for index, (left, top, right, bottom, color, soft) in enumerate(what.blocks):
        blur = number(soft * UNIT / 3)
        filters.append(f'<filter id="soft{index}"><feGaussianBlur stdDeviation="{blur}"/></filter>')
        x, y, width, height = (number(each * UNIT) for each in (left, top, right - left, bottom - top))
        shapes.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{color}" filter="url(#soft{index})"/>'
        )
    title = f"Colour field {what.seed}: {len(what.blocks)} fields"
    return document(title, size, what.ground, "".join(shapes), f"<defs>{''.join(filters)}</defs>")


def _faded(at: Reals, low: float, high: float, soft: float, shift: Reals) -> Reals:
    """(place along the edge, place across it): 1 within, 0 without, smoothly between, the edge moved by ``shift``."""
    inside = np.minimum(at[None, :] - low, high - at[None, :]) + shift[:, None]
    part = np.clip(inside / soft + 0.5, 0, 1)
    return np.asarray(part * part * (3 - 2 * part))


def _wave(at: Reals, chance: Iterator[float], height: float = 1.0) -> Reals:
    """Something uneven from -height to height: a few cosines."""
    waves = [np.cos(np.pi * (n * 0.9 * at + 2 * next(chance))) for n in range(1, WAVES + 1)]
    return np.asarray(height * np.mean(waves, axis=0), np.float32)


def _chances(seed: str) -> Iterator[float]:
    """Numbers in [0, 1) without end, 32 bits each."""
    count = 0
    while True:
        digest = sha256(f"{seed}:{count}".encode()).digest()
        yield from (int.from_bytes(digest[at : at + 4], "big") / 2**32 for at in range(0, 32, 4))
        count += 1

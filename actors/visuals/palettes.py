"""Colours that go together, and scales of them. Pure."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from actors.visuals.raster import rgb

PaletteName = Literal["ember", "saffron", "forest", "dusk", "night"]
Palette = tuple[str, ...]

PALETTES: Final[dict[PaletteName, Palette]] = {
    "ember": ("#2a1210", "#7c1d18", "#b6401c", "#d9792b", "#efb35a"),
    "saffron": ("#5a2c0e", "#a4541a", "#d98a1f", "#f0b93a", "#f7dc8c"),
    "forest": ("#10211c", "#1f4a3d", "#39715a", "#7c9a63", "#cfc98a"),
    "dusk": ("#1d1a33", "#46306b", "#8a4a7d", "#c9757a", "#efb58e"),
    "night": ("#0b0f1e", "#15264a", "#27497a", "#5482a6", "#a9c6d1"),
}
"""Each from its darkest to its lightest colour."""
SHADES: Final = 256


def scale(palette: Palette) -> npt.NDArray[np.uint8]:
    """``SHADES`` colours (n, 3) from the first of a palette to its last, evenly apart."""
    stops = np.array([rgb(color) for color in palette], np.float64)
    at = np.linspace(0, len(stops) - 1, SHADES)
    channels = [np.interp(at, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    shades: npt.NDArray[np.uint8] = np.stack(channels, axis=1).round().astype(np.uint8)
    return shades

"""What sounds, as frequencies: measured from samples, never listed from what was asked for.

A Hann window (coherent gain 0.5, ENBW 1.5 bins) over all the samples given, by convention ``WINDOW`` of them: 186 ms at 44.1 kHz,
bins of 5.4 Hz. Two tones closer than 4 bins may be one peak, and a tone below 2 bins (11 Hz) is none: a longer window tells them.

A tone's offset δ from its bin follows from the ratio r of the greater neighbour to it: δ = (2r − 1)/(r + 1) (Grandke, IEEE Trans.
IM-32, 1983), its amplitude from the window's own lobe there: W(δ) = sinc(δ)/(1 − δ²). For one sine both are exact but for
the leakage of its image at −f: within 1e-4 Hz and 1e-4 dB from 136 Hz up. (A parabola through the logarithms, which was tried
first, is off by up to 0.09 Hz.)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

WINDOW: Final = 8_192
PEAKS_MAX: Final = 16
BANDS: Final = 64
BAND_EDGES_HZ: Final = (20.0, 20_000.0)
"""From the lowest band's lower edge to the highest's upper; between them the edges are a constant ratio apart (0.156 octaves)."""
FLOOR_DB: Final = -80.0
"""dBFS below which there is no peak, and a band is 0."""
_RANGE_DB: Final = -60.0
"""Below the greatest peak's amplitude by so much there is no peak."""
_SHORTEST: Final = 16
_LOBE: Final = 2
"""A Hann window's main lobe is so many bins wide to each side."""


class Spectrum(NamedTuple):
    """Peaks by falling amplitude, linear (1 is full scale, a sine's own peak value), and bands 0..1."""

    frequencies: tuple[float, ...]
    amplitudes: tuple[float, ...]
    bands: tuple[float, ...]
    """``BANDS`` of them, in dB: the greatest in the band, 0 at ``FLOOR_DB`` or less and 1 at full scale."""


def spectrum(samples: NDArray[Any], rate: int) -> Spectrum:
    """Of (count,) or (count, channels) samples in −1..1. Channels are measured apart: a tone in one ear counts as it is there,
    one in both (within half a bin) once, at its greatest. Fewer than 16 samples, or silence: no peaks, bands of 0."""
    magnitudes, bin_hz = _magnitudes(samples), rate / max(len(samples), 1)
    if magnitudes.shape[1] == 1:
        return Spectrum((), (), (0.0,) * BANDS)
    kept = _merged([peak for each in magnitudes for peak in _peaks(each)])[:PEAKS_MAX]
    frequencies = tuple(bin_ * bin_hz for _, bin_ in kept)
    return Spectrum(frequencies, tuple(level for level, _ in kept), _bands(magnitudes.max(axis=0), bin_hz))


def linear_bands(samples: NDArray[Any], rate: int, count: int = BANDS, top_hz: float = 1_000.0) -> tuple[float, ...]:
    """The greatest linear amplitude in each of ``count`` bands of equal width from 0 to ``top_hz``; samples as ``spectrum``'s."""
    magnitude = _magnitudes(samples).max(axis=0)
    if len(magnitude) < 2:
        return (0.0,) * count
    edges = np.linspace(0.0, top_hz, count + 1) * 2 * (len(magnitude) - 1) / rate
    return tuple(_greatest(magnitude, edges).tolist())


def _magnitudes(samples: NDArray[Any]) -> Reals:
    """(channels, bins): a sine of amplitude A on a bin is A there."""
    channels = np.atleast_2d(np.asarray(samples, dtype=np.float64).T)
    count = channels.shape[1]
    if count < _SHORTEST:
        return np.zeros((len(channels), 1))
    found: Reals = np.abs(np.fft.rfft(channels * _hann(count))) * (4 / count)
    return found


def _peaks(magnitude: Reals) -> list[tuple[float, float]]:
    """(amplitude, bin) of each local maximum that rises above the floor and above what greater ones leak."""
    inner = magnitude[_LOBE:-_LOBE]
    lowest = max(10 ** (FLOOR_DB / 20), magnitude.max() * 10 ** (_RANGE_DB / 20))
    is_peak = (
        (inner > magnitude[_LOBE - 1 : -_LOBE - 1]) & (inner >= magnitude[_LOBE + 1 : -_LOBE + 1]) & (inner > lowest)
    )
    at = np.flatnonzero(is_peak) + _LOBE
    at = at[np.argsort(-magnitude[at], kind="stable")][: 4 * PEAKS_MAX]
    found: list[tuple[float, float]] = []
    for bin_ in at.tolist():
        offset = _offset(magnitude, bin_)
        amplitude = float(magnitude[bin_] / _lobe(np.asarray(offset)))
        leaked = sum(level * float(np.abs(_lobe(np.asarray(bin_ - place)))) for level, place in found)
        if magnitude[bin_] > 2 * leaked:
            found.append((amplitude, bin_ + offset))
    return found


def _offset(magnitude: Reals, bin_: int) -> float:
    """Of a tone from its greatest bin, in bins: −0.5 .. 0.5."""
    side = 1 if magnitude[bin_ + 1] >= magnitude[bin_ - 1] else -1
    ratio = magnitude[bin_ + side] / magnitude[bin_]
    return float(side * np.clip((2 * ratio - 1) / (ratio + 1), 0.0, 0.5))


def _lobe(offset: Reals) -> Reals:
    """The Hann window's transform at an offset in bins, 1 at 0. Its poles at ±1 are removable: 0.5."""
    away = np.abs(offset)
    near_pole = np.abs(away - 1) < 1e-6
    found: Reals = np.where(near_pole, 0.5, np.sinc(away) / np.where(near_pole, 1.0, 1 - away**2))
    return found


def _merged(found: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """By falling amplitude, each place once."""
    kept: list[tuple[float, float]] = []
    for level, place in sorted(found, reverse=True):
        if all(abs(place - other) > 0.5 for _, other in kept):
            kept.append((level, place))
    return kept


def _bands(magnitude: Reals, bin_hz: float) -> tuple[float, ...]:
    found = _greatest(magnitude, np.geomspace(*BAND_EDGES_HZ, BANDS + 1) / bin_hz)
    decibels = 20 * np.log10(np.maximum(found, 1e-12))
    return tuple(np.clip(1 - decibels / FLOOR_DB, 0.0, 1.0).tolist())


def _greatest(magnitude: Reals, edges: Reals) -> Reals:
    """The greatest magnitude between each two edges (in bins), also between bins: low bands are narrower than a bin."""
    at_edges = np.interp(edges, np.arange(len(magnitude)), magnitude, right=0.0)
    found: Reals = np.maximum(at_edges[:-1], at_edges[1:])
    for band, (low, high) in enumerate(zip(np.ceil(edges[:-1]), np.ceil(edges[1:]), strict=True)):
        if low < min(high, len(magnitude)):
            found[band] = max(found[band], magnitude[int(low) : int(high)].max())
    return found


@lru_cache(maxsize=4)
def _hann(count: int) -> Reals:
    """Periodic, so its transform is exactly three bins."""
    found: Reals = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)
    return found

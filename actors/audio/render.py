"""Samples of a recipe: a pure function of (recipe, sample index, count, rate), alike however a span is cut into windows.

Each sample is computed from its absolute index (``phasors``), each voice is faded in and out as it says, and the sum is
limited to ``values.MAX_VOLUME`` by a function of the sample alone (``mix.limit``). Before it is rounded to float32 a sample is
within 1e-9 of its formula, after a day as at the start.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import UnsetType
from numpy.typing import NDArray

from actors.audio.mix import limit, rise
from actors.audio.phasors import Samples
from actors.audio.recipe import AnyVoice, Recipe
from actors.audio.values import CHANNELS, FADE_S, MAX_VOLUME, SAMPLE_RATE
from actors.audio.voices import sound

_BLOCK: Final = 1 << 15
"""Rendered at once: what it takes fits the processor's cache, whatever the window."""


def frames_of(recipe: Recipe, rate: int = SAMPLE_RATE) -> int:
    """How many samples of each channel the recipe has."""
    return round(recipe.duration_s * rate)


def render(recipe: Recipe, start: int, count: int, rate: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """(count, 2) float32 from sample ``start`` on; left, right. Silent before sample 0 and from the recipe's end on.

    What ``rate`` cannot carry (from rate/2 on) is left out. More than a few seconds of sound are work for a thread.
    """
    out = np.zeros((count, CHANNELS), dtype=np.float32)
    first, last = max(start, 0), min(start + count, frames_of(recipe, rate))
    for at in range(first, last, _BLOCK):
        until = min(at + _BLOCK, last)
        out[at - start : until - start] = _block(recipe, at, until, rate)
    return out


def _block(recipe: Recipe, start: int, end: int, rate: int) -> Samples:
    both, ears = np.zeros(end - start), np.zeros((CHANNELS, end - start))
    loudest = np.zeros(end - start)
    for voice in recipe.voices:
        begins, ends = _span(voice, recipe, rate)
        first, last = max(start, begins), min(end, ends)
        if first >= last or not voice.level:
            continue
        gain = _gain(voice, begins, ends, first, last, rate)
        samples = sound(voice, first, last - first, rate) * gain
        window = slice(first - start, last - start)
        (both if samples.ndim == 1 else ears)[..., window] += samples
        loudest[window] += voice.level * gain
    mixed = (both + ears).T
    return mixed if loudest.max() <= MAX_VOLUME else limit(mixed, loudest)


def _span(voice: AnyVoice, recipe: Recipe, rate: int) -> tuple[int, int]:
    """The samples from and to which a voice sounds."""
    end = frames_of(recipe, rate)
    return round(voice.begins_s * rate), end if voice.ends_s is None else min(round(voice.ends_s * rate), end)


def _gain(voice: AnyVoice, begins: int, ends: int, start: int, end: int, rate: int) -> Samples | float:
    """The fades of a voice over a window within it: 1 where it has none. Where there is no room for both, one has more than half
    only where the other leaves it."""
    rising, falling = (
        round((FADE_S if isinstance(fade, UnsetType) else fade) * rate) for fade in (voice.fade_in_s, voice.fade_out_s)
    )
    length, half = ends - begins, (ends - begins) // 2
    rising, falling = (min(one, max(half, length - other)) for one, other in ((rising, falling), (falling, rising)))
    if start >= begins + rising and end <= ends - falling:
        return 1.0
    return rise(start - begins, end - start, rising) * rise(ends - end + 1, end - start, falling)[::-1]

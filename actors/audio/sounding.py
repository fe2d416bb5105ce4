"""What a device's voices sound like at a moment of the server's time: a pure function, alike however a span is cut.

Time is counted in samples since 1970 (UTC), so that windows join without rounding (2**53 of them last for 6,000 years).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from actors.audio.events import Voice
from actors.audio.mix import limit, rise
from actors.audio.render import render
from actors.audio.state import at_once
from actors.audio.values import CHANNELS, FADE_S, MAX_VOLUME, SAMPLE_RATE

Samples = NDArray[np.float32]
_FULL = 32_768.0


def sound(voices: Iterable[Voice], start: int, count: int, rate: int = SAMPLE_RATE) -> Samples:
    """(count, 2) float32 from sample ``start`` of the server's time on: the sum of the voices, limited to ``MAX_VOLUME``."""
    total, loudest = np.zeros((count, CHANNELS)), np.zeros(count)
    for voice in voices:
        begins, first, end = span(voice, rate)
        at, until = max(start, first), min(start + count, end)
        if at >= until:
            continue
        window = slice(at - start, until - start)
        fade = round(FADE_S * rate)
        gain = rise(at - first, until - at, fade) if begins < first < at + fade else 1.0
        total[window] += _samples(voice, at - begins, until - at, rate) * np.reshape(gain, (-1, 1))
        loudest[window] += (
            _level(voice) * rise(at - first, until - at, fade) * rise(end - until, until - at, fade)[::-1]
        )
    mixed = total if loudest.max(initial=0.0) <= MAX_VOLUME else limit(total, loudest)
    return mixed.astype(np.float32)


def span(voice: Voice, rate: int) -> tuple[int, int, int]:
    """Where its sample 0 would be, where it begins (somewhere in its middle, perhaps) and where it has ended."""
    anchor, place = voice.timeline.anchor_at, voice.timeline.position_s
    assert anchor is not None, "a device's voice runs"
    first = round(anchor.timestamp() * rate)
    begins = first - round(place * rate)
    length = len(_sampled(voice)) / SAMPLE_RATE if voice.recipe is None else voice.recipe.duration_s
    return begins, first, begins + round(length * rate)


def _samples(voice: Voice, start: int, count: int, rate: int) -> Samples:
    if voice.recipe is not None:
        return render(voice.recipe, start, count, rate)
    samples = _sampled(voice)
    at = (start + np.arange(count)) * (SAMPLE_RATE / rate)
    first, last = max(0, int(at[0])), min(len(samples), int(at[-1]) + 2)
    known = np.arange(first, last)
    ears = [np.interp(at, known, ear / _FULL, left=0.0, right=0.0) for ear in samples[first:last].T]
    found = np.stack(ears * (CHANNELS // len(ears)), axis=1)
    found *= np.reshape(_edges(start, count, round(len(samples) * rate / SAMPLE_RATE), rate), (-1, 1))
    return found.astype(np.float32)


def _sampled(voice: Voice) -> NDArray[np.int16]:
    """(n, channels) of a voice of samples."""
    channels = 1 if voice.channels is UNSET else voice.channels
    return np.frombuffer(voice.samples, dtype="<i2").reshape(-1, channels)


def _edges(start: int, count: int, length: int | None, rate: int) -> NDArray[np.float64] | float:
    """The fade at the beginning of what is so long, and at its end, over a window of it."""
    fade = round(FADE_S * rate)
    gain: NDArray[np.float64] | float = 1.0 if start >= fade else rise(start, count, fade)
    if length is not None and start + count > length - fade:
        gain = gain * rise(length - start - count + 1, count, fade)[::-1]
    return gain


def _level(voice: Voice) -> float:
    """A bound of what it can be."""
    if voice.recipe is None:
        return 1.0
    return min(MAX_VOLUME, _peak(voice))


@lru_cache(maxsize=256)
def _peak(voice: Voice) -> float:
    assert voice.recipe is not None
    return at_once(voice.recipe, lambda each: each.level)

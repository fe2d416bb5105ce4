"""What each kind of voice sounds like, before its fades: float64 samples by their absolute index.

``sound`` gives (count,) where both ears hear the same, (2, count) where they do not.
"""

from __future__ import annotations

import numpy as np

from actors.audio.bowl import bowl_wave
from actors.audio.phasors import Partials, Samples, wave
from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Pulse, Sine


def sound(voice: AnyVoice, start: int, count: int, rate: int) -> Samples:
    """``count`` samples of a voice, from sample ``start`` on, at which it began already."""
    match voice:
        case Sine():
            return _sines((voice.frequency,), voice.level, start, count, rate)
        case Bowl():
            return bowl_wave(voice, start, count, rate)
        case Binaural():
            left, right = (voice.carrier + side * voice.beat / 2 for side in (-1, 1))
            return np.stack([_sines((each,), voice.level, start, count, rate) for each in (left, right)])
        case Chord():
            return _sines(voice.frequencies, voice.level / len(voice.frequencies), start, count, rate)
        case Pulse():
            return _pulse(voice, start, count, rate)


def _sines(hz: tuple[float, ...], amplitude: float, start: int, count: int, rate: int) -> Samples:
    return wave(Partials.steady(hz, amplitude).below(rate / 2), start, count, rate)


def _pulse(voice: Pulse, start: int, count: int, rate: int) -> Samples:
    """level · sin(2πct) · (1 − cos 2πft)/2: silent at each of its minima. As partials, by sin a · cos b =
    (sin(a + b) + sin(a − b))/2: the carrier at level/2, and c ± f at −level/4."""
    c, f, half = voice.carrier, voice.frequency, voice.level / 2
    partials = Partials((c, c + f, c - f), (half, -half / 2, -half / 2), (0.0,) * 3)
    return wave(partials.below(rate / 2), start, count, rate)

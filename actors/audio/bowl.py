"""A singing bowl: modes in close pairs that beat, each with its own decay, struck again and again.

The ratios are STK's Tibetan bowl (Essl & Cook, ICMC 2002). A mode at f Hz decays with its damping ratio ζ, the same for all:
T60 = ln(1000) / (ζ · 2πf), so high modes are gone first. What nobody measured is ours and stands below as a constant: ζ,
and that a mode above the lowest pair is as loud as ``harmonic_strength`` / its ratio.

A strike brings every mode back to its full level and leaves its phase alone: over ``values.FADE_S`` what rang gives way to what
rings from now on. So the peak stays below the voice's level however often it is struck, and two strikes are all that any
sample depends on. Rejected: adding each strike to what still rings; their sum has no bound that the level could state.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi
from typing import Final

import numpy as np

from actors.audio.mix import rise
from actors.audio.phasors import Partials, Samples, wave
from actors.audio.recipe import Bowl
from actors.audio.values import FADE_S

RATIOS: Final = (
    0.996108, 1.003892, 2.979178, 2.993298, 5.704452, 8.9982, 9.015497, 12.807382, 12.83303, 17.2808, 21.9760,
)  # fmt: skip
LOWEST: Final = 2
"""How many modes the lowest pair has."""
DAMPING: Final = 1e-4
"""ζ: a bowl of 432 Hz rings 25 s to −60 dB, one of 136.1 Hz 81 s."""
TREMOLO_HZ: Final = 0.2
"""Of ``modulation_depth``: one swell in five seconds, slower than any beat of a pair."""


@lru_cache(maxsize=256)
def modes(bowl: Bowl, rate: int) -> Partials:
    """The modes that the rate can carry; their amplitudes add up to the voice's level."""
    ratios = RATIOS if bowl.harmonics else RATIOS[:LOWEST]
    shares = [1.0 if n < LOWEST else bowl.harmonic_strength / ratio for n, ratio in enumerate(ratios)]
    hz = tuple(bowl.frequency * ratio for ratio in ratios)
    decays = tuple(2 * pi * DAMPING * each if bowl.envelopes else 0.0 for each in hz)
    kept = Partials(hz, tuple(shares), decays).below(rate / 2)
    total = sum(kept.amplitudes)
    return kept._replace(amplitudes=tuple(bowl.level * share / total for share in kept.amplitudes))


def bowl_wave(bowl: Bowl, start: int, count: int, rate: int) -> Samples:
    """``count`` samples from sample ``start`` on, which is no earlier than the first strike."""
    partials = modes(bowl, rate)
    first = round(bowl.first_strike_s * rate)
    found = _struck(bowl, partials, first, start, count, rate) if bowl.envelopes else wave(partials, start, count, rate)
    if bowl.modulation_depth:
        swell = wave(Partials.steady((TREMOLO_HZ,), 1.0), start + round(rate / TREMOLO_HZ / 4), count, rate)
        found *= 1 - bowl.modulation_depth * (1 - swell) / 2
    return found


def _struck(bowl: Bowl, partials: Partials, begins: int, start: int, count: int, rate: int) -> Samples:
    every = round(bowl.strike_every_s * rate)
    if not every:
        return wave(partials, start, count, rate, struck_at=begins)
    found = np.empty(count)
    at = start
    while at < start + count:
        struck_at = begins + (at - begins) // every * every
        until = min(struck_at + every, start + count)
        piece = wave(partials, at, until - at, rate, struck_at=struck_at)
        if struck_at > begins:
            _let_ring(piece, partials, at, struck_at, every, rate)
        found[at - start : until - start] = piece
        at = until
    return found


def _let_ring(piece: Samples, partials: Partials, at: int, struck_at: int, every: int, rate: int) -> None:
    """What rang before the strike gives way to ``piece``, which begins at sample ``at``, while the mallet touches the bowl."""
    touched = min(struck_at + round(FADE_S * rate), at + len(piece)) - at
    if touched <= 0:
        return
    before = wave(partials, at, touched, rate, struck_at=struck_at - every)
    piece[:touched] = before + rise(at - struck_at, touched, round(FADE_S * rate)) * (piece[:touched] - before)

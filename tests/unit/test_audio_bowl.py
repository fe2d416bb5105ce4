"""The bowl against the figures of domain.md: ratios, beat, decay, strikes."""

from __future__ import annotations

from math import log, pi

import numpy as np
import pytest

from actors.audio.bowl import DAMPING, RATIOS, modes
from actors.audio.recipe import Bowl, Recipe
from actors.audio.render import render
from actors.audio.spectrum import spectrum
from actors.audio.values import FADE_S

RATE = 44_100


def amplitude_at(bowl: Bowl, second: float, hz: float, seconds: float = 1.0) -> float:
    """Of one mode alone, by a Hann window's correlation with it."""
    count = round(seconds * RATE)
    samples = render(Recipe(voices=(bowl,), duration_s=120.0), round(second * RATE), count)[:, 0]
    n = np.arange(count)
    window = np.hanning(count)
    return float(2 * abs((samples * window * np.exp(-2j * np.pi * hz * n / RATE)).sum()) / window.sum())


def test_the_modes_are_the_tibetan_bowls() -> None:
    found = modes(Bowl(frequency=200.0, level=0.6), RATE)
    assert found.hz == tuple(200.0 * ratio for ratio in RATIOS)
    assert len(RATIOS) == 11
    assert sum(found.amplitudes) == pytest.approx(0.6)
    assert found.hz[1] - found.hz[0] == pytest.approx(200.0 * 0.007784, rel=1e-3)


def test_a_mode_has_decayed_by_sixty_decibels_after_its_t60() -> None:
    found = modes(Bowl(frequency=432.0), RATE)
    for hz, decay in zip(found.hz, found.decays, strict=True):
        t60 = log(1_000) / (DAMPING * 2 * pi * hz)
        assert np.exp(-decay * t60) == pytest.approx(1e-3)


def test_what_sounds_decays_as_it_should() -> None:
    bowl = Bowl(frequency=432.0, strike_every_s=0.0, level=0.8)
    hz = modes(bowl, RATE).hz[4]
    t60 = log(1_000) / (DAMPING * 2 * pi * hz)
    early, late = (amplitude_at(bowl, second, hz) for second in (1.0, 3.0))
    assert 20 * np.log10(late / early) == pytest.approx(-60 * 2.0 / t60, abs=0.05)


def test_the_lowest_pair_beats() -> None:
    bowl = Bowl(frequency=432.0, harmonics=False, envelopes=False)
    period = 1 / (432.0 * (RATIOS[1] - RATIOS[0]))
    samples = render(Recipe(voices=(bowl,), duration_s=60.0), 0, 60 * RATE)[:, 0]
    node = round(period / 2 * RATE)
    assert (
        np.abs(samples[node - 20 : node + 20]).max()
        < 0.01
        < 0.49
        < np.abs(samples[2 * node - 100 : 2 * node + 100]).max()
    )


def test_without_envelopes_it_hums_and_without_harmonics_it_is_its_pair() -> None:
    hum = Bowl(frequency=432.0, envelopes=False, harmonics=False)
    assert amplitude_at(hum, 100.0, 432.0 * RATIOS[0], 10.0) == pytest.approx(0.25, abs=1e-3)
    heard = spectrum(render(Recipe(voices=(hum,), duration_s=60.0), 0, 2**17), RATE)
    assert sorted(heard.frequencies[:2]) == [pytest.approx(432.0 * ratio, abs=0.01) for ratio in RATIOS[:2]]
    assert max(heard.amplitudes[2:], default=0.0) < 1e-3


def test_a_strike_brings_every_mode_back_without_a_step() -> None:
    bowl = Bowl(frequency=432.0, strike_every_s=5.0, harmonic_strength=1.0, level=0.8)
    hz = modes(bowl, RATE).hz[4]
    assert amplitude_at(bowl, 5.05, hz, 0.25) == pytest.approx(amplitude_at(bowl, 0.05, hz, 0.25), rel=1e-3)
    samples = render(Recipe(voices=(bowl,), duration_s=20.0), 0, 16 * RATE)[:, 0].astype(np.float64)
    found = modes(bowl, RATE)
    slope = sum(2 * pi * f * a for f, a in zip(found.hz, found.amplitudes, strict=True)) / RATE
    slope += 0.8 * pi / 2 / (FADE_S * RATE)
    assert np.abs(np.diff(samples)).max() < slope
    assert np.abs(samples).max() <= 0.8


def test_however_often_it_is_struck_it_stays_below_its_level() -> None:
    bowl = Bowl(frequency=432.0, strike_every_s=0.1, level=0.8)
    assert np.abs(render(Recipe(voices=(bowl,), duration_s=20.0), 0, 10 * RATE)).max() <= 0.8


def test_a_swell_is_as_deep_as_it_is_said_and_begins_at_the_top() -> None:
    bowl = Bowl(frequency=432.0, envelopes=False, harmonics=False, modulation_depth=0.6)
    plain = Bowl(frequency=432.0, envelopes=False, harmonics=False)
    swollen, straight = (render(Recipe(voices=(each,), duration_s=20.0), 0, 10 * RATE)[:, 0] for each in (bowl, plain))
    loud = np.abs(straight) > 0.05
    gain = swollen[loud] / straight[loud]
    assert gain.min() == pytest.approx(0.4, abs=1e-3)
    assert gain.max() == pytest.approx(1.0, abs=1e-3)
    assert gain[0] == pytest.approx(1.0, abs=1e-3)


def test_a_bowl_that_is_too_high_for_the_rate_loses_modes_and_not_its_level() -> None:
    assert len(modes(Bowl(frequency=10_000.0), RATE).hz) == 2
    assert sum(modes(Bowl(frequency=10_000.0), RATE).amplitudes) == pytest.approx(0.5)


def test_strikes_closer_than_a_touch_are_refused() -> None:
    with pytest.raises(ValueError, match="strike_every_s"):
        Bowl(frequency=432.0, strike_every_s=0.05)

"""Spectra against closed forms: Hz, level, and no peak that is not there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audio.spectrum import BANDS, PEAKS_MAX, WINDOW, linear_bands, spectrum

RATE = 44_100
N = np.arange(WINDOW)


def sine(hz: float, level: float = 0.5, phase: float = 0.0) -> np.ndarray:
    found: np.ndarray = level * np.sin(2 * np.pi * hz * N / RATE + phase)
    return found


@given(hz=st.floats(136, 741), level=st.floats(0.001, 0.8), phase=st.floats(0, 6.3))
def test_a_sine_is_found_where_it_is_and_as_loud_as_it_is(hz: float, level: float, phase: float) -> None:
    found = spectrum(sine(hz, level, phase), RATE)
    assert found.frequencies == (pytest.approx(hz, abs=1e-4),)
    assert 20 * np.log10(found.amplitudes[0] / level) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("hz", [40.0, 5_000.0, 12_345.6, 19_999.0])
def test_lower_and_higher_ones_too(hz: float) -> None:
    found = spectrum(sine(hz), RATE)
    assert found.frequencies[0] == pytest.approx(hz, abs=0.1)
    assert found.amplitudes[0] == pytest.approx(0.5, rel=0.01)


def test_tones_of_different_levels_are_all_found_the_loudest_first() -> None:
    found = spectrum(sine(136.1, 0.1) + sine(528, 0.4) + sine(741, 0.01), RATE)
    assert found.frequencies == tuple(pytest.approx(hz, abs=0.05) for hz in (528, 136.1, 741))
    assert found.amplitudes == tuple(pytest.approx(level, rel=0.02) for level in (0.4, 0.1, 0.01))


def test_each_ear_is_measured_apart() -> None:
    found = spectrum(np.stack([sine(300, 0.5), sine(310, 0.25)], axis=1), RATE)
    assert found.frequencies == (pytest.approx(300, abs=0.01), pytest.approx(310, abs=0.01))
    assert found.amplitudes == (pytest.approx(0.5, abs=1e-3), pytest.approx(0.25, abs=1e-3))


def test_a_tone_in_both_ears_is_one() -> None:
    assert len(spectrum(np.stack([sine(300), sine(300, 0.2)], axis=1), RATE).frequencies) == 1


@pytest.mark.parametrize(
    "samples", [np.zeros(WINDOW), np.zeros((WINDOW, 2)), np.zeros((0, 2)), np.ones(15), 1e-6 * sine(440)]
)
def test_silence_and_scraps_have_no_peak(samples: np.ndarray) -> None:
    found = spectrum(samples, RATE)
    assert (found.frequencies, found.amplitudes) == ((), ())
    assert found.bands == (0.0,) * BANDS
    assert linear_bands(samples[:0], RATE) == (0.0,) * BANDS


def test_noise_has_no_more_peaks_than_may_be() -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, WINDOW)
    assert len(spectrum(noise, RATE).frequencies) == PEAKS_MAX


@pytest.mark.parametrize("hz", [25.0, 136.1, 528.0, 1_234.0, 18_000.0])
def test_the_band_of_a_tone_is_the_greatest_and_says_how_loud_it_is(hz: float) -> None:
    found = np.asarray(spectrum(sine(hz, 0.5), RATE).bands)
    band = int(np.log(hz / 20) / np.log(1_000) * BANDS)
    assert found[band] == found.max()
    assert found.max() == pytest.approx(1 - 20 * np.log10(2) / 80, abs=0.02)
    assert ((found >= 0) & (found <= 1)).all()


def test_linear_bands_are_of_equal_width() -> None:
    found = linear_bands(sine(528, 0.4), RATE)
    assert len(found) == 64
    assert int(np.argmax(found)) == int(528 / (1_000 / 64))
    assert max(found) == pytest.approx(0.4, rel=0.15)  # of a bin, up to 1.4 dB beside the tone
    assert linear_bands(sine(5_000), RATE)[10] < 1e-4

"""Sums of sines against their formula in exact arithmetic, anywhere in a day."""

from __future__ import annotations

from fractions import Fraction
from math import exp, pi, sin

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audio.phasors import ROW, Partials, wave

RATE = 44_100
DAY = 86_400 * RATE
EXACT = 1e-9
"""What ``render`` promises of a sample before it is a float32."""


def exactly(partials: Partials, n: int, struck_at: int = 0, rate: int = RATE) -> float:
    """One sample. The phase is a fraction until its whole turns are gone, so no digit of it is lost."""
    total = 0.0
    for hz, amplitude, decay in zip(*partials, strict=True):
        turn = Fraction(hz) * n / rate % 1
        total += amplitude * exp(-decay * (n - struck_at) / rate) * sin(2 * pi * float(turn))
    return total


hertz = st.floats(0.01, 20_000)


@given(hz=st.lists(hertz, min_size=1, max_size=4), start=st.integers(0, DAY), rate=st.sampled_from([RATE, 48_000]))
def test_a_sample_is_its_formula_also_after_a_day(hz: list[float], start: int, rate: int) -> None:
    partials = Partials.steady(tuple(hz), 0.25)
    found = wave(partials, start, ROW + 3, rate)
    for k in (0, 1, ROW - 1, ROW, ROW + 2):
        assert found[k] == pytest.approx(exactly(partials, start + k, rate=rate), abs=EXACT)


@given(hz=hertz, decay=st.floats(0, 500), since=st.integers(0, 10 * RATE), struck_at=st.integers(0, DAY))
def test_a_decay_counts_from_the_strike_and_not_from_the_window(
    hz: float, decay: float, since: int, struck_at: int
) -> None:
    partials, start = Partials((hz,), (0.8,), (decay,)), struck_at + since
    found = wave(partials, start, 5, RATE, struck_at=struck_at)
    for k in range(5):
        assert found[k] == pytest.approx(exactly(partials, start + k, struck_at), abs=EXACT)


def test_what_has_decayed_is_nothing_and_no_denormal_number() -> None:
    found = wave(Partials((440.0,), (0.8,), (5.0,)), 3_600 * RATE, 4_000, RATE)
    assert not found.any()


def test_a_frequency_below_zero_is_the_sine_upside_down() -> None:
    up, down = (wave(Partials.steady((hz,), 1.0), 12_345, 100, RATE) for hz in (30.0, -30.0))
    assert np.abs(up + down).max() < EXACT


def test_what_a_rate_cannot_carry_is_left_out() -> None:
    assert Partials.steady((100.0, 4_000.0, 30_000.0), 0.1).below(4_000.0).hz == (100.0,)
    assert Partials.steady((5_000.0,), 0.1).below(4_000.0) == ((), (), ())
    assert not wave(Partials((), (), ()), 0, 10, RATE).any()
    assert len(wave(Partials.steady((1.0,), 1.0), 0, 0, RATE)) == 0

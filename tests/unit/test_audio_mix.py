"""Ramps and the limiter: bounds, slopes, and that nothing is touched that need not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.audio.mix import KNEE, limit, rise
from actors.audio.values import MAX_VOLUME

LINE = np.linspace(-60, 60, 240_001)


def test_a_ramp_goes_from_nothing_to_all_and_its_mirror_completes_it() -> None:
    up = rise(-5, 900, 882)
    assert not up[:6].any()
    assert (up[5 + 882 :] == 1).all()
    middle = rise(0, 883, 882)
    assert middle + middle[::-1] == pytest.approx(1)
    assert np.diff(middle).max() == pytest.approx(np.pi / 2 / 882, rel=1e-3)


def test_the_limiter_is_the_identity_up_to_its_knee_and_never_reaches_its_ceiling_by_a_corner() -> None:
    found = limit(LINE)
    inside = np.abs(LINE) <= KNEE
    assert (found[inside] == LINE[inside]).all()
    assert np.abs(found).max() <= MAX_VOLUME
    slopes = np.diff(found) / np.diff(LINE)
    assert (slopes >= 0).all()
    assert np.abs(np.diff(slopes)).max() < 0.01, "no corner: the slope is continuous"


@given(loudest=st.floats(0, 60))
def test_whatever_the_bound_the_ceiling_holds_and_order_is_kept(loudest: float) -> None:
    possible = LINE[np.abs(LINE) <= loudest]
    found = limit(possible, loudest)
    assert np.abs(found).max(initial=0) <= MAX_VOLUME + 1e-12
    assert (np.diff(found) >= -1e-15).all()


def test_what_cannot_exceed_the_ceiling_is_not_touched() -> None:
    samples = np.linspace(-MAX_VOLUME, MAX_VOLUME, 101)
    assert (limit(samples, MAX_VOLUME) == samples).all()


def test_a_voice_that_joins_moves_the_knee_smoothly() -> None:
    bound = np.linspace(0.7, 1.3, 10_001)
    found = limit(np.full(10_001, 0.7), bound)
    assert np.abs(np.diff(found)).max() < 1e-4


def test_channels_share_a_moments_bound() -> None:
    samples = np.full((2, 2), 0.79)
    assert limit(samples, np.asarray([0.8, 4.0])).tolist() == [
        [0.79, 0.79],
        [pytest.approx(limit(np.asarray([0.79]))[0])] * 2,
    ]

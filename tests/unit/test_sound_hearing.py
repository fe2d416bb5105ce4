from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from test_ws_vajra import session

from actors.audio.recipe import Recipe, Sine
from actors.audio.render import render
from actors.audio.spectrum import WINDOW
from actors.audio.timeline import Timeline
from actors.audio.values import SAMPLE_RATE
from server.sound.follower import payloads
from server.sound.hearing import measured, sounds, window_of, with_peaks
from server.ws.dialects.vajra import BARS, SILENCE
from server.ws.protocol import text_frame

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HALF_S = WINDOW / SAMPLE_RATE / 2


def playing(frequency: float = 528.0, *, ago_s: float = 10.0, position_s: float = 0.0, **fields: Any) -> Any:
    recipe = Recipe(voices=(Sine(frequency=frequency),), duration_s=300)
    timeline = Timeline(position_s=position_s, anchor_at=NOW - timedelta(seconds=ago_s))
    return session(recipe=recipe, timeline=timeline, **fields)


def test_a_window_is_what_sounds_now_in_its_middle() -> None:
    window = window_of(playing(ago_s=10.0, position_s=5.0), NOW)
    assert window.shape == (WINDOW, 2)
    start = 15 * SAMPLE_RATE - WINDOW // 2
    np.testing.assert_array_equal(window, render(playing().recipe, start, WINDOW))


def test_what_was_before_it_went_on_is_not_heard() -> None:
    """A paused session that goes on at 5 s: the sound before that was heard long ago."""
    window = window_of(playing(ago_s=0.01, position_s=5.0), NOW)
    silent = WINDOW // 2 - round(0.01 * SAMPLE_RATE)
    assert not window[:silent].any()
    assert window[silent + 100 :].any()


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({}, True),
        ({"ago_s": -HALF_S - 0.01}, False),
        ({"ago_s": -HALF_S + 0.01}, True),
        ({"ago_s": 300 + HALF_S - 0.01}, True),
        ({"ago_s": 300 + HALF_S + 0.01}, False),
        ({"status": "paused"}, False),
        ({"status": "stopped"}, False),
        ({"ago_s": 290, "position_s": 20}, False),
    ],
)
def test_a_session_sounds_while_it_runs(fields: dict[str, Any], heard: bool) -> None:
    assert sounds(playing(**fields), NOW) is heard


def test_one_that_stands_does_not_sound() -> None:
    assert not sounds(session(timeline=Timeline(position_s=5.0)), NOW)


def test_sessions_that_sound_at_once_are_measured_together() -> None:
    sounding = measured([window_of(playing(each), NOW) for each in (136.1, 528.0, 852.0)])
    found = dict(zip(sounding.frequencies, sounding.amplitudes, strict=True))
    assert sorted(round(each, 1) for each in found) == [136.1, 528.0, 852.0]
    assert all(level == pytest.approx(0.5, abs=0.005) for level in found.values())
    loud = [bar for bar, level in enumerate(sounding.bars) if level > 0.3]
    assert {int(each / 1000 * 64) for each in (136.1, 528.0, 852.0)} <= set(loud)
    assert len(loud) <= 6  # a tone at a bar's edge is in both
    assert all(0 <= bar <= 1 for bar in sounding.bars)


def test_more_than_full_scale_is_a_full_bar() -> None:
    sounding = measured([window_of(playing(), NOW)] * 4)
    assert max(sounding.bars) == 1.0
    assert sounding.amplitudes[0] == pytest.approx(2.0, abs=0.01)


def test_what_a_device_measured_is_added_and_what_is_there_already_counts_once() -> None:
    assert with_peaks(SILENCE, {}) is SILENCE
    alone = with_peaks(SILENCE, {440.0: 0.3, 1_500.0: 0.6, 990.0: 1.4})
    assert (alone.frequencies, alone.amplitudes) == ((990.0, 1_500.0, 440.0), (1.4, 0.6, 0.3))
    assert {bar: level for bar, level in enumerate(alone.bars) if level} == {28: 0.3, 63: 1.0}
    sounding = measured([window_of(playing(528.0), NOW)])
    both = with_peaks(sounding, {529.0: 0.7, 700.0: 0.1})
    assert (both.frequencies, both.amplitudes) == ((529.0, 700.0), (0.7, 0.1))
    assert (len(both.bars), max(both.bars)) == (BARS, 0.7)


def test_frames_that_were_joined_are_taken_apart() -> None:
    texts = [b"", b"{}", b"x" * 125, b"x" * 126, b"y" * 65_535, b"z" * 65_536]
    assert list(payloads(b"".join(map(text_frame, texts)))) == texts
    assert list(payloads(b"")) == []

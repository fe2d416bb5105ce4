from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from driving import BEGIN, uuid
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from actors.audio.events import Voice
from actors.audio.recipe import Bowl, Recipe, Sine
from actors.audio.render import render
from actors.audio.sounding import Samples, sound
from actors.audio.timeline import Timeline
from actors.audio.values import FADE_S, MAX_VOLUME, SAMPLE_RATE

ZERO = round(BEGIN.timestamp() * SAMPLE_RATE)
FADE = round(FADE_S * SAMPLE_RATE)


def voice(n: int = 1, *, level: float = 0.5, starts_s: float = 0.0, position_s: float = 0.0, **more: Any) -> Voice:
    recipe = Recipe(voices=(more.get("sounds") or Sine(frequency=more.get("hz", 432.0), level=level),), duration_s=2.0)
    timeline = Timeline(position_s=position_s, anchor_at=BEGIN + timedelta(seconds=starts_s))
    ends_at = timeline.ends_at(recipe.duration_s)
    assert ends_at is not None
    return Voice(id=uuid(n), owner=uuid(0), timeline=timeline, ends_at=ends_at, recipe=recipe)


def sampled(values: Samples) -> Voice:
    data = np.round(values * 32_767).astype("<i2").tobytes()
    ends_at = BEGIN + timedelta(seconds=len(values) / SAMPLE_RATE)
    return Voice(id=uuid(9), owner=uuid(0), timeline=Timeline(anchor_at=BEGIN), ends_at=ends_at, samples=data)


def test_samples_of_two_ears_are_never_mixed() -> None:
    left, right = np.sin(np.arange(20_000) / 20), np.sin(np.arange(20_000) / 31)
    both, ears = np.stack((left, right), axis=1), sampled(left)
    both_voice = structs.replace(ears, samples=np.round(both * 32_767).astype("<i2").tobytes(), channels=2)
    for rate, count in ((SAMPLE_RATE, 20_000), (48_000, 21_000)):
        start = round(BEGIN.timestamp() * rate)
        heard = sound([both_voice], start, count, rate)
        for ear, of in enumerate((left, right)):
            assert np.array_equal(heard[:, ear], sound([sampled(of)], start, count, rate)[:, ear])


def rendered(one: Voice, start: int, count: int) -> Samples:
    assert one.recipe is not None
    return render(one.recipe, start, count)


def test_a_voice_sounds_at_the_position_that_its_timeline_has_then() -> None:
    assert np.array_equal(sound([voice()], ZERO + 1_000, 500), rendered(voice(), 1_000, 500))
    later = voice(starts_s=1.0, position_s=0.5)
    heard = sound([later], ZERO + SAMPLE_RATE + 5_000, 500)
    assert np.array_equal(heard, rendered(later, SAMPLE_RATE // 2 + 5_000, 500))


def test_it_is_silent_before_it_begins_and_from_its_end_on() -> None:
    one = voice(starts_s=0.1, position_s=1.5)
    heard = sound([one], ZERO, SAMPLE_RATE)
    assert not heard[: SAMPLE_RATE // 10].any()
    assert not heard[round(0.6 * SAMPLE_RATE) :].any()
    assert heard[SAMPLE_RATE // 10 + FADE : round(0.6 * SAMPLE_RATE) - FADE].any()


def test_what_begins_in_its_middle_fades_in() -> None:
    heard = sound([voice(position_s=0.7512, hz=100.0)], ZERO - 100, 4_000)[:, 0]
    slope = 0.5 * (2 * np.pi * 100 / SAMPLE_RATE + np.pi / 2 / FADE)
    assert np.abs(np.diff(heard)).max() <= slope * 1.01


@given(st.lists(st.integers(1, 9_000), min_size=1, max_size=6), st.floats(-0.1, 1.9))
def test_it_is_alike_however_it_is_cut(cuts: list[int], starts_s: float) -> None:
    voices = [
        voice(1, starts_s=0.2, level=0.7),
        voice(2, position_s=0.3, hz=700.0, level=0.8),
        voice(3, sounds=Bowl(frequency=136.1)),
        sampled(np.sin(np.arange(30_000) / 20)),
    ]
    start = ZERO + round(starts_s * SAMPLE_RATE)
    whole = sound(voices, start, sum(cuts))
    at, parts = start, []
    for count in cuts:
        parts.append(sound(voices, at, count))
        at += count
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-6)


def test_the_sum_never_exceeds_the_limit_and_few_are_not_touched() -> None:
    crowd = [voice(n, hz=100.0 + 37 * n, level=0.8) for n in range(20)]
    heard = sound(crowd, ZERO, SAMPLE_RATE)
    assert np.abs(heard).max() <= MAX_VOLUME + 1e-6
    pair = [voice(1, level=0.4), voice(2, hz=777.0, level=0.4)]
    apart = sound(pair[:1], ZERO, 9_000).astype(float) + sound(pair[1:], ZERO, 9_000)
    assert sound(pair, ZERO, 9_000) == pytest.approx(apart, abs=1e-6)


def test_samples_sound_as_they_were_sent_but_for_their_ends() -> None:
    sent = (0.5 * np.sin(np.arange(20_000) / 10)).astype(np.float32)
    heard = sound([sampled(sent)], ZERO, 21_000)
    assert heard[FADE : 20_000 - FADE, 0] == pytest.approx(sent[FADE : 20_000 - FADE], abs=1e-4)
    assert np.array_equal(heard[:, 0], heard[:, 1])
    assert not heard[20_000:].any()
    assert abs(heard[0, 0]) < 1e-3
    assert abs(heard[19_999, 0]) < 1e-3


def test_a_device_of_another_rate_plays_the_same_sound() -> None:
    sent = (0.5 * np.sin(2 * np.pi * 441 * np.arange(SAMPLE_RATE) / SAMPLE_RATE)).astype(np.float32)
    start = round(BEGIN.timestamp() * 48_000)
    heard = sound([sampled(sent)], start, 48_000, 48_000)[2_000:46_000, 0]
    expected = 0.5 * np.sin(2 * np.pi * 441 * np.arange(2_000, 46_000) / 48_000)
    assert heard == pytest.approx(expected, abs=2e-3)

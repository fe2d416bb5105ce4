"""What sounds, against closed forms: any cut, every edge, both ears, the ceiling."""

from __future__ import annotations

import time
from math import pi

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.audio.mix import rise
from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Pulse, Recipe, Sine
from actors.audio.render import frames_of, render
from actors.audio.spectrum import spectrum
from actors.audio.values import FADE_S, MAX_VOLUME

RATE = 44_100
FADE = round(FADE_S * RATE)

levels = st.floats(0, 0.8)
hertz = st.floats(20, 18_000)
fades = st.sampled_from([FADE_S, FADE_S, 0.3])
spans = st.fixed_dictionaries(
    {
        "level": levels,
        "begins_s": st.floats(0, 0.5),
        "ends_s": st.none() | st.floats(0, 1),
        "fade_in_s": fades,
        "fade_out_s": fades,
    }
)


def voices_of(kind: str) -> st.SearchStrategy[AnyVoice]:
    match kind:
        case "sine":
            return st.builds(lambda span, f: Sine(frequency=f, **span), spans, hertz)
        case "bowl":
            every = st.sampled_from([0.0, 0.1, 0.15, 20.0])
            return st.builds(
                lambda span, f, s, d, e: Bowl(frequency=f, modulation_depth=d, strike_every_s=s, envelopes=e, **span),
                spans, hertz, every, st.floats(0, 1), st.booleans(),
            )  # fmt: skip
        case "binaural":
            return st.builds(lambda span, f, b: Binaural(carrier=f, beat=b, **span), spans, hertz, st.floats(0.1, 100))
        case "chord":
            several = st.lists(hertz, min_size=1, max_size=5).map(tuple)
            return st.builds(lambda span, f: Chord(frequencies=f, **span), spans, several)
        case _:
            return st.builds(lambda span, f, c: Pulse(frequency=f, carrier=c, **span), spans, st.floats(0.1, 20), hertz)


voices = st.sampled_from(["sine", "bowl", "binaural", "chord", "pulse"]).flatmap(voices_of)
recipes = st.builds(
    lambda found, duration: Recipe(voices=tuple(found), duration_s=duration),
    st.lists(voices, min_size=1, max_size=4),
    st.floats(0.01, 1),
)


@settings(max_examples=60)
@given(recipe=recipes, start=st.integers(-500, 40_000), cuts=st.lists(st.integers(0, 6_000), max_size=6))
def test_however_a_span_is_cut_it_sounds_the_same(recipe: Recipe, start: int, cuts: list[int]) -> None:
    at, parts = start, []
    for count in cuts:
        parts.append(render(recipe, at, count))
        at += count
    whole = render(recipe, start, at - start)
    assert whole.dtype == np.float32
    assert np.abs(np.concatenate([np.zeros((0, 2)), *parts]) - whole).max(initial=0) <= 2**-24


@settings(max_examples=60)
@given(recipe=recipes)
def test_nothing_is_above_the_ceiling_and_nothing_before_or_after(recipe: Recipe) -> None:
    total = frames_of(recipe)
    found = render(recipe, -100, total + 200)
    assert np.abs(found).max() <= np.float32(MAX_VOLUME) + 1e-6
    assert not found[:100].any()
    assert not found[100 + total :].any()


def slope_of(voice: AnyVoice, fade: int) -> float:
    """The greatest step a voice may make from sample to sample: of its sines, and of its fade."""
    match voice:
        case Sine(frequency=f):
            steepest = f
        case Binaural(carrier=f, beat=b):
            steepest = f + b / 2
        case Chord(frequencies=several):
            steepest = sum(several) / len(several)
        case Pulse(frequency=f, carrier=c):
            steepest = c + f
        case Bowl(frequency=f):
            steepest = 22 * f
    return voice.level * (2 * pi * steepest / RATE + 2 * pi / 2 / fade)


@settings(max_examples=60)
@given(recipe=recipes.filter(lambda each: each.duration_s > 0.2))
def test_no_step_is_greater_than_the_slopes_allow(recipe: Recipe) -> None:
    ends = [
        recipe.duration_s if voice.ends_s is None else min(voice.ends_s, recipe.duration_s) for voice in recipe.voices
    ]
    fades = [
        max(1, min(FADE, round((end - voice.begins_s) * RATE) // 2))
        for voice, end in zip(recipe.voices, ends, strict=True)
    ]
    bound = sum(slope_of(voice, fade) for voice, fade in zip(recipe.voices, fades, strict=True))
    moving = sum(
        voice.level * pi / fade for voice, fade in zip(recipe.voices, fades, strict=True)
    )  # the limiter's knee
    steps = np.abs(np.diff(render(recipe, -10, frames_of(recipe) + 20).astype(np.float64), axis=0))
    assert steps.max() <= bound + moving + 1e-6


def test_a_sine_keeps_its_phase_for_a_day_and_its_peak_is_its_level() -> None:
    recipe = Recipe(voices=(Sine(frequency=528.0, level=0.5),), duration_s=86_400.0)
    start = 86_399 * RATE - 7
    n = start + np.arange(4_410)
    expected = 0.5 * np.sin(2 * np.pi * (528 * n % RATE) / RATE)
    found = render(recipe, start, 4_410)
    assert np.abs(found[:, 0] - expected).max() < 1e-7
    assert (found[:, 0] == found[:, 1]).all()
    assert np.abs(found).max() == pytest.approx(0.5, abs=1e-4)


def test_fades_are_at_every_edge_and_as_long_as_they_should_be() -> None:
    recipe = Recipe(voices=(Sine(frequency=10_000.0, begins_s=0.1, ends_s=0.3, level=0.8),), duration_s=1.0)
    found = np.abs(render(recipe, 0, RATE)[:, 0])
    first, last = round(0.1 * RATE), round(0.3 * RATE)
    assert not found[:first].any()
    assert not found[last:].any()
    ramp = 0.8 * rise(0, FADE, FADE)
    assert (found[first : first + FADE] <= ramp + 1e-6).all()
    assert (found[last - FADE : last] <= 0.8 * rise(1, FADE, FADE)[::-1] + 1e-6).all()
    assert found[first + FADE : last - FADE].max() > 0.79
    assert FADE_S >= 0.01


def test_a_change_of_volume_is_a_crossfade_that_keeps_the_phase() -> None:
    at = 0.5
    loud = Sine(frequency=528.0, level=0.6, ends_s=at + FADE_S)
    quiet = Sine(frequency=528.0, level=0.2, begins_s=at)
    found = render(Recipe(voices=(loud, quiet), duration_s=1.0), 0, RATE)[:, 0]
    n = np.arange(RATE)
    ramp = rise(-round(at * RATE), RATE, FADE)
    expected = (0.6 + (0.2 - 0.6) * ramp) * np.sin(2 * np.pi * 528 * n / RATE)
    inner = slice(FADE, RATE - FADE)
    assert np.abs(found - expected)[inner].max() < 0.6 * pi / 2 / FADE  # one sample between the two ramps


def test_a_crossfade_of_two_loud_voices_is_not_limited() -> None:
    one = Sine(frequency=300.0, level=0.8, ends_s=0.5 + FADE_S)
    other = Sine(frequency=300.0, level=0.8, begins_s=0.5)
    found = render(Recipe(voices=(one, other), duration_s=1.0), round(0.4 * RATE), round(0.2 * RATE))[:, 0]
    assert np.abs(found).max() == pytest.approx(0.8, abs=0.002)


def test_one_sound_becomes_another_over_seconds_at_a_level_that_stays() -> None:
    before = Sine(frequency=500, level=0.6, ends_s=1.5, fade_out_s=1.0)
    after = Sine(frequency=500, level=0.6, begins_s=0.5, fade_in_s=1.0)
    both = render(Recipe(voices=(before, after), duration_s=2), 0, 88_200)
    alone = render(Recipe(voices=(Sine(frequency=500, level=0.6),), duration_s=2), 0, 88_200)
    assert np.abs(both - alone).max() < 1e-6
    first = render(Recipe(voices=(before,), duration_s=2), 44_100, 1)[0, 0]
    assert first == pytest.approx(alone[44_100, 0] / 2, abs=1e-4), "half of the way, half of the level"


def test_fades_that_are_longer_than_the_voice_share_it() -> None:
    voice = Sine(frequency=5_000, level=0.6, ends_s=0.4, fade_in_s=0.6, fade_out_s=0.1)
    found = np.abs(render(Recipe(voices=(voice,), duration_s=1), 0, 44_100)[:, 0])
    assert found.argmax() == pytest.approx(0.3 * 44_100, rel=0.02)


def test_binaural_tones_are_one_an_ear_and_never_mixed() -> None:
    found = render(Recipe(voices=(Binaural(carrier=432.0, beat=7.83, level=0.4),), duration_s=10.0), RATE, 2**16)
    for ear, hz in enumerate((432 - 7.83 / 2, 432 + 7.83 / 2)):
        heard = spectrum(found[:, ear], RATE)
        assert heard.frequencies == (pytest.approx(hz, abs=0.001),)
        assert heard.amplitudes == (pytest.approx(0.4, abs=1e-4),)


def test_a_chord_has_each_of_its_frequencies_in_equal_shares() -> None:
    hz = (136.1, 528.0, 639.0, 741.0)
    found = spectrum(render(Recipe(voices=(Chord(frequencies=hz, level=0.8),), duration_s=10.0), RATE, 2**16), RATE)
    assert sorted(found.frequencies) == [pytest.approx(each, abs=0.01) for each in hz]
    assert found.amplitudes == (pytest.approx(0.2, abs=1e-3),) * 4


def test_a_pulse_is_the_amplitude_of_its_carrier() -> None:
    recipe = Recipe(voices=(Pulse(frequency=7.83, carrier=136.1, level=0.6),), duration_s=10.0)
    n = RATE + np.arange(RATE)
    expected = 0.6 * np.sin(2 * pi * 136.1 * n / RATE) * (1 - np.cos(2 * pi * 7.83 * n / RATE)) / 2
    assert np.abs(render(recipe, RATE, RATE)[:, 0] - expected).max() < 1e-6


def test_many_loud_voices_are_bent_and_not_clipped() -> None:
    recipe = Recipe(voices=tuple(Sine(frequency=100.0 + 7 * n, level=0.8) for n in range(64)), duration_s=2.0)
    found = render(recipe, 0, 2 * RATE)
    assert 0.79 < np.abs(found).max() <= np.float32(MAX_VOLUME)


def test_what_a_slower_rate_cannot_carry_is_left_out() -> None:
    recipe = Recipe(voices=(Sine(frequency=6_000.0), Sine(frequency=500.0, level=0.25)), duration_s=2.0)
    heard = spectrum(render(recipe, 4_000, 8_000, 8_000), 8_000)
    assert heard.frequencies == (pytest.approx(500, abs=0.01),)


def test_a_voice_that_ends_before_it_begins_and_one_of_two_samples_are_no_trouble() -> None:
    backwards = Sine(frequency=440.0, begins_s=0.9, ends_s=0.1)
    short = Sine(frequency=440.0, begins_s=0.5, ends_s=0.5 + 2 / RATE)
    assert np.abs(render(Recipe(voices=(backwards, short), duration_s=1.0), 0, RATE)).max() < 0.05
    assert render(Recipe(voices=(short,), duration_s=1.0), 5, 0).shape == (0, 2)


def test_a_bowl_is_rendered_far_faster_than_it_sounds() -> None:
    """The target is 200 times; a machine under load gets room. ``sangha bench render`` measures."""
    recipe = Recipe(voices=(Bowl(frequency=136.1),), duration_s=60.0)
    began = time.process_time()
    render(recipe, 0, 10 * RATE)
    assert time.process_time() - began < 10 / 20

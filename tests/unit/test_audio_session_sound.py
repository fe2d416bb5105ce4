"""What an audio session sounds like as it changes: crossfades, strikes, layers, what is forgotten."""

from __future__ import annotations

import itertools
from datetime import timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import OWNER, RATE, end_alarm, made, seen

from actors.audio.presets import Layer
from actors.audio.recipe import Bowl, Recipe, Sine
from actors.audio.render import render
from actors.audio.values import DURATION_MAX_S, FADE_S, VOICES_MAX
from actors.audio_session import commands as c
from actors.audio_session.entity import KEPT
from actors.audio_session.sound import PAST_S, changed
from actors.audio_session.state import LEAD_S


def test_a_change_while_it_runs_is_a_crossfade_a_little_ahead() -> None:
    driver = made(audio_type="pure_sine")
    driver.do(c.Start(), OWNER)
    driver.wait(5 + LEAD_S)
    now = driver.reply(c.UpdateSession(volume=0.2, audio_frequency=528.0), OWNER)
    before, after = now.recipe.voices
    assert (before.frequency, before.begins_s, before.level) == (432.0, 0.0, 0.5)
    assert before.ends_s == pytest.approx(5 + LEAD_S + FADE_S)
    assert (after.frequency, after.level, after.ends_s) == (528.0, 0.2, None)
    assert after.begins_s == pytest.approx(5 + LEAD_S)
    assert (now.volume, now.audio_frequency, now.frequencies) == (0.2, 528.0, (528.0,))
    driver.wait(1)
    driver.do(c.Pause(), OWNER)
    paused = driver.reply(c.UpdateSession(volume=0.3), OWNER)
    assert paused.recipe.voices[-1].begins_s == pytest.approx(6.0)
    assert driver.reply(c.UpdateSession(name="x"), OWNER).recipe == paused.recipe
    longer = driver.reply(c.UpdateSession(duration=20), OWNER).recipe
    assert (longer.voices, longer.duration_s) == (paused.recipe.voices, 20)
    driver.do(c.Stop(), OWNER)
    again = driver.reply(c.Start(), OWNER).recipe
    assert [(voice.begins_s, voice.ends_s, voice.level) for voice in again.voices] == [(0.0, None, 0.3)]


def test_changes_without_end_keep_the_recipe_within_bounds() -> None:
    driver = made(frequencies=tuple(100.0 + n for n in range(32)), duration=DURATION_MAX_S)
    driver.do(c.Start(), OWNER)
    for n in range(20):
        driver.wait(1)
        recipe = driver.reply(c.UpdateSession(volume=0.1 + n / 100), OWNER).recipe
        assert len(recipe.voices) <= VOICES_MAX
    assert driver.replayed() == driver.state
    last = [voice for voice in recipe.voices if voice.ends_s is None]
    assert len(last) == 32
    driver.now = end_alarm(driver) - timedelta(milliseconds=1)
    driver.do(c.UpdateSession(volume=0.1), OWNER)
    assert driver.replayed() == driver.state


@pytest.mark.parametrize(("count", "fade"), [(40, FADE_S), (64, FADE_S), (40, 60.0)])
def test_a_change_of_more_voices_than_there_is_room_for_leaves_no_gap(count: int, fade: float) -> None:
    voices = [Sine(frequency=100.0 + n, level=0.01, fade_in_s=fade) for n in range(count)]
    recipe = changed(Recipe(voices=tuple(voices), duration_s=120), voices, 30 + LEAD_S, 30)
    assert len(recipe.voices) == VOICES_MAX
    sounding = [voice.frequency for voice in recipe.voices if voice.begins_s <= 30 and voice.ends_s is None]
    assert sounding == [voice.frequency for voice in voices]
    assert np.abs(render(recipe, round(30.1 * RATE), RATE // 10, RATE)).max() > 0


def test_two_changes_at_once_of_many_voices_leave_no_gap() -> None:
    driver = made(frequencies=tuple(100.0 + n for n in range(32)), duration=60)
    driver.do(c.Start(), OWNER)
    driver.wait(5 + LEAD_S)
    driver.do(c.UpdateSession(volume=0.4), OWNER)
    driver.wait(0.1)
    recipe = driver.reply(c.UpdateSession(volume=0.3), OWNER).recipe
    assert len(recipe.voices) == VOICES_MAX
    assert sum(voice.begins_s <= 5.1 + 1e-3 and voice.ends_s is None for voice in recipe.voices) == 32
    assert driver.replayed() == driver.state


def test_what_can_no_longer_sound_is_forgotten() -> None:
    driver = made(audio_type="pure_sine", duration=600)
    driver.do(c.Start(), OWNER)
    for n in range(40):
        driver.wait(2)
        recipe = driver.reply(c.UpdateSession(volume=0.1 + n / 100), OWNER).recipe
        assert len(recipe.voices) <= 5
        assert all(voice.ends_s is None or voice.ends_s > 2 * n - PAST_S for voice in recipe.voices)
    driver.wait(20)
    driver.do(c.Pause(), OWNER)
    assert len(driver.reply(c.Start(), OWNER).recipe.voices) == 1
    assert driver.replayed() == driver.state


def test_the_journal_keeps_what_a_retry_may_ask_for() -> None:
    driver = made()
    kind, forgotten = driver.kind, {}
    for seq in range(1, 400):
        context = msgspec.structs.replace(driver.context(OWNER), seq=seq)
        forgotten[seq + 1] = kind.decide(driver.state, c.UpdateSession(name=str(seq)), context).forget
    assert {seq: count for seq, count in forgotten.items() if count} == dict.fromkeys(range(128, 400, KEPT), KEPT)
    context = msgspec.structs.replace(driver.context(OWNER), seq=127)
    assert kind.decide(driver.state, c.GetSession(), context).forget == 0


def test_a_louder_bowl_is_not_struck_anew() -> None:
    driver = made(duration=60, frequencies=(136.1, 432.0))
    driver.do(c.Start(), OWNER)
    driver.wait(7 + LEAD_S)
    quiet = seen(driver).recipe
    loud = driver.reply(c.UpdateSession(volume=0.8), OWNER).recipe
    driver.wait(6)
    longer = driver.reply(c.UpdateSession(volume=0.4, duration=90), OWNER).recipe
    heard = [render(recipe, 0, 60 * RATE, RATE).astype(float) for recipe in (quiet, loud, longer)]
    first, second = round(7.4 * RATE), round((13 + 2 * LEAD_S + 0.1) * RATE)
    assert np.allclose(heard[1][first:], heard[0][first:] * 1.6, atol=1e-6)
    end = 59 * RATE
    assert np.allclose(heard[2][second:end], heard[0][second:end] * 0.8, atol=1e-6)
    for before, after in itertools.pairwise(heard):  # the crossfade: between the two levels, no step above both slopes
        steps = np.abs(np.diff(after, axis=0)).max()
        ramp = np.pi / 2 / (FADE_S * RATE) * 0.8
        assert steps <= max(np.abs(np.diff(before, axis=0)).max(), np.abs(np.diff(heard[1], axis=0)).max()) + ramp
    assert [voice.struck_s for voice in longer.voices if voice.ends_s is None] == [0.0, 0.0]
    higher = driver.reply(c.UpdateSession(audio_frequency=528.0), OWNER).recipe.voices[-1]
    assert isinstance(higher, Bowl)
    assert higher.first_strike_s == higher.begins_s


def test_layers_that_come_and_go_by_themselves_are_changed_between() -> None:
    layers = (
        Layer(type="pure_sine", frequency=200.0, ends=20.0, fade_out=10.0),
        Layer(type="pure_sine", frequency=300.0, begins=10.0, fade_in=10.0),
        Layer(type="pure_sine", frequency=400.0, begins=40.0),
    )
    driver = made(duration=60, layers=layers, volume=0.5)
    driver.do(c.Start(), OWNER)
    driver.wait(15)
    before = seen(driver).recipe
    after = driver.reply(c.UpdateSession(volume=0.25), OWNER).recipe
    heard = [render(recipe, 0, 60 * RATE, RATE).astype(float) for recipe in (before, after)]
    assert np.array_equal(heard[0][: 20 * RATE], heard[1][: 20 * RATE])  # they cross over; then it is softer
    assert np.allclose(heard[1][21 * RATE :], heard[0][21 * RATE :] / 2, atol=1e-6)
    assert np.abs(np.diff(heard[1], axis=0)).max() < 1.1 * np.abs(np.diff(heard[0], axis=0)).max()
    assert driver.replayed() == driver.state


def test_another_frequency_is_one_tone_in_place_of_layers() -> None:
    driver = made(duration=60, layers=(Layer(frequency=200.0), Layer(frequency=300.0)))
    session = driver.reply(c.UpdateSession(audio_frequency=528.0), OWNER)
    assert session.frequencies == (528.0,)
    assert [type(voice) for voice in session.recipe.voices] == [Bowl]
    assert driver.replayed() == driver.state


def test_another_length_in_the_middle_of_a_long_fade_is_no_step() -> None:
    layers = (
        Layer(frequency=200.0, fade_out=20.0),
        Layer(type="pure_sine", frequency=300.0, ends=50.0, fade_out=20.0),
    )
    for at, duration in ((45, 90), (20, 25), (20, 90)):
        driver = made(duration=60, layers=layers, volume=0.5)
        driver.do(c.Start(), OWNER)
        driver.wait(at + LEAD_S)
        before = seen(driver).recipe
        after = driver.reply(c.UpdateSession(duration=duration), OWNER).recipe
        heard = [render(recipe, 0, duration * RATE, RATE).astype(float) for recipe in (before, after)]
        assert np.allclose(heard[0][: at * RATE], heard[1][: at * RATE], atol=1e-6)
        steps = [np.abs(np.diff(each, axis=0)).max() for each in heard]
        assert steps[1] < 1.1 * steps[0]
        assert np.abs(heard[1][(duration - 1) * RATE :]).max() > 0
        assert driver.replayed() == driver.state


def test_a_change_that_was_not_heard_yet_is_replaced() -> None:
    driver = made(audio_type="pure_sine")
    driver.do(c.Start(), OWNER)
    driver.wait(5)
    driver.do(c.UpdateSession(volume=0.2), OWNER)
    voices = driver.reply(c.UpdateSession(volume=0.3), OWNER).recipe.voices
    assert [voice.level for voice in voices] == [0.5, 0.3]


@given(at=st.floats(0, DURATION_MAX_S))
def test_a_change_leaves_what_was_before_as_it_was(at: float) -> None:
    recipe = seen(made(audio_type="pure_sine", duration=DURATION_MAX_S)).recipe
    after = changed(recipe, [Sine(frequency=100.0)], at, at)
    *before, new = after.voices
    if at >= DURATION_MAX_S - 2 * FADE_S:
        assert after == recipe  # it ends by itself
    elif at > 0:
        at = max(at, FADE_S)  # not in the middle of its own beginning
        assert before == [msgspec.structs.replace(recipe.voices[0], ends_s=at + FADE_S)]
        assert new == Sine(frequency=100.0, begins_s=at)
    assert msgspec.json.decode(msgspec.json.encode(after), type=type(after)) == after

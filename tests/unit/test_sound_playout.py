"""A playout under a clock of the test's own: what is sent when, and that each frame is the recipe's samples at its position."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
import pytest
from playing import ID, OTHER, STEP, T0, TONE, Ear, World, session

from actors.audio.recipe import Recipe
from actors.audio.render import render
from actors.audio_session.replies import AudioSession
from server.sound import opus
from server.sound.frames import AHEAD_MS, CODECS, Frame, Name
from server.sound.pcm import from_pcm16
from server.sound.playout import Playout
from server.sound.playouts import encoder_of
from server.ws.outbox import LOW_BYTES


@pytest.fixture
def w() -> World:
    return World()


def playing(w: World, name: Name = "pcm", state: AudioSession | None = None, **options: bool) -> tuple[Playout, Ear]:
    codec = CODECS[name]
    playout, ear = Playout(ID, codec, 7, w, encoder_of(codec)), Ear(w)
    playout.add(ear.outbox, **({"spectrum": False} | options))
    playout.told(state or session())
    return playout, ear


def expected(frame: Frame, recipe: Recipe = TONE) -> Any:
    return render(recipe, frame.position, frame.samples, frame.codec.rate)


def heard(frame: Frame) -> Any:
    return from_pcm16(frame.payload, frame.channels)


# --- pacing ----------------------------------------------------------------------------------------------------------


def test_every_frame_is_sent_its_time_ahead_in_order_and_is_the_recipe_at_its_position(w: World) -> None:
    _, ear = playing(w)
    w.run(3)
    assert len(ear.frames) == 146  # from 0.1 s on, 50 a second, both ends included
    for number, (at, frame) in enumerate(ear.frames):
        assert (frame.stream, frame.seq, frame.position) == (7, number, number * 882)
        assert at == pytest.approx(0.3 + frame.position_s - AHEAD_MS / 1000, abs=1e-6)
        assert frame.discontinuity == (number == 0)
        assert np.abs(heard(frame) - expected(frame)).max() <= STEP


def test_a_late_joiner_is_in_phase(w: World) -> None:
    """A playout that begins in the middle, somewhere else: the same frames, the first of which fades in."""
    _, first = playing(w)
    w.run(7.0137)
    _, late = playing(w)
    w.run(1)
    early = {frame.position: frame for _, frame in first.frames}
    assert 7.0137 <= late.frames[0][0] < 7.0337
    assert late.frames[0][1].discontinuity
    assert abs(heard(late.frames[0][1])[0]).max() < 1e-3
    assert all(frame.payload == early[frame.position].payload for _, frame in late.frames[1:])
    assert late.frames[0][1].position_s == pytest.approx(7.0137 - 0.3 + 0.2, abs=0.02)


def test_a_listener_more_gets_the_very_frames_of_the_others(w: World) -> None:
    playout, first = playing(w)
    w.run(1)
    second = Ear(w)
    playout.add(second.outbox, spectrum=False)
    w.run(1)
    assert len(second.frames) == 50
    assert second.frames == first.frames[-50:]


def test_a_pause_fades_out_in_one_frame_and_a_resume_fades_in_where_it_was(w: World) -> None:
    playout, ear = playing(w)
    w.run(2)
    sent = len(ear.frames)
    playout.told(session("paused", at_s=None, position_s=1.7))
    w.run(5)
    (_, last), *more = ear.frames[sent:]
    assert not more
    assert (last.last, last.position) == (True, sent * 882)
    assert np.abs(heard(last)[:10] - expected(last)[:10]).max() < 1e-3
    assert np.abs(heard(last)[-10:]).max() < 1e-3
    assert not w.calls or all(number in w.cancelled for _, number, _ in w.calls), "nothing goes on while it stands"
    playout.told(session(at_s=7.5, position_s=1.7))
    w.run(1)
    at, again = ear.frames[sent + 1]
    assert again.discontinuity
    assert (at, again.position) == (pytest.approx(7.3, abs=0.02), 85 * 882)
    assert abs(heard(again)[0]).max() < 1e-3


def test_who_is_sent_away_as_a_session_ends_gets_its_fade_all_the_same(w: World) -> None:
    """Of a deleted session nobody is a listener any more when the last frame is rendered."""
    playout, ear = playing(w)
    w.run(2)
    sent = len(ear.frames)
    playout.fade()
    assert playout.remove(ear.outbox)
    w.run(1)
    ((_, last),) = ear.frames[sent:]
    assert (last.last, last.position) == (True, sent * 882)
    assert np.abs(heard(last)[:10] - expected(last)[:10]).max() < 1e-3
    assert np.abs(heard(last)[-10:]).max() < 1e-3


def test_another_recipe_is_crossfaded_at_the_next_frame_without_a_step(w: World) -> None:
    playout, ear = playing(w)
    w.run(2)
    sent = len(ear.frames)
    playout.told(session(recipe=OTHER))
    w.run(0.5)
    frames = [frame for _, frame in ear.frames]
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    assert [frame.position for frame in frames] == [number * 882 for number in range(len(frames))]
    assert not frames[sent].discontinuity
    assert np.abs(heard(frames[sent + 1]) - expected(frames[sent + 1], OTHER)).max() <= STEP
    sound = np.concatenate([heard(frame) for frame in frames[sent - 2 : sent + 3]])
    slope = 2 * np.pi * 528 / 44_100 * 0.5 + np.pi / 2 / 882 * 0.8  # of the tones, and of the ramp
    assert np.abs(np.diff(sound, axis=0)).max() <= slope


def test_the_same_word_again_changes_nothing(w: World) -> None:
    playout, ear = playing(w)
    w.run(1)
    playout.told(session())
    w.run(1)
    assert [frame.position for _, frame in ear.frames] == [number * 882 for number in range(len(ear.frames))]
    assert sum(frame.discontinuity for _, frame in ear.frames) == 1


def test_it_ends_where_the_recipe_ends(w: World) -> None:
    short = Recipe(voices=TONE.voices, duration_s=1.005)
    playout, ear = playing(w, state=session(recipe=short))
    w.run(5)
    assert [frame.last for _, frame in ear.frames] == [False] * 50 + [True]
    assert not np.any(heard(ear.frames[-1][1])[300:])
    playout.told(session("completed", at_s=None, position_s=1.005, recipe=short))
    w.run(1)
    assert len(ear.frames) == 51


def test_a_loop_that_stood_still_goes_on_where_the_session_is(w: World) -> None:
    _, ear = playing(w)
    w.run(1)
    sent = len(ear.frames)
    w.time += 3
    w.run(1)
    at, frame = ear.frames[sent]
    assert at == pytest.approx(4.0, abs=0.02)
    assert frame.discontinuity
    assert frame.position_s == pytest.approx(4.0 - 0.3 + 0.2, abs=0.04)


def test_a_short_stop_is_caught_up_and_nothing_is_lost(w: World) -> None:
    _, ear = playing(w)
    w.run(1)
    w.time += 0.15
    w.run(1)
    assert [frame.position for _, frame in ear.frames] == [number * 882 for number in range(len(ear.frames))]


def test_a_clock_that_is_set_back_does_not_silence_it(w: World) -> None:
    _, ear = playing(w, state=session(position_s=20.0))
    w.run(10)
    sent = len(ear.frames)
    w.time -= 5
    w.calls = [(at - 5, number, act) for at, number, act in w.calls]  # the timers' clock is another
    w.run(1)
    assert len(ear.frames) - sent >= 49
    assert ear.frames[sent][1].discontinuity


def test_slow_rendering_skips_and_the_rest_is_in_time(w: World) -> None:
    w.held = []
    _, ear = playing(w)
    w.run(1)
    assert not ear.frames
    held, w.held = w.held, None
    for work in held:
        work()
    w.run(1)
    assert ear.frames
    for at, frame in ear.frames:
        assert at <= 0.3 + frame.position_s


def test_what_cannot_be_rendered_is_silent_until_the_session_changes(w: World) -> None:
    playout, ear = playing(w)
    w.run(1)
    w.fails = True
    w.run(3)
    sent = len(ear.frames)
    assert sent < 150
    w.fails = False
    playout.told(session())
    w.run(1)
    assert len(ear.frames) >= sent + 50


# --- listeners -------------------------------------------------------------------------------------------------------


def test_a_slow_listener_loses_frames_and_nobody_else_does(w: World) -> None:
    playout, good = playing(w)
    slow = Ear(w)
    playout.add(slow.outbox, spectrum=False)
    w.run(1)
    slow.waiting = LOW_BYTES + 1
    w.run(1)
    slow.waiting = 0
    w.run(1)
    assert [frame.seq for _, frame in good.frames] == list(range(146))
    assert {frame.seq for _, frame in good.frames} - {frame.seq for _, frame in slow.frames} == set(range(46, 96))
    assert (playout.sent, playout.dropped) == (292, 50)


def test_nothing_is_rendered_for_nobody(w: World) -> None:
    playout, ear = playing(w)
    w.run(1)
    assert playout.remove(ear.outbox)
    w.run(5)
    assert len(ear.frames) == 46
    assert all(number in w.cancelled for _, number, _ in w.calls)


def test_spectra_come_ten_a_second_when_what_they_measure_sounds(w: World) -> None:
    playout, ear = playing(w, spectrum=True)
    deaf = Ear(w)
    playout.add(deaf.outbox, spectrum=False)
    w.run(4.3)
    assert not deaf.said
    assert len(ear.said) == 41
    for number, (at, push) in enumerate(ear.said):
        assert (push["stream"], push["event"]) == (f"audio_session:{ID}", "spectrum")
        assert push["position_s"] == pytest.approx(number / 10)
        assert at == pytest.approx(0.3 + number / 10, abs=1e-6)
        assert datetime.fromisoformat(push["at"]).timestamp() == pytest.approx(T0.timestamp() + at, abs=1e-3)
    newest = ear.said[-1][1]
    assert sorted(newest["frequencies"][:2]) == pytest.approx([432 - 3.915, 432 + 3.915], abs=0.1)
    assert newest["amplitudes"][:2] == pytest.approx([0.5, 0.5], rel=0.01)
    assert len(newest["bands"]) == 64


def test_who_wants_spectra_later_waits_no_second_and_the_sound_goes_on(w: World) -> None:
    playout, ear = playing(w)
    w.run(2)
    eye = Ear(w)
    playout.add(eye.outbox, spectrum=True)
    w.run(2)
    assert eye.said[0][0] <= 2.35
    assert [frame.position for _, frame in ear.frames] == [number * 882 for number in range(len(ear.frames))]
    assert all(np.abs(heard(frame) - expected(frame)).max() <= STEP for _, frame in ear.frames)


@pytest.mark.parametrize("name", ["pcm", "opus"])
def test_who_wants_spectra_later_changes_nothing_of_what_the_others_hear(w: World, name: Name) -> None:
    playout, ear = playing(w, name)
    other = World()
    _, alone = playing(other, name)
    w.run(2)
    eye = Ear(w)
    playout.add(eye.outbox, spectrum=True)
    w.run(2)
    other.run(4)
    assert ear.frames == alone.frames
    assert [push["position_s"] for _, push in eye.said] == pytest.approx([2.0 + n / 10 for n in range(18)])


def test_a_spectrum_has_nothing_of_what_did_not_sound_before_a_session_went_on(w: World) -> None:
    playout, ear = playing(w, spectrum=True)
    w.run(2)
    playout.told(session("paused", at_s=None, position_s=1.7))
    w.run(3)
    ear.said.clear()
    playout.told(session(at_s=5.5, position_s=1.7))
    w.run(1)
    levels = {round(push["position_s"], 1): push["amplitudes"] for _, push in ear.said}
    assert levels[1.7] == []
    assert 0 < levels[1.8][0] < 0.45  # half of the window
    assert levels[1.9][:2] == pytest.approx([0.5, 0.5], rel=0.01)


def test_a_spectrum_right_behind_a_change_is_of_what_sounded_before_it(w: World) -> None:
    playout, ear = playing(w, spectrum=True)
    w.run(2)
    sent = len(ear.frames)
    playout.told(session(recipe=OTHER))
    w.run(1)
    pushes = {round(push["position_s"] * 50): push["frequencies"] for _, push in ear.said}
    first = next(frame for frame in sorted(pushes) if frame >= sent)
    assert any(abs(peak - 435.915) < 2 for peak in pushes[first]), "half of the window was before the change"
    assert pushes[first + 10][:1] == pytest.approx([528], abs=0.1)


# --- Opus ------------------------------------------------------------------------------------------------------------


def test_opus_is_the_same_sound_a_look_ahead_later_also_over_a_change(w: World) -> None:
    playout, ear = playing(w, "opus")
    w.run(2)
    playout.told(session(recipe=OTHER))
    w.run(2)
    decoder, codec = opus.OpusDecoder(), CODECS["opus"]
    decoded = np.concatenate([decoder.decode(frame.payload) for _, frame in ear.frames])[codec.delay_samples :]
    assert opus.OpusEncoder().delay_samples == codec.delay_samples
    assert [frame.position for _, frame in ear.frames] == [number * 960 for number in range(len(ear.frames))]
    changed = next(n for n in range(len(ear.frames)) if n * 960 > 1.9 * 48_000) * 960
    truth = render(TONE, 0, changed, 48_000)
    assert np.sqrt(np.mean((decoded[4_800:changed] - truth[4_800:]) ** 2)) < 0.02
    assert sum(len(frame.payload) for _, frame in ear.frames) / len(ear.frames) < 600
    tail = render(OTHER, 120 * 960, 40 * 960, 48_000)
    assert np.sqrt(np.mean((decoded[120 * 960 : 160 * 960] - tail) ** 2)) < 0.02

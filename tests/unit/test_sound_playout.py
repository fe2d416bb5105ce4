"""A playout under a clock of the test's own: what is sent when, and that each frame is the recipe's samples at its position."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from actors.audio.recipe import Binaural, Recipe, Sine
from actors.audio.render import render
from actors.audio.timeline import Timeline
from actors.audio_session.replies import AudioSession
from actors.runtime.errors import Full, Invalid
from actors.runtime.wire import Dropped, Pushed, Resynced
from server.sound import opus
from server.sound.blocks import Payload
from server.sound.frames import AHEAD_MS, CODECS, Frame, Name, pack, unpack
from server.sound.pcm import PcmEncoder, from_pcm16
from server.sound.playout import Playout
from server.sound.playouts import Playouts, ServerClock, encoder_of
from server.ws.outbox import LOW_BYTES, Outbox

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
WHO = "11111111-1111-4111-8111-111111111111"
TONE = Recipe(voices=(Binaural(carrier=432.0, beat=7.83, level=0.5),), duration_s=60)
OTHER = Recipe(voices=(Sine(frequency=528.0, level=0.3),), duration_s=60)
STEP = 0.5 / 32_767 + 1e-6


class World:
    """Works by hand: time moves when a test says so, rendering takes none unless it is held."""

    def __init__(self) -> None:
        self.time = T0.timestamp()
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self.cancelled: set[int] = set()
        self.held: list[Callable[[], None]] | None = None
        self.fails = False
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def later(self, delay_s: float, act: Callable[[], None]) -> Any:
        number = next(self._numbers)
        heapq.heappush(self.calls, (self.time + delay_s, number, act))
        return type("Handle", (), {"cancel": lambda _: self.cancelled.add(number)})()

    def render(self, work: Callable[[], list[Payload]], then: Callable[[list[Payload] | None], None]) -> None:
        def do() -> None:
            made = None if self.fails else work()
            heapq.heappush(self.calls, (self.time, next(self._numbers), lambda: then(made)))

        if self.held is None:
            do()
        else:
            self.held.append(do)

    def run(self, seconds: float) -> None:
        """Everything that is due within so long."""
        end = self.time + seconds
        while self.calls and self.calls[0][0] <= end + 1e-9:
            at, number, act = heapq.heappop(self.calls)
            self.time = max(self.time, at)
            if number not in self.cancelled:
                act()
        self.time = end


class Ear:
    """A socket: what came to it, and when."""

    session = "s"

    def __init__(self, world: World) -> None:
        self.world, self.waiting = world, 0
        self.frames: list[tuple[float, Frame]] = []
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.outbox = Outbox(self, self, 2**20)

    def write(self, data: bytes) -> None:
        at = self.world.time - T0.timestamp()
        size = data[1] if data[1] < 126 else 126
        payload = data[4:] if size == 126 else data[2:]
        if data[0] == 0x82:
            self.frames.append((at, unpack(payload)))
        else:
            self.said.append((at, orjson.loads(payload)))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def behind(self) -> None:
        pass

    def too_slow(self) -> None:
        raise AssertionError("sound never closes a socket")


def session(
    status: str = "running", *, at_s: float | None = 0.3, position_s: float = 0.0, recipe: Recipe = TONE
) -> AudioSession:
    """A session whose timeline runs from a time (seconds after ``T0``), or stands."""
    anchor = None if at_s is None else T0 + timedelta(seconds=at_s)
    return AudioSession(
        id=ID, name="", intention="", status=status, duration=60, audio_type="binaural", audio_frequency=432.0,  # type: ignore[arg-type]
        frequencies=(432.0,), prayer_bowl_mode=False, metadata={}, volume=0.5, astrology_enabled=False,
        hardware_enabled=False, visuals_enabled=False, owner=WHO, space=None, device=None, created_at=T0, updated_at=None,
        started_at=T0, stopped_at=None, start_time=T0.timestamp(), elapsed_time=0, recipe=recipe,
        timeline=Timeline(position_s=position_s, anchor_at=anchor), published=False,
    )  # fmt: skip


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


# --- frames, the clock, all playouts of a gateway ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pcm", "opus"])
def test_a_frame_is_what_was_packed(name: Name) -> None:
    codec = CODECS[name]
    frame = unpack(pack(codec, 2**32 - 1, 2**32 + 3, 2**40, 3, b"abc"))
    assert frame == Frame(codec, 2**32 - 1, 3, 2**40, codec.frame_samples, 2, 3, b"abc")
    assert frame.discontinuity
    assert frame.last


@pytest.mark.parametrize("data", [b"", b"SA", b'{"type":"event"}' * 3, pack(CODECS["pcm"], 1, 1, 1, 0, b"")[:23]])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no frame of sound"):
        unpack(data)


def test_samples_beyond_full_scale_are_held_there() -> None:
    loud = np.array([[2.0, -2.0], [0.5, -0.5]], dtype=np.float32)
    assert from_pcm16(PcmEncoder().encode(loud), 2).tolist() == [[1, -1], pytest.approx([0.5, -0.5], abs=STEP)]


def test_the_servers_clock_is_smooth_and_follows_where_it_is_set() -> None:
    wall, steady = [1_000.0], [5.0]
    clock = ServerClock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = 1_001.01, 6.0
    assert clock.now() == 1_001.0
    wall[0] = 2_000.0
    assert clock.now() == 2_000.0


async def test_a_gateway_renders_a_bounded_number_of_streams() -> None:
    w, all_ = World(), Playouts(1)
    one, two = Ear(w), Ear(w)
    still = session("created", at_s=None)
    first = all_.listen(one.outbox, still, "pcm", spectrum=False)
    assert all_.listen(two.outbox, still, "pcm", spectrum=True) is first
    with pytest.raises(Full):
        all_.listen(two.outbox, still, "opus", spectrum=False)
    assert set(first.listeners) == {one.outbox, two.outbox}
    all_.leave(one.outbox)
    all_.leave(two.outbox, ID)
    assert len(all_) == 0
    assert all_.listen(one.outbox, still, "opus", spectrum=False).number != first.number
    all_.close()


async def test_without_an_encoder_opus_is_refused_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "is_there", lambda: False)
    with pytest.raises(Invalid, match="no Opus encoder"):
        Playouts(1).check(ID, "opus")


async def test_what_the_shard_says_is_heard() -> None:
    w, all_ = World(), Playouts(4)
    playout = all_.listen(Ear(w).outbox, session("created", at_s=None), "pcm", spectrum=False)
    told: list[str] = []
    playout.told = lambda state: told.append(state.status)  # type: ignore[method-assign]

    body = msgspec.to_builtins(session("paused", at_s=None), builtin_types=(datetime,))
    changed = orjson.dumps({"type": "event", "offset": 1, "event": "changed", "body": body})
    all_.heard(Pushed(ID, 1, changed))
    playout.fade = lambda recipe=None: told.append("faded")  # type: ignore[method-assign]
    all_.heard(Pushed(ID, 2, orjson.dumps({"type": "event", "offset": 2, "event": "deleted", "body": {}})))
    all_.heard(Resynced(ID, 3, orjson.dumps({"stream": f"audio_session:{ID}", "offset": 3, "state": body})))
    all_.heard(Resynced(ID, 3))
    all_.heard(Dropped(ID, None))
    assert told == ["paused", "faded", "paused"]
    all_.close()

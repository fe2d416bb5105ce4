"""A device's player beside a device that is none: rings of any rate, and what nobody foresaw."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pytest
from driving import BEGIN, uuid

from actors.audio.commands import Report
from actors.audio.events import Voice
from actors.audio.portaudio import Device, NoSound
from actors.audio.recipe import Recipe, Sine
from actors.audio.ring import Ring, Samples
from actors.audio.sounding import sound
from actors.audio.spectrum import WINDOW
from actors.audio.state import DeviceVoices
from actors.audio.timeline import Timeline
from actors.audio.values import DURATION_MAX_S, MAX_VOLUME
from server import audio_player
from server.audio_player import AHEAD_S, BLOCK, Player, ring_of

PATIENCE_S = 20.0
CARD = Device(index=0, name="Card", host_api="None", channels=2, sample_rate=44_100.0, latency_s=0.01, default=True)
VOICE = Voice(
    id=uuid(1),
    owner=uuid(2),
    timeline=Timeline(anchor_at=BEGIN),
    ends_at=BEGIN + timedelta(days=365 * 100),
    recipe=Recipe(voices=(Sine(frequency=432.0, level=0.5),), duration_s=DURATION_MAX_S),
)
WANTED = DeviceVoices(volume=MAX_VOLUME, voices={VOICE.id: VOICE})


class Output:
    """In place of PortAudio's: the test takes what is in the ring. It is heard from ``BEGIN`` on, a second later."""

    alive, latency_s = True, 0.0

    def __init__(self, device: Device, ring: Ring) -> None:
        self.device, self.ring = device, ring

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def heard_at(self) -> float:
        return BEGIN.timestamp() + 1.0


class World:
    """The player, its device and what it reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.outputs: list[Output] = []
        self.looks = 0
        self.wrong: Exception | None = None
        self._news = threading.Condition()

    def devices(self) -> list[Device]:
        with self._news:
            self.looks += 1
            self._news.notify_all()
        if self.wrong is not None:
            raise self.wrong
        return [CARD]

    def opened(self, device: Device, ring: Ring) -> Output:
        output = Output(device, ring)
        self.outputs.append(output)
        return output

    def report(self, report: Report) -> None:
        with self._news:
            self.reports.append(report)
            self._news.notify_all()

    def until(self, found: Callable[[], bool]) -> None:
        """Looked at whenever something is reported, and with each look for devices."""
        with self._news:
            assert self._news.wait_for(found, PATIENCE_S), self.reports[-3:]

    def player(self, rate: int = 44_100) -> Player:
        player = Player("default", self.report, rate=rate, max_volume=MAX_VOLUME)
        player.show(WANTED)
        return player


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World()
    monkeypatch.setattr(audio_player, "devices", world.devices)
    monkeypatch.setattr(audio_player, "refresh", lambda: None)
    monkeypatch.setattr(audio_player, "Output", world.opened)
    monkeypatch.setattr(audio_player, "LOOK_S", 0.0)
    return world


@pytest.mark.parametrize("rate", [4_000, 8_000, 44_100, 192_000])
def test_a_ring_of_any_rate_holds_what_is_ahead_and_what_was_heard(world: World, rate: int) -> None:
    player = world.player(rate)
    heard: list[Samples] = []
    for _ in range(40):
        player._turn(WANTED)
        ring = world.outputs[-1].ring
        assert ring.ahead >= AHEAD_S * rate
        out = np.zeros((rate // 20, 2), dtype=np.float32)
        ring.take(out)
        heard.append(out)
    whole = np.concatenate(heard)
    start = round((BEGIN.timestamp() + 1.0) * rate)
    began = rate // 5
    assert np.abs(whole[began:] - sound([VOICE], start, len(whole), rate)[began:]).max() < 1e-6
    assert ring.underruns == 0
    assert len(ring.heard(WINDOW)) == WINDOW or ring.read < WINDOW


def test_a_ring_has_room_for_a_change_that_took_long_to_render(world: World) -> None:
    ring = ring_of(8_000)
    at = 2 * round(AHEAD_S * 8_000)
    ring.put(at, np.ones((BLOCK, 2), dtype=np.float32))
    assert not ring.at(0, at).any()
    assert ring.at(at, BLOCK).all()


def test_it_reports_which_moment_sounds_and_how_late_that_is(world: World) -> None:
    player = world.player()
    for _ in range(3):
        player._turn(WANTED)
        world.outputs[-1].ring.take(np.zeros((4_410, 2), dtype=np.float32))
        player._told_at = float("-inf")
    report = world.reports[-1]
    assert report.drift_s == pytest.approx(0.0, abs=1 / 44_100)
    assert report.position is not None


def test_a_turn_that_fails_is_told_of_in_words_and_tried_again_after_a_growing_rest(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.wrong = ZeroDivisionError("nobody foresaw it")
    player = world.player()
    with caplog.at_level(logging.ERROR):
        rests = [player._guarded(WANTED) for _ in range(8)]
    assert rests == sorted(rests)
    assert (rests[0], rests[-1]) == (audio_player.REST_S[0], audio_player.REST_S[-1])
    assert "nobody foresaw it" in caplog.text
    assert world.reports[-1].status == "the sound failed (ZeroDivisionError); it is tried again in 60 s"
    assert not world.reports[-1].present
    world.wrong = None
    assert player._guarded(WANTED) < rests[0]
    player._guarded(WANTED)
    assert world.reports[-1].status == "Card (None) plays"
    world.wrong = None
    monkeypatch.setattr(audio_player, "sound", lambda *_: 1 / 0)
    assert player._guarded(DeviceVoices()) == rests[0], "it had played meanwhile"


def test_a_thread_whose_turns_fail_lives_and_is_never_busy_for_long(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_player, "REST_S", (0.001,))
    world.wrong = RuntimeError("again and again")
    player = world.player()
    player.start()
    world.until(lambda: world.looks > 5)
    world.wrong = NoSound("there is no sound device")
    world.until(lambda: world.reports[-1].status == "there is no sound device")
    player.end(PATIENCE_S)
    assert player.busy_since is None

"""A device's player through PortAudio, ALSA and PulseAudio to a null sink, whose monitor records what was really played.

By hand, for a longer look whose figures are printed:

    SOUND_TEST_S=60 python -m pytest -s tests/integration/test_sound_device.py -k monitor
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from sound_world import RATE, NullSink, Recording, Samples, level_db, steepest

from actors.audio import portaudio
from actors.audio.commands import Report
from actors.audio.events import Voice
from actors.audio.recipe import Recipe, Sine
from actors.audio.spectrum import spectrum
from actors.audio.state import DeviceVoices
from actors.audio.timeline import Timeline
from actors.audio.values import FADE_S, MAX_VOLUME
from server.audio_player import DRIFT_S, Player

pytestmark = [
    pytest.mark.timeout(120 + float(os.environ.get("SOUND_TEST_S", "0"))),
    pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="Debian's pulseaudio is not installed"),
]
LONG_S = 600
TONE, OTHER = 528.0, 741.0
PATIENCE_S = 20.0
LOOK_S = float(os.environ.get("SOUND_TEST_S", "2"))
"""How long the recording without a gap is."""
OFF_S = 0.02
"""How far what sounds may be from the server's time."""
LOW_HZ, HZ_PER_S = 400.0, 100.0
WINDOW = 4_096
SANGHA = Path(sys.executable).with_name("sangha")


class Playing:
    """A player, and what it reports."""

    def __init__(self, name: str = "default", max_volume: float = MAX_VOLUME) -> None:
        self.reports: list[Report] = []
        self._news = threading.Condition()
        self.player = Player(name, self._heard, rate=RATE, max_volume=max_volume)
        self.player.start()

    def _heard(self, report: Report) -> None:
        with self._news:
            self.reports.append(report)
            self._news.notify_all()

    def until(self, found: Callable[[Report], bool]) -> Report:
        """The first report, from now on or the last one, that is as wanted."""
        seen = max(len(self.reports) - 1, 0)
        with self._news:
            assert self._news.wait_for(lambda: any(map(found, self.reports[seen:])), PATIENCE_S), self.reports[-3:]
            return next(filter(found, self.reports[seen:]))


@pytest.fixture(scope="module")
def sink() -> Iterator[NullSink]:
    with pytest.MonkeyPatch.context() as patch:
        sink = NullSink()
        for name, value in sink.environment.items():
            patch.setenv(name, value)
        sink.start()
        try:
            portaudio.refresh()  # ALSA reads its configuration anew
            yield sink
        finally:
            sink.end()


@pytest.fixture
def playing(sink: NullSink) -> Iterator[Playing]:
    playing = Playing()
    yield playing
    playing.player.end(PATIENCE_S)


def tone(frequency: float, level: float, duration_s: float = LONG_S, lead_s: float = 0.1) -> Voice:
    at = datetime.now(UTC) + timedelta(seconds=lead_s)
    return Voice(
        id=str(uuid.uuid4()),
        owner=str(uuid.uuid4()),
        timeline=Timeline(anchor_at=at),
        ends_at=at + timedelta(seconds=duration_s),
        recipe=Recipe(voices=(Sine(frequency=frequency, level=level),), duration_s=duration_s),
    )


def wanted(*voices: Voice, volume: float = MAX_VOLUME) -> DeviceVoices:
    return DeviceVoices(volume=volume, voices={voice.id: voice for voice in voices})


def slope(*tones: tuple[float, float]) -> float:
    """The greatest step that these (Hz, level) make from one sample to the next, and what fading adds."""
    fades = sum(level for _, level in tones) * np.pi / 2 / (FADE_S * RATE)
    return float(sum(level * 2 * np.pi * hz / RATE for hz, level in tones) + fades)


def loud(recording: Recording, least: float = 0.1) -> Samples:
    """The recording, once its last tenth of a second sounds."""
    return recording.until(
        lambda all_: len(all_) > RATE and np.abs(all_[-RATE // 10 :]).min(axis=1).max() > least, "sound"
    )


def quiet(recording: Recording) -> Samples:
    return recording.until(lambda all_: not all_[-RATE // 5 :].any(), "silence")


def uneven(heard: Samples) -> float:
    """How far any 10 ms is from the level of a tone of 0.5, in dB."""
    return float(np.abs(level_db(heard[:, 0]) - 20 * np.log10(0.5 / 2**0.5)).max())


def test_what_the_monitor_records_is_the_tone_at_its_level_without_a_gap(sink: NullSink, playing: Playing) -> None:
    with sink.recording() as recording:
        playing.player.show(wanted(tone(TONE, 0.5, LONG_S + LOOK_S)))
        loud(recording)
        heard = recording.further(LOOK_S)
    measured = spectrum(heard, RATE)
    decibel = 20 * np.log10(measured.amplitudes[0] / 0.5)
    report = playing.until(lambda each: bool(each.frequencies) and each.drift_s is not None)
    assert report.drift_s is not None
    print(  # noqa: T201 - for who looks longer
        f"{LOOK_S:g} s: {measured.frequencies[0]:.3f} Hz, {decibel:+.3f} dB, any 10 ms at most {uneven(heard):.3f} dB off,"
        f" {report.underruns} samples late, {report.drift_s * 1e3:+.1f} ms from the server's time, latency {report.latency_s} s"
    )
    assert measured.frequencies[0] == pytest.approx(TONE, abs=0.05)
    assert decibel == pytest.approx(0, abs=0.1)
    assert len(measured.frequencies) == 1, "nothing but the tone"
    assert uneven(heard) < 0.5, f"each 10 ms has its level: there is no gap ({report.underruns} samples were late)"
    assert steepest(heard[:, 0]) <= slope((TONE, 0.5)), "and no click"
    assert np.array_equal(heard[:, 0], heard[:, 1])
    assert report.present
    assert report.underruns == 0
    assert report.frequencies[0] == pytest.approx(TONE, abs=0.05), "what it reports is measured"
    assert abs(report.drift_s) < OFF_S


def sweep(duration_s: float) -> Voice:
    """Each moment of which tells its position by its pitch."""
    at = np.arange(round(duration_s * RATE)) / RATE
    wave = np.round(0.4 * 32_767 * np.sin(2 * np.pi * (LOW_HZ * at + HZ_PER_S * at**2 / 2))).astype("<i2")
    begins = datetime.now(UTC) + timedelta(seconds=0.3)
    return Voice(
        id=str(uuid.uuid4()),
        owner=str(uuid.uuid4()),
        timeline=Timeline(anchor_at=begins),
        ends_at=begins + timedelta(seconds=duration_s),
        samples=wave.tobytes(),
    )


def drift_of(recording: Recording, voice: Voice) -> float:
    """How much later than by the server's time the end of the recording sounds, in seconds."""
    samples = recording.samples
    position = (spectrum(samples[-WINDOW:, 0], RATE).frequencies[0] - LOW_HZ) / HZ_PER_S
    assert voice.timeline.anchor_at is not None
    return recording.began_at + (len(samples) - WINDOW / 2) / RATE - voice.timeline.anchor_at.timestamp() - position


def test_what_sounds_is_where_the_servers_time_says_also_after_the_device_ran_dry(
    sink: NullSink, playing: Playing, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, stall = portaudio.Output._take, threading.Event()

    def taken(output: portaudio.Output, *words: Any) -> None:
        if stall.is_set():
            stall.clear()
            time.sleep(2 * portaudio.LATENCY_S)
        take(output, *words)

    monkeypatch.setattr(portaudio.Output, "_take", taken)
    voice = sweep(15.0)
    with sink.recording() as recording:
        playing.player.show(wanted(voice))
        loud(recording)
        recording.further(1.0)
        before = drift_of(recording, voice)
        stall.set()
        dry = playing.until(lambda each: each.underruns > 0)
        playing.until(lambda each: each.drift_s is not None and abs(each.drift_s) < DRIFT_S and each is not dry)
        recording.further(1.0)
        after = drift_of(recording, voice)
    print(  # noqa: T201 - as above
        f"{before * 1e3:+.1f} ms from the server's time, {after * 1e3:+.1f} ms after the device ran dry"
    )
    assert abs(before) < OFF_S
    assert abs(after) < OFF_S


def test_two_voices_mix_and_a_voice_that_ends_leaves_the_other_alone(sink: NullSink, playing: Playing) -> None:
    first = tone(TONE, 0.4)
    with sink.recording() as recording:
        playing.player.show(wanted(first))
        start = len(loud(recording))
        second = tone(OTHER, 0.3, duration_s=1.0, lead_s=0.4)
        playing.player.show(wanted(first, second))
        playing.until(lambda each: len(each.frequencies) == 2)
        playing.until(lambda each: len(each.frequencies) == 1)
        recording.further(0.3)
        heard = recording.samples[start:, 0]
    assert steepest(heard) <= slope((TONE, 0.4), (OTHER, 0.3))
    windows = [spectrum(heard[at : at + 8_192], RATE) for at in range(0, len(heard) - 8_192, 2_048)]
    both = [each for each in windows if len(each.frequencies) == 2 and each.amplitudes[1] > 0.29]
    assert len(both) > 10
    for each in both:
        assert dict(zip(each.frequencies, each.amplitudes, strict=True)) == pytest.approx(
            {each.frequencies[0]: 0.4, each.frequencies[1]: 0.3}, rel=0.02
        )
        assert each.frequencies == pytest.approx((TONE, OTHER), abs=0.5)
    assert np.abs(level_db(heard[-RATE // 4 :]) - 20 * np.log10(0.4 / 2**0.5)).max() < 0.5


def test_the_volume_moves_at_once_and_without_a_click(sink: NullSink, playing: Playing) -> None:
    voice = tone(TONE, 0.6)
    with sink.recording() as recording:
        playing.player.show(wanted(voice))
        start = len(loud(recording))
        playing.player.show(wanted(voice, volume=0.2))
        recording.until(lambda all_: np.abs(all_[-RATE // 10 :]).max() < 0.16, "softer")
        playing.player.show(wanted(voice))
        recording.until(lambda all_: np.abs(all_[-RATE // 10 :]).max() > 0.59, "louder")
        playing.player.show(wanted())
        heard = quiet(recording)[start:, 0]
    assert steepest(heard) <= 1.05 * slope((TONE, 0.6)), "the ramp is of the volume, the fade of the voice"
    assert np.percentile(level_db(heard), 50) > -25


def test_a_device_that_vanishes_is_told_of_and_played_on_where_it_would_be_when_it_is_back(
    sink: NullSink, playing: Playing
) -> None:
    first, later = tone(TONE, 0.4), tone(OTHER, 0.4, lead_s=4.0)
    playing.player.show(wanted(first, later))
    playing.until(lambda each: bool(each.frequencies))
    sink.kill()
    try:
        gone = playing.until(lambda each: not each.present)
        assert "looked for" in gone.status or "no sound device" in gone.status
        assert gone.frequencies == ()
    finally:
        sink.start()
    playing.until(lambda each: len(each.frequencies) == 2)
    with sink.recording() as recording:
        heard = loud(recording)[-RATE // 4 :]
    assert sorted(spectrum(heard, RATE).frequencies) == pytest.approx((TONE, OTHER), abs=1)


def test_a_device_of_a_name_that_is_not_there_says_so(sink: NullSink) -> None:
    playing = Playing("no such device")
    try:
        report = playing.until(lambda each: bool(each.status))
    finally:
        playing.player.end(PATIENCE_S)
    assert not report.present
    assert report.status == "there is no sound device 'no such device': `sangha devices` lists those that are there"


def test_sound_that_is_switched_off_says_so() -> None:
    playing = Playing("none")
    try:
        report = playing.until(lambda each: bool(each.status))
    finally:
        playing.player.end(PATIENCE_S)
    assert not report.present
    assert report.status == "sound is switched off here (AUDIO_DEVICE=none)"


def run(sink: NullSink, *words: str) -> subprocess.CompletedProcess[str]:
    """``sangha`` on the machine of this sound card."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SANGHA_")} | sink.environment
    return subprocess.run([SANGHA, *words], env=environment, cwd=sink.home, capture_output=True, text=True, timeout=60)


def test_the_commands_list_the_device_and_play_on_it(sink: NullSink) -> None:
    told = run(sink, "devices", "--json")
    assert [each["name"] for each in orjson.loads(told.stdout) if each["default"]] == ["default"], told.stderr
    assert "* " in run(sink, "devices").stdout
    with sink.recording() as recording:
        played = run(sink, "play", "--type", "pure_sine", "--frequency", "528", "--duration", "2", "--volume", "0.3")
        heard = quiet(recording)[:, 0]
    assert played.returncode == 0, played.stderr
    assert "default (ALSA) plays" in played.stderr
    sounding = np.flatnonzero(heard)
    assert len(sounding) / RATE == pytest.approx(2.0, abs=0.1), "all of it, and no longer"
    middle = heard[sounding[0] :][RATE // 2 : RATE]
    assert spectrum(middle, RATE).frequencies[0] == pytest.approx(528, abs=0.1)
    assert np.abs(middle).max() == pytest.approx(0.3, rel=0.01)
    refused = run(sink, "play", "--device", "no such device", "--duration", "1")
    assert refused.returncode != 0
    assert "no such device" in refused.stderr

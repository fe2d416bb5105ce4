"""A whole server and a null sink that records what it plays: sessions from their start to their stop, SIGKILL of the device's
actor and of everything. What is heard afterwards is where it would have been.

Each moment of a recording of a binaural session tells its position: by how far its two ears are apart.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
from harness import RunningServer, measured
from sound_world import RATE, NullSink, Recording, Samples, level_db, steepest

from actors.audio.spectrum import spectrum
from actors.audio.values import FADE_S
from actors.runtime.layout import Layout

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="Debian's pulseaudio is not installed"),
]
SHARD = f"audio/{Layout.parse('own').shard_of('default')}"
STATUS = "/api/v1/audio/status"
WINDOW = 4_096
"""93 ms."""
OFF_S = 0.03
"""The device may be 10 ms from the server's time; the rest is for when the recording began, and for reading a position."""
SESSIONS = "/api/v1/sessions"
CARRIER_HZ, BEAT_HZ, OTHER_HZ, LEVEL = 400.0, 0.25, 700.0, 0.2
STEEPEST = 2 * np.pi * (CARRIER_HZ + OTHER_HZ) * LEVEL / RATE + LEVEL * np.pi / (FADE_S * RATE)
"""The greatest step of both, and of their fades."""


async def heard(recording: Recording, found: Callable[[Samples], object], what: str) -> Samples:
    return await asyncio.to_thread(recording.until, found, what, 60.0)


async def until(asked: Callable[[], Awaitable[httpx.Response]], found: Callable[[httpx.Response], object]) -> None:
    """Ask until the answer is as wanted: an actor that was killed refuses for a while."""
    deadline = time.monotonic() + 60
    while not found(answer := await asked()):
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.05)


async def test_what_the_device_plays_goes_on_where_it_would_be_whatever_is_killed_and_ends_when_told() -> None:
    sink = NullSink()
    sink.start()
    try:
        async with (
            RunningServer(SANGHA_LOCAL_USER="1", **sink.environment) as server,
            httpx.AsyncClient(base_url=server.url, timeout=60) as http,
        ):
            await listed(http)
            await sessions(server, http, sink)
    finally:
        sink.end()


async def listed(http: httpx.AsyncClient) -> None:
    """The device is listed, and no other is made up."""
    devices = (await http.get("/api/v1/audio/devices")).json()["devices"]
    assert [each["name"] for each in devices if each["default"]] == ["default"]
    assert (await http.get("/api/v1/audio/status", params={"device": "nothing"})).status_code == 404
    await until(lambda: http.get(STATUS), lambda answer: answer.json()["device"]["present"])


class Session:
    """A binaural session on the device: its two ears are a phase apart that is its position."""

    def __init__(self, http: httpx.AsyncClient, made: dict[str, Any]) -> None:
        self.http, self.path, self.now = http, f"{SESSIONS}/{made['id']}", made

    async def does(self, what: str) -> None:
        answer = await self.http.post(f"{self.path}/{what}")
        assert answer.status_code == 200, answer.text
        self.now = (await self.http.get(self.path)).json()
        assert self.now["device_error"] is None

    def late_s(self, recording: Recording, samples: Samples) -> float:
        """How much later the last window of a recording sounds than its timeline says."""
        window = samples[-WINDOW:].astype(np.float64) * np.hanning(WINDOW)[:, None]
        at = np.arange(WINDOW) / RATE
        left, right = (abs_phase(window[:, ear] @ np.exp(-2j * np.pi * CARRIER_HZ * at)) for ear in (0, 1))
        heard_s = (right - left) / (2 * np.pi * BEAT_HZ)
        timeline = self.now["timeline"]
        anchor = datetime.fromisoformat(timeline["anchor_at"]).timestamp()
        middle = recording.began_at + (len(samples) - WINDOW / 2) / RATE
        off = timeline["position_s"] + middle - anchor - heard_s
        return float((off + 0.5 / BEAT_HZ) % (1 / BEAT_HZ) - 0.5 / BEAT_HZ)


def abs_phase(value: complex) -> float:
    return float(np.angle(value))


async def made(http: httpx.AsyncClient, **more: Any) -> Session:
    body = {"name": "on the device", "intention": "peace", "duration": 600, "volume": LEVEL} | more
    answer = await http.post(f"{SESSIONS}/create", json={"hardware_enabled": True} | body)
    assert answer.status_code == 200, answer.text
    id_ = answer.json()["session_id"]
    return Session(http, (await http.get(f"{SESSIONS}/{id_}")).json())


async def sessions(server: RunningServer, http: httpx.AsyncClient, sink: NullSink) -> None:
    one = await made(http, audio_type="binaural", audio_frequency=CARRIER_HZ, beat_frequency=BEAT_HZ)
    other = await made(http, audio_type="pure_sine", audio_frequency=OTHER_HZ)
    with sink.recording() as recording:
        await one.does("start")
        start = len(await heard(recording, sounds(CARRIER_HZ), "the session"))
        samples = await asyncio.to_thread(recording.further, 1.0)
        assert np.abs(level_db(samples[:, 0]) - 20 * np.log10(LEVEL / 2**0.5)).max() < 0.5, "its level, without a gap"
        assert abs(one.late_s(recording, samples_at(recording, start + RATE))) < OFF_S

        await one.does("pause")
        await heard(recording, silent, "it stands")
        stood_s = one.now["timeline"]["position_s"]
        await one.does("resume")
        assert one.now["timeline"]["position_s"] == stood_s
        again = await heard(recording, sounds(CARRIER_HZ), "it goes on")
        assert abs(one.late_s(recording, again)) < OFF_S

        await other.does("start")
        await heard(recording, sounds(CARRIER_HZ, OTHER_HZ), "both")
        pid, _ = await server.kill(SHARD)
        gone = len(await heard(recording, silent, "nobody plays"))
        at = time.monotonic()
        again = await heard(recording, sounds(CARRIER_HZ, OTHER_HZ), "both again")
        measured("a killed sound device is heard again", time.monotonic() - at)
        assert abs(one.late_s(recording, again)) < OFF_S
        assert steepest(again[gone:, 0]) <= STEEPEST, "no click"
        assert await server.pid_of(SHARD, other_than=pid)

        server.hit("serve", signal.SIGKILL)
        await server.exited()
        await heard(recording, silent, "nobody is there")
        at = time.monotonic()
        await server.start()
        again = await heard(recording, sounds(CARRIER_HZ, OTHER_HZ), "both after a restart, without a word")
        measured("SIGKILL serve, what it played is heard again", time.monotonic() - at)
        assert abs(one.late_s(recording, again)) < OFF_S

        await other.does("stop")
        await heard(recording, sounds(CARRIER_HZ), "one of them")
        await one.does("stop")
        ended = len(whole := await heard(recording, silent, "neither"))
        assert steepest(whole[len(again) :, 0]) <= STEEPEST, "no click"
        await asyncio.to_thread(recording.further, 1.0)
        assert not recording.samples[ended:].any(), "and it stays so"
    await until(lambda: http.get(STATUS), lambda answer: not answer.json()["is_playing"])


def samples_at(recording: Recording, end: int) -> Samples:
    return recording.samples[:end]


def silent(samples: Samples) -> bool:
    return len(samples) >= WINDOW and not samples[-WINDOW:].any()


def sounds(*frequencies: float) -> Callable[[Samples], bool]:
    """Whether the last window is of these, at their level each."""

    def found(samples: Samples) -> bool:
        if len(samples) < WINDOW or not samples[-1].any():
            return False
        peaks = spectrum(samples[-WINDOW:, 0], RATE)
        if len(peaks.frequencies) != len(frequencies):
            return False
        return np.allclose(sorted(peaks.frequencies), frequencies, atol=2) and np.allclose(
            peaks.amplitudes, LEVEL, rtol=0.05
        )

    return found

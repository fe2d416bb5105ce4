"""SIGKILL of the sound device's actor while it plays: what a null sink records afterwards is where it would have been.

What is played is a sweep, so that each moment of the recording tells the position at which it was heard.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable

import httpx
import numpy as np
import pytest
from harness import RunningServer, measured
from sound_world import RATE, NullSink, Recording, Samples, steepest

from actors.audio.spectrum import spectrum
from actors.runtime.layout import Layout

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("pulseaudio") is None, reason="Debian's pulseaudio is not installed"),
]
SHARD = f"audio/{Layout.parse('own').shard_of('default')}"
STATUS = "/api/v1/audio/status"
SWEEP_S, LOW_HZ, HZ_PER_S, LEVEL = 10.0, 400.0, 100.0, 0.4
WINDOW = 4_096
"""93 ms, in which the sweep goes up by less than a bin."""
OFF_S = 0.06
"""The device may be 30 ms from the server's time; the rest is for reading the sweep."""


def sweep() -> list[float]:
    at = np.arange(round(SWEEP_S * RATE)) / RATE
    phase = 2 * np.pi * (LOW_HZ * at + HZ_PER_S * at**2 / 2)
    found: list[float] = np.round(LEVEL * np.sin(phase), 4).tolist()
    return found


def began_at(samples: Samples, at: int) -> float:
    """When, in seconds of the recording, the sweep began of which a window of the recording at ``at`` is a part."""
    peaks = spectrum(samples[at : at + WINDOW, 0], RATE)
    return float((at + WINDOW / 2) / RATE - (peaks.frequencies[0] - LOW_HZ) / HZ_PER_S)


def sounding(samples: Samples) -> bool:
    """Whether all of the last window sounds at its level."""
    last = np.abs(samples[-WINDOW:, 0]).reshape(16, -1).max(axis=1)
    return len(samples) >= WINDOW and bool(last.min() > 0.9 * LEVEL)


async def heard(recording: Recording, found: Callable[[Samples], object], what: str) -> Samples:
    return await asyncio.to_thread(recording.until, found, what, 60.0)


async def until(asked: Callable[[], Awaitable[httpx.Response]], found: Callable[[httpx.Response], object]) -> None:
    """Ask until the answer is as wanted: an actor that was killed refuses for a while."""
    deadline = time.monotonic() + 60
    while not found(answer := await asked()):
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.05)


async def test_a_killed_device_plays_on_at_the_right_position_and_ends_at_the_end() -> None:
    sink = NullSink()
    sink.start()
    try:
        async with RunningServer(SANGHA_LOCAL_USER="1", **sink.environment) as server:
            await played(server, sink)
    finally:
        sink.end()


async def played(server: RunningServer, sink: NullSink) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        await listed(http)
        await killed(server, http, sink)


async def listed(http: httpx.AsyncClient) -> None:
    """The device is listed, and no other is made up."""
    devices = (await http.get("/api/v1/audio/devices")).json()["devices"]
    assert [each["name"] for each in devices if each["default"]] == ["default"]
    assert (await http.get("/api/v1/audio/status", params={"device": "nothing"})).status_code == 404
    await until(lambda: http.get(STATUS), lambda answer: answer.json()["device"]["present"])


async def killed(server: RunningServer, http: httpx.AsyncClient, sink: NullSink) -> None:
    with sink.recording() as recording:
        answer = await http.post("/api/v1/audio/play", json={"audio_data": sweep()})
        assert answer.json()["status"] == "playing", answer.text
        before = len(await heard(recording, sounding, "the sweep"))
        assert (await http.get(STATUS)).json()["is_playing"]
        pid, _ = await server.kill(SHARD)
        silent = len(await heard(recording, lambda all_: not all_[-WINDOW:].any(), "nobody plays"))
        again = len(await heard(recording, sounding, "it plays on"))
        await until(lambda: http.get(STATUS), lambda answer: answer.status_code == 200)
        await heard(recording, lambda all_: not all_[-WINDOW:].any(), "the end")
        samples = recording.samples
    began = began_at(samples, before - WINDOW)
    assert began_at(samples, again - WINDOW) == pytest.approx(began, abs=OFF_S), "the right position"
    resumed = silent + int(np.flatnonzero(samples[silent:, 0])[0])
    measured("a killed sound device is heard again", (resumed - silent) / RATE)
    highest = LOW_HZ + HZ_PER_S * SWEEP_S
    assert steepest(samples[resumed - RATE // 10 :, 0]) <= 1.02 * LEVEL * 2 * np.pi * highest / RATE, "no click"
    last = int(np.flatnonzero(samples[:, 0])[-1]) / RATE
    assert last == pytest.approx(began + SWEEP_S, abs=OFF_S), "it ends at its end"
    assert await server.pid_of(SHARD, other_than=pid)
    await until(lambda: http.get(STATUS), lambda answer: not answer.json()["is_playing"])
    await until(lambda: http.get("/api/v1/audio/spectrum"), lambda answer: not answer.json()["frequencies"])

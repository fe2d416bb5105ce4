"""Plays what a device's entity says, in a thread of its own: PortAudio's calls may hang, and to render takes a while.

What sounds at a moment is ``sounding.sound`` of the voices and the server's time, so the player knows no position of its own: it
asks the device when the ring's samples are heard, renders ``AHEAD_S`` ahead of that, and where the device's clock has drifted
from the server's, or voices have changed, it renders anew what was not heard yet and fades over to it. So there is no click
and no waiting, and after a crash, an underrun or a device that was away, all is where it would have been.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import numpy as np

from actors.audio.commands import Report
from actors.audio.events import Voice
from actors.audio.mix import rise
from actors.audio.portaudio import Device, NoSound, Output, devices, named, refresh
from actors.audio.ring import Ring, Samples
from actors.audio.sounding import sound
from actors.audio.spectrum import WINDOW, spectrum
from actors.audio.state import DeviceVoices
from actors.audio.values import CHANNELS, MAX_VOLUME

log = logging.getLogger(__name__)

AHEAD_S: Final = 0.5
KEPT_S: Final = 0.08
"""So much of what was rendered already is still played when voices change: what it takes to render the first block anew."""
BLOCK: Final = 4_096
TURN_S: Final = 0.05
LOOK_S: Final = 2.0
"""How often a device is looked for that is not there."""
REPORT_S: Final = 0.1
IDLE_S: Final = 30.0
"""After so long without a voice the device is given back."""
DRIFT_S: Final = 0.01
"""How far the device may be from the server's time: a crystal's 100 ppm are so much in two minutes. Then it is faded over."""
HURRY: Final = -11
"""As sound servers do: a callback that is late is heard. Most systems allow it to root alone; without it all goes on."""
REST_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""After a turn that failed, and after each that fails again."""
OFF: Final = "none"


class Player:
    """See the module. ``name``: the device; ``none`` is no device. ``report`` is called in the player's thread."""

    def __init__(self, name: str, report: Callable[[Report], None], *, rate: int, max_volume: float) -> None:
        self._name, self._report, self._rate, self._max_volume = name, report, rate, max_volume
        self._wanted = DeviceVoices()
        self._playing: tuple[Voice, ...] = ()
        self._output: Output | None = None
        self._device: Device | None = None
        self._status = ""
        self._base: int | None = None
        self._underruns = 0
        self._failures = 0
        self._looked_at = self._told_at = self._sounded_at = float("-inf")
        self._told: Report | None = None
        self._wake, self._ending = threading.Event(), threading.Event()
        self.busy_since: float | None = None
        """Since when the thread is in one turn (monotonic): long, where a sound system hangs."""
        self._thread = threading.Thread(target=self._run, name="audio player", daemon=True)

    # For other threads

    def start(self) -> None:
        """Begin to look for the device."""
        self._thread.start()

    def show(self, wanted: DeviceVoices) -> None:
        """What is to sound from now on."""
        self._wanted = wanted
        self._wake.set()

    def end(self, timeout_s: float = 2.0) -> None:
        """Fade out and give the device back. Waits for it for a while."""
        self._ending.set()
        self._wake.set()
        self._thread.join(timeout_s)

    @property
    def idle(self) -> bool:
        """Whether nothing sounds, nor will, and the device is given back."""
        return self._output is None and not self._wanted.voices

    # The thread

    def _run(self) -> None:
        _hurry()
        while not self._ending.is_set():
            self.busy_since = time.monotonic()
            rest_s = self._guarded(self._wanted)
            self.busy_since = None
            if rest_s > TURN_S:
                self._ending.wait(rest_s)
            else:
                self._wake.wait(TURN_S)
            self._wake.clear()
        if self._output is not None:
            self._output.ring.silent = True
            time.sleep(self._output.latency_s + 2 * TURN_S)
            self._close()

    def _guarded(self, wanted: DeviceVoices) -> float:
        """A turn, and how long to rest after it. One that fails in a way that nobody foresaw is told of and logged; the sound is
        silent for a while, and tried again: to begin anew in a new process would fail in the same way, for ever."""
        try:
            self._turn(wanted)
        except Exception as failure:
            rest_s = REST_S[min(self._failures, len(REST_S) - 1)]
            self._failures += 1
            log.exception("%s: the sound failed; it is tried again in %g s", self._name, rest_s)
            with contextlib.suppress(Exception):
                self._close()
            self._status = f"the sound failed ({type(failure).__name__}); it is tried again in {rest_s:g} s"
            with contextlib.suppress(Exception):
                self._tell()
            return rest_s
        if self._output is not None and self._base is not None:
            self._failures = 0  # it plays
        return TURN_S

    def _turn(self, wanted: DeviceVoices) -> None:
        now = datetime.now(UTC)
        if any(voice.ends_at > now for voice in wanted.voices.values()):
            self._sounded_at = time.monotonic()
        try:
            self._play(wanted)
        except NoSound as why:
            self._close()
            self._device = None
            self._say(str(why))
        self._tell()

    def _play(self, wanted: DeviceVoices) -> None:
        awake = time.monotonic() - self._sounded_at < IDLE_S
        if self._output is None:
            if time.monotonic() - self._looked_at >= LOOK_S or (awake and self._device is not None):
                self._look(awake=awake)
        elif not self._output.alive:
            raise NoSound(f"{self._output.device.name} takes no samples any more; it is looked for again")
        elif not awake:
            self._close()
        if self._output is not None:
            self._fill(self._output, wanted)

    def _look(self, *, awake: bool) -> None:
        """Find the device; open it where something sounds. Raises NoSound."""
        if self._name == OFF:
            raise NoSound("sound is switched off here (AUDIO_DEVICE=none)")
        self._looked_at = time.monotonic()
        if self._device is None or not awake:
            refresh()
        self._device = device = named(self._name, devices())
        if awake:
            self._output = self._opened(device)
            self._output.start()
        self._say(f"{device.name} ({device.host_api}) {'plays' if awake else 'is there'}")

    def _opened(self, device: Device) -> Output:
        """At the rate of all that sounds, else at the device's own."""
        try:
            return Output(device, ring_of(self._rate))
        except NoSound:
            own = round(device.sample_rate)
            if own == self._rate:
                raise
            return Output(device, ring_of(own))

    def _close(self) -> None:
        if self._output is None:
            return
        output, self._output = self._output, None
        self._underruns += output.ring.underruns
        self._base, self._playing = None, ()
        output.close()
        if self._device is not None:
            self._say(f"{self._device.name} ({self._device.host_api}) is there")

    def _say(self, status: str) -> None:
        if status != self._status:
            log.info("%s: %s", self._name, status)
        self._status = status

    # The ring

    def _fill(self, output: Output, wanted: DeviceVoices) -> None:
        ring, heard = output.ring, output.heard_at()
        ring.volume = min(wanted.volume, self._max_volume) / MAX_VOLUME
        if heard is None and self._base is None:
            return  # the device just began; when what it takes is heard is not known yet
        was, base = self._playing, self._base
        if heard is not None and (base is None or abs(heard * ring.rate - base) > DRIFT_S * ring.rate):
            self._base = round(heard * ring.rate)
            if base is not None:
                log.info("%s: %.0f ms were between its time and ours", self._name, (heard - base / ring.rate) * 1e3)
        assert self._base is not None
        self._playing = tuple(wanted.voices.values())
        if ring.ahead <= 0 or not ring.started:
            self._join(ring, (), self._base)
        elif base is not None and (self._playing != was or self._base != base):
            self._join(ring, was, base)
        while ring.ahead < AHEAD_S * ring.rate:
            ring.put(ring.write, sound(self._playing, self._base + ring.write, BLOCK, ring.rate))

    def _join(self, ring: Ring, was: tuple[Voice, ...], base: int) -> None:
        """Fade over from what was to be heard, as soon as that can be rendered; later where that took too long."""
        assert self._base is not None
        kept = min(max(round(KEPT_S * ring.rate), 2 * ring.block + ring.fade), round(2 * AHEAD_S * ring.rate))
        while True:
            at = ring.read + kept
            if ring.started and ring.ahead > 0:
                at = min(at, ring.write)  # what comes after is of no sound yet
            before = sound(was, base + at, ring.fade, ring.rate)
            samples = crossed(before, sound(self._playing, self._base + at, BLOCK, ring.rate))
            if at - ring.read > ring.block or kept > AHEAD_S * ring.rate:
                ring.put(at, samples)
                return
            kept *= 2

    # What is told

    def _tell(self) -> None:
        """The entity hears of changes at once, and of what sounds at 10 Hz."""
        output, now = self._output, time.monotonic()
        known = self._told
        sounds = output is not None and output.ring.started and self._sounded_at > now - 1.0
        stirred = known is None or (known.status, known.present) != (self._status, self._device is not None)
        stirred = stirred or (bool(known and known.frequencies) and not sounds)
        if not stirred and not (sounds and now - self._told_at >= REPORT_S):
            return
        self._told_at, self._told = now, self._seen(output if sounds else None)
        self._report(self._told)

    def _seen(self, sounding: Output | None) -> Report:
        device, output = self._device, self._output
        peaks = None if sounding is None else spectrum(sounding.ring.heard(WINDOW), sounding.ring.rate)
        position, drift_s = (None, None) if sounding is None else self._heard_now(sounding)
        return Report(
            present=device is not None,
            status=self._status[:500],
            device=None if device is None else device.name,
            host_api=None if device is None else device.host_api,
            sample_rate=None if output is None else float(output.ring.rate),
            latency_s=None if output is None else output.latency_s,
            underruns=self._underruns + (0 if output is None else output.ring.underruns),
            frequencies=() if peaks is None else peaks.frequencies,
            amplitudes=() if peaks is None else peaks.amplitudes,
            position=position,
            drift_s=drift_s,
        )

    def _heard_now(self, output: Output) -> tuple[float | None, float | None]:
        """Which moment of the server's time sounds now, and how far that is ahead of the moment itself."""
        heard = output.heard_at()
        if heard is None or self._base is None:
            return None, None
        drift_s = self._base / output.ring.rate - heard
        return time.time() + drift_s, drift_s


def ring_of(rate: int) -> Ring:
    """Room for what is ahead and, at the worst, a block that is faded in after it; and for what was heard, to be measured."""
    return Ring(round(2 * AHEAD_S * rate) + BLOCK + WINDOW, rate)


def _hurry() -> None:
    """This thread, and so those of the sound system that it starts, come before others where that is allowed."""
    if sys.platform.startswith("linux"):  # where a thread has a priority of its own
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), HURRY)


def crossed(was: Samples, samples: Samples) -> Samples:
    """``samples``, faded in over ``was``, which begins where they do and is over sooner."""
    gain = rise(0, len(was), len(was))[:, None]
    joined: Samples = np.array(samples, dtype=np.float32)
    joined[: len(was)] = was * (1 - gain) + samples[: len(was)] * gain
    return joined.reshape(-1, CHANNELS)

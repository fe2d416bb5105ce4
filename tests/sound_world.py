"""A sound card that is none: a PulseAudio null sink, to which ALSA's default leads, and a recording of what it played.

It lives in a home directory of its own, so nothing of the machine's own sound is touched. Debian's ``pulseaudio
pulseaudio-utils libportaudio2 libasound2-plugins``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

RATE = 44_100
SINK = "sangha"
READY_S = 20.0
PART_S = 0.005
"""What comes sooner after what came before is of the same block."""
ASOUND = "pcm.!default { type pulse }\nctl.!default { type pulse }\n"

Samples = NDArray[np.float32]


class NullSink:
    """See the module."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="sgp-"))
        self.socket = self.home / "pulse.sock"
        (self.home / ".asoundrc").write_text(ASOUND)
        runtime = self.home / "runtime"
        runtime.mkdir(mode=0o700)
        self.environment = {
            "HOME": str(self.home),
            "XDG_RUNTIME_DIR": str(runtime),
            "XDG_CONFIG_HOME": str(self.home),
            "PULSE_RUNTIME_PATH": str(runtime),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        self._server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it, and return when it takes clients."""
        self.socket.unlink(missing_ok=True)
        modules = (
            f"module-null-sink sink_name={SINK} rate={RATE} format=float32le channels=2",
            f"module-native-protocol-unix socket={self.socket} auth-anonymous=1",
            "module-always-sink",
        )
        loads = [word for module in modules for word in ("-L", module)]
        plain = ("-n", "--exit-idle-time=-1", "--daemonize=no", "--use-pid-file=no")
        self._server = subprocess.Popen(
            ["pulseaudio", *plain, *loads], env=os.environ | self.environment, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_S
        while subprocess.run(self._pactl("info"), env=os.environ | self.environment, capture_output=True).returncode:
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("PulseAudio did not start")

    def _pactl(self, *words: str) -> list[str]:
        return ["pactl", "--server", self.environment["PULSE_SERVER"], *words]

    def kill(self) -> None:
        """The sound card is pulled out."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    def end(self) -> None:
        """Leave nothing."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    @contextmanager
    def recording(self) -> Iterator[Recording]:
        """What it plays meanwhile. Begins once the first sample was recorded."""
        command = ["parec", "-d", f"{SINK}.monitor", "--format=float32le", f"--rate={RATE}", "--channels=2"]
        process = subprocess.Popen(
            [*command, "--latency-msec=20", "--raw"], env=os.environ | self.environment, stdout=subprocess.PIPE
        )
        recording = Recording(process)
        try:
            recording.until(lambda samples: len(samples) > 0, "the recording begins")
            yield recording
        finally:
            process.kill()
            process.wait()
            recording.join()


class Recording:
    """Grows in a thread."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._pipe = process.stdout
        self._bytes = bytearray()
        self._arrived: list[tuple[float, int]] = []
        self._grew = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while data := os.read(self._pipe.fileno(), 1 << 16):
            with self._grew:
                self._arrived.append((time.time(), len(self._bytes) // 8))
                self._bytes += data
                self._grew.notify_all()

    def join(self) -> None:
        """No more comes."""
        self._thread.join()
        self._pipe.close()

    @property
    def samples(self) -> Samples:
        """All so far, (count, 2)."""
        with self._grew:
            whole = bytes(self._bytes[: len(self._bytes) // 8 * 8])
        return np.frombuffer(whole, dtype="<f4").reshape(-1, 2)

    @property
    def began_at(self) -> float:
        """When its first sample was played, in epoch seconds, to some 10 ms: a sink hands on, block by block, what it plays."""
        with self._grew:
            arrived = self._arrived[:]
        blocks = [now for before, now in pairwise(arrived) if now[0] - before[0] > PART_S]
        return median(at - samples / RATE for at, samples in blocks)

    def until(self, found: Callable[[Samples], object], what: str, timeout_s: float = READY_S) -> Samples:
        """The samples, once they are as wanted."""
        deadline = time.monotonic() + timeout_s
        while not found(samples := self.samples):
            with self._grew:
                if not self._grew.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() >= deadline:
                    raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        return samples

    def further(self, seconds: float) -> Samples:
        """The samples of so many seconds from now on."""
        with self._grew:
            start = len(self._bytes) // 8
            end = start + round(seconds * RATE)
            if not self._grew.wait_for(lambda: len(self._bytes) // 8 >= end, READY_S + seconds):
                raise TimeoutError(f"no {seconds:g} s more")
            part = bytes(self._bytes[8 * start : 8 * end])
        return np.frombuffer(part, dtype="<f4").reshape(-1, 2)


def level_db(samples: Samples) -> NDArray[np.float64]:
    """RMS of each 10 ms of a channel, in dB of full scale (a sine of peak 1 has -3.01)."""
    window = RATE // 100
    cut = samples[: len(samples) // window * window].astype(np.float64).reshape(-1, window)
    found: NDArray[np.float64] = 10 * np.log10(np.maximum((cut**2).mean(axis=1), 1e-20))
    return found


def steepest(samples: Samples) -> float:
    """The greatest step from one sample to the next."""
    return float(np.abs(np.diff(samples.astype(np.float64))).max())

"""The adapter to PortAudio: which sound devices there are, and a stream that takes from a ``Ring``.

``sounddevice`` is imported here alone, and when it is first needed: without the library, or without a device, there is a
``NoSound`` that says so in words. Everything here but the callback may take long (it waits for sound servers), so it is for
a thread. PortAudio knows the devices that were there when it began; ``refresh`` lets it begin anew, which only happens where no
stream of this process is open. As a program it prints the devices as JSON: so the event loop's processes ask (``probe``), which
a hanging sound server must not hold up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from actors.audio.device_clock import DeviceClock
from actors.audio.values import CHANNELS

if TYPE_CHECKING:
    from actors.audio.ring import Ring

DEFAULT: Final = "default"
LATENCY_S: Final = 0.2
"""Asked of the device. Python's callback may be late on a busy machine (0.1 s was too little beside seven busy processes on two
cores); nobody plays along with a singing bowl, and what sounds is where it belongs whatever the latency."""
DEAD_AFTER_S: Final = 3.0
"""A device that has taken no sample for so long is gone. A null sink of PulseAudio's takes none in its first 1.4 s."""
PROBE_S: Final = 3.0
"""A probe takes 0.1 s; a sound server that hangs is none."""
PROBE: Final = (sys.executable, "-m", __name__)
KILLED_S: Final = 1.0
"""A process that was killed is waited for so long; one that hangs in the kernel is left."""
_TRIES: Final = 3
"""At the two clocks at once: whoever is interrupted between them reads them apart."""


class NoSound(Exception):
    """There is no sound, and why: for people."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """Something that plays."""

    index: int
    name: str
    host_api: str
    channels: int
    sample_rate: float
    latency_s: float
    default: bool


_open: set[Output] = set()
_lock: Final = threading.Lock()


def devices() -> list[Device]:
    """All that play, by index. Raises NoSound where there is no PortAudio."""
    sounddevice = _library()
    with _lock:
        try:
            apis: Any = sounddevice.query_hostapis()
            found: Any = sounddevice.query_devices()
            default = sounddevice.default.device[1]
        except sounddevice.PortAudioError as failure:
            raise NoSound(f"PortAudio does not work: {failure}") from failure
    if default < 0:  # of another sound system than the first
        default = next((api["default_output_device"] for api in apis if api["default_output_device"] >= 0), -1)
    return [
        Device(
            index=each["index"],
            name=each["name"],
            host_api=apis[each["hostapi"]]["name"],
            channels=each["max_output_channels"],
            sample_rate=each["default_samplerate"],
            latency_s=each["default_low_output_latency"],
            default=each["index"] == default,
        )
        for each in found
        if each["max_output_channels"] > 0
    ]


def refresh() -> None:
    """Look for devices anew, where nothing of this process plays. Raises NoSound."""
    sounddevice = _library()
    with _lock:
        if _open:
            return
        try:
            sounddevice._terminate()  # noqa: SLF001 - there is no other way to see a device that came later
            sounddevice._initialize()  # noqa: SLF001 - as above
        except sounddevice.PortAudioError as failure:
            raise NoSound(f"PortAudio does not work: {failure}") from failure


def named(name: str, known: Sequence[Device]) -> Device:
    """The device of a name or an index; ``default`` is the system's own choice. Raises NoSound."""
    if not known:
        raise NoSound("there is no sound device")
    for device in known:
        if device.name == name or (name.isascii() and name.isdigit() and device.index == int(name[:9])):
            return device
    if name == DEFAULT:
        return next((device for device in known if device.default), known[0])
    raise NoSound(f"there is no sound device {name!r}: `sangha devices` lists those that are there")


async def probe(timeout_s: float = PROBE_S) -> list[Device]:
    """The devices of this machine, asked in a process of its own. Raises NoSound."""
    try:
        process = await _begun()
    except OSError as failure:
        raise NoSound(f"no process can be started that asks for devices: {failure.strerror}") from failure
    try:
        async with asyncio.timeout(timeout_s):
            answer, _ = await process.communicate()
    except TimeoutError:
        raise NoSound(f"the sound system does not answer within {timeout_s:g} s") from None
    finally:
        await _ended(process)
    try:
        found = msgspec.json.decode(answer, type=list[Device] | str)
    except msgspec.DecodeError:
        raise NoSound("the sound system ended the process that asked for devices") from None
    if isinstance(found, str):
        raise NoSound(found)
    return found


async def _begun() -> asyncio.subprocess.Process:
    """The process, at the head of a session of its own. Raises OSError.

    Who gives up while it is started leaves nothing either: asyncio would end it alone, and what it started would stay.
    """
    starting = asyncio.ensure_future(
        asyncio.create_subprocess_exec(
            *PROBE, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
        )
    )  # fmt: skip
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        with contextlib.suppress(OSError):
            await _ended(await starting)
        raise


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Nothing is left of it, nor of what it started and waited for."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(KILLED_S):
            await process.communicate()


class Output:
    """A device that plays what is in a ring, from ``start`` to ``close``. ``rate``: the ring's. Raises NoSound."""

    def __init__(self, device: Device, ring: Ring) -> None:
        sounddevice = _library()
        self.device, self.ring = device, ring
        self._clock = DeviceClock()
        self._channels = min(CHANNELS, device.channels)
        self._taken_at = time.monotonic()
        try:
            self._stream = sounddevice.OutputStream(
                samplerate=ring.rate,
                device=device.index,
                channels=self._channels,
                dtype="float32",
                latency=LATENCY_S,
                callback=self._take,
            )
        except (sounddevice.PortAudioError, ValueError) as failure:
            raise NoSound(f"{device.name} cannot be opened: {failure}") from failure
        with _lock:
            _open.add(self)

    def start(self) -> None:
        """It takes from the ring from now on. Raises NoSound."""
        self._taken_at = time.monotonic()
        try:
            self._stream.start()
        except _library().PortAudioError as failure:
            self.close()
            raise NoSound(f"{self.device.name} cannot be started: {failure}") from failure

    def close(self) -> None:
        """It takes no more. What the device still had to play is not played: fade out before."""
        with contextlib.suppress(_library().PortAudioError):
            self._stream.abort()
        with contextlib.suppress(_library().PortAudioError):
            self._stream.close()
        with _lock:
            _open.discard(self)

    @property
    def latency_s(self) -> float:
        """From being taken to being heard, as PortAudio has it."""
        return float(self._stream.latency)

    @property
    def alive(self) -> bool:
        """Whether it still takes samples."""
        return time.monotonic() - self._taken_at < DEAD_AFTER_S

    def heard_at(self) -> float | None:
        """When position 0 of the ring was heard (or would have been), in epoch seconds; None until the device goes steadily."""
        zero = self._clock.zero()
        if zero is None:
            return None
        best, offset = float("inf"), 0.0
        for _ in range(_TRIES):
            before, device, after = time.time(), float(self._stream.time), time.time()
            if 0 <= after - before < best:
                best, offset = after - before, (before + after) / 2 - device
        return zero + offset

    def _take(self, out: Any, frames: int, times: Any, status: Any) -> None:
        """PortAudio's callback, in a thread of its own."""
        self._clock.took(self.ring.read / self.ring.rate, times.outputBufferDacTime)
        if status.output_underflow and self.ring.started:
            self.ring.underruns += frames  # at the least: how much was late it does not say
        if self._channels == CHANNELS:
            self.ring.take(out)
        else:
            both = out.repeat(CHANNELS, axis=1)
            self.ring.take(both)
            out[:, 0] = both.mean(axis=1)
        self._taken_at = time.monotonic()


def _library() -> ModuleType:
    """``sounddevice``, which loads PortAudio. Raises NoSound."""
    try:
        import sounddevice
    except (ImportError, OSError) as missing:
        why = "Debian's libportaudio2 has it" if isinstance(missing, OSError) else str(missing)
        raise NoSound(f"there is no PortAudio library on this machine: {why}") from missing
    found: ModuleType = sounddevice
    _be_quiet()
    return found


_ALSA_HANDLER: Final = ctypes.CFUNCTYPE(
    None, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p
)
_quiet: list[Any] = []


def _be_quiet() -> None:
    """ALSA writes to standard error what PortAudio then says in an error code: a dozen lines at each look for devices."""
    if _quiet or not sys.platform.startswith("linux"):
        return
    handler = _ALSA_HANDLER(lambda *_: None)
    _quiet.append(handler)  # as long as ALSA may call it
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libasound.so.2").snd_lib_error_set_handler(handler)


def _main() -> None:
    try:
        found: Any = devices()
    except NoSound as why:
        found = str(why)
    sys.stdout.buffer.write(msgspec.json.encode(found))


if __name__ == "__main__":
    _main()

r"""Hardware behind a serial port, such as a microcontroller with relays and PWM outputs. 115,200 baud, 8N1, lines of ASCII.

    ours    SET <output> <0|1> <intensity 0.000–1.000> <frequency in Hz, or -> <seconds until it is off>\n
    theirs  OK\n      it is so
            ERR <why>\n

The hardware itself has to switch an output off after its seconds, so that none stays on when this process, or the cable, is gone;
one that stays on longer is told again. A port that fails is closed and opened anew with the next command. pyserial blocks, so
every exchange runs in a thread; one at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from datetime import datetime
from typing import Final

import serial

from actors.hardware.adapters import HardwareFailure
from actors.hardware.values import Output

BAUD: Final = 115_200
TIMEOUT_S: Final = 1.0
"""For an answer; relays take milliseconds."""
LINE_MAX: Final = 200
"""Bytes of an answer."""
try:
    import termios

    GONE: Final[tuple[type[Exception], ...]] = (serial.SerialException, OSError, termios.error)
    """What pyserial raises of a port that is not there any more; the last is none of the others."""
except ImportError:  # Windows
    GONE = (serial.SerialException, OSError)  # type: ignore[misc]


class SerialPort:
    """One port, opened when it is first needed."""

    name = "serial"
    simulated = False

    def __init__(self, port: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._path, self._timeout_s = port, timeout_s
        self._port: serial.Serial | None = None
        self.present = False
        self.status = f"the serial port {port} was not needed yet"

    async def set(self, output: Output, now: datetime) -> None:
        """Tell it, and wait for its answer. Raises HardwareFailure."""
        await asyncio.to_thread(self._exchange, line_of(output, now))

    async def close(self) -> None:
        """Give the port back."""
        await asyncio.to_thread(self._close)

    def _exchange(self, line: bytes) -> None:
        try:
            answer = self._ask(line)
        except GONE as failure:
            self._close()
            raise self._failed(
                f"the serial port {self._path} cannot be used: it is not there, or another's"
            ) from failure
        if not answer.endswith(b"\n"):
            self._close()
            raise self._failed(f"nothing answered at {self._path} within {self._timeout_s:g} s")
        said = answer.decode("ascii", "replace").strip()
        self.present = True
        self.status = f"at {self._path}"
        if said != "OK":
            raise HardwareFailure(f"it refused: {_shown(said.removeprefix('ERR').strip())}")

    def _ask(self, line: bytes) -> bytes:
        if self._port is None:
            self._port = serial.Serial(
                self._path, BAUD, timeout=self._timeout_s, write_timeout=self._timeout_s, exclusive=True
            )
        self._port.reset_input_buffer()  # an answer that came too late for its question is none to this one
        self._port.write(line)
        found: bytes = self._port.read_until(b"\n", LINE_MAX)
        return found

    def _failed(self, why: str) -> HardwareFailure:
        self.present, self.status = False, why
        return HardwareFailure(why)

    def _close(self) -> None:
        if self._port is not None:
            with contextlib.suppress(*GONE):
                self._port.close()
            self._port = None


def line_of(output: Output, now: datetime) -> bytes:
    """The line that says how an output is to be."""
    left_s = 0 if output.ends_at is None else math.ceil(max(0.0, (output.ends_at - now).total_seconds()))
    frequency = "-" if output.frequency_hz is None else f"{output.frequency_hz:.2f}"
    return f"SET {output.name} {output.on:d} {output.intensity:.3f} {frequency} {left_s}\n".encode("ascii")


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text) or "it did not say why"

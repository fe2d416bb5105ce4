"""What stands between the desk and the hardware, and the one that stands for hardware that is not there."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from actors.hardware.values import Output


class HardwareFailure(Exception):
    """The hardware did not do it. The message is a short phrase that may be shown."""


class Adapter(Protocol):
    """One piece of hardware with outputs. Calls come one after the other."""

    @property
    def name(self) -> str:
        """``simulator``, ``serial``."""

    @property
    def simulated(self) -> bool:
        """Whether there is no hardware behind it."""

    @property
    def present(self) -> bool:
        """Whether it answered last."""

    @property
    def status(self) -> str:
        """In words."""

    async def set(self, output: Output, now: datetime) -> None:
        """The output is so from here on. Raises HardwareFailure: then it may be either way."""

    async def close(self) -> None:
        """Let go of it."""


class Simulator:
    """Does what hardware would, without any: it is told and agrees."""

    name = "simulator"
    simulated = True
    present = False
    status = "there is no hardware: a simulator takes its place (SANGHA_HARDWARE_PORT names a serial port)"

    async def set(self, output: Output, now: datetime) -> None:
        """Agreed."""

    async def close(self) -> None:
        """Nothing was held."""

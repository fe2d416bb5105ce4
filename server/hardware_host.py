"""The Ray actor of the hardware: one process has the serial port, or the simulator that stands for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from actors.hardware.adapters import Adapter, Simulator
from actors.hardware.worker import HardwareHandler
from actors.runtime.wire import Ask
from server.settings import Settings
from server.worker_hosts import WorkerHost


def adapter_of(settings: Settings) -> Adapter:
    """What the settings name."""
    if settings.hardware_port is None:
        return Simulator()
    from actors.hardware.serial_port import SerialPort  # pyserial is only who uses it's

    return SerialPort(settings.hardware_port)


class HardwareHost(WorkerHost):
    """Ray places it anywhere: a serial port asks for a server of one machine, or for the same port's name on each."""

    def handler(self) -> Callable[[Ask], Awaitable[bytes]]:
        """The desk."""
        settings = self.settings
        self.desk = HardwareHandler(
            adapter_of(settings), level=settings.hardware_level, amplifier_connected=settings.amplifier_connected
        )
        return self.desk

    async def drain(self) -> None:
        """Finish what is under way, switch everything off."""
        await super().drain()
        await self.desk.close()

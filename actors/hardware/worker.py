"""The desk behind its link: each command goes to the hardware first, and is so afterwards.

It keeps what it was told in memory; one process has it, and with it the port. An output is switched off at its end. Where the
hardware cannot be told to switch off, that is tried again until it is: the output shows the error meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from msgspec import structs

from actors.hardware import desk as desks
from actors.hardware import values as v
from actors.hardware.adapters import Adapter, HardwareFailure
from actors.runtime.errors import ActorUnavailable
from actors.runtime.wire import Ask

log = logging.getLogger(__name__)

AGAIN_S: Final = 2.0
"""After the hardware could not be told that an output is off."""


class HardwareHandler:
    """What ``actors.runtime.worker.Worker`` calls."""

    def __init__(
        self,
        adapter: Adapter,
        *,
        level: int,
        amplifier_connected: bool,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._adapter, self._now = adapter, now
        self._desk = desks.begun(level, amplifier_connected=amplifier_connected)
        self._one = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    async def __call__(self, ask: Ask) -> bytes:
        """The desk as JSON. Raises Conflict, ActorUnavailable; BadRequest, Invalid where it is no command."""
        command = v.codec.decode(ask.command)
        async with self._one:
            await self._do(command)
        return v.hardware_codec.encode(self.shown())

    async def _do(self, command: v.AnyCommand) -> None:
        match command:
            case v.SetLevel(level=level):
                self._desk = structs.replace(self._desk, level=level)
            case v.SetAmplifier() | v.SetCrystalGrid() | v.SetBassShaker():
                await self._tell([desks.switched(self._desk, command, self._now())])
            case v.AllOff():
                await self._tell([desks.off(each) for each in self._desk.outputs.values()])

    async def _tell(self, outputs: Iterable[v.Output]) -> None:
        """All of them, also where one fails. Raises ActorUnavailable."""
        failed: list[str] = []
        for wanted in outputs:
            try:
                await self._adapter.set(wanted, self._now())
            except HardwareFailure as failure:
                failed.append(f"{wanted.name}: {failure}")
                known = self._desk.outputs[wanted.name]
                self._put(structs.replace(known, error=str(failure)))
            else:
                self._put(wanted)
        self._wake_at_the_next_end()
        if failed:
            raise ActorUnavailable(f"the hardware did not do it: {'; '.join(failed)}")

    def _put(self, output: v.Output) -> None:
        self._desk = desks.with_outputs(self._desk, [output])

    def _wake_at_the_next_end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        ends_at = desks.next_end(self._desk)
        self._timer = None if ends_at is None else self._later((ends_at - self._now()).total_seconds())

    def _later(self, delay_s: float) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(max(0.0, delay_s), self._begin)

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self.end_what_is_over())

    async def end_what_is_over(self) -> None:
        """Switch off the outputs whose end has come."""
        async with self._one:
            try:
                await self._tell([desks.off(each) for each in desks.over(self._desk, self._now())])
            except ActorUnavailable as failure:
                log.warning("an output could not be switched off, again soon: %s", failure)
                if self._timer is not None:
                    self._timer.cancel()
                self._timer = self._later(AGAIN_S)

    def shown(self) -> v.Hardware:
        """The desk."""
        outputs = self._desk.outputs
        return v.Hardware(
            simulated=self._adapter.simulated,
            adapter=self._adapter.name,
            present=self._adapter.present,
            status=self._adapter.status,
            level=self._desk.level,
            amplifier=outputs["amplifier"],
            crystal_grid=outputs["crystal_grid"],
            bass_shaker=outputs["bass_shaker"],
        )

    async def close(self) -> None:
        """Switch everything off that is on, and let go of the hardware."""
        if self._timer is not None:
            self._timer.cancel()
        async with self._one:
            try:
                await self._tell([desks.off(each) for each in self._desk.outputs.values() if each.on])
            except ActorUnavailable as failure:
                log.warning("at the end: %s", failure)
            await self._adapter.close()

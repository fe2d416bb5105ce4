"""What a gateway knows of the server's sound device, for those of its practitioners who look at what sounds.

That somebody plays there is asked of storage once a second; its entity is asked only while somebody does, so that to look wakes
no device. What it measured of its sound is of all that sounds on it. Whether there is a device at all, where nothing plays, is
what this gateway's own machine says when it is looked for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from actors.audio import commands as c
from actors.audio.portaudio import DEFAULT, NoSound
from actors.audio.replies import DeviceState
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError
from actors.runtime.ports import StoreDown
from actors.runtime.wire import Refused
from server.audio_devices import KIND, OFF, devices_of

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 10
"""Ticks (of 100 ms) between two looks into storage, and between two questions while nobody who looks plays there themselves."""
LIST_S: Final = 60.0
"""How often a machine is asked for its devices, which is a process of 0.1 s."""
OWN: Final = Address(KIND, DEFAULT)

Plain = str | int | float | bool | None
_ASK: Final = c.encode(c.GetDevice())
_decode: Final = msgspec.json.Decoder(DeviceState).decode


class SharedDevice:
    """See the module. Nothing runs here but what ``tick`` begins."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._voices: list[tuple[str, str | None]] = []
        self._state: DeviceState | None = None
        self._listed: tuple[bool, str] | None = None
        self._list_at = float("-inf")
        self._looking = self._asking = False

    def tick(self, number: int, lookers: Collection[str]) -> None:
        """Ten times a second, with all who look."""
        second, now = number % LOOK_EVERY == 0, asyncio.get_running_loop().time()
        if second and not self._looking:
            self._looking = True
            self._gateway.spawn(self._look())
        if self._voices and not self._asking and (second or any(self.plays(each) for each in lookers)):
            self._asking = True
            self._gateway.spawn(self._ask())
        if now >= self._list_at:
            self._list_at = now + LIST_S
            self._gateway.spawn(self._list())

    def plays(self, practitioner: str) -> bool:
        """Whether they play something there that is no session's (those are heard by themselves)."""
        return (practitioner, None) in self._voices

    def heard_by(self, practitioner: str) -> Mapping[float, float]:
        """What the device measured, amplitudes by frequency in Hz, where they play something of their own on it."""
        if self._state is None or not self.plays(practitioner):
            return {}
        return dict(zip(self._state.frequencies, self._state.amplitudes, strict=False))

    def status(self) -> dict[str, Plain]:
        """In plain values; what is not known is None."""
        state, known = self._state, self._listed
        if state is not None:
            known = state.present, state.status
        elif self._gateway.settings.audio_device == OFF:
            known = False, "sound is switched off here (AUDIO_DEVICE=none)"
        return {
            "audio_device": None if known is None else known[0],
            "audio_status": None if known is None else known[1],
            "audio_voices": len(self._voices),
            "audio_volume": None if state is None else state.volume,
            "audio_underruns": None if state is None else state.underruns,
        }

    async def _look(self) -> None:
        try:
            self._voices = await self._gateway.queries.playing_on(DEFAULT)
        except StoreDown as down:
            log.debug("who plays is not seen: %s", down)
        finally:
            self._looking = False
            if not self._voices:
                self._state = None

    async def _ask(self) -> None:
        try:
            self._state = await self._answer()
        finally:
            self._asking = False

    async def _answer(self) -> DeviceState | None:
        try:
            answer = await self._gateway.ask(OWN, _ASK)
            return None if isinstance(answer, Refused) else _decode(answer.body)
        except (SanghaError, msgspec.ValidationError):
            log.debug("the sound device does not answer", exc_info=True)
            return None

    async def _list(self) -> None:
        if self._gateway.settings.audio_device == OFF:
            return
        try:
            found = await devices_of(self._gateway).listed()
        except NoSound as why:
            self._listed = False, str(why)
        else:
            names = ", ".join(each.name for each in found[:3])
            self._listed = bool(found), names or "there is no sound device"

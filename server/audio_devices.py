"""Sound devices as the server knows them: which names are one, on which node its actor belongs, what a gateway remembers.

``default`` is the one of the setting ``audio_device`` on whichever node has sound; another name or index is one that this machine
lists; ``ADDRESS/default`` is that of another node. Each name that is let through becomes a Ray actor, so no other is.
"""

from __future__ import annotations

import asyncio
import re
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from actors.audio.portaudio import DEFAULT, Device, NoSound, named, probe
from actors.audio.recipe import Recipe
from actors.runtime.errors import NotFound
from server.limits import RateLimit

if TYPE_CHECKING:
    from server.gateway import Gateway

KIND: Final = "audio"
OFF: Final = "none"
RESOURCE: Final = "sangha_audio"
"""Ray's custom resource of a node that has a sound device; its amount says nothing."""
SHARE: Final = 0.0001
LISTED_S: Final = 2.0
"""How long a list of devices is good for: to look is a process of 0.1 s."""
REMEMBERED: Final = 1_000
"""Practitioners whose last sound is remembered in a gateway: some 10 MB at most."""
PLAYS_PER_MINUTE: Final = 60
"""Of one practitioner: a sound of samples is 0.9 MB in the journal."""
_ELSEWHERE: Final = re.compile(r"(?P<node>[0-9a-fA-F.:]{2,45})/default")


class Devices:
    """A gateway's own."""

    def __init__(self, *, lifted: bool) -> None:
        self.plays = RateLimit(10**9 if lifted else PLAYS_PER_MINUTE, time.monotonic)
        self._last: OrderedDict[str, Recipe] = OrderedDict()
        self._listed: tuple[float, list[Device] | NoSound] = (float("-inf"), [])
        self._listing = asyncio.Lock()

    def remember(self, practitioner: str, recipe: Recipe) -> None:
        """The sound that a practitioner generated last, for ``play`` without one. It is not durable."""
        self._last[practitioner] = recipe
        self._last.move_to_end(practitioner)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)

    def last(self, practitioner: str) -> Recipe | None:
        """As remembered."""
        return self._last.get(practitioner)

    async def listed(self) -> list[Device]:
        """What this machine has. Raises NoSound."""
        async with self._listing:
            at, found = self._listed
            if time.monotonic() - at > LISTED_S:
                try:
                    found = await probe()
                except NoSound as why:
                    found = why
                self._listed = time.monotonic(), found
        if isinstance(found, NoSound):
            raise NoSound(str(found))
        return found


_devices: weakref.WeakKeyDictionary[object, Devices] = weakref.WeakKeyDictionary()
"""By gateway."""


def devices_of(gateway: Gateway) -> Devices:
    """A gateway's."""
    known = _devices.get(gateway)
    if known is None:
        known = _devices[gateway] = Devices(lifted=gateway.settings.lab)
    return known


def generated(gateway: Gateway) -> Devices:
    """Where what a practitioner generated last is remembered."""
    return devices_of(gateway)


async def check_device(gateway: Gateway, name: str) -> str:
    """The one name of a device, whose actor has it as its id. Raises NotFound where there is none of that name."""
    if name == DEFAULT:
        return DEFAULT
    if elsewhere := _ELSEWHERE.fullmatch(name):
        found: dict[str, Any] = await gateway.topology() if gateway.topology is not None else {"nodes": []}
        if any(node["alive"] and node["address"] == elsewhere["node"] for node in found["nodes"]):
            return name
        raise NotFound(f"there is no node {elsewhere['node']}")
    if gateway.settings.audio_device == OFF:
        raise NotFound("sound is switched off here (AUDIO_DEVICE=none)")
    try:
        return named(name, await devices_of(gateway).listed()).name
    except NoSound as why:
        raise NotFound(str(why)) from why


def place_of(entity: str | None, cluster: Mapping[str, float]) -> dict[str, float]:
    """What a device's actor needs of Ray: the node that its name says, else one that has sound; where no node has, nothing."""
    if entity is not None and (elsewhere := _ELSEWHERE.fullmatch(entity)):
        node = f"node:{elsewhere['node']}"
        return {node: SHARE} if node in cluster else {}
    return {RESOURCE: SHARE} if cluster.get(RESOURCE) else {}


def device_of(entity: str, setting: str) -> str:
    """Which device of its machine an entity plays on; ``none`` is no device."""
    return setting if setting == OFF or entity == DEFAULT or _ELSEWHERE.fullmatch(entity) else entity

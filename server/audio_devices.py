"""Sound devices as the server knows them: which names are one, on which node its actor belongs, what a gateway remembers.

``default`` is the one of the setting ``audio_device`` on whichever node has sound; another name or index is one that this machine
lists; ``ADDRESS/NAME`` is one of another node, and on a cluster of several nodes of this one too. Each device has one name, and
each name that is let through becomes a Ray actor, so no other is, and not too many are.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from actors.audio.portaudio import DEFAULT, Device, NoSound, named, probe
from actors.audio.recipe import Recipe
from actors.audio.replies import DeviceState
from actors.audio.values import DURATION_MAX_S
from actors.runtime.errors import ActorUnavailable, Full, NotFound
from server.by_gateway import ByGateway
from server.limits import RateLimit, TooSoon

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
"""Of one practitioner: a sound of samples is up to 1.8 MB in the journal, as long as it sounds."""
DEVICES_MAX: Final = 8
"""Devices beside ``default`` that may be begun to play on through one gateway: each is a process of 100 MB."""
OWN_DEVICES_MAX: Final = 2
"""Of those by one practitioner, so that there are some for others."""
SENDING_MAX: Final = 3
"""Bodies of samples that one gateway takes in at once: with what becomes of them some 200 MB at most."""
IN_USE_S: Final = float(DURATION_MAX_S)
"""So long after it was last asked for a device counts; nothing sounds longer."""
_ELSEWHERE: Final = re.compile(r"(?P<node>[0-9a-fA-F.:]{2,45})/(?P<name>.+)")


class Places:
    """Who sends samples now."""

    def __init__(self) -> None:
        self._sending: set[str] = set()

    @contextmanager
    def place(self, practitioner: str) -> Iterator[None]:
        """One of the places, while it lasts. Raises TooSoon."""
        if practitioner in self._sending:
            raise TooSoon("other samples of yours are on their way", 1)
        if len(self._sending) >= SENDING_MAX:
            raise TooSoon(f"samples of {SENDING_MAX} practitioners are on their way; try again", 1)
        self._sending.add(practitioner)
        try:
            yield
        finally:
            self._sending.discard(practitioner)


class Cluster(NamedTuple):
    """What is known of the cluster: ``here``, this machine's address, those of all nodes that are there, on which of them
    ``default`` plays (None: its actor sleeps), and which devices have an actor."""

    here: str | None
    nodes: tuple[str, ...]
    default: str | None
    awake: frozenset[str]


class Devices:
    """A gateway's own."""

    def __init__(self, *, lifted: bool) -> None:
        self.places = Places()
        self._used: dict[str, tuple[float, str]] = {}
        """When it was asked for last, and by whom first."""
        self._cluster: tuple[float, Cluster | None] = (float("-inf"), None)
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

    def use(self, name: str, practitioner: str) -> None:
        """Something of a practitioner's is to sound on a device. Raises Full."""
        now = time.monotonic()
        self._used = {known: each for known, each in self._used.items() if now - each[0] < IN_USE_S}
        if name == DEFAULT:
            return
        first = self._used[name][1] if name in self._used else practitioner
        if name not in self._used:
            if len(self._used) >= DEVICES_MAX:
                raise Full(f"{DEVICES_MAX} sound devices are in use already")
            if sum(by == practitioner for _, by in self._used.values()) >= OWN_DEVICES_MAX:
                raise Full(f"you began to play on {OWN_DEVICES_MAX} sound devices beside the default one already")
        self._used[name] = now, first

    def uses(self, name: str) -> bool:
        """Whether something was to sound on it lately: the coordinator hears of its actor a little later."""
        return name in self._used

    async def cluster(self, gateway: Gateway) -> Cluster | None:
        """As of a moment ago; None where nobody knows. Raises ActorUnavailable."""
        if gateway.topology is None:
            return None
        async with self._listing:
            at, known = self._cluster
            if time.monotonic() - at > LISTED_S:
                try:
                    known = cluster_of(await gateway.topology())
                except LookupError as away:
                    raise ActorUnavailable("the cluster's coordinator does not answer; try again") from away
                self._cluster = time.monotonic(), known
        return known


def cluster_of(topology: Mapping[str, Any]) -> Cluster:
    """As the topology that ``GET /api/admin/topology`` shows has it."""
    addresses = {node["id"]: node["address"] for node in topology["nodes"] if node["alive"]}
    devices = {each.get("entity"): each["node"] for each in topology["shards"] if each.get("kind") == KIND}
    here = next((each["node"] for each in topology["gateways"] if each["pid"] == os.getpid()), None)
    return Cluster(
        here=addresses.get(here),
        nodes=tuple(addresses.values()),
        default=addresses.get(devices.get(DEFAULT)),
        awake=frozenset(name for name in devices if name is not None),
    )


def _devices(gateway: Gateway) -> Devices:
    return Devices(lifted=gateway.settings.lab)


devices_of: Final = ByGateway(_devices)


async def check_device(gateway: Gateway, name: str, practitioner: str) -> str:
    """The one name of a device on which something of a practitioner's is to sound; its actor has it as its id. Raises NotFound
    where there is none of that name, Full where too many are in use, ActorUnavailable."""
    found = await name_of(gateway, name)
    devices_of(gateway).use(found, practitioner)
    return found


async def name_of(gateway: Gateway, name: str) -> str:
    """The one name of a device. Raises NotFound, ActorUnavailable."""
    if name == DEFAULT:
        return DEFAULT
    devices = devices_of(gateway)
    cluster = await devices.cluster(gateway)
    if elsewhere := _ELSEWHERE.fullmatch(name):
        known = () if cluster is None else cluster.nodes
        if elsewhere["node"] not in known:
            raise NotFound(f"there is no node {elsewhere['node']}")
        if cluster is not None and cluster.here != elsewhere["node"]:
            return _name_there(name, elsewhere["node"], cluster)
        name = elsewhere["name"]
    return await _name_here(gateway, name, cluster)


def _name_there(name: str, node: str, cluster: Cluster) -> str:
    """Of a device of another node, whose list is not known here: its default one, or one that plays. Raises NotFound."""
    if name == f"{node}/{DEFAULT}":
        return DEFAULT if cluster.default == node else name
    if name in cluster.awake:
        return name
    raise NotFound(f"from here only {node}/{DEFAULT} can be begun to play on; another one by a gateway of its own node")


async def _name_here(gateway: Gateway, name: str, cluster: Cluster | None) -> str:
    """Of a device of this machine."""
    setting = gateway.settings.audio_device
    if setting == OFF:
        raise NotFound("sound is switched off here (AUDIO_DEVICE=none)")
    alone = cluster is None or len(cluster.nodes) < 2
    if not alone and cluster is not None and cluster.here is None:
        raise ActorUnavailable("the coordinator does not know this gateway yet; try again")
    prefix = "" if alone or cluster is None else f"{cluster.here}/"
    try:
        listed = await devices_of(gateway).listed()
        found = named(setting if name == DEFAULT else name, listed)
        is_default = name == DEFAULT or found == named(setting, listed)
    except NoSound as why:
        raise NotFound(str(why)) from why
    if is_default:
        return DEFAULT if alone or (cluster and cluster.default == cluster.here) else f"{prefix}{DEFAULT}"
    return f"{prefix}{found.name}"


async def seen_asleep(gateway: Gateway, name: str) -> DeviceState | None:
    """A device (by its one name) that has no actor, for which none is to be started: nothing sounds there. None where it has, or
    may have, or is ``default``. Raises NotFound, ActorUnavailable."""
    if name == DEFAULT:
        return None
    devices = devices_of(gateway)
    cluster = await devices.cluster(gateway)
    if cluster is None or name in cluster.awake or devices.uses(name):
        return None
    if _ELSEWHERE.fullmatch(name):
        return DeviceState(
            device=name, present=False, status="nobody plays on this device of another node", volume=None
        )
    try:
        found = named(name, await devices.listed())
    except NoSound as why:
        raise NotFound(str(why)) from why
    status = f"{found.name} ({found.host_api}) is there; nobody plays on it"
    return DeviceState(device=name, present=True, status=status, volume=None, host_api=found.host_api)


async def elsewhere(gateway: Gateway) -> list[str]:
    """The default devices of other nodes, by name."""
    cluster = await devices_of(gateway).cluster(gateway)
    return [] if cluster is None else [f"{node}/{DEFAULT}" for node in cluster.nodes if node != cluster.here]


def is_elsewhere(name: str) -> bool:
    """Whether it is the name of a device of a certain node."""
    return _ELSEWHERE.fullmatch(name) is not None


def place_of(entity: str | None, cluster: Mapping[str, float]) -> dict[str, float] | None:
    """What a device's actor needs of Ray: the node that its name says (None: that is away, so there is no place for it now),
    else one that has sound; where no node has, nothing."""
    if entity is not None and (elsewhere := _ELSEWHERE.fullmatch(entity)):
        node = f"node:{elsewhere['node']}"
        return {node: SHARE} if node in cluster else None
    return {RESOURCE: SHARE} if cluster.get(RESOURCE) else {}


def device_of(entity: str, setting: str) -> str:
    """Which device of its machine an entity plays on; ``none`` is no device."""
    elsewhere = _ELSEWHERE.fullmatch(entity)
    name = entity if elsewhere is None else elsewhere["name"]
    return setting if setting == OFF or name == DEFAULT else name

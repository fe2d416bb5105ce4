"""The Ray actor of a sound device: its shard, and beside it a player that follows the entity like any follower.

The player gets a snapshot and the pushes after it through an ``Outlet`` of its own and makes sound of them; what it sees of the
hardware it tells the entity as a command without a caller. Nothing goes round the entity, so what sounds is what is journaled,
and when the process is killed the next one begins with the snapshot and goes on at the right position.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import Any, Final

import msgspec

from actors.audio.commands import Report
from actors.audio.events import AudioEvent
from actors.audio.state import DeviceVoices, evolve
from actors.runtime import placement as ray_actors
from actors.runtime.cell import Work
from actors.runtime.entity import Subscriber
from actors.runtime.followers import BEYOND
from actors.runtime.placement import Spec
from actors.runtime.shard import Shard
from actors.runtime.wire import Follow, Pushed, Resynced
from server.audio_devices import device_of
from server.audio_player import Player
from server.hosts import ShardHost

log = logging.getLogger(__name__)

WATCH_S: Final = 0.05
REST_S: Final = 60.0
"""After so long without a voice the player no longer follows, and the entity may rest."""
MOVE_S: Final = 5.0
"""Between two looks at the cluster."""
HUNG_S: Final = 20.0
"""A sound system in which a call lasts so long will not answer any more: only a new process gets rid of it."""


class _Frame(msgspec.Struct, gc=False):
    """What of an event's frame counts here."""

    body: AudioEvent


class _Snapshot(msgspec.Struct, gc=False):
    """What of a snapshot's frame counts here."""

    state: DeviceVoices


_event: Final = msgspec.json.Decoder(_Frame).decode
_snapshot: Final = msgspec.json.Decoder(_Snapshot).decode


class Follower:
    """A device's player on its entity's stream. ``name`` as every Outlet has one."""

    def __init__(self, shard: Shard, entity: str, player: Player) -> None:
        self.name = "player"
        self._shard, self._entity, self.player = shard, entity, player
        self._state = DeviceVoices()
        self.voiced_at = time.monotonic()

    def follow(self) -> None:
        """From the snapshot on that comes now."""
        self._shard.link_opened(self)
        own = Subscriber(self.name, self.name)
        self._shard.link_message(self, Follow(self._entity, BEYOND, [own]))
        self.player.start()

    def send(self, message: Any) -> None:
        """What the shard says."""
        if isinstance(message, Resynced) and message.snapshot is not None:
            self._state = _snapshot(message.snapshot).state
        elif isinstance(message, Pushed) and message.offset:
            self._state = evolve(self._state, _event(message.frame).body)
        else:
            return
        self.player.show(self._state)

    @property
    def rests(self) -> bool:
        """Whether nothing sounded for long."""
        if self._state.voices:
            self.voiced_at = time.monotonic()
        return time.monotonic() - self.voiced_at > REST_S

    def end(self) -> None:
        """It follows no more."""
        self._shard.link_closed(self)


class AudioHost(ShardHost):
    """See the module. It hosts one device, or by another layout several."""

    async def _start(self) -> None:
        self.followers: dict[str, Follower] = {}
        self._resting: dict[str, float] = {}
        await super()._start()
        assert self.shard is not None
        if self.entity is not None:  # at once: a device that was killed plays on before anybody asks
            self._follow(self.shard, self.entity)
            self.run(self._move())
        self.run(self._watch())

    async def _watch(self) -> None:
        assert self.shard is not None
        while True:
            for entity, cell in list(self.shard.cells.items()):
                used = cell.used_at > self._resting.get(entity, float("-inf"))
                if entity not in self.followers and (used or (cell.ready and cell.state.voices)):
                    self._follow(self.shard, entity)
            for entity, follower in list(self.followers.items()):
                busy = follower.player.busy_since
                if busy is not None and time.monotonic() - busy > HUNG_S:
                    log.critical("the sound system hangs; this actor starts anew")
                    os._exit(1)
                if follower.rests:
                    await self._let_rest(entity)
            await asyncio.sleep(WATCH_S)

    async def _move(self) -> None:
        """End where a node with a sound device came after this began without: whoever needs the device, and where something
        plays the coordinator, starts it there."""
        assert self.shard is not None
        spec = Spec(self.kind, self.shard_name, self.entity)
        while not await asyncio.to_thread(self.placement.is_misplaced, spec):  # noqa: ASYNC110 - Ray tells nobody of a new node
            await asyncio.sleep(MOVE_S)
        log.info("there is a node with a sound device now; this actor ends for one there")
        await self.drain()
        ray_actors.end_this_actor()
        await asyncio.Future()

    def _follow(self, shard: Shard, entity: str) -> None:
        loop = asyncio.get_running_loop()

        def tell(report: Report) -> None:
            loop.call_soon_threadsafe(shard.submit, Work(entity, report))

        name, settings = device_of(entity, self.settings.audio_device), self.settings
        player = Player(name, tell, rate=settings.sample_rate, max_volume=settings.max_volume)
        follower = self.followers[entity] = Follower(shard, entity, player)
        follower.follow()

    async def _let_rest(self, entity: str) -> None:
        follower = self.followers.pop(entity)
        follower.end()
        await asyncio.to_thread(follower.player.end)
        assert self.shard is not None
        # Whoever uses it after this wakes the player too, and so does what came while the player went to rest.
        self._resting[entity] = self.shard.clock.monotonic()

    async def drain(self) -> None:
        """Finish what is in flight, and fade out."""
        await super().drain()
        await asyncio.gather(*(asyncio.to_thread(each.player.end) for each in self.followers.values()))

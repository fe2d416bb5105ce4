"""A gateway over fake shards in which audio sessions are real: the entity decides, and its followers get its pushes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import msgspec
from gateway_fakes import SECRET, FakeQueries, FakeShards, World
from unit.driving import Driver

from actors.audio.replies import DeviceState
from actors.audio_session import commands as c
from actors.audio_session.entity import AudioSessionKind
from actors.runtime.cell import event_frame
from actors.runtime.entity import Caller, Subscriber
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Ask, Dropped, Following, Pushed, Refused
from server.gateway import Gateway
from server.settings import Settings
from storage.audio_queries import Audible


class SoundShards(FakeShards):
    """``audio_session`` by the real entity; all else as the other fakes have it."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Driver] = {}
        self.commands: list[Any] = []
        """What sessions were asked, from the oldest."""
        self.device: DeviceState | None = None
        self.asked_device = 0

    def session(self, id_: str, owner: str, **fields: Any) -> Driver:
        """A session is there."""
        driver = self.sessions.setdefault(id_, Driver(AudioSessionKind(), id_))
        self.tell(driver, c.CreateSession(**fields), Caller(owner))
        return driver

    def tell(self, driver: Driver, command: Any, caller: Caller | None) -> Any:
        """The reply; who follows gets what it caused, a turn later."""
        driver.now = datetime.now(UTC)
        before = len(driver.frames)
        decision = driver.do(command, caller)
        loop = asyncio.get_running_loop()
        for offset, published in driver.frames[before:]:
            frame = event_frame(f"audio_session:{driver.id}", offset, driver.now, published)
            loop.call_soon(self.on_message, "audio_session", Pushed(driver.id, offset, frame))
        if decision.unsubscribe:
            driver.present = {}
            loop.call_soon(self.on_message, "audio_session", Dropped(driver.id))
        return decision.reply

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind == "audio" and self.device is not None:
            self.asked_device += 1
            on_answer(Answer(message.cid, msgspec.json.encode(self.device)))
            return
        if kind != "audio_session" or self.refuse(message) is not None:
            super()._work(kind, message, on_answer)
            return
        assert isinstance(message, Ask)
        driver = self.sessions.get(message.entity) or Driver(AudioSessionKind(), message.entity)
        command = c.codec.decode(message.command)
        self.commands.append(command)
        try:
            reply = self.tell(driver, command, message.caller)
        except SanghaError as refused:
            on_answer(Refused(message.cid, refused.code, refused.message))
            return
        on_answer(Answer(message.cid, msgspec.json.encode(reply)))
        if isinstance(command, c.Listen):
            assert message.caller is not None
            assert message.caller.session is not None
            who = Subscriber(message.caller.session, message.caller.practitioner)
            driver.present = {**driver.present, who.session: who}
            self.on_message("audio_session", Following(driver.id, who.session, driver.offset))


class SoundQueries(FakeQueries):
    """Sessions as the shards have them."""

    def __init__(self, shards: SoundShards) -> None:
        super().__init__()
        self.shards = shards
        self.looks = 0
        self.guests: set[str] = set()
        self.voices: list[tuple[str, str | None]] = []
        """On the sound device: whose, and of which session."""

    async def audible_sessions(self, practitioner: str, limit: int) -> list[Audible]:
        self._check()
        self.looks += 1
        there = [driver.state.session for driver in self.shards.sessions.values() if driver.state.session is not None]
        live = [each for each in there if each.status in ("created", "running", "paused")]
        mine = [
            each for each in live if each.owner == practitioner or each.space in self.spaces_of.get(practitioner, ())
        ]
        return [
            Audible(self._id(each), each.space, each.owner if each.owner in self.guests else None)
            if each.owner != practitioner
            else Audible(self._id(each), None)
            for each in mine
        ][:limit]

    async def audio_session_place(self, session: str) -> Any:
        self._check()
        driver = self.shards.sessions.get(session)
        known = None if driver is None else driver.state.session
        return None if known is None else SimpleNamespace(owner=known.owner, space=known.space, guest=False)

    async def playing_on(self, device: str) -> list[tuple[str, str | None]]:
        self._check()
        return self.voices

    def _id(self, session: Any) -> str:
        return next(id_ for id_, driver in self.shards.sessions.items() if driver.state.session is session)


class SoundWorld(World):
    shards: SoundShards
    queries: SoundQueries


@asynccontextmanager
async def sound_world(**settings: Any) -> AsyncIterator[SoundWorld]:
    shards = SoundShards()
    queries = SoundQueries(shards)
    options = {"port": 0, "auth_timeout_s": 5.0, "audio_device": "none"} | settings
    gateway = Gateway(Settings(_env_file=None, **options), shards, queries, SECRET)
    shards.on_message = gateway.on_message
    port = await gateway.start()
    try:
        yield SoundWorld(gateway, shards, queries, port)
    finally:
        await gateway.stop()

"""Practitioners, spaces and rituals on a real database: their real shards in this process, which can be killed and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from backends import LAYOUT, PostgresBackend

from actors.audio import commands as d
from actors.audio.entity import AudioKind
from actors.audio_session import commands as a
from actors.audio_session.entity import AudioSessionKind
from actors.practitioner import commands as p
from actors.practitioner.entity import PractitionerKind
from actors.prayer import commands as w
from actors.prayer.entity import PrayerWheelKind
from actors.ritual import commands as r
from actors.ritual.entity import RitualKind
from actors.runtime.alarms import AlarmClock
from actors.runtime.entity import Address, Caller
from actors.runtime.ports import Batch
from actors.runtime.shard import Shard
from actors.runtime.wire import Answer, Ask, Refused
from actors.space import commands as s
from actors.space.entity import SpaceKind
from storage.seal import Seal
from storage.store import PostgresStore

KINDS: dict[str, Any] = {
    "practitioner": PractitionerKind,
    "space": SpaceKind,
    "ritual": RitualKind,
    "prayer_wheel": PrayerWheelKind,
    "audio_session": AudioSessionKind,
    "audio": AudioKind,
}
CODECS: dict[str, Any] = {
    "practitioner": p.codec,
    "space": s.codec,
    "ritual": r.codec,
    "prayer_wheel": w.codec,
    "audio_session": a.codec,
    "audio": d.codec,
}
SLOTS = [(0, 4096)]


class WallClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class Mortal(PostgresStore):
    """Its process is killed at the commit that ``doomed`` says, right before it or right after it happened."""

    town: Town

    async def commit(self, batch: Batch) -> None:
        blow = self.town.doomed(batch)
        if blow != "before":
            await super().commit(batch)
        if blow is not None:
            self.town.dead.set()
            await asyncio.Future()


class Town:
    """One shard a kind. It is its own post, and the way from a gateway to entities."""

    def __init__(self, backend: PostgresBackend, seal: Seal | None = None) -> None:
        self.backend, self.seal = backend, seal
        self.shards: dict[str, Shard] = {}
        self.stores: dict[str, Mortal] = {}
        self.dead = asyncio.Event()
        self.doomed: Callable[[Batch], str | None] = lambda batch: None
        self.halted: list[str] = []
        self._answers: dict[int, Callable[[Any], None]] = {}
        self._cid = 0
        self._alarms: list[asyncio.Task[None]] = []
        self.name = "town"

    async def start(self) -> Town:
        """Also again, after ``kill``."""
        self.dead = asyncio.Event()
        for kind, make in KINDS.items():
            store = Mortal(
                self.backend.dsn,
                kind=kind,
                layout=LAYOUT,
                shard=0,
                incarnation=self.backend.incarnation,
                seal=self.seal,
                sealed=make.sealed,
            )
            self.backend.stores.append(store)
            store.town = self
            await store.acquire()
            shard = Shard(make(), store, clock=WallClock(), post=self, halt=self.halted.append)  # type: ignore[arg-type]
            shard.confirmed_at = time.monotonic()
            shard.link_opened(self)
            self.shards[kind], self.stores[kind] = shard, store
            self._alarms.append(asyncio.create_task(AlarmClock(shard, SLOTS, lambda _: True).run()))
        return self

    async def kill(self) -> None:
        """Nothing of the shards runs on, and nobody gave anything back."""
        for task in (*self._alarms, *(task for shard in self.shards.values() for task in shard._tasks)):
            task.cancel()
        await asyncio.gather(*self._alarms, return_exceptions=True)
        for shard in self.shards.values():
            shard.stopped = True
        self._alarms, self._answers = [], {}

    def send(self, message: Any) -> None:
        """An Outlet's: an answer goes to whoever asked."""
        if isinstance(message, Answer | Refused) and message.cid in self._answers:
            self._answers.pop(message.cid)(message)

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        """A Post's: effects go to their entities."""
        self._send(target, command, None, operation, on_answer)

    async def ask(
        self, address: Address, command: bytes, caller: Caller | None = None, operation: str | None = None
    ) -> Any:
        """A gateway's: the Answer, or Refused."""
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(address, command, caller, operation, done.set_result)
        return await done

    async def do(self, kind: str, id_: str, command: Any, who: str | None = None) -> Any:
        """The answer's JSON; an error fails."""
        self._cid += 1
        caller = None if who is None else Caller(who, "Zephyrine")
        address, codec = Address(kind, id_), CODECS[kind]
        answer = await self.ask(address, codec.encode(command), caller, f"town:k-{self._cid}")  # type: ignore[attr-defined]
        assert isinstance(answer, Answer), answer
        return answer.body

    def _send(
        self,
        target: Address,
        command: bytes,
        caller: Caller | None,
        operation: str | None,
        on_answer: Callable[[Any], None],
    ) -> None:
        self._cid += 1
        self._answers[self._cid] = on_answer
        self.shards[target.kind].link_message(self, Ask(self._cid, target.id, command, caller, operation, None, False))

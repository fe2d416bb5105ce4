"""Audio sessions beside the fake shards of ``gateway_fakes``: enough of one to be listened to, changed and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
from gateway_fakes import ALICE, World, world

from actors.audio.recipe import Binaural, Recipe
from actors.audio.timeline import Timeline
from actors.audio_session import commands as c
from actors.audio_session.replies import AudioSession
from actors.runtime.entity import Address
from actors.runtime.wire import Answer, Ask, Dropped, Following, History, Pushed, Refused, Unfollow
from storage.audio_queries import Place, Stranger

SESSION = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
OTHER = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
TONE = Recipe(voices=(Binaural(carrier=432.0, beat=7.83, level=0.5),), duration_s=600)


def a_session(id_: str = SESSION, owner: str = ALICE, **fields: Any) -> AudioSession:
    """One that stands at its beginning."""
    now = datetime.now(UTC)
    given = {
        "id": id_, "name": "Evening", "intention": "", "status": "created", "duration": 600, "audio_type": "binaural",
        "audio_frequency": 432.0, "frequencies": (432.0,), "prayer_bowl_mode": False, "metadata": {}, "volume": 0.5,
        "astrology_enabled": False, "hardware_enabled": False, "visuals_enabled": False, "owner": owner, "space": None,
        "device": None, "device_error": None, "created_at": now, "updated_at": None, "started_at": None, "stopped_at": None,
        "start_time": now.timestamp(), "elapsed_time": 0, "recipe": TONE, "timeline": Timeline(),
    }  # fmt: skip
    return AudioSession(**(given | fields))


def running(session: AudioSession, *, in_s: float = 0.3, position_s: float = 0.0) -> AudioSession:
    """It runs from a position, some time from now."""
    anchor = datetime.now(UTC) + timedelta(seconds=in_s)
    timeline = Timeline(position_s=position_s, anchor_at=anchor)
    return msgspec.structs.replace(session, status="running", timeline=timeline)


def paused(session: AudioSession) -> AudioSession:
    """It stands where it is."""
    timeline = session.timeline.paused(datetime.now(UTC), session.recipe.duration_s)
    return msgspec.structs.replace(session, status="paused", timeline=timeline)


@dataclass
class FakeSessions:
    """Router and shard of audio sessions; other kinds go on to the other fakes."""

    world: World
    states: dict[str, AudioSession] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    followers: dict[str, set[str]] = field(default_factory=dict)
    held: list[Callable[[], None]] | None = None

    def link(self, address: Address) -> Any:
        if address.kind != "audio_session":
            return self.world.shards.link(address)
        return SimpleNamespace(ask=self._ask, send=self._unfollow, once=str)

    def _ask(self, make: Callable[[int], Any], on_answer: Callable[[Any], None]) -> None:
        message = make(1)

        def work() -> None:
            if self.held is None:
                self._work(message, on_answer)
            else:
                self.held.append(work)

        asyncio.get_running_loop().call_soon(work)

    def _work(self, message: Any, on_answer: Callable[[Any], None]) -> None:
        state = self.states.get(message.entity)
        if isinstance(message, History) or state is None:
            on_answer(Refused(message.cid, "not_found", "there is no such audio session"))
            return
        assert isinstance(message, Ask)
        assert message.caller is not None
        command = c.codec.decode(message.command)
        assert isinstance(command, c.Listen)
        lets_in = command.as_member is not None and command.as_member == state.space
        if message.caller.practitioner != state.owner and not lets_in:
            on_answer(Refused(message.cid, "not_found", "there is no such audio session"))
            return
        on_answer(Answer(message.cid, msgspec.json.encode(state)))
        assert message.caller.session is not None
        self.followers.setdefault(message.entity, set()).add(message.caller.session)
        offset = self.offsets.get(message.entity, 1)
        snapshot = {"stream": f"audio_session:{message.entity}", "offset": offset, "state": _plain(state)}
        self.world.gateway.on_message(
            "audio_session", Following(message.entity, message.caller.session, offset, orjson.dumps(snapshot))
        )

    def _unfollow(self, message: Unfollow) -> None:
        self.followers.get(message.entity, set()).discard(message.session)

    # What tests do to them

    def put(self, state: AudioSession) -> AudioSession:
        """It is there, or is now so: its followers hear of it."""
        there = state.id in self.states
        self.states[state.id] = state
        if there:
            self.push(state.id, "changed", _plain(state))
        return state

    def delete(self, id_: str = SESSION) -> None:
        del self.states[id_]
        self.push(id_, "deleted", {})
        self.world.gateway.on_message("audio_session", Dropped(id_, None))

    def push(self, id_: str, event: str, body: Any) -> None:
        offset = self.offsets[id_] = self.offsets.get(id_, 1) + 1
        frame = {"type": "event", "stream": f"audio_session:{id_}", "offset": offset, "at": "2026-01-01T00:00:00Z"}
        frame |= {"event": event, "from": None, "body": body}
        self.world.gateway.on_message("audio_session", Pushed(id_, offset, orjson.dumps(frame)))


def _plain(state: AudioSession) -> Any:
    return orjson.loads(msgspec.json.encode(state))


@asynccontextmanager
async def sounding(**settings: Any) -> AsyncIterator[tuple[World, FakeSessions]]:
    """A gateway with a login ``t`` of Alice's and a session of hers; who participates in its space is for the test to say."""
    async with world(**settings) as w:
        sessions = FakeSessions(w)
        w.gateway.router = sessions
        w.queries.login("t", ALICE)
        participants: set[tuple[str, str]] = set()

        async def place(id_: str) -> Any:
            state = sessions.states.get(id_)
            return None if state is None else Place(state.owner, state.space)

        async def participates(space: str, practitioner: str) -> bool:
            return (space, practitioner) in participants

        async def strangers(listening: list[tuple[str, str]]) -> list[Stranger]:
            w.queries._check()
            found = [(sessions.states[id_], who) for id_, who in listening]
            return [
                Stranger(state.id, who, state.owner, False, state.space)
                for state, who in found
                if who != state.owner and not {(state.space, who), (state.space, state.owner)} <= participants
            ]

        for name, value in (
            ("audio_session_place", place),
            ("participates", participates),
            ("participants", participants),
            ("audio_strangers", strangers),
        ):
            setattr(w.queries, name, value)
        sessions.put(a_session())
        yield w, sessions

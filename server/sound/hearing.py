"""What practitioners' audio sessions sound like at this very moment, ten times a second, for those who look through a gateway.

An *ear* a practitioner: it knows their sessions and those of spaces that they participate in (asked of storage once a second for
what is new, followed at their entities for what becomes of them) and shows a ``Moment`` of them to each of its listeners. What a
session sounds like is rendered from its recipe around its position and measured, in a thread, once a session and tick however
many look; the windows of sessions that sound at once are added up, as they are in the air. What they play on the server's device
beside their sessions is there as the device measured it (``shared_device``).

A tick is 100 ms. An ear whose last moment is not ready leaves a tick out, so what takes long makes its own frames rare; and where
several sound, an ear that took the thread for long rests until the others have had as much of it. Looks into storage are
spread over a second and come one after the other. Nothing runs here while nobody looks.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.audio.render import render
from actors.audio.spectrum import WINDOW, linear_bands, spectrum
from actors.audio.state import partials
from actors.audio.values import SAMPLE_RATE
from actors.audio_session import commands as c
from actors.audio_session.replies import AudioSession
from actors.practitioner import commands as practitioner
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError
from actors.runtime.ports import StoreDown
from server.audio_sessions import Inside
from server.sound.follower import Follower
from server.sound.shared_device import LOOK_EVERY, Plain, SharedDevice
from server.ws.dialects.vajra import BARS, BARS_HZ, SILENCE, Moment, Sounding

if TYPE_CHECKING:
    from server.gateway import Gateway
    from storage.audio_queries import Audible

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.1
SHOWN_MAX: Final = 32
"""Sessions of one practitioner that are shown: the newest of those that have not ended."""
HEARD_MAX: Final = 8
"""Of those, how many are heard: each that runs costs a few milliseconds of a thread for each tick."""
HEARD_PARTIALS: Final = 1_024
"""And how many sines they may have together: some 30 ms of the thread."""
ENDED_SHOWN_S: Final = 60.0
"""How long a session that has ended is still shown, so that whoever looks sees how."""
LIVE: Final = ("created", "running", "paused")
_decode = msgspec.json.Decoder(AudioSession).decode

Samples = NDArray[np.float32]
T = TypeVar("T")


class Listener(Protocol):
    """Who looks."""

    def show(self, moment: Moment) -> None:
        """A new one."""


class Hearing:
    """The ears of a gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._ears: dict[str, Ear] = {}
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spectrum")
        self._windows: dict[str, asyncio.Future[tuple[Samples, float]]] = {}
        self._ticks = self._made = 0
        self._ticking = False
        self.sounding = 1
        """Ears with something to measure, as of the last tick."""
        self.looking = asyncio.Lock()
        self.inside = Inside(gateway)
        """Of a second at most."""
        self.device = SharedDevice(gateway)

    def close(self) -> None:
        """Hear nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def ear(self, owner: str) -> Ear:
        """A practitioner's, which is there from now on."""
        if not self._ticking:
            self.inside = Inside(self.gateway)
        ear = self._ears.get(owner)
        if ear is None:
            self._made += 1
            ear = self._ears[owner] = Ear(self, owner, self._made % LOOK_EVERY)
        return ear

    def forget(self, ear: Ear) -> None:
        """Nobody looks through it any more."""
        if self._ears.get(ear.owner) is ear:
            del self._ears[ear.owner]

    def wake(self) -> None:
        """Somebody looks."""
        if not self._ticking:
            self._ticking = True
            self.gateway.spawn(self._tick())

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while self._ears:
                due = max(due + PERIOD_S, loop.time())  # what was missed is not made up for
                await asyncio.sleep(due - loop.time())
                self._ticks += 1
                self._windows = {}
                if self._ticks % LOOK_EVERY == 0:
                    self.inside = Inside(self.gateway)
                now, sounding = datetime.now(UTC), 0
                self.device.tick(self._ticks, self._ears.keys())
                for ear in list(self._ears.values()):
                    sounding += ear.tick(self._ticks, now)
                    await asyncio.sleep(0)  # the others of this loop have a turn between
                self.sounding = max(sounding, 1)
        finally:
            self._ticking = False

    async def measure(self, sessions: Sequence[AudioSession], now: datetime) -> tuple[Sounding, float]:
        """Of what they sound like together, and for how many seconds the thread was at it."""
        found = [await asyncio.shield(self._window(session, now)) for session in sessions]
        windows, took_s = [window for window, _ in found], sum(took_s for _, took_s in found)
        sounding, measuring_s = await self._in_thread(measured, windows)
        return sounding, took_s + measuring_s

    def _window(self, session: AudioSession, now: datetime) -> asyncio.Future[tuple[Samples, float]]:
        window = self._windows.get(session.id)
        if window is None:
            window = self._windows[session.id] = asyncio.ensure_future(self._in_thread(window_of, session, now))
        return window

    def _in_thread(self, work: Callable[..., T], *arguments: Any) -> asyncio.Future[tuple[T, float]]:
        """What came of it, and the processor's seconds that it took."""

        def timed() -> tuple[T, float]:
            began_s = time.thread_time()
            return work(*arguments), time.thread_time() - began_s

        return asyncio.get_running_loop().run_in_executor(self._pool, timed)


def sounds(session: AudioSession, now: datetime) -> bool:
    """Whether something of it is heard around a time."""
    anchor, end = session.timeline.anchor_at, session.timeline.ends_at(session.recipe.duration_s)
    half = timedelta(seconds=WINDOW / SAMPLE_RATE / 2)
    return session.status == "running" and anchor is not None and end is not None and anchor - half < now < end + half


def window_of(session: AudioSession, now: datetime) -> Samples:
    """(WINDOW, 2) samples of what a running session sounds like, the middle one now. Silent before it began to run."""
    timeline = session.timeline
    assert timeline.anchor_at is not None
    began = round(timeline.position_s * SAMPLE_RATE)
    start = began + round((now - timeline.anchor_at).total_seconds() * SAMPLE_RATE) - WINDOW // 2
    samples = render(session.recipe, start, WINDOW, SAMPLE_RATE)
    if start < began:
        samples[: began - start] = 0
    return samples


def measured(windows: Sequence[Samples]) -> Sounding:
    """What windows of one moment are together. Each has its own ceiling; together they may be above full scale."""
    together: Samples = np.sum(windows, axis=0, dtype=np.float32)
    peaks = spectrum(together, SAMPLE_RATE)
    bars = linear_bands(together, SAMPLE_RATE, BARS, BARS_HZ)
    return Sounding(
        frequencies=peaks.frequencies, amplitudes=peaks.amplitudes, bars=tuple(min(bar, 1.0) for bar in bars)
    )


def with_peaks(sounding: Sounding, peaks: Mapping[float, float]) -> Sounding:
    """And what was measured elsewhere, amplitudes by frequency: what is there already (within a bin) counts once, at its
    greatest."""
    if not peaks:
        return sounding
    found = dict(zip(sounding.frequencies, sounding.amplitudes, strict=True))
    bars = list(sounding.bars)
    for frequency, level in peaks.items():
        near = min(found, key=lambda other: abs(other - frequency), default=None)
        if near is not None and abs(near - frequency) < SAMPLE_RATE / WINDOW:
            level = max(level, found.pop(near))
        found[frequency] = level
        if frequency < BARS_HZ:
            bar = int(frequency * BARS / BARS_HZ)
            bars[bar] = max(bars[bar], min(level, 1.0))
    loudest = sorted(found.items(), key=lambda peak: -peak[1])
    return Sounding(
        frequencies=tuple(frequency for frequency, _ in loudest),
        amplitudes=tuple(level for _, level in loudest),
        bars=tuple(bars),
    )


class Ear:
    """One practitioner's. ``phase``: in which of ``LOOK_EVERY`` ticks it looks."""

    def __init__(self, hearing: Hearing, owner: str, phase: int) -> None:
        self.owner = owner
        self._phase = phase
        self._rests_until = 0.0
        self._hearing = hearing
        self._gateway = hearing.gateway
        self._sessions: dict[str, AudioSession] = {}
        self._listeners: set[Listener] = set()
        self._entering = 0
        self._busy = self._looking = False
        self._follower = Follower(hearing.gateway, owner, self._heard, self._lost)

    # --- who looks ---------------------------------------------------------------------------------------------------

    async def enter(self, login: str | None, listener: Listener) -> bytes:
        """Somebody with a login (None: the local user) looks from now on; the practitioner's profile. What ends the login is then
        heard by the gateway. Raises Unauthenticated, and what may be tried again."""
        self._entering += 1
        try:
            own, enter = Address("practitioner", self.owner), practitioner.Enter(login=login)
            profile = await self._follower.follow(own, practitioner.encode(enter))
            self._looking = True
            await self._look()
            self._listeners.add(listener)
        finally:
            self._entering -= 1
            self._gone_if_alone()
        self._hearing.wake()
        return profile

    def remove(self, listener: Listener) -> None:
        """It is shown nothing any more."""
        self._listeners.discard(listener)
        self._gone_if_alone()

    def _gone_if_alone(self) -> None:
        if not self._listeners and not self._entering:
            self._hearing.forget(self)
            self._follower.end()

    # --- which sessions ----------------------------------------------------------------------------------------------

    async def _look(self, *, in_turn: bool = False) -> None:
        """Follow what is new, let go what has ended. Storage that does not answer changes nothing."""
        try:
            async with self._hearing.looking if in_turn else nullcontext():
                rows = await self._gateway.queries.audible_sessions(self.owner, SHOWN_MAX)
            found = await self._let_in(rows)
            for session, space in found.items():
                if session not in self._sessions and not self._follower.closing:
                    await self._follow(session, space)
            for other in [
                each for each in self._sessions.values() if each.owner != self.owner and each.id not in found
            ]:
                self._leave(other)  # also where they are no longer a participant of its space, which nobody tells
        except StoreDown as down:
            log.debug("no new sessions are seen: %s", down)
        finally:
            self._looking = False

    async def _let_in(self, rows: Sequence[Audible]) -> dict[str, str | None]:
        """The sessions, and their spaces: without those of guests who have left. A space that does not answer changes nothing."""
        found, inside = {}, self._hearing.inside
        for session, space, guest in rows:
            there: bool | None = True
            if guest is not None and space is not None:
                there = await inside.has(self._follower.caller, space, guest)
            if there or (there is None and session in self._sessions):
                found[session] = space
        return found

    async def _follow(self, session: str, space: str | None) -> None:
        address, listen = Address("audio_session", session), c.Listen(as_member=space)
        try:
            answer = await self._follower.follow(address, c.encode(listen))
        except SanghaError as refused:  # deleted meanwhile, or its shard is away: the next look shows
            log.debug("session %s is not followed: %s", session, refused)
            return
        if self._follower.follows(address):  # it may have been deleted since
            self._sessions.setdefault(session, _decode(answer))

    def _heard(self, push: dict[str, Any]) -> None:
        """A push of a stream: a session is whole in each of its own."""
        kind, _, session = push["stream"].partition(":")
        snapshot = push["type"] == "snapshot"
        if kind != "audio_session" or not (snapshot or push["event"] == "changed"):
            return
        if (state := push["state" if snapshot else "body"]) is None:
            self._sessions.pop(session, None)
        else:
            self._sessions[session] = msgspec.convert(state, AudioSession)

    def _lost(self, address: Address) -> None:
        if address.kind == "audio_session":
            self._sessions.pop(address.id, None)

    def _let_go(self, now: datetime) -> None:
        for session in list(self._sessions.values()):
            ended = session.stopped_at if session.status not in LIVE else None
            if ended is not None and (now - ended).total_seconds() > ENDED_SHOWN_S:
                self._leave(session)

    def _leave(self, session: AudioSession) -> None:
        self._sessions.pop(session.id, None)
        self._follower.leave(Address("audio_session", session.id))

    # --- what is shown -----------------------------------------------------------------------------------------------

    def tick(self, number: int, now: datetime) -> bool:
        """Show the moment, or begin to find out what it sounds like; whether anything sounds."""
        if number % LOOK_EVERY == self._phase and not self._looking:
            self._looking = True
            self._let_go(now)
            self._gateway.spawn(self._look(in_turn=True))
        sessions = self._newest()
        sounding = self._sounding(sessions, now)
        if not sounding:
            if not self._busy:
                self._show(now, sessions)
        elif not self._busy and asyncio.get_running_loop().time() >= self._rests_until:
            self._busy = True
            self._gateway.spawn(self._measure(sounding, sessions, now))
        return bool(sounding)

    @staticmethod
    def _sounding(sessions: Sequence[AudioSession], now: datetime) -> list[AudioSession]:
        """Which of them are heard: the newest, as long as the thread can bear it."""
        found: list[AudioSession] = []
        room = HEARD_PARTIALS
        for session in sessions:
            if len(found) == HEARD_MAX:
                break
            if sounds(session, now) and (cost := partials(session.recipe)) <= room:
                room -= cost
                found.append(session)
        return found

    async def _measure(self, sounding: Sequence[AudioSession], sessions: Sequence[AudioSession], now: datetime) -> None:
        """Show what sounds with the sessions as they were then: one that was stopped meanwhile is shown at the next tick."""
        try:
            found, took_s = await self._hearing.measure(sounding, now)
            self._rests_until = asyncio.get_running_loop().time() + took_s * (self._hearing.sounding - 1)
            self._show(now, sessions, found)
        except Exception:  # nobody waits for this task; the next tick tries again
            log.exception("a spectrum could not be measured")
        finally:
            self._busy = False

    def _newest(self) -> list[AudioSession]:
        """Their own first: what others share with a space must not crowd these out."""
        return sorted(
            self._sessions.values(), key=lambda each: (each.owner == self.owner, each.created_at), reverse=True
        )

    def _show(self, now: datetime, sessions: Sequence[AudioSession], sounding: Sounding = SILENCE) -> None:
        sounding = with_peaks(sounding, self._hearing.device.heard_by(self.owner))
        moment = Moment(now, sessions, sounding, self._status())
        for listener in list(self._listeners):
            listener.show(moment)

    def _status(self) -> dict[str, Plain]:
        """What is known of the server, in plain values."""
        playouts, settings = self._gateway.playouts, self._gateway.settings
        running = sum(session.status == "running" for session in self._sessions.values())
        return self._hearing.device.status() | {
            "sessions_running": running,
            "listeners": 0 if playouts is None else playouts.listeners(self._sessions),
            "hardware_level_setting": settings.hardware_level,
        }

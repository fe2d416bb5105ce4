"""The playouts of one gateway: which streams are rendered here, for whom, and the threads and the clock that they share.

A playout has a *place* while its session runs: so many there are at once, with so many partials, and so many of one owner, so
that nobody's sessions keep the threads from the others'. A session that stands holds no place. Who would listen to one that
runs where there is no place is refused; where it begins to run, or grows, under its listeners, they are told (``unheard``)
and hear it as soon as a place is free, first come, first served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import msgspec

from actors.audio.state import partials
from actors.audio_session.replies import AudioSession
from actors.runtime.codec import invalid
from actors.runtime.errors import Full
from actors.runtime.wire import Dropped, Following, Pushed, Resynced
from server.sound import opus
from server.sound.blocks import Encoder, Payload
from server.sound.frames import CODECS, Codec, Name
from server.sound.pcm import PcmEncoder
from server.sound.playout import Handle, Playout
from server.ws.outbox import Outbox

log = logging.getLogger(__name__)

THREADS: Final = 2
"""That render: numpy lets go of the interpreter's lock for part of it only, so more would not do more."""
OWNER_MAX: Final = 8
"""Places of one owner's sessions."""
PARTIALS_MAX: Final = 4_096
"""Sines that a gateway renders at once: a third of what one core does, at 25 µs a second of sound and partial."""
OWNER_PARTIALS_MAX: Final = 1_024
"""Of those, one owner's: 93 bowls, or four sessions of eight layers with 32 frequencies each."""
_STEP_S: Final = 0.05
"""The two clocks of the machine part by so much only where somebody set one of them."""
_STREAMS: Final = 2**32


class ServerClock:
    """The server's time in epoch seconds, as ``ping`` tells it, but as smooth as the monotonic clock."""

    def __init__(self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic) -> None:
        self._wall, self._steady = wall, steady
        self._offset_s = wall() - steady()

    def now(self) -> float:
        """The time."""
        steady_s = self._steady()
        offset_s = self._wall() - steady_s
        if abs(offset_s - self._offset_s) > _STEP_S:
            self._offset_s = offset_s
        return steady_s + self._offset_s


class LoopWorks:
    """``playout.Works`` of a running loop. Use it inside one."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = ServerClock().now
        self._pool: ThreadPoolExecutor | None = None

    def later(self, delay_s: float, act: Callable[[], None]) -> Handle:
        """Call once, then."""
        return asyncio.get_running_loop().call_later(delay_s, act)

    def render(self, work: Callable[[], list[Payload]], then: Callable[[list[Payload] | None], None]) -> None:
        """Do it in one of the threads."""
        loop = asyncio.get_running_loop()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="playout")

        def done(future: Future[list[Payload]]) -> None:
            if not loop.is_closed() and not future.cancelled():
                loop.call_soon_threadsafe(then, _outcome(future))

        self._pool.submit(work).add_done_callback(done)

    def close(self) -> None:
        """What was not begun is not done."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def _outcome(future: Future[list[Payload]]) -> list[Payload] | None:
    failure = future.exception()
    if failure is None:
        return future.result()
    log.error("a session could not be rendered", exc_info=failure)
    return None


class _Changed(msgspec.Struct):
    event: str = ""
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Snapshot(msgspec.Struct):
    state: AudioSession | None


_pushed: Final = msgspec.json.Decoder(_Changed).decode
_snapshot: Final = msgspec.json.Decoder(_Snapshot).decode
_session: Final = msgspec.json.Decoder(AudioSession).decode


class Place(NamedTuple):
    """What a playout takes while its session runs."""

    owner: str
    partials: int


class Playouts:
    """See the module. ``most``: places in all; ``lifted``: one owner may have them all, of any size."""

    def __init__(self, most: int, *, lifted: bool = False) -> None:
        self._most, self._lifted = most, lifted
        self._works = LoopWorks()
        self._open: dict[tuple[str, Name], Playout] = {}
        self._of: dict[Outbox, dict[str, Playout]] = {}
        self._places: dict[Playout, Place] = {}
        self._waiting: dict[Playout, AudioSession] = {}
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._open)

    @property
    def rendered(self) -> int:
        """How many have a place."""
        return len(self._places)

    def listeners(self, owned: Collection[str]) -> int:
        """Sockets that hear one of these sessions here."""
        return sum(len(playout.listeners) for session in owned for playout in self._playouts_of(session))

    def check(self, codec: Name) -> None:
        """Somebody may listen in this codec. Raises Invalid."""
        if codec == "opus" and not opus.is_there():
            raise invalid("codec", "this server has no Opus encoder; pcm it has")

    def listen(self, outbox: Outbox, state: AudioSession, codec: Name, *, spectrum: bool) -> Playout:
        """A socket listens from now on, in this codec and no other. Raises Invalid; Full where it runs and has no place."""
        self.check(codec)
        self.leave(outbox, state.id)
        playout = self._open.get((state.id, codec))
        if playout is None:
            if (why := self._no_room(state)) is not None:
                raise Full(why)
            self._numbers = self._numbers % (_STREAMS - 1) + 1
            playout = Playout(state.id, CODECS[codec], self._numbers, self._works, encoder_of(CODECS[codec]))
            self._open[state.id, codec] = playout
        elif playout in self._waiting and (why := self._no_room(state)) is not None:
            raise Full(why)
        self._of.setdefault(outbox, {})[state.id] = playout
        playout.add(outbox, spectrum=spectrum)
        self._told(playout, state)
        return playout

    def leave(self, outbox: Outbox, session: str | None = None) -> None:
        """A socket listens no longer: to this session, or to none."""
        mine = self._of.get(outbox, {})
        for id_ in [session] if session is not None else list(mine):
            playout = mine.pop(id_, None)
            if playout is not None and playout.remove(outbox):
                del self._open[id_, playout.codec.name]
                self._stands(playout)
        if not mine:
            self._of.pop(outbox, None)

    def heard(self, message: Following | Pushed | Resynced | Dropped) -> None:
        """What a session's shard says to its followers, in the link's order. (Who begins to follow has its answer already.)"""
        mine = self._playouts_of(message.entity)
        if not mine:
            return
        if _is_the_end(message):
            for playout in mine:
                playout.fade()
                self._stands(playout)
        elif (state := _state_in(message)) is not None:
            for playout in mine:
                self._told(playout, state)

    def close(self) -> None:
        """The gateway ends."""
        for playout in self._open.values():
            playout.stop()
        self._open.clear()
        self._of.clear()
        self._places.clear()
        self._waiting.clear()
        self._works.close()

    def _playouts_of(self, session: str) -> list[Playout]:
        found = (self._open.get((session, codec)) for codec in CODECS)
        return [playout for playout in found if playout is not None]

    # --- places ----------------------------------------------------------------------------------------------------------

    def _told(self, playout: Playout, state: AudioSession) -> None:
        """A session is so now: it is rendered, stands, or waits for a place."""
        if state.status != "running":
            playout.told(state)
            self._stands(playout)
        elif (why := self._no_room(state, playout)) is None:
            self._waiting.pop(playout, None)
            self._places[playout] = Place(state.owner, partials(state.recipe))
            playout.told(state)
        else:
            new = playout not in self._waiting
            playout.fade()
            self._places.pop(playout, None)
            self._waiting[playout] = state
            if new:
                playout.say("unheard", {"code": Full.code, "message": why})
            self._whose_turn()

    def _stands(self, playout: Playout) -> None:
        """It takes no place, nor waits for one."""
        self._waiting.pop(playout, None)
        if self._places.pop(playout, None) is not None:
            self._whose_turn()

    def _whose_turn(self) -> None:
        """A place may be free: whoever waits and fits gets it, those that came first at first."""
        for playout, state in list(self._waiting.items()):
            if self._no_room(state, playout) is None:
                self._told(playout, state)

    def _no_room(self, state: AudioSession, playout: Playout | None = None) -> str | None:
        """Why a session, as it is, is not rendered (once more, or by this playout); None where it stands or there is room."""
        if state.status != "running":
            return None
        taken = [place for other, place in self._places.items() if other is not playout]
        of_owner = [place for place in taken if place.owner == state.owner]
        sines = partials(state.recipe)
        if len(taken) >= self._most:
            return f"this gateway renders {self._most} streams already, which is as many as it may; try again later"
        if self._lifted:
            return None
        if len(of_owner) >= OWNER_MAX:
            return f"{OWNER_MAX} streams of one practitioner's sessions are rendered here already; pause or stop one"
        if sum(place.partials for place in of_owner) + sines > OWNER_PARTIALS_MAX:
            return (
                f"one practitioner's sessions have at most {OWNER_PARTIALS_MAX} partials at once here (a bowl has 11)"
            )
        if sum(place.partials for place in taken) + sines > PARTIALS_MAX:
            return f"this gateway renders at most {PARTIALS_MAX} partials at once (a bowl has 11); try again later"
        return None


def encoder_of(codec: Codec) -> Callable[[], Encoder]:
    """What makes an encoder."""
    return opus.OpusEncoder if codec.name == "opus" else PcmEncoder


def _is_the_end(message: Following | Pushed | Resynced | Dropped) -> bool:
    """The session was deleted, now or while nothing was heard of it."""
    if isinstance(message, Resynced):
        return message.snapshot is not None and _snapshot(message.snapshot).state is None
    return isinstance(message, Pushed) and bool(message.offset) and _pushed(message.frame).event == "deleted"


def _state_in(message: Following | Pushed | Resynced | Dropped) -> AudioSession | None:
    """The whole of a session, where a message has it."""
    if isinstance(message, Resynced):
        return None if message.snapshot is None else _snapshot(message.snapshot).state
    if not isinstance(message, Pushed) or not message.offset:
        return None
    event = _pushed(message.frame)
    return _session(event.body) if event.event == "changed" else None

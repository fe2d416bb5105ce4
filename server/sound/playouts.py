"""The playouts of one gateway: which streams are rendered here, for whom, and the threads and the clock that they share."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import msgspec

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


class Playouts:
    """See the module. ``most``: how many may be at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._works = LoopWorks()
        self._open: dict[tuple[str, Name], Playout] = {}
        self._of: dict[Outbox, dict[str, Playout]] = {}
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._open)

    def check(self, session: str, codec: Name) -> None:
        """One more listener of the session in this codec may come. Raises Full, Invalid."""
        if codec == "opus" and not opus.is_there():
            raise invalid("codec", "this server has no Opus encoder; pcm it has")
        if (session, codec) not in self._open and len(self._open) >= self._most:
            raise Full(
                f"this gateway renders {self._most} streams already, which is as many as it may; try again later"
            )

    def listen(self, outbox: Outbox, state: AudioSession, codec: Name, *, spectrum: bool) -> Playout:
        """A socket listens from now on, in this codec and no other. Raises Full, Invalid."""
        self.check(state.id, codec)
        self.leave(outbox, state.id)
        playout = self._open.get((state.id, codec))
        if playout is None:
            self._numbers = self._numbers % (_STREAMS - 1) + 1
            playout = Playout(state.id, CODECS[codec], self._numbers, self._works, encoder_of(CODECS[codec]))
            self._open[state.id, codec] = playout
        self._of.setdefault(outbox, {})[state.id] = playout
        playout.add(outbox, spectrum=spectrum)
        playout.told(state)
        return playout

    def leave(self, outbox: Outbox, session: str | None = None) -> None:
        """A socket listens no longer: to this session, or to none."""
        mine = self._of.get(outbox, {})
        for id_ in [session] if session is not None else list(mine):
            playout = mine.pop(id_, None)
            if playout is not None and playout.remove(outbox):
                del self._open[id_, playout.codec.name]
        if not mine:
            self._of.pop(outbox, None)

    def heard(self, message: Following | Pushed | Resynced | Dropped) -> None:
        """What a session's shard says to its followers, in the link's order. (Who begins to follow has its answer already.)"""
        mine = [playout for (id_, _), playout in self._open.items() if id_ == message.entity]
        if not mine:
            return
        if _is_the_end(message):
            for playout in mine:
                playout.fade()
        elif (state := _state_in(message)) is not None:
            for playout in mine:
                playout.told(state)

    def close(self) -> None:
        """The gateway ends."""
        for playout in self._open.values():
            playout.stop()
        self._open.clear()
        self._of.clear()
        self._works.close()


def encoder_of(codec: Codec) -> Callable[[], Encoder]:
    """What makes an encoder."""
    return opus.OpusEncoder if codec.name == "opus" else PcmEncoder


def _is_the_end(message: Following | Pushed | Resynced | Dropped) -> bool:
    """The session was deleted."""
    return isinstance(message, Pushed) and bool(message.offset) and _pushed(message.frame).event == "deleted"


def _state_in(message: Following | Pushed | Resynced | Dropped) -> AudioSession | None:
    """The whole of a session, where a message has it."""
    if isinstance(message, Resynced):
        return None if message.snapshot is None else _snapshot(message.snapshot).state
    if not isinstance(message, Pushed) or not message.offset:
        return None
    event = _pushed(message.frame)
    return _session(event.body) if event.event == "changed" else None

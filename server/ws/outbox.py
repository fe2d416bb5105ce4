"""What may wait for one socket: bounded in bytes, by lane.

The transport's own buffer is the queue, so a frame is stored once however many sockets wait for it. Above it:

* DURABLE  is written, or, where more than ``limit`` bytes would wait, the socket is ended as too slow (it resumes). Who has
           taken everything before gets any one frame: a snapshot or a page of history may be larger than the limit.
* LATEST   above ``LOW_BYTES`` only the newest frame of each key waits, until the buffer has drained.
* LOSSY    above ``LOW_BYTES`` it is dropped.

Replies are *deferred* to the end of the turn of the loop: whatever is written to the socket before takes them along, so that
a sender's reply and the push of its message cost one system call, which is most of what a delivery costs. (uvloop 0.22 calls
``write(2)`` for each ``transport.write``; it gathers nothing by itself.)

After ``shut`` the outbox takes everything and does nothing, so that the fan-out loop needs no check for the dead. Pure:
it knows a transport's ``write`` and ``get_write_buffer_size`` and tells its owner what happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from actors.runtime.entity import DURABLE, LATEST

LOW_BYTES: Final = 64 * 1024
"""More than this waits in user space only when the kernel's buffer is full already: the client is behind."""


class Writable(Protocol):
    """What an outbox needs of a transport."""

    def write(self, data: bytes) -> None:
        """Queue bytes."""

    def get_write_buffer_size(self) -> int:
        """Bytes queued and not yet taken by the kernel."""


class Owner(Protocol):
    """Whose outbox it is."""

    session: str

    def too_slow(self) -> None:
        """More than the limit waits: end the socket."""

    def behind(self) -> None:
        """Something is held back until the buffer has drained: call ``drain`` now and then."""

    def deferred(self) -> None:
        """Something waits for the end of the turn: call ``flush`` then."""


def _nowhere(_data: bytes) -> None:
    """Where a dead socket's frames go."""


def _nothing() -> int:
    """What waits for a dead socket."""
    return 0


class Outbox:
    """One socket's outgoing frames (whole WebSocket frames, as bytes)."""

    __slots__ = ("_held", "_held_bytes", "_limit", "owner", "replies", "size", "write")

    def __init__(self, transport: Writable, owner: Any, limit: int) -> None:
        """``owner`` is an ``Owner``."""
        self.write: Callable[[bytes], None] = transport.write
        self.size: Callable[[], int] = transport.get_write_buffer_size
        self.owner = owner
        self.replies = b""  # deferred
        self._limit = limit
        self._held: dict[str, bytes] | None = None
        self._held_bytes = 0

    @property
    def open(self) -> bool:
        """Whether frames still go anywhere."""
        return self.write is not _nowhere

    @property
    def low(self) -> bool:
        """Whether the client keeps up: more may be written without waiting."""
        return self.size() <= LOW_BYTES

    @property
    def holding(self) -> bool:
        """Whether frames of lane LATEST wait for the buffer to drain."""
        return self._held is not None

    @property
    def waiting_bytes(self) -> int:
        """All that waits for this socket."""
        return self.size() + self._held_bytes + len(self.replies)

    def put(self, frame: bytes, lane: int = DURABLE, key: str = "") -> None:
        """Send, hold or drop one frame, as its lane says."""
        if lane == DURABLE:
            waiting = self.size() + self._held_bytes
            if waiting and waiting + len(frame) > self._limit:
                self.overflow()
            else:
                self._send(frame)
        elif self.size() <= LOW_BYTES and self._held is None:
            self._send(frame)
        elif lane == LATEST:
            self._hold(frame, key)

    def defer(self, frame: bytes) -> None:
        """Send one durable frame with the next that goes out, at the latest at the end of this turn."""
        if not self.open:
            return
        if not self.replies:
            self.owner.deferred()
        self.replies += frame
        if len(self.replies) > LOW_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what was deferred."""
        if self.replies:
            replies, self.replies = self.replies, b""
            self.put(replies)

    def _send(self, frame: bytes) -> None:
        if self.replies:
            frame, self.replies = self.replies + frame, b""
        try:
            self.write(frame)
        except RuntimeError:  # uvloop: the handle is closed, and its owner has not heard yet
            self.shut()

    def _hold(self, frame: bytes, key: str) -> None:
        held = self._held
        if held is None:
            held = self._held = {}
            self.owner.behind()
        self._held_bytes += len(frame) - len(held.get(key, b""))
        held[key] = frame
        if self.size() + self._held_bytes > self._limit:
            self.overflow()

    def drain(self) -> bool:
        """Send what was held if the buffer has drained; True when nothing is held any more."""
        if self._held is not None and self.size() <= LOW_BYTES:
            held, self._held, self._held_bytes = self._held, None, 0
            for frame in held.values():
                self._send(frame)
        return self._held is None

    def overflow(self) -> None:
        """The client is too slow."""
        if self.open:
            self.owner.too_slow()

    def shut(self) -> None:
        """Nothing more goes out."""
        self.write, self.size = _nowhere, _nothing
        self._held, self._held_bytes, self.replies = None, 0, b""

    def disown(self) -> None:
        """Nothing more goes out, and nobody needs to hear of it: the socket is gone."""
        self.shut()
        self.owner = None


def deliver(outboxes: Iterable[Outbox], frame: bytes, limit: int) -> None:
    """Durable bytes (one frame or several) to many sockets: the hot path, so the test and the write are all there is to it.

    What lane LATEST holds back is not counted here: it is bounded by the same limit on its own.
    """
    room = limit - len(frame)
    for outbox in outboxes:
        if outbox.size() > room:
            outbox.overflow()
            continue
        try:
            if outbox.replies:
                outbox.write(outbox.replies + frame)
                outbox.replies = b""
            else:
                outbox.write(frame)
        except RuntimeError:  # uvloop: the handle is closed, and its owner has not heard yet
            outbox.shut()


def scatter(outboxes: Iterable[Outbox], frame: bytes) -> int:
    """A frame of lane LOSSY to many sockets; how many of them lost it. Nobody waits for whoever is slow.

    For sound, fifty times a second to each: as ``put`` does it, with no more than a test and a write.
    """
    lost = 0
    for outbox in outboxes:
        if outbox.size() > LOW_BYTES:
            lost += 1
            continue
        try:
            if outbox.replies:
                outbox.write(outbox.replies + frame)
                outbox.replies = b""
            else:
                outbox.write(frame)
        except RuntimeError:  # uvloop: the handle is closed, and its owner has not heard yet
            outbox.shut()
    return lost

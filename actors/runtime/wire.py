"""The messages of a link between a gateway and a shard (or two shards): array-like msgpack, a batch a frame.

A frame is a 4-byte big-endian length and one msgpack array of messages. Frames are at most 8 MiB; never pickle.
``Ask`` to ``Unfollow`` go towards the shard, ``Answer`` to ``Dropped`` come from it, ``Beat`` goes both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from actors.runtime.entity import Caller, Subscriber

VERSION: Final = 1
MAX_FRAME_BYTES: Final = 8 * 2**20
"""Bounds what a peer can make us buffer; the largest legal message (a snapshot) is cut well below it."""
BEAT_S: Final = 1.0
DEAD_AFTER_S: Final = 3.0
"""A half-open TCP connection says nothing for ever; three missed heartbeats end it."""


class Ask(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A command for an entity. ``cid`` is unique on the link's client and survives reconnects.

    The caller's session (where it has one) is what a subscribing command subscribes.
    """

    cid: int
    entity: str
    command: bytes
    caller: Caller | None = None
    operation: str | None = None
    request_id: str | None = None
    snapshot: bool = True
    """Where the command subscribes: send a snapshot with the answer (else the asker catches up by pages)."""
    trace: str | None = None
    """The asking span's W3C ``traceparent``, where the request is traced."""


class Follow(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """After a reconnect: these sessions of this gateway follow the stream and have all up to offset ``after``."""

    entity: str
    after: int
    sessions: Sequence[Subscriber]


class Unfollow(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """This session no longer follows (its socket went)."""

    entity: str
    session: str


class Page(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """Frames of numbered events after an offset, for one session that catches up. Answered by Paged."""

    cid: int
    entity: str
    after: int
    max_bytes: int
    caller: Caller | None = None


class History(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """Numbered events after an offset as JSON for the ``history`` request. Answered by Answer."""

    cid: int
    entity: str
    after: int
    limit: int
    caller: Caller | None = None


class Beat(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """Still here."""


class Answer(msgspec.Struct, frozen=True, array_like=True, tag=16, gc=False):
    """The result of an Ask or a History: JSON."""

    cid: int
    body: bytes


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=17, gc=False):
    """An error instead of a result. ``errors`` are (path, message)."""

    cid: int
    code: str
    message: str
    errors: Sequence[tuple[str, str]] = ()
    retry_after_s: float | None = None


class Following(msgspec.Struct, frozen=True, array_like=True, tag=18, gc=False):
    """Comes after the Answer to a command that subscribes and after the pushes which that command made: the session has all
    up to ``offset`` and every later Pushed of the stream is for it too. So no push has to be compared with each session.

    ``snapshot`` is ``{stream, offset, state}`` at ``offset`` (JSON), None where none was asked for. The full presence
    follows as a Pushed to the session.
    """

    entity: str
    session: str
    offset: int
    snapshot: bytes | None = None


class Pushed(msgspec.Struct, frozen=True, array_like=True, tag=19, gc=False):
    """One push for everyone who follows through this gateway, or for one session. ``offset`` 0 is unnumbered.

    ``frame`` is the whole JSON text as the client gets it.
    """

    entity: str
    offset: int
    frame: bytes
    lane: int = 0
    key: str = ""
    to: str | None = None


class Paged(msgspec.Struct, frozen=True, array_like=True, tag=20, gc=False):
    """The answer to Page. ``through`` is the offset reached; ``done`` that it was the head as this was sent.

    Where the gap was too long (or ``after`` lies beyond the head), ``snapshot`` stands in place of frames and ``through``
    is its offset.
    """

    cid: int
    frames: Sequence[bytes]
    through: int
    done: bool
    snapshot: bytes | None = None


class Resynced(msgspec.Struct, frozen=True, array_like=True, tag=21, gc=False):
    """The answer to Follow. The frames that were missed come before it as Pushed, in order; where the gap was too long
    a snapshot comes here instead, for every session of the stream."""

    entity: str
    offset: int
    snapshot: bytes | None = None


class Dropped(msgspec.Struct, frozen=True, array_like=True, tag=22, gc=False):
    """Sessions of this practitioner (None: everyone's) no longer follow; sent after the push that says why."""

    entity: str
    practitioner: str | None = None


ToShard = Ask | Follow | Unfollow | Page | History | Beat
ToClient = Answer | Refused | Following | Pushed | Paged | Resynced | Dropped | Beat

encoder: Final = msgspec.msgpack.Encoder()
decode_to_shard: Final = msgspec.msgpack.Decoder(list[ToShard]).decode
decode_to_client: Final = msgspec.msgpack.Decoder(list[ToClient]).decode

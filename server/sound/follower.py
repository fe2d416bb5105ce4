"""A session of the gateway's own, which follows entities for a practitioner as a client's session does, and hears for itself.

To the stream tables it is a follower like any other: its outbox's transport is this object, which takes the frames apart again.
So a lost link, a killed shard and a missed push are what they are for a client, and cost no second way to follow.

What it hears it is told in the middle of a table's turn: ``hear`` must neither follow nor leave there. It is never behind, so it
never pages.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from actors.runtime.entity import Address, Caller, Subscriber
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import Answer, Ask, Following, Paged, Refused, Unfollow
from server.ws import protocol
from server.ws.outbox import Outbox
from server.ws.streams import Stream, StreamTable

if TYPE_CHECKING:
    from server.gateway import Gateway

Hear = Callable[[dict[str, Any]], None]


class Follower:
    """See the module. ``end`` it."""

    __slots__ = ("_gateway", "_hear", "_lost", "_streams", "caller", "closing", "outbox", "session", "subscriber")

    def __init__(self, gateway: Gateway, practitioner: str, hear: Hear, lost: Callable[[Address], None]) -> None:
        """``hear`` gets each push as an object, ``lost`` whom the shard lets it follow no longer."""
        self.session = str(uuid.uuid4())
        self.caller = Caller(practitioner, None, False, self.session)
        self.subscriber = Subscriber(self.session, practitioner)
        self.closing = False
        self.outbox = Outbox(self, self, gateway.settings.outbox_bytes)
        self._gateway = gateway
        self._hear = hear
        self._lost = lost
        self._streams: dict[Address, Stream | None] = {}  # None until the shard says Following
        gateway.followers[self.session] = self

    async def follow(self, address: Address, command: bytes) -> bytes:
        """Ask with a command that subscribes; its answer, before which nothing of the stream is heard. Raises what it is refused
        with."""
        current = current_request.get()
        done: asyncio.Future[Answer | Refused | Paged] = asyncio.get_running_loop().create_future()

        def answered(message: Answer | Refused | Paged) -> None:
            if isinstance(message, Answer):
                self._streams.setdefault(address)
            if not done.done():
                done.set_result(message)

        self._gateway.router.link(address).ask(
            lambda cid: Ask(cid, address.id, command, self.caller, None, current, False), answered
        )
        message = await done
        if isinstance(message, Refused):
            raise protocol.from_refused(message)
        assert isinstance(message, Answer)
        return message.body

    def follows(self, address: Address) -> bool:
        """Whether it does, or is about to."""
        return address in self._streams

    def leave(self, address: Address) -> None:
        """Follow it no longer, if it was followed."""
        if address in self._streams:
            stream = self._streams.pop(address)
            if stream is not None:
                stream.table.remove(stream, self.outbox)
            self._gateway.router.link(address).send(Unfollow(address.id, self.session))

    def end(self) -> None:
        """Follow nothing any more."""
        self.closing = True
        for address in list(self._streams):
            self.leave(address)
        self._gateway.followers.pop(self.session, None)
        self.outbox.disown()
        self._hear = self._lost = _deaf  # whose they were goes with its last reference, and waits for no collector

    # --- as the gateway sees a session -------------------------------------------------------------------------------

    def following(self, table: StreamTable, message: Following) -> None:
        """The shard counts it among the stream's followers."""
        address = Address(table.kind, message.entity)
        if address in self._streams:
            self._streams[address] = table.follow(message.entity, message.offset, self.outbox)
        else:  # it was left meanwhile
            self._gateway.router.link(address).send(Unfollow(address.id, self.session))

    def page_on(self, stream: Stream) -> None:
        """It has no gap: it never follows from anywhere but the head."""

    def dropped(self, stream: Stream, *, catching: bool) -> None:
        """The shard no longer counts it among the followers."""
        address = Address(stream.table.kind, stream.entity)
        self._streams.pop(address, None)
        self._lost(address)

    def write(self, data: bytes) -> None:
        """WebSocket frames that a client would get."""
        for payload in payloads(data):
            self._hear(orjson.loads(payload))

    def get_write_buffer_size(self) -> int:
        """What was written is heard."""
        return 0


def _deaf(_what: Any) -> None:
    """What one who has ended does with what it hears."""


def payloads(frames: bytes) -> Iterator[bytes]:
    """Of whole, unmasked text frames, one after the other (``protocol.text_frame``)."""
    at = 0
    while at < len(frames):
        size, at = frames[at + 1], at + 2
        if size >= 126:
            extended = 2 if size == 126 else 8
            size, at = int.from_bytes(frames[at : at + extended], "big"), at + extended
        yield frames[at : at + size]
        at += size

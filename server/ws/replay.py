"""What a session missed, read from its shards page by page at the socket's own pace, one stream at a time.

A page is asked for only while little waits in the outbox, so a client that reads slowly is sent slowly and never closed for
its own replay. A shard that cannot answer now is asked again; where the caller may no longer read, the client is told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from actors.runtime.entity import Address
from actors.runtime.wire import Answer, Page, Paged, Refused, Unfollow
from server.ws import protocol
from server.ws.protocol import text_frame
from server.ws.streams import Stream

if TYPE_CHECKING:
    from server.ws.socket import Connection

PAGE_BYTES: Final = 128 * 1024
"""With what may still be unsent when a page is asked for, well within the default outbox."""
RETRY_S: Final = 0.25
"""Pause before a shard that could not answer is asked again."""


class Replay:
    """The streams of one connection that are behind. Made when first needed."""

    __slots__ = ("_asking", "_behind", "_connection")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._behind: deque[Stream] = deque()
        self._asking = False

    @property
    def waits_for_socket(self) -> bool:
        """Whether the next page waits until the outbox has drained."""
        return bool(self._behind) and not self._asking

    def add(self, stream: Stream) -> None:
        """The stream has a gap to fill for this session."""
        if stream not in self._behind:
            self._behind.append(stream)
        self.go_on()

    def go_on(self) -> None:
        """Ask for the next page, if there is one to ask for and room for it."""
        connection = self._connection
        while self._behind and not self._asking and not connection.closing:
            stream = self._behind[0]
            catch = stream.table.catch_up(stream, connection.session)
            if catch is None or catch.outbox is not connection.outbox:
                self._behind.popleft()
            elif not connection.outbox.low:
                connection.behind()
                return
            else:
                self._asking = True
                self._ask(stream, catch.after)

    def _ask(self, stream: Stream, after: int) -> None:
        entity, caller, connection = stream.entity, self._connection.caller, self._connection
        connection.gateway.router.link(Address(stream.table.kind, entity)).ask(
            lambda cid: Page(
                cid, entity, after, min(PAGE_BYTES, connection.gateway.settings.outbox_bytes // 2), caller
            ),
            lambda message: self._paged(stream, message),
        )

    def _paged(self, stream: Stream, message: Answer | Refused | Paged) -> None:
        connection = self._connection
        self._asking = False
        if connection.closing or connection.streams.get(stream.name) is not stream:
            pass  # the page came too late for anyone
        elif isinstance(message, Paged):
            self._write(message)
            stream.table.reached(stream, connection.session, message.through, done=message.done)
        elif isinstance(message, Refused):
            failure = protocol.from_refused(message)
            if failure.retryable:
                self._asking = True
                connection.gateway.later(RETRY_S, self._again)
                return
            self._give_up(stream, failure.code)
        self.go_on()

    def _again(self) -> None:
        self._asking = False
        self.go_on()

    def _write(self, page: Paged) -> None:
        if page.frames:
            self._connection.outbox.put(b"".join(map(text_frame, page.frames)))
        if page.snapshot is not None:
            self._connection.write(protocol.snapshot(page.snapshot, "gap"))

    def _give_up(self, stream: Stream, code: str) -> None:
        connection = self._connection
        stream.table.remove(stream, connection.outbox)
        connection.streams.pop(stream.name, None)
        link = connection.gateway.router.link(Address(stream.table.kind, stream.entity))
        link.send(Unfollow(stream.entity, connection.session))
        connection.write(protocol.left(stream.name, code))

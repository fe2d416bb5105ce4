"""What aiohttp reads of a socket, with three things done our way.

* A frame that breaks the protocol (RFC 6455) is told to ``Connection``, which closes as it always does: with the code, and
  with patience. aiohttp would close TCP on unread input, the kernel would answer that with a reset, and the client might
  never see the code.
* Pings and pongs come out like any other frame: whoever floods with them is slowed down like any other flood, and answers
  wait in the outbox, which is bounded.
* ``frame_bytes`` is the largest message that is let in; aiohttp's own bound is the smallest that is not.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.settings import Settings

VIOLATIONS: Final = frozenset({1002, 1007, 1009})
"""Protocol error, invalid text, too big: what aiohttp's reader closes with by itself."""


class Violation(Exception):
    """The client broke the protocol; what follows cannot be read any more."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the client broke the protocol: {code}")
        self.code = code


class Frames(web.WebSocketResponse[bool]):
    """A socket's inbound frames, text as bytes."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            compress=settings.deflate,
            heartbeat=settings.heartbeat_s,
            max_msg_size=settings.frame_bytes + 1,
            autoclose=False,
            autoping=False,
            decode_text=False,
        )

    async def close(self, *, code: int = 1000, message: bytes = b"", drain: bool = True) -> bool:
        """aiohttp's, but Violation where its reader wants to close. ``receive`` passes that on."""
        if code in VIOLATIONS:
            raise Violation(code)
        return await super().close(code=code, message=message, drain=drain)

    def gone(self) -> None:
        """The socket has ended, however it did: nothing of it may stay.

        Where the connection was lost, aiohttp 3.14 cancels the handler and leaves the heartbeat's timer, which keeps all of the
        socket for ``heartbeat_s`` (45 KB; 200 a second made 220 MB of it), and circles that wait for the collector.
        """
        self._set_closed()
        self._parser = None
        if (error := self.exception()) is not None:
            error.with_traceback(None)

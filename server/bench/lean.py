"""A client as cheap as one can be, so that a load's own cost stays out of the figures: picows, no reconnect, no retries.

Ids 1 to 3 authenticate, create and join; what is sent after that counts upward from ``FIRST_ID``. A frame that a load cares
about carries ``"ts":`` with the sender's monotonic seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Callable
from typing import Any, Final

from server.client_events import ClientError

try:
    import picows
except ImportError as missing:
    raise ClientError("this bench needs picows: pip install 'sangha[dev]'") from missing

FIRST_ID: Final = 10
LIMIT: Final = 10_000


class Lean(picows.WSListener):  # type: ignore[misc]  # picows comes without types
    """One guest in one space. ``on_frame`` gets every frame after the join; ``ready`` is done with the space's id."""

    def __init__(
        self, name: str, space: str, *, creates: bool, on_frame: Callable[[bytes], None] | None = None
    ) -> None:
        self.name, self.space, self.creates = name, space, creates
        self.ids = itertools.count(FIRST_ID)
        self.ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.lost = False
        self._on_frame = on_frame
        self._in = False
        self._transport: Any = None

    def listen(self, on_frame: Callable[[bytes], None]) -> None:
        """Give every frame after the join to this."""
        self._on_frame = on_frame

    def on_ws_connected(self, transport: Any) -> None:
        """Say who comes."""
        self._transport = transport
        self.send({"id": 1, "type": "auth", "guest": self.name})

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        """Enter step by step; then pass on."""
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        if not self._in:
            self._enter(json.loads(frame.get_payload_as_bytes()))
        elif self._on_frame is not None:
            self._on_frame(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: Any) -> None:
        """The end of it."""
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ClientError(f"{self.name} was disconnected while entering"))

    def _enter(self, reply: dict[str, Any]) -> None:
        if reply["type"] == "error" and reply["error"]["code"] != "conflict":
            if not self.ready.done():
                self.ready.set_exception(ClientError(f"{self.name} was refused: {reply['error']}"))
        elif reply.get("id") == 1 and self.creates:
            space = {"slug": self.space, "name": self.space, "purpose": "load", "access_level": "open"}
            self.send({"id": 2, "type": "space.create", **space, "participant_limit": LIMIT})
        elif reply.get("id") in (1, 2):
            self.send({"id": 3, "type": "space.join", "space": self.space})
        elif reply.get("id") == 3:
            self._in = True
            space = reply["result"]["space"]
            self.ready.set_result(space["id"] if isinstance(space, dict) else space)

    def send(self, message: dict[str, Any]) -> None:
        """Send a request."""
        self.write(json.dumps(message, separators=(",", ":")).encode())

    def write(self, frame: bytes) -> None:
        """Send a frame that is encoded already."""
        if not self.lost:
            self._transport.send(picows.WSMsgType.TEXT, frame)

    def close(self) -> None:
        """Drop the connection."""
        if self._transport is not None:
            self._transport.disconnect()


async def enter(url: str, lean: Lean, *, source: str | None = None, timeout_s: float = 60) -> str:
    """Connect and enter; the space's id. ``source`` is a local address to connect from, where ports run short."""
    options: dict[str, Any] = {} if source is None else {"local_addr": (source, 0), "family": socket.AF_INET}
    await picows.ws_connect(lambda: lean, url, proxy=None, websocket_handshake_timeout=timeout_s, **options)
    async with asyncio.timeout(timeout_s):
        return await lean.ready


async def fill(
    url: str,
    rooms: int,
    members: int,
    tag: str,
    *,
    on_frame: Callable[[int, bytes], None] | None = None,
    source: Callable[[int], str | None] = lambda _: None,
    at_once: int = 64,
) -> list[Lean]:
    """``rooms`` spaces of ``members`` guests each, the first of whom creates it. ``on_frame`` gets the room's number.

    At most ``at_once`` rooms are entered at the same time. Raises ClientError where someone could not enter.
    """
    gate = asyncio.Semaphore(at_once)

    async def room(number: int) -> list[Lean]:
        slug, listen = f"bench-{tag}-{number}", None if on_frame is None else (lambda frame: on_frame(number, frame))
        people = [Lean(f"{slug}-{m}", slug, creates=m == 0, on_frame=listen) for m in range(members)]
        async with gate:
            for m, person in enumerate(people):
                await enter(url, person, source=source(number * members + m))
        return people

    return [person for people in await asyncio.gather(*map(room, range(rooms))) for person in people]

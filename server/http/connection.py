"""A connection under guard: aiohttp's own request handler, which tells its seat what phase it is in.

aiohttp limits how long a connection may idle and how large a head may be, not how slowly a head, a body or an answer may go.
This subclass adds that, and what goes wrong outside the application (no HTTP, a failure while an answer is prepared) is a
problem here as everywhere. It reaches into aiohttp's internals, so pyproject.toml bounds the version closely.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from actors.runtime.errors import BadRequest, Internal
from server.http.guard import NOBODY, Guard, Phase, Progress, Seat
from server.http.headers import secure
from server.http.problems import problem, problem_response

log = logging.getLogger(__name__)

MESSAGE_CHARACTERS: Final = 200
RESUMED: Final = 2**40
"""More than any buffer: that the client took what was buffered counts as progress, whatever is written next."""


class GuardedConnection(RequestHandler):
    """One TCP connection of HTTP or, after an upgrade, a WebSocket."""

    __slots__ = ("_guard", "_received", "_resumed", "_wire", "seat")

    def __init__(self, server: web.Server, guard: Guard, seat: Seat) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=guard.limits.keepalive_s,
            access_log=None,  # type: ignore[arg-type]  # it takes None, and means it
            auto_decompress=False,  # ``encoding`` does it, within bounds
        )
        self._guard = guard
        self.seat = seat
        self._wire: asyncio.Transport | None = None
        self._received = 0
        self._resumed = 0

    # What aiohttp and the loop call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there, with TLS after the handshake."""
        self._wire = transport  # type: ignore[assignment]  # aiohttp forgets its own when it begins to close
        super().connection_made(transport)
        self.seat.wire = self
        if self.seat.phase is None:
            self.cut()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The transport is gone."""
        self._wire = None
        self._guard.leave(self.seat)
        super().connection_lost(exc)
        # What refers back to this would wait for the collector, and a storm of connections with it.
        self._data_received_cb, self.seat.wire = None, NOBODY

    def data_received(self, data: bytes) -> None:
        """Bytes of the client. For a WebSocket this costs one comparison."""
        if self._payload_parser is not None:
            super().data_received(data)
            return
        known = self._request_count
        self._received += len(data)
        super().data_received(data)
        if self._request_count > known:
            self._guard.move(self.seat, Phase.BUSY)
        elif data and self.seat.phase is Phase.IDLE:
            self._guard.move(self.seat, Phase.HEAD)

    def resume_writing(self) -> None:
        """The client took most of what was buffered for it."""
        self._resumed += 1
        super().resume_writing()

    def set_parser(self, parser: Any, data_received_cb: Callable[[], None] | None = None) -> None:
        """The connection is a WebSocket now."""
        self._guard.move(self.seat, Phase.SOCKET)
        super().set_parser(parser, data_received_cb)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; then it is the client's turn."""
        if isinstance(resp, web.HTTPException):
            resp = problem_response(resp.status, _bad_request(resp.reason))
        finished = await super().finish_response(request, resp, start_time)
        if self.seat.phase is Phase.BUSY and not self._messages:
            self._guard.move(self.seat, Phase.IDLE)
        return finished

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP, or failed outside the application. The connection closes."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        if status < 500:
            log.debug("no request: %s", message or exc)
            text = (message or "").strip().partition("\n")[0].rstrip(":")[:MESSAGE_CHARACTERS]
            body = _bad_request("this is not HTTP: " + "".join(c if " " <= c <= "~" else "?" for c in text))
            response = problem_response(status, body)
        else:
            reference = secrets.token_hex(6)
            log.error("a request failed outside the application, reference %s", reference, exc_info=exc)
            response = problem(Internal(f"internal error, reference {reference}"))
        secure(response.headers)
        response.force_close()
        return response

    # What the guard calls

    def cut(self) -> None:
        """End it, whatever waits to be sent."""
        if self._wire is not None:
            self._wire.abort()

    def progress(self) -> Progress | None:
        """What the client has to do now: take the answer, or send the rest of the body."""
        wire, request = self._wire, self._current_request
        if wire is None:
            return None
        if self._paused or (request is None and wire.get_write_buffer_size()):
            return Progress("take", self._resumed * RESUMED - wire.get_write_buffer_size())
        held = self._reading_paused or self._buffer_paused
        if request is not None and not held and not request.content.is_eof():
            return Progress("send", self._received)
        return None


def _bad_request(message: str) -> dict[str, Any]:
    return {"code": BadRequest.code, "message": message, "retryable": False}

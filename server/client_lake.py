"""The lake's own HTTP, as the ingest client and the commands use it: JSON questions, and the ingest stream.

A stream is answered while it is sent: each object says how many of its lines are committed. So one request can carry a whole
scene, and its sender knows at any time what need not be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

import aiohttp
import orjson
from yarl import URL

from actors.runtime.errors import BadRequest, Full, Internal, Invalid, SanghaError, TooLarge
from server.client_events import ClientError, ConnectionLost, error_of
from server.client_http import http_url

CONNECT_S: Final = 10.0
STALL_S: Final = 60.0
"""So long neither a byte went out nor a word came in: the other end is gone and nobody told us."""
ANSWER_BYTES: Final = 2**20
"""An object of the answer has at most a hundred warnings."""

OF_A_LINE: Final = (Invalid, BadRequest, TooLarge, Full)
"""At the end of a stream's answer these are of a line; as the status of a request they are of the request."""


class LinesRefused(ClientError):
    """Among the lines behind the cursor is one that is not taken, however often it is sent. ``code`` is the server's."""

    def __init__(self, why: SanghaError) -> None:
        super().__init__(why.message, why.errors)
        self.code = why.code  # type: ignore[misc]  # of this one alone

    def at(self, number: int) -> LinesRefused:
        """The same, where it is known which line it is."""
        named = LinesRefused(self)
        named.message, named.args = f"line {number}: {self.message}", (f"line {number}: {self.message}",)
        return named


def passes(failure: SanghaError) -> bool:
    """Whether it may be otherwise later without anybody doing anything."""
    return failure.retryable or isinstance(failure, ConnectionLost | Internal)


def quoted(name: str) -> str:
    """A name as one segment of a path."""
    return quote(name, safe="")


class Lake:
    """A server's lake. ``token`` is a service's (or None, for the local user); ``ssl`` what to trust over HTTPS."""

    def __init__(self, url: str, token: str | None = None, *, ssl: SSLContext | bool = True) -> None:
        self.url = http_url(url)
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._ssl = ssl
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            headers=self._headers,
            connector=aiohttp.TCPConnector(ssl=self._ssl),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=STALL_S),
            read_bufsize=ANSWER_BYTES,
            auto_decompress=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def request(self, method: str, path: str, **options: Any) -> Any:
        """An ``async with`` for the answer of any status; ``path`` is quoted already."""
        assert self._session is not None
        return self._session.request(method, URL(self.url + path, encoded=True), **options)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        params: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Any:
        """The JSON that the server answers. ``key`` makes a retry the same operation. Raises its errors, ConnectionLost."""
        options: dict[str, Any] = {"params": params} if params else {}
        headers = {} if key is None else {"Idempotency-Key": key}
        if body is not None:
            options["data"], headers["Content-Type"] = orjson.dumps(body), "application/json"
        try:
            async with self.request(method, path, headers=headers, **options) as answer:
                if answer.status >= 400:
                    raise await problem(answer)
                return orjson.loads(await answer.read())
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            raise self.lost(failure) from failure

    def lost(self, failure: Exception) -> ConnectionLost:
        """What a failure of the transport is to our caller."""
        return ConnectionLost(f"{self.url} cannot be reached: {str(failure) or type(failure).__name__}")

    async def cursor(self, space: str, stream: str) -> int:
        """How many lines of a stream are committed."""
        told = await self.ask("GET", f"/eustress/ingest/stream/{quoted(space)}/{quoted(stream)}")
        return int(told["cursor"])

    async def send(
        self,
        space: str,
        stream: str,
        first: int,
        body: AsyncIterator[bytes],
        heard: Callable[[Mapping[str, Any]], None],
    ) -> None:
        """Send lines, the first of which has a number; ``heard`` gets every object of the answer. All is committed then.

        Raises LinesRefused, the server's other errors, ConnectionLost, and what ``body`` raises; more may be committed than
        was heard of.
        """
        stream_body = _Watched(body)
        where = {"space": space, "stream": stream, "first": str(first)}
        options = {"params": where, "data": stream_body.blocks(), "headers": {"Content-Type": "application/x-ndjson"}}
        try:
            async with asyncio.timeout(STALL_S) as stall:
                stream_body.stall = stall
                try:
                    async with self.request("POST", "/eustress/ingest/stream", **options) as answer:
                        if answer.status != 200:
                            raise await problem(answer)
                        if not await _follow(answer.content, heard, stream_body.moved):
                            raise ConnectionLost(f"{self.url}: the answer ended before all was committed")
                finally:
                    stream_body.stall = None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as failure:
            if stream_body.failure is not None:
                raise stream_body.failure from None
            raise self.lost(failure) from failure


class _Watched:
    """A request's body, which says that it moves, and what failed in it: aiohttp would say only that something did."""

    def __init__(self, body: AsyncIterator[bytes]) -> None:
        self.failure: Exception | None = None
        self.stall: asyncio.Timeout | None = None
        self._body = body

    async def blocks(self) -> AsyncIterator[bytes]:
        """The body's."""
        try:
            async for block in self._body:
                self.moved()
                yield block
        except Exception as failure:
            self.failure = failure
            raise

    def moved(self) -> None:
        """Something went out, or came in."""
        if self.stall is not None:
            self.stall.reschedule(asyncio.get_running_loop().time() + STALL_S)


async def _follow(
    answer: aiohttp.StreamReader, heard: Callable[[Mapping[str, Any]], None], moved: Callable[[], None]
) -> bool:
    """Pass on what is said until it ends; whether it ended well. Raises the error that it ended with."""
    done = False
    async for line in answer:
        moved()
        if not line.strip():
            continue
        told = orjson.loads(line)
        if (wrong := told.get("error")) is not None:
            if "cursor" in told:
                heard(told)
            error = error_of(wrong["code"], wrong["message"], wrong.get("errors") or ())
            raise LinesRefused(error) if isinstance(error, OF_A_LINE) else error
        heard(told)
        done = bool(told.get("done"))
    return done


async def problem(answer: aiohttp.ClientResponse) -> SanghaError:
    """The error that an answer is. One that is not this server's, such as a proxy's, is a ConnectionLost."""
    text = await answer.read()
    try:
        told = orjson.loads(text)
        error = error_of(told["code"], told["detail"], told.get("errors") or ())
    except (ValueError, KeyError, TypeError):
        shown = text[:200].decode(errors="replace").strip()
        error = ConnectionLost(f"{answer.url.origin()} answered {answer.status}: {shown or answer.reason}")
    wait = answer.headers.get("Retry-After", "")
    error.retry_after_s = float(wait) if wait.isdigit() else None
    return error

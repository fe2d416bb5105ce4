"""``POST /eustress/ingest/stream``: a whole scene as NDJSON of any length, told while it is read how far it is committed.

The body is cut into chunks, each committed as a whole, in order; a few are on their way at once, so that the next one is there
when the space is done with the last. The space counts the lines of each stream by its name: what it had already is skipped, so
after any end (a client that died, a server that went away) a client goes on after the cursor, or sends all of it again.

Memory: ``ON_THE_WAY`` chunks and the one that is being filled; nothing more is read before one of them is answered. And the
answer never waits for a client that writes first and reads later: progress is told only where the last of it was taken.

Rejected: an answer at the body's end. After an error the client would not know how much is committed, and would have to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import commands as c
from actors.eustress import values
from actors.eustress.replies import StreamCursor, Warned
from actors.runtime.codec import Uuid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import (
    BadRequest,
    Conflict,
    Draining,
    Forbidden,
    Internal,
    SanghaError,
    Unauthenticated,
)
from server.http.api import Example, Operation, query_of, routes_of
from server.http.context import ask, gateway_of, idempotency_key, json_response
from server.http.contract import ENTITY, NDJSON, FieldProblem
from server.http.encoding import Inflating, encoding_of
from server.http.eustress_bodies import SpaceName
from server.http.eustress_ingest import KIND, TAG, named_in_path
from server.http.eustress_lines import Chunk, Cutter
from server.service import engine_of
from server.ws.protocol import error_body

PATH: Final = "/eustress/ingest/stream"
ON_THE_WAY: Final = 3
PROGRESS_S: Final = 1.0
FLUSH_S: Final = 0.1
"""Where no more comes for so long, what there is goes on: a client may wait for the cursor before it sends more."""
LOGIN_S: Final = 10.0
"""How late a token that was revoked ends a stream."""

_cursor: Final = msgspec.json.Decoder(StreamCursor)


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which stream. ``first`` is the number of the body's first line, at most one more than the cursor."""

    space: SpaceName
    stream: Annotated[values.StreamName, Meta(description="the client's own name of what it sends")]
    first: Annotated[int, Meta(ge=1)] = 1


class StreamProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is. So many lines of the stream are committed; the counts are this request's own."""

    stream: str
    cursor: int
    version: int
    accepted: int = 0
    snapshot_id: Annotated[Uuid | None, Meta(description="the newest snapshot that it set off")] = None
    warnings: Annotated[list[Warned] | UnsetType, Meta(description="in the last line: the first hundred")] = UNSET
    warning_count: int = 0
    done: Annotated[bool, Meta(description="in the last line: all of the body is committed")] = False


class StreamError(msgspec.Struct, frozen=True, kw_only=True):
    """What was wrong, as in other errors."""

    code: str
    message: str
    retryable: bool
    errors: Annotated[list[FieldProblem] | UnsetType, Meta(description="``path``: such as ``line 17``")] = UNSET
    retry_after_s: float | UnsetType = UNSET


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The last line where it went wrong. What is committed stays: go on after the cursor."""

    error: StreamError
    cursor: int


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def stream(request: web.Request) -> web.StreamResponse:
    """The cursor: at once, as it moves on, and at the end."""
    caller, query = await engine_of(request), query_of(request, StreamQuery)
    encoding = encoding_of(request)
    idempotency_key(request)  # one that is none is refused everywhere; the lines' numbers say what is new
    known = await _known_cursor(request, caller, query.space, query.stream)
    if query.first > known.cursor + 1:
        raise Conflict(f"{known.cursor} lines of this stream are known: the next one is {known.cursor + 1}")
    async with gateway_of(request).rooms.entering(query.space):
        response = web.StreamResponse(headers={"Content-Type": NDJSON, "Cache-Control": "no-store"})
        await response.prepare(request)
        flow = Flow(request, response, caller, query, known, Inflating(encoding) if encoding is not None else None)
        await response.write(flow.progress())
        await response.write(await flow.run())
        await response.write_eof()
    return response


async def cursor(request: web.Request) -> web.Response:
    """How far a stream is. 0 where nothing is known of it."""
    caller = await engine_of(request, operators=True)
    space, name = named_in_path(request, "space", values.SpaceName), named_in_path(request, "stream", values.StreamName)
    return json_response(msgspec.json.encode(await _known_cursor(request, caller, space, name)))


async def _known_cursor(request: web.Request, caller: Caller, space: str, name: str) -> StreamCursor:
    if not await gateway_of(request).rooms.has(space):
        return StreamCursor(stream=name, cursor=0, version=0)
    command = c.encode(c.GetCursor(stream=name))
    return _cursor.decode(await ask(request, Address(KIND, space), command, caller))


class Flow:
    """One body on its way."""

    def __init__(
        self,
        request: web.Request,
        response: web.StreamResponse,
        caller: Caller,
        query: StreamQuery,
        known: StreamCursor,
        inflating: Inflating | None,
    ) -> None:
        self._request, self._response = request, response
        self._caller, self._query = caller, query
        self._address = Address(KIND, query.space)
        self._inflating = inflating
        self._cutter = Cutter(query.first)
        self._free = asyncio.Semaphore(ON_THE_WAY)
        self._sent: asyncio.Queue[asyncio.Future[bytes] | Exception | None] = asyncio.Queue()
        """Asked and not yet counted, in order; then the end: None, or why it is one."""
        self._asking: set[asyncio.Future[bytes]] = set()
        self._known, self._told = known, known.cursor
        self._accepted = self._warning_count = 0
        self._snapshot: str | None = None
        self._warnings: list[Warned] = []
        self._looked = asyncio.get_running_loop().time()

    async def run(self) -> bytes:
        """The last line of the answer, once the body is committed or cannot be. Progress is written meanwhile."""
        reading = asyncio.create_task(self._read())
        counting = asyncio.create_task(self._count())
        try:
            while not (await asyncio.wait({counting}, timeout=PROGRESS_S))[0]:
                if (why := await self._to_stop()) is not None and not reading.done():
                    reading.cancel()
                    self._sent.put_nowait(why)  # after what is on its way: its cursor is still told
                await self._tell()
            await counting
            return self.progress(done=True)
        except SanghaError as failure:
            return self._failed(failure)
        except Exception as failure:  # the boundary: the status is sent already
            if self._request.transport is None:
                raise
            return self._failed(Internal(gateway_of(self._request).log_reference("a stream failed", failure)))
        finally:
            await _ended(reading, counting, *self._asking)

    # --- what comes -----------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Send what comes, and say when and why no more does."""
        try:
            async for piece in self._pieces():
                chunks = self._cutter.feed(piece) if piece else self._cutter.flush()
                for chunk in chunks:
                    await self._send(chunk)
                await asyncio.sleep(0)  # a body may inflate to gigabytes of blank lines
            for chunk in self._cutter.flush(end=True):
                await self._send(chunk)
        except Exception as failure:  # noqa: BLE001 - ``_count`` raises it when it has counted what is on its way
            self._sent.put_nowait(failure)
        else:
            self._sent.put_nowait(None)

    async def _send(self, chunk: Chunk) -> None:
        await self._free.acquire()
        command = c.IngestLines(stream=self._query.stream, first=chunk.first, lines=chunk.lines)
        asking = asyncio.ensure_future(ask(self._request, self._address, c.encode(command), self._caller))
        self._asking.add(asking)
        self._sent.put_nowait(asking)

    async def _pieces(self) -> AsyncIterator[bytes]:
        """The plain body as it comes; an empty piece where nothing has come for a while."""
        async for data in self._received():
            if self._inflating is None or not data:
                yield data
                continue
            for piece in self._inflating.feed(data):
                yield piece
        if self._inflating is not None:
            self._inflating.check_end()

    async def _received(self) -> AsyncIterator[bytes]:
        content = self._request.content
        while True:
            reading = asyncio.ensure_future(content.readany())
            try:
                if not (await asyncio.wait({reading}, timeout=FLUSH_S))[0]:
                    yield b""
                data = await reading
            except web.RequestPayloadError as failure:
                raise BadRequest(f"the body is cut off: {failure}") from None
            finally:
                reading.cancel()
            if not data:
                return
            yield data

    # --- what is known --------------------------------------------------------------------------------------------

    async def _count(self) -> None:
        """Add up the answers in order. Raises what ended it."""
        while (sent := await self._sent.get()) is not None:
            if isinstance(sent, Exception):
                raise sent
            text = await sent
            gateway_of(self._request).measures.ingested("stream", text)
            answer = _cursor.decode(text)
            self._asking.discard(sent)
            self._free.release()
            self._known = answer
            self._accepted += answer.accepted
            self._snapshot = answer.snapshot_id or self._snapshot
            self._warning_count += answer.warning_count
            self._warnings += answer.warnings[: values.WARNINGS_SHOWN - len(self._warnings)]

    async def _to_stop(self) -> SanghaError | None:
        """Why no more may be read: the server goes away, or the token counts no longer."""
        if gateway_of(self._request).draining:
            return Draining("the server is going away")
        now = asyncio.get_running_loop().time()
        if now - self._looked < LOGIN_S:
            return None
        self._looked = now
        try:
            await engine_of(self._request)
        except (Unauthenticated, Forbidden) as failure:
            return failure
        except SanghaError:  # storage does not answer: those who are on their way will hear it
            return None
        return None

    # --- what is told ---------------------------------------------------------------------------------------------

    async def _tell(self) -> None:
        transport = self._request.transport
        if self._known.cursor == self._told or transport is None or transport.get_write_buffer_size():
            return
        self._told = self._known.cursor
        await self._response.write(self.progress())

    def progress(self, *, done: bool = False) -> bytes:
        """A line of the answer."""
        told = StreamProgress(
            stream=self._query.stream,
            cursor=self._known.cursor,
            version=self._known.version,
            accepted=self._accepted,
            snapshot_id=self._snapshot,
            warnings=self._warnings if done else UNSET,
            warning_count=self._warning_count,
            done=done,
        )
        return msgspec.json.encode(told) + b"\n"

    def _failed(self, failure: SanghaError) -> bytes:
        body: dict[str, Any] = {"error": error_body(failure), "cursor": self._known.cursor}
        return orjson.dumps(body) + b"\n"


async def _ended(*tasks: asyncio.Future[Any]) -> None:
    """They are over, and whatever came of them was heard."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_LINES: Final = (
    '{"entity":{"id":"nucleus","class_type":"Model","position":[0,0,0.009]}}\n'
    '{"entity":{"id":"proton_1","class_type":"Particle","position":[0.1,0,0]}}\n'
    '{"connection":{"source_id":"nucleus","target_id":"proton_1","connection_type":"hierarchy"}}\n'
    '{"parameter":{"entity_id":"proton_1","parameter_name":"charge","value":1}}\n'
)
OPERATIONS: Final = (
    Operation(
        method="POST",
        path=PATH,
        handler=stream,
        summary="A whole scene, as lines of JSON",
        description="A body of any length; each line is one of `entity`, `connection`, `parameter`, `remove_connection`,"
        " `remove_entity`, of at most 64 KiB. Blank lines do not count. Lines are committed a thousand at a time, in order. The"
        " answer has a line at once, then about one a second while the cursor moves, and a last one with `done` or with `error`."
        " `first` may be at or below what is known: lines that the stream had are skipped, so a stream goes on after its cursor"
        " (`GET …/stream/{space}/{stream}`). The client has to make progress: what comes rarely is better sent as batches.",
        tag=TAG,
        access="engine",
        query=StreamQuery,
        body_shown=values.Line,
        body_optional=True,
        body_media=NDJSON,
        body_bytes=0,
        reply=(StreamProgress, StreamEnd),
        media=NDJSON,
        errors=(*ENTITY, "conflict", "full"),
        examples=(
            Example(
                name="ingest_stream",
                query={"space": "quantum_mechanics", "stream": "scene-1", "first": "1"},
                body=_LINES,
            ),
        ),
    ),
    Operation(
        method="GET",
        path="/eustress/ingest/stream/{space}/{stream}",
        handler=cursor,
        summary="How far a stream is",
        tag=TAG,
        access="engine_or_admin",
        params={"space": SpaceName, "stream": values.StreamName},
        reply=StreamCursor,
        errors=(*ENTITY, "invalid"),
        examples=(Example(name="stream_cursor", path={"space": "quantum_mechanics", "stream": "scene-1"}),),
    ),
)

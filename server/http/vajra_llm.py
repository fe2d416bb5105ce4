"""``/api/v1/llm``: a prayer, a dedication, a teaching or a guided meditation, written by the oracle's language model.

It is asked through the oracle's worker, which alone knows the key, the day's budget and the breaker
(``actors.oracle.writing``). The worker's answers come one an ask, so a text is read as it is written; whoever asks for a stream
gets each piece as it comes. Where no model is configured, or it does not answer, the text is one of our own, and the answer says
so. There is never a confidence: an endpoint that streams gives no probabilities to derive one from.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, structs

from actors.oracle import values as v
from actors.oracle import writing
from actors.oracle.completion import MAX_TOKENS
from actors.prayer.values import Intention
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Internal, SanghaError
from server.http.api import Example, Operation, body_of, routes_of
from server.http.context import ask, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, NDJSON, UuidText
from server.http.rituals import caller_of
from server.ws.protocol import error_body

log = logging.getLogger(__name__)

TAG: Final = "Vajra texts"
PREFIX: Final = "/api/v1/llm"
SSE: Final = "text/event-stream"
TOKENS_MIN: Final = 50
STALL_S: Final = 30.0
"""How long a piece may wait for a client that does not read."""


class GenerateBody(msgspec.Struct, frozen=True, kw_only=True):
    """What to write. Nothing but this is told to the model: no state, no name."""

    type: Annotated[v.TextKind, Meta(description="what it is to be")] = "prayer"
    intention: Annotated[Intention, Meta(description="what it is for")] = ""
    max_tokens: Annotated[int, Meta(ge=TOKENS_MIN, le=MAX_TOKENS, description="of the model's answer, at most")] = 600
    stream: Annotated[
        Literal["sse", "ndjson"] | None,
        Meta(description="piece by piece; `Accept: text/event-stream` or `application/x-ndjson` says the same"),
    ] = None


class Generated(msgspec.Struct, frozen=True, kw_only=True):
    """A text, and whose it is."""

    id: UuidText
    type: v.TextKind
    text: str
    model: Annotated[str, Meta(description=f"who wrote it; `{writing.MODEL}`: no model, it is one of our own texts")]
    source: Annotated[Literal["model", "written"], Meta(description="`written`: no model spoke")]
    complete: Annotated[bool, Meta(description="false: cut off; `notice` says by what")]
    notice: Annotated[str | None, Meta(description="why it is not what was asked for")]
    title: Annotated[str | None, Meta(description="of one of our own texts")]
    text_id: Annotated[str | None, Meta(description="its id in `/api/v1/prayers`")]
    tokens: Annotated[int, Meta(description="what it used up, where a model wrote it")]
    confidence_score: Annotated[None, Meta(description="null: nothing is there to derive one from")] = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A model that may be asked."""

    id: str
    provider: Annotated[Literal["openrouter", "own"], Meta(description="`own`: an endpoint that a setting names")]
    max_tokens: int
    timeout_s: float
    tokens_per_day: Annotated[int, Meta(description="of the whole server, the oracle's insights included")]


class Models(msgspec.Struct, frozen=True, kw_only=True):
    """What is configured. Whether it answers, only asking tells."""

    configured: bool
    models: tuple[Model, ...]
    written: Annotated[str, Meta(description="as whose our own texts go where no model answers")]
    types: tuple[v.TextKind, ...]
    notice: str | None


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def models(request: web.Request) -> web.Response:
    """What is configured."""
    await caller_of(request)
    settings = gateway_of(request).settings
    configured = bool(settings.openrouter_api_key or settings.oracle_url)
    model = Model(
        id=settings.oracle_model,
        provider="own" if settings.oracle_url else "openrouter",
        max_tokens=MAX_TOKENS,
        timeout_s=settings.oracle_timeout_s,
        tokens_per_day=settings.oracle_tokens_per_day,
    )
    shown = Models(
        configured=configured,
        models=(model,) if configured else (),
        written=writing.MODEL,
        types=("prayer", "dedication", "teaching", "meditation"),
        notice=None if configured else "No language model is configured; texts of our own answer, and say so",
    )
    return json_response(msgspec.json.encode(shown))


async def generate(request: web.Request) -> web.StreamResponse:
    """A text, at once or as it comes."""
    caller, body = await caller_of(request), await body_of(request, GenerateBody)
    operation = operation_of(caller.practitioner, idempotency_key(request))
    id_ = str(uuid.uuid4() if operation is None else uuid.uuid5(uuid.NAMESPACE_OID, f"text:{operation}"))
    command = v.Write(id=id_, kind=body.type, intention=body.intention, max_tokens=body.max_tokens)
    text = _Text(request, caller, command, may_return=operation is not None)
    await text.begin()
    media = _media(request, body)
    if media is None:
        return json_response(msgspec.json.encode(await text.whole()))
    return await _streamed(request, text, media)


def _media(request: web.Request, body: GenerateBody) -> str | None:
    """How it is to be streamed; None: not at all."""
    if body.stream is not None:
        return SSE if body.stream == "sse" else NDJSON
    accepted = [part.split(";")[0].strip().lower() for part in request.headers.get("Accept", "").split(",")]
    return next((media for media in accepted if media in (SSE, NDJSON)), None)


class _Text:
    """A text in the making, as the oracle's worker has it."""

    def __init__(self, request: web.Request, caller: Caller, asked: v.Write, *, may_return: bool) -> None:
        self._request, self._caller, self._asked = request, caller, asked
        self._may_return = may_return
        self._ending: v.Ending | None = None

    async def begin(self) -> None:
        """Raises what the worker refuses with."""
        await self._ask(self._asked)

    async def pieces(self) -> AsyncIterator[str]:
        """As they come. Who stops reading gives the text up, unless they have a key to come back with."""
        size = 0
        try:
            while self._ending is None:
                answer = await self._ask(v.ReadOn(id=self._asked.id, after=size))
                piece = v.piece_codec.decode(v.piece_codec.format, answer)
                self._ending = piece.ending
                size += len(piece.text)
                if piece.text:
                    yield piece.text
        finally:
            if self._ending is None and not self._may_return:
                gateway_of(self._request).spawn(self._give_up())

    async def _give_up(self) -> None:
        with contextlib.suppress(SanghaError):
            await self._ask(v.GiveUp(id=self._asked.id))

    async def whole(self) -> Generated:
        """All of it."""
        async with aclosing(self.pieces()) as pieces:  # type: ignore[type-var]
            text = "".join([piece async for piece in pieces])
        return self.generated(text)

    def generated(self, text: str) -> Generated:
        """The answer, after the last piece."""
        assert self._ending is not None
        ending: dict[str, Any] = structs.asdict(self._ending)
        return Generated(id=self._asked.id, type=self._asked.kind, text=text, **ending)

    async def _ask(self, command: v.Command) -> bytes:
        address = Address("oracle", self._caller.practitioner)
        return await ask(self._request, address, v.encode(command), self._caller)


async def _streamed(request: web.Request, text: _Text, media: str) -> web.StreamResponse:
    """``text`` events with the pieces, then ``done`` with the whole answer; or ``error``, where it ends in the middle."""
    response = web.StreamResponse(
        headers={"Content-Type": media, "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )
    try:
        await response.prepare(request)
        await _told(request, response, text, media)
        await response.write_eof()
    except ConnectionError:
        log.debug("a text's client left")
    except TimeoutError:
        log.debug("a text's client took nothing for %g s", STALL_S)
        if request.transport is not None:
            request.transport.close()
    return response


async def _told(request: web.Request, response: web.StreamResponse, text: _Text, media: str) -> None:
    """All of its events. Whatever ends it in the middle is told there, for the status was 200 long ago. Raises ConnectionError,
    TimeoutError where the client does not read."""
    found: list[str] = []
    failure: SanghaError
    try:
        async with aclosing(text.pieces()) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                found.append(piece)
                await _tell(response, media, "text", {"text": piece})
        await _tell(response, media, "done", structs.asdict(text.generated("".join(found))))
    except SanghaError as refused:
        failure = refused
    except (ConnectionError, TimeoutError):
        raise
    except Exception as unknown:  # noqa: BLE001 - the boundary: logged with a reference that the client gets
        failure = Internal(gateway_of(request).log_reference("a text failed", unknown))
    else:
        return
    await _tell(response, media, "error", {"error": error_body(failure)})


async def _tell(response: web.StreamResponse, media: str, event: str, fields: dict[str, Any]) -> None:
    data = msgspec.json.encode({"event": event, **fields})
    line = b"event: " + event.encode() + b"\ndata: " + data + b"\n\n" if media == SSE else data + b"\n"
    async with asyncio.timeout(STALL_S):
        await response.write(line)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path=f"{PREFIX}/models",
        handler=models,
        summary="Which language model is configured",
        description="None may be: then our own texts answer, and say so.",
        tag=TAG,
        reply=Models,
        examples=(Example(name="llm_models"),),
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/generate",
        handler=generate,
        summary="A prayer, a dedication, a teaching, a guided meditation",
        description="With `stream` (or `Accept`) the text comes piece by piece, as server-sent events or as NDJSON: objects"
        ' `{"event":"text","text"}`, then `{"event":"done",…}` with the whole answer, or `{"event":"error","error"}`. One text'
        " at a time of a practitioner. Without a language model, or where it does not answer, one of our own texts is given,"
        " `source` is `written`, and `notice` says why.",
        tag=TAG,
        body=GenerateBody,
        reply=Generated,
        more_media=(SSE, NDJSON),
        errors=(*ENTITY, "not_found", "conflict", "rate_limited"),
        examples=(Example(name="llm_generate", body={"type": "meditation", "intention": "to breathe more calmly"}),),
    ),
)

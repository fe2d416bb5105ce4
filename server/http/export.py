"""``GET /api/users/export``: everything that is held about the caller, as one JSON document.

Streamed a page at a time, so memory does not grow with the account, and one at a time of an account; not one instant: what
happens meanwhile may be in a later part and not in an earlier. No secret is in it: of the password and of tokens only hashes
are held, and those are left out. Nor is anything of others but what was told to the caller. An error in the middle cuts the
document off, which is then no JSON.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec
import orjson
from aiohttp import web

from actors.practitioner import commands as p
from actors.ritual import commands as r
from actors.runtime.entity import Address
from actors.space import events as space_events
from server import shapes
from server.http.account import LoginRow
from server.http.api import Example, Operation, routes_of
from server.http.context import ask, auth_session, gateway_of
from server.http.contract import ENTITY
from server.http.users import TAG, ask_own
from server.limits import TooSoon
from server.rituals import read

PAGE: Final = 50
"""Rows at a time: a state's is at most some 300 KiB."""
EVENTS: Final = 200
WINDOW: Final = 5_000
"""Events of a space that one statement looks at: some ten milliseconds."""
RETRY_S: Final = 10.0
SECRETS: Final = frozenset({"password_hash", "token_hash"})

Chunks = AsyncIterator[bytes]


class Export(msgspec.Struct, kw_only=True):
    """All that is held. ``messages`` are what the caller said in spaces; ``journal`` is their own events, all of them.

    ``prayers``: what they accumulated with their prayer wheel, ``prayer_journal``: the wheel's newest events, at least 4,096.
    ``audio_sessions`` have theirs in ``journal``; ``audio_voices``: what of theirs sounds on the server's sound devices, and
    until when.
    """

    format: int
    exported_at: datetime
    profile: shapes.Profile
    logins: list[LoginRow]
    states: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    insights: list[dict[str, Any]]
    rituals: list[dict[str, Any]]
    prayers: list[dict[str, Any]]
    prayer_journal: list[dict[str, Any]]
    audio_sessions: list[dict[str, Any]]
    audio_voices: list[dict[str, Any]]
    spaces: list[dict[str, Any]]
    messages: list[dict[str, Any]]
    journal: list[dict[str, Any]]


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def export(request: web.Request) -> web.StreamResponse:
    """The document, as an attachment."""
    session = await auth_session(request)
    who = str(session.practitioner_id)
    gateway = gateway_of(request)
    if who in gateway.exporting:
        raise TooSoon("an export of yours is under way", RETRY_S)
    gateway.exports.take(who)
    gateway.exporting.add(who)
    try:
        return await _export(request, who, str(session.id))
    finally:
        gateway.exporting.discard(who)


async def _export(request: web.Request, who: str, session: str) -> web.StreamResponse:
    profile = await ask_own(request, who, p.GetProfile())
    headers = {
        "Content-Type": "application/json",
        "Content-Disposition": f'attachment; filename="sangha-{who}.json"',
        "Cache-Control": "no-store",
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    async for chunk in document(request, who, session, profile):
        await response.write(chunk)
    await response.write_eof()
    return response


async def document(request: web.Request, who: str, session: str, profile: bytes) -> Chunks:
    """Its pieces."""
    queries = gateway_of(request).queries
    now = orjson.dumps(datetime.now(UTC), option=orjson.OPT_UTC_Z)
    yield b'{"format":1,"exported_at":' + now + b',"profile":' + profile
    logins = [row | {"current": row["id"] == session} for row in await read(queries.logins(who))]
    voices = await read(queries.audio_voices(who))
    parts: dict[str, AsyncIterator[Any]] = {
        "logins": _all(logins),
        "states": _paged(lambda last: queries.states(who, PAGE, last)),
        "runs": _paged(lambda last: queries.runs(who, PAGE, last)),
        "insights": _paged(lambda last: queries.insights(who, None, PAGE, last)),
        "rituals": _rituals(request, who),
        "prayers": _paged(lambda last: queries.accumulations(who, PAGE, last)),
        "prayer_journal": _journal(request, who, "prayer_wheel"),
        "audio_sessions": _audio_sessions(request, who),
        "audio_voices": _all(voices),
        "spaces": _spaces(request, who),
        "messages": _messages(request, who),
        "journal": _journal(request, who),
    }
    for name, rows in parts.items():
        yield b',"' + name.encode() + b'":['
        comma = b""
        async for row in rows:
            yield comma + orjson.dumps(row, default=_plain, option=orjson.OPT_UTC_Z)
            comma = b","
        yield b"]"
    yield b"}\n"


async def _all(rows: list[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row


async def _paged(page: Callable[[str | None], Awaitable[Any]], key: str = "id") -> AsyncIterator[Any]:
    last: str | None = None
    while rows := await read(page(last)):
        for row in rows:
            yield row
        last = str(rows[-1][key])


def _spaces(request: web.Request, who: str) -> AsyncIterator[Any]:
    queries = gateway_of(request).queries
    return _paged(lambda last: queries.memberships(who, PAGE, last), "space_id")


async def _rituals(request: web.Request, who: str) -> AsyncIterator[Any]:
    """With their modules, one at a time."""
    queries = gateway_of(request).queries
    async for row in _paged(lambda last: queries.authored(who, PAGE, last)):
        reply = await ask(request, Address("ritual", row["id"]), r.encode(r.GetModule()))
        yield row | {"wasm_module": orjson.loads(reply)["module"]}


async def _audio_sessions(request: web.Request, who: str) -> AsyncIterator[Any]:
    """With the events of each."""
    queries = gateway_of(request).queries
    async for row in _paged(lambda last: queries.audio_sessions(who, PAGE, last)):
        yield row | {"journal": [each async for each in _journal(request, row["id"], "audio_session")]}


async def _messages(request: web.Request, who: str) -> AsyncIterator[Any]:
    async for space in _spaces(request, who):
        async for event in _said(request, space["space_id"], who):
            said = space_events.codec.decode(event.format, event.data)
            if isinstance(said, space_events.Message) and said.by == who:
                body = orjson.Fragment(bytes(said.body))
                yield {"space": event.entity_id, "offset": event.stream_offset, "at": event.at, "body": body}


async def _said(request: web.Request, space: str, who: str) -> AsyncIterator[Any]:
    """Theirs, and maybe others' too. Nobody else's is read where storage can tell: a space may have a million."""
    queries, after = gateway_of(request).queries, 0
    head = await read(queries.head("space", space))
    while after < head:
        rows = await read(queries.said(space, who, after, EVENTS, WINDOW))
        for row in rows:
            yield row
        after = rows[-1].seq if len(rows) == EVENTS else after + WINDOW


async def _journal(request: web.Request, who: str, kind: str = "practitioner") -> AsyncIterator[Any]:
    async for event in _events(request, kind, who):
        data = _without_secrets(orjson.loads(event.data))
        yield {"seq": event.seq, "at": event.at, "type": event.event_type, "data": data}


async def _events(request: web.Request, kind: str, entity: str) -> AsyncIterator[Any]:
    queries, after = gateway_of(request).queries, 0
    while rows := await read(queries.journal(kind, entity, after, EVENTS)):
        for row in rows:
            yield row
        after = rows[-1].seq


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(part) for name, part in value.items() if name not in SECRETS}
    return [_without_secrets(part) for part in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value))


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/api/users/export",
        handler=export,
        summary="Everything that is held about oneself",
        description="One JSON document, as an attachment: profile, logins, states, runs, insights, rituals with their modules"
        " (base64), prayers, audio sessions, spaces, messages, and one's own journals. Hashes of passwords and tokens are left"
        " out.",
        tag=TAG,
        reply=Export,
        reply_headers={"Content-Disposition": "`attachment`, with a file name"},
        errors=(*ENTITY, "rate_limited"),
        examples=(Example(name="export"),),
    ),
)

"""``/api/collective``: spaces and their group rituals over HTTP, as over the socket.

A join makes the caller a participant of the space; to be present, and so to take part in a group ritual, they connect with a
socket (``/ws/collective``) and join there too, which changes nothing more.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from actors.practitioner import commands as practitioner
from actors.practitioner.entity import display_name
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import NotFound, SanghaError
from actors.space import commands as c
from server.http.context import ask, command_from, gateway_of, idempotency_key, json_body, json_response
from server.http.paging import page_of, rows_response, text_in
from server.http.rituals import caller_of, change_of
from server.http.runs import given, parameters_of
from server.rituals import brief_of, read, resolve_ritual
from server.spaces import room_for_one_more, space_of, spaces_for
from server.ws.session import space_id_of

SPACES: Final = "/api/collective/spaces"
RITUALS: Final = "/api/collective/rituals"


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [
        web.get(SPACES, list_spaces),
        web.post(SPACES, create_space),
        web.get(f"{SPACES}/{{space}}", get_space),
        web.get(RITUALS, get_rituals),
        web.post(RITUALS, post_ritual),
        web.post(f"{RITUALS}/{{ritual_run}}/abort", abort_ritual),
    ]


async def list_spaces(request: web.Request) -> web.Response:
    """An array of the spaces that the caller may know of, newest first."""
    caller, (limit, before) = await caller_of(request), page_of(request)
    spaces = spaces_for(gateway_of(request), caller.practitioner, limit, before, text_in(request, "q"))
    return rows_response(await read(spaces))


async def create_space(request: web.Request) -> web.Response:
    """201 with the space; the caller facilitates it."""
    gateway, caller = gateway_of(request), await _caller(request)
    command = command_from(c.CreateSpace, await json_body(request))
    operation = change_of(request, caller)
    space = space_id_of(operation)
    await read(room_for_one_more(gateway, caller, space))
    reply = await ask(request, Address("space", space), c.encode(command), caller, operation)
    if command.slug is not None:
        gateway.slugs.put(command.slug, space)
    return json_response(reply, status=201)


async def get_space(request: web.Request) -> web.Response:
    """The space as it is now, by id or slug."""
    return await _read(request, request.match_info["space"], c.GetSpace())


async def get_rituals(request: web.Request) -> web.Response:
    """``{current, last, scheduled}`` of the group rituals of ``?space=``."""
    return await _read(request, _text(dict(request.query), "space"), c.GetRitual())


async def post_ritual(request: web.Request) -> web.Response:
    """Begin a group ritual (201); with an ``action``: ``join`` its space, ``abort`` it, or its ``status``."""
    body = await json_body(request)
    action = body.get("action", "begin")
    if action == "begin":
        return await _begin(request, body)
    if action == "join":
        return await _change(request, body, c.Join())
    if action == "abort":
        return await _change(request, body, command_from(c.AbortRitual, body))
    if action == "status":
        return await _read(request, _text(body, "space"), c.GetRitual())
    raise invalid("action", "begin, join, abort or status")


async def abort_ritual(request: web.Request) -> web.Response:
    """End a group ritual, or take a scheduled one back: ``{space}``."""
    command = command_from(c.AbortRitual, {"ritual_run": request.match_info["ritual_run"]})
    return await _change(request, await json_body(request), command)


async def _begin(request: web.Request, body: dict[str, Any]) -> web.Response:
    """A retry gets the first reply also where the ritual cannot be had any more (withdrawn, renamed)."""
    gateway, caller = gateway_of(request), await _caller(request)
    space, ritual = await read(space_of(gateway, _text(body, "space"))), _ritual(body)
    brief, instead = c.NO_BRIEF, None
    try:
        brief = await brief_of(gateway, caller, await resolve_ritual(gateway, caller, ritual))
    except SanghaError as failure:
        if failure.retryable or idempotency_key(request) is None:
            raise
        instead = failure
    fields = {"ritual": ritual, "brief": brief, "parameters": parameters_of(body, "parameters", "ritual_parameters")}
    command = c.encode(command_from(c.BeginRitual, body | fields))
    try:
        reply = await ask(request, Address("space", space), command, caller, change_of(request, caller))
    except NotFound as unknown:
        raise (instead or unknown) from None
    return json_response(reply, status=201)


async def _change(request: web.Request, body: dict[str, Any], command: c.SpaceCommand) -> web.Response:
    caller = await _caller(request)
    space = await read(space_of(gateway_of(request), _text(body, "space")))
    operation = change_of(request, caller)
    return json_response(await ask(request, Address("space", space), c.encode(command), caller, operation))


async def _read(request: web.Request, name: str, command: c.SpaceCommand) -> web.Response:
    caller = await caller_of(request)
    space = await read(space_of(gateway_of(request), name))
    return json_response(await ask(request, Address("space", space), c.encode(command), caller))


async def _caller(request: web.Request) -> Caller:
    """Who asks, by the name that others may see. Raises Unauthenticated, StorageUnavailable."""
    caller = await caller_of(request)
    profile = practitioner.encode(practitioner.GetProfile())
    reply = await ask(request, Address("practitioner", caller.practitioner), profile, caller)
    return Caller(caller.practitioner, display_name(orjson.loads(reply)))


def _ritual(body: dict[str, Any]) -> str:
    """The ritual by id or name, under any of the names that the seed's clients give it."""
    return _text(body, given(body, "ritual_id", "ritual_name", "ritual")[0])


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise invalid(field, "is required" if value is None else "must be a text")
    return value

"""``/api/collective``: spaces and their group rituals over HTTP, as over the socket.

A join makes the caller a participant of the space; to be present, and so to take part in a group ritual, they connect with a
socket (``/ws/collective``) and join there too, which changes nothing more.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.practitioner import commands as practitioner
from actors.practitioner.entity import display_name
from actors.runtime.codec import Uuid, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import NotFound, SanghaError
from actors.space import commands as c
from server import shapes
from server.http.api import Example, Operation, body_of, command_of, query_of, routes_of
from server.http.context import ask, command_from, gateway_of, idempotency_key, json_response
from server.http.contract import ENTITY, STORAGE, at_most, body_like
from server.http.paging import Filter, Page, page_of, rows_response, text_in
from server.http.rituals import caller_of, change_of
from server.http.runs import Parameters, RitualText, given, one_of, parameters_of
from server.rituals import brief_of, read, resolve_ritual
from server.spaces import room_for_one_more, space_of, spaces_for
from server.ws.results import Following
from server.ws.session import space_id_of

SPACES: Final = "/api/collective/spaces"
RITUALS: Final = "/api/collective/rituals"
TAG: Final = "Spaces"
GROUP: Final = "Group rituals"
SpaceText = Annotated[str, Meta(min_length=1, description="a space, by id or slug")]
NAMES: Final = ("ritual_id", "ritual_name", "ritual")
"""Of the ritual in a body: those that the seed's clients use."""
CreateBody: Final = body_like(
    c.CreateSpace,
    "CreateSpaceBody",
    types={
        "ritual_schedule": Annotated[Any, Meta(description="any JSON")],
        "participant_limit": Annotated[int, at_most("participant_limit_max", ge=1)],
    },
)


class SpacesQuery(Page, frozen=True, kw_only=True):
    """Which spaces."""

    q: Annotated[Filter | UnsetType, Meta(description="a text somewhere in name, purpose or slug")] = UNSET
    joined: Annotated[bool, Meta(description="only those that one participates in; of a guest none are known")] = False


class SpaceQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Of which space."""

    space: SpaceText


class SpaceBody(msgspec.Struct, frozen=True, kw_only=True):
    """In which space."""

    space: SpaceText


class GroupBody(SpaceBody, frozen=True, kw_only=True):
    """What is asked for; to begin takes a ritual by id or by name."""

    action: Literal["begin", "join", "abort", "status"] = "begin"
    ritual_id: RitualText | None = None
    ritual_name: RitualText | None = None
    ritual: RitualText | None = None
    intention: c.Intention | UnsetType = UNSET
    parameters: Parameters | None = None
    ritual_parameters: Parameters | None = None
    starts_in_s: c.StartsIn | UnsetType = UNSET
    at: c.StartsAt | None = None
    opening_s: c.StageLength | UnsetType = UNSET
    integration_s: c.StageLength | UnsetType = UNSET
    ritual_run: Annotated[Uuid | UnsetType | None, Meta(description="a scheduled ritual to take back")] = UNSET


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def list_spaces(request: web.Request) -> web.Response:
    """An array of the spaces that the caller may know of, newest first."""
    caller, query = await caller_of(request), query_of(request, SpacesQuery)
    limit, before = page_of(request, query)
    spaces = spaces_for(gateway_of(request), caller.practitioner, limit, before, text_in(query.q), query.joined)
    return rows_response(await read(spaces))


async def create_space(request: web.Request) -> web.Response:
    """201 with the space; the caller facilitates it."""
    gateway, caller = gateway_of(request), await caller_named(request)
    command = command_of(c.CreateSpace, await body_of(request, CreateBody))
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
    return await _read(request, query_of(request, SpaceQuery).space, c.GetRitual())


async def post_ritual(request: web.Request) -> web.Response:
    """Begin a group ritual (201); with an ``action``: ``join`` its space, ``abort`` it, or its ``status``."""
    body = await body_of(request, GroupBody)
    if body.action == "begin":
        return await _begin(request, body)
    if body.action == "join":
        return await change_space(request, body.space, c.Join())
    if body.action == "abort":
        return await change_space(request, body.space, command_of(c.AbortRitual, body))
    return await _read(request, body.space, c.GetRitual())


async def abort_ritual(request: web.Request) -> web.Response:
    """End a group ritual, or take a scheduled one back: ``{space}``."""
    command = command_from(c.AbortRitual, {"ritual_run": request.match_info["ritual_run"]})
    return await change_space(request, (await body_of(request, SpaceBody)).space, command)


async def _begin(request: web.Request, body: GroupBody) -> web.Response:
    """A retry gets the first reply also where the ritual cannot be had any more (withdrawn, renamed)."""
    gateway, caller = gateway_of(request), await caller_named(request)
    name, ritual = given(body, *NAMES)
    if ritual is None:
        raise invalid(name, "is required")
    space = await read(space_of(gateway, body.space))
    brief, instead = c.NO_BRIEF, None
    try:
        brief = await brief_of(gateway, caller, await resolve_ritual(gateway, caller, ritual))
    except SanghaError as failure:
        if failure.retryable or idempotency_key(request) is None:
            raise
        instead = failure
    parameters = parameters_of(body, "parameters", "ritual_parameters")
    command = c.encode(command_of(c.BeginRitual, body, ritual=ritual, brief=brief, parameters=parameters))
    try:
        reply = await ask(request, Address("space", space), command, caller, change_of(request, caller))
    except NotFound as unknown:
        raise (instead or unknown) from None
    return json_response(reply, status=201)


async def change_space(request: web.Request, name: str, command: c.SpaceCommand, *, status: int = 200) -> web.Response:
    """Ask a space, by id or slug, to change. Raises whatever it refuses with, NotFound, Unauthenticated, StorageUnavailable."""
    caller = await caller_named(request)
    space = await read(space_of(gateway_of(request), name))
    operation = change_of(request, caller)
    reply = await ask(request, Address("space", space), c.encode(command), caller, operation)
    return json_response(reply, status=status)


async def _read(request: web.Request, name: str, command: c.SpaceCommand) -> web.Response:
    caller = await caller_of(request)
    space = await read(space_of(gateway_of(request), name))
    return json_response(await ask(request, Address("space", space), c.encode(command), caller))


async def caller_named(request: web.Request) -> Caller:
    """Who asks, by the name that others may see. Raises Unauthenticated, StorageUnavailable."""
    caller = await caller_of(request)
    profile = practitioner.encode(practitioner.GetProfile())
    reply = await ask(request, Address("practitioner", caller.practitioner), profile, caller)
    return Caller(caller.practitioner, display_name(orjson.loads(reply)))


_BEGINS: Final = {"if": {"properties": {"action": {"const": "begin"}}}, "then": one_of(NAMES)}
GROUP_SHOWN: Final = Annotated[GroupBody, Meta(extra_json_schema=_BEGINS)]
OPERATIONS: Final = (
    Operation(
        method="POST",
        path=SPACES,
        handler=create_space,
        summary="Create a space",
        description="The caller facilitates it, and takes part by joining like everyone.",
        tag=TAG,
        body=CreateBody,
        reply=shapes.Space,
        status=201,
        errors=(*ENTITY, "conflict", "full"),
        examples=(
            Example(
                name="create_space",
                body={
                    "name": "Friday circle",
                    "purpose": "to sit together",
                    "slug": "friday-circle",
                    "access_level": "open",
                    "ritual_schedule": {"every": "friday"},
                },
            ),
        ),
    ),
    Operation(
        method="GET",
        path=SPACES,
        handler=list_spaces,
        summary="Spaces that one may know of",
        description="The newest first.",
        tag=TAG,
        query=SpacesQuery,
        reply=list[shapes.ListedSpace],
        errors=STORAGE,
        examples=(Example(name="list_spaces", query={"q": "circle", "limit": "5"}),),
    ),
    Operation(
        method="GET",
        path=f"{SPACES}/{{space}}",
        handler=get_space,
        summary="A space as it is now",
        tag=TAG,
        params={"space": SpaceText},
        reply=shapes.SpaceState,
        errors=(*ENTITY, "not_found", "forbidden"),
        examples=(Example(name="get_space", path={"space": "{create_space.slug}"}),),
    ),
    Operation(
        method="POST",
        path=RITUALS,
        handler=post_ritual,
        summary="Begin, join, abort or look at a group ritual",
        description="By `action`: `begin` (201; the facilitator's) at a server time; `join` its space; `abort` it, or a"
        " scheduled one; its `status`. Who takes part has to be connected with a socket and have joined the space there.",
        tag=GROUP,
        body=GroupBody,
        body_shown=GROUP_SHOWN,
        reply=shapes.GroupRitualReply,
        status=201,
        more_replies={200: (Following, shapes.GroupRitualReply, shapes.GroupRituals)},
        errors=(*ENTITY, "not_found", "forbidden", "conflict", "full"),
        examples=(
            Example(name="join_group", body={"space": "{create_space.id}", "action": "join"}),
            Example(
                name="begin_group",
                body={
                    "space": "friday-circle",
                    "ritual_name": "void_contemplation",
                    "intention": "to be with what is",
                    "starts_in_s": 60,
                },
            ),
            Example(
                name="schedule_group",
                body={"space": "friday-circle", "ritual_name": "void_contemplation", "at": "{in_a_month}"},
                note="At a time, up to a year ahead.",
            ),
            Example(name="status_group", body={"space": "friday-circle", "action": "status"}),
            Example(name="abort_group", body={"space": "friday-circle", "action": "abort"}),
        ),
    ),
    Operation(
        method="GET",
        path=RITUALS,
        handler=get_rituals,
        summary="The group rituals of a space",
        description="The one under way, the last one, those that are scheduled.",
        tag=GROUP,
        query=SpaceQuery,
        reply=shapes.GroupRituals,
        errors=(*ENTITY, "not_found", "forbidden"),
        examples=(Example(name="group_rituals", query={"space": "friday-circle"}),),
    ),
    Operation(
        method="POST",
        path=f"{RITUALS}/{{ritual_run}}/abort",
        handler=abort_ritual,
        summary="End a group ritual, or take a scheduled one back",
        tag=GROUP,
        params={"ritual_run": Uuid},
        body=SpaceBody,
        reply=shapes.GroupRitualReply,
        errors=(*ENTITY, "not_found", "forbidden", "conflict"),
        examples=(
            Example(
                name="abort_scheduled",
                path={"ritual_run": "{schedule_group.ritual_run}"},
                body={"space": "friday-circle"},
            ),
        ),
    ),
)

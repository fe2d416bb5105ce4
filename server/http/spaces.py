"""``/api/collective/spaces/{space}``: what one does in a space, as over the socket: change, invite, join, speak, leave, close.

A join over HTTP makes the caller a participant; nobody is present without a socket, and an alarm removes who stays away.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta

from actors.runtime.codec import Uuid
from actors.runtime.entity import Address
from actors.runtime.wire import Refused
from actors.space import commands as c
from server import shapes
from server.http.api import Example, Operation, body_of, command_of, query_of, routes_of
from server.http.collective import SPACES, TAG, SpaceText, change_space
from server.http.context import ask, gateway_of, json_response
from server.http.contract import ENTITY, at_most, body_like
from server.http.paging import LIMIT
from server.http.rituals import caller_of
from server.rituals import read
from server.spaces import space_of
from server.ws import protocol, results

ONE: Final = f"{SPACES}/{{space}}"
PARAMS: Final = {"space": SpaceText}
Json = Annotated[Any, Meta(description="any JSON")]
UpdateBody: Final = body_like(
    c.UpdateSpace,
    "UpdateSpaceBody",
    types={
        "ritual_schedule": Json,
        "shared_state": Json,
        "participant_limit": Annotated[int, at_most("participant_limit_max", ge=1)],
    },
)


class InviteBody(msgspec.Struct, frozen=True, kw_only=True):
    """Whom."""

    practitioner: Uuid


class MessageBody(msgspec.Struct, frozen=True, kw_only=True):
    """What is said: any JSON."""

    body: Json


class HistoryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events."""

    after: Annotated[int, Meta(ge=0, le=2**53, description="events with a higher offset")] = 0
    limit: Annotated[int, Meta(description="how many at most"), at_most("history_page", ge=1)] = LIMIT


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def update(request: web.Request) -> web.Response:
    """Changes what is given; the space as it is now. The facilitator's."""
    return await _change(request, command_of(c.UpdateSpace, await body_of(request, UpdateBody)))


async def invite(request: web.Request) -> web.Response:
    """Lets an account in. The facilitator's."""
    body = await body_of(request, InviteBody)
    return await _change(request, c.Invite(practitioner=body.practitioner))


async def join(request: web.Request) -> web.Response:
    """The caller participates."""
    return await _change(request, c.Join())


async def leave(request: web.Request) -> web.Response:
    """The caller participates no longer."""
    return await _change(request, c.Leave())


async def close(request: web.Request) -> web.Response:
    """Ends the space for everyone. The facilitator's."""
    return await _change(request, c.Close())


async def send(request: web.Request) -> web.Response:
    """Says something to every participant; its offset."""
    return await _change(request, command_of(c.SendMessage, await body_of(request, MessageBody)), status=201)


async def participants(request: web.Request) -> web.Response:
    """Who participates."""
    state = orjson.loads(await ask(request, await _space(request), c.encode(c.GetSpace()), await caller_of(request)))
    return json_response(state["participants"])


async def history(request: web.Request) -> web.Response:
    """Numbered events after an offset, oldest first."""
    caller, query, address = await caller_of(request), query_of(request, HistoryQuery), await _space(request)
    limit = min(query.limit, gateway_of(request).settings.history_page)
    answer = await gateway_of(request).history(address, query.after, limit, caller)
    if isinstance(answer, Refused):
        raise protocol.from_refused(answer)
    return json_response(answer.body)


async def _space(request: web.Request) -> Address:
    return Address("space", await read(space_of(gateway_of(request), request.match_info["space"])))


async def _change(request: web.Request, command: c.SpaceCommand, status: int = 200) -> web.Response:
    return await change_space(request, request.match_info["space"], command, status=status)


_MAY: Final = (*ENTITY, "not_found", "forbidden", "conflict")
_HERE: Final = {"space": "{create_space.slug}"}
OPERATIONS: Final = (
    Operation(
        method="PATCH",
        path=ONE,
        handler=update,
        summary="Change a space",
        description="What is given changes. The facilitator's.",
        tag=TAG,
        params=PARAMS,
        body=UpdateBody,
        reply=shapes.Space,
        errors=_MAY,
        examples=(Example(name="update_space", path=_HERE, body={"purpose": "to sit, and to talk"}),),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/invite",
        handler=invite,
        summary="Invite somebody",
        description="The facilitator's.",
        tag=TAG,
        params=PARAMS,
        body=InviteBody,
        reply=results.MayEnter,
        errors=(*_MAY, "full"),
        examples=(Example(name="invite", path=_HERE, body={"practitioner": "{register.practitioner.id}"}),),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/join",
        handler=join,
        summary="Join a space",
        description="One is a participant then; to be present takes a socket.",
        tag=TAG,
        params=PARAMS,
        reply=results.Following,
        errors=(*_MAY, "full"),
        examples=(Example(name="join_space", path=_HERE),),
    ),
    Operation(
        method="GET",
        path=f"{ONE}/participants",
        handler=participants,
        summary="Who participates",
        tag=TAG,
        params=PARAMS,
        reply=list[shapes.Person],
        errors=(*ENTITY, "not_found", "forbidden"),
        examples=(Example(name="participants", path=_HERE),),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/messages",
        handler=send,
        summary="Say something",
        description="To every participant; kept and numbered.",
        tag=TAG,
        params=PARAMS,
        body=MessageBody,
        reply=results.Stored,
        status=201,
        errors=_MAY,
        examples=(Example(name="say", path=_HERE, body={"body": {"text": "good evening"}}),),
    ),
    Operation(
        method="GET",
        path=f"{ONE}/history",
        handler=history,
        summary="What happened in a space",
        description="Numbered events after an offset, oldest first; for participants and the facilitator.",
        tag=TAG,
        params=PARAMS,
        query=HistoryQuery,
        reply=results.Events,
        errors=(*ENTITY, "not_found", "forbidden"),
        examples=(Example(name="space_history", path=_HERE, query={"after": "0", "limit": "10"}),),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/leave",
        handler=leave,
        summary="Leave a space",
        tag=TAG,
        params=PARAMS,
        reply=results.SpaceId,
        errors=_MAY,
        examples=(Example(name="leave_space", path=_HERE),),
    ),
    Operation(
        method="POST",
        path=f"{ONE}/close",
        handler=close,
        summary="Close a space",
        description="It ends for everyone. The facilitator's.",
        tag=TAG,
        params=PARAMS,
        reply=results.SpaceId,
        errors=_MAY,
        examples=(Example(name="close_space", path=_HERE),),
    ),
)

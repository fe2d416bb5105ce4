"""``/api/admin/tokens``: tokens of services, for whoever has the admin token. What ``sangha token`` asks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.practitioner.commands import ShortText
from actors.runtime.codec import Uuid
from actors.runtime.errors import NotFound, Unauthenticated
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import gateway_of, has_admin_token, idempotency_key, json_response
from server.http.contract import ENTITY, STORAGE
from server.http.paging import rows_response
from server.rituals import read
from server.service import SERVICES, account_of, new_token, revoke_token

TAG: Final = "Operations"
DAYS: Final = 365
DAYS_MAX: Final = 3_650
Service = Literal["eustress"]
TokenName = Annotated[ShortText, Meta(description="for people: which engine it is for")]


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """For which service, and for how long."""

    service: Service
    name: TokenName | None = None
    days: Annotated[float, Meta(gt=0, le=DAYS_MAX, description="how long it counts")] = DAYS


class TokensQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which tokens."""

    service: Annotated[Service | UnsetType, Meta(description="only of this one")] = UNSET


class ServiceToken(msgspec.Struct, kw_only=True):
    """A token that counts, without the token itself: only its hash is kept."""

    id: Uuid
    service: str
    name: str | None
    created_at: datetime
    expires_at: datetime


class NewToken(msgspec.Struct, kw_only=True):
    """A new token. It is told here and never again."""

    id: Uuid
    service: str
    name: str | None
    token: str
    expires_at: datetime


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def make_token(request: web.Request) -> web.Response:
    """201 with a token; its service's account is made where it is the first."""
    _check_admin(request)
    body = await body_of(request, TokenBody)
    made = await new_token(gateway_of(request), body.service, body.name, body.days, idempotency_key(request))
    return json_response(made, status=201)


async def list_tokens(request: web.Request) -> web.Response:
    """Tokens that count, newest first."""
    _check_admin(request)
    query = query_of(request, TokensQuery)
    services = SERVICES if query.service is UNSET else (query.service,)
    rows = gateway_of(request).queries.service_tokens([account_of(service) for service in services])
    return rows_response(await read(rows))


async def delete_token(request: web.Request) -> web.Response:
    """204; it counts no longer, and sockets that came with it close."""
    _check_admin(request)
    if not await revoke_token(gateway_of(request), request.match_info["id"].lower(), idempotency_key(request)):
        raise NotFound("there is no such token of a service")
    return web.Response(status=204)


def _check_admin(request: web.Request) -> None:
    if not has_admin_token(request):
        raise Unauthenticated("the admin token is required")


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/api/admin/tokens",
        handler=make_token,
        summary="A token for a service",
        description="For a program that is no practitioner, such as a Eustress engine: what `sangha token` prints. A service has"
        " at most 64 tokens at once.",
        tag=TAG,
        access="admin",
        body=TokenBody,
        reply=NewToken,
        status=201,
        errors=(*ENTITY, "conflict", "full"),
        examples=(Example(name="make_token", body={"service": "eustress", "name": "the lab's engine", "days": 30}),),
    ),
    Operation(
        method="GET",
        path="/api/admin/tokens",
        handler=list_tokens,
        summary="Tokens of services",
        tag=TAG,
        access="admin",
        query=TokensQuery,
        reply=list[ServiceToken],
        errors=STORAGE,
        examples=(Example(name="list_tokens", query={"service": "eustress"}),),
    ),
    Operation(
        method="DELETE",
        path="/api/admin/tokens/{id}",
        handler=delete_token,
        summary="Revoke a service's token",
        tag=TAG,
        access="admin",
        status=204,
        errors=(*ENTITY, "not_found", "conflict"),
        examples=(Example(name="delete_token", path={"id": "{make_token.id}"}),),
    ),
)

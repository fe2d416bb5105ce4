"""``/api/users``: logins and their end, the password, the account's deletion. (Its export is ``export``'s.)

What ends the caller's own token (a deletion, the end of all logins) cannot be retried with it: a retry is ``unauthenticated``,
which says that it was done.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta

from actors.practitioner import commands as c
from actors.runtime.codec import Uuid
from actors.runtime.errors import NotFound, Unauthenticated
from server import tokens
from server.erasure import farewells_of
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import auth_session, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, STORAGE
from server.http.paging import rows_response
from server.http.passwords import SALT_BYTES, GivenPassword, NewPassword, check_own, hash_of, hashed
from server.http.users import TAG, ask_own
from server.rituals import read, ritual_id

ERASED_WITHIN_S: Final = 10.0
"""Mostly it takes a moment. Where a space does not answer, the client is not kept waiting for it: 202."""


CURRENT: Final = "current"
LoginId = Annotated[
    str,
    Meta(
        pattern=r"^(current|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})$(?!\n)",
        description="a login's id; `current` is the one that asks",
    ),
]


class LoginRow(msgspec.Struct, kw_only=True):
    """A login that counts. ``current`` is the one that asks."""

    id: Uuid
    created_at: datetime
    expires_at: datetime
    current: bool


class ClosedLogins(msgspec.Struct, kw_only=True):
    """Logins that were closed."""

    sessions: list[Uuid]


class Leaving(msgspec.Struct, kw_only=True):
    """The account is being deleted: nobody can log in any more; not everybody has been told yet."""

    status: Annotated[str, Meta(pattern="^leaving$")]


class WhichLogins(msgspec.Struct, frozen=True, kw_only=True):
    """All but the one that asks, or all."""

    all: bool = False


class PasswordBody(msgspec.Struct, frozen=True, kw_only=True):
    """Both passwords."""

    password: Annotated[GivenPassword, Meta(description="the one so far")]
    new_password: NewPassword


class DeleteBody(msgspec.Struct, frozen=True, kw_only=True):
    """The password once more."""

    password: GivenPassword


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def list_logins(request: web.Request) -> web.Response:
    """The caller's logins, newest first."""
    session = await auth_session(request, services=True)
    rows = await read(gateway_of(request).queries.logins(str(session.practitioner_id)))
    return rows_response([row | {"current": row["id"] == str(session.id)} for row in rows])


async def close_login(request: web.Request) -> web.Response:
    """204; sockets that came with it close at once, wherever they are."""
    session, named = await auth_session(request, services=True), request.match_info["id"]
    asked = str(session.id) if named == CURRENT else ritual_id(named)
    if asked is None or not await _close(request, str(session.practitioner_id), c.CloseSession(id=asked)):
        raise NotFound("there is no such login of yours")
    return web.Response(status=204)


async def close_logins(request: web.Request) -> web.Response:
    """All others, or all."""
    session, which = await auth_session(request, services=True), query_of(request, WhichLogins)
    command = c.CloseSession(keep=None if which.all else str(session.id))
    closed = await _close(request, str(session.practitioner_id), command)
    return json_response({"sessions": closed})


async def _close(request: web.Request, practitioner: str, command: c.CloseSession) -> list[Any]:
    closed: list[Any] = orjson.loads(await ask_own(request, practitioner, command))["sessions"]
    return closed


async def put_password(request: web.Request) -> web.Response:
    """Another password; the other logins are closed."""
    session, body = await auth_session(request), await body_of(request, PasswordBody)
    practitioner = str(session.practitioner_id)
    operation = operation_of(practitioner, idempotency_key(request))
    secret = gateway_of(request).secret
    salt = tokens.random_salt(SALT_BYTES) if operation is None else tokens.salt(secret, operation)
    new = await hashed(request, body.new_password, salt)
    if await hash_of(request, practitioner) != new:  # else a retry: the salt is the key's
        await check_own(request, practitioner, body.password)
    reply = await ask_own(request, practitioner, c.ChangePassword(password_hash=new, keep=str(session.id)))
    return json_response(reply)


async def delete_account(request: web.Request) -> web.Response:
    """204 when nothing is left of it; 202 where it is on its way and somebody does not answer yet."""
    session, body = await auth_session(request), await body_of(request, DeleteBody)
    gateway, practitioner = gateway_of(request), str(session.practitioner_id)
    await check_own(request, practitioner, body.password)
    command = c.DeleteAccount(farewells=await read(farewells_of(gateway, practitioner)))
    try:
        async with asyncio.timeout(ERASED_WITHIN_S):
            await ask_own(request, practitioner, command)
    except TimeoutError:
        return json_response({"status": "leaving"}, status=202)
    except Unauthenticated:
        pass  # it was deleted while the shard that had been asked was replaced
    finally:
        if gateway.erasure is not None:
            gateway.erasure.deleted(practitioner)
    return web.Response(status=204)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/api/users/sessions",
        handler=list_logins,
        summary="One's logins",
        tag=TAG,
        reply=list[LoginRow],
        errors=STORAGE,
        examples=(Example(name="logins"),),
    ),
    Operation(
        method="DELETE",
        path="/api/users/sessions/{id}",
        handler=close_login,
        summary="End a login",
        description="Sockets that came with its token are closed (4001) at once, on every gateway.",
        tag=TAG,
        params={"id": LoginId},
        status=204,
        errors=(*ENTITY, "not_found", "conflict"),
        examples=(Example(name="close_login", path={"id": "current"}, alone=True),),
    ),
    Operation(
        method="DELETE",
        path="/api/users/sessions",
        handler=close_logins,
        summary="End all other logins, or all",
        tag=TAG,
        query=WhichLogins,
        reply=ClosedLogins,
        errors=(*ENTITY, "conflict"),
        examples=(Example(name="close_logins"),),
    ),
    Operation(
        method="PUT",
        path="/api/users/password",
        handler=put_password,
        summary="Change the password",
        description="All other logins are closed.",
        tag=TAG,
        body=PasswordBody,
        reply=ClosedLogins,
        errors=(*ENTITY, "forbidden", "conflict", "rate_limited"),
        examples=(
            Example(
                name="put_password",
                body={"password": "a long password", "new_password": "a longer password"},
                alone=True,
            ),
        ),
    ),
    Operation(
        method="DELETE",
        path="/api/users/account",
        handler=delete_account,
        summary="Delete the account",
        description="Its rows and its journal go; what was said in spaces stays, from *departed*; published rituals stay"
        " (withdraw them first, if they should not). The email may be registered anew.",
        tag=TAG,
        body=DeleteBody,
        status=204,
        more_replies={202: Leaving},
        errors=(*ENTITY, "forbidden", "conflict", "rate_limited"),
        examples=(Example(name="delete_account", body={"password": "a long password"}, alone=True),),
    ),
)

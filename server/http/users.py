"""``/api/users``: register, login, logout, profile, archetypal state.

An unknown email costs as much as a wrong password and says the same: an account is looked for and a hash compared in either
case. A registration or a login with an ``Idempotency-Key`` can be retried: practitioner id, salt, session and token are derived
from the key (under the cluster's secret), so the commands are the same ones again but for what the clock says, which is not
compared; a retried logout finds that its token is spent, which is what was asked for.

Rejected: remembering replies by key in the gateway. The journal remembers operations already; only what is random has to be
derived.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import Meta

from actors.practitioner import archetypal_state
from actors.practitioner import commands as c
from actors.practitioner.account import display_name
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.rows import EMAIL_SCOPE
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Conflict, NotFound, Unauthenticated
from actors.runtime.link import ONCE
from server import shapes, tokens
from server.http.api import Example, Operation, body_of, command_of, routes_of
from server.http.asker import address_of
from server.http.context import (
    ask,
    auth_session,
    bearer,
    gateway_of,
    idempotency_key,
    json_body,
    json_response,
    operation_of,
    resolve,
)
from server.http.contract import ENTITY, UuidText, body_like
from server.http.passwords import DELETED, SALT_BYTES, GivenPassword, NewPassword, hash_of, hashed, verified
from server.http.rituals import viewer_of
from server.http.state import StateBody
from server.rituals import read, ritual_id

TAG: Final = "Accounts"
WRONG: Final = "the email or the password is wrong"
NOBODY: Final = "there is no such practitioner, or they do not show themselves to you"
_NAMESPACE: Final = uuid.UUID("5b0c3f0e-7a1d-5d0a-9c55-8a3f6f1d2e01")
Preferences = Annotated[dict[str, Any], Meta(description=f"at most {c.PREFERENCES_BYTES} bytes of JSON")]
_JSON_FIELDS: Final = {"archetypal_preferences": Preferences, "energy_alignments": Preferences}

RegisterBody: Final = body_like(
    c.Register,
    "RegisterBody",
    without=("password_hash",),
    types=_JSON_FIELDS,
    more=(("password", NewPassword),),
    doc="A new account.",
)
ProfileBody: Final = body_like(c.UpdateProfile, "ProfileBody", types=_JSON_FIELDS, doc="What is given changes.")


class LoginBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who it is."""

    email: c.Email
    password: GivenPassword


class Login(msgspec.Struct, kw_only=True):
    """A login. The token is told here and never again."""

    token: str
    expires_at: datetime
    practitioner: shapes.Profile


class OthersProfile(msgspec.Struct, kw_only=True):
    """A practitioner as others see them: of a *community* one the id and the name, of a *public* one all but the email."""

    id: str
    spiritual_name: str | None
    sacred_path: str | msgspec.UnsetType | None = msgspec.UNSET
    privacy_level: c.PrivacyLevel | msgspec.UnsetType = msgspec.UNSET
    archetypal_preferences: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    energy_alignments: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
    created_at: datetime | msgspec.UnsetType = msgspec.UNSET


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def register(request: web.Request) -> web.Response:
    """201 with a token; a taken email is 409."""
    gateway = gateway_of(request)
    gateway.registrations.take(address_of(request))  # before the body is read: it may be large
    body = await body_of(request, RegisterBody)
    email, key = c.normal_email(body.email), idempotency_key(request)
    practitioner = str(uuid.uuid5(_NAMESPACE, f"{key}|{email}") if key is not None else uuid.uuid4())
    operation = operation_of(practitioner, key)
    salt = tokens.random_salt(SALT_BYTES) if operation is None else tokens.salt(gateway.secret, operation)
    # What is wrong with the other fields is said before the time for a hash is spent.
    draft = command_of(c.Register, body, email=email, password_hash="-")
    command = msgspec.structs.replace(draft, password_hash=await hashed(request, body.password, salt))
    address = Address("practitioner", practitioner)
    reply = await ask(request, address, c.encode(command), None, operation or ONCE)
    profile = orjson.loads(reply)
    login_operation = None if operation is None else f"{operation}-session"
    since = datetime.fromisoformat(profile["created_at"])
    try:
        opened = await _open_session(request, practitioner, login_operation, since=since)
    except NotFound:
        raise Conflict("the account was deleted since; use another Idempotency-Key") from None
    return json_response(opened | {"practitioner": profile}, status=201)


async def login(request: web.Request) -> web.Response:
    """200 with a token; one message for a wrong email and a wrong password."""
    gateway, key = gateway_of(request), idempotency_key(request)
    gateway.logins_by_address.take(address_of(request))  # before the body is read: it may be large
    body = await body_of(request, LoginBody)
    email = c.normal_email(body.email)
    gateway.logins_by_email.take(email)
    known = await resolve(request, EMAIL_SCOPE, email)
    practitioner = known or str(uuid.uuid5(_NAMESPACE, email))  # nobody, who is asked all the same: it takes a while
    fits = await verified(request, await hash_of(request, practitioner), body.password)
    if not fits or known is None:
        raise Unauthenticated(WRONG)
    operation = None if key is None else f"{practitioner}:login-{key}"
    try:
        opened = await _open_session(request, practitioner, operation, since=datetime.now(UTC))
        profile = await ask(request, Address("practitioner", practitioner), c.encode(c.GetProfile()))
    except NotFound:  # it is being deleted at this moment
        raise Unauthenticated(WRONG) from None
    return json_response(opened | {"practitioner": orjson.loads(profile)})


async def logout(request: web.Request) -> web.Response:
    """204; the token counts no longer, and sockets that came with it close."""
    try:
        session = await auth_session(request, services=True)
    except Unauthenticated:
        token = bearer(request)
        if idempotency_key(request) is None or token is None:
            raise
        if not await read(gateway_of(request).queries.was_login(tokens.hashed(token))):
            raise
        return web.Response(status=204)  # a retry: it ended already
    await ask_own(request, str(session.practitioner_id), c.CloseSession(id=str(session.id)))
    return web.Response(status=204)


async def get_profile(request: web.Request) -> web.Response:
    """The caller's whole profile."""
    session = await auth_session(request)
    return json_response(await ask_own(request, str(session.practitioner_id), c.GetProfile()))


async def get_others_profile(request: web.Request) -> web.Response:
    """What the practitioner's privacy level lets the caller see. Who shows nothing is as unknown as who is not there."""
    viewer, who = await viewer_of(request), ritual_id(request.match_info["id"])
    if who is None:
        raise NotFound(NOBODY)
    address = Address("practitioner", who)
    try:
        profile = orjson.loads(await ask(request, address, c.encode(c.GetProfile()), Caller(viewer.practitioner)))
    except NotFound:
        return json_response(await _to_community(request, viewer, address))
    profile.pop("email", None)  # of one's own
    return json_response({name: profile[name] for name in OthersProfile.__struct_fields__})


async def _to_community(request: web.Request, viewer: Caller, address: Address) -> dict[str, Any]:
    queries = gateway_of(request).queries
    if not viewer.practitioner or not await read(queries.share_a_space(viewer.practitioner, address.id)):
        raise NotFound(NOBODY)
    try:
        profile = orjson.loads(await ask(request, address, c.encode(c.GetProfile())))
    except NotFound:
        raise NotFound(NOBODY) from None
    if profile["privacy_level"] != "community":
        raise NotFound(NOBODY)
    return {"id": address.id, "spiritual_name": display_name(profile)}


async def put_profile(request: web.Request) -> web.Response:
    """Changes what is given; the profile as it is now."""
    session = await auth_session(request)
    command = command_of(c.UpdateProfile, await body_of(request, ProfileBody))
    return json_response(await ask_own(request, str(session.practitioner_id), command))


async def put_archetypal_state(request: web.Request) -> web.Response:
    """Replaces the archetypal state; the state as it is now."""
    session = await auth_session(request)
    command = c.PutArchetypalState(state=archetypal_state.parse(await json_body(request)))
    return json_response(await ask_own(request, str(session.practitioner_id), command))


async def ask_own(request: web.Request, practitioner: str, command: c.PractitionerCommand) -> bytes:
    """The answer of the caller's own entity. A change counts once, also without a key. Raises what that refuses with;
    Unauthenticated where the account was deleted since its token was looked at."""
    operation = operation_of(practitioner, idempotency_key(request))
    if operation is None and request.method != "GET":
        operation = ONCE
    address = Address("practitioner", practitioner)
    try:
        return await ask(request, address, c.encode(command), Caller(practitioner), operation)
    except NotFound:
        raise Unauthenticated(DELETED) from None


async def _open_session(
    request: web.Request, practitioner: str, operation: str | None, *, since: datetime
) -> dict[str, Any]:
    """A login with its token. With an operation all of it is derived or remembered, so that a retry gives the same."""
    gateway = gateway_of(request)
    if operation is None:
        token, session_id = tokens.new(), str(uuid.uuid4())
    else:
        token, session_id = tokens.derived(gateway.secret, operation), str(uuid.uuid5(_NAMESPACE, operation))
    expires_at = since + timedelta(seconds=gateway.settings.token_life_s)
    command = c.OpenSession(id=session_id, token_hash=tokens.hashed(token), expires_at=expires_at)
    address = Address("practitioner", practitioner)
    reply = orjson.loads(await ask(request, address, c.encode(command), None, operation or ONCE))
    return {"token": token, "expires_at": reply["expires_at"]}


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/api/users/register",
        handler=register,
        summary="Register",
        tag=TAG,
        access="anyone",
        body=RegisterBody,
        reply=Login,
        status=201,
        errors=(*ENTITY, "conflict", "rate_limited"),
        examples=(
            Example(
                name="register",
                body={
                    "email": "ariadne@example.org",
                    "password": "a thread through it",
                    "spiritual_name": "Ariadne",
                    "sacred_path": "labyrinth",
                    "privacy_level": "public",
                },
            ),
        ),
    ),
    Operation(
        method="POST",
        path="/api/users/login",
        handler=login,
        summary="Log in",
        description="One answer for a wrong email and a wrong password, after the same time.",
        tag=TAG,
        access="anyone",
        body=LoginBody,
        reply=Login,
        errors=(*ENTITY, "unauthenticated", "rate_limited"),
        examples=(Example(name="login", body={"email": "ariadne@example.org", "password": "a thread through it"}),),
    ),
    Operation(
        method="POST",
        path="/api/users/logout",
        handler=logout,
        summary="Log out",
        description="The token counts no longer; sockets that came with it are closed (4001).",
        tag=TAG,
        status=204,
        errors=ENTITY,
        examples=(Example(name="logout", alone=True),),
    ),
    Operation(
        method="GET",
        path="/api/users/profile",
        handler=get_profile,
        summary="One's own profile",
        tag=TAG,
        reply=shapes.Profile,
        errors=ENTITY,
        examples=(Example(name="profile"),),
    ),
    Operation(
        method="PUT",
        path="/api/users/profile",
        handler=put_profile,
        summary="Change one's profile",
        tag=TAG,
        body=ProfileBody,
        reply=shapes.Profile,
        errors=(*ENTITY, "conflict"),
        examples=(Example(name="put_profile", body={"sacred_path": "the long way home", "oracle_consent": False}),),
    ),
    Operation(
        method="GET",
        path="/api/users/{id}/profile",
        handler=get_others_profile,
        summary="Another's profile",
        description="*private*: nothing; *community*: the name, to participants of a space of theirs; *public*: the profile.",
        tag=TAG,
        access="viewer",
        params={"id": UuidText},
        reply=OthersProfile,
        errors=(*ENTITY, "not_found"),
        examples=(Example(name="others_profile", path={"id": "{register.practitioner.id}"}),),
    ),
    Operation(
        method="PUT",
        path="/api/users/archetypal_state",
        handler=put_archetypal_state,
        summary="Replace the archetypal state",
        tag=TAG,
        body_shown=StateBody,
        reply=ArchetypalState,
        errors=(*ENTITY, "conflict", "too_large"),
        examples=(
            Example(
                name="put_state",
                body={"archetypes": {"Sage": 0.7, "Shadow": 0.3}, "energies": {"fire": 0.4}, "symbols": ["thread"]},
            ),
        ),
    ),
)

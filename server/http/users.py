"""``/api/users``: register, login, logout, profile, archetypal state.

Passwords are hashed with Argon2id on threads of their own, so that the event loop never waits for one, and an unknown email
costs as much as a wrong password and says the same. A registration with an ``Idempotency-Key`` can be retried: practitioner
id, salt and token are derived from the key (under the cluster's secret), so the commands are the same ones again.

Rejected: remembering replies by key in the gateway. The journal remembers operations already; only what is random or taken
from a clock has to be derived. A login has no such need: a retried one is another login.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web
from argon2 import low_level
from argon2.exceptions import VerificationError

from actors.practitioner import archetypal_state
from actors.practitioner import commands as c
from actors.practitioner.rows import EMAIL_SCOPE
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import NotFound, Unauthenticated
from server import tokens
from server.http.asker import address_of
from server.http.context import (
    ask,
    auth_session,
    command_from,
    gateway_of,
    idempotency_key,
    json_body,
    json_response,
    once,
    operation_of,
    resolve,
)

PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 1024
"""Bounds the time of one hash; nobody types more."""
TIME_COST: Final = 3
MEMORY_KIB: Final = 65536
PARALLELISM: Final = 4
"""RFC 9106's second recommended choice."""
SALT_BYTES: Final = 16
WRONG: Final = "the email or the password is wrong"
_NAMESPACE: Final = uuid.UUID("5b0c3f0e-7a1d-5d0a-9c55-8a3f6f1d2e01")


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [
        web.post("/api/users/register", register),
        web.post("/api/users/login", login),
        web.post("/api/users/logout", logout),
        web.get("/api/users/profile", get_profile),
        web.put("/api/users/profile", put_profile),
        web.put("/api/users/archetypal_state", put_archetypal_state),
    ]


async def register(request: web.Request) -> web.Response:
    """201 with a token; a taken email is 409."""
    gateway, body = gateway_of(request), await json_body(request)
    gateway.registrations.take(address_of(request))
    email, password = c.normal_email(_text(body, "email")), _password(body)
    key = idempotency_key(request)
    practitioner = str(uuid.uuid5(_NAMESPACE, f"{key}|{email}") if key is not None else uuid.uuid4())
    operation = operation_of(practitioner, key)
    salt = tokens.random_salt(SALT_BYTES) if operation is None else tokens.salt(gateway.secret, operation)
    # What is wrong with the other fields is said before the time for a hash is spent.
    draft = command_from(c.Register, body | {"email": email, "password_hash": "-"})
    command = msgspec.structs.replace(draft, password_hash=await hashed(request, password, salt))
    address = Address("practitioner", practitioner)
    reply = await ask(request, address, c.encode(command), None, operation or once(practitioner))
    profile = orjson.loads(reply)
    opened = await _open_session(request, practitioner, operation, since=datetime.fromisoformat(profile["created_at"]))
    return json_response(opened | {"practitioner": profile}, status=201)


async def login(request: web.Request) -> web.Response:
    """200 with a token; one message for a wrong email and a wrong password."""
    gateway, body = gateway_of(request), await json_body(request)
    gateway.logins_by_address.take(address_of(request))
    email, password = c.normal_email(_text(body, "email")), _text(body, "password")[:PASSWORD_MAX]
    gateway.logins_by_email.take(email)
    practitioner, known = await _account(request, email)
    if not await _verified(request, known or await _nobodys_hash(request), password) or practitioner is None:
        raise Unauthenticated(WRONG)
    opened = await _open_session(request, practitioner, None, since=datetime.now(UTC))
    profile = await ask(request, Address("practitioner", practitioner), c.encode(c.GetProfile()))
    return json_response(opened | {"practitioner": orjson.loads(profile)})


async def logout(request: web.Request) -> web.Response:
    """204; the token counts no longer, and sockets that came with it close."""
    session = await auth_session(request)
    command = c.CloseSession(id=str(session.id))
    await _ask_own(request, str(session.practitioner_id), c.encode(command))
    return web.Response(status=204)


async def get_profile(request: web.Request) -> web.Response:
    """The caller's whole profile."""
    session = await auth_session(request)
    return json_response(await _ask_own(request, str(session.practitioner_id), c.encode(c.GetProfile())))


async def put_profile(request: web.Request) -> web.Response:
    """Changes what is given; the profile as it is now."""
    session = await auth_session(request)
    command = command_from(c.UpdateProfile, await json_body(request))
    return json_response(await _ask_own(request, str(session.practitioner_id), c.encode(command)))


async def put_archetypal_state(request: web.Request) -> web.Response:
    """Replaces the archetypal state; the state as it is now."""
    session = await auth_session(request)
    command = c.PutArchetypalState(state=archetypal_state.parse(await json_body(request)))
    return json_response(await _ask_own(request, str(session.practitioner_id), c.encode(command)))


async def _ask_own(request: web.Request, practitioner: str, command: bytes) -> bytes:
    operation = operation_of(practitioner, idempotency_key(request))
    if operation is None and request.method != "GET":
        operation = once(practitioner)
    return await ask(request, Address("practitioner", practitioner), command, Caller(practitioner), operation)


async def _open_session(
    request: web.Request, practitioner: str, operation: str | None, *, since: datetime
) -> dict[str, Any]:
    """A login with its token. With an operation all of it is derived, so that a retry gives the same."""
    gateway = gateway_of(request)
    if operation is None:
        token, session_id = tokens.new(), str(uuid.uuid4())
    else:
        operation += "-session"
        token, session_id = tokens.derived(gateway.secret, operation), str(uuid.uuid5(_NAMESPACE, operation))
    expires_at = since + timedelta(seconds=gateway.settings.token_life_s)
    command = c.OpenSession(id=session_id, token_hash=tokens.hashed(token), expires_at=expires_at)
    address = Address("practitioner", practitioner)
    await ask(request, address, c.encode(command), None, operation or once(practitioner))
    return {"token": token, "expires_at": expires_at.astimezone(UTC).isoformat().replace("+00:00", "Z")}


async def _account(request: web.Request, email: str) -> tuple[str | None, str | None]:
    """Practitioner and password hash of an email; two Nones where there is no account."""
    practitioner = await resolve(request, EMAIL_SCOPE, email)
    if practitioner is None:
        return None, None
    try:
        reply = await ask(request, Address("practitioner", practitioner), c.encode(c.GetAccount()))
    except NotFound:
        return None, None
    return practitioner, orjson.loads(reply)["password_hash"]


# --- passwords -------------------------------------------------------------------------------------------------------


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise invalid(field, "is required" if value is None else "must be a text")
    return value


def _password(body: dict[str, Any]) -> str:
    password = _text(body, "password")
    if not PASSWORD_MIN <= len(password) <= PASSWORD_MAX:
        raise invalid("password", f"must have {PASSWORD_MIN} to {PASSWORD_MAX} characters")
    return password


async def hashed(request: web.Request, password: str, salt: bytes) -> str:
    """The Argon2id hash in its text form, made off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(gateway_of(request).hashing, _hash, password, salt)


def _hash(password: str, salt: bytes) -> str:
    return low_level.hash_secret(
        password.encode(), salt, TIME_COST, MEMORY_KIB, PARALLELISM, 32, low_level.Type.ID
    ).decode()


async def _verified(request: web.Request, known: str, password: str) -> bool:
    return await asyncio.get_running_loop().run_in_executor(gateway_of(request).hashing, _verify, known, password)


def _verify(known: str, password: str) -> bool:
    try:
        return low_level.verify_secret(known.encode(), password.encode(), low_level.Type.ID)
    except VerificationError:
        return False


async def _nobodys_hash(request: web.Request) -> str:
    """A hash that no password fits, of the same cost as a real one. Made once a process."""
    gateway = gateway_of(request)
    if gateway.nobodys_hash is None:
        gateway.nobodys_hash = await hashed(request, tokens.new(), tokens.random_salt(SALT_BYTES))
    return gateway.nobodys_hash

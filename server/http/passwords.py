"""Passwords: Argon2id on threads of their own, so that the event loop never waits for one; the same time for whoever is not
there, whose password is wrong, or who has none."""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Final

import orjson
from aiohttp import web
from argon2 import low_level
from argon2.exceptions import VerificationError
from msgspec import Meta

from actors.practitioner import commands as c
from actors.runtime.entity import Address
from actors.runtime.errors import Forbidden, NotFound, Unauthenticated
from server import tokens
from server.http.context import ask, gateway_of

PASSWORD_MIN: Final = 8
PASSWORD_MAX: Final = 1024
"""Bounds the time of one hash; nobody types more."""
TIME_COST: Final = 3
MEMORY_KIB: Final = 65536
PARALLELISM: Final = 4
"""RFC 9106's second recommended choice."""
SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
REAL: Final = "$argon2id$"
DELETED: Final = "the account is deleted"

NewPassword = Annotated[str, Meta(min_length=PASSWORD_MIN, max_length=PASSWORD_MAX)]
GivenPassword = Annotated[str, Meta(min_length=1, max_length=PASSWORD_MAX)]


async def hashed(request: web.Request, password: str, salt: bytes) -> str:
    """The Argon2id hash in its text form, made off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(gateway_of(request).hashing, _hash, password, salt)


def _hash(password: str, salt: bytes) -> str:
    return low_level.hash_secret(
        password.encode(), salt, TIME_COST, MEMORY_KIB, PARALLELISM, HASH_BYTES, low_level.Type.ID
    ).decode()


def nobodys_hash() -> str:
    """A hash that no password fits, which takes as long to compare with as a real one."""
    salt, hash_ = (base64.b64encode(tokens.random_salt(size)).decode().rstrip("=") for size in (SALT_BYTES, HASH_BYTES))
    return f"{REAL}v=19$m={MEMORY_KIB},t={TIME_COST},p={PARALLELISM}${salt}${hash_}"


async def verified(request: web.Request, known: str | None, password: str) -> bool:
    """Whether the password fits; where there is no hash to fit, no, after the same time."""
    hash_ = known if known is not None and known.startswith(REAL) else nobodys_hash()
    return await asyncio.get_running_loop().run_in_executor(gateway_of(request).hashing, _verify, hash_, password)


def _verify(known: str, password: str) -> bool:
    try:
        return low_level.verify_secret(known.encode(), password.encode(), low_level.Type.ID)
    except VerificationError:
        return False


async def hash_of(request: web.Request, practitioner: str) -> str | None:
    """The account's hash; None where there is no account."""
    try:
        reply = await ask(request, Address("practitioner", practitioner), c.encode(c.GetAccount()))
    except NotFound:
        return None
    return str(orjson.loads(reply)["password_hash"])


async def check_own(request: web.Request, practitioner: str, password: str) -> None:
    """The password is the caller's own. As limited as a login by email. Raises Forbidden, RateLimited, Unauthenticated."""
    gateway_of(request).logins_by_email.take(practitioner)
    known = await hash_of(request, practitioner)
    if known is None:
        raise Unauthenticated(DELETED)
    if not await verified(request, known, password):
        raise Forbidden("the password is wrong")

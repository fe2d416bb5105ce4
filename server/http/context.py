"""What every HTTP handler needs: the gateway, the caller, the body, an operation id, and the answer of an entity.

Handlers raise ``SanghaError`` and nothing else; ``app`` makes problems of them.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
import orjson
from aiohttp import web

from actors.runtime.codec import from_wire, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import BadRequest, Forbidden, StorageUnavailable, Unauthenticated
from actors.runtime.ports import StoreDown
from actors.runtime.wire import Refused
from server import tokens
from server.http.asker import ORIGINS, client, host_of
from server.http.contract import KEY_PATTERN
from server.local_user import LocalLogin, local_practitioner, may_be_local
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

GATEWAY: Final = web.AppKey("gateway", object)
_KEY: Final = re.compile(KEY_PATTERN)
_NO_OBJECT: Final = "the body must be a JSON object"

T = TypeVar("T")


def gateway_of(request: web.Request) -> Gateway:
    """The gateway that serves the request."""
    gateway: Any = request.app[GATEWAY]
    return gateway  # type: ignore[no-any-return]


def json_response(body: bytes | Any, status: int = 200) -> web.Response:
    """JSON, from bytes that are JSON already or from a value."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(status=status, body=data, content_type="application/json")


async def json_body(request: web.Request) -> dict[str, Any]:
    """The body, which must be a JSON object within bounds. Raises BadRequest, Invalid, TooLarge."""
    return object_of(await request.read(), gateway_of(request).json_depth)


def object_of(data: bytes, depth: int) -> dict[str, Any]:
    """The JSON object that a body is; ``depth``: how deep it may be. Raises BadRequest, Invalid."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as failure:
        raise BadRequest(f"the body is not JSON: {failure}") from None
    if type(value) is not dict:
        raise invalid("", _NO_OBJECT)
    protocol.check_json(data, value, depth)
    return value


def raw_fields_of(decode: Callable[[bytes], T], body: bytes) -> T:
    """The fields of a JSON object, each as its text: of one that has megabytes, which no ``object_of`` should make objects of.
    ``decode``: a msgspec decoder's. Raises BadRequest, Invalid."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise invalid("", _NO_OBJECT) from None
    except (ValueError, RecursionError) as failure:
        raise BadRequest(f"the body is not JSON: {failure}") from None


def command_from(type_: type[T], body: dict[str, Any]) -> T:
    """A command of the fields that it knows; what else a client sends is ignored. Raises Invalid."""
    known = msgspec.structs.fields(type_)  # type: ignore[arg-type]
    return from_wire(type_, {field.name: body[field.name] for field in known if field.name in body})


def bearer(request: web.Request) -> str | None:
    """The token of the Authorization header; ours are ASCII, and what is not may be no text at all."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() and token.isascii() else None


def is_local(request: web.Request) -> bool:
    """Whether the request is the local user's. Raises Forbidden for a foreign page."""
    if not gateway_of(request).settings.local_user or "Authorization" in request.headers:
        return False
    return may_be_local(client(request), request.headers, host_of(request), request.app[ORIGINS])


def has_admin_token(request: web.Request) -> bool:
    """Whether the request comes with the admin token."""
    known, token = gateway_of(request).admin_token, bearer(request)
    return known is not None and token is not None and hmac.compare_digest(known.encode(), token.encode())


async def auth_session(request: web.Request, *, services: bool = False) -> Any:
    """The login that the request comes with; a service's only where ``services`` may be. Raises Unauthenticated, Forbidden,
    StorageUnavailable."""
    found = await any_session(request)
    if found.service is not None and not services:
        raise Forbidden(f"this is a token of the service {found.service}, which is no practitioner's login")
    return found


async def any_session(request: web.Request) -> Any:
    """The same, of a person or a service. Raises Unauthenticated, StorageUnavailable."""
    token = bearer(request)
    if token is None and is_local(request):
        await local_practitioner(gateway_of(request))
        return LocalLogin()
    if token is None:
        scheme = request.headers.get("Authorization", "").strip()
        empty = scheme.lower() == "bearer"  # and nothing else: a shell variable that is not set
        raise Unauthenticated("the bearer token is empty" if empty else "a bearer token is required")
    try:
        found = await gateway_of(request).queries.auth_session(tokens.hashed(token))
    except StoreDown as down:
        raise StorageUnavailable("storage does not answer; try again") from down
    if found is None:
        raise Unauthenticated("the token is unknown or has expired")
    return found


async def resolve(request: web.Request, scope: str, name: str) -> str | None:
    """The entity that has a unique name. Raises StorageUnavailable."""
    try:
        found = await gateway_of(request).queries.resolve(scope, name)
    except StoreDown as down:
        raise StorageUnavailable("storage does not answer; try again") from down
    return None if found is None else str(found)


def idempotency_key(request: web.Request) -> str | None:
    """The client's own name for this request. Raises BadRequest where it cannot be one."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key is 1 to 200 visible ASCII characters")
    return key


def operation_of(practitioner: str, key: str | None) -> str | None:
    """The operation id: with the prefix it is never taken for a socket request's."""
    return None if key is None else f"{practitioner}:k-{key}"


def once(practitioner: str) -> str:
    """The operation id of a change that comes without a key and that names something (else ``ONCE`` does, and is cheaper)."""
    return f"{practitioner}:once-{secrets.token_hex(16)}"


async def ask(
    request: web.Request,
    address: Address,
    command: bytes,
    caller: Caller | None = None,
    operation: str | None = None,
) -> bytes:
    """The entity's answer, as JSON. Raises whatever it refuses with."""
    answer = await gateway_of(request).ask(address, command, caller, operation)
    if isinstance(answer, Refused):
        raise protocol.from_refused(answer)
    return answer.body


Handler = Callable[[web.Request], Any]

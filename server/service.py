"""Logins of programs: a service's account, its tokens, and who may use the Eustress lake.

A service is an account like the local user's: made durably when it is first needed, the same in every gateway, without a
password. Each of its logins is a token for one program, which says so (``service``): it is good for that service alone, and no
practitioner's login is good for it.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from actors.practitioner import commands as c
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Forbidden, NotFound
from actors.runtime.wire import Refused
from server import tokens
from server.http.context import any_session, has_admin_token, once, operation_of
from server.local_user import ID as LOCAL
from server.local_user import NO_PASSWORD
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

EUSTRESS: Final = "eustress"
SERVICES: Final = {EUSTRESS: "Eustress engine"}
"""Each with the name that its account shows."""
_NAMESPACE: Final = uuid.UUID("5b0c3f0e-7a1d-5d0a-9c55-8a3f6f1d2e01")
OPERATOR: Final = str(uuid.uuid5(_NAMESPACE, "the operator"))
"""Who comes with the admin token: no account, only somebody to name an operation by."""
ENGINES_ONLY: Final = (
    "this is a practitioner's login; the lake is for engines: `sangha token --service eustress` makes a token for one"
)


def account_of(service: str) -> str:
    """The id of a service's account."""
    return str(uuid.uuid5(_NAMESPACE, f"service:{service}"))


async def engine_of(request: web.Request, *, operators: bool = False) -> Caller:
    """Who uses the Eustress lake: an engine with its token, the local user, or (``operators``) whoever has the admin token.

    Raises Unauthenticated, Forbidden for a practitioner's own login, StorageUnavailable.
    """
    if operators and has_admin_token(request):
        return Caller(OPERATOR)
    session = await any_session(request)
    if session.service != EUSTRESS and str(session.practitioner_id) != LOCAL:
        raise Forbidden(ENGINES_ONLY)
    return Caller(str(session.practitioner_id))


async def service_account(gateway: Gateway, service: str) -> str:
    """The id of the account, which is there from now on. Raises what its entity refuses with."""
    account = account_of(service)
    try:
        await _ask(gateway, account, c.GetProfile())
    except NotFound:
        # The same command under the same operation from every gateway: the first counts, the others get its reply.
        email = f"{service}-{tokens.salt(gateway.secret, account).hex()}@sangha.invalid"
        register = c.Register(email=email, password_hash=NO_PASSWORD, spiritual_name=SERVICES[service])
        await _ask(gateway, account, register, f"{account}:service")
    return account


async def new_token(gateway: Gateway, service: str, name: str | None, days: float, key: str | None) -> dict[str, Any]:
    """``{id, service, name, token, created_at, expires_at}``. With a key the token is derived, so a retry gives the same.

    Raises Full where the service has as many as may be, and what its entity refuses with.
    """
    account = await service_account(gateway, service)
    operation = _operation(account, key)
    token = tokens.derived(gateway.secret, operation) if key is not None else tokens.new()
    id_ = str(uuid.uuid5(_NAMESPACE, operation))
    now = datetime.now(UTC)
    command = c.OpenSession(
        id=id_,
        token_hash=tokens.hashed(token),
        expires_at=now + timedelta(days=days),
        service=service,
        name=name,
    )
    opened = await _ask(gateway, account, command, operation)
    return {"id": id_, "service": service, "name": name, "token": token, "expires_at": opened["expires_at"]}


async def revoke_token(gateway: Gateway, id_: str, key: str | None) -> bool:
    """Whether there was such a token of any service; it counts no longer, and sockets that came with it close. With a key a
    retry says the same."""
    for service in SERVICES:
        command = c.CloseSession(id=id_)
        account = account_of(service)
        try:
            if (await _ask(gateway, account, command, _operation(account, key)))["sessions"]:
                return True
        except NotFound:
            continue  # it has never had a token
    return False


def _operation(account: str, key: str | None) -> str:
    return operation_of(account, key) or once(account)


async def _ask(gateway: Gateway, account: str, command: c.PractitionerCommand, operation: str | None = None) -> Any:
    answer = await gateway.ask(Address("practitioner", account), c.encode(command), None, operation)
    if isinstance(answer, Refused):
        raise protocol.from_refused(answer)
    return orjson.loads(answer.body)

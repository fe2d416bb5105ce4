"""The requests of the Eustress lake: who may ask them, and what they ask of a space's actor.

They are for a service login of ``eustress`` and for the local user. Items go on as the JSON texts that they came as: what is in
them is the space's to judge. To subscribe and to unsubscribe are matters of one session, so no operation is recorded, and of
the latter the space itself hears no more than of a socket that has gone.

No space is asked that is not there (its actor would be started for that), unless it is to be made; so a space that the gateway
has not heard of yet takes a look-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.eustress import commands as eustress
from actors.runtime.entity import Address
from actors.runtime.errors import Forbidden, SanghaError
from actors.runtime.wire import Answer, Paged, Refused
from server.local_user import ID as LOCAL
from server.service import ENGINES_ONLY, EUSTRESS
from server.ws import protocol
from server.ws.asking import OnAnswer, ask, follow, pass_on
from server.ws.replay import RETRY_S

if TYPE_CHECKING:
    from server.ws.socket import Connection

SUBSCRIBE: Final = eustress.encode(eustress.Subscribe())


def may_use_lake(connection: Connection) -> bool:
    """Whether the socket's login is one of the service, or the local user's."""
    return connection.service == EUSTRESS or connection.auth_session == LOCAL


def check(connection: Connection) -> None:
    """Raises Forbidden where the lake is not the caller's to use."""
    if not may_use_lake(connection):
        raise Forbidden(ENGINES_ONLY)


def space_now(connection: Connection, request: protocol.Request) -> str | None:
    """The name of the space that a request is about; None where it has to be looked up whether there is one."""
    name = _named(request)
    known = isinstance(request, protocol.EustressUnsubscribe) or connection.gateway.rooms.knows(name)
    return name if known else None


def _named(request: Any) -> str:
    return str(request.stream.partition(":")[2] if isinstance(request, protocol.History) else request.space)


async def find(connection: Connection, request: protocol.Request) -> str:
    """The name of the space, which is there. Raises Forbidden, NotFound, StorageUnavailable."""
    check(connection)
    name = _named(request)
    await connection.gateway.rooms.check(name)
    return name


async def ingest_anew(connection: Connection, request: protocol.EustressIngest) -> None:
    """Into a space of which it is not known whether it is there. Raises Forbidden, Full, StorageUnavailable."""
    check(connection)
    rooms, done = connection.gateway.rooms, asyncio.Event()

    def answered(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Answer):
            rooms.learn(request.space)
        pass_on(connection, request.id, message)
        done.set()

    async with rooms.entering(request.space):
        if not connection.closing:
            _ask_to_ingest(connection, request, answered)
            await done.wait()


async def look_before(connection: Connection, name: str, rejoin: Callable[[str], None]) -> None:
    """Rejoin a stream that the client names, if there is such a space."""
    try:
        await connection.gateway.rooms.check(name.partition(":")[2])
    except SanghaError as failure:
        if connection.closing:
            return
        if failure.retryable:
            connection.gateway.later(RETRY_S, lambda: rejoin(name))
        else:
            connection.not_following(name)
            connection.write(protocol.left(name, failure.code))
    else:
        rejoin(name)


def _subscribe(connection: Connection, request: protocol.EustressSubscribe, entity: str) -> None:
    check(connection)
    address = Address("eustress", entity)
    connection.unfollow(address)  # whoever subscribes again begins again
    follow(connection, request, address, SUBSCRIBE, request.after, recorded=False)


def _unsubscribe(connection: Connection, request: protocol.EustressUnsubscribe, entity: str) -> None:
    check(connection)
    connection.unfollow(Address("eustress", entity))
    connection.reply(request.id, orjson.dumps({"space": entity}))


def _ingest(connection: Connection, request: protocol.EustressIngest, entity: str) -> None:
    check(connection)
    _ask_to_ingest(connection, request)


def _ask_to_ingest(connection: Connection, request: protocol.EustressIngest, reply: OnAnswer | None = None) -> None:
    command = eustress.encode(eustress.Ingest(items=_items(request)))
    ask(connection, request, Address("eustress", request.space), command, then=partial(_count, connection), reply=reply)


def _count(connection: Connection, message: Answer | Refused | Paged) -> None:
    if isinstance(message, Answer):
        connection.gateway.measures.ingested("socket", message.body)


def _items(request: protocol.EustressIngest) -> bytes:
    """The JSON text of the batch, of the texts of its fields."""
    given = protocol.domain_fields(request).items()
    return b"{%b}" % b",".join(b'"%b":%b' % (name.encode(), text) for name, text in given)


HANDLERS: Final[dict[type[protocol.Request], Callable[[Connection, Any, str], None]]] = {
    protocol.EustressSubscribe: _subscribe,
    protocol.EustressUnsubscribe: _unsubscribe,
    protocol.EustressIngest: _ingest,
}

OF_A_SERVICE: Final = frozenset({*HANDLERS, protocol.Auth, protocol.Ping, protocol.History})
"""What a service login may ask, the history of Eustress streams alone."""

"""The requests of the Eustress lake: who may ask them, and what they ask of a space's actor.

They are for a service login of ``eustress`` and for the local user. Items go on as the JSON texts that they came as: what is in
them is the space's to judge. To subscribe and to unsubscribe are matters of one session, so no operation is recorded, and of
the latter the space itself hears no more than of a socket that has gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.eustress import commands as eustress
from actors.runtime.entity import Address
from actors.runtime.errors import Forbidden
from server.local_user import ID as LOCAL
from server.service import ENGINES_ONLY, EUSTRESS
from server.ws import protocol
from server.ws.asking import ask, follow

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
    command = eustress.encode(eustress.Ingest(items=_items(request)))
    ask(connection, request, Address("eustress", entity), command)


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

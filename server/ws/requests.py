"""What each request of the native dialect asks, and of whom: from a parsed request to a message for a shard.

``entity_now`` and ``find`` name the entity, without and with a look-up in storage; ``dispatch`` asks it. The answer becomes
the reply in the turn in which it comes. Requests that change something carry the operation id ``<session>:<id>``; an
entity answers a repetition with its first reply. What changes nothing durable is asked afresh each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.runtime.codec import from_wire, invalid
from actors.runtime.entity import Address
from actors.runtime.errors import BadRequest, Forbidden, Full, NotFound, TooLarge
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import Answer, Ask, History, Paged, Refused
from actors.space import commands as space
from server.ws import protocol
from server.ws.session import space_id_of

if TYPE_CHECKING:
    from server.ws.socket import Connection

JOIN: Final = space.encode(space.Join())
_GET: Final = space.encode(space.GetSpace())
_LEAVE: Final = space.encode(space.Leave())
_CLOSE: Final = space.encode(space.Close())

OnAnswer = Callable[[Answer | Refused | Paged], None]


def operation_of(connection: Connection, request: protocol.Request) -> str:
    """The operation id of a request, the same for each retry in the session."""
    return f"{connection.session}:{request.id}"


def entity_now(connection: Connection, request: protocol.Request) -> str | None:
    """The entity that a request is for; None where that takes a look-up (or the request itself is one)."""
    if isinstance(request, protocol.SpaceRequest):
        name = request.space
        return name if protocol.UUID.fullmatch(name) else connection.gateway.slugs.get(name)
    if isinstance(request, protocol.SpaceCreate):
        assert connection.caller is not None
        uncounted = connection.caller.guest or connection.gateway.settings.lab
        return space_id_of(operation_of(connection, request)) if uncounted else None
    if isinstance(request, protocol.History):
        return request.stream.partition(":")[2]
    return None if isinstance(request, protocol.SpaceList) else ""


async def find(connection: Connection, request: protocol.Request) -> str:
    """The entity of a request that takes a look-up. Raises NotFound, Full, StoreDown."""
    if isinstance(request, protocol.SpaceRequest):
        return await _space_of_slug(connection, request.space)
    return await _room_for_one_more(connection, request)


async def _space_of_slug(connection: Connection, slug: str) -> str:
    gateway = connection.gateway
    found = await gateway.queries.resolve("space.slug", slug) if protocol.SLUG.fullmatch(slug) else None
    if found is None:
        raise NotFound(f"there is no space {slug[:63]}")
    gateway.slugs.put(slug, str(found))
    return str(found)


async def _room_for_one_more(connection: Connection, request: protocol.Request) -> str:
    """The id of the space to create. At the limit only what was created by this very operation may be asked again."""
    assert connection.caller is not None
    gateway, entity = connection.gateway, space_id_of(operation_of(connection, request))
    most = gateway.settings.created_spaces
    if await gateway.queries.count_spaces(connection.caller.practitioner) >= most:
        answer = await gateway.ask(Address("space", entity), _GET, connection.caller)
        if isinstance(answer, Refused):
            raise Full(f"at most {most} open spaces of one practitioner")
    return entity


async def list_spaces(connection: Connection, request: protocol.SpaceList) -> bytes:
    """``{"spaces": [...]}``. Raises Invalid, StoreDown."""
    assert connection.caller is not None
    most = connection.gateway.settings.history_page
    if not 1 <= request.limit <= most:
        raise invalid("limit", f"from 1 to {most}")
    if request.before is not None and not protocol.UUID.fullmatch(request.before):
        raise invalid("before", "the id of a space")
    viewer = connection.caller.practitioner
    spaces = await connection.gateway.queries.spaces(viewer, request.limit, request.before, request.q)
    return orjson.dumps({"spaces": spaces}, option=orjson.OPT_UTC_Z)


def dispatch(connection: Connection, request: protocol.Request, entity: str) -> None:
    """Ask the entity's shard. Raises SanghaError where the gateway already knows better."""
    handler = _HANDLERS.get(type(request))
    if handler is None:
        raise BadRequest("this socket is authenticated already")
    handler(connection, request, entity)


def _ask_space(
    connection: Connection,
    request: protocol.Request,
    entity: str,
    command: bytes,
    *,
    recorded: bool = True,
    snapshot: bool = True,
    then: OnAnswer | None = None,
) -> None:
    """A command for a space; its answer is the reply. ``then`` hears of it before the client."""
    operation = operation_of(connection, request) if recorded else None
    request_id, caller, trace = request.id, connection.caller, current_request.get()

    def answered(message: Answer | Refused | Paged) -> None:
        if then is not None:
            then(message)
        _pass_on(connection, request_id, message)

    connection.gateway.router.link(Address("space", entity)).ask(
        lambda cid: Ask(cid, entity, command, caller, operation, trace, snapshot), answered
    )


def _pass_on(connection: Connection, request_id: int, message: Answer | Refused | Paged) -> None:
    if isinstance(message, Answer):
        connection.reply(request_id, message.body)
    elif isinstance(message, Refused):
        connection.refuse(request_id, protocol.from_refused(message))


def _send(connection: Connection, request: protocol.SpaceSend, entity: str) -> None:
    body, most = orjson.dumps(request.body), connection.gateway.settings.message_bytes
    if len(body) > most:
        raise TooLarge(f"a message's body is at most {most} bytes of JSON")
    _ask_space(connection, request, entity, space.encode(space.SendMessage(body=body)))


def _create(connection: Connection, request: protocol.SpaceCreate, entity: str) -> None:
    assert connection.caller is not None
    gateway, fields = connection.gateway, protocol.domain_fields(request)
    if connection.caller.guest:
        fields.setdefault("access_level", "open")
    command = from_wire(space.CreateSpace, fields)
    if connection.caller.guest:
        gateway.guests.claim(connection.caller.practitioner, connection.address, entity)

    def created(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Answer) and command.slug is not None:
            gateway.slugs.put(command.slug, entity)
        elif isinstance(message, Refused) and not protocol.from_refused(message).retryable:
            gateway.guests.give_back(entity)

    _ask_space(connection, request, entity, space.encode(command), then=created)


def _update(connection: Connection, request: protocol.SpaceUpdate, entity: str) -> None:
    command = from_wire(space.UpdateSpace, protocol.domain_fields(request))
    _ask_space(connection, request, entity, space.encode(command))


def _invite(connection: Connection, request: protocol.SpaceInvite, entity: str) -> None:
    command = from_wire(space.Invite, {"practitioner": request.practitioner})
    _ask_space(connection, request, entity, space.encode(command))


def _pulse(connection: Connection, request: protocol.SpacePulse, entity: str) -> None:
    _ask_space(connection, request, entity, space.encode(space.Pulse(phase_rad=request.phase_rad)), recorded=False)


def _get(connection: Connection, request: protocol.SpaceGet, entity: str) -> None:
    _ask_space(connection, request, entity, _GET, recorded=False)


def _leave(connection: Connection, request: protocol.SpaceLeave, entity: str) -> None:
    _ask_space(connection, request, entity, _LEAVE)


def _close(connection: Connection, request: protocol.SpaceClose, entity: str) -> None:
    _ask_space(connection, request, entity, _CLOSE)


def _join(connection: Connection, request: protocol.SpaceJoin, entity: str) -> None:
    if request.after is not None and request.after < 0:
        raise invalid("after", "an offset is not negative")
    most = connection.gateway.settings.joined_spaces
    if entity not in connection.streams:
        if connection.joined_spaces >= most:
            raise Full(f"at most {most} spaces in one session")
        connection.streams[entity] = None
    connection.want(entity, request.after)

    def joined(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Refused):
            connection.not_following(entity)

    _ask_space(connection, request, entity, JOIN, snapshot=request.after is None, then=joined)


def _history(connection: Connection, request: protocol.History, entity: str) -> None:
    most, kind = connection.gateway.settings.history_page, request.stream.partition(":")[0]
    if kind not in ("space", "practitioner") or not protocol.UUID.fullmatch(entity):
        raise invalid("stream", "space:UUID or practitioner:UUID")
    if not 1 <= request.limit <= most:
        raise invalid("limit", f"from 1 to {most}")
    if request.after < 0:
        raise invalid("after", "an offset is not negative")
    caller = connection.caller
    if kind == "practitioner" and (caller is None or caller.practitioner != entity):
        raise Forbidden("another practitioner's stream")
    connection.gateway.router.link(Address(kind, entity)).ask(
        lambda cid: History(cid, entity, request.after, request.limit, caller),
        lambda message: _pass_on(connection, request.id, message),
    )


_HANDLERS: Final[dict[type[protocol.Request], Callable[[Connection, Any, str], None]]] = {
    protocol.SpaceSend: _send,
    protocol.SpacePulse: _pulse,
    protocol.SpaceJoin: _join,
    protocol.SpaceLeave: _leave,
    protocol.SpaceCreate: _create,
    protocol.SpaceUpdate: _update,
    protocol.SpaceInvite: _invite,
    protocol.SpaceClose: _close,
    protocol.SpaceGet: _get,
    protocol.History: _history,
}

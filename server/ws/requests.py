"""What each request of the native dialect asks, and of whom: from a parsed request to a message for a shard.

``entity_now`` names the entity where that takes no look-up; ``dispatch`` asks it. ``look_up`` is for the others: it finds
the entity (or what else has to be known) in storage or of another entity, and asks then. The answer becomes the reply in the
turn in which it comes. Requests that change something carry the operation id ``<session>:<id>``; an entity answers a
repetition with its first reply. What changes nothing durable is asked afresh each time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import orjson

from actors.runtime.codec import invalid
from actors.runtime.entity import Address
from actors.runtime.errors import BadRequest, FieldError, Forbidden, TooLarge
from actors.runtime.wire import Answer, History, Paged, Refused
from actors.space import commands as space
from server.spaces import known_space, room_for_one_more, space_of, spaces_for
from server.ws import audio_requests, eustress_requests, protocol, ritual_requests
from server.ws.asking import OnAnswer, ask, follow, operation_of, pass_on
from server.ws.commands import command_of
from server.ws.session import space_id_of

if TYPE_CHECKING:
    from server.ws.socket import Connection

_JOIN: Final = space.encode(space.Join())
FOLLOWS: Final = {"space": _JOIN, "eustress": eustress_requests.SUBSCRIBE}
"""By kind of stream, the command that makes the caller's session follow it."""
_GET: Final = space.encode(space.GetSpace())
_LEAVE: Final = space.encode(space.Leave())
_CLOSE: Final = space.encode(space.Close())


def entity_now(connection: Connection, request: protocol.Request) -> str | None:
    """The entity that a request is for; None where that takes a look-up (or the request itself is one)."""
    if type(request) in _LOOK_UPS:
        return None
    if isinstance(request, protocol.SpaceRequest):
        return known_space(connection.gateway, request.space)
    assert connection.caller is not None
    if isinstance(request, protocol.OwnRequest):
        return connection.caller.practitioner
    if isinstance(request, protocol.EustressRequest) or _of_the_lake(request):
        return eustress_requests.space_now(connection, request)
    if isinstance(request, protocol.SpaceCreate):
        uncounted = connection.caller.guest or connection.gateway.settings.lab
        return space_id_of(operation_of(connection, request)) if uncounted else None
    if isinstance(request, protocol.AudioRequest):
        return request.session
    return request.stream.partition(":")[2] if isinstance(request, protocol.History) else ""


def check_service(request: protocol.Request) -> None:
    """Whether a service login may ask this. Raises Forbidden."""
    if type(request) not in eustress_requests.OF_A_SERVICE:
        raise Forbidden("a service token is for eustress.* requests, and the history of eustress:NAME streams")


async def look_up(connection: Connection, request: protocol.Request) -> None:
    """Find what is missing, then ask, or answer with what was found. Raises SanghaError, StoreDown."""
    handler = _LOOK_UPS.get(type(request))
    if handler is not None:
        await handler(connection, request)
        return
    if isinstance(request, protocol.EustressIngest):
        await eustress_requests.ingest_anew(connection, request)
        return
    entity = entity_now(connection, request)
    if entity is None:
        entity = await _find(connection, request)
    if not connection.closing:
        dispatch(connection, request, entity)


def _of_the_lake(request: protocol.Request) -> bool:
    if not isinstance(request, protocol.History) or not request.stream.startswith("eustress:"):
        return False
    return protocol.STREAM.fullmatch(request.stream) is not None


async def _find(connection: Connection, request: protocol.Request) -> str:
    assert connection.caller is not None
    if isinstance(request, protocol.EustressRequest | protocol.History):
        return await eustress_requests.find(connection, request)
    if isinstance(request, protocol.SpaceRequest):
        return await space_of(connection.gateway, request.space)
    entity = space_id_of(operation_of(connection, request))
    await room_for_one_more(connection.gateway, connection.caller, entity)
    return entity


async def _list(connection: Connection, request: protocol.SpaceList) -> None:
    assert connection.caller is not None
    viewer = connection.caller.practitioner
    spaces = await spaces_for(connection.gateway, viewer, request.limit, request.before, request.q)
    connection.reply(request.id, orjson.dumps({"spaces": spaces}, option=orjson.OPT_UTC_Z))


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
    then: OnAnswer | None = None,
) -> None:
    ask(connection, request, Address("space", entity), command, recorded=recorded, then=then)


def _send(connection: Connection, request: protocol.SpaceSend, entity: str) -> None:
    body, most = bytes(request.body), connection.gateway.settings.message_bytes
    if len(body) > most:
        message = f"{len(body)} bytes of JSON, {most} are allowed"
        raise TooLarge(f"body: {message}", (FieldError(path="body", message=message),))
    _ask_space(connection, request, entity, space.encode(space.SendMessage(body=body)))


def _create(connection: Connection, request: protocol.SpaceCreate, entity: str) -> None:
    assert connection.caller is not None
    gateway, of_a_guest = connection.gateway, {"access_level": "open"} if connection.caller.guest else {}
    command: space.CreateSpace = command_of(request, unless_given=of_a_guest)
    if connection.caller.guest:
        gateway.guests.claim(connection.caller.practitioner, connection.address, entity)

    def created(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Answer) and command.slug is not None:
            gateway.slugs.put(command.slug, entity)
        elif isinstance(message, Refused) and not protocol.from_refused(message).retryable:
            gateway.guests.give_back(entity)

    _ask_space(connection, request, entity, space.encode(command), then=created)


def _update(connection: Connection, request: protocol.SpaceUpdate, entity: str) -> None:
    _ask_space(connection, request, entity, space.encode(command_of(request)))


def _invite(connection: Connection, request: protocol.SpaceInvite, entity: str) -> None:
    _ask_space(connection, request, entity, space.encode(command_of(request)))


def _pulse(connection: Connection, request: protocol.SpacePulse, entity: str) -> None:
    _ask_space(connection, request, entity, space.encode(space.Pulse(phase_rad=request.phase_rad)), recorded=False)


def _get(connection: Connection, request: protocol.SpaceGet, entity: str) -> None:
    _ask_space(connection, request, entity, _GET, recorded=False)


def _leave(connection: Connection, request: protocol.SpaceLeave, entity: str) -> None:
    _ask_space(connection, request, entity, _LEAVE)


def _close(connection: Connection, request: protocol.SpaceClose, entity: str) -> None:
    _ask_space(connection, request, entity, _CLOSE)


def _join(connection: Connection, request: protocol.SpaceJoin, entity: str) -> None:
    follow(connection, request, Address("space", entity), _JOIN, request.after, recorded=True)


def _history(connection: Connection, request: protocol.History, entity: str) -> None:
    most, kind = connection.gateway.settings.history_page, request.stream.partition(":")[0]
    if not protocol.STREAM.fullmatch(request.stream):
        raise invalid("stream", protocol.STREAM_NAMES)
    if not 1 <= request.limit <= most:
        raise invalid("limit", f"from 1 to {most}")
    caller = connection.caller
    if kind == "eustress":
        eustress_requests.check(connection)
    elif connection.service is not None:
        raise Forbidden("a service token reads eustress:NAME streams only")
    elif kind == "practitioner" and (caller is None or caller.practitioner != entity):
        raise Forbidden("another practitioner's stream")
    connection.gateway.router.link(Address(kind, entity)).ask(
        lambda cid: History(cid, entity, request.after, request.limit, caller),
        lambda message: pass_on(connection, request.id, message),
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
    **ritual_requests.HANDLERS,
    **eustress_requests.HANDLERS,
    **audio_requests.HANDLERS,
}

_LOOK_UPS: Final[dict[type[protocol.Request], Callable[[Connection, Any], Awaitable[None]]]] = {
    protocol.SpaceList: _list,
    **ritual_requests.LOOK_UPS,
    **audio_requests.LOOK_UPS,
}
"""Requests that always take a look-up."""

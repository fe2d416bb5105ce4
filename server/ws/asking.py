"""From a request of a socket to an ask of an entity, and from the answer to the reply, in the turn in which it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.runtime.entity import Address
from actors.runtime.errors import Full
from actors.runtime.trace import followed
from actors.runtime.trace import request_id as current_request
from actors.runtime.wire import Answer, Ask, Paged, Refused
from server.ws import protocol

if TYPE_CHECKING:
    from server.ws.socket import Connection

OnAnswer = Callable[[Answer | Refused | Paged], None]


def operation_of(connection: Connection, request: protocol.Request) -> str:
    """The operation id of a request, the same for each retry in the session."""
    return f"{connection.session}:{request.id}"


def ask(
    connection: Connection,
    request: protocol.Request,
    address: Address,
    command: bytes,
    *,
    recorded: bool = True,
    snapshot: bool = True,
    then: OnAnswer | None = None,
    reply: OnAnswer | None = None,
) -> None:
    """A command for an entity; its answer is the reply, unless ``reply`` sees to that.

    ``recorded`` makes it an operation, which a retry does not repeat. ``then`` hears of the answer before the client.
    """
    operation = operation_of(connection, request) if recorded else None
    request_id, caller, current = request.id, connection.caller, current_request.get()
    tracer = connection.gateway.tracer
    parent = None if tracer is None else connection.trace_of(request.id)

    def answered(message: Answer | Refused | Paged) -> None:
        if then is not None:
            then(message)
        if reply is not None:
            reply(message)
        else:
            pass_on(connection, request_id, message)

    trace, on_answer = followed(tracer, f"ask {address.kind}", parent, answered)
    connection.gateway.router.link(address).ask(
        lambda cid: Ask(cid, address.id, command, caller, operation, current, snapshot, trace), on_answer
    )


def follow(
    connection: Connection,
    request: protocol.Request,
    address: Address,
    command: bytes,
    after: int | None,
    *,
    recorded: bool,
    reply: OnAnswer | None = None,
) -> None:
    """A command that makes the session follow the entity's stream: from a snapshot, or from ``after``. Raises Full.

    Its answer is the reply, unless ``reply`` sees to that.
    """
    name, most = str(address), connection.gateway.settings.joined_spaces
    if name not in connection.streams:
        if connection.joined_spaces >= most:
            raise Full(f"at most {most} spaces in one session")
        connection.streams[name] = None
    connection.want(name, after)

    def followed_or_not(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Refused):
            connection.not_following(name)

    ask(
        connection,
        request,
        address,
        command,
        recorded=recorded,
        snapshot=after is None,
        then=followed_or_not,
        reply=reply,
    )


def pass_on(connection: Connection, request_id: int, message: Answer | Refused | Paged) -> None:
    """The entity's answer is the reply."""
    if isinstance(message, Answer):
        connection.reply(request_id, message.body)
    elif isinstance(message, Refused):
        connection.refuse(request_id, protocol.from_refused(message))

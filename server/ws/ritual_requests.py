"""The requests of rituals, of the practitioner's own archetypal state, and of a space's group rituals.

A run is answered when it has ended: the practitioner's shard parks the ask, so nothing waits here. A retry is answered with
the first outcome also where the ritual cannot be looked up any more (withdrawn, renamed), and where the practitioner has
forgotten the result (then it is read from their rows).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from actors.practitioner import commands as practitioner
from actors.ritual.values import PARAMETERS_BYTES, Brief, run_id_of
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import FieldError, Forbidden, Internal, NotFound, SanghaError, TooLarge
from actors.runtime.wire import Answer, Paged, Refused
from actors.space import commands as space
from server.rituals import brief_of, recorded_result, resolve_ritual, run_to_reflect
from server.spaces import space_of
from server.ws import protocol
from server.ws.asking import ask, operation_of, pass_on
from server.ws.commands import command_of

if TYPE_CHECKING:
    from server.ws.socket import Connection

_GET_STATE: Final = practitioner.encode(practitioner.GetState())
_GET_RITUAL: Final = space.encode(space.GetRitual())


def account(connection: Connection) -> Caller:
    """The caller, who has an account. Raises Forbidden."""
    caller = connection.caller
    assert caller is not None
    if caller.guest:
        raise Forbidden("an account is needed: a guest has no archetypal state")
    return caller


def _command(request: protocol.RitualRun | protocol.SpaceRitualBegin, brief: Brief) -> Any:
    """The command. Raises Invalid, TooLarge where the parameters are no object of bounded size."""
    if request.parameters is not msgspec.UNSET and not bytes(request.parameters).startswith(b"{"):
        raise invalid("parameters", "must be an object")
    command = command_of(request, ritual=request.ritual, brief=brief)
    if (size := len(command.parameters)) > PARAMETERS_BYTES:
        message = f"{size} bytes of JSON, {PARAMETERS_BYTES} are allowed"
        raise TooLarge(f"parameters: {message}", (FieldError(path="parameters", message=message),))
    return command


async def _brief(connection: Connection, ritual: str) -> Brief:
    assert connection.caller is not None
    found = await resolve_ritual(connection.gateway, connection.caller, ritual)
    return await brief_of(connection.gateway, connection.caller, found)


# --- one's own -------------------------------------------------------------------------------------------------------


async def _run(connection: Connection, request: protocol.RitualRun) -> None:
    address = Address("practitioner", account(connection).practitioner)
    try:
        brief = await _brief(connection, request.ritual)
    except SanghaError as failure:
        if failure.retryable:
            raise
        await_run = practitioner.AwaitRun(run=run_id_of(operation_of(connection, request)))
        command, recorded = practitioner.encode(await_run), False
        instead: SanghaError | None = failure.with_traceback(None)  # which has this frame, and that has ``instead``
    else:
        command, recorded = practitioner.encode(_command(request, brief)), True
        instead = None
    if not connection.closing:
        ask(connection, request, address, command, recorded=recorded, reply=_ended(connection, request, instead))


def _ended(
    connection: Connection, request: protocol.Request, instead: SanghaError | None
) -> Callable[[Answer | Refused | Paged], None]:
    """Reply with the outcome of the run; where the practitioner knows of none, with what is recorded, or ``instead``."""

    def answered(message: Answer | Refused | Paged) -> None:
        if isinstance(message, Refused) and message.code == "not_found":
            failure = instead or protocol.from_refused(message)
            connection.gateway.spawn(_answer_recorded(connection, request, failure))
        else:
            pass_on(connection, request.id, message)

    return answered


async def _answer_recorded(connection: Connection, request: protocol.Request, instead: SanghaError) -> None:
    who, gateway = account(connection).practitioner, connection.gateway
    try:
        result = await recorded_result(gateway, who, operation_of(connection, request))
    except SanghaError as failure:
        connection.refuse(request.id, failure)
    except Exception as failure:  # noqa: BLE001 - a bug here must not leave the request without an answer
        connection.refuse(request.id, Internal(gateway.log_reference("a recorded run could not be read", failure)))
    else:
        if result is None:
            connection.refuse(request.id, instead)
        else:
            connection.reply(request.id, orjson.dumps(result, option=orjson.OPT_UTC_Z))


def _get(connection: Connection, request: protocol.StateGet, entity: str) -> None:
    account(connection)
    ask(connection, request, Address("practitioner", entity), _GET_STATE, recorded=False)


def _transform(connection: Connection, request: protocol.StateTransform, entity: str) -> None:
    account(connection)
    ask(connection, request, Address("practitioner", entity), practitioner.encode(command_of(request)))


async def _history(connection: Connection, request: protocol.StateHistory) -> None:
    who, most = account(connection).practitioner, connection.gateway.settings.history_page
    if not 1 <= request.limit <= most:
        raise invalid("limit", f"from 1 to {most}")
    before = None if request.before is None else str(request.before)
    states = await connection.gateway.queries.states(who, request.limit, before)
    connection.reply(request.id, orjson.dumps({"states": states}, option=orjson.OPT_UTC_Z))


async def _reflect(connection: Connection, request: protocol.StateReflection) -> None:
    who = account(connection).practitioner
    run = None
    if request.session_id is not None:
        run = await run_to_reflect(connection.gateway, who, request.session_id)
    if not connection.closing:
        command = practitioner.encode(practitioner.Reflect(run=run))
        ask(connection, request, Address("practitioner", who), command)


# --- a group's -------------------------------------------------------------------------------------------------------


async def _begin(connection: Connection, request: protocol.SpaceRitualBegin) -> None:
    entity = await space_of(connection.gateway, request.space)
    brief, instead = space.NO_BRIEF, None
    try:
        brief = await _brief(connection, request.ritual)
    except SanghaError as failure:
        if failure.retryable:
            raise
        instead = failure.with_traceback(None)  # as above
    command = _command(request, brief)

    def begun(message: Answer | Refused | Paged) -> None:
        if instead is not None and isinstance(message, Refused) and message.code == NotFound.code:
            connection.refuse(request.id, instead)
        else:
            pass_on(connection, request.id, message)

    if not connection.closing:
        ask(connection, request, Address("space", entity), space.encode(command), reply=begun)


def _abort(connection: Connection, request: protocol.SpaceRitualAbort, entity: str) -> None:
    ask(connection, request, Address("space", entity), space.encode(command_of(request)))


def _get_ritual(connection: Connection, request: protocol.SpaceRitualGet, entity: str) -> None:
    ask(connection, request, Address("space", entity), _GET_RITUAL, recorded=False)


HANDLERS: Final[dict[type[protocol.Request], Callable[[Connection, Any, str], None]]] = {
    protocol.StateGet: _get,
    protocol.StateTransform: _transform,
    protocol.SpaceRitualAbort: _abort,
    protocol.SpaceRitualGet: _get_ritual,
}

LOOK_UPS: Final[dict[type[protocol.Request], Callable[[Connection, Any], Awaitable[None]]]] = {
    protocol.RitualRun: _run,
    protocol.StateHistory: _history,
    protocol.StateReflection: _reflect,
    protocol.SpaceRitualBegin: _begin,
}

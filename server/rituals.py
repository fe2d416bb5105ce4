"""What HTTP and WebSocket share about rituals: which one is meant, what has to be known to run it, how a run once ended.

A ritual's entity alone decides who may see it; here names become ids, and answers become values. Everything raises
``SanghaError`` and nothing else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from actors.practitioner import archetypal_state
from actors.practitioner import commands as p
from actors.ritual import commands as c
from actors.ritual.values import Brief, run_id_of
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import CODES, ActorUnavailable, Conflict, NotFound, StorageUnavailable
from actors.runtime.ports import StoreDown
from actors.runtime.wire import Refused
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

COMPLETED: Final = "completed"
NAME_MAX: Final = 255
"""Characters of a ritual's name, as the seed's VARCHAR(255)."""
ANYONE: Final = Caller("", guest=True)
"""Who comes without a login sees what is public. (No caller at all would be the server itself, which sees everything.)"""

T = TypeVar("T")


async def read(query: Awaitable[T]) -> T:
    """What storage says. Raises StorageUnavailable."""
    try:
        return await query
    except StoreDown as down:
        raise StorageUnavailable("storage does not answer; try again") from down


async def ask_entity(
    gateway: Gateway, address: Address, command: bytes, caller: Caller | None = None, operation: str | None = None
) -> bytes:
    """The entity's answer, as JSON. Raises whatever it refuses with."""
    answer = await gateway.ask(address, command, caller, operation)
    if isinstance(answer, Refused):
        raise protocol.from_refused(answer)
    return answer.body


def ritual_id(text: str) -> str | None:
    """The id that a text is; None where it is none (a name, then)."""
    lowered = text.lower()
    return lowered if protocol.UUID.fullmatch(lowered) else None


async def resolve_ritual(gateway: Gateway, caller: Caller, id_or_name: str) -> str:
    """The id of the ritual that is meant: by id; else a built-in one's name; else the caller's own newest of that name; else
    the only public one. Raises NotFound, Conflict where several public ones have the name, StorageUnavailable."""
    if known := ritual_id(id_or_name):
        return known
    candidates: list[Any] = []
    if 0 < len(id_or_name) <= NAME_MAX and "\0" not in id_or_name:
        candidates = list(await read(gateway.queries.ritual_by_name(caller.practitioner or None, id_or_name)))
    if not candidates:
        raise NotFound(f"there is no ritual {id_or_name[:NAME_MAX]!r} that you may run")
    return str(chosen(candidates, caller.practitioner, id_or_name)["id"])


def chosen(candidates: list[Any], practitioner: str, name: str) -> Any:
    """The ritual that a name means of those that have it, newest first. Raises Conflict."""
    for candidate in candidates:
        if candidate["author_id"] is None:
            return candidate
    for candidate in candidates:
        if str(candidate["author_id"]) == practitioner:
            return candidate
    if len(candidates) > 1:
        raise Conflict(f"{len(candidates)} public rituals are called {name!r}; say which by its id")
    return candidates[0]


async def brief_of(gateway: Gateway, caller: Caller, ritual: str) -> Brief:
    """What has to be known of the ritual to run it. Raises NotFound where the caller may not run it."""
    reply = await ask_entity(gateway, Address("ritual", ritual), c.encode(c.GetBrief()), caller)
    return msgspec.json.decode(reply, type=Brief)


async def recorded_run(gateway: Gateway, practitioner: str, id_: str) -> Any:
    """A run of the practitioner's, from their rows. Raises NotFound, StorageUnavailable."""
    known = ritual_id(id_)
    run = None if known is None else await read(gateway.queries.run(practitioner, known))
    if run is None:
        raise NotFound(f"there is no run {id_[:64]!r} of yours")
    return run


async def run_to_reflect(gateway: Gateway, practitioner: str, id_: str) -> p.RunToReflect:
    """A recorded run as the oracle is to see it. Raises NotFound, Conflict where it changed nothing."""
    run = await recorded_run(gateway, practitioner, id_)
    if run["status"] != COMPLETED:
        raise Conflict(f"this run is {run['status']}; the oracle speaks about what was completed")
    result: Mapping[str, Any] = run["result"] or {}
    return p.RunToReflect(
        id=str(run["id"]),
        ritual_name=run["ritual_name"] or "",
        intention=run["intention"] or "",
        pre=archetypal_state.parse(run["pre_state"] or {}),
        post=archetypal_state.parse(run["post_state"] or {}),
        # The column is clamped and rounded; the result has the number itself.
        intensity=float(result.get("transformation_intensity", run["transformation_intensity"]) or 0.0),
    )


async def recorded_result(gateway: Gateway, practitioner: str, operation: str) -> Any | None:
    """The TransformationResult of the run that the operation began, from the practitioner's rows: for a retry that comes when
    the practitioner has forgotten it. None where there was none; raises the error that the run ended with."""
    run = await read(gateway.queries.run(practitioner, run_id_of(operation)))
    if run is None:
        return None
    if run["status"] == "failed":
        raise CODES.get(run["error_code"], ActorUnavailable)(run["error_message"] or "the run failed")
    return run["result"]

"""What HTTP and WebSocket share about audio sessions: who of a space may listen, whether one more may be made.

A session's entity alone decides who may do what, but for one thing: whether somebody participates in the space that it is
shared with is the space's to say, and found out here. Everything raises ``SanghaError`` and nothing else.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

import orjson

from actors.audio_session import commands as c
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Forbidden, Full, NotFound
from actors.runtime.wire import Refused
from actors.space import commands as space
from server.rituals import ask_entity, read
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

KIND: Final = "audio_session"
_GET: Final = c.encode(c.GetSession())
_SPACE: Final = space.encode(space.GetSpace())


def session_id_of(operation: str) -> str:
    """The id of the session that an operation creates."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{KIND}:{operation}"))


async def ask_session(
    gateway: Gateway, caller: Caller, session: str, command: c.AnyCommand, operation: str | None = None
) -> bytes:
    """A session's answer, as JSON. Raises NotFound, and Forbidden where a member of its space would change it."""
    try:
        return await ask_entity(gateway, Address(KIND, session), c.encode(command), caller, operation)
    except NotFound:
        if await as_member(gateway, caller, session):
            raise Forbidden("only its owner may change a session") from None
        raise


async def session_seen(gateway: Gateway, caller: Caller, session: str) -> bytes:
    """The session, for its owner and for who participates in the space that it is shared with. Raises NotFound."""
    answer = await gateway.ask(Address(KIND, session), _GET, caller)
    if not isinstance(answer, Refused):
        return answer.body
    member = await as_member(gateway, caller, session)
    command = c.encode(c.GetSession(as_member=member))
    return await ask_entity(gateway, Address(KIND, session), command, caller)


async def as_member(gateway: Gateway, caller: Caller, session: str) -> bool:
    """Whether the caller participates in the space that another's session is shared with."""
    place = await read(gateway.queries.audio_session_place(session))
    if place is None or place.space is None or place.owner == caller.practitioner:
        return False
    return await participates(gateway, caller, place.space)


async def participates(gateway: Gateway, caller: Caller, space_id: str) -> bool:
    """Whether the caller joined a space, and has not left it. Of an account its row says so, as of its last commit; a guest has
    none, and the space is asked, which may have thousands."""
    if not caller.guest:
        return await read(gateway.queries.participates(space_id, caller.practitioner))
    answer = await gateway.ask(Address("space", space_id), _SPACE, caller)
    if isinstance(answer, Refused):
        if answer.code in (NotFound.code, Forbidden.code):
            return False
        raise protocol.from_refused(answer)
    return any(person["id"] == caller.practitioner for person in orjson.loads(answer.body)["participants"])


async def check_participates(gateway: Gateway, caller: Caller, space_id: str) -> None:
    """The caller may share a session with a space. Raises Forbidden."""
    if not await participates(gateway, caller, space_id):
        raise Forbidden("join the space first: a session is shared with a space that one participates in")


async def room_for_one_more(gateway: Gateway, caller: Caller, session: str) -> None:
    """The caller may create this session: at the limit only what the same operation created already. Raises Full."""
    most = gateway.settings.audio_sessions
    if gateway.settings.lab or await read(gateway.queries.count_audio_sessions(caller.practitioner)) < most:
        return
    if isinstance(await gateway.ask(Address(KIND, session), _GET, caller), Refused):
        raise Full(f"at most {most} audio sessions of one practitioner; delete one")

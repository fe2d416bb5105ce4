"""What HTTP and WebSocket share about audio sessions: who of a space may listen, whether one more may be made, how often.

A session's entity alone decides who may do what, but for one thing: whether somebody participates in the space that it is
shared with is the space's to say, and found out here. Everything raises ``SanghaError`` and nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import orjson

from actors.audio import commands as audio
from actors.audio_session import commands as c
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Forbidden, Full, NotFound, SanghaError
from actors.runtime.wire import Refused
from actors.space import commands as space
from server.by_gateway import ByGateway
from server.limits import RateLimit
from server.rituals import ask_entity, read
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

KIND: Final = "audio_session"
CREATES_PER_MINUTE: Final = 60
"""Of one practitioner; what is deleted at once would else be created without end."""
CHANGES_PER_MINUTE: Final = 240
"""Of one practitioner: four a second, as a finger moves a slider. To pause, to stop and to delete is always allowed."""
DEVICE_WAIT_S: Final = 8.0
_GET: Final = c.encode(c.GetSession())
_LOOK: Final = audio.encode(audio.GetDevice())
_SPACE: Final = space.encode(space.GetSpace())


class _Device(msgspec.Struct):
    """What of a session says where it sounds."""

    device: str | None = None


_device_of: Final = msgspec.json.Decoder(_Device).decode


def session_id_of(operation: str) -> str:
    """The id of the session that an operation creates."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{KIND}:{operation}"))


async def ask_session(
    gateway: Gateway, caller: Caller, session: str, command: c.AnyCommand, operation: str | None = None
) -> bytes:
    """A session's answer, as JSON. Raises RateLimited, NotFound, and Forbidden where a member of its space would change it."""
    _rates_of(gateway).take(caller.practitioner, command)
    if isinstance(command, c.Start):
        await _wake_device(gateway, caller, session)
    try:
        return await ask_entity(gateway, Address(KIND, session), c.encode(command), caller, operation)
    except NotFound:
        if await as_member(gateway, caller, session) is not None:
            raise Forbidden("only its owner may change a session") from None
        raise


async def _wake_device(gateway: Gateway, caller: Caller, session: str) -> None:
    """The device's actor, which takes seconds to begin, is there before the session starts, whose beginning would else be lost.
    Whatever hinders it, the session starts all the same, and says then what the device says."""
    answer = await gateway.ask(Address(KIND, session), _GET, caller)
    device = None if isinstance(answer, Refused) else _device_of(answer.body).device
    if device is None:
        return
    try:
        async with asyncio.timeout(DEVICE_WAIT_S):
            await gateway.ask(Address("audio", device), _LOOK)
    except (SanghaError, TimeoutError) as away:
        log.info("a session starts without its sound device: %s", away or "it does not answer")


async def session_seen(gateway: Gateway, caller: Caller, session: str) -> bytes:
    """The session, for its owner and for who participates in the space that it is shared with. Raises NotFound."""
    answer = await gateway.ask(Address(KIND, session), _GET, caller)
    if not isinstance(answer, Refused):
        return answer.body
    member = await as_member(gateway, caller, session)
    command = c.encode(c.GetSession(as_member=member))
    return await ask_entity(gateway, Address(KIND, session), command, caller)


async def as_member(gateway: Gateway, caller: Caller, session: str) -> str | None:
    """The open space that another's session is shared with, where the caller and the owner participate in it."""
    place = await read(gateway.queries.audio_session_place(session))
    if place is None or place.space is None or place.owner == caller.practitioner:
        return None
    if not await participates(gateway, caller, place.space):
        return None
    if place.guest and place.owner not in await participants(gateway, caller, place.space):
        return None
    return str(place.space)


async def participates(gateway: Gateway, caller: Caller, space_id: str) -> bool:
    """Whether the caller joined a space, and has not left it. Of an account its row says so, as of its last commit; a guest has
    none, and the space is asked, which may have thousands."""
    if not caller.guest:
        return await read(gateway.queries.participates(space_id, caller.practitioner))
    return caller.practitioner in await participants(gateway, caller, space_id)


async def participants(gateway: Gateway, caller: Caller, space_id: str) -> frozenset[str]:
    """Who participates in a space, guests too, by its own word; nobody in one that the caller may not see."""
    answer = await gateway.ask(Address("space", space_id), _SPACE, caller)
    if isinstance(answer, Refused):
        if answer.code in (NotFound.code, Forbidden.code):
            return frozenset()
        raise protocol.from_refused(answer)
    return frozenset(person["id"] for person in orjson.loads(answer.body)["participants"])


async def still_shared(
    gateway: Gateway, caller: Caller, space_id: str, rows: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Of rows of a space's sessions those whose owner is there: of guests, whose sessions expire, the space says so."""
    if all(row["expires_at"] is None for row in rows):
        return list(rows)
    inside = await participants(gateway, caller, space_id)
    return [row for row in rows if row["expires_at"] is None or row["owner_id"] in inside]


class Inside:
    """Who participates in spaces, by their own word, for one round of looks: each is asked once, and what it said may be a second
    old. Who may not see a space learns nothing of it, and neither spoils nor gets what others learn."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._known: dict[str, frozenset[str] | None] = {}

    async def has(self, caller: Caller, space_id: str, *who: str) -> bool | None:
        """Whether all of them participate; None where the space does not answer."""
        if space_id not in self._known:
            try:
                found = await participants(self._gateway, caller, space_id)
            except SanghaError as away:
                log.debug("who is in space %s is not known: %s", space_id, away.message)
                self._known[space_id] = None
                return None
            if not found:
                return False
            self._known[space_id] = found
        found_all = self._known[space_id]
        return None if found_all is None else found_all.issuperset(who)


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


class _Rates:
    """How often practitioners do through one gateway what is journaled."""

    def __init__(self, *, lifted: bool) -> None:
        every = 10**9 if lifted else 1
        self._creates = RateLimit(CREATES_PER_MINUTE * every, time.monotonic)
        self._changes = RateLimit(CHANGES_PER_MINUTE * every, time.monotonic)

    def take(self, practitioner: str, command: c.AnyCommand) -> None:
        """One more. Raises TooSoon."""
        if isinstance(command, c.CreateSession):
            self._creates.take(practitioner)
        elif isinstance(command, (c.UpdateSession, c.Start, c.Share)):
            self._changes.take(practitioner)


def _rates(gateway: Gateway) -> _Rates:
    return _Rates(lifted=gateway.settings.lab)


_rates_of: Final = ByGateway(_rates)

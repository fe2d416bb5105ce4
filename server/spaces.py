"""What HTTP and WebSocket share about spaces: which one is meant, whether one more may be made, which there are.

A space's entity alone decides who may do what; here are the look-ups in storage that come before it is asked. Everything
raises ``SanghaError`` or ``StoreDown``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import Full, NotFound
from actors.runtime.wire import Refused
from actors.space import commands as c
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

SLUG_SCOPE: Final = "space.slug"
_GET: Final = c.encode(c.GetSpace())


def known_space(gateway: Gateway, name: str) -> str | None:
    """The id of a space that is meant by its UUID or by a slug learned lately; None where that takes a look-up."""
    return name if protocol.UUID.fullmatch(name) else gateway.slugs.get(name)


async def space_of(gateway: Gateway, name: str) -> str:
    """The id of the space that is meant, by UUID or slug. Raises NotFound, StoreDown."""
    if known := known_space(gateway, name):
        return known
    found = await gateway.queries.resolve(SLUG_SCOPE, name) if protocol.SLUG.fullmatch(name) else None
    if found is None:
        raise NotFound(f"there is no space {name[:63]}")
    gateway.slugs.put(name, str(found))
    return str(found)


async def room_for_one_more(gateway: Gateway, caller: Caller, space: str) -> None:
    """The caller may create this space: at the limit only what the same operation created already. Raises Full, StoreDown."""
    most = gateway.settings.created_spaces
    if gateway.settings.lab or await gateway.queries.count_spaces(caller.practitioner) < most:
        return
    if isinstance(await gateway.ask(Address("space", space), _GET, caller), Refused):
        raise Full(f"at most {most} open spaces of one practitioner")


async def spaces_for(
    gateway: Gateway, viewer: str, limit: int, before: str | None, q: str | None, joined: bool = False
) -> list[Any]:
    """A page of the spaces that the viewer may know of, or of those ``joined``, newest first. Raises Invalid, StoreDown."""
    most = gateway.settings.history_page
    if not 1 <= limit <= most:
        raise invalid("limit", f"from 1 to {most}")
    if before is not None and not protocol.UUID.fullmatch(before):
        raise invalid("before", "the id of a space")
    return list(await gateway.queries.spaces(viewer, limit, before, q, joined))

"""Which command of the domain a request becomes: one table for the code that converts and for the document that describes.

The fields of such a request are bounded by its command, so a client learns from the document what the domain itself refuses.
A Eustress batch goes on as a text: what bounds its fields is what the space reads that as. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from actors.eustress.values import Items
from actors.practitioner import commands as practitioner
from actors.runtime.codec import from_wire
from actors.space import commands as space
from server.ws import protocol

COMMANDS: Final[Mapping[type[protocol.Request], type[Any]]] = {
    protocol.SpaceCreate: space.CreateSpace,
    protocol.SpaceUpdate: space.UpdateSpace,
    protocol.SpaceInvite: space.Invite,
    protocol.SpaceRitualBegin: space.BeginRitual,
    protocol.SpaceRitualAbort: space.AbortRitual,
    protocol.RitualRun: practitioner.RunRitual,
    protocol.StateTransform: practitioner.TransformState,
    protocol.EustressIngest: Items,
}


def command_of(request: protocol.Request, *, unless_given: Mapping[str, Any] | None = None, **found: Any) -> Any:
    """The command, of the request's own fields and what was ``found`` for it. Raises Invalid with the field's path."""
    fields = {**(unless_given or {}), **protocol.domain_fields(request), **found}
    return from_wire(COMMANDS[type(request)], fields)

"""Puts the built-in rituals into the catalog: at the first start, and after a version that has others.

Each is uploaded under an operation of its own, so gateways that do it at once, or again, change nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from actors.ritual import commands
from actors.ritual.builtin.builtin import BUILTINS, ritual_id, upload_command
from actors.runtime.entity import Address
from actors.runtime.errors import Conflict
from actors.runtime.wire import Refused
from server.ws import protocol

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)


async def install(gateway: Gateway) -> None:
    """Upload what is missing. Raises StoreDown, SanghaError."""
    for name, builtin in BUILTINS.items():
        entity = ritual_id(builtin)
        known = await gateway.queries.ritual_by_name(None, name)
        if any(str(candidate["id"]) == entity for candidate in known):
            continue
        command = commands.encode(upload_command(builtin))
        answer = await gateway.ask(Address("ritual", entity), command, None, f"install:{entity}")
        if isinstance(answer, Refused) and answer.code != Conflict.code:
            raise protocol.from_refused(answer)
        log.info("ritual %s installed", name)

"""What is still to be done in other entities about accounts that are gone: departures, names in stored events, rituals.

The deletion itself tells every space that was known when it was asked for, durably (``actors.practitioner.leaving``). What it
could not know (a join that was under way, more spaces than one command names) stands in tables: rows of ``space_members``
without an account, and rows of those who departed but are still named in stored events. This works them off: when a gateway
starts, when an account was deleted through it, and after a while where something failed. All of it may be done twice, and by
several gateways at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.practitioner import commands as practitioner
from actors.ritual import commands as ritual
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError
from actors.runtime.ports import StoreDown, Unreadable
from actors.space import commands as space
from server.http.context import once
from server.rituals import ask_entity

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

AT_ONCE: Final = 100
RETRY_S: Final = 30.0
"""After a failure: whoever is not there now is back long before."""
FAREWELLS_MAX: Final = practitioner.FAREWELLS_MAX


class Scrubber(Protocol):
    """Takes a name out of a space's stored events."""

    async def scrub(self, space: str, practitioner: str) -> int:
        """How many events had it. Raises StoreDown, Unreadable."""


async def farewells_of(gateway: Gateway, who: str) -> tuple[practitioner.Farewell, ...]:
    """Whom an account's deletion has to tell, as far as is known now and fits. Raises StoreDown."""
    depart = space.encode(space.Depart(practitioner=who))
    orphan = ritual.encode(ritual.Orphan())
    spaces = [row["space_id"] for row in await gateway.queries.memberships(who, FAREWELLS_MAX)]
    rituals = await gateway.queries.unpublished(who, FAREWELLS_MAX)
    told = [practitioner.Farewell(target=Address("space", id_), command=depart) for id_ in spaces]
    told += [practitioner.Farewell(target=Address("ritual", id_), command=orphan) for id_ in rituals]
    return tuple(told[:FAREWELLS_MAX])


class Erasure:
    """Part of a gateway; see the module."""

    def __init__(self, gateway: Gateway, scrubber: Scrubber) -> None:
        self._gateway = gateway
        self._scrubber = scrubber
        self._wanted = asyncio.Event()
        self._wanted.set()

    def look(self) -> None:
        """There may be something to do."""
        self._wanted.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.work_off()
            except Exception as failure:
                known = isinstance(failure, SanghaError | StoreDown | Unreadable)
                log.warning("accounts that are gone: %s; again soon", failure, exc_info=None if known else failure)
                self._gateway.later(RETRY_S, self.look)

    async def work_off(self) -> None:
        """Until nothing is left; where a look finds the very same again, something is wrong that trying does not mend."""
        before: list[Any] = []
        while (found := await self.sweep()) and found != before:
            before = found
        if found:
            log.warning("accounts that are gone: %d things stay to do, the first is %s", len(found), found[0])

    async def sweep(self) -> list[Any]:
        """One look: what was found, and done. Raises SanghaError, StoreDown, Unreadable."""
        left_over = await self._gateway.queries.left_over(AT_ONCE)
        for each in left_over:
            await (self._finish(each) if each.departed else self._depart(each))
        orphans = await self._gateway.queries.orphans(AT_ONCE)
        for id_ in orphans:
            await self._ask(Address("ritual", id_), ritual.encode(ritual.Orphan()))
        return [*left_over, *orphans]

    async def _depart(self, each: Any) -> None:
        command = space.Depart(practitioner=each.practitioner)
        await self._ask(Address("space", each.space), space.encode(command))

    async def _finish(self, each: Any) -> None:
        await self._scrubber.scrub(each.space, each.practitioner)
        command = space.FinishDeparture(practitioner=each.practitioner)
        await self._ask(Address("space", each.space), space.encode(command))

    async def _ask(self, address: Address, command: bytes) -> None:
        await ask_entity(self._gateway, address, command, None, once("erasure"))

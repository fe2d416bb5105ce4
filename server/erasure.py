"""What is still to be done in other entities about accounts that are gone: departures, names in stored events, rituals,
prayer wheels, audio sessions, voices on sound devices.

The deletion itself tells every space that was known when it was asked for, durably (``actors.practitioner.leaving``). What it
could not know (a join that was under way, more spaces than one command names) stands in tables: rows of ``space_members``
without an account, and rows of those who departed but are still named in stored events. This works them off: of one account
when it was deleted through this gateway, and a little later again, when what was under way then has arrived; of all when a
gateway starts, and every hour. Each thing is done for itself, so that one that fails keeps no other from being done; it is
tried again. All of it may be done twice, and by several gateways at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from actors.audio import commands as audio
from actors.audio_session import commands as audio_session
from actors.practitioner import commands as practitioner
from actors.prayer import commands as prayer
from actors.ritual import commands as ritual
from actors.runtime.entity import Address
from actors.runtime.errors import SanghaError
from actors.runtime.link import ONCE
from actors.runtime.ports import StoreDown, Unreadable
from actors.space import commands as space
from server.audio_devices import KIND as DEVICE
from server.audio_devices import is_elsewhere
from server.rituals import ask_entity

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

AT_ONCE: Final = 100
RITUALS_MAX: Final = 1_000
"""Of one account in one look; more than any may upload."""
SESSIONS_MAX: Final = 10_000
"""The same of audio sessions; what is more goes in the next look."""
AGAIN_S: Final = (5.0, 60.0)
"""After a deletion: by then a shard that was away is replaced, and has decided what was on its way to it."""
EVERY_S: Final = 3_600.0
"""For what came later still, or while no gateway was there to look. It reads a table of memberships once."""
RETRY_S: Final = 30.0
"""After a failure: whoever is not there now is back long before."""
FAREWELLS_MAX: Final = practitioner.FAREWELLS_MAX
EVERYONE: Final = None
_DELETE: Final = audio_session.encode(audio_session.Delete())


class Scrubber(Protocol):
    """Takes a name out of a space's stored events."""

    async def scrub(self, space: str, practitioner: str) -> int:
        """How many events had it. Raises StoreDown, Unreadable."""


async def farewells_of(gateway: Gateway, who: str) -> tuple[practitioner.Farewell, ...]:
    """Whom an account's deletion has to tell, as far as is known now and fits. Raises StoreDown."""
    depart = space.encode(space.Depart(practitioner=who))
    orphan = ritual.encode(ritual.Orphan())
    told = [practitioner.Farewell(target=Address("prayer_wheel", who), command=prayer.encode(prayer.Erase()))]
    told = told if await gateway.queries.has_wheel(who) else []
    # The sweep does those of other nodes: one that is away for good must not hold the account's end up.
    devices = [name for name in await devices_with(gateway, who) if not is_elsewhere(name)]
    told += [practitioner.Farewell(target=Address(DEVICE, name), command=silence(who)) for name in devices]
    spaces = [row["space_id"] for row in await gateway.queries.memberships(who, FAREWELLS_MAX)]
    rituals = await gateway.queries.unpublished(who, FAREWELLS_MAX)
    told += [practitioner.Farewell(target=Address("space", id_), command=depart) for id_ in spaces]
    told += [practitioner.Farewell(target=Address("ritual", id_), command=orphan) for id_ in rituals]
    sessions = await gateway.queries.audio_session_ids(who, FAREWELLS_MAX)
    told += [practitioner.Farewell(target=Address("audio_session", id_), command=_DELETE) for id_ in sessions]
    return tuple(told[:FAREWELLS_MAX])


async def devices_with(gateway: Gateway, who: str, *, gone: bool = False) -> list[str]:
    """Sound devices on which something of theirs sounds; with ``gone`` none while the account is there. Raises StoreDown."""
    return sorted({row["device"] for row in await gateway.queries.audio_voices(who, gone=gone)})


def silence(who: str) -> bytes:
    """What a sound device is told of an account that ends."""
    return audio.encode(audio.Erase(owner=who))


class Erasure:
    """Part of a gateway; see the module."""

    def __init__(self, gateway: Gateway, scrubber: Scrubber) -> None:
        self._gateway = gateway
        self._scrubber = scrubber
        self._wanted: set[str | None] = {EVERYONE}
        self._something = asyncio.Event()
        self._something.set()

    def deleted(self, who: str) -> None:
        """An account was deleted, or is about to be."""
        self.look(who)
        for delay_s in AGAIN_S:
            self._gateway.later(delay_s, lambda: self.look(who))

    def look(self, who: str | None = EVERYONE) -> None:
        """There may be something to do about an account, or about any."""
        self._wanted.add(who)
        self._something.set()

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._something.wait()
            self._something.clear()
            wanted, self._wanted = self._wanted, set()
            for who in [EVERYONE] if EVERYONE in wanted else wanted:
                await self._round(who)

    async def _round(self, who: str | None) -> None:
        done = await (self.sweep_all() if who is EVERYONE else self.sweep(who))
        if not done:
            self._gateway.later(RETRY_S, lambda: self.look(who))
        elif who is EVERYONE:
            self._gateway.later(EVERY_S, self.look)

    async def sweep_all(self) -> bool:
        """All accounts that are gone and of whom something is left. Whether all of it was done."""
        done, after = True, None
        while found := await self._listed(self._gateway.queries.gone(AT_ONCE, after)):
            for who in found:
                done &= await self.sweep(who)
            after = found[-1]
        return done and found is not None

    async def sweep(self, who: str) -> bool:
        """One account. Whether all that was to do was done; there is none while the account is not gone."""
        done, after = True, None
        while found := await self._listed(self._gateway.queries.left_over(who, AT_ONCE, after)):
            for each in found:
                done &= await self._done(self._depart(each), f"space {each.space}")
            after = found[-1].space
        orphans = await self._listed(self._gateway.queries.orphans(who, RITUALS_MAX))
        for id_ in orphans or ():
            done &= await self._done(self._ask(Address("ritual", id_), ritual.encode(ritual.Orphan())), f"ritual {id_}")
        stray = await self._listed(self._gateway.queries.stray_wheels(who))
        for id_ in stray or ():
            erase = self._ask(Address("prayer_wheel", id_), prayer.encode(prayer.Erase()))
            done &= await self._done(erase, f"prayer wheel {id_}")
        sessions = await self._listed(self._gateway.queries.audio_session_ids(who, SESSIONS_MAX, gone=True))
        for id_ in sessions or ():
            done &= await self._done(self._ask(Address("audio_session", id_), _DELETE), f"audio session {id_}")
        devices = await self._listed(devices_with(self._gateway, who, gone=True))
        for name in devices or ():
            done &= await self._done(self._ask(Address(DEVICE, name), silence(who)), f"sound device {name}")
        return done and None not in (found, orphans, stray, sessions, devices)

    async def _listed(self, query: Awaitable[Sequence[Any]]) -> Sequence[Any] | None:
        """What storage says; None where it does not."""
        try:
            return await query
        except StoreDown as down:
            log.warning("accounts that are gone: %s; again soon", down)
            return None

    async def _done(self, act: Awaitable[None], where: str) -> bool:
        try:
            await act
        except Exception as failure:
            known = isinstance(failure, SanghaError | StoreDown | Unreadable)
            log.warning(
                "an account that is gone: %s: %s; again soon", where, failure, exc_info=None if known else failure
            )
            return False
        return True

    async def _depart(self, each: Any) -> None:
        address = Address("space", each.space)
        if not each.departed:
            await self._ask(address, space.encode(space.Depart(practitioner=each.practitioner)))
        await self._scrubber.scrub(each.space, each.practitioner)
        await self._ask(address, space.encode(space.FinishDeparture(practitioner=each.practitioner)))

    async def _ask(self, address: Address, command: bytes) -> None:
        await ask_entity(self._gateway, address, command, None, ONCE)

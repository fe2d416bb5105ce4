"""Wakes entities whose alarm is due: polls storage, by the database's clock, for the slots that are this shard's.

An alarm may fire twice (it is there until the commit that handles it); while one is being handled it is not fired again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from actors.runtime.cell import Work
from actors.runtime.entity import AlarmFired
from actors.runtime.ports import Fenced, StoreDown

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

log = logging.getLogger(__name__)

POLL_S: Final = 0.5
FIRE_AGAIN_S: Final = 10.0
"""An alarm that was fired and is still there after this long is fired again."""
AT_ONCE: Final = 500


class AlarmClock:
    """Runs beside a shard."""

    def __init__(self, shard: Shard, slots: Sequence[tuple[int, int]], owns: Callable[[str], bool]) -> None:
        self._shard, self._slots, self._owns = shard, slots, owns
        self._fired: dict[tuple[str, str], float] = {}
        shard.alarm_handled = self._handled

    def _handled(self, entity: str, name: str) -> None:
        """Its commit is through: an alarm of that name that is due from now on is another one."""
        self._fired.pop((entity, name), None)

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self._fire_due()
            except StoreDown as down:
                log.debug("alarms wait: %s", down)
            except Fenced as fenced:
                self._shard.fenced(fenced)
                return
            await asyncio.sleep(POLL_S)

    async def _fire_due(self) -> None:
        now = self._shard.clock.monotonic()
        due = {key for key in await self._shard.store.due_alarms(self._slots, AT_ONCE) if self._owns(key[0])}
        self._fired = {key: at for key, at in self._fired.items() if key in due and now - at < FIRE_AGAIN_S}
        for entity, name in sorted(due - self._fired.keys()):
            self._fired[entity, name] = now
            self._shard.submit(Work(entity, AlarmFired(name=name)))

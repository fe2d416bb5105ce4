"""Brings entities of a shard to life and puts them to rest.

All that is asked for in one turn of the loop is loaded by one query, and while that is under way the next one gathers. An
entity rests only when nothing of it is uncommitted, awaited, followed or owed; the longest idle go first where room is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from actors.runtime.cell import Cell, Work
from actors.runtime.errors import ActorUnavailable
from actors.runtime.ports import Fenced, Loaded, StoreDown

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

LOAD_BATCH: Final = 500
LOAD_PAUSE_S: Final = 0.05
ROOM: Final = 64
"""Where the shard is full, one in so many entities is put to rest at once: to look for the idlest has its price."""


class Activation:
    """Part of a shard; see the module. ``owns`` says whether an entity lives in this shard."""

    def __init__(self, shard: Shard, owns: Callable[[str], bool]) -> None:
        self.activations = 0
        self._shard, self._owns = shard, owns
        self._to_load: list[str] = []
        self._loader: asyncio.Task[None] | None = None

    def activate(self, work: Work) -> Cell | None:
        """A cell for the entity of ``work``, about to be loaded; None, and the work is refused, where there cannot be one."""
        shard = self._shard
        if not self._owns(work.entity):
            shard.refuse(work, ActorUnavailable("this entity lives in another shard; try again"))
            return None
        limit = shard.limits.live_entities
        if len(shard.cells) >= limit and not self.passivate(max(1, limit // ROOM)):
            shard.refuse(work, ActorUnavailable("too many live entities in this shard; try again"))
            return None
        cell = shard.cells[work.entity] = Cell(shard.kind.kind, work.entity)
        self.activations += 1
        self._to_load.append(work.entity)
        if self._loader is None or self._loader.done():
            self._loader = shard.spawn(self._load_all())
        return cell

    async def _load_all(self) -> None:
        while self._to_load:
            await asyncio.sleep(0)  # so that all that arrived in this turn is loaded by one query
            ids, self._to_load = self._to_load[:LOAD_BATCH], self._to_load[LOAD_BATCH:]
            loaded = await self._loaded(ids)
            for entity in ids:
                self._activated(self._shard.cells[entity], loaded[entity])

    def _activated(self, cell: Cell, loaded: Loaded) -> None:
        shard = self._shard
        try:
            cell.restore(shard.kind, loaded)
        except Exception as bug:  # noqa: BLE001 - an entity that cannot be read must not end its neighbours
            del shard.cells[cell.id]
            for work in cell.mailbox:
                shard.refuse(work, shard.internal(cell, work, bug))
            return
        shard.effects.issue(cell, cell.agenda.effects.values())
        shard.drain(cell)

    async def load(self, cells: list[Cell]) -> None:
        """Make cells what storage has."""
        loaded = await self._loaded([cell.id for cell in cells])
        for cell in cells:
            cell.restore(self._shard.kind, loaded[cell.id])

    async def stored_seq(self, entity_id: str) -> int:
        """The sequence number of the entity's last event in storage."""
        loaded = (await self._loaded([entity_id]))[entity_id]
        if loaded.events:
            return loaded.events[-1].seq
        return loaded.checkpoint.seq if loaded.checkpoint is not None else 0

    async def _loaded(self, ids: list[str]) -> Mapping[str, Loaded]:
        """From storage. Where it does not answer this tries on; callers are told after a while."""
        shard = self._shard
        began, pause = shard.clock.monotonic(), LOAD_PAUSE_S
        while True:
            try:
                loaded = await shard.store.load(ids)
            except Fenced as fenced:
                shard.fenced(fenced)
                await asyncio.Future()
            except StoreDown:
                shard.lose_patience(began)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                shard.measures.load_s.observe(shard.clock.monotonic() - began)
                return loaded

    def passivate(self, at_least: int = 0) -> int:
        """Put idle entities to rest: those idle long enough, and the longest idle where room is needed."""
        shard = self._shard
        if shard.has_unsaid:
            return 0  # what is still to be said may make someone follow
        now = shard.clock.monotonic()
        idle = [cell for cell in shard.cells.values() if self._may_rest(cell)]
        idle.sort(key=lambda cell: cell.used_at)
        resting = 0
        for cell in idle:
            if resting >= at_least and now - cell.used_at < shard.limits.passivate_after_s:
                break
            del shard.cells[cell.id]
            resting += 1
        shard.measures.passivations += resting
        return resting

    def _may_rest(self, cell: Cell) -> bool:
        return (
            cell.ready
            and not cell.mailbox
            and not cell.parked
            and not cell.links
            and not cell.issued
            and not cell.agenda.effects
            and cell.tick is None
            and not self._shard.gate.is_dirty(cell.id)
        )

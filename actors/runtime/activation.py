"""Brings entities of a shard to life and puts them to rest.

All that is asked for in one turn of the loop is loaded by one query, and while that is under way the next one gathers. What a
kind has in versioned tables follows page by page, for each entity by itself, so that a great one keeps nobody waiting. An
entity rests only when nothing of it is uncommitted, awaited, followed or owed; the longest idle go first where room is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from actors.runtime.cell import Cell, Work
from actors.runtime.entity import versioned
from actors.runtime.errors import ActorUnavailable
from actors.runtime.ports import Fenced, Loaded, StoreDown

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

T = TypeVar("T")

LOAD_BATCH: Final = 500
LOAD_PAUSE_S: Final = 0.05
ROOM: Final = 64
"""Where the shard is full, one in so many entities is put to rest at once: to look for the idlest has its price."""


class Activation:
    """Part of a shard; see the module. ``owns`` says whether an entity lives in this shard."""

    def __init__(self, shard: Shard, owns: Callable[[str], bool]) -> None:
        self.activations = 0
        self._shard, self._owns = shard, owns
        self._versioned = versioned(shard.kind)
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
        try:
            cell.restore(self._shard.kind, loaded)
        except Exception as bug:  # noqa: BLE001 - an entity that cannot be read must not end its neighbours
            self._unreadable(cell, bug)
            return
        if self._versioned is not None:
            self._shard.spawn(self._follow_up(cell))
        else:
            self._begin(cell)

    async def _follow_up(self, cell: Cell) -> None:
        """The rest of an entity whose rows are versioned."""
        try:
            await self._load_live(cell)
        except Exception as bug:  # noqa: BLE001 - as above
            self._unreadable(cell, bug)
        else:
            self._begin(cell)

    def _begin(self, cell: Cell) -> None:
        shard = self._shard
        cell.restored(shard.kind)
        shard.effects.issue(cell, cell.agenda.effects.values())
        shard.drain(cell)

    def _unreadable(self, cell: Cell, bug: Exception) -> None:
        shard = self._shard
        del shard.cells[cell.id]
        for work in cell.mailbox:
            shard.refuse(work, shard.internal(cell, work, bug))

    async def load(self, cells: list[Cell]) -> None:
        """Make cells what storage has."""
        loaded = await self._loaded([cell.id for cell in cells])
        for cell in cells:
            cell.restore(self._shard.kind, loaded[cell.id])
            await self._load_live(cell)
            cell.restored(self._shard.kind)

    async def reload(self, cell: Cell) -> None:
        """A cell whose memory is half changed, once nothing of it is uncommitted any more; unless a recovery has seen to it."""
        loads = cell.loads
        await self._shard.commits.clean(cell.id)
        if cell.loads == loads:
            await self.load([cell])

    async def _load_live(self, cell: Cell) -> None:
        """The live rows of the kind's versioned tables, in their order. A page that is asked for again is the same: only this
        shard writes them, and nothing of the entity is under way."""
        kind, store = self._versioned, self._shard.store
        if kind is None:
            return
        for table in kind.versioned:
            after: tuple[Any, ...] | None = None
            more = True
            while more:
                rows = await self._asked(partial(store.load_live, cell.id, table, after))
                cell.state = kind.restored(cell.state, table, rows)
                more = bool(rows)
                after = rows[-1] if rows else None

    async def stored_seq(self, entity_id: str) -> int:
        """The sequence number of the entity's last event in storage."""
        loaded = (await self._loaded([entity_id]))[entity_id]
        if loaded.events:
            return loaded.events[-1].seq
        return loaded.checkpoint.seq if loaded.checkpoint is not None else 0

    async def _loaded(self, ids: list[str]) -> Mapping[str, Loaded]:
        began = self._shard.clock.monotonic()
        loaded = await self._asked(partial(self._shard.store.load, ids))
        self._shard.measures.load_s.observe(self._shard.clock.monotonic() - began)
        return loaded

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Of storage. Where it does not answer this tries on; callers are told after a while."""
        shard = self._shard
        began, pause = shard.clock.monotonic(), LOAD_PAUSE_S
        while True:
            try:
                return await ask()
            except Fenced as fenced:
                shard.fenced(fenced)
                await asyncio.Future()
            except StoreDown:
                shard.lose_patience(began)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)

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

"""Moves a shard's batches through the store, one at a time, and recovers from each way in which a commit can end.

While one batch is being committed the next one fills. After an abort or a loss, everything that was decided and not
committed is forgotten: the entities are loaded again from storage and their works are decided again, in order.

    committed               release
    aborted, storage's fault the batch's callers are told ``storage_unavailable``; what was filling is decided again
    aborted, one bad command everything is decided again, a transaction each; only the guilty one is refused
    unknown                 settle first (the epoch is raised behind the doubtful transaction); then decide everything again:
                            what had been committed is found in memory and answered from there
    fenced                  the process ends

Pacing: see ``Pacer``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from actors.runtime.cell import Cell, Entry, Work
from actors.runtime.entity import Delete, Upsert
from actors.runtime.errors import ActorUnavailable, Conflict, Invalid, SanghaError, StorageUnavailable
from actors.runtime.ports import (
    Alarm,
    Batch,
    Checkpoint,
    CommitAborted,
    CommitUnknown,
    Fenced,
    JournalRow,
    StoreDown,
)

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

log = logging.getLogger(__name__)

SETTLE_PAUSE_S: Final = 0.1
MISSED_PAGE: Final = 10_000


class Commits:
    """Part of a shard; see the module."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._loop = asyncio.get_running_loop()
        self._arranged = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.recovering = False
        self.committed = 0
        self.entries = 0

    @property
    def idle(self) -> bool:
        """Nothing fills, nothing flies."""
        return self._idle.is_set() and not self._shard.gate.filling

    def arrange(self) -> None:
        """Something waits for a commit: take off when this turn of the loop has brought all that it brings."""
        if not self._arranged and self._idle.is_set():
            self._arranged = True
            self._loop.call_soon(self._take_off)

    def _take_off(self) -> None:
        self._arranged = False
        if self.recovering or not self._idle.is_set():
            return
        entries = self._shard.gate.takeoff()
        if entries:
            self._idle.clear()
            self._shard.spawn(self._fly(entries))

    async def _fly(self, entries: list[Entry]) -> None:
        failure = await self._commit(entries)
        if failure is None:
            self._land()
        else:
            await self._recover(failure)
        self._idle.set()
        if self._shard.gate.filling:
            self.arrange()

    async def _commit(self, entries: Sequence[Entry]) -> CommitAborted | CommitUnknown | None:
        """One transaction. Fenced never returns: the process ends."""
        shard = self._shard
        batch = make_batch(entries, self._checkpoints(entries))
        began = shard.clock.monotonic()
        try:
            await shard.store.commit(batch)
        except (CommitAborted, CommitUnknown) as failure:
            return failure
        except StoreDown as down:
            return CommitAborted(str(down))
        except Fenced as fenced:
            await self._die(fenced)
        shard.confirmed_at = began
        self.committed += 1
        self.entries += len(entries)
        return None

    async def _die(self, fenced: Fenced) -> None:
        self._shard.fenced(fenced)
        await asyncio.Future()  # nothing of this shard may run on

    def _land(self) -> None:
        shard = self._shard
        landed = shard.gate.committed()
        if shard.may_speak():
            for entry in landed:
                shard.release(entry)
        else:
            shard.hold(landed)

    def _checkpoints(self, entries: Iterable[Entry]) -> list[Checkpoint]:
        shard = self._shard
        cells = {entry.cell.id: entry.cell for entry in entries if entry.changes}
        return [shard.checkpoint(cell) for cell in cells.values() if shard.due_for_checkpoint(cell)]

    # -- what can go wrong ----------------------------------------------------------------------------------------

    async def _recover(self, failure: CommitAborted | CommitUnknown) -> None:
        shard = self._shard
        self.recovering = True
        if isinstance(failure, CommitUnknown):
            log.warning("a commit's outcome is unknown: %s", failure)
            shard.gate.doubtful()
            await self._settle()
        else:
            log.warning("a commit was aborted: %s", failure)
        flown, filled = shard.gate.failed()
        again = [entry.work for entry in filled]
        cells = list({entry.cell.id: entry.cell for entry in (*flown, *filled)}.values())
        for cell in cells:
            cell.ready = False
        alone = False
        if isinstance(failure, CommitUnknown):
            again = [entry.work for entry in flown] + again
        elif failure.data_error:
            alone = True
            again = [entry.work for entry in flown] + again
        else:
            again = self._tell_unavailable(flown) + again
        await shard.load(cells)
        missed = await self._missed(cells)
        if alone:
            await self._decide_alone(again)
        self.recovering = False
        if not alone:
            self._decide_again(again)
        for cell, rows in missed:
            shard.followers.push_missed(cell, rows)
        for cell in cells:
            shard.issue(cell, cell.agenda.effects.values())
        shard.resume()

    async def _settle(self) -> None:
        pause = SETTLE_PAUSE_S
        while True:
            try:
                await self._shard.store.settle()
            except StoreDown as down:
                log.warning("storage does not answer: %s", down)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            except Fenced as fenced:
                await self._die(fenced)
            else:
                return

    def _tell_unavailable(self, flown: Iterable[Entry]) -> list[Work]:
        """Callers of the batch are told to try again; what the runtime itself asked is decided again."""
        again = []
        for entry in flown:
            if entry.work.peer is None:
                again.append(entry.work)
            else:
                self._shard.refuse(entry.work, StorageUnavailable("storage failed; nothing was changed, try again"))
        return again

    async def _missed(self, cells: Iterable[Cell]) -> list[tuple[Cell, Sequence[JournalRow]]]:
        """Events that turned out to be committed and were not yet seen by those who follow."""
        missed = []
        for cell in cells:
            while cell.head < cell.offset:
                if not cell.links:
                    cell.head = cell.offset
                    break
                try:
                    rows = await self._shard.store.page(cell.id, cell.head, MISSED_PAGE, 2**62)
                except StoreDown:
                    await asyncio.sleep(SETTLE_PAUSE_S)
                    continue
                except Fenced as fenced:
                    await self._die(fenced)
                    raise
                missed.append((cell, rows))
                break
        return missed

    def _decide_again(self, works: Iterable[Work]) -> None:
        """In order, before anything that came later. Claims that were made are still ours."""
        shard = self._shard
        by_cell: dict[str, list[Work]] = {}
        for work in works:
            by_cell.setdefault(work.entity, []).append(work)
        for entity, again in by_cell.items():
            shard.cells[entity].mailbox.extendleft(reversed(again))
            shard.drain(shard.cells[entity])

    async def _decide_alone(self, works: Iterable[Work]) -> None:
        """A transaction each, in order; a command whose content storage refuses is the guilty one."""
        shard = self._shard
        for work in works:
            cell = shard.cells[work.entity]
            refusal = await shard.handle_alone(cell, work)
            if refusal is not None:
                shard.refuse(work, refusal)
                continue
            entries = shard.gate.takeoff()
            if not entries:
                continue
            failure = await self._commit(entries)
            if failure is None:
                self._land()
                continue
            if isinstance(failure, CommitUnknown):
                shard.gate.doubtful()
                await self._settle()
            shard.gate.failed()
            cell.ready = False
            await shard.load([cell])
            shard.refuse(work, self._verdict(failure, cell, work))

    def _verdict(self, failure: CommitAborted | CommitUnknown, cell: Cell, work: Work) -> SanghaError:
        if isinstance(failure, CommitUnknown):
            return ActorUnavailable("the outcome was unknown for a while; ask again with the same id")
        if not failure.data_error:
            return StorageUnavailable("storage failed; nothing was changed, try again")
        if work.peer is None:
            log.error("%s: storage refuses what the runtime asked (%s): %s", cell.stream, work.what, failure)
        return Conflict(str(failure)) if failure.conflict else Invalid(str(failure))

    async def drained(self) -> None:
        """Wait until nothing fills and nothing flies."""
        while not self.idle:
            await self._idle.wait()
            await asyncio.sleep(0)


def make_batch(entries: Iterable[Entry], checkpoints: list[Checkpoint]) -> Batch:
    """What a transaction writes for these entries: rows coalesced by key, the last one wins."""
    journal: list[JournalRow] = []
    rows: dict[tuple[str, str], Upsert | Delete] = {}
    alarms: dict[tuple[str, str], Alarm] = {}
    claims = []
    for entry in entries:
        journal += entry.journal
        claims += entry.claims
        for row in entry.rows:
            rows[row.table, row.id if isinstance(row, Delete) else str(row.values["id"])] = row
        for alarm in entry.alarms:
            alarms[alarm.entity_id, alarm.name] = alarm
    return Batch(
        journal=journal,
        rows=[rows[key] for key in sorted(rows)],
        claims=claims,
        alarms=[alarms[key] for key in sorted(alarms)],
        checkpoints=checkpoints,
    )

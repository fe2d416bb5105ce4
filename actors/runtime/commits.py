"""Moves a shard's batches through the store, one at a time, and recovers from each way in which a commit can end.

While one batch is being committed the next one fills; under load it fills a little longer (``pacing``). After an abort,
everything that was decided and not committed is forgotten: the entities are loaded again from storage and their works are
decided again, in order.

    committed               release
    aborted, storage's fault the batch's callers are told ``storage_unavailable``; what was filling is decided again
    aborted, one bad command everything is decided again, a transaction each; only the guilty one is refused
    unknown                 settle first (the epoch is raised behind the doubtful transaction), then look: if it is there it
                            was a commit like any other and is released, else it was an abort and all is decided again
    fenced                  the process ends
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from actors.runtime.cell import Cell, Entry, Work
from actors.runtime.entity import Begin, Delete, End, Purge, Trim, Upsert
from actors.runtime.errors import Conflict, Invalid, SanghaError, StorageUnavailable
from actors.runtime.pacing import Pacer
from actors.runtime.ports import (
    LIVE,
    Alarm,
    Batch,
    Checkpoint,
    CommitAborted,
    CommitUnknown,
    Fenced,
    Forget,
    JournalRow,
    StoreDown,
    Versions,
)
from actors.runtime.trace import Span

if TYPE_CHECKING:
    from actors.runtime.shard import Shard

log = logging.getLogger(__name__)

SETTLE_PAUSE_S: Final = 0.1
FILL_ROWS: Final = 100_000
"""Rows of tables in the batch that fills, beyond which nothing more is decided until it has taken off: it would be ever longer in
the making, which blocks the loop, and in the commit."""


class Commits:
    """Part of a shard; see the module."""

    def __init__(self, shard: Shard) -> None:
        self._shard = shard
        self._loop = asyncio.get_running_loop()
        self._pacer = Pacer(shard.clock.monotonic())
        self._arranged = False
        self._opened: float | None = None  # when the first entry of the batch that fills came
        self._took: float | None = None  # the same of the batch that flies
        self._rows = 0  # of tables, in the batch that fills
        self._idle = asyncio.Event()
        self._idle.set()
        self.recovering = False
        self.committed = 0
        self.entries = 0

    @property
    def idle(self) -> bool:
        """Nothing fills, nothing flies."""
        return self._idle.is_set() and not self._shard.gate.filling

    @property
    def full(self) -> bool:
        """What is to be decided has to wait for the next take-off."""
        return self._rows >= FILL_ROWS

    def filled(self, rows: int) -> None:
        """An entry with so many rows is in the batch that fills."""
        self._rows += rows
        self.arrange()

    def _takeoff(self) -> list[Entry]:
        entries = self._shard.gate.takeoff()
        if entries:
            if self.full:
                self._loop.call_soon(self._shard.drain_all)
            self._rows = 0
        return entries

    def arrange(self) -> None:
        """Something waits for a commit: take off when this turn of the loop has brought all that it brings."""
        if self._opened is None and self._shard.gate.filling:
            self._opened = self._shard.clock.monotonic()
        if self._arranged or not self._idle.is_set():
            return
        self._arranged = True
        wait_s = self._pacer.wait(self._shard.clock.monotonic())
        if wait_s:
            self._loop.call_later(wait_s, self._start)
        else:
            self._start()

    def _start(self) -> None:
        self._shard.spawn(self._fly())

    async def _fly(self) -> None:
        self._arranged = False
        entries = self._takeoff()
        if not entries:
            return
        self._took, self._opened = self._opened, None
        self._pacer.took_off(self._shard.clock.monotonic(), len(entries))
        self._idle.clear()
        failure = await self._commit(entries)
        if failure is None:
            self._land()
        else:
            await self._recover(failure, entries)
        self._idle.set()
        if self._shard.gate.filling:
            self.arrange()

    async def _commit(self, entries: Sequence[Entry]) -> CommitAborted | CommitUnknown | None:
        """One transaction, made up before anything else can be decided. Fenced never returns: the process ends."""
        shard = self._shard
        batch = make_batch(entries, self._checkpoints(entries))
        began, span = shard.clock.monotonic(), self._span(entries)
        try:
            await shard.store.commit(batch)
        except (CommitAborted, CommitUnknown, StoreDown) as problem:
            failure = CommitAborted(str(problem)) if isinstance(problem, StoreDown) else problem
            ended = "unknown" if isinstance(failure, CommitUnknown) else "aborted"
            shard.measures.commits[ended] += 1
            if span is not None:
                span.end(ended)
            return failure
        except Fenced as fenced:
            await self._die(fenced)
        if span is not None:
            span.end()
        seconds = shard.clock.monotonic() - began
        shard.measures.committed(seconds, len(entries), [row.event_type for row in batch.journal])
        shard.confirmed_at = max(shard.confirmed_at, began)
        self.committed += 1
        self.entries += len(entries)
        return None

    def _span(self, entries: Sequence[Entry]) -> Span | None:
        """One for the batch: below the first traced command's wait in the gate, linked to all others'."""
        tracer = self._shard.tracer
        if tracer is None:
            return None
        traced = [entry.span.traceparent for entry in entries if entry.span is not None]
        if not traced:
            return None
        return tracer.start(f"commit {self._shard.kind.kind}", traced[0], traced[1:], commands=len(entries))

    async def _die(self, fenced: Fenced) -> None:
        self._shard.fenced(fenced)
        await asyncio.Future()  # nothing of this shard may run on

    def _land(self) -> None:
        shard = self._shard
        landed = shard.gate.committed()
        if self._took is not None:
            shard.measures.gate_wait_s.observe(shard.clock.monotonic() - self._took)
            self._took = None
        if shard.may_speak():
            shard.release(landed)
        else:
            shard.hold(landed)

    def _checkpoints(self, entries: Iterable[Entry]) -> list[Checkpoint]:
        shard = self._shard
        cells = {entry.cell.id: entry.cell for entry in entries if entry.changes}
        must = {entry.cell.id for entry in entries if entry.closes_the_past}
        return [shard.checkpoint(cell) for id_, cell in cells.items() if id_ in must or shard.due_for_checkpoint(cell)]

    # -- what can go wrong ----------------------------------------------------------------------------------------

    async def _recover(self, failure: CommitAborted | CommitUnknown, entries: Sequence[Entry]) -> None:
        shard = self._shard
        self.recovering = True
        if await self._came_through(failure, entries):
            self._land()
        else:
            await self._roll_back(failure)
        self.recovering = False
        shard.resume()

    async def _came_through(self, failure: CommitAborted | CommitUnknown, entries: Sequence[Entry]) -> bool:
        """Whether a commit that ended badly is in storage nevertheless: one row of it tells for all."""
        if not isinstance(failure, CommitUnknown):
            log.warning("a commit was aborted: %s", failure)
            return False
        log.warning("a commit's outcome is unknown: %s", failure)
        self._shard.gate.doubtful()
        await self._settle()
        row = next((row for entry in entries for row in entry.journal), None)
        return row is not None and await self._shard.activation.stored_seq(row.entity_id) >= row.seq

    async def _roll_back(self, failure: CommitAborted | CommitUnknown) -> None:
        shard = self._shard
        flown, filled = self._undo()
        again = [entry.work for entry in flown]
        cells = list({entry.cell.id: entry.cell for entry in (*flown, *filled)}.values())
        if isinstance(failure, CommitAborted) and not failure.data_error:
            again = self._tell_unavailable(flown)
            if again:
                await asyncio.sleep(
                    SETTLE_PAUSE_S
                )  # a full disk answers fast, and what the runtime asks is asked again
        again += [entry.work for entry in filled]
        await shard.activation.load(cells)
        if isinstance(failure, CommitAborted) and failure.data_error:
            for work in again:
                await self._decide_alone(work)
        else:
            self._wait_first(again)

    def _undo(self) -> tuple[list[Entry], list[Entry]]:
        """What flew and what filled; their entities are to be loaded. What storage has nothing of goes back by itself."""
        flown, filled = self._shard.gate.failed()
        self._opened = self._took = None
        self._rows = 0
        for entry in reversed((*flown, *filled)):
            entry.cell.ready = False
            entry.cell.live = entry.live
            if entry.span is not None:
                entry.span.end("undone")
        return flown, filled

    async def _settle(self) -> None:
        shard, pause = self._shard, SETTLE_PAUSE_S
        since = shard.clock.monotonic()
        while True:
            began = shard.clock.monotonic()
            try:
                await shard.store.settle()
            except StoreDown as down:
                log.warning("storage does not answer: %s", down)
                shard.lose_patience(since)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            except Fenced as fenced:
                await self._die(fenced)
            else:
                shard.confirmed_at = max(shard.confirmed_at, began)
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

    def _wait_first(self, works: Iterable[Work]) -> None:
        """To be decided again, in order, before anything that came later. Claims that were made are still ours."""
        by_cell: dict[str, list[Work]] = {}
        for work in works:
            by_cell.setdefault(work.entity, []).append(work)
        for entity, again in by_cell.items():
            self._shard.cells[entity].mailbox.extendleft(reversed(again))

    async def _decide_alone(self, work: Work) -> None:
        """A transaction for one work; if storage refuses the content then this is the guilty one."""
        shard = self._shard
        cell = shard.cells[work.entity]
        while True:
            refusal = await shard.handle_alone(cell, work)
            if refusal is not None:
                shard.refuse(work, refusal)
                return
            entries = self._takeoff()
            if not entries:
                return
            failure = await self._commit(entries)
            if failure is None or await self._came_through(failure, entries):
                self._land()
                return
            self._undo()
            await shard.activation.load([cell])
            if isinstance(failure, CommitUnknown):
                continue
            if work.peer is not None or failure.data_error:
                shard.refuse(work, self._verdict(failure, cell, work))
                return
            await asyncio.sleep(SETTLE_PAUSE_S)

    def _verdict(self, failure: CommitAborted, cell: Cell, work: Work) -> SanghaError:
        if not failure.data_error:
            return StorageUnavailable("storage failed; nothing was changed, try again")
        if failure.disagrees:  # it was decided on what storage has: the entity itself is wrong
            return self._shard.internal(cell, work, failure)
        if work.peer is None:
            log.error("%s: storage refuses what the runtime asked (%s): %s", cell.stream, work.what, failure)
        return Conflict(str(failure)) if failure.conflict else Invalid(str(failure))

    async def drained(self) -> None:
        """Wait until nothing fills and nothing flies."""
        while not self.idle:
            await self._idle.wait()
            await asyncio.sleep(0)

    async def clean(self, entity: str) -> None:
        """Wait until nothing of an entity is uncommitted, and no recovery is about to load it."""
        while self._shard.gate.is_dirty(entity) or self.recovering:
            await self._idle.wait()
            await asyncio.sleep(0)


def make_batch(entries: Sequence[Entry], checkpoints: list[Checkpoint]) -> Batch:
    """What a transaction writes for these entries: by key, the last alarm, and a row with the last word on each column."""
    journal: list[JournalRow] = []
    rows: dict[tuple[str, str], Upsert | Delete] = {}
    alarms: dict[tuple[str, str], Alarm] = {}
    versions: dict[str, _Table] = {}
    claims, purges, trims = [], [], []
    for entry in entries:
        journal += entry.journal
        for row in entry.rows:
            if isinstance(row, (Begin, End)):  # first: there may be tens of thousands
                table = versions.get(row.table)
                if table is None:
                    table = versions[row.table] = _Table()
                table.add(row)
            elif isinstance(row, Purge):
                purges.append(row)
            elif isinstance(row, Trim):
                trims.append(row)
            else:
                key = row.table, row.id if isinstance(row, Delete) else str(row.values["id"])
                rows[key] = _merged(rows.get(key), row)
        claims += entry.claims
        for alarm in entry.alarms:
            alarms[alarm.entity_id, alarm.name] = alarm
    return Batch(
        journal=journal,
        rows=[rows[key] for key in sorted(rows)],
        claims=claims,
        alarms=[alarms[key] for key in sorted(alarms)],
        checkpoints=checkpoints,
        purges=purges,
        versions=[versions[name].folded(name) for name in sorted(versions)],
        trims=trims,
        forgets=[Forget(entity_id=entry.cell.id, limit=entry.forget) for entry in entries if entry.forget],
    )


def _merged(before: Upsert | Delete | None, row: Upsert | Delete) -> Upsert | Delete:
    if isinstance(row, Upsert) and isinstance(before, Upsert):
        return Upsert(table=row.table, values={**before.values, **row.values})  # a row may name few columns
    return row


class _Table:
    """What entries do to a versioned table, in order."""

    __slots__ = ("begins", "ends")

    def __init__(self) -> None:
        self.begins: list[Begin] = []
        self.ends: list[End] = []

    def add(self, row: Begin | End) -> None:
        """The next of them."""
        if isinstance(row, Begin):
            self.begins.append(row)
        else:
            self.ends.append(row)

    def folded(self, table: str) -> Versions:
        """An end whose row begins in the same batch goes into that row."""
        if not self.ends:
            return Versions(table=table, begins=[(*begin.values, LIVE, None) for begin in self.begins])
        width = len(self.ends[0].key) + 1
        ends: dict[tuple[Any, ...], End] = {}
        # What ends twice goes to storage too, which will find that there is no such row any more.
        twice = [end for end in self.ends if ends.setdefault((*end.key, end.since), end) is not end]
        begins: list[tuple[Any, ...]] = []
        for begin in self.begins:
            ended = ends.pop(begin.values[:width], None)
            begins.append((*begin.values, LIVE, None) if ended is None else (*begin.values, ended.until, ended.at))
        return Versions(table=table, begins=begins, ends=[*ends.values(), *twice])

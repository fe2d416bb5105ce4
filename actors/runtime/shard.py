"""A shard: mailbox → decide → commit → release → passivate, for the entities of one kind that live in this process.

Everything that touches an entity happens in this event loop's thread, in the order of its mailbox; only loading, a claim, a
look-up and the commit itself wait. Division of labour: ``cell`` is the data of one entity, ``gate`` says what may leave,
``Activation`` loads entities and puts them to rest, ``Commits`` moves batches through the store and recovers from what goes
wrong, ``Effects`` sends what entities owe to others, ``Followers`` answers what links ask of streams (a module each). This
one takes works to their entities and releases what came of them.

Time: a shard whose lease was last confirmed more than ``LEASE_S`` ago may have been replaced while it was stopped, so it
says nothing, reads included, until storage confirms that it still owns its entities.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

import msgspec

from actors.runtime import wire
from actors.runtime.activation import Activation
from actors.runtime.cell import EFFECTS_ALARM, Cell, Entry, Outlet, Work, alarm_changes, encode_json, event_frame
from actors.runtime.commits import Commits
from actors.runtime.effects import ALARM_AFTER, Effects, Post
from actors.runtime.entity import (
    EVERYTHING,
    AlarmFired,
    Attached,
    ConfirmClaim,
    Context,
    Decision,
    Detached,
    EntityKind,
    Push,
    ReleaseClaim,
    Subscriber,
    Tick,
    versioned,
)
from actors.runtime.errors import ActorUnavailable, Conflict, Draining, Internal, SanghaError, StorageUnavailable
from actors.runtime.followers import Followers
from actors.runtime.gate import Gate
from actors.runtime.measures import ShardMeasures
from actors.runtime.operations import REUSED, WINDOW, OperationMemory, Verdict, split
from actors.runtime.ports import Alarm, Checkpoint, Claim, Clock, Fenced, JournalRow, Store, StoreDown, Unreadable
from actors.runtime.trace import Span, Tracer, end, request_id
from actors.runtime.wire import Answer, Ask, Dropped, Follow, History, Page, Pushed, Refused, Unfollow

log = logging.getLogger(__name__)

LEASE_S: Final = 3.0
"""How long a confirmation lets the shard speak; the coordinator waits as long before it replaces a silent one."""
CLAIM_TTL_S: Final = 60.0
NOTHING_DECIDED: Final = Decision()
CONFIRM_PAUSE_S: Final = 0.2
TURN_S: Final = 0.1
"""How long a mailbox is handled before the loop's other callbacks are."""
PARKED_MAX: Final = 64
"""Of one entity: who waits is counted in the shard's queue, which is there for all."""
LOAD_PATIENCE_S: Final = 5.0
"""Without storage, callers wait this long for an entity to be loaded, or for a recovery, before they are told."""


class ShardLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that bind a shard."""

    queue: int = 10_000
    live_entities: int = 20_000
    passivate_after_s: float = 300.0
    checkpoint_every: int = 500


class Shard:
    """See the module. ``halt`` is called once, when the lease is another's: the process must end."""

    def __init__(
        self,
        kind: EntityKind,
        store: Store,
        *,
        clock: Clock,
        post: Post,
        halt: Callable[[str], None],
        owns: Callable[[str], bool] = lambda _: True,
        limits: ShardLimits | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        self.kind, self.store, self.clock, self.limits = kind, store, clock, limits or ShardLimits()
        self.cells: dict[str, Cell] = {}
        self.gate: Gate[Entry] = Gate()
        self.measures, self.tracer = ShardMeasures(), tracer
        self.waiting = 0
        self.confirmed_at = float("-inf")
        self._halt = halt
        self._traces = log.isEnabledFor(logging.DEBUG)
        self._unconfirmed: list[Entry] = []
        self._releasing = False
        self._fenced = self.stopped = False
        self.alarm_handled: Callable[[str, str], None] = lambda _entity, _name: None
        self._backlog: list[Work] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.activation = Activation(self, owns)
        self.effects = Effects(self, post)
        self.commits = Commits(self)
        self.followers = Followers(self)
        self._loop = asyncio.get_running_loop()

    # -- what links say -------------------------------------------------------------------------------------------

    def link_opened(self, link: Outlet) -> None:
        """A peer proved itself; it says what it follows."""
        self.followers.opened(link)

    def link_closed(self, link: Outlet) -> None:
        """Everyone who followed through the link is detached; what was parked for it is asked again through the next."""
        self.followers.forget(link)
        for cell in self.cells.values():
            if cell.parked:
                kept = [work for work in cell.parked if work.peer is not link]
                self.waiting -= len(cell.parked) - len(kept)
                cell.parked = kept

    def link_message(self, link: Outlet, message: wire.ToShard) -> None:
        """One message of a link, in order."""
        match message:
            case Ask():
                self._ask(link, message)
            case Page() | History():
                self.submit(Work(message.entity, message, peer=link, cid=message.cid, caller=message.caller))
            case Follow() | Unfollow():
                self.submit(Work(message.entity, (link, message)))

    def _ask(self, link: Outlet, ask: Ask) -> None:
        try:
            command = self.kind.decode_command(ask.command)
        except SanghaError as refusal:
            link.send(refused(ask.cid, refusal))
            return
        operation = ask.operation
        if operation is None and self.kind.claims(command):
            operation = f"once:{secrets.token_hex(16)}"  # a claim is an operation's, also where nobody will ask again
        digest = b""
        if operation is not None:
            digest = blake2b(self.kind.request(command, ask.command), digest_size=8).digest()
        self.submit(
            Work(
                ask.entity,
                command,
                peer=link,
                cid=ask.cid,
                caller=ask.caller,
                operation=operation,
                digest=digest,
                request_id=ask.request_id,
                snapshot=ask.snapshot,
                trace=ask.trace,
            )
        )

    # -- mailboxes ------------------------------------------------------------------------------------------------

    def submit(self, work: Work) -> None:
        """Take a work to its entity, loading it first where it is not live."""
        if self.stopped:
            if work.peer is not None:
                work.peer.send(refused(work.cid, Draining("this shard stops; try again")))
            return
        if work.peer is not None:
            if self.waiting >= self.limits.queue:
                self.measures.refusals[type(work.what), ActorUnavailable.code] += 1
                work.peer.send(refused(work.cid, ActorUnavailable("too many commands wait in this shard; try again")))
                return
            self.waiting += 1
        if self.commits.recovering or self._releasing:
            self._backlog.append(work)
            return
        cell = self.cells.get(work.entity) or self.activation.activate(work)
        if cell is None:
            return
        cell.used_at = self.clock.monotonic()
        if cell.ready and not cell.mailbox and not self.commits.full:
            if not self.handle(cell, work):
                self._pause(cell, work)
        else:
            cell.mailbox.append(work)

    def resume(self) -> None:
        """After a recovery: what waited, in order."""
        for cell in list(self.cells.values()):
            self.drain(cell)
            self.unpark(cell)
        self._take_backlog()

    def _take_backlog(self) -> None:
        backlog, self._backlog = self._backlog, []
        for work in backlog:
            self.waiting -= work.peer is not None
            self.submit(work)

    def drain(self, cell: Cell) -> None:
        """Handle what waits in the mailbox until something has to be waited for. Where that takes long, all else has its turn in
        between: a shard that does not answer for three seconds is killed, and what waited would wait again."""
        until = self._loop.time() + TURN_S
        while cell.mailbox and cell.ready and not (self.commits.recovering or self.commits.full or self.stopped):
            work = cell.mailbox.popleft()
            if not self.handle(cell, work):
                self._pause(cell, work)
            elif cell.mailbox and self._loop.time() > until:
                self._loop.call_soon(self.drain, cell)
                return

    def drain_all(self) -> None:
        """There is room again."""
        for cell in list(self.cells.values()):
            self.drain(cell)

    def lose_patience(self, began: float) -> None:
        """Storage has not answered since ``began``: after a while, callers whose commands were not yet decided are told."""
        if self.clock.monotonic() - began <= LOAD_PATIENCE_S:
            return
        self._backlog = self._refuse_callers(self._backlog)
        for cell in self.cells.values():
            if not cell.loads:
                cell.mailbox = deque(self._refuse_callers(cell.mailbox))

    def _refuse_callers(self, works: Iterable[Work]) -> list[Work]:
        """Tell the callers to try again. Returns what the runtime itself asked, which is not forgotten."""
        works = list(works)
        for work in works:
            self.refuse(work, StorageUnavailable("storage does not answer; try again"))
        return [work for work in works if work.peer is None]

    # -- one work -------------------------------------------------------------------------------------------------

    def handle(self, cell: Cell, work: Work) -> bool:
        """Decide a work, or answer it from memory. False, and nothing done, where storage has to be asked first."""
        if work.operation is None:
            if self.followers.must_read(cell, work):
                return False
            self._decide(cell, work)
            return True
        verdict, reply = cell.operations.judge(work.operation, work.digest)
        if verdict is Verdict.UNSURE:
            return False
        if verdict is Verdict.NEW:
            if not work.claimed and self.kind.claims(work.what):
                return False
            self._decide(cell, work)
            return True
        entry = Entry(cell, work)
        if verdict is Verdict.DONE:
            self.measures.repeated += 1
            entry.reply, entry.subscribes = reply, self.kind.subscribes(work.what)
        else:
            entry.refusal = Conflict(REUSED)
        self.enter(entry)
        return True

    def _pause(self, cell: Cell, work: Work) -> None:
        """Something has to be asked of storage before this work; what comes behind it waits."""
        cell.ready = False
        cell.mailbox.appendleft(work)
        self.spawn(self._prepare_and_go_on(cell, work, cell.loads))

    async def _prepare_and_go_on(self, cell: Cell, work: Work, loads: int) -> None:
        if cell.operations.doubtful and work.operation is not None:  # the journal cannot tell yet
            await self.commits.clean(cell.id)
        refusal = await self.prepare(cell, work)
        if cell.loads != loads or not cell.mailbox or cell.mailbox[0] is not work:
            return  # a recovery reloaded the cell meanwhile; it goes on from the mailbox
        cell.ready = True
        if refusal is not None:
            cell.mailbox.popleft()
            self.refuse(work, refusal)
        self.drain(cell)

    async def prepare(self, cell: Cell, work: Work) -> SanghaError | None:
        """Look an unsure operation up, claim the names that a command needs, or read what a link missed."""
        if work.operation is None:
            await self.followers.read(cell, work)
            return None
        try:
            if cell.operations.is_unsure(work.operation):
                known, waiting = cell.operations, (work, *cell.mailbox)  # what waits behind it is looked up with it
                asked = list({w.operation for w in waiting if w.operation is not None and known.is_unsure(w.operation)})
                cell.operations.learn(asked, await self.store.find_operations(cell.id, WINDOW, asked))
                return None
            for scope, name in self.kind.claims(work.what):
                if not await self.store.claim(scope, name, cell.id, work.operation, CLAIM_TTL_S):
                    return Conflict(f"this {scope.rpartition('.')[2]} is taken")
            work.claimed = True
        except StoreDown:
            return StorageUnavailable("storage does not answer; try again")
        except Fenced as fenced:
            self.fenced(fenced)
            return ActorUnavailable("this actor moved; try again")
        except Unreadable as why:
            return self.internal(cell, work, why)
        return None

    async def handle_alone(self, cell: Cell, work: Work) -> SanghaError | None:
        """Handle one work with nothing else going on; a refusal where it could not even be prepared."""
        while not self.handle(cell, work):
            refusal = await self.prepare(cell, work)
            if refusal is not None:
                return refusal
        if not cell.ready:
            await self.activation.load([cell])
        return None

    def _decide(self, cell: Cell, work: Work) -> None:
        """Let the entity decide, move its state on, and give what came of it to the gate."""
        if isinstance(work.what, (Page, History, tuple)):
            self.enter(Entry(cell, work))
            return
        if isinstance(work.what, AlarmFired) and work.what.name == EFFECTS_ALARM:
            self.enter(self.effects.alarm(cell, work))
            return
        now = self.clock.now()
        context = self.context(cell, now, work)
        entry, span = Entry(cell, work), self._span("decide", work)
        before = cell.state, cell.seq, cell.offset, cell.agenda, cell.live
        try:
            decision = self.kind.decide(cell.state, work.what, context)
            if decision.park:
                if len(cell.parked) >= PARKED_MAX:
                    raise ActorUnavailable("too many wait for this already; try again")  # noqa: TRY301 - as any refusal
                cell.parked.append(work)
                end(span, "parked")
                return
            self._apply(entry, decision, now)
        except Exception as problem:  # noqa: BLE001 - a bug in a domain must fail its command, not its neighbours
            if isinstance(problem, SanghaError) and entry.decision is None:
                entry.refusal = problem
            else:
                cell.state, cell.seq, cell.offset, cell.agenda, cell.live = before
                self._spoiled(cell, entry)
                entry = Entry(cell, work)
                entry.refusal = self.internal(cell, work, problem)
        if self._traces or (work.request_id is not None and (work.caller is None or work.caller.session is None)):
            self._trace(cell, work, entry)
        if span is not None:
            end(span, entry.refusal.code if entry.refusal is not None else "ok")
            if entry.changes or self.gate.is_dirty(cell.id):
                entry.span = self._span("gate", work, span.traceparent)
        self.enter(entry)

    def _spoiled(self, cell: Cell, entry: Entry) -> None:
        """A bug after the decision. A versioned kind's state may be half changed then: the cell takes up nothing more until it
        is what storage has, as after an abort. Ending the process would do the same to all of its entities, and again at each
        retry of the command."""
        if versioned(self.kind) is not None and entry.decision is not None and entry.decision.events:
            cell.ready = False
            if not self.commits.recovering:  # it goes on by itself, one work after the other (``handle_alone``)
                self.spawn(self._reload(cell))

    async def _reload(self, cell: Cell) -> None:
        await self.activation.reload(cell)
        self.drain(cell)

    def _span(self, step: str, work: Work, parent: str | None = None) -> Span | None:
        """A step of a traced command."""
        if self.tracer is None or work.trace is None:
            return None
        return self.tracer.start(f"{step} {self.kind.kind}", parent or work.trace, command=type(work.what).__name__)

    def context(self, cell: Cell, now: datetime, work: Work) -> Context:
        """What a decision may know."""
        return Context(
            entity_id=cell.id,
            now=now,
            next_offset=cell.offset + 1,
            caller=work.caller,
            operation=work.operation,
            present=cell.present,
            live=cell.live,
            request_id=work.request_id,
            seq=cell.seq,
            clean=not self.gate.is_dirty(cell.id),
        )

    def _apply(self, entry: Entry, decision: Decision, now: datetime) -> None:
        cell, work = entry.cell, entry.work
        if not self.gate.is_dirty(cell.id):
            cell.operations.settled()
        entry.reply = b"{}" if decision.reply is None else encode_json(decision.reply)
        entry.decision = decision
        entry.subscribes = decision.subscribe
        if decision.live is not None:
            cell.live = decision.live
        if decision.tick_after_s is not None:
            self._arm(cell, decision.tick_after_s)
        state_before = cell.state
        for event in decision.events:
            self._journal(entry, event, now)
        if cell.state is not state_before:
            agenda = self.kind.agenda(cell.state)
            entry.alarms = alarm_changes(cell.id, cell.agenda, agenda, now + ALARM_AFTER)
            cell.agenda = agenda
        if isinstance(work.what, AlarmFired) and work.what.name not in cell.agenda.alarms:
            entry.alarms.append(Alarm(entity_id=cell.id, name=work.what.name, due_at=None))
        if decision.forget:  # as after a load: what a journal no longer has is not answered from memory
            known = {} if decision.forget == EVERYTHING else cell.operations.sessions
            cell.operations = OperationMemory(known, doubtful=True)
        # What changed nothing is not in the journal. By a key it is remembered as long as the entity is live, for a retry would
        # else change what came after it; a session's are too many (pulses), and its client has the reply, or asks at once.
        if work.operation is not None and (entry.journal or split(work.operation) is None):
            cell.operations.record(work.operation, work.digest, entry.reply, int(now.timestamp()))
        entry.state, entry.offset, entry.agenda = cell.state, cell.offset, cell.agenda

    def _journal(self, entry: Entry, event: Any, now: datetime) -> None:
        """One event: the state moves on, a row, a frame, rows of the tables."""
        cell, work, kind = entry.cell, entry.work, self.kind
        cell.state = kind.evolve(cell.state, event, now)
        cell.seq += 1
        published = kind.publish(event)
        offset: int | None = None
        if published is not None:
            cell.offset += 1
            offset = cell.offset
            entry.frames.append((offset, event_frame(cell.stream, offset, now, published)))
        first = not entry.journal and work.operation is not None
        entry.journal.append(
            JournalRow(
                entity_id=cell.id,
                seq=cell.seq,
                at=now,
                event_type=kind.event_type(event),
                format=kind.format,
                data=kind.encode_event(event),
                operation_id=work.operation if first else None,
                request_digest=work.digest if first else None,
                reply=entry.reply if first else None,
                stream_offset=offset,
            )
        )
        for row in kind.rows(event, cell.state, now):
            if isinstance(row, (ConfirmClaim, ReleaseClaim)):
                confirm = isinstance(row, ConfirmClaim)
                entry.claims.append(Claim(scope=row.scope, name=row.name, entity_id=cell.id, confirm=confirm))
            else:
                entry.rows.append(row)

    def internal(self, cell: Cell, work: Work, bug: Exception) -> Internal:
        """Our fault: logged with its trace under a reference, which is all that the caller is told."""
        reference = secrets.token_hex(6)
        token = request_id.set(work.request_id or work.operation)
        log.error("internal error %s in %s deciding %s", reference, cell.stream, type(work.what).__name__, exc_info=bug)
        request_id.reset(token)
        return Internal(f"something went wrong here; reference {reference}")

    def _trace(self, cell: Cell, work: Work, entry: Entry) -> None:
        """A line a command: those that came over HTTP always, those of sockets (thousands a second) at level debug."""
        level = logging.DEBUG if self._traces else logging.INFO
        token = request_id.set(work.request_id or work.operation)
        outcome = entry.refusal.code if entry.refusal is not None else "ok"
        log.log(level, "%s %s %s", type(work.what).__name__, cell.stream, outcome)
        request_id.reset(token)

    # -- out ------------------------------------------------------------------------------------------------------

    def enter(self, entry: Entry) -> None:
        """Give an entry to the gate; release it where nothing holds it."""
        if self.gate.enter(entry.cell.id, entry, changes=entry.changes):
            self.commits.filled(len(entry.rows))
        elif self.may_speak():
            self.release([entry])
        else:
            self.hold([entry])

    def may_speak(self) -> bool:
        """Whether the lease was confirmed recently, and nothing older still waits to be said."""
        return not self._unconfirmed and self._fresh()

    def _fresh(self) -> bool:
        return not self._fenced and self.clock.monotonic() - self.confirmed_at <= LEASE_S

    def hold(self, entries: list[Entry]) -> None:
        """Nothing of this may be said before the lease is confirmed again."""
        if entries and not self._unconfirmed:
            self.spawn(self.confirmed())
        self._unconfirmed += entries

    async def confirmed(self) -> None:
        """Wait until the shard may speak: storage confirms the lease, then all that could not be said is said."""
        while not self.may_speak():
            if self._fenced:
                await asyncio.Future()
            began = self.clock.monotonic()
            try:
                await self.store.confirm()
            except Fenced as fenced:
                self.fenced(fenced)
                continue
            except StoreDown:
                await asyncio.sleep(CONFIRM_PAUSE_S)
                continue
            self.confirmed_at = max(self.confirmed_at, began)
            if self._fresh():
                entries, self._unconfirmed = self._unconfirmed, []
                self.release(entries)

    def release(self, entries: Iterable[Entry]) -> None:
        """Say what entries have to say, in order. What follows from it (who came, who went) is decided after all of them."""
        self._releasing = True
        try:
            for entry in entries:
                self._release(entry)
        finally:
            self._releasing = False
        if self._backlog and not self.commits.recovering:
            self._take_backlog()

    def _release(self, entry: Entry) -> None:
        """The answer, numbered pushes, unnumbered ones, who follows from now and who no more."""
        work = entry.work
        if isinstance(work.what, (Page, History, tuple)):
            self.followers.answer(entry)
            return
        if entry.refusal is None:
            self.measures.commands[type(work.what)] += 1
        else:
            self.measures.refusals[type(work.what), entry.refusal.code] += 1
        if entry.span is not None:
            entry.span.end()
        self._reply(entry)
        if entry.refusal is None:
            self._tell_followers(entry, entry.decision or NOTHING_DECIDED)
            self._follow_up(entry)
        if entry.journal and entry.cell.parked:
            self.unpark(entry.cell)

    def unpark(self, cell: Cell) -> None:
        """Something was committed (or the cell was reloaded): what waits for it is decided again."""
        parked, cell.parked = cell.parked, []
        for work in parked:
            self.waiting -= 1
            self.submit(work)

    def _tell_followers(self, entry: Entry, decision: Decision) -> None:
        cell, work = entry.cell, entry.work
        if decision.revises:
            cell.ring.clear()
        for offset, frame in entry.frames:
            cell.released(offset, frame)
            for link in cell.links:
                link.send(Pushed(cell.id, offset, frame))
        for push in decision.pushes:
            self.push(cell, push)
        if entry.subscribes:
            self.followers.join(entry)
        if isinstance(work.what, Attached):
            self.followers.greet(entry)
        if decision.unsubscribe:
            self._drop(cell, decision.unsubscribe)

    def _follow_up(self, entry: Entry) -> None:
        """What happens elsewhere because of it: effects go out, a handled alarm may fire anew."""
        cell, work = entry.cell, entry.work
        if isinstance(work.what, AlarmFired):
            self.alarm_handled(cell.id, work.what.name)
        if cell.issued:
            cell.issued.intersection_update(entry.agenda.effects)
        if entry.agenda.effects:
            parent = entry.span.traceparent if entry.span is not None else None
            self.effects.issue(cell, entry.agenda.effects.values(), parent)

    def _reply(self, entry: Entry) -> None:
        work = entry.work
        if work.peer is None:
            return
        self.waiting -= 1
        if entry.refusal is not None:
            work.peer.send(refused(work.cid, entry.refusal))
            return
        awaited = self.kind.awaits(work.what, work.operation, work.entity)
        if awaited is None:
            work.peer.send(Answer(work.cid, entry.reply or b"{}"))
        else:
            self.submit(
                Work(
                    work.entity,
                    awaited,
                    peer=work.peer,
                    cid=work.cid,
                    caller=work.caller,
                    request_id=work.request_id,
                    trace=work.trace,
                )
            )

    def push(self, cell: Cell, push: Push, only: Outlet | None = None) -> None:
        """An unnumbered push to every follower, to one session, or to those of one link."""
        frame = encode_json({"type": "event", "stream": cell.stream, "event": push.event, **push.fields})
        message = Pushed(cell.id, 0, frame, push.lane, push.key, push.to)
        for link in (only,) if only is not None else tuple(cell.links):
            if push.to is None or push.to in cell.links.get(link, ()):
                link.send(message)

    def _drop(self, cell: Cell, practitioners: Iterable[str]) -> None:
        everyone = practitioners == "all"
        chosen = None if everyone else set(practitioners)
        gone: list[Subscriber] = []
        for link, sessions in list(cell.links.items()):
            leaving = [s for s in sessions.values() if chosen is None or s.practitioner in chosen]
            for practitioner in [None] if everyone else {s.practitioner for s in leaving}:
                link.send(Dropped(cell.id, practitioner))
            for subscriber in leaving:
                cell.remove_follower(link, subscriber.session)
            gone += leaving
        if gone:
            self.submit(Work(cell.id, Detached(sessions=tuple(gone))))

    def refuse(self, work: Work, refusal: SanghaError) -> None:
        """Answer a work that is not decided."""
        if work.peer is not None:
            self.measures.refusals[type(work.what), refusal.code] += 1
            self.waiting -= 1
            work.peer.send(refused(work.cid, refusal))

    # -- timers, checkpoints, the end -----------------------------------------------------------------------------------

    def _arm(self, cell: Cell, after_s: float) -> None:
        """The earliest wish for a tick stands."""
        at = self._loop.time() + after_s
        if cell.tick is not None:
            if cell.tick_at <= at:
                return
            cell.tick.cancel()
        cell.tick_at = at
        cell.tick = self._loop.call_at(at, self._ticked, cell)

    def _ticked(self, cell: Cell) -> None:
        cell.tick = None
        if self.cells.get(cell.id) is cell:
            self.submit(Work(cell.id, Tick()))

    def checkpoint(self, cell: Cell) -> Checkpoint:
        """The cell's whole state now, for the batch that holds its last change."""
        now = self.clock.now()
        data = self.kind.encode_state(cell.state)
        cell.checkpoint_seq, cell.checkpoint_bytes = cell.seq, len(data)
        return Checkpoint(
            entity_id=cell.id,
            seq=cell.seq,
            stream_offset=cell.offset,
            at=now,
            format=self.kind.format,
            data=data,
            sessions=cell.operations.current_sessions(int(now.timestamp())),
        )

    def due_for_checkpoint(self, cell: Cell) -> bool:
        """Every so many events, more for a large state, so that checkpoints stay a small part of what is written."""
        every = max(self.limits.checkpoint_every, cell.checkpoint_bytes // 64)
        return cell.seq - cell.checkpoint_seq >= every

    def fenced(self, reason: Exception) -> None:
        """Another owns what is ours: say and write nothing more."""
        if not self._fenced:
            self._fenced = True
            self._halt(str(reason))

    def spawn(self, coroutine: Any) -> asyncio.Task[None]:
        """A task that is kept until it ends and whose failure is not lost."""
        task: asyncio.Task[None] = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.critical("a shard's task failed; the process ends", exc_info=failure)
            self._halt(f"{type(failure).__name__}: {failure}")

    @property
    def has_unsaid(self) -> bool:
        """Whether something still waits for the lease to be confirmed."""
        return bool(self._unconfirmed)

    @property
    def idle(self) -> bool:
        """Nothing is uncommitted and nobody waits."""
        return self.commits.idle and not self.waiting and not self._unconfirmed

    async def keep_lease(self) -> None:
        """Confirm once a second what no commit has confirmed; put idle entities to rest. Runs for ever."""
        while True:
            await asyncio.sleep(1.0)
            self.activation.passivate()
            began = self.clock.monotonic()
            if began - self.confirmed_at < 1.0 or self.commits.recovering:
                continue
            try:
                await self.store.confirm()
                self.confirmed_at = max(self.confirmed_at, began)
            except Fenced as fenced:
                self.fenced(fenced)
            except StoreDown as down:
                log.warning("storage does not answer: %s", down)

    async def stop(self) -> None:
        """Finish what is in flight; then nothing of this shard runs any more, and who asks is told to come back."""
        await self.commits.drained()
        self.stopped = True
        for cell in self.cells.values():
            self.unpark(cell)
        for task in list(self._tasks):
            task.cancel()


def refused(cid: int, refusal: SanghaError) -> Refused:
    """An error as it crosses a link."""
    errors = [(e.path, e.message) for e in refusal.errors]
    return Refused(cid, refusal.code, refusal.message, errors, refusal.retry_after_s)

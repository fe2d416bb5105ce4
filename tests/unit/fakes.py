"""A shard in a test tube: a tiny kind of entity, a store whose commits end as scripted, held time, recording links."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

import msgspec

from actors.runtime.codec import Codec, CommandCodec, tag_of
from actors.runtime.entity import (
    Address,
    Agenda,
    AlarmFired,
    Attached,
    Caller,
    ConfirmClaim,
    Context,
    Decision,
    Detached,
    Effect,
    EffectDone,
    Published,
    Push,
    Row,
    Struct,
    Subscriber,
)
from actors.runtime.errors import Forbidden, Full
from actors.runtime.ports import Batch, CommitAborted, CommitUnknown, Fenced, JournalRow, Loaded, StoreDown
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Answer, Ask, Following, Paged, Pushed, Refused, Resynced
from storage.memory import MemoryDatabase, MemoryStore

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Command(Struct, tag=True):
    """What can be asked of a log."""


class Add(Command):
    text: str


class Note(Command):
    """Durable, but nobody is pushed."""

    text: str


class Read(Command):
    pass


class Join(Command):
    pass


class Leave(Command):
    pass


class Wave(Command):
    """Pushes to all, changes nothing."""


class Refuse(Command):
    pass


class Crash(Command):
    """A bug in the domain; ``late`` is one that shows only when the state moves on."""

    late: bool = False


class Owe(Command):
    """Begin an effect on another entity."""

    id: str


class Promise(Command):
    """Begin an effect, and be answered when it is done. ``hint`` is no part of what a retry must repeat."""

    id: str
    hint: str = ""


class Await(Command):
    """Be answered when the effect is done."""

    id: str


class Wake(Command):
    """Set an alarm so many seconds from now."""

    name: str
    after_s: float


class Name(Command):
    """Take a unique name."""

    name: str


class Forget(Command):
    """Journal that it goes, and let the oldest so many events go with it."""

    most: int


class Revise(Command):
    """What a text was is not told any more."""

    text: str


class Event(Struct, tag=True):
    text: str = ""


class Added(Event):
    pass


class Noted(Event):
    pass


class Joined(Event):
    pass


class Left(Event):
    pass


class Owed(Event):
    pass


class Paid(Event):
    pass


class WakeSet(Event, kw_only=True):
    at: datetime


class Woken(Event):
    pass


class Named(Event):
    pass


class Crashed(Event):
    pass


class Forgotten(Event):
    pass


class Revised(Event):
    pass


class LogState(Struct):
    items: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    owed: tuple[str, ...] = ()
    wakes: Mapping[str, datetime] = {}
    names: tuple[str, ...] = ()
    unsaid: tuple[str, ...] = ()


_commands: CommandCodec[Any] = CommandCodec(
    Add | Note | Read | Join | Leave | Wave | Refuse | Crash | Owe | Promise | Await | Wake | Name | Forget | Revise
)
_events: Codec[Any] = Codec(
    Added | Noted | Joined | Left | Owed | Paid | WakeSet | Woken | Named | Crashed | Forgotten | Revised, 1
)
_states: Codec[Any] = Codec(LogState, 1)


class LogKind:
    """Texts in order; who joined; effects, alarms and names for the taking."""

    kind: ClassVar[str] = "log"
    format: ClassVar[int] = 1
    sealed: ClassVar[bool] = False

    def initial(self, entity_id: str) -> LogState:
        return LogState()

    def decode_command(self, data: bytes) -> Any:
        return _commands.decode(data)

    def subscribes(self, command: Any) -> bool:
        return isinstance(command, Join)

    def request(self, command: Any, data: bytes) -> bytes:
        return command.id.encode() if isinstance(command, Promise) else data

    def awaits(self, command: Any, operation: str | None, entity_id: str) -> Any | None:
        return Await(command.id) if isinstance(command, Promise) else None

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        return [("log.name", command.name)] if isinstance(command, Name) else []

    def decide(self, state: LogState, command: Any, context: Context) -> Decision:  # noqa: C901 - a table of small answers
        who = context.caller.practitioner if context.caller else ""
        offset = {"offset": context.next_offset}
        match command:
            case Add(text=text):
                return Decision(events=[Added(text=text)], reply=offset, live=(context.live or 0) + 1)
            case Note(text=text):
                return Decision(events=[Noted(text=text)])
            case Read():
                return Decision(reply={"items": state.items})
            case Join():
                events = [] if who in state.members else [Joined(text=who)]
                return Decision(events=events, reply={"offset": context.next_offset - 1 + len(events)}, subscribe=True)
            case Leave():
                return Decision(events=[Left(text=who)], unsubscribe=[who])
            case Wave():
                return Decision(pushes=[Push(event="wave", fields={"seen": len(state.items)})])
            case Refuse():
                raise Full(f"{len(state.items)} items")
            case Crash(late=late):
                if late:
                    return Decision(events=[Added(text="before the crash"), Crashed()])
                raise RuntimeError("a bug")
            case Owe(id=id_) | Promise(id=id_):
                return Decision(events=[Owed(text=id_)])
            case Await(id=id_):
                return Decision(park=True) if id_ in state.owed else Decision(reply={"paid": id_})
            case EffectDone(id=id_):
                return Decision(events=[Paid(text=id_)] if id_ in state.owed else [])
            case Wake(name=name, after_s=after_s):
                return Decision(events=[WakeSet(text=name, at=context.now + timedelta(seconds=after_s))])
            case AlarmFired(name=name):
                return Decision(events=[Woken(text=name)] if name in state.wakes else [])
            case Name(name=name):
                return Decision(events=[Named(text=name)])
            case Forget(most=most):
                return Decision(events=[Forgotten()], forget=most)
            case Revise(text=text):
                return Decision(events=[Revised(text=text)], revises=True)
            case Attached() | Detached():
                here = sorted(context.present)
                return Decision(
                    pushes=[Push(event=type(command).__name__, fields={"here": here, "n": len(state.items)})]
                )
        return Decision()

    def evolve(self, state: LogState, event: Any, at: datetime) -> LogState:  # noqa: C901 - a line an event
        change = msgspec.structs.replace
        match event:
            case Added(text=text):
                return change(state, items=(*state.items, text))
            case Joined(text=who):
                return change(state, members=(*state.members, who))
            case Left(text=who):
                return change(state, members=tuple(one for one in state.members if one != who))
            case Owed(text=id_):
                return change(state, owed=(*state.owed, id_))
            case Paid(text=id_):
                return change(state, owed=tuple(one for one in state.owed if one != id_))
            case WakeSet(text=name, at=due):
                return change(state, wakes={**state.wakes, name: due})
            case Woken(text=name):
                return change(state, wakes={key: due for key, due in state.wakes.items() if key != name})
            case Named(text=name):
                return change(state, names=(*state.names, name))
            case Revised(text=text):
                return change(state, unsaid=(*state.unsaid, text))
            case Crashed():
                raise RuntimeError("a late bug")
        return state

    def rows(self, event: Any, state: LogState, at: datetime) -> Iterable[Row]:
        return [ConfirmClaim(scope="log.name", name=event.text)] if isinstance(event, Named) else []

    def agenda(self, state: LogState) -> Agenda:
        effects = {id_: Effect(id=id_, target=Address("other", "o"), command=id_.encode()) for id_ in state.owed}
        return Agenda(alarms=state.wakes, effects=effects)

    def publish(self, event: Any) -> Published | None:
        if not isinstance(event, (Added, Joined, Left)):
            return None
        return Published(event=type(event).__name__.lower(), body=event.text)

    def shown(self, published: Published, state: LogState) -> Published:
        return msgspec.structs.replace(published, body="…") if published.body in state.unsaid else published

    def snapshot(self, state: LogState, context: Context) -> Any:
        return {"items": state.items}

    def greeting(self, state: LogState, context: Context) -> Sequence[Push]:
        return [Push(event="greeting", fields={"here": sorted(context.present)})]

    def may_read(self, state: LogState, context: Context) -> None:
        if context.caller is not None and context.caller.practitioner == "nosy":
            raise Forbidden("not for you")

    def event_type(self, event: Any) -> str:
        return tag_of(event)

    def encode_event(self, event: Any) -> bytes:
        return _events.encode(event)

    def decode_event(self, format_: int, data: bytes) -> Any:
        return _events.decode(format_, data)

    def encode_state(self, state: LogState) -> bytes:
        return _states.encode(state)

    def decode_state(self, format_: int, data: bytes) -> LogState:
        state: LogState = _states.decode(format_, data)
        return state


class HeldClock:
    """Stands still until moved."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.passed_s)

    def monotonic(self) -> float:
        return self.passed_s


class ScriptedStore(MemoryStore):
    """Its commits end as ``outcomes`` say, in turn, and well after the last.

    ok, aborted, unknown-there, unknown-gone, lost (unknown, and down from then on), fenced, down. A text in ``guilty`` is
    a data error wherever it stands. ``gate`` cleared holds commits back.
    """

    def __init__(self, database: MemoryDatabase, kind: str = "log") -> None:
        super().__init__(database, kind=kind, layout="shared:1", shard=0)
        self.outcomes: deque[str] = deque()
        self.guilty: set[str] = set()
        self.batches: list[Batch] = []
        self.loads: list[list[str]] = []
        self.looked_up: list[list[str]] = []
        self.down = False
        self.fence = False
        self.confirms = 0
        self.on_confirm: Callable[[], None] = lambda: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.pages = asyncio.Event()
        self.pages.set()
        self.paged = 0
        self.live: list[tuple[str, Any]] = []
        self.on_live: Callable[[], None] = lambda: None
        self.held: dict[str, asyncio.Event] = {}

    def _reach(self) -> None:
        if self.fence:
            raise Fenced("another's")
        if self.down:
            raise StoreDown("down")

    async def commit(self, batch: Batch) -> None:
        self.batches.append(batch)
        await asyncio.sleep(0)
        await self.gate.wait()
        self._reach()
        outcome = self.outcomes.popleft() if self.outcomes else "ok"
        if outcome == "aborted":
            raise CommitAborted("the disk is full")
        if outcome == "fenced":
            raise Fenced("another's")
        if outcome == "down":
            raise StoreDown("down")
        self.down = outcome == "lost"
        if outcome in ("unknown-gone", "lost"):
            raise CommitUnknown("the connection ended")
        for row in batch.journal:
            if json.loads(row.data).get("text") in self.guilty:
                raise CommitAborted("a bad value", data_error=True)
        await super().commit(batch)
        if outcome == "unknown-there":
            raise CommitUnknown("the connection ended")

    async def confirm(self) -> None:
        self.confirms += 1
        self.on_confirm()
        await asyncio.sleep(0)
        self._reach()
        await super().confirm()

    async def settle(self) -> None:
        await asyncio.sleep(0)
        self._reach()
        await super().settle()

    async def load(self, entity_ids: Sequence[str]) -> Mapping[str, Loaded]:
        self.loads.append(list(entity_ids))
        await asyncio.sleep(0)
        self._reach()
        return await super().load(entity_ids)

    async def page(self, entity_id: str, after: int, limit: int, max_bytes: int) -> Sequence[JournalRow]:
        self.paged += 1
        await asyncio.sleep(0)
        await self.pages.wait()
        self._reach()
        return await super().page(entity_id, after, limit, max_bytes)

    async def load_live(self, entity_id: str, table: str, after: Any = None) -> Sequence[tuple[Any, ...]]:
        self.live.append((entity_id, after))
        await asyncio.sleep(0)
        self.on_live()
        if entity_id in self.held:
            await self.held[entity_id].wait()
        self._reach()
        return await super().load_live(entity_id, table, after)

    async def find_operations(self, entity_id: str, window: int, operation_ids: Sequence[str]) -> Any:
        self.looked_up.append(list(operation_ids))
        await asyncio.sleep(0)
        self._reach()
        return await super().find_operations(entity_id, window, operation_ids)

    async def claim(self, scope: str, name: str, entity_id: str, operation_id: str, ttl_s: float) -> bool:
        await asyncio.sleep(0)
        self._reach()
        return await super().claim(scope, name, entity_id, operation_id, ttl_s)


class Link:
    """An Outlet that keeps what was sent."""

    def __init__(self, name: str = "gateway") -> None:
        self.name = name
        self.got: list[Any] = []

    def send(self, message: Any) -> None:
        self.got.append(message)

    def taken(self) -> list[Any]:
        got, self.got = self.got, []
        return got

    def answers(self) -> dict[int, Any]:
        """By cid; who is answered twice fails the test."""
        found: dict[int, Any] = {}
        for message in self.got:
            if isinstance(message, (Answer, Refused, Paged)):
                assert message.cid not in found, f"{message.cid} was answered twice"
                found[message.cid] = message
        return found

    def offsets(self, entity: str = "e") -> list[int]:
        """Numbered pushes as they came."""
        return [m.offset for m in self.got if isinstance(m, Pushed) and m.offset and m.entity == entity]

    def words(self) -> list[str]:
        """What came, in short."""
        return [word_of(message) for message in self.got]


def word_of(message: Any) -> str:
    match message:
        case Answer():
            return f"answer {message.cid}"
        case Refused():
            return f"{message.code} {message.cid}"
        case Pushed(offset=0):
            return str(json.loads(message.frame)["event"])
        case Pushed():
            return f"push {message.offset}"
        case Following():
            return f"following {message.offset}"
        case Resynced():
            return f"resynced {message.offset}" + (" snapshot" if message.snapshot else "")
        case Paged():
            return f"paged {len(message.frames)} through {message.through}" + (" snapshot" if message.snapshot else "")
    return type(message).__name__.lower()


class RecordingPost:
    """Where effects go: kept with whom to tell."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Callable[[Any], None]]] = []

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        self.sent.append((operation, on_answer))

    @property
    def operations(self) -> list[str]:
        return [operation for operation, _ in self.sent]


class World:
    """One shard on one database, restartable. ``link`` is a gateway's."""

    kind: Any = LogKind()
    encode = staticmethod(_commands.encode)

    def __init__(self, **limits: Any) -> None:
        self.clock = HeldClock()
        self.database = MemoryDatabase(now=self.clock.now)
        self.limits = ShardLimits(**limits)
        self.cid = 0

    async def start(self) -> World:
        """Also again: then what was is forgotten, as when the process was killed."""
        self.store = ScriptedStore(self.database, self.kind.kind)
        await self.store.acquire()
        self.post = RecordingPost()
        self.halted: list[str] = []
        self.shard = Shard(
            self.kind, self.store, clock=self.clock, post=self.post, halt=self.halted.append, limits=self.limits
        )
        self.shard.confirmed_at = self.clock.monotonic()
        self.link = self.open()
        return self

    def open(self, name: str = "gateway") -> Link:
        link = Link(name)
        self.shard.link_opened(link)
        return link

    def ask(
        self,
        command: Any,
        operation: str | None = None,
        *,
        entity: str = "e",
        who: str = "ann",
        link: Link | None = None,
        snapshot: bool = True,
    ) -> int:
        """Say it; the cid is returned at once."""
        self.cid += 1
        caller = Caller(who, who.title(), session=f"s-{who}")
        ask = Ask(self.cid, entity, self.encode(command), caller, operation, None, snapshot)
        self.shard.link_message(link or self.link, ask)
        return self.cid

    async def idle(self) -> None:
        """Until nothing more happens by itself (everything scripted takes a few turns of the loop)."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def answer(self, command: Any, operation: str | None = None, **how: Any) -> Any:
        """Ask and wait: the parsed result, or the code of the error."""
        link = how.get("link") or self.link
        cid = self.ask(command, operation, **how)
        await self.idle()
        return self.result(cid, link)

    def result(self, cid: int, link: Link | None = None) -> Any:
        """Of an earlier ask: None where it is not answered."""
        message = (link or self.link).answers().get(cid)
        if message is None:
            return None
        return json.loads(message.body) if isinstance(message, Answer) else message.code

    def journal(self, entity: str = "e") -> list[JournalRow]:
        return self.database.journal.get(("log", entity), [])

    def texts(self, entity: str = "e") -> list[str]:
        """What is durable, in order."""
        return [json.loads(row.data)["text"] for row in self.journal(entity)]

    def folded(self, entity: str = "e") -> LogState:
        """The state as the journal has it."""
        kind, state = LogKind(), LogState()
        for row in self.journal(entity):
            state = kind.evolve(state, kind.decode_event(row.format, row.data), row.at)
        return state


def subscriber(who: str) -> Subscriber:
    return Subscriber(f"s-{who}", who, who.title())

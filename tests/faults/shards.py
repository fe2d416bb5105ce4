"""A real shard on a real database, in the test's own loop, and the exact check of what it kept and said.

``Follower`` is a gateway's end reduced to a record: it asks, keeps every answer and push, and fails where a request is
answered twice or a push comes twice or out of order. ``check`` holds journal, live state, answers and pushes together.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from actors.runtime.cell import Cell
from actors.runtime.entity import Caller, EntityKind
from actors.runtime.ports import JournalRow
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Answer, Ask, Dropped, Following, Paged, Pushed, Refused, Resynced
from actors.space import commands as space
from actors.space.entity import SpaceKind
from server.host import SystemClock
from storage.cluster import claim_cluster, release
from storage.pool import connect
from storage.store import PostgresStore

PATIENCE_S = 60.0
"""For what must come: the machine may be slow, a lost answer never comes."""
RETRYABLE = {"storage_unavailable", "actor_unavailable", "timeout", "draining"}


class Nobody:
    """Where effects would go; nothing here has any."""

    def post(self, target: Any, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        raise AssertionError(f"an effect on {target}")


@dataclass
class Sent:
    """A command under way, through all its retries."""

    entity: str
    command: Any
    operation: str | None
    caller: Caller | None
    answer: asyncio.Future[bytes]
    refusals: list[str] = field(default_factory=list)
    tries: int = 0


class Follower:
    """An Outlet that asks and records. ``retries`` asks again, with the same operation id, what may be asked again."""

    def __init__(self, shard: Shard, name: str = "gateway", *, retries: bool = True) -> None:
        self.name, self.shard, self.retries = name, shard, retries
        self.pushed: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.snapshots: dict[str, int] = {}
        self.refused: Callable[[], None] = lambda: None
        self._asked: dict[int, Sent] = {}
        self._done: set[int] = set()
        self._cid = 0
        shard.link_opened(self)

    def ask(
        self, entity: str, command: Any, operation: str | None, caller: Caller | None, *, encode: Any = space.encode
    ) -> Sent:
        """Ask, now."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        sent = Sent(entity, encode(command), operation, caller, answer)
        self._again(sent)
        return sent

    def repeat(self, sent: Sent) -> Sent:
        """The same operation once more."""
        return self.ask(sent.entity, sent.command, sent.operation, sent.caller, encode=lambda command: command)

    def _again(self, sent: Sent) -> None:
        self._cid += 1
        sent.tries += 1
        self._asked[self._cid] = sent
        self.shard.link_message(self, Ask(self._cid, sent.entity, sent.command, sent.caller, sent.operation))

    def send(self, message: Any) -> None:
        """What the shard says."""
        match message:
            case Answer() | Refused() | Paged():
                self._answered(message)
            case Pushed(offset=0):
                pass
            case Pushed():
                frames = self.pushed.setdefault(message.entity, [])
                last = frames[-1][0] if frames else self.snapshots.get(message.entity)
                assert last is None or message.offset == last + 1, f"push {message.offset} after {last}"
                frames.append((message.offset, json.loads(message.frame)))
            case Following():
                self.snapshots.setdefault(message.entity, message.offset)
            case Resynced() | Dropped():
                pass

    def _answered(self, message: Any) -> None:
        assert message.cid not in self._done, f"cid {message.cid} was answered twice"
        self._done.add(message.cid)
        sent = self._asked.pop(message.cid)
        if isinstance(message, Answer):
            sent.answer.set_result(message.body)
            return
        sent.refusals.append(message.code)
        self.refused()
        if self.retries and message.code in RETRYABLE:
            asyncio.get_running_loop().call_later(0.01, self._again, sent)
        else:
            sent.answer.set_exception(AssertionError(f"{message.code}: {message.message}"))
            sent.answer.exception()  # whoever waits gets it; nobody need

    @property
    def unanswered(self) -> int:
        return len(self._asked)


@dataclass
class Rig:
    """A shard with its store, and a connection to its database that no fault touches."""

    shard: Shard
    store: PostgresStore
    admin: asyncpg.Connection
    follower: Follower
    halted: list[str]

    async def journal(self, entity: str) -> list[JournalRow]:
        """Every event of an entity, as stored."""
        rows = await self.admin.fetch(
            "SELECT entity_id, seq, at, event_type, format, data, operation_id, request_digest, reply, stream_offset"
            " FROM journal WHERE kind = $1 AND entity_id = $2 ORDER BY seq",
            self.shard.kind.kind,
            entity,
        )
        return [JournalRow(**dict(row)) for row in rows]

    def fold(self, entity: str, rows: list[JournalRow]) -> Any:
        """The state that the events make."""
        kind = self.shard.kind
        state = kind.initial(entity)
        for row in rows:
            state = kind.evolve(state, kind.decode_event(row.format, row.data), row.at)
        return state

    async def check(self, entity: str, sent: list[Sent]) -> list[JournalRow]:
        """Each acknowledged operation once, with its reply; offsets dense; live = fold; pushes = what is stored."""
        rows = await self.journal(entity)
        kind = self.shard.kind
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
        offsets = [row.stream_offset for row in rows if row.stream_offset is not None]
        assert offsets == list(range(1, len(offsets) + 1))
        operations = [row.operation_id for row in rows if row.operation_id is not None]
        assert len(operations) == len(set(operations)), "an operation is in the journal twice"
        stored = {row.operation_id: row.reply for row in rows if row.operation_id is not None}
        for one in sent:
            assert one.answer.done()
            assert stored[one.operation] == one.answer.result(), one.operation
        cell: Cell = self.shard.cells[entity]
        assert kind.encode_state(cell.state) == kind.encode_state(self.fold(entity, rows))
        assert (cell.seq, cell.offset, cell.head) == (len(rows), len(offsets), len(offsets))
        seen = self.follower.pushed.get(entity, [])
        first = seen[0][0] if seen else len(offsets) + 1
        assert [offset for offset, _ in seen] == list(range(first, len(offsets) + 1)), "a push is missing"
        by_offset = {row.stream_offset: row for row in rows}
        for offset, frame in seen:
            published = kind.publish(kind.decode_event(by_offset[offset].format, by_offset[offset].data))
            assert published is not None
            assert frame["event"] == published.event
            if frame["event"] == "message":
                assert frame["body"] == json.loads(by_offset[offset].data)["body"]
        return rows


@asynccontextmanager
async def cluster(database: str) -> AsyncIterator[tuple[str, int]]:
    """The way to the database that no fault touches, and the incarnation under which shards take their leases."""
    admin = await connect(database, application_name="test")
    incarnation = (await claim_cluster(admin)).incarnation
    await admin.close()
    yield database, incarnation
    admin = await connect(database, application_name="test")
    await release(admin, incarnation)  # the next need not wait for this one
    await admin.close()


@asynccontextmanager
async def shard_in(
    of: tuple[str, int],
    dsn: str,
    kind: EntityKind | None = None,
    *,
    index: int = 0,
    retries: bool = True,
    **limits: Any,
) -> AsyncIterator[Rig]:
    """A shard whose storage is reached by ``dsn``."""
    database, incarnation = of
    kind = kind or SpaceKind()
    admin = await connect(database, application_name="test")
    store = PostgresStore(dsn, kind=kind.kind, layout="shared:8", shard=index, incarnation=incarnation)
    await store.acquire()
    halted: list[str] = []
    shard = Shard(kind, store, clock=SystemClock(), post=Nobody(), halt=halted.append, limits=ShardLimits(**limits))
    lease = asyncio.create_task(shard.keep_lease())
    try:
        yield Rig(shard, store, admin, Follower(shard, retries=retries), halted)
        assert not halted, halted
    finally:
        lease.cancel()
        await asyncio.gather(lease, return_exceptions=True)
        tasks = list(shard._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store._drop_writer()
        store._reader._drop()
        await admin.close()


@asynccontextmanager
async def rig(dsn: str, database: str, kind: EntityKind | None = None, **options: Any) -> AsyncIterator[Rig]:
    """One shard of a cluster of its own, its storage reached by ``dsn`` (through a proxy), its check by ``database``."""
    async with cluster(database) as of, shard_in(of, dsn, kind, **options) as one:
        yield one


def person(n: int = 0) -> Caller:
    """An account with a session."""
    return Caller(f"00000000-0000-4000-8000-{n:012d}", f"p{n}", False, f"10000000-0000-4000-8000-{n:012d}")


def operation(caller: Caller, n: int) -> str:
    """The operation id of a request over a socket."""
    return f"{caller.session}:{n}"


async def within(awaitable: Any, seconds: float = PATIENCE_S) -> Any:
    """Wait for what must come."""
    async with asyncio.timeout(seconds):
        return await awaitable

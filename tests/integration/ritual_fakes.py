"""Rituals behind a gateway without a shard: the real ritual entity in memory, a sandbox and a practitioner that say what a
test tells them, and the rows that storage would have."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from gateway_fakes import SECRET, FakeQueries, FakeShards, World

from actors.practitioner import commands as p
from actors.ritual import values
from actors.ritual.entity import RitualKind
from actors.runtime.entity import Caller, Context
from actors.runtime.errors import NotFound, SanghaError
from actors.runtime.wire import Answer, Ask, Refused
from server.gateway import Gateway
from server.settings import Settings

RUN = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"


def accepted(check: values.CheckRequest) -> values.CheckReport:
    """A sandbox that likes every module."""
    return values.CheckReport(
        accepted=True,
        module_hash=hashlib.sha256(check.module).hexdigest(),
        abi="codex",
        notes=("no data",),
        imports=("codex.log",),
        exports=("memory", "execute_ritual"),
        dry_run=values.RunOutcome(fuel=42, duration_us=7),
    )


class RitualShards(FakeShards):
    """``state``: the rituals by id. ``check`` and ``practitioner`` may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.kind = RitualKind()
        self.rituals: dict[str, Any] = {}
        self.done: dict[str, bytes] = {}
        self.check: Callable[[values.CheckRequest], values.CheckReport] = accepted
        self.practitioner: Callable[[Any], Any] = lambda command: {"asked": type(command).__name__}
        self.own: list[Any] = []
        """What practitioners were asked: (command, operation, caller)."""

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind not in ("ritual", "sandbox", "practitioner"):
            super()._work(kind, message, on_answer)
            return
        answer: dict[str, Callable[[Ask], bytes]] = {
            "ritual": self._ritual,
            "sandbox": self._sandbox,
            "practitioner": self._practitioner,
        }
        try:
            if (failure := self.refuse(message)) is not None:
                raise failure
            if message.operation in self.done:
                body = self.done[message.operation]
            else:
                body = answer[kind](message)
                if message.operation is not None:
                    self.done[message.operation] = body
        except SanghaError as refused:
            errors = [(each.path, each.message) for each in refused.errors]
            on_answer(Refused(message.cid, refused.code, refused.message, errors))
        else:
            on_answer(Answer(message.cid, body))

    def _ritual(self, ask: Ask) -> bytes:
        state = self.rituals.get(ask.entity) or self.kind.initial(ask.entity)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        context = Context(entity_id=ask.entity, now=now, next_offset=1, caller=ask.caller, operation=ask.operation)
        decision = self.kind.decide(state, self.kind.decode_command(ask.command), context)
        for event in decision.events:
            self.rituals[ask.entity] = state = self.kind.evolve(state, event, now)
        return msgspec.json.encode(decision.reply)

    def _sandbox(self, ask: Ask) -> bytes:
        command = values.codec.decode(ask.command)
        assert isinstance(command, values.CheckRequest)
        return values.report_codec.encode(self.check(command))

    def _practitioner(self, ask: Ask) -> bytes:
        command = p.codec.decode(ask.command)
        self.own.append((command, ask.operation, ask.caller))
        if isinstance(command, p.GetAccount):
            raise NotFound("there is no such practitioner")
        return msgspec.json.encode(self.practitioner(command))


@dataclass
class RitualQueries(FakeQueries):
    """Rows as storage gives them. ``asked`` has the arguments of the last list."""

    shards: RitualShards | None = None
    recorded: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Runs by id."""
    newest: dict[str, str] = field(default_factory=dict)
    """The newest completed run of a ritual."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        super().__init__()
        vars(self).pop("runs", None)  # the socket's fakes keep recorded runs under this name; here it is the query

    def _answer(self, *asked: Any) -> list[dict[str, Any]]:
        self._check()
        self.asked = asked
        return self.rows

    async def catalog(self, viewer: str | None, limit: int, before: str | None = None, **filters: Any) -> Any:
        return self._answer(viewer, limit, before, filters)

    async def ritual_by_name(self, viewer: str | None, name: str) -> Any:
        self._check()
        assert self.shards is not None
        return [
            {"id": each.id, "author_id": each.author}
            for each in self.shards.rituals.values()
            if each.about.name == name and (each.about.is_public or each.author == viewer)
        ]

    async def count_rituals(self, author: str) -> int:
        self._check()
        assert self.shards is not None
        return sum(each.author == author for each in self.shards.rituals.values())

    async def states(self, practitioner: str, limit: int, before: str | None = None) -> Any:
        return self._answer(practitioner, limit, before)

    async def runs(self, practitioner: str, limit: int, before: str | None = None, ritual: str | None = None) -> Any:
        return self._answer(practitioner, limit, before, ritual)

    async def run(self, practitioner: str, session_id: str) -> Any:
        self._check()
        run = self.recorded.get(session_id)
        return run if run is not None and run["practitioner_id"] == practitioner else None

    async def newest_run(self, practitioner: str, ritual: str) -> Any:
        self._check()
        return self.newest.get(ritual)

    async def insights(
        self, practitioner: str, session: str | None = None, limit: int = 100, before: str | None = None
    ) -> Any:
        return self._answer(practitioner, session, limit, before)


@dataclass
class RitualWorld(World):
    shards: RitualShards
    queries: RitualQueries

    def put(self, command: Any, author: str | None, ritual: str) -> None:
        """A ritual that is there already."""
        caller = None if author is None else Caller(author)
        self.shards._ritual(Ask(0, ritual, msgspec.msgpack.encode(command), caller))


@asynccontextmanager
async def ritual_world(**settings: Any) -> AsyncIterator[RitualWorld]:
    shards = RitualShards()
    queries = RitualQueries(shards=shards)
    gateway = Gateway(Settings(_env_file=None, **({"port": 0} | settings)), shards, queries, SECRET)
    shards.on_message = gateway.on_message
    port = await gateway.start()
    try:
        yield RitualWorld(gateway, shards, queries, port)
    finally:
        await gateway.stop()

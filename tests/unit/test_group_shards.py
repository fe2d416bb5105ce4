"""A group ritual on the real runtime: two shards on one store, random order of deliveries, and restarts in between.

``test_group_crashes`` looks at everything in a model of the runtime; this looks at some of it in the runtime itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from driving import account, follower, uuid
from fakes import HeldClock, Link
from group_driving import BRIEF, INSIGHT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.practitioner import commands as pc
from actors.practitioner.entity import PractitionerKind
from actors.ritual import values as ritual
from actors.runtime import activation, commits, effects, shard
from actors.runtime.cell import Work
from actors.runtime.entity import Address, AlarmFired
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Answer, Ask, Follow, Refused
from actors.space import commands as sc
from actors.space.entity import SpaceKind
from storage.memory import MemoryDatabase, MemoryStore

SPACE = uuid(999)
SLOTS = ((0, 2**31),)
N = 3

steps = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 20)),
    st.tuples(st.just("deliver"), st.integers(0, 20)),
    st.tuples(st.just("turns"), st.integers(1, 4)),
    st.tuples(st.just("time"), st.sampled_from([1, 4, 11])),
    st.tuples(st.just("restart"), st.sampled_from(["space", "practitioner"])),
    st.tuples(st.just("break"), st.sampled_from(["space", "practitioner"])),
)


@pytest.fixture(scope="module", autouse=True)
def _no_waits() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commits, "SETTLE_PAUSE_S", 0)
        patch.setattr(activation, "LOAD_PAUSE_S", 0)
        patch.setattr(shard, "CONFIRM_PAUSE_S", 0)
        patch.setattr(effects, "RETRY_S", 0)
        yield


class Parcel:
    """An effect between its sender and the answer. ``cid`` is set while a shard has it."""

    def __init__(self, sender: Host, target: Address, command: bytes, operation: str, tell: Callable[[Any], None]):
        self.sender, self.target, self.command, self.operation, self.tell = sender, target, command, operation, tell
        self.cid: int | None = None


class Host:
    """One shard of a kind, restartable."""

    def __init__(self, kind: Any, world: Town) -> None:
        self.kind, self.world = kind, world

    async def start(self) -> None:
        self.store = MemoryStore(self.world.database, kind=self.kind.kind, layout="shared:1", shard=0)
        await self.store.acquire()
        clock, limits = self.world.clock, ShardLimits(checkpoint_every=3)
        self.halted: list[str] = []  # a dead one's timers may still go off: it is fenced, as a zombie is
        self.shard = Shard(self.kind, self.store, clock=clock, post=self, halt=self.halted.append, limits=limits)
        self.shard.confirmed_at = clock.monotonic()
        self.link = Link()
        self.shard.link_opened(self.link)

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        self.world.parcels.append(Parcel(self, target, command, operation, on_answer))

    async def restart(self) -> None:
        """As by SIGKILL: what it asked nobody waits for, what it was asked is asked again."""
        for task in list(self.shard._tasks):
            task.cancel()
        await self.world.turns(3)
        self.world.parcels = [parcel for parcel in self.world.parcels if parcel.sender is not self]
        self.world.asked_again(self)
        await self.start()
        self.world.attach()

    def break_link(self) -> None:
        self.world.take()
        self.shard.link_closed(self.link)
        self.link = Link()
        self.shard.link_opened(self.link)
        self.world.asked_again(self)
        self.world.attach()


class Town:
    """The two shards, what is on its way between them, and the people."""

    def __init__(self) -> None:
        self.clock = HeldClock()
        self.database = MemoryDatabase(now=self.clock.now)
        self.parcels: list[Parcel] = []
        self.space, self.people = Host(SpaceKind(), self), Host(PractitionerKind(), self)
        self.hosts = {"space": self.space, "practitioner": self.people}
        self.cid = 0
        self.joined = False

    async def open(self) -> None:
        for host in self.hosts.values():
            await host.start()
        for i in range(1, N + 1):
            self.ask(self.people, pc.Register(email=f"p{i}@example.org", password_hash="h"), i, uuid(i))
        self.ask(self.space, sc.CreateSpace(name="c", purpose="p", access_level="open"), 1, SPACE)
        await self.turns(40)
        for i in range(1, N + 1):
            self.ask(self.space, sc.Join(), i, SPACE)
        await self.turns(40)
        self.joined = True
        begin = sc.BeginRitual(brief=BRIEF, starts_in_s=1, opening_s=1, integration_s=1)
        self.ask(self.space, begin, 1, SPACE)
        await self.turns(40)

    def ask(self, host: Host, command: Any, who: int, entity: str) -> None:
        self.cid += 1
        data = (pc if host is self.people else sc).encode(command)
        host.shard.link_message(host.link, Ask(self.cid, entity, data, account(who), f"s{who}:{self.cid}"))

    async def turns(self, count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)
        self.take()

    def attach(self) -> None:
        """The gateway has everyone follow again."""
        if self.joined:
            people = [follower(account(i)) for i in range(1, N + 1)]
            self.space.shard.link_message(self.space.link, Follow(SPACE, 0, people))

    def take(self) -> None:
        """Answers go to who asked."""
        for host in self.hosts.values():
            for message in host.link.taken():
                if isinstance(message, (Answer, Refused)):
                    for parcel in [p for p in self.parcels if p.cid == message.cid]:
                        self.parcels.remove(parcel)
                        parcel.tell(message)

    def asked_again(self, receiver: Host) -> None:
        for parcel in self.parcels:
            if self.hosts.get(parcel.target.kind) is receiver:
                parcel.cid = None

    def deliver(self, n: int) -> None:
        waiting = [parcel for parcel in self.parcels if parcel.cid is None]
        if not waiting:
            return
        parcel = waiting[n % len(waiting)]
        host = self.hosts.get(parcel.target.kind)
        if host is None:
            self.parcels.remove(parcel)
            parcel.tell(Answer(0, worker(parcel)))
            return
        self.cid += 1
        parcel.cid = self.cid
        ask = Ask(self.cid, parcel.target.id, parcel.command, None, parcel.operation)
        host.shard.link_message(host.link, ask)

    async def time(self, seconds: float) -> None:
        self.clock.passed_s += seconds
        await self.turns(10)
        for host in self.hosts.values():
            for entity, name in await host.store.due_alarms(SLOTS, 100):
                host.shard.submit(Work(entity, AlarmFired(name=name)))
        await self.turns(10)

    async def step(self, what: str, argument: Any) -> None:
        match what:
            case "deliver":
                self.deliver(argument)
            case "turns":
                await self.turns(argument)
            case "time":
                await self.time(argument)
            case "restart":
                await self.hosts[argument].restart()
            case "break":
                self.hosts[argument].break_link()

    async def rest(self) -> Any:
        """Everything gets done; the summary."""
        for _ in range(60):
            await self.turns(20)
            while any(parcel.cid is None for parcel in self.parcels):
                self.deliver(0)
                await self.turns(20)
            await self.time(5)
        assert [host.halted for host in self.hosts.values()] == [[], []]
        assert self.parcels == []
        state = self.space.shard.cells[SPACE].state
        assert state.group is None
        assert not state.effects
        return msgspec.json.decode(state.last)


def worker(parcel: Parcel) -> bytes:
    if parcel.target.kind == "oracle":
        return msgspec.json.encode(INSIGHT)
    if parcel.target.kind == "ritual":
        return b"{}"
    request = ritual.codec.decode(parcel.command)
    assert isinstance(request, ritual.RunRequest)
    before = request.state.archetypes.get("Witness", 0.0)
    state = msgspec.structs.replace(request.state, archetypes={"Witness": before + 0.125})
    return ritual.outcome_codec.encode(ritual.RunOutcome(state=state, fuel=1))


async def run(script: list[tuple[str, Any]]) -> None:
    town = Town()
    await town.open()
    for what, argument in script:
        await town.step(what, argument)
    summary = await town.rest()
    changed = {
        row["practitioner_id"]: row for row in town.database.tables["archetypal_states"].values() if row["version"] == 1
    }
    assert len(changed) == len(town.database.tables["archetypal_states"]) == summary["transformed"]
    assert set(changed) == set(summary["participants"])
    assert summary["outcome"] == "completed"
    assert len(town.database.tables["oracle_insights"]) == 1
    types = [row.event_type for row in town.database.journal["space", SPACE]]
    for event in ("ritual_gathering", "ritual_opening", "ritual_active", "ritual_integration", "ritual_closed"):
        assert types.count(event) == 1
    for host in town.hosts.values():
        await host.shard.stop()


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.lists(steps, max_size=40))
def test_on_the_real_runtime_everyone_is_transformed_exactly_once(script: list[tuple[str, Any]]) -> None:
    asyncio.run(run(script))

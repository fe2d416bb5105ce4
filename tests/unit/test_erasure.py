"""What is left to do about accounts that are gone: each thing for itself, again where it failed, and again a little later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actors.audio import commands as audio
from actors.audio_session import commands as audio_session
from actors.practitioner.commands import FAREWELLS_MAX
from actors.prayer import commands as prayer
from actors.ritual import commands as ritual
from actors.runtime.entity import Address
from actors.runtime.link import ONCE
from actors.runtime.ports import StoreDown, Unreadable
from actors.runtime.wire import Answer, Refused
from actors.space import commands as space
from server import erasure
from server.erasure import AGAIN_S, EVERY_S, RETRY_S, Erasure, farewells_of
from storage.account_queries import LeftOver

GONE, OTHER = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


class World:
    """A gateway's storage, its ways to entities, its timers; and what a scrubber did."""

    def __init__(self) -> None:
        self.queries = self
        self.spaces: dict[tuple[str, str], bool] = {}
        self.rituals: dict[str, str] = {}
        self.wheels: set[str] = set()
        self.sessions: dict[str, str] = {}
        self.devices: set[tuple[str, str]] = set()
        self.unreadable: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.down = False
        self.did: list[str] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.known: dict[str, list[str]] = {}
        self.erasure = Erasure(self, self)  # type: ignore[arg-type]

    # storage

    def _there(self) -> None:
        if self.down:
            raise StoreDown("away")

    async def gone(self, limit: int, after: str | None = None) -> list[str]:
        self._there()
        found = sorted(
            {who for _, who in self.spaces | dict.fromkeys(self.devices, True)}
            | set(self.rituals.values())
            | self.wheels
            | set(self.sessions.values())
        )
        return [who for who in found if after is None or who > after][:limit]

    async def left_over(self, who: str, limit: int, after: str | None = None) -> list[LeftOver]:
        self._there()
        return [
            LeftOver(space=id_, practitioner=who, departed=departed)
            for (id_, of), departed in sorted(self.spaces.items())
            if of == who and (after is None or id_ > after)
        ][:limit]

    async def orphans(self, who: str, limit: int) -> list[str]:
        self._there()
        return [id_ for id_, of in self.rituals.items() if of == who][:limit]

    async def stray_wheels(self, who: str) -> list[str]:
        self._there()
        return [who] if who in self.wheels else []

    async def audio_session_ids(self, who: str, limit: int, *, gone: bool = False) -> list[str]:
        self._there()
        return [id_ for id_, of in self.sessions.items() if of == who][:limit]

    async def audio_voices(self, who: str, *, gone: bool = False) -> list[dict[str, Any]]:
        self._there()
        return [{"device": device} for device, of in sorted(self.devices) if of == who]

    async def has_wheel(self, who: str) -> bool:
        return who in self.wheels

    async def memberships(self, who: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        return [{"space_id": id_} for id_ in self.known["spaces"]][:limit]

    async def unpublished(self, who: str, limit: int) -> list[str]:
        return self.known["rituals"][:limit]

    # entities

    async def ask(self, address: Address, command: bytes, caller: Any, operation: str) -> Answer | Refused:
        assert caller is None
        assert operation == ONCE
        if code := self.refuses.get(address.id):
            return Refused(0, code, "no", [], None)
        if address.kind == "ritual":
            assert ritual.codec.decode(command) == ritual.Orphan()
            del self.rituals[address.id]
            self.did.append(f"orphan {address.id}")
            return Answer(0, b"{}")
        if address.kind == "prayer_wheel":
            assert prayer.codec.decode(command) == prayer.Erase()
            self.wheels.remove(address.id)
            self.did.append("wheel")
            return Answer(0, b"{}")
        if address.kind == "audio":
            self.devices.remove((address.id, audio.codec.decode(command).owner))
            self.did.append(f"silence {address.id}")
            return Answer(0, b"{}")
        if address.kind == "audio_session":
            assert audio_session.codec.decode(command) == audio_session.Delete()
            del self.sessions[address.id]
            self.did.append(f"session {address.id}")
            return Answer(0, b"{}")
        match space.codec.decode(command):
            case space.Depart(practitioner=who):
                self.spaces[address.id, who] = True
                self.did.append(f"depart {address.id}")
            case space.FinishDeparture(practitioner=who):
                del self.spaces[address.id, who]
                self.did.append(f"finish {address.id}")
        return Answer(0, b"{}")

    async def scrub(self, id_: str, who: str) -> int:
        if id_ in self.unreadable:
            raise Unreadable("sealed with a key that we do not have")
        self.did.append(f"scrub {id_}")
        return 1

    # timers

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        self.timers.append((delay_s, act))

    def fire(self, delay_s: float) -> None:
        due = [act for delay, act in self.timers if delay == delay_s]
        self.timers = [(delay, act) for delay, act in self.timers if delay != delay_s]
        assert due
        for act in due:
            act()

    async def settle(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    return World()


async def test_a_space_is_told_its_events_lose_the_name_and_it_is_told_that(world: World) -> None:
    world.spaces = {("s1", GONE): False, ("s2", GONE): True, ("s3", OTHER): False}
    world.rituals = {"r1": GONE, "r2": OTHER}
    assert await world.erasure.sweep(GONE)
    assert world.did == ["depart s1", "scrub s1", "finish s1", "scrub s2", "finish s2", "orphan r1"]
    assert world.spaces == {("s3", OTHER): False}


async def test_all_who_are_gone_are_found_page_after_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "AT_ONCE", 2)
    world.spaces = {(f"s{n}", GONE[:-1] + str(n % 5)): False for n in range(15)}
    world.rituals = {"r": GONE[:-1] + "9"}
    assert await world.erasure.sweep_all()
    assert (world.spaces, world.rituals) == ({}, {})


async def test_what_cannot_be_done_keeps_nothing_else_from_being_done(world: World) -> None:
    world.spaces = {(f"s{n}", who): False for n in range(3) for who in (GONE, OTHER)}
    world.rituals = {"r1": GONE, "r2": GONE}
    world.unreadable, world.refuses = {"s0"}, {"s1": "internal", "r1": "actor_unavailable"}
    assert not await world.erasure.sweep_all()
    assert {id_ for id_, _ in world.spaces} == {"s0", "s1"}
    assert list(world.rituals) == ["r1"]


async def test_what_failed_is_tried_again_and_what_is_done_is_looked_for_every_hour(world: World) -> None:
    world.spaces = {("s", GONE): False}
    world.refuses = {"s": "actor_unavailable"}
    run = asyncio.create_task(world.erasure.run())
    await world.settle()
    assert [delay for delay, _ in world.timers] == [RETRY_S]
    world.refuses = {}
    world.fire(RETRY_S)
    await world.settle()
    assert world.spaces == {}
    assert [delay for delay, _ in world.timers] == [EVERY_S]
    world.spaces = {("t", GONE): False}
    world.fire(EVERY_S)
    await world.settle()
    assert world.spaces == {}
    run.cancel()


async def test_without_storage_it_looks_again(world: World) -> None:
    world.down = True
    run = asyncio.create_task(world.erasure.run())
    await world.settle()
    world.erasure.look(GONE)
    await world.settle()
    assert [delay for delay, _ in world.timers] == [RETRY_S, RETRY_S]
    world.down, world.spaces = False, {("s", GONE): False}
    world.fire(RETRY_S)
    await world.settle()
    assert world.spaces == {}
    assert not run.done()
    run.cancel()


async def test_a_join_that_arrives_after_the_deletion_is_found(world: World) -> None:
    run = asyncio.create_task(world.erasure.run())
    await world.settle()
    world.erasure.deleted(GONE)
    await world.settle()
    for delay_s in AGAIN_S:
        world.spaces = {("late", GONE): False, ("of another", OTHER): False}
        world.fire(delay_s)
        await world.settle()
        assert world.spaces == {("of another", OTHER): False}
    run.cancel()


async def test_a_bug_ends_neither_the_neighbours_nor_the_gateway(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.spaces = {("s1", GONE): True, ("s2", GONE): True}
    scrub = world.scrub

    async def faulty(id_: str, who: str) -> int:
        if id_ == "s1":
            raise RuntimeError("a bug")
        return await scrub(id_, who)

    world.scrub = faulty  # type: ignore[method-assign]
    assert not await world.erasure.sweep(GONE)
    assert list(world.spaces) == [("s1", GONE)]
    assert any(record.exc_info for record in caplog.records)


async def test_a_deletion_tells_the_spaces_and_the_rituals_that_nobody_published(world: World) -> None:
    world.known = {"spaces": ["s1", "s2"], "rituals": ["r1"]}
    told = await farewells_of(world, GONE)  # type: ignore[arg-type]
    assert [farewell.target for farewell in told] == [
        Address("space", "s1"),
        Address("space", "s2"),
        Address("ritual", "r1"),
    ]
    assert space.codec.decode(told[0].command) == space.Depart(practitioner=GONE)
    world.known = {"spaces": [f"s{n}" for n in range(2 * FAREWELLS_MAX)], "rituals": ["r1"]}
    assert len(await farewells_of(world, GONE)) == FAREWELLS_MAX  # type: ignore[arg-type]


async def test_the_prayer_wheel_of_an_account_goes_with_it_and_a_stray_one_later() -> None:
    w = World()
    w.known = {"spaces": ["s"], "rituals": []}
    assert [f.target.kind for f in await farewells_of(w, OTHER)] == ["space"]  # type: ignore[arg-type]
    w.wheels.add(GONE)
    first, *_ = await farewells_of(w, GONE)  # type: ignore[arg-type]
    assert (first.target, prayer.codec.decode(first.command)) == (Address("prayer_wheel", GONE), prayer.Erase())
    w.refuses = {GONE: "actor_unavailable"}
    assert not await w.erasure.sweep_all()
    w.refuses = {}
    assert await w.erasure.sweep_all()
    assert (w.wheels, w.did) == (set(), ["wheel"])


async def test_audio_sessions_of_an_account_go_with_it_and_those_that_came_late_later() -> None:
    w = World()
    w.known = {"spaces": [], "rituals": []}
    w.sessions = {"one": GONE, "two": GONE, "three": OTHER}
    told = await farewells_of(w, GONE)  # type: ignore[arg-type]
    assert [farewell.target for farewell in told] == [Address("audio_session", id_) for id_ in ("one", "two")]
    assert {audio_session.codec.decode(farewell.command) for farewell in told} == {audio_session.Delete()}
    w.refuses = {"one": "actor_unavailable"}
    assert not await w.erasure.sweep(GONE)
    w.refuses = {}
    assert await w.erasure.sweep(GONE)
    assert (w.sessions, sorted(w.did)) == ({"three": OTHER}, ["session one", "session two"])


async def test_what_an_account_plays_on_sound_devices_ends_with_it() -> None:
    w = World()
    w.known = {"spaces": [], "rituals": []}
    w.devices = {("default", GONE), ("10.0.0.2/default", GONE), ("default", OTHER)}
    (told,) = await farewells_of(w, GONE)  # type: ignore[arg-type]
    assert (told.target, audio.codec.decode(told.command)) == (Address("audio", "default"), audio.Erase(owner=GONE))
    w.refuses = {"10.0.0.2/default": "actor_unavailable"}
    assert not await w.erasure.sweep(GONE), "a node may be away"
    w.refuses = {}
    assert await w.erasure.sweep(GONE)
    assert (w.devices, w.did) == ({("default", OTHER)}, ["silence default", "silence 10.0.0.2/default"])

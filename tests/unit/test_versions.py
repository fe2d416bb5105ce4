"""A kind whose state is in versioned rows: what is loaded, when it is loaded anew, and that nothing half changed is ever seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import pytest
from fakes import BEGIN, LogKind, World

from actors.runtime import activation, commits, shard
from actors.runtime.codec import CommandCodec, tag_of
from actors.runtime.entity import NOTHING_OWED, Agenda, Begin, Context, Decision, End, Row, Struct
from actors.runtime.errors import Full
from actors.runtime.ports import LIVE
from storage import memory

TABLE = "eustress_entity_versions"


class Command(Struct, tag=True):
    """What a shelf can be asked."""


class Put(Command):
    key: str
    text: str = "1"


class Read(Command):
    pass


class Fail(Command):
    """Puts two things; there is a bug ``where``."""

    where: str


class Event(Struct, tag=True):
    text: str


class Was(Event):
    key: str
    bug: str = ""


class Shelf(NamedTuple):
    """Frozen but for the items, {key: (since, text)}; None before they are loaded. ``ended`` is what the last event replaced."""

    seq: int
    items: dict[str, tuple[int, str]] | None
    ended: int | None = None


_commands: CommandCodec[Any] = CommandCodec(Put | Read | Fail)
_events: CommandCodec[Any] = CommandCodec(Was)


class ShelfKind(LogKind):
    """Texts by key: the journal counts them, the rows have them."""

    kind: ClassVar[str] = "shelf"
    versioned: ClassVar[tuple[str, ...]] = (TABLE,)

    def __init__(self) -> None:
        self.restores: list[list[str]] = []

    def initial(self, entity_id: str) -> Any:
        return Shelf(0, None)

    def decode_command(self, data: bytes) -> Any:
        return _commands.decode(data)

    def decide(self, state: Any, command: Any, context: Context) -> Decision:
        match command:
            case Put(key="full"):
                raise Full("a shelf is only so long")
            case Put(key="bug"):
                raise RuntimeError("a bug before anything changed")
            case Put(key=key, text=text):
                return Decision(events=[Was(text, key)], reply={"seq": state.seq + 1})
            case Fail(where=where):
                return Decision(events=[Was("half", "a"), Was("half", "b", where)])
            case Read():
                return Decision(reply={key: text for key, (_, text) in state.items.items()})
        return Decision()

    def evolve(self, state: Any, event: Any, at: datetime) -> Any:
        seq, items, ended = state.seq + 1, state.items, None
        if items is not None:
            ended = items.get(event.key, (None,))[0]
            items[event.key] = (seq, event.text)
            if event.bug == "evolve":
                raise RuntimeError("a bug when everything is half changed")
        return Shelf(seq, items, ended)

    def restored(self, state: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> Any:
        self.restores.append([row[1] for row in rows])
        if rows and rows[0][1] == "broken":
            raise ValueError("a row that cannot be read")
        items = state.items if state.items is not None else {}
        items.update({row[1]: (row[2], row[-1].decode().strip('"')) for row in rows})
        return Shelf(state.seq, items)

    def rows(self, event: Any, state: Any, at: datetime) -> Iterable[Row]:
        if event.bug == "rows":
            raise Full("too late to refuse")
        if state.ended is not None:
            since = state.ended if event.bug != "miss" else state.ended + 100
            yield End(table=TABLE, key=("e", event.key), since=since, until=state.seq, at=at)
        yield begin(event.key, state.seq, f'"{event.text}"'.encode())

    def agenda(self, state: Any) -> Agenda:
        return NOTHING_OWED

    def publish(self, event: Any) -> None:
        return None

    def event_type(self, event: Any) -> str:
        return tag_of(event)

    def encode_event(self, event: Any) -> bytes:
        return b'{"text":"%s","key":"%s"}' % (event.text.encode(), event.key.encode())

    def decode_event(self, format_: int, data: bytes) -> Any:
        return Was("", "")

    def encode_state(self, state: Any) -> bytes:
        return b"%d" % state.seq

    def decode_state(self, format_: int, data: bytes) -> Any:
        return Shelf(int(data), None)


def begin(key: str, since: int, data: bytes = b"1") -> Begin:
    return Begin(table=TABLE, values=("e", key, since, BEGIN, None, None, None, None, None, None, None, data))


class ShelfWorld(World):
    """A shard of shelves, of which ``e`` is one."""

    encode = staticmethod(_commands.encode)

    def __init__(self, **limits: Any) -> None:
        super().__init__(**limits)
        self.kind = ShelfKind()

    def stored(self) -> dict[str, str]:
        """What lives in storage."""
        rows = self.database.versions[TABLE].values()
        return {row[1]: row[-3].decode().strip('"') for row in rows if row[-2] == LIVE}

    async def agrees(self) -> bool:
        """Memory is storage, and so is what a restart finds."""
        before = await self.answer(Read())
        stored = self.stored()
        await self.start()
        return bool(before == stored == await self.answer(Read()))


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)
    monkeypatch.setattr(memory, "PAGE_ROWS", 2)


@pytest.fixture
async def world() -> AsyncIterator[ShelfWorld]:
    world = ShelfWorld()
    await world.start()
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


async def filled(world: ShelfWorld, keys: str = "abcde") -> None:
    for key in keys:
        await world.answer(Put(key))
    world.kind.restores.clear()


# -- activation ----------------------------------------------------------------------------------------------------------------


async def test_an_entity_is_its_journal_and_its_live_rows_page_by_page(world: ShelfWorld) -> None:
    await filled(world, "cabed")
    await world.answer(Put("a", "2"))
    await world.start()
    assert await world.answer(Put("f")) == {"seq": 7}
    assert world.kind.restores == [["a", "b"], ["c", "d"], ["e"], []]
    assert await world.answer(Read()) == {"a": "2", "b": "1", "c": "1", "d": "1", "e": "1", "f": "1"}
    assert await world.agrees()


async def test_an_entity_that_never_was_is_told_that_there_are_no_rows(world: ShelfWorld) -> None:
    assert await world.answer(Read()) == {}
    assert world.kind.restores == [[]]


async def test_what_is_asked_meanwhile_waits_in_order_and_other_entities_do_not(world: ShelfWorld) -> None:
    await filled(world)
    await world.start()
    world.store.held["e"] = asyncio.Event()
    first, second = world.ask(Put("x")), world.ask(Read())
    await world.idle()
    other = world.ask(Read(), entity="other")
    await world.idle()
    assert [world.result(cid) for cid in (first, second, other)] == [None, None, {}]
    world.store.held["e"].set()
    await world.idle()
    assert (world.result(first), world.result(second)) == ({"seq": 6}, dict.fromkeys("abcdex", "1"))


async def test_a_page_that_storage_did_not_give_is_asked_for_again(world: ShelfWorld) -> None:
    await filled(world)
    await world.start()
    fails = iter([False, True, True, False])

    def looked() -> None:
        world.store.down = next(fails, False)

    world.store.on_live = looked
    assert await world.answer(Read()) == dict.fromkeys("abcde", "1")
    assert world.kind.restores == [["a", "b"], ["c", "d"], ["e"], []]


async def test_callers_are_told_when_the_rows_take_too_long(world: ShelfWorld) -> None:
    await filled(world)
    await world.start()

    def looked() -> None:
        world.store.down = world.store.live[-1][1] is not None
        world.clock.passed_s += 1

    world.store.on_live = looked
    assert await world.answer(Read()) == "storage_unavailable"
    world.store.on_live = lambda: setattr(world.store, "down", False)
    await world.idle()
    world.shard.confirmed_at = world.clock.monotonic()
    assert await world.answer(Read()) == dict.fromkeys("abcde", "1")


async def test_rows_that_cannot_be_read_are_the_misfortune_of_their_entity_alone(world: ShelfWorld) -> None:
    await filled(world, ["broken"])  # type: ignore[arg-type]
    await world.start()
    bad, good = world.ask(Read()), world.ask(Read(), entity="other")
    await world.idle()
    assert (world.result(bad), world.result(good)) == ("internal", {})
    assert list(world.shard.cells) == ["other"]
    assert world.halted == []


# -- recovery ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "there"), [("aborted", "1"), ("unknown-gone", "2"), ("unknown-there", "2")])
async def test_after_a_commit_that_ended_badly_memory_is_what_storage_has(
    world: ShelfWorld, outcome: str, there: str
) -> None:
    await filled(world)
    world.store.outcomes.append(outcome)
    answer = await world.answer(Put("a", "2"), "s:1")
    assert answer == ("storage_unavailable" if outcome == "aborted" else {"seq": 6})
    assert bool(world.kind.restores) == (outcome != "unknown-there")
    assert world.stored()["a"] == there
    assert await world.agrees()


async def test_what_was_decided_on_top_of_an_aborted_change_is_decided_again(world: ShelfWorld) -> None:
    await filled(world)
    world.store.gate.clear()
    world.store.outcomes.append("aborted")
    first = world.ask(Put("a", "2"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second = world.ask(Put("b", "2"))
    await asyncio.sleep(0)
    world.store.gate.set()
    await world.idle()
    assert (world.result(first), world.result(second)) == ("storage_unavailable", {"seq": 6})
    assert world.stored() == {"a": "1", "b": "2", "c": "1", "d": "1", "e": "1"}
    assert await world.agrees()


async def test_a_guilty_command_is_found_and_the_others_are_kept(world: ShelfWorld) -> None:
    await filled(world, "a")
    asked = [world.ask(Put("a", "2")), world.ask(Put("a", "\\u0000")), world.ask(Put("b", "2"))]
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"seq": 2}, "invalid", {"seq": 3}]
    assert await world.agrees()


async def test_memory_that_disagrees_with_storage_is_loaded_anew_and_nobody_notices(world: ShelfWorld) -> None:
    await filled(world)
    world.shard.cells["e"].state.items["a"] = (77, "never was")
    assert await world.answer(Put("a", "2")) == {"seq": 6}
    assert world.kind.restores[-1] == []
    assert await world.agrees()


async def test_an_entity_that_is_wrong_about_its_rows_fails_its_command_alone(world: ShelfWorld) -> None:
    await filled(world, "ab")
    asked = [world.ask(Put("a", "2")), world.ask(Fail("miss")), world.ask(Put("b", "2"))]
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"seq": 3}, "internal", {"seq": 4}]
    assert await world.agrees()


# -- bugs ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["evolve", "rows"])
async def test_a_bug_in_the_midst_of_a_change_is_never_seen(world: ShelfWorld, where: str) -> None:
    await filled(world, "ab")
    asked = [world.ask(command) for command in (Put("a", "2"), Fail(where), Put("b", "3"), Read())]
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"seq": 3}, "internal", {"seq": 4}, {"a": "2", "b": "3"}]
    assert world.kind.restores == [["a", "b"], []]
    assert world.halted == []
    assert await world.agrees()


@pytest.mark.parametrize("outcome", ["aborted", "unknown-there", "unknown-gone"])
async def test_a_bug_behind_a_commit_that_ends_badly(world: ShelfWorld, outcome: str) -> None:
    await filled(world, "ab")
    world.store.gate.clear()
    world.store.outcomes.append(outcome)
    good = world.ask(Put("a", "2"), "s:1")
    await asyncio.sleep(0)
    bad, behind = world.ask(Fail("evolve")), world.ask(Put("b", "3"))
    await world.idle()
    assert [world.result(cid) for cid in (good, bad, behind)] == [None, None, None]
    world.store.gate.set()
    await world.idle()
    answers = [world.result(cid) for cid in (good, bad, behind)]
    if outcome == "aborted":  # the refusal was to be told with that batch
        assert answers == ["storage_unavailable", "storage_unavailable", {"seq": 3}]
    else:
        assert answers == [{"seq": 3}, "internal", {"seq": 4}]
    assert await world.agrees()


async def test_a_bug_while_each_is_tried_alone(world: ShelfWorld) -> None:
    await filled(world, "ab")
    commands = [Put("a", "\\u0000"), Fail("evolve"), Put("b", "3"), Fail("rows"), Put("c", "3")]
    asked = [world.ask(command) for command in commands]
    await world.idle()
    expected = ["invalid", "internal", {"seq": 3}, "internal", {"seq": 4}]
    assert [world.result(cid) for cid in asked] == expected
    assert await world.agrees()


@pytest.mark.parametrize("command", [Put("full"), Put("bug")])
async def test_what_fails_before_anything_changed_loads_nothing(world: ShelfWorld, command: Command) -> None:
    await filled(world)
    code = "full" if command == Put("full") else "internal"
    assert await world.answer(command) == code
    assert world.kind.restores == []
    assert await world.answer(Put("a", "2")) == {"seq": 6}


async def test_a_checkpoint_has_the_frozen_part_alone(world: ShelfWorld) -> None:
    world.limits = shard.ShardLimits(checkpoint_every=2)
    await world.start()
    await filled(world)
    kept = world.database.checkpoints["shelf", "e"]
    assert (kept.seq, kept.data) == (4, b"4")
    assert await world.agrees()

"""The shard on a scripted store: what is answered, to whom, in which order, and what a bad end of a commit makes of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from fakes import (
    Add,
    Crash,
    Join,
    Leave,
    LogState,
    Name,
    Note,
    Owe,
    Read,
    Refuse,
    ScriptedStore,
    Wake,
    Wave,
    World,
)

from actors.runtime import activation, commits, effects, operations, shard
from actors.runtime.alarms import AlarmClock
from actors.runtime.cell import EFFECTS_ALARM, Work
from actors.runtime.entity import Address, AlarmFired, Caller, Effect, EffectDone
from actors.runtime.operations import split
from actors.runtime.ports import Fenced, Loaded, Unreadable
from actors.runtime.wire import Answer, History, Refused


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)
    monkeypatch.setattr(effects, "RETRY_S", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


# -- answers and retries ----------------------------------------------------------------------------------------------


async def test_a_retried_command_returns_the_first_reply_and_changes_nothing(world: World) -> None:
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}
    await world.start()
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}
    assert world.texts() == ["a"]


async def test_a_retry_of_one_in_progress_waits_for_the_same_reply(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    first, again = world.ask(Add(text="a"), "s:1"), world.ask(Add(text="a"), "s:1")
    await world.idle()
    assert (world.result(first), world.result(again)) == (None, None)
    world.store.gate.set()
    await world.idle()
    assert world.result(first) == world.result(again) == {"offset": 1}
    assert world.texts() == ["a"]


async def test_the_same_id_with_another_request_is_a_conflict(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    assert await world.answer(Add(text="b"), "s:1") == "conflict"
    assert world.texts() == ["a"]


async def test_an_error_changed_nothing_and_is_decided_afresh(world: World) -> None:
    assert await world.answer(Refuse(), "s:1") == "full"
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}


async def test_an_old_operation_behind_a_checkpoint_is_looked_up_once_and_answered(world: World) -> None:
    world.limits = shard.ShardLimits(checkpoint_every=2)
    await world.start()
    for n in range(1, 5):
        await world.answer(Add(text=str(n)), f"s:{n}")
    await world.start()
    assert await world.answer(Add(text="1"), "s:1") == {"offset": 1}
    assert await world.answer(Add(text="5"), "s:5") == {"offset": 5}
    assert world.store.looked_up == [["s:1"]]
    assert world.texts() == ["1", "2", "3", "4", "5"]


async def test_a_retry_of_what_memory_let_go_of_before_its_commit_waits_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the journal would not know it, and it would be done twice."""
    monkeypatch.setattr(operations, "REMEMBERED_BYTES", 20)
    await world.answer(Read())
    world.store.gate.clear()
    asked = [world.ask(Add(text=text), f"s:{number}") for text, number in zip("abca", (1, 2, 3, 1), strict=True)]
    await world.idle()
    assert world.store.looked_up == []
    world.store.gate.set()
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"offset": 1}, {"offset": 2}, {"offset": 3}, {"offset": 1}]
    assert world.store.looked_up == [["s:1"]]
    assert world.texts() == ["a", "b", "c"]


async def test_what_comes_behind_a_look_up_keeps_its_place(world: World) -> None:
    world.limits = shard.ShardLimits(checkpoint_every=1)
    await world.start()
    await world.answer(Add(text="1"), "k:k-1")
    await world.start()
    asked = [world.ask(Add(text=text), f"k:k-{text}") for text in "21"] + [world.ask(Read())]
    await world.idle()
    assert [world.result(cid) for cid in asked] == [{"offset": 2}, {"offset": 1}, {"items": ["1", "2"]}]


async def test_the_reply_comes_before_its_pushes_and_following_after_them(world: World) -> None:
    joined = world.ask(Join(), "s:1")
    await world.idle()
    added = world.ask(Add(text="a"), "s:2")
    await world.idle()
    assert world.link.words() == [
        *(f"answer {joined}", "following 1", "Attached", "greeting"),
        *(f"answer {added}", "push 2"),
    ]


async def test_a_bug_of_the_domain_fails_its_command_and_nothing_else(world: World) -> None:
    before = await world.answer(Add(text="a"), "s:1")
    good = world.ask(Add(text="b"), "s:2")
    bad = [world.ask(Crash(), "s:3"), world.ask(Crash(late=True), "s:4")]
    after = world.ask(Add(text="c"), "s:5")
    await world.idle()
    assert before == {"offset": 1}
    assert [world.result(cid) for cid in (good, *bad, after)] == [{"offset": 2}, "internal", "internal", {"offset": 3}]
    assert world.texts() == ["a", "b", "c"]
    assert world.shard.cells["e"].state == world.folded()


# -- the gate ---------------------------------------------------------------------------------------------------------


async def test_whatever_reveals_an_uncommitted_change_waits_in_order(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.gate.clear()
    world.link.taken()
    cids = [
        world.ask(command, operation)
        for command, operation in ((Add(text="a"), "s:2"), (Read(), None), (Refuse(), "s:3"), (Wave(), None))
    ]
    other = world.ask(Read(), entity="other")
    await world.idle()
    assert world.link.words() == [f"answer {other}"]
    world.store.gate.set()
    await world.idle()
    add, read, refuse, wave = cids
    assert world.link.words()[1:] == [
        *(f"answer {add}", "push 2", f"answer {read}", f"full {refuse}", f"answer {wave}", "wave"),
    ]


async def test_what_follows_from_a_release_is_said_after_what_was_decided_before_it(world: World) -> None:
    """The presence that a join brings about knows of the message behind it, so it must not overtake it."""
    await world.answer(Read())
    world.store.gate.clear()
    world.ask(Join(), "s:1")
    world.ask(Add(text="a"), "s:2")
    await world.idle()
    world.store.gate.set()
    await world.idle()
    assert world.link.words()[1:] == ["answer 2", "following 1", "answer 3", "push 2", "Attached", "greeting"]


async def test_one_batch_flies_while_the_next_fills(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    for n in range(1, 4):
        world.ask(Add(text=str(n)), f"s:{n}")
        await world.idle()
    world.store.gate.set()
    await world.idle()
    assert [len(batch.journal) for batch in world.store.batches] == [1, 2]


async def test_a_checkpoint_holds_nothing_of_the_batch_behind_it(world: World) -> None:
    world.limits = shard.ShardLimits(checkpoint_every=1)
    await world.start()
    await world.answer(Read())
    world.store.outcomes.extend(["ok", "aborted"])
    world.ask(Add(text="a"), "s:1")
    asyncio.get_running_loop().call_soon(world.ask, Add(text="b"), "s:2")  # between the take-off and the flight
    await world.idle()
    for batch in world.store.batches:
        for found in batch.checkpoints:
            assert found.seq == batch.journal[-1].seq
    await world.answer(Add(text="b"), "s:2")
    await world.start()
    assert await world.answer(Read()) == {"items": ["a", "b"]}


# -- commits that end badly -------------------------------------------------------------------------------------------


async def test_an_aborted_batch_is_told_and_the_filling_one_decided_again(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.gate.clear()
    world.store.outcomes.append("aborted")
    world.link.taken()
    first = world.ask(Add(text="a"), "s:2")
    await world.idle()
    second, read = world.ask(Add(text="b"), "s:3"), world.ask(Read())
    await world.idle()
    world.store.gate.set()
    await world.idle()
    assert world.result(first) == "storage_unavailable"
    assert world.result(second) == {"offset": 2}
    assert world.result(read) == {"items": ["b"]}
    assert world.link.offsets() == [2]
    assert await world.answer(Add(text="a"), "s:2") == {"offset": 3}


async def test_the_guilty_command_is_the_only_one_refused(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.guilty = {"bad"}
    world.link.taken()
    cids = [world.ask(Add(text=text), f"s:{n}") for n, text in enumerate(("a", "bad", "b"), 2)]
    other = world.ask(Add(text="c"), "s:5", entity="other")
    read = world.ask(Read())
    await world.idle()
    assert [world.result(cid) for cid in cids] == [{"offset": 2}, "invalid", {"offset": 3}]
    assert world.result(other) == {"offset": 1}
    assert world.result(read) == {"items": ["a", "b"]}
    assert world.link.offsets() == [2, 3]
    assert world.texts() == ["ann", "a", "b"]


@pytest.mark.parametrize("outcome", ["unknown-there", "unknown-gone"])
async def test_an_unknown_outcome_is_answered_from_what_is_found(world: World, outcome: str) -> None:
    await world.answer(Join(), "s:1")
    epoch = world.store.epoch
    world.store.gate.clear()
    world.store.outcomes.append(outcome)
    world.link.taken()
    first, join = world.ask(Add(text="a"), "s:2"), world.ask(Join(), "s-bob:1", who="bob")
    await world.idle()
    second, read = world.ask(Add(text="b"), "s:3"), world.ask(Read())
    await world.idle()
    assert world.link.got == []
    world.store.gate.set()
    await world.idle()
    assert [world.result(cid) for cid in (first, join, second)] == [{"offset": 2}, {"offset": 3}, {"offset": 4}]
    assert world.result(read) == {"items": ["a", "b"]}
    words = world.link.words()
    assert world.link.offsets() == [2, 3, 4]
    assert words.index("following 3") < words.index("push 4")
    assert words.index("following 3") > words.index("push 3")
    assert world.store.epoch == epoch + 1
    assert world.texts() == ["ann", "a", "bob", "b"]


async def test_someone_put_out_in_a_doubtful_commit_no_longer_follows(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.outcomes.append("unknown-there")
    await world.answer(Leave(), "s:2")
    assert "dropped" in world.link.words()
    assert not world.shard.cells["e"].links


@pytest.mark.parametrize("outcome", ["unknown-there", "unknown-gone", "aborted", "down"])
async def test_a_second_failure_while_the_guilty_one_is_sought(world: World, outcome: str) -> None:
    await world.answer(Join(), "s:1")
    world.store.guilty = {"bad"}
    world.store.outcomes.extend(["ok", outcome])
    cids = [world.ask(Add(text=text), f"s:{n}") for n, text in enumerate(("a", "bad", "b"), 2)]
    await world.idle()
    unknown = outcome.startswith("unknown")
    assert world.result(cids[0]) == ({"offset": 2} if unknown else "storage_unavailable")
    assert world.result(cids[1]) == "invalid"
    assert world.result(cids[2]) == {"offset": 3 if unknown else 2}
    assert world.link.offsets() == ([2, 3] if unknown else [2])


async def test_storage_that_is_away_for_a_while_loses_nothing(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    world.store.outcomes.append("lost")
    cid = world.ask(Add(text="b"), "s:2")
    await world.idle()
    late = world.ask(Read())
    await world.idle()
    assert (world.result(cid), world.result(late)) == (None, None)
    world.store.down = False
    await world.idle()
    assert (world.result(cid), world.result(late)) == ({"offset": 2}, {"items": ["a", "b"]})


async def test_what_the_runtime_asks_itself_is_not_lost_by_an_abort(world: World) -> None:
    await world.answer(Wake(name="w", after_s=1), "s:1")
    world.store.outcomes.append("aborted")
    world.shard.submit(Work("e", AlarmFired(name="w")))
    await world.idle()
    assert world.shard.cells["e"].state.wakes == {}
    assert world.database.alarms == {}


async def test_a_fenced_shard_ends_and_says_nothing_more(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    world.store.outcomes.append("fenced")
    flown, waiting = world.ask(Add(text="b"), "s:2"), world.ask(Read())
    await world.idle()
    later = world.ask(Read(), entity="other")
    await world.idle()
    assert len(world.halted) == 1
    assert [world.result(cid) for cid in (flown, waiting, later)] == [None, None, None]


async def test_the_live_part_goes_back_with_what_was_undone(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    world.store.outcomes.append("aborted")
    world.ask(Add(text="b"), "s:2")
    await world.idle()
    assert world.shard.cells["e"].live == 1


# -- the lease --------------------------------------------------------------------------------------------------------


async def test_a_shard_with_an_old_lease_says_nothing_until_it_is_confirmed(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    world.clock.passed_s += 3.1
    world.store.down = True
    read = world.ask(Read())
    refuse = world.ask(Refuse())
    await world.idle()
    assert (world.result(read), world.result(refuse)) == (None, None)
    world.store.down = False
    await world.idle()
    assert world.result(read) == {"items": ["a"]}
    assert world.link.words()[-2:] == [f"answer {read}", f"full {refuse}"]


async def test_a_confirmation_that_took_too_long_confirms_nothing(world: World) -> None:
    await world.answer(Read())
    world.clock.passed_s += 3.1
    late = [3.5]

    def stopped_meanwhile() -> None:
        if late:
            world.clock.passed_s += late.pop()

    world.store.on_confirm = stopped_meanwhile
    assert await world.answer(Read()) == {"items": []}
    assert world.store.confirms == 2


async def test_a_commit_that_took_too_long_is_confirmed_before_it_is_said(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.gate.clear()
    cid = world.ask(Add(text="a"), "s:2")
    await world.idle()
    world.clock.passed_s += 10
    world.store.gate.set()
    await world.idle()
    assert world.store.confirms == 1
    assert world.result(cid) == {"offset": 2}
    assert world.link.offsets() == [2]


async def test_what_was_held_for_the_lease_is_not_said_twice_after_a_bad_commit(world: World) -> None:
    await world.answer(Join(), "s:1")
    world.store.gate.clear()
    first = world.ask(Add(text="a"), "s:2")
    await world.idle()
    second = world.ask(Add(text="b"), "s:3")
    world.clock.passed_s += 10
    world.store.outcomes.extend(["ok", "unknown-there"])
    world.store.gate.set()
    await world.idle()
    assert (world.result(first), world.result(second)) == ({"offset": 2}, {"offset": 3})
    assert world.link.offsets() == [2, 3]


async def test_an_entity_whose_join_is_held_for_the_lease_is_not_put_to_rest(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    world.clock.passed_s += 3.1
    world.store.down = True
    world.ask(Join(), "s:2")
    world.store.down = False
    world.shard.activation.passivate(at_least=10)
    await world.idle()
    assert world.shard.cells["e"].present


async def test_a_fence_met_while_confirming_ends_the_shard_once(world: World) -> None:
    await world.answer(Read())
    world.clock.passed_s += 3.1
    world.store.fence = True
    cids = [world.ask(Read()) for _ in range(3)]
    await world.idle()
    assert len(world.halted) == 1
    assert [world.result(cid) for cid in cids] == [None] * 3


# -- bounds -----------------------------------------------------------------------------------------------------------


async def test_a_full_queue_refuses_and_an_answer_makes_room() -> None:
    world = await World(queue=2).start()
    world.store.gate.clear()
    cids = [world.ask(Add(text=str(n)), f"s:{n}") for n in range(3)]
    await world.idle()
    assert [world.result(cid) for cid in cids] == [None, None, "actor_unavailable"]
    world.store.gate.set()
    await world.idle()
    assert await world.answer(Add(text="2"), "s:2") == {"offset": 3}
    assert world.shard.waiting == 0


async def test_idle_entities_rest_and_come_back_and_followed_ones_stay() -> None:
    world = await World(passivate_after_s=10).start()
    await world.answer(Add(text="a"), "s:1")
    await world.answer(Join(), "s:2", entity="followed")
    world.clock.passed_s += 11
    world.shard.activation.passivate()
    assert set(world.shard.cells) == {"followed"}
    assert await world.answer(Read()) == {"items": ["a"]}
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}


async def test_an_entity_with_something_uncommitted_does_not_rest() -> None:
    world = await World(passivate_after_s=10).start()
    await world.answer(Read())
    world.store.gate.clear()
    world.ask(Add(text="a"), "s:1")
    await world.idle()
    world.clock.passed_s += 11
    assert world.shard.activation.passivate(at_least=5) == 0
    world.store.gate.set()
    await world.idle()


async def test_the_cap_on_live_entities_puts_the_longest_idle_to_rest_or_refuses() -> None:
    world = await World(live_entities=2).start()
    for entity in "abc":
        world.clock.passed_s += 0.1
        await world.answer(Add(text=entity), "s:1", entity=entity)
    assert set(world.shard.cells) == {"b", "c"}
    for entity in "bc":
        await world.answer(Join(), "s:2", entity=entity)
    assert await world.answer(Read(), entity="a") == "actor_unavailable"


async def test_what_arrives_together_is_loaded_together(world: World) -> None:
    cids = [world.ask(Read(), entity=entity) for entity in ("a", "b", "c", "a")]
    await world.idle()
    assert world.store.loads == [["a", "b", "c"]]
    assert all(world.result(cid) == {"items": []} for cid in cids)


async def test_callers_are_told_where_an_entity_cannot_be_loaded_for_long(world: World) -> None:
    world.store.down = True
    first = world.ask(Read(), entity="a")
    await world.idle()
    second = world.ask(Read(), entity="b")
    world.clock.passed_s += 6
    await world.idle()
    assert (world.result(first), world.result(second)) == ("storage_unavailable", "storage_unavailable")
    world.store.down = False
    await world.idle()
    assert await world.answer(Read(), entity="b") == {"items": []}


async def test_an_entity_that_cannot_be_read_fails_alone(world: World) -> None:
    await world.answer(Add(text="a"), "s:1", entity="spoilt")
    rows = world.journal("spoilt")
    rows[0] = msgspec.structs.replace(rows[0], format=99)
    await world.start()
    bad, good = world.ask(Read(), entity="spoilt"), world.ask(Read(), entity="good")
    await world.idle()
    assert (world.result(bad), world.result(good)) == ("internal", {"items": []})
    assert world.halted == []


async def test_a_stopped_shard_has_finished_and_tells_who_asks_to_come_back(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    last = world.ask(Add(text="a"), "s:1")
    await world.idle()
    stopping = asyncio.ensure_future(world.shard.stop())
    await world.idle()
    assert not stopping.done()
    world.store.gate.set()
    await stopping
    assert world.result(last) == {"offset": 1}
    assert await world.answer(Add(text="b"), "s:2") == "draining"
    assert world.texts() == ["a"]


async def test_an_entity_of_another_shard_is_refused(world: World) -> None:
    world.shard.activation._owns = lambda entity: entity != "foreign"
    assert await world.answer(Read(), entity="foreign") == "actor_unavailable"


# -- claims, effects, alarms ------------------------------------------------------------------------------------------


async def test_a_unique_name_is_one_entitys_and_the_claim_is_permanent_with_the_commit(world: World) -> None:
    first = world.ask(Name(name="n"), "s:1", entity="a")
    second = world.ask(Name(name="n"), "s:1", entity="b")
    await world.idle()
    assert (world.result(first), world.result(second)) == ({}, "conflict")
    assert world.database.claims["log.name", "n"].expires_at is None
    assert await world.answer(Name(name="n"), "s:1", entity="a") == {}


async def test_an_effect_goes_out_once_after_its_commit_and_its_result_ends_it(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    world.ask(Owe(id="1"), "s:1")
    await world.idle()
    assert world.post.sent == []
    world.ask(Add(text="a"), "s:2")
    world.store.gate.set()
    await world.idle()
    await world.answer(Add(text="b"), "s:3")
    assert world.post.operations == ["effect:log:e:1"]
    world.store.gate.clear()
    world.ask(Add(text="c"), "s:4")  # flies with the effect still owed, lands when its result is known
    await world.idle()
    world.post.sent[0][1](Answer(0, b"{}"))
    world.store.gate.set()
    await world.idle()
    assert world.post.operations == ["effect:log:e:1"]
    assert world.folded().owed == ()
    assert not world.shard.cells["e"].issued


async def test_an_entity_that_cannot_be_read_is_an_internal_error_and_its_neighbours_are_well(world: World) -> None:
    await world.answer(Add(text="a"), "s:1", entity="well")
    whole = world.store.load

    async def load(ids: Sequence[str]) -> Mapping[str, Loaded]:
        loaded = await whole(ids)
        for entity in set(ids) & {"torn"}:
            loaded[entity].unreadable = "sealed with a key that is not configured"
        return loaded

    world.store.load = load  # type: ignore[method-assign]
    assert await world.answer(Read(), entity="torn") == "internal"
    assert await world.answer(Add(text="b"), "s:2", entity="torn") == "internal"
    assert await world.answer(Read(), entity="well") == {"items": ["a"]}
    assert world.halted == []


async def test_a_journal_row_that_cannot_be_read_fails_who_asks_for_it_and_not_the_shard(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")

    async def page(*_: Any) -> Any:
        raise Unreadable("damaged")

    world.store.page = page  # type: ignore[method-assign]
    world.shard.link_message(world.link, History(77, "e", 0, 10, Caller("ann")))
    await world.idle()
    assert world.result(77) == "internal"
    assert world.halted == []
    assert await world.answer(Read()) == {"items": ["a"]}


def test_an_effect_in_a_series_is_known_like_a_sessions_request_and_any_other_by_its_name() -> None:
    other = Effect(id="e", target=Address("other", "o"), command=b"")
    counted = msgspec.structs.replace(other, series="use", number=7)
    assert effects.operation_of("log", "x", other) == "effect:log:x:e"
    assert split(effects.operation_of("log", "x", counted)) == ("effect/log/x/use", 7)


async def test_an_uncommitted_effect_that_is_rolled_back_never_went_out(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    world.store.outcomes.extend(["aborted", "aborted"])
    world.ask(Add(text="a"), "s:1")
    await world.idle()
    world.ask(Owe(id="1"), "s:2")
    world.store.gate.set()
    await world.idle()
    assert world.post.sent == []


async def test_effects_are_issued_again_after_a_restart_and_wake_a_crashed_entity(world: World) -> None:
    await world.answer(Owe(id="1"), "s:1")
    assert world.database.alarms.keys() == {("log", "e", EFFECTS_ALARM)}
    await world.start()
    world.shard.submit(Work("e", AlarmFired(name=EFFECTS_ALARM)))
    await world.idle()
    assert world.post.operations == ["effect:log:e:1"]
    world.post.sent[0][1](Refused(0, "not_found", "gone"))
    await world.idle()
    assert world.database.alarms == {}
    assert world.folded().owed == ()


async def test_an_effect_refused_retryably_is_tried_again(world: World) -> None:
    await world.answer(Owe(id="1"), "s:1")
    world.post.sent[0][1](Refused(0, "actor_unavailable", "busy"))
    await world.idle()
    assert world.post.operations == ["effect:log:e:1"] * 2


async def test_an_effect_that_was_given_up_is_not_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    class Held:
        def call_later(self, _after: float, call: Any, *arguments: Any) -> None:
            later.append((call, arguments))

    later: list[Any] = []
    monkeypatch.setattr(world.shard.effects, "_loop", Held())
    await world.answer(Owe(id="1"), "s:1")
    world.post.sent[0][1](Refused(0, "actor_unavailable", "busy"))
    world.shard.submit(Work("e", EffectDone(id="1")))  # as an alarm of the entity's own would
    await world.idle()
    [(call, arguments)] = later
    call(*arguments)
    assert world.post.operations == ["effect:log:e:1"]


async def test_an_alarm_is_written_and_deleted_in_the_same_commit(world: World) -> None:
    await world.answer(Wake(name="w", after_s=5), "s:1")
    assert [len(batch.alarms) for batch in world.store.batches if batch.journal] == [1]
    clock = AlarmClock(world.shard, [(0, 4096)], lambda _: True)
    await clock._fire_due()
    await world.idle()
    assert world.shard.cells["e"].state.wakes
    world.clock.passed_s += 5
    world.shard.confirmed_at = world.clock.passed_s
    await clock._fire_due()
    await clock._fire_due()
    await world.idle()
    assert world.database.alarms == {}
    assert [row.event_type for row in world.journal()] == ["WakeSet", "Woken"]
    assert len(world.store.batches[-1].journal) == len(world.store.batches[-1].alarms) == 1


async def test_an_alarm_set_anew_while_it_was_handled_fires_anew(world: World) -> None:
    clock = AlarmClock(world.shard, [(0, 4096)], lambda _: True)
    for n in (1, 2):
        await world.answer(Wake(name="w", after_s=0), f"s:{n}")
        await clock._fire_due()
        await world.idle()
    assert [row.event_type for row in world.journal()] == ["WakeSet", "Woken"] * 2


async def test_an_alarm_that_nobody_owes_is_deleted(world: World) -> None:
    world.shard.submit(Work("e", AlarmFired(name="ghost")))
    await world.idle()
    assert [alarm.due_at for batch in world.store.batches for alarm in batch.alarms] == [None]


# -- odds and ends ----------------------------------------------------------------------------------------------------


async def test_an_event_without_a_push_takes_no_offset(world: World) -> None:
    await world.answer(Note(text="n"), "s:1")
    assert await world.answer(Add(text="a"), "s:2") == {"offset": 1}
    assert [row.stream_offset for row in world.journal()] == [None, 1]
    await world.start()
    assert await world.answer(Add(text="b"), "s:3") == {"offset": 2}


async def test_a_stale_owner_writes_nothing_after_a_takeover(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    successor = ScriptedStore(world.database)
    await successor.acquire()
    world.ask(Add(text="b"), "s:2")
    await world.idle()
    assert world.texts() == ["a"]
    assert len(world.halted) == 1
    with pytest.raises(Fenced):
        await world.store.confirm()


async def test_the_state_is_the_fold_of_the_journal_from_a_checkpoint_too() -> None:
    world = await World(checkpoint_every=3).start()
    for n in range(8):
        await world.answer(Add(text=str(n)), f"s:{n}")
    await world.start()
    assert (await world.answer(Read()))["items"] == [str(n) for n in range(8)]
    live = world.shard.cells["e"].state
    assert isinstance(live, LogState)
    assert json.loads(world.shard.kind.encode_state(live)) == json.loads(world.shard.kind.encode_state(world.folded()))

"""What every Store does, held against the twin in memory and the real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from making import NOW, checkpoint, event, insight, operation, practitioner, ritual, run, space, state

from actors.runtime.entity import EVERYTHING, Delete, Purge, Upsert
from actors.runtime.layout import SLOTS
from actors.runtime.ports import Alarm, Batch, Claim, CommitAborted, Fenced, Forget, Loaded, Store

ALL = [(0, SLOTS)]


@pytest.fixture(params=["memory", "postgres"])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_backend")


@pytest.fixture
async def store(backend: Any) -> Store:
    store: Store = backend.store()
    await store.acquire()
    return store


# ── commit and load ──


async def test_what_was_committed_is_loaded_in_order(store: Store) -> None:
    first = operation(1, "s:1")
    await store.commit(Batch(journal=[first, event(2, offset=1), event(1, "b")]))
    await store.commit(Batch(journal=[event(3, offset=2)]))
    loaded = await store.load(["b", "a"])
    assert loaded["a"] == Loaded(events=[first, event(2, offset=1), event(3, offset=2)])
    assert loaded["b"].events == [event(1, "b")]


async def test_an_unknown_entity_is_loaded_empty(store: Store) -> None:
    assert await store.load(["nobody"]) == {"nobody": Loaded(events=[])}
    assert await store.load([]) == {}


async def test_an_empty_batch_commits(store: Store) -> None:
    await store.commit(Batch())


async def test_an_entity_is_loaded_from_its_checkpoint_and_the_events_after_it(store: Store) -> None:
    await store.commit(Batch(journal=[event(1), event(2), event(3)], checkpoints=[checkpoint(2)]))
    assert await store.load(["a"]) == {"a": Loaded(checkpoint=checkpoint(2), events=[event(3)])}


async def test_a_checkpoint_goes_only_forward(store: Store) -> None:
    await store.commit(Batch(checkpoints=[checkpoint(5), checkpoint(4)]))
    await store.commit(Batch(checkpoints=[checkpoint(3)]))
    assert (await store.load(["a"]))["a"].checkpoint == checkpoint(5)
    await store.commit(Batch(checkpoints=[checkpoint(6)]))
    assert (await store.load(["a"]))["a"].checkpoint == checkpoint(6)


async def test_kinds_do_not_see_each_other(backend: Any, store: Store) -> None:
    other = backend.store(kind="practitioner")
    await other.acquire()
    await store.commit(Batch(journal=[event(1)], alarms=[Alarm(entity_id="a", name="x", due_at=NOW)]))
    assert (await other.load(["a"]))["a"] == Loaded(events=[])
    assert await other.due_alarms(ALL, 10) == []


async def test_a_seq_that_is_there_already_aborts_and_blames_no_command(store: Store) -> None:
    await store.commit(Batch(journal=[event(1)]))
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(Batch(journal=[event(1), event(2)]))
    assert not aborted.value.data_error
    assert (await store.load(["a"]))["a"].events == [event(1)]


# ── pages ──


async def test_a_page_has_numbered_events_after_the_offset(store: Store) -> None:
    rows = [event(1, offset=1), event(2), event(3, offset=2), event(4, offset=3), event(5, offset=4)]
    await store.commit(Batch(journal=rows))
    assert [row.stream_offset for row in await store.page("a", 1, 2, 10_000)] == [2, 3]
    assert [row.stream_offset for row in await store.page("a", 0, 100, 10_000)] == [1, 2, 3, 4]
    assert await store.page("a", 4, 100, 10_000) == []


async def test_a_page_stops_at_its_bytes_but_has_at_least_one_event(store: Store) -> None:
    await store.commit(Batch(journal=[event(seq, offset=seq, data=b"x" * 100) for seq in (1, 2, 3)]))
    assert len(await store.page("a", 0, 10, 1)) == 1
    assert len(await store.page("a", 0, 10, 101)) == 2
    assert len(await store.page("a", 0, 10, 300)) == 3


# ── operations ──


async def test_operations_are_found_with_their_replies(store: Store) -> None:
    await store.commit(Batch(journal=[operation(1, "s:1"), operation(2, "k-key"), operation(3, "t:7"), event(4)]))
    found = await store.find_operations("a", 10, ["s:1", "k-key", "s:2"])
    assert {(one.operation_id, one.request_digest, one.reply) for one in found.operations} == {
        ("s:1", b"d1", b'{"r":1}'),
        ("k-key", b"d2", b'{"r":2}'),
    }
    assert found.oldest == {"s": 1}
    assert found.whole


async def test_operations_before_the_window_are_not_found_and_the_window_is_not_whole(store: Store) -> None:
    await store.commit(Batch(journal=[operation(seq, f"s:{seq + 10}") for seq in range(1, 6)]))
    found = await store.find_operations("a", 2, ["s:11", "s:15"])
    assert [one.operation_id for one in found.operations] == ["s:15"]
    assert found.oldest == {"s": 14}
    assert not found.whole
    assert (await store.find_operations("a", 5, ["s:11"])).whole


async def test_a_key_is_found_in_the_window_and_not_before_it(store: Store) -> None:
    await store.commit(Batch(journal=[operation(seq, f"a:k-{seq}") for seq in range(1, 5)] + [operation(5, "s:9")]))
    found = await store.find_operations("a", 3, ["a:k-2", "a:k-3", "a:k-4", "a:k-5"])
    assert {one.operation_id: one.reply for one in found.operations} == {"a:k-3": b'{"r":3}', "a:k-4": b'{"r":4}'}
    assert (found.oldest, found.whole) == ({}, False)
    assert (await store.find_operations("a", 5, ["a:k-9"])).whole


async def test_nothing_ever_happened_to_an_unknown_entity(store: Store) -> None:
    found = await store.find_operations("nobody", 10, ["s:1", "effect:space:x:e", "s:99999999999999999999999"])
    assert (list(found.operations), found.oldest, found.whole) == ([], {}, True)


async def test_a_checkpoint_without_events_means_that_something_was_forgotten(store: Store) -> None:
    await store.commit(Batch(checkpoints=[checkpoint(5)]))
    assert not (await store.find_operations("a", 10, ["s:1"])).whole


# ── claims ──


async def test_a_name_has_one_claimant(store: Store) -> None:
    assert await store.claim("email", "x", "a", "s:1", 60)
    assert await store.claim("email", "x", "a", "s:1", 60)
    assert not await store.claim("email", "x", "b", "s:1", 60)
    assert await store.claim("slug", "x", "b", "s:1", 60)


async def test_an_unconfirmed_claim_expires(backend: Any, store: Store) -> None:
    assert await store.claim("email", "x", "a", "s:1", 60)
    await backend.expire_claims()
    assert await store.claim("email", "x", "b", "s:1", 60)
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(
            Batch(journal=[event(1)], claims=[Claim(scope="email", name="x", entity_id="a", confirm=True)])
        )
    assert aborted.value.data_error
    assert aborted.value.conflict
    assert (await store.load(["a"]))["a"].events == []


async def test_a_confirmed_claim_is_for_good_until_released(backend: Any, store: Store) -> None:
    await store.claim("email", "x", "a", "s:1", 60)
    await store.commit(Batch(claims=[Claim(scope="email", name="x", entity_id="a", confirm=True)]))
    await backend.expire_claims()
    assert not await store.claim("email", "x", "b", "s:1", 60)
    assert await store.claim("email", "x", "a", "s:2", 60)
    await store.commit(Batch(claims=[Claim(scope="email", name="x", entity_id="b", confirm=False)]))
    assert not await store.claim("email", "x", "b", "s:1", 60)
    await store.commit(Batch(claims=[Claim(scope="email", name="x", entity_id="a", confirm=False)]))
    assert await store.claim("email", "x", "b", "s:1", 60)


async def test_the_last_word_on_a_claim_counts(store: Store) -> None:
    confirm = Claim(scope="email", name="x", entity_id="a", confirm=True)
    await store.commit(Batch(claims=[confirm, Claim(scope="email", name="x", entity_id="a", confirm=False)]))
    assert await store.claim("email", "x", "b", "s:1", 60)


# ── alarms ──


async def test_due_alarms_come_longest_overdue_first_and_only_of_the_slots_asked_for(store: Store) -> None:
    past, future = NOW - timedelta(days=9000), datetime.now(UTC) + timedelta(hours=1)
    await store.commit(
        Batch(
            alarms=[
                Alarm(entity_id="a", name="late", due_at=past + timedelta(seconds=1)),
                Alarm(entity_id="b", name="later", due_at=past),
                Alarm(entity_id="a", name="not yet", due_at=future),
            ]
        )
    )
    assert list(await store.due_alarms(ALL, 10)) == [("b", "later"), ("a", "late")]
    assert list(await store.due_alarms(ALL, 1)) == [("b", "later")]
    halves = [await store.due_alarms([(0, 2048)], 10), await store.due_alarms([(2048, SLOTS)], 10)]
    assert sorted([*halves[0], *halves[1]]) == [("a", "late"), ("b", "later")]
    assert await store.due_alarms([], 10) == []


async def test_an_alarm_is_moved_and_deleted(store: Store) -> None:
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert await store.next_alarm_in(ALL) is None
    await store.commit(Batch(alarms=[Alarm(entity_id="a", name="x", due_at=NOW - timedelta(days=9000))]))
    assert await store.next_alarm_in(ALL) == 0
    await store.commit(
        Batch(alarms=[Alarm(entity_id="a", name="x", due_at=None), Alarm(entity_id="a", name="x", due_at=soon)])
    )
    due_in = await store.next_alarm_in(ALL)
    assert due_in is not None
    assert 50 < due_in <= 60
    await store.commit(Batch(alarms=[Alarm(entity_id="a", name="x", due_at=None)]))
    assert await store.next_alarm_in(ALL) is None


# ── rows of the seeds' tables ──


async def test_a_row_is_written_and_its_unnamed_columns_stay(backend: Any, store: Store) -> None:
    row = space(slug="garden", current_participants=1, shared_state={"k": [1, None]}, created_at=NOW)
    await store.commit(Batch(rows=[row]))
    await store.commit(
        Batch(rows=[Upsert(table="collective_spaces", values={"id": row.values["id"], "current_participants": 2})])
    )
    (found,) = await backend.rows("collective_spaces")
    assert (found["slug"], found["current_participants"], found["purpose"]) == ("garden", 2, "p")
    assert found["shared_state"] == {"k": [1, None]}
    assert found["created_at"] == NOW


async def test_rows_of_a_batch_fold_into_one(backend: Any, store: Store) -> None:
    row = space(name="old", tradition="zen")
    again = Upsert(table="collective_spaces", values={"id": row.values["id"], "name": "new"})
    gone = space()
    await store.commit(Batch(rows=[row, again, gone, Delete(table="collective_spaces", id=gone.values["id"])]))
    (found,) = await backend.rows("collective_spaces")
    assert (found["name"], found["tradition"]) == ("new", "zen")


async def test_a_row_is_deleted(backend: Any, store: Store) -> None:
    row = practitioner()
    await store.commit(Batch(rows=[row]))
    await store.commit(Batch(rows=[Delete(table="practitioners", id=row.values["id"])]))
    assert await backend.rows("practitioners") == []


async def test_a_login_is_kept_with_its_token_hash(backend: Any, store: Store) -> None:
    whose = practitioner()
    login = {"id": str(uuid4()), "practitioner_id": whose.values["id"], "token_hash": b"\x00\xff", "expires_at": NOW}
    await store.commit(Batch(rows=[whose, Upsert(table="auth_sessions", values=login)]))
    assert [row["token_hash"] for row in await backend.rows("auth_sessions")] == [b"\x00\xff"]


@pytest.mark.parametrize(
    "bad",
    [
        space(name=None),
        space(shared_state={"x": float("nan")}),
        space(shared_state={"x": "a\0b"}),
        space(purpose="a\0b"),
        space(no_such_column=1),
        Upsert(table="no_such_table", values={"id": str(uuid4())}),
        Upsert(table="collective_spaces", values={"name": "n", "purpose": "p"}),
    ],
    ids=["missing", "nan", "nul in json", "nul in text", "column", "table", "no id"],
)
async def test_a_data_error_leaves_nothing_behind(backend: Any, store: Store, bad: Upsert) -> None:
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(
            Batch(journal=[event(1)], rows=[space(), bad], alarms=[Alarm(entity_id="a", name="x", due_at=NOW)])
        )
    assert aborted.value.data_error
    assert not aborted.value.conflict
    assert (await store.load(["a"]))["a"].events == []
    assert await backend.rows("collective_spaces") == []
    assert await store.next_alarm_in(ALL) is None
    await store.commit(Batch(journal=[event(1)], rows=[space()]))


async def test_a_second_practitioner_of_an_email_is_a_conflict(backend: Any, store: Store) -> None:
    await store.commit(Batch(rows=[practitioner()]))
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(Batch(journal=[event(1)], rows=[practitioner(), practitioner("b@example.org")]))
    assert aborted.value.data_error
    assert aborted.value.conflict
    assert len(await backend.rows("practitioners")) == 1
    assert (await store.load(["a"]))["a"].events == []


async def test_a_slug_is_free_again_once_its_space_is_closed(backend: Any, store: Store) -> None:
    first = space(slug="garden")
    await store.commit(Batch(rows=[first]))
    with pytest.raises(CommitAborted):
        await store.commit(Batch(rows=[space(slug="garden")]))
    await store.commit(
        Batch(rows=[Upsert(table="collective_spaces", values={"id": first.values["id"], "closed_at": NOW})])
    )
    await store.commit(Batch(rows=[space(slug="garden")]))
    assert len(await backend.rows("collective_spaces")) == 2


# ── fencing ──


async def test_a_second_owner_fences_the_first(backend: Any, store: Store) -> None:
    await store.commit(Batch(journal=[event(1)]))
    second = backend.store()
    assert await second.acquire() == store.epoch + 1
    for refused in (
        store.commit(Batch(journal=[event(2)])),
        store.confirm(),
        store.settle(),
        store.commit(Batch(rows=[space()])),
    ):
        with pytest.raises(Fenced):
            await refused
    await second.confirm()
    await second.commit(Batch(journal=[event(2)]))
    assert len((await second.load(["a"]))["a"].events) == 2


async def test_shards_have_leases_of_their_own(backend: Any, store: Store) -> None:
    await backend.store(shard=1).acquire()
    await store.confirm()


async def test_a_lease_is_not_taken_under_an_incarnation_that_is_over(backend: Any, store: Store) -> None:
    incarnation = backend.store()._incarnation
    await backend.new_incarnation()
    with pytest.raises(Fenced):
        await backend.store(incarnation=incarnation).acquire()
    await store.confirm()  # until somebody raises it
    await backend.store().acquire()
    with pytest.raises(Fenced):
        await store.confirm()


async def test_settling_raises_the_own_epoch_and_goes_on(store: Store) -> None:
    epoch = store.epoch
    await store.settle()
    assert store.epoch == epoch + 1
    await store.confirm()
    await store.commit(Batch(journal=[event(1)]))


async def test_nothing_is_committed_before_the_lease_is_acquired(backend: Any) -> None:
    with pytest.raises(Fenced):
        await backend.store().commit(Batch(journal=[event(1)]))


# ── the tables of rituals ──


async def test_a_state_is_written_once(backend: Any, store: Store) -> None:
    someone = practitioner()
    first = state(someone.values["id"], 1)
    await store.commit(Batch(rows=[first, someone]))  # the reference is looked at when all is written
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(Batch(rows=[first]))
    assert aborted.value.data_error
    assert aborted.value.conflict
    assert len(await backend.rows("archetypal_states")) == 1


@pytest.mark.parametrize("table", ["archetypal_states", "ritual_sessions", "oracle_insights"])
async def test_a_row_that_refers_to_nobody_aborts_and_the_store_goes_on(backend: Any, store: Store, table: str) -> None:
    nobody = str(uuid4())
    row = {
        "archetypal_states": state(nobody, 1),
        "ritual_sessions": run(nobody, nobody),
        "oracle_insights": insight(nobody),
    }
    with pytest.raises(CommitAborted) as aborted:
        await store.commit(Batch(journal=[event(1)], rows=[row[table]]))
    assert aborted.value.data_error
    assert not aborted.value.conflict
    assert await backend.rows(table) == []
    await store.commit(Batch(journal=[event(1)], rows=[practitioner()]))


async def test_a_run_is_begun_completed_and_annotated(backend: Any, store: Store) -> None:
    someone = practitioner()
    who = someone.values["id"]
    first, begun = state(who, 1), run(who, str(uuid4()))
    await store.commit(Batch(rows=[someone, begun]))
    done = {"status": "completed", "post_state_id": first.values["id"], "result": {"a": [1]}, "fuel": 7}
    await store.commit(Batch(rows=[first, Upsert(table="ritual_sessions", values={"id": begun.values["id"]} | done)]))
    rated = {"id": begun.values["id"], "effectiveness_rating": 9, "integration_notes": "ü"}
    await store.commit(Batch(rows=[Upsert(table="ritual_sessions", values=rated)]))
    (row,) = await backend.rows("ritual_sessions")
    found = {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}
    assert found.items() >= (begun.values | done | rated).items()


async def test_a_ritual_keeps_its_module_when_it_is_used_and_rated(backend: Any, store: Store) -> None:
    module = bytes(range(256)) * 1000
    uploaded = ritual(wasm_module_data=module, wasm_module_hash="a" * 64)
    await store.commit(Batch(rows=[uploaded]))
    used = {"id": uploaded.values["id"], "usage_count": 3, "effectiveness_rating": 9.75, "rating_count": 4}
    await store.commit(Batch(rows=[Upsert(table="sacred_rituals", values=used)]))
    (row,) = await backend.rows("sacred_rituals")
    assert (row["wasm_module_data"], row["name"], row["usage_count"], float(row["effectiveness_rating"])) == (
        module,
        "n",
        3,
        9.75,
    )


# ── forgetting ──


async def test_events_at_or_below_the_checkpoint_of_the_same_commit_are_forgotten(store: Store) -> None:
    await store.commit(Batch(journal=[event(1), event(2), event(1, "b")]))
    await store.commit(
        Batch(journal=[event(3)], checkpoints=[checkpoint(3)], forgets=[Forget(entity_id="a", limit=EVERYTHING)])
    )
    assert await store.load(["a", "b"]) == {
        "a": Loaded(checkpoint=checkpoint(3), events=[]),
        "b": Loaded(events=[event(1, "b")]),
    }
    assert not (await store.find_operations("a", 10, ["s:1"])).whole
    await store.commit(Batch(journal=[event(4)]))
    assert (await store.load(["a"]))["a"].events == [event(4)]


async def test_no_event_above_the_checkpoint_is_forgotten_and_the_oldest_go_first(store: Store) -> None:
    await store.commit(Batch(journal=[event(seq, offset=seq) for seq in range(1, 6)]))
    await store.commit(Batch(forgets=[Forget(entity_id="a", limit=EVERYTHING)]))
    assert len(await store.page("a", 0, 10, 10_000)) == 5
    await store.commit(Batch(checkpoints=[checkpoint(4)], forgets=[Forget(entity_id="a", limit=2)]))
    assert [row.seq for row in await store.page("a", 0, 10, 10_000)] == [3, 4, 5]
    await store.commit(Batch(forgets=[Forget(entity_id="a", limit=EVERYTHING)]))
    assert [row.seq for row in await store.page("a", 0, 10, 10_000)] == [5]


async def test_a_practitioners_rows_are_purged_in_steps_and_what_is_left_goes_with_them(
    backend: Any, store: Store
) -> None:
    whose, other = practitioner("a@example.org"), practitioner("b@example.org")
    rows = [whose, other, *(state(whose.values["id"], version) for version in (1, 2, 3)), state(other.values["id"], 1)]
    logins = [
        {"id": str(uuid4()), "practitioner_id": each.values["id"], "token_hash": uuid4().bytes, "expires_at": NOW}
        for each in (whose, other)
    ]
    await store.commit(Batch(rows=[*rows, *(Upsert(table="auth_sessions", values=login) for login in logins)]))
    await store.commit(Batch(purges=[Purge(table="archetypal_states", practitioner=whose.values["id"], limit=2)]))
    assert len(await backend.rows("archetypal_states")) == 2
    await store.commit(Batch(rows=[Delete(table="practitioners", id=whose.values["id"])]))
    for table in ("practitioners", "archetypal_states", "auth_sessions"):
        (left,) = await backend.rows(table)
        assert whose.values["id"] not in map(str, left.values())

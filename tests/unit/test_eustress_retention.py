from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from eustress_world import Space, entity
from msgspec import structs
from test_eustress_entity import STATS

from actors.eustress import commands as c
from actors.eustress import lake
from actors.eustress.retention import EVENTS_KEPT, EVENTS_STEP
from actors.eustress.scene import CONNECTIONS, ENTITIES
from actors.eustress.state import TRIM_ROWS
from actors.runtime.entity import Address, AlarmFired, EffectDone, Trim

FILE = lake.ArchiveFile(name="entities.parquet", rows=3, bytes=10, sha256="0" * 64)


def aged(**policy: Any) -> Space:
    """A space whose entity changed twice and went, long enough ago, and a round that has begun."""
    space = Space(**({"retention_s": 60} | policy))
    for x in range(3):
        space.batch(entities=[entity("a", x), entity("b", consent=False)])
    space.batch(removed_entities=["a", "b"])
    space.do(c.TakeSnapshot())
    space.wait(100)
    assert space.fire() == "retention"
    return space


def owed(space: Space) -> list[Any]:
    return [lake.codec.decode(effect.command) for effect in space.kind.agenda(space.state).effects.values()]


def archived(space: Space, **removable: int) -> lake.Archived:
    return lake.Archived(
        from_version=1, to_version=4, to_time=space.now, files=(FILE,), removable=lake.Removable(**removable)
    )


def trims(space: Space) -> list[Trim]:
    return [row for row in space.rows if isinstance(row, Trim)]


def epoch(space: Space, hours: float) -> str:
    """An epoch that ended some hours after the first of January."""
    end = space.now.replace(hour=0, minute=0, second=0) + timedelta(hours=hours)
    snapshot = space.reply(c.TakeSnapshot()).snapshot_id
    made = space.reply(
        c.CreateEpoch(
            start_time=end - timedelta(minutes=1), end_time=end, snapshot_ids=(snapshot,), sample_count=1, stats=STATS
        )
    )
    return str(made.id)


def test_without_a_policy_nothing_is_owed() -> None:
    space = Space()
    space.batch(entities=[entity("a")])
    assert set(space.kind.agenda(space.state).alarms) == {"snapshot"}
    assert not space.do(AlarmFired(name="retention")).events


@pytest.mark.parametrize(("seconds", "every"), [(1, 1), (60, 15), (10**6, 3600)])
def test_a_round_begins_every_quarter_of_what_is_kept(seconds: int, every: int) -> None:
    space = Space(retention_s=seconds)
    assert space.kind.agenda(space.state).alarms["retention"] == space.now + timedelta(seconds=every)
    space.fire()
    assert space.kind.agenda(space.state).alarms["retention"] == space.now + timedelta(seconds=every)
    space.policy(retention_s=0)
    assert not space.kind.agenda(space.state).alarms


def test_what_is_to_go_is_archived_first_and_then_removed_in_steps() -> None:
    space = aged()
    before = space.now - timedelta(seconds=60)
    assert owed(space) == [lake.Archive(space="quantum", before=before)]
    effect = space.answer(archived(space, markers=1, entities=TRIM_ROWS + 1))
    assert effect.target == Address("lake", "quantum")
    [row] = space.upserted("eustress_archives")
    assert (row["space_name"], row["to_version"], row["files"][0]["rows"]) == ("quantum", 4, 3)
    assert not owed(space)
    steps = []
    while "trim" in space.kind.agenda(space.state).alarms:
        space.do(AlarmFired(name="trim"))
        steps.append([row.table for row in trims(space)])
        assert all(row.before == before and row.after is None and row.limit == TRIM_ROWS for row in trims(space))
    assert steps == [["eustress_markers"], [ENTITIES], [ENTITIES]]
    assert space.state.header.horizon == before
    assert space.upserted("eustress_spaces")[0]["horizon"] == before
    assert space.reloaded().header == space.state.header


def test_steps_are_apart() -> None:
    space = aged()
    space.answer(archived(space, markers=2 * TRIM_ROWS))
    space.do(AlarmFired(name="trim"))
    assert space.kind.agenda(space.state).alarms["trim"] == space.now + timedelta(seconds=0.2)


def test_the_next_round_looks_at_what_ended_since() -> None:
    space = aged()
    first = space.now - timedelta(seconds=60)
    space.answer(archived(space, connections=1))
    assert space.fire() == "trim"
    assert trims(space)[0].table == CONNECTIONS
    space.batch(entities=[entity("c")])
    space.fire()
    [task] = owed(space)
    assert task.after == first
    space.answer(archived(space, entities=1))
    space.fire()
    assert trims(space)[0].after == first


def test_a_space_where_nothing_happens_asks_for_nothing() -> None:
    space = aged()
    space.answer(archived(space))
    space.fire()
    for _ in range(3):
        assert space.fire() == "retention"
        assert not owed(space)


def test_nothing_is_removed_that_could_not_be_archived() -> None:
    space = aged()
    space.answer(error="full")
    assert not owed(space)
    assert set(space.kind.agenda(space.state).alarms) == {"retention"}
    assert space.state.header.horizon is None
    space.fire()
    assert len(owed(space)) == 1


def test_a_round_waits_for_the_one_before() -> None:
    space = aged()
    space.fire()
    assert len(owed(space)) == 1
    space.answer(archived(space, entities=5))
    space.do(AlarmFired(name="retention"))
    assert not owed(space)


def test_an_answer_comes_twice_and_does_its_work_once() -> None:
    space = aged()
    effect = space.answer(archived(space))
    assert not space.do(EffectDone(id=effect.id, error="full")).events


def test_a_space_that_keeps_no_archive_has_its_rows_counted() -> None:
    space = aged(archive=False)
    [task] = owed(space)
    assert isinstance(task, lake.Count)
    space.answer(lake.Removable(entities=1))
    assert not space.upserted("eustress_archives")
    space.fire()
    assert [row.table for row in trims(space)] == [ENTITIES]


def test_an_archive_of_nothing_is_no_row() -> None:
    space = aged()
    space.answer(lake.Archived(to_time=space.now))
    assert not space.upserted("eustress_archives")


def test_what_was_removed_is_forgotten_a_round_after_its_rows_but_for_a_refusal() -> None:
    space = aged()
    for remembered in ({"a", "b"}, {"b"}):
        space.answer(archived(space, entities=1))
        space.fire()
        assert set(space.scene.gone) == remembered
        space.batch(entities=[entity("c", space.now.timestamp())])
        space.wait(100)
        space.fire()
    space.batch(entities=[entity("b")])
    assert space.scene.nodes["b"].trains is False
    assert [row.sure for row in space.ended()] == [False]


def test_the_oldest_events_go_and_the_newest_stay() -> None:
    space = aged()
    space.answer(archived(space))
    version = EVENTS_KEPT + 3 * EVENTS_STEP
    space.state = structs.replace(space.state, header=structs.replace(space.state.header, version=version))
    forgotten = 0
    while "trim" in space.kind.agenda(space.state).alarms:
        forgotten += space.do(AlarmFired(name="trim")).forget
    assert forgotten == space.state.header.forgotten
    assert EVENTS_KEPT <= space.state.header.version - forgotten < EVENTS_KEPT + 2 * EVENTS_STEP


# Epochs


def test_epochs_of_a_day_become_one() -> None:
    space = Space(consolidate_after_s=3600)
    space.batch(entities=[entity("a")])
    ids = [epoch(space, hours) for hours in (1, 5, 25, 26, 49)]
    space.wait(60 * 3600)
    space.fire()
    while not owed(space):
        space.fire()
    assert [set(task.epoch_ids) for task in owed(space)] == [set(ids[:2]), set(ids[2:4])]
    for task in owed(space):
        space.do(AlarmFired(name="retention"))  # asks for none of them again
        reply = lake.Consolidated(
            snapshot_ids=("00000000-0000-4000-8000-000000000001",),
            start_time=space.now,
            end_time=space.now,
            sample_count=2,
            stats=STATS,
        )
        space.answer(reply)
        [row] = [
            row for row in space.upserted("eustress_epochs") if row.get("sample_count") == 2 and row["id"] not in ids
        ][-1:]
        assert {space.upserts["eustress_epochs", id_]["consolidated_into"] for id_ in task.epoch_ids} == {row["id"]}
        assert space.frames[-1]["event"] == "epoch"
    assert not owed(space)
    assert len(space.state.header.epochs) == 3
    assert space.reloaded().header == space.state.header

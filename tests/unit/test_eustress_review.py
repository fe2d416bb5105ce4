"""What a hostile reader of the Eustress space found: commands that are small and come to very much, and pasts that were said to
be whole while they were removed."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from eustress_world import Space, contents, edge, entity

from actors.eustress import commands as c
from actors.eustress import lake, overlay
from actors.eustress.scene import ENTITIES, Scene
from actors.eustress.values import ITEMS_MAX, EpochStats
from actors.runtime.entity import AlarmFired
from actors.runtime.errors import ActorUnavailable, SanghaError, TooLarge

STATS = EpochStats(
    total_entities=1,
    total_connections=0,
    unique_types=1,
    avg_hierarchy_depth=0.0,
    sacred_frequency=0.0,
    spatial_coverage=0.001,
)


def refused(space: Space, command: Any) -> SanghaError:
    """Nothing is changed by what is refused."""
    before, seen = space.state, contents(space.scene)
    with pytest.raises(SanghaError) as failure:
        space.do(command)
    assert space.state is before
    assert contents(space.scene) == seen
    return failure.value


def ingest(per_item: bool = False, **items: Any) -> c.Ingest:
    return c.Ingest(items=msgspec.json.encode(items), per_item=per_item)


# Small commands that come to very much


@pytest.mark.parametrize("per_item", [False, True])
@pytest.mark.parametrize("field", ["entities", "connections", "parameters", "removed_entities", "placements"])
def test_a_batch_of_a_million_tiny_items_is_refused_before_they_are_decoded(field: str, per_item: bool) -> None:
    text = b'{"%s":[%s]}' % (field.encode(), b",".join([b"1"] * 1_000_000))
    began = time.process_time()
    failure = refused(Space(), c.Ingest(items=text, per_item=per_item))
    assert time.process_time() - began < 1
    assert isinstance(failure, TooLarge)
    assert str(ITEMS_MAX) in failure.message


def test_items_of_all_fields_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.eustress.reading.ITEMS_MAX", 5)
    space = Space()
    space.batch(entities=[entity("a")], removed_entities=["x"] * 4)
    assert isinstance(refused(space, ingest(entities=[entity("a")], removed_entities=["x"] * 5)), TooLarge)


@pytest.mark.parametrize("per_item", [False, True])
def test_what_would_change_too_much_at_once_is_refused_whole(per_item: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A root goes, and takes its connections along; item by item too, for what is half done cannot be left out."""
    space = Space()
    space.batch(entities=[entity("root"), *(entity(f"e{n}") for n in range(20))])
    space.batch(connections=[edge("root", f"e{n}") for n in range(20)])
    monkeypatch.setattr(overlay, "CHANGES_MAX", 30)
    failure = refused(space, ingest(per_item, entities=[entity("other")], removed_entities=["root"]))
    assert isinstance(failure, TooLarge)
    assert failure.errors[0].path == "removed_entities.0"
    space.batch(removed_connections=[edge("root", f"e{n}") for n in range(10)])
    space.batch(removed_entities=["root"])
    assert not space.scene.links


def test_a_subtree_that_moves_is_written_anew_with_all_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space()
    space.batch(entities=[entity("root"), *(entity(f"e{n}", name="x" * 900) for n in range(20))])
    space.batch(connections=[edge("e0", f"e{n}") for n in range(1, 20)])
    monkeypatch.setattr(overlay, "REWRITTEN_BYTES", 15_000)
    assert isinstance(refused(space, ingest(connections=[edge("root", "e0")])), TooLarge)
    assert space.batch(connections=[edge("root", "e0", "near")]).accepted == 1


def test_a_place_that_many_wait_for_is_not_freed_a_thousand_times_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space()
    space.batch(entities=[entity("child"), *(entity(f"e{n:02}") for n in range(50))])
    space.batch(connections=[edge(f"e{n:02}", "child") for n in range(50)])
    monkeypatch.setattr(overlay, "STEPS_MAX", 40 * overlay.TRY_STEPS * 10)
    everything = [edge(f"e{n:02}", "child") for n in range(50)]
    assert isinstance(refused(space, ingest(True, removed_connections=everything)), TooLarge)
    space.batch(removed_connections=everything[:5])
    assert space.scene.nodes["child"].parent == "e05"


def test_two_long_chains_joined_again_and_again_are_walked_so_far_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = Space()
    space.batch(entities=[entity(f"e{n:03}") for n in range(200)])
    space.batch(connections=[edge(f"e{n:03}", f"e{n + 1:03}") for n in range(199) if n != 99])
    join = edge("e099", "e100")
    again = [{"connection": join}, {"remove_connection": join}] * 100
    monkeypatch.setattr(overlay, "STEPS_MAX", 5_000)
    text = b"\n".join(map(msgspec.json.encode, again))
    assert isinstance(refused(space, c.IngestLines(stream="s", first=1, lines=text)), TooLarge)
    assert space.lines(1, *again[:9]).cursor == 9


# What an item says


def test_an_entity_that_only_mentions_such_a_creator_is_replaced_whole() -> None:
    space = Space()
    mention = {"creator": {"source_type": "sangha:parameter"}}
    space.batch(entities=[entity("a", parameters={"old": 1}, properties=mention)])
    space.batch(entities=[entity("a", parameters={"new": 2})])
    assert msgspec.json.decode(space.scene.nodes["a"].data)["parameters"] == {"new": 2}


def test_a_connection_that_found_no_room_is_not_said_to_wait() -> None:
    space = Space()
    space.kind._limits = msgspec.structs.replace(space.kind._limits, waiting=0)  # type: ignore[misc]
    space.batch(entities=[entity("a")])
    reply = space.batch(per_item=True, connections=[edge("a", "x")])
    assert (reply.accepted, reply.warning_count) == (0, 0)


# Retention


def aged(**policy: Any) -> Space:
    """A minute is kept, and there is something from before it; the first round has begun."""
    space = Space(retention_s=60, **policy)
    space.batch(entities=[entity("a"), entity("b")])
    space.reply(c.TakeSnapshot())
    space.batch(removed_entities=["a"])
    space.wait(100)
    space.do(AlarmFired(name="retention"))
    return space


def tasks(space: Space) -> list[Any]:
    return [lake.codec.decode(each.command) for each in space.kind.agenda(space.state).effects.values()]


def archived(space: Space, **left: int) -> lake.Archived:
    return lake.Archived(
        to_time=tasks(space)[0].before,
        files=(lake.ArchiveFile(name="e", rows=1, bytes=1, sha256="0"),),
        removable=lake.Removable(**left),
    )


def shown(space: Space) -> Any:
    horizon = space.upserts["eustress_spaces", "quantum"]["horizon"]
    assert horizon == space.reply(c.GetSpace()).horizon
    return horizon


def emptied(space: Space) -> None:
    while "trim" in space.kind.agenda(space.state).alarms:
        space.do(AlarmFired(name="trim"))


def test_before_anything_is_removed_the_space_says_so() -> None:
    space = aged()
    before = tasks(space)[0].before
    assert shown(space) is None
    space.answer(archived(space, markers=1, entities=5_000))
    assert shown(space) == before
    space.do(AlarmFired(name="trim"))
    assert shown(space) == before
    emptied(space)
    assert shown(space) == before


def test_what_is_removed_stays_so_when_more_is_kept_from_now_on() -> None:
    space = aged()
    space.answer(archived(space, entities=1))
    emptied(space)
    horizon = shown(space)
    space.policy(retention_s=95)
    space.batch(entities=[entity("c")])
    space.fire()
    assert space.now - timedelta(seconds=95) < horizon
    assert not tasks(space)
    assert shown(space) == horizon


def test_a_clock_that_goes_back_takes_no_horizon_back() -> None:
    space = aged()
    space.answer(archived(space, entities=1))
    emptied(space)
    horizon = shown(space)
    space.batch(entities=[entity("c")])
    space.now -= timedelta(seconds=30)
    space.do(AlarmFired(name="retention"))
    assert not tasks(space)
    assert shown(space) == horizon


@pytest.mark.parametrize("patch", [{"retention_s": 0}, {"retention_s": 3_600}])
def test_nothing_is_removed_that_the_policy_keeps_by_now(patch: dict[str, int]) -> None:
    space = aged()
    space.policy(**patch)
    space.answer(archived(space, entities=1))
    assert "trim" not in space.kind.agenda(space.state).alarms
    assert not tasks(space)
    assert shown(space) is None


def test_what_was_only_counted_is_not_removed_where_an_archive_is_kept_by_now() -> None:
    space = aged(archive=False)
    space.policy(archive=True)
    space.answer(lake.Removable(entities=1))
    assert "trim" not in space.kind.agenda(space.state).alarms


def test_no_epoch_is_made_of_snapshots_that_retention_may_have_removed_meanwhile() -> None:
    space = aged()
    start = space.now - timedelta(seconds=100)
    snapshots = ("00000000-0000-4000-8000-000000000001",)

    def make(horizon: Any, of: Any = start) -> Any:
        return c.CreateEpoch(
            start_time=of, end_time=space.now, snapshot_ids=snapshots, sample_count=1, stats=STATS, horizon=horizon
        )

    space.reply(make(None))
    before = tasks(space)[0].before
    space.answer(archived(space, markers=2_000, entities=1))
    assert isinstance(refused(space, make(None)), ActorUnavailable)  # counted before, asked now
    assert isinstance(refused(space, make(before)), ActorUnavailable)  # counted while they go
    space.reply(make(before, space.now - timedelta(seconds=30)))
    emptied(space)
    assert isinstance(refused(space, make(None)), ActorUnavailable)
    space.reply(make(before))


# What is loaded


def test_a_scene_is_whole_with_its_last_page_so_that_nothing_long_comes_after_it() -> None:
    """Whichever comes first, child or parent; each id is in memory once."""
    space, ids = Space(), ["aa", "bb", "cc", "dd", "ee", "ff"]
    space.batch(entities=[entity(id_) for id_ in ids])
    space.batch(connections=[edge("cc", "aa"), edge("bb", "cc"), edge("aa", "dd"), edge("cc", "ff")])
    rows = list(space.live(ENTITIES).values())
    scene = Scene()
    for row in rows:
        scene.restored(ENTITIES, [msgspec.msgpack.decode(msgspec.msgpack.encode(row[:3])) + list(row[3:])])
    assert {id_: (node.parent, node.depth) for id_, node in scene.nodes.items()} == {
        id_: (node.parent, node.depth) for id_, node in space.scene.nodes.items()
    }
    assert {id_: set(scene.children.of(id_)) for id_ in ids} == {id_: set(space.scene.children.of(id_)) for id_ in ids}
    scene.restored(ENTITIES, [])
    for id_, node in scene.nodes.items():
        assert node.id is id_
        assert node.parent is None or node.parent is scene.nodes[node.parent].id
    lone = Scene()
    lone.restored(ENTITIES, [row for row in rows if row[1] == "aa"])
    with pytest.raises(ValueError, match="parents are not there"):
        lone.restored(ENTITIES, [])


def test_a_list_by_a_mistyped_name_is_warned_of() -> None:
    space = Space()
    body = {"space_name": "x", "source": "s", "sequence": 1, "entities": [entity("e", 1.0)]}
    assert space.reply(c.Ingest(items=msgspec.json.encode(body))).warnings == ()
    reply = space.reply(c.Ingest(items=msgspec.json.encode(body | {"entites": [entity("f", 2.0)]})))
    assert (reply.accepted, reply.warning_count, reply.warnings[0].path) == (1, 1, "entites")

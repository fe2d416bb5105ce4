from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from eustress_world import Space, contents, edge, entity

from actors.eustress import commands as c
from actors.eustress import stored
from actors.eustress.draft import PARAMETERS_MAX
from actors.eustress.scene import CONNECTIONS
from actors.eustress.state import STREAMS
from actors.eustress.values import INLINE_BYTES, WARNINGS_SHOWN, EpochStats, SceneLimits
from actors.runtime.entity import AlarmFired, Attached, Caller, EffectDone, Tick
from actors.runtime.errors import Conflict, Full, Invalid, NotFound, SanghaError

STATS = EpochStats(
    total_entities=1,
    total_connections=0,
    unique_types=1,
    avg_hierarchy_depth=0.0,
    sacred_frequency=0.0,
    spatial_coverage=0.001,
)


def a(n: int) -> list[dict[str, Any]]:
    return [entity(f"e{i}", float(i)) for i in range(n)]


def refuses(space: Space, kind: type[SanghaError], items: Any, **how: Any) -> str:
    """Nothing is changed by what is refused. Returns the path."""
    before, seen = space.state, contents(space.scene)
    text = items if isinstance(items, bytes) else msgspec.json.encode(items)
    with pytest.raises(kind) as refused:
        space.do(c.Ingest(items=text, **how))
    assert space.state is before
    assert contents(space.scene) == seen
    return refused.value.errors[0].path


def nested(depth: int) -> Any:
    found: Any = []
    for _ in range(depth - 1):
        found = [found]
    return found


def data(space: Space, id_: str) -> Any:
    return msgspec.json.decode(space.scene.nodes[id_].data)


# What is taken


def test_the_first_item_makes_the_space() -> None:
    space = Space()
    reply = space.batch(what="entity", entities=a(1))
    assert (reply.success, reply.message, reply.snapshot_id) == (True, "Entity ingested", None)
    assert (reply.version, reply.accepted) == (1, 1)
    [row] = space.upserted("eustress_spaces")
    assert (row["id"], row["version"], row["entity_count"], row["created_at"]) == ("quantum", 1, 1, space.now)
    assert row["policy"]["ordering"] == "lenient"


def test_messages_say_what_was_done() -> None:
    space = Space()
    space.batch(entities=a(2))
    assert space.batch(what="connection", connections=[edge("e0", "e1", "near")]).message == "Connection ingested"
    said = space.batch(what="parameter", parameters=[{"entity_id": "e0", "parameter_name": "p", "value": 1}])
    assert said.message == "Parameter ingested"
    assert (
        space.batch(what="connection", removed_connections=[edge("e0", "e1", "near")]).message == "Connection removed"
    )
    assert space.batch(what="entity", removed_entities=["e0"]).message == "Entity removed"


def test_what_is_there_already_makes_no_version() -> None:
    space = Space()
    space.batch(entities=a(3), connections=[edge("e0", "e1")])
    reply = space.batch(entities=a(3), connections=[edge("e0", "e1")])
    assert (reply.version, reply.accepted) == (1, 4)
    assert not space.rows
    space.state = space.reloaded()
    assert space.batch(entities=a(3)).version == 1


def test_an_operation_that_changes_nothing_is_in_the_journal_for_its_retry() -> None:
    space = Space()
    space.batch(entities=a(1))
    frames = len(space.frames)
    assert space.batch(entities=a(1), operation="x:1").version == 2
    assert len(space.frames) == frames
    assert not space.begun()


def test_the_last_of_two_in_a_batch_is_what_is_kept() -> None:
    space = Space()
    reply = space.batch(entities=[entity("a", 1), entity("a", 2)])
    assert reply.accepted == 2
    assert len(space.begun()) == 1
    assert space.scene.place(space.scene.nodes["a"])[0] == 2


def test_what_comes_and_goes_in_a_batch_leaves_no_row() -> None:
    space = Space()
    space.batch(entities=a(2), connections=[edge("e0", "e1")], removed_entities=["e0"])
    assert [row.values[1] for row in space.begun()] == ["e1"]
    assert not space.begun(CONNECTIONS)


def test_an_entity_is_replaced_as_a_whole_but_for_the_word_of_consent() -> None:
    space = Space()
    space.batch(entities=[entity("a", consent=False, parameters={"p": 1}, properties={"q": 2})])
    space.batch(entities=[entity("a", 1)])
    assert data(space, "a")["parameters"] == {}
    assert "properties" not in data(space, "a")
    assert data(space, "a")["consent"] is False
    assert space.begun()[0].values[10] is False
    space.batch(removed_entities=["a"])
    assert space.begun()[0].values[10:] == (False, None)
    space.batch(entities=[entity("a", 2)])
    assert space.scene.nodes["a"].trains is False
    space.batch(entities=[entity("a", 2, consent=True)])
    assert space.scene.nodes["a"].trains is True


def test_a_removed_entity_takes_its_connections_along() -> None:
    space = Space()
    space.batch(
        entities=a(4),
        connections=[edge("e0", "e1"), edge("e1", "e2"), edge("e1", "e3", "near"), edge("e1", "e1", "near")],
    )
    space.batch(removed_entities=["e1"])
    assert not space.scene.links
    assert {row.values[1]: row.values[8:10] for row in space.begun()} == {"e1": (None, None), "e2": (None, 0)}
    assert [row.values[8:] for row in space.begun(CONNECTIONS)] == [(None, None)] * 4
    assert {row.until for row in space.ended(CONNECTIONS)} == {2}


def test_a_connection_keeps_its_place_when_other_words_are_said_on_it() -> None:
    space = Space()
    space.batch(entities=a(3), connections=[edge("e0", "e2")])
    space.batch(connections=[edge("e1", "e2")])
    reply = space.batch(connections=[edge("e0", "e2", strength=0.5, label="holds")])
    assert not reply.warnings
    [row] = space.begun(CONNECTIONS)
    assert row.values[6:] == (1, True, 0.5, "holds")
    assert not space.begun()


# Parameters


def test_a_parameter_is_one_of_its_entity() -> None:
    space = Space()
    space.batch(entities=[entity("a", 3, parameters={"p": 1})])
    space.batch(parameters=[{"entity_id": "a", "parameter_name": "q", "value": {"unit": "nm"}}])
    assert data(space, "a")["parameters"] == {"p": 1, "q": {"unit": "nm"}}
    assert space.scene.place(space.scene.nodes["a"])[0] == 3
    space.batch(parameters=[{"entity_id": "a", "parameter_name": "p", "remove": True}])
    assert data(space, "a")["parameters"] == {"q": {"unit": "nm"}}


@pytest.mark.parametrize(("before", "after"), [(1, True), (1, 1.0), (False, 0), (None, False), ([1], [1.0])])
def test_values_that_python_holds_for_equal_are_not(before: Any, after: Any) -> None:
    space = Space()
    space.batch(entities=[entity("a", parameters={"p": before})])
    space.batch(parameters=[{"entity_id": "a", "parameter_name": "p", "value": after}])
    assert b'"p":' + msgspec.json.encode(after) + b"}" in space.scene.nodes["a"].data
    space.batch(entities=[entity("a", parameters={"p": before})])
    assert space.begun()


def test_a_parameter_makes_the_entity_that_it_is_of_until_that_comes() -> None:
    space = Space()
    reply = space.batch(parameters=[{"entity_id": "a", "parameter_name": "p", "value": 1}])
    assert reply.warning_count == 1
    assert "made for this parameter" in reply.warnings[0].message
    space.state = space.reloaded()
    space.batch(entities=[entity("a", 5, parameters={"q": 2})])
    assert data(space, "a")["parameters"] == {"p": 1, "q": 2}
    assert "creator" not in data(space, "a")
    space.batch(entities=[entity("a", 5)])
    assert data(space, "a")["parameters"] == {}


def test_a_thousand_updates_of_a_great_entity_encode_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space()
    space.batch(entities=[entity("a", properties={"blob": "x" * 1_000_000})])
    texts: list[Any] = []
    text = stored.text
    monkeypatch.setattr(stored, "text", lambda entity: texts.append(entity) or text(entity))
    space.batch(parameters=[{"entity_id": "a", "parameter_name": f"p{n}", "value": n} for n in range(1_000)])
    assert len(texts) == 1
    assert len(data(space, "a")["parameters"]) == 1_000
    assert space.scene.bytes == len(space.scene.nodes["a"].data)


def test_parameters_are_bounded() -> None:
    space = Space()
    space.batch(entities=[entity("a", parameters={f"p{n}": n for n in range(PARAMETERS_MAX)})])
    one_more = {"parameters": [{"entity_id": "a", "parameter_name": "q", "value": 1}]}
    assert refuses(space, Invalid, one_more) == "parameters.0.parameter_name"
    space.batch(parameters=[{"entity_id": "a", "parameter_name": "p0", "value": "x" * (stored.ENTITY_BYTES - 50_000)}])
    great = {"parameters": [{"entity_id": "a", "parameter_name": "p1", "value": "x" * 60_000}]}
    assert refuses(space, Invalid, great) == "parameters.0.value"


# Ordering


def test_leniently_what_misses_something_waits_with_a_warning() -> None:
    space = Space()
    reply = space.batch(connections=[edge("a", "b"), edge("a", "c", "near")])
    assert [w.path for w in reply.warnings] == ["connections.0", "connections.1"]
    assert space.scene.unresolved == 2
    space.batch(entities=[entity("a"), entity("b")])
    assert space.scene.nodes["b"].parent == "a"
    assert space.scene.unresolved == 1
    space.batch(entities=[entity("c")])
    assert space.scene.unresolved == 0


def test_a_second_parent_waits_for_the_place_of_the_first() -> None:
    space = Space()
    space.batch(entities=a(4), connections=[edge("e0", "e3")])
    space.batch(connections=[edge("e2", "e3")])
    space.batch(connections=[edge("e1", "e3")])
    assert space.scene.nodes["e3"].parent == "e0"
    space.batch(removed_connections=[edge("e0", "e3")])
    assert space.scene.nodes["e3"].parent == "e2"
    space.batch(removed_entities=["e2"])
    assert space.scene.nodes["e3"].parent == "e1"


def test_a_circle_waits_until_it_is_open() -> None:
    space = Space()
    space.batch(entities=a(3), connections=[edge("e0", "e1"), edge("e1", "e2")])
    reply = space.batch(connections=[edge("e2", "e0")])
    assert "circle" in reply.warnings[0].message
    space.batch(removed_connections=[edge("e0", "e1")])
    assert {id_: (n.parent, n.depth) for id_, n in space.scene.nodes.items()} == {
        "e1": (None, 0),
        "e2": ("e1", 1),
        "e0": ("e2", 2),
    }


def test_strictly_what_misses_something_is_refused_with_its_path() -> None:
    space = Space(ordering="strict")
    space.batch(entities=a(4), connections=[edge("e0", "e1"), edge("e1", "e2")])
    assert (
        refuses(space, Invalid, {"connections": [edge("e0", "e3"), edge("x", "e3", "near")]})
        == "connections.1.source_id"
    )
    assert refuses(space, Invalid, {"connections": [edge("e3", "y")]}) == "connections.0.target_id"
    assert refuses(space, Invalid, {"connections": [edge("e3", "e2")]}) == "connections.0.target_id"
    assert refuses(space, Invalid, {"connections": [edge("e2", "e0")]}) == "connections.0.target_id"
    unknown = {"entity_id": "x", "parameter_name": "p", "value": 1}
    assert refuses(space, Invalid, {"parameters": [unknown]}) == "parameters.0.entity_id"
    assert refuses(space, Invalid, {"removed_entities": ["e0", "x"]}) == "removed_entities.1"
    assert refuses(space, Invalid, {"removed_connections": [edge("e0", "e2")]}) == "removed_connections.0"
    refused = "e2 has a parent: the message says so"
    with pytest.raises(Invalid, match="'e1' is the parent of 'e2'") as why:
        space.batch(connections=[edge("e3", "e2")])
    assert why.value.message.startswith("connections.0.target_id: "), refused


def test_leniently_what_is_removed_though_it_is_not_there_is_a_warning() -> None:
    space = Space()
    gone = {"entity_id": "x", "parameter_name": "p", "remove": True}
    reply = space.batch(removed_entities=["x"], removed_connections=[edge("a", "b")], parameters=[gone])
    assert (reply.accepted, reply.warning_count, reply.version) == (3, 3, 0)
    assert space.state.header.created_at is None


def test_nothing_is_its_own_parent_and_anything_may_be_near_itself() -> None:
    space = Space()
    assert refuses(space, Invalid, {"connections": [edge("a", "a")]}) == "connections.0.target_id"
    space.batch(entities=[entity("a")], connections=[edge("a", "a", "near")])
    assert space.scene.unresolved == 0
    space.batch(removed_connections=[edge("a", "a", "near")])
    assert not space.scene.others


def test_the_first_hundred_warnings_are_told_and_all_are_counted() -> None:
    reply = Space().batch(connections=[edge("a", f"b{n}") for n in range(WARNINGS_SHOWN + 5)])
    assert (len(reply.warnings), reply.warning_count) == (WARNINGS_SHOWN, WARNINGS_SHOWN + 5)


# Bad input


@pytest.mark.parametrize(
    ("item", "path"),
    [
        ({"id": "a", "position": [1, "x", 3]}, "entities.1.position.1"),
        ({"id": "a", "position": [1, 2, 1e308]}, "entities.1.position.2"),
        ({"id": "a", "position": [1, 2]}, "entities.1.position"),
        ({"id": "a", "rotation": [0, 0, 0, 0]}, "entities.1.rotation"),
        ({"id": "a", "tags": ["t"] * 1_000_000}, "entities.1.tags"),
        ({"id": "a", "tags": [1]}, "entities.1.tags.0"),
        ({"id": ""}, "entities.1.id"),
        ({"id": "a\n"}, "entities.1.id"),
        ({"id": "a\0"}, "entities.1.id"),
        ({"id": "a", "name": "\0"}, "entities.1"),
        ({"id": "a", "parameters": {"p": ["\0"]}}, "entities.1"),
        ({"id": "a", "parameters": {"": 1}}, "entities.1.parameters"),
        ({"id": "a", "parameters": {"p": [[]] * 3 + [nested(40)]}}, "entities.1"),
        ({"id": "a", "properties": {"p": "x" * (stored.ENTITY_BYTES + 1)}}, "entities.1"),
        ({"name": "a"}, "entities.1.id"),
        ("a", "entities.1"),
    ],
)
def test_an_entity_that_cannot_be_is_told_by_its_path_and_changes_nothing(item: Any, path: str) -> None:
    space = Space()
    space.batch(entities=a(1))
    assert refuses(space, Invalid, {"entities": [entity("ok"), item]}) == path


@pytest.mark.parametrize(
    ("items", "path"),
    [
        ({"connections": [edge("a", "b", "", strength=1)]}, "connections.0.connection_type"),
        ({"connections": [edge("a", "b", strength=1.5)]}, "connections.0.strength"),
        ({"connections": [edge("a", "b", "x\0")]}, "connections.0.connection_type"),
        ({"connections": [edge("a", "b", label="x\0")]}, "connections.0.label"),
        ({"parameters": [{"entity_id": "a", "parameter_name": "p\0", "value": 1}]}, "parameters.0.parameter_name"),
        ({"parameters": [{"entity_id": "a", "parameter_name": "p", "value": "\0"}]}, "parameters.0.value"),
        (
            {"parameters": [{"entity_id": "a", "parameter_name": "p", "value": nested(31)}]},
            "parameters.0.value",
        ),
        ({"placements": [{"entity_id": "a", "ancestors": [{"id": "a"}]}]}, "placements.0.ancestors"),
        ({"entities": {}}, "entities"),
        ([], ""),
        (b'{"entities":[{"id":"a","position":[NaN,0,0]}]}', ""),
        (b'{"entities":[{"id":"a","position":[1e999,0,0]}]}', "entities.0.position.0"),
        (b'{"entities":[{"id":"a","name":"\xff"}]}', ""),
        (b'{"entities":[{"id":"a","name":"\\ud800"}]}', ""),
        (b'{"other":' + b"[" * 9_000 + b"]" * 9_000 + b"}", ""),
        (b'{"entities":[', ""),
        (b"", ""),
    ],
)
def test_what_cannot_be_read_or_kept_is_told_by_its_path(items: Any, path: str) -> None:
    assert refuses(Space(), Invalid, items) == path


def test_a_text_that_looks_like_nul_or_depth_is_a_text() -> None:
    space = Space()
    space.batch(entities=[entity("a", name="\\u0000" + "[" * 50 + "{" * 50)])
    assert data(space, "a")["name"].startswith("\\u0000")


def test_the_space_has_a_name() -> None:
    with pytest.raises(Invalid) as refused:
        Space(name="a\nb").batch(entities=a(1))
    assert refused.value.errors[0].path == "space_name"


def test_what_is_more_than_may_be_is_refused_and_changes_nothing() -> None:
    space = Space(SceneLimits(max_entities=3, max_connections=2, waiting=1, scene_bytes=10_000))
    space.batch(entities=a(2))
    assert refuses(space, Full, {"entities": a(4)}) == "entities.3"
    space.batch(entities=a(3))
    assert refuses(space, Full, {"connections": [edge("e0", "x"), edge("e0", "y")]}) == "connections.1"
    assert (
        refuses(space, Full, {"connections": [edge("e0", "e1"), edge("e0", "e2"), edge("e1", "e2", "near")]})
        == "connections.2"
    )
    assert refuses(space, Full, {"entities": [entity("e0", name="x" * 1_000, tags=["y" * 200] * 50)]}) == "entities.0"
    space.batch(removed_entities=["e0"])
    space.batch(entities=[entity("e0", 9)])
    space.policy(max_entities=2)
    with pytest.raises(Full, match="may have 2"):
        space.batch(entities=[entity("more")])


# Item by item


def test_item_by_item_what_is_wrong_is_left_out_and_told() -> None:
    space = Space(ordering="strict")
    reply = space.batch(
        per_item=True,
        entities=[entity("a"), {"id": "b", "position": [1]}, entity("c"), {"id": "d", "rotation": [0, 0, 0, 0]}],
        connections=[edge("a", "c"), edge("b", "c"), {"source_id": 3}],
        removed_entities=["a", 7, "zz"],
    )
    assert [(r.path, r.code) for r in reply.refused] == [
        ("entities.1.position", "invalid"),
        ("entities.3.rotation", "invalid"),
        ("connections.1.source_id", "invalid"),
        ("connections.2.source_id", "invalid"),
        ("removed_entities.1", "invalid"),
        ("removed_entities.2", "invalid"),
    ]
    assert reply.accepted == 4
    assert reply.message == "Batch ingested; 6 of 10 items refused"
    assert set(space.scene.nodes) == {"c"}


def test_item_by_item_what_finds_no_room_is_left_out() -> None:
    space = Space(SceneLimits(max_entities=1))
    reply = space.batch(per_item=True, entities=a(2))
    assert [(r.path, r.code) for r in reply.refused] == [("entities.1", "full")]
    assert space.batch(per_item=True, entities=a(1)).refused == ()


def test_item_by_item_what_is_no_batch_is_refused_whole() -> None:
    assert refuses(Space(), Invalid, b'{"entities":[{"id":"a"}', per_item=True) == ""
    assert refuses(Space(), Invalid, {"entities": {}}, per_item=True) == "entities"


# Streams


def test_lines_are_taken_in_order_and_once() -> None:
    space = Space()
    lines = [{"entity": entity("a")}, {"connection": edge("a", "b")}, {"entity": entity("b")}, {"remove_entity": "a"}]
    reply = space.lines(1, *lines)
    assert (reply.cursor, reply.accepted, reply.version, reply.warning_count) == (4, 4, 1, 1)
    assert reply.warnings[0].path == "line 2"
    again = space.lines(1, *lines)
    assert (again.cursor, again.accepted, again.version) == (4, 0, 1)
    further = space.lines(4, lines[3], {"entity": entity("c")})
    assert (further.cursor, further.accepted) == (5, 1)
    with pytest.raises(Conflict, match="the next one is 6"):
        space.lines(7, {"entity": entity("d")})
    assert space.reply(c.GetCursor(stream="s")).cursor == 5
    assert space.reply(c.GetCursor(stream="other")).cursor == 0
    assert space.reloaded().header.cursors == {"s": 5}


def test_lines_that_change_nothing_move_the_cursor() -> None:
    space = Space()
    space.lines(1, {"entity": entity("a")})
    assert space.lines(2, {"entity": entity("a")}).cursor == 2
    assert space.state.header.cursors == {"s": 2}


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ({"entity": {"id": "a", "position": [1, 2, "x"]}}, "line 4.entity.position.2"),
        ({"entity": entity("a", rotation=[0, 0, 0, 0])}, "line 4.entity.rotation"),
        ({"connection": edge("a", "a")}, "line 4.connection.target_id"),
        ({}, "line 4"),
        ({"entity": entity("a"), "remove_entity": "a"}, "line 4"),
        ([], "line 4"),
    ],
)
def test_a_line_that_cannot_be_is_told_by_its_number_and_none_of_them_is_taken(line: Any, path: str) -> None:
    space = Space()
    space.lines(1, {"entity": entity("x")}, {"entity": entity("y")})
    with pytest.raises(Invalid) as refused:
        space.lines(2, {"entity": entity("y")}, {"entity": entity("z")}, line)
    assert refused.value.errors[0].path == path
    assert set(space.scene.nodes) == {"x", "y"}
    assert space.state.header.cursors == {"s": 2}


def test_the_cursors_of_the_newest_streams_are_kept() -> None:
    space = Space()
    for n in range(STREAMS):
        space.lines(1, {"entity": entity("a")}, stream=f"s{n}")
    space.lines(2, {"entity": entity("a")}, stream="s0")
    space.lines(1, {"entity": entity("a")}, stream="more")
    cursors = space.state.header.cursors
    assert len(cursors) == STREAMS
    assert "s1" not in cursors
    assert cursors["s0"] == 2


# What followers are told


def test_followers_get_a_short_batch_whole() -> None:
    space = Space()
    space.batch(entities=a(1), connections=[edge("e0", "b", "near")], removed_entities=["zz"])
    frame = space.frames[-1]
    assert (frame["event"], frame["sender"]) == ("changed", None)
    assert frame["body"]["version"] == 1
    assert frame["body"]["counts"] == {
        "entities": 1,
        "connections": 1,
        "parameters": 0,
        "removed_entities": 1,
        "removed_connections": 0,
    }
    items = frame["body"]["items"]
    assert [found["id"] for found in items["entities"]] == ["e0"]
    assert items["removed_entities"] == ["zz"]
    other = Space()
    other.batch(**items)
    assert contents(other.scene) == contents(space.scene)


def test_followers_are_told_of_a_long_batch_only_what_it_was_about() -> None:
    space = Space(snapshot_batch_items=0, snapshot_every_updates=0)
    space.batch(entities=a(1_000))
    body = space.frames[-1]["body"]
    assert body["counts"]["entities"] == 1_000
    assert "items" not in body
    assert len(space.journal[-1][1]) < 1_000
    space.batch(entities=[entity("long", name="x" * 1_000, tags=["y" * 200] * 100)])
    assert len(space.journal[-1][1]) < INLINE_BYTES
    assert "items" not in space.frames[-1]["body"]


def test_lines_that_a_batch_would_apply_in_another_order_are_not_told_as_one() -> None:
    space = Space()
    space.lines(1, {"remove_entity": "a"}, {"entity": entity("a")})
    assert "items" not in space.frames[-1]["body"]
    space.lines(3, {"entity": entity("b")}, {"remove_entity": "a"})
    assert "items" in space.frames[-1]["body"]


# Snapshots


def test_a_snapshot_by_count_follows_the_change_that_reaches_it() -> None:
    space = Space(snapshot_every_updates=3)
    assert space.batch(entities=a(2)).snapshot_id is None
    assert space.batch(entities=a(2)).snapshot_id is None
    reply = space.batch(entities=[entity("e5", 5.0)])
    [marker] = space.upserted("eustress_markers")
    assert marker["id"] == reply.snapshot_id
    assert (marker["reason"], marker["version"], marker["timestamp"]) == ("count", reply.version, space.now)
    assert marker["metadata"]["entity_count"] == 3
    assert marker["metadata"]["spatial_bounds"] == ((0.0, 0.0, 0.0), (5.0, 0.0, 0.0))
    assert set(space.at_version(marker["version"])[0]) == {"e0", "e1", "e5"}
    assert space.frames[-1]["body"] == {"snapshot_id": reply.snapshot_id, "version": reply.version, "reason": "count"}
    assert space.state.header.updates == 0


def test_a_great_batch_is_followed_by_a_snapshot_also_where_it_changes_nothing() -> None:
    space = Space()
    first = space.batch(entities=a(100))
    again = space.batch(entities=a(100))
    assert first.snapshot_id
    assert again.snapshot_id not in (None, first.snapshot_id)
    assert {row["reason"] for row in space.upserted("eustress_markers")} == {"batch"}
    assert space.batch(what="entity", entities=a(99)).snapshot_id is None


def test_a_snapshot_by_alarm_comes_once_after_changes() -> None:
    space = Space()
    space.batch(entities=a(1))
    space.wait(100)
    space.batch(entities=a(2))
    assert space.kind.agenda(space.state).alarms["snapshot"] == space.now + timedelta(seconds=200)
    assert space.fire() == "snapshot"
    assert space.upserted("eustress_markers")[0]["reason"] == "alarm"
    assert not space.kind.agenda(space.state).alarms
    assert not space.do(AlarmFired(name="snapshot")).events
    space.policy(snapshot_interval_s=0)
    space.batch(entities=a(3))
    assert not space.kind.agenda(space.state).alarms


def test_a_snapshot_by_hand_may_be_of_what_has_not_changed() -> None:
    space = Space()
    with pytest.raises(NotFound):
        space.do(c.TakeSnapshot())
    space.batch(entities=a(1))
    ids = {space.reply(c.TakeSnapshot()).snapshot_id for _ in range(2)}
    assert len(ids) == 2
    reply = space.reply(c.TakeSnapshot())
    assert (reply.message, reply.version) == ("Snapshot created", 4)


def test_the_same_decision_again_has_the_same_snapshot() -> None:
    space = Space()
    space.batch(entities=a(1))
    ids = {space.kind.decide(space.state, c.TakeSnapshot(), space.context()).reply.snapshot_id for _ in range(2)}
    assert len(ids) == 1


def test_the_bounds_follow_what_was_on_them() -> None:
    space = Space()
    space.batch(entities=[entity("a", -5), entity("b", 3), entity("c", 9)])
    assert space.scene.bounds() == ((-5, 0, 0), (9, 0, 0))
    space.batch(entities=[entity("d", 11)])
    assert space.scene.bounds()[1][0] == 11
    space.batch(removed_entities=["a", "d"])
    assert space.scene.bounds() == ((3, 0, 0), (9, 0, 0))
    space.batch(entities=[entity("e", 4), entity("c", 5)])
    assert space.scene.bounds() == ((3, 0, 0), (5, 0, 0))
    space.batch(removed_entities=["b", "c", "e"])
    assert space.scene.bounds() == ((0, 0, 0), (0, 0, 0))


# The rest


def test_a_policy_makes_the_space_and_changes_what_is_given() -> None:
    space = Space()
    with pytest.raises(NotFound):
        space.do(c.GetSpace())
    said = space.policy(ordering="strict", retention_s=60)
    assert (said.policy.ordering, said.policy.retention_s, said.policy.archive) == ("strict", 60, True)
    [row] = space.upserted("eustress_spaces")
    assert row["policy"]["retention_s"] == 60
    assert space.frames[-1]["event"] == "policy"
    assert space.frames[-1]["body"]["ordering"] == "strict"
    assert space.policy(ordering="strict").version == 1
    assert space.reply(c.GetSpace()) == space.kind.snapshot(space.state, space.context())


def test_an_epoch_has_the_id_of_its_operation() -> None:
    space = Space()
    space.batch(entities=a(1))
    snapshot = space.reply(c.TakeSnapshot()).snapshot_id
    begin, end = space.now, space.now + timedelta(hours=1)
    command = c.CreateEpoch(start_time=begin, end_time=end, snapshot_ids=(snapshot,), sample_count=1, stats=STATS)
    ids = {space.kind.decide(space.state, command, space.context("op:1")).reply.id for _ in range(2)}
    epoch = space.reply(command, "op:1")
    assert ids == {epoch.id}
    [row] = space.upserted("eustress_epochs")
    assert (row["id"], row["space_name"], row["snapshot_ids"], row["sample_count"]) == (
        epoch.id,
        "quantum",
        (snapshot,),
        1,
    )
    assert row["stats"]["spatial_coverage"] == 0.001
    assert space.frames[-1]["event"] == "epoch"
    other = msgspec.structs.replace(command, sample_count=2, stats=STATS)
    assert space.kind.request(command, b"1") == space.kind.request(other, b"2")
    with pytest.raises(Invalid):
        space.do(msgspec.structs.replace(command, start_time=end))
    with pytest.raises(Invalid):
        space.do(msgspec.structs.replace(command, snapshot_ids=()))


def test_followers() -> None:
    space = Space()
    engine = Caller("00000000-0000-4000-8000-000000000001", "engine", session="s")
    context = msgspec.structs.replace(space.context(), caller=engine)
    with pytest.raises(NotFound):
        space.kind.decide(space.state, c.Subscribe(), context)
    with pytest.raises(NotFound):
        space.kind.may_read(space.state, context)
    space.batch(entities=a(1))
    space.kind.may_read(space.state, context)
    decision = space.kind.decide(space.state, c.Subscribe(), msgspec.structs.replace(context, next_offset=2))
    assert decision.subscribe
    assert decision.reply == {"space": "quantum", "offset": 1}
    assert space.kind.subscribes(c.Subscribe())
    assert space.kind.decide(space.state, c.Unsubscribe(), context).unsubscribe == (engine.practitioner,)
    for signal in (Attached(sessions=()), Tick(), EffectDone(id="?"), AlarmFired(name="?"), AlarmFired(name="trim")):
        assert not space.kind.decide(space.state, signal, context).events


def test_time_never_goes_back() -> None:
    space = Space()
    space.batch(entities=a(1))
    space.wait(-60)
    space.batch(entities=a(2))
    assert {row.values[3] for row in space.begun()} == {space.now + timedelta(seconds=60)}
    assert space.state.header.changed_at == space.now + timedelta(seconds=60)


def test_commands_cross_a_link() -> None:
    kind = Space().kind
    command = c.Ingest(items=b'{"entities":[]}', what="entity", per_item=True)
    assert kind.decode_command(c.encode(command)) == command
    assert kind.request(command, b"x") == b"x"
    assert kind.claims(command) == ()
    assert kind.awaits(command, None, "quantum") is None
    assert kind.greeting(Space().state, Space().context()) == ()

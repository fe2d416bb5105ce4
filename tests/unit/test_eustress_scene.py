"""Whatever is done to a scene, it is what a model that computes everything from scratch says, also after a reload."""

from __future__ import annotations

from typing import Any

import msgspec
from eustress_world import Model, Space, contents, edge, entity
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.eustress import commands as c
from actors.eustress.scene import CONNECTIONS, FEW, HIERARCHY, Index
from actors.runtime.errors import Invalid

IDS = st.sampled_from("abcdefg")
TYPES = st.sampled_from([HIERARCHY] * 4 + ["near"])
ENTITIES = st.builds(
    lambda id_, x, consent, value: entity(id_, x, **consent, parameters=value),
    IDS,
    st.sampled_from([0.0, 0.001, 0.003, -0.3, 5.5, 1e6, -7.25]),
    st.sampled_from([{}, {}, {}, {"consent": False}, {"consent": True}]),
    st.sampled_from([{}, {"p": 1}, {"q": "x"}]),
)
EDGES = st.builds(edge, IDS, IDS, TYPES).filter(
    lambda e: e["source_id"] != e["target_id"] or e["connection_type"] == "near"
)
PARAMETERS = st.builds(
    lambda id_, name, value: {"entity_id": id_, "parameter_name": name} | value,
    IDS,
    st.sampled_from("pq"),
    st.sampled_from([{"value": 1}, {"value": [2.5]}, {"remove": True}]),
)
PLACEMENTS = st.lists(IDS, min_size=2, max_size=4, unique=True).map(
    lambda ids: {"entity_id": ids[-1], "ancestors": [{"id": id_, "name": id_} for id_ in ids[:-1]]}
)
STRONG = st.sampled_from([1.0, 0.5])
LINES = st.one_of(
    ENTITIES.map(lambda e: {"entity": e}),
    st.tuples(EDGES, STRONG).map(lambda e: {"connection": e[0] | {"strength": e[1]}}),
    EDGES.map(lambda e: {"connection": e}),
    PARAMETERS.map(lambda p: {"parameter": p}),
    EDGES.map(lambda e: {"remove_connection": e}),
    IDS.map(lambda id_: {"remove_entity": id_}),
)
BATCHES = st.fixed_dictionaries(
    {},
    optional={
        "entities": st.lists(ENTITIES, max_size=4),
        "placements": st.lists(PLACEMENTS, max_size=2),
        "connections": st.lists(EDGES, max_size=6),
        "parameters": st.lists(PARAMETERS, max_size=2),
        "removed_connections": st.lists(EDGES, max_size=3),
        "removed_entities": st.lists(IDS, max_size=2),
    },
)
FIELDS = ("entities", "placements", "connections", "parameters", "removed_connections", "removed_entities")
STEPS = st.lists(st.one_of(st.lists(LINES, min_size=1, max_size=8), BATCHES), max_size=12)


def tell(model: Model, name: str, item: Any) -> None:
    {
        "entity": model.put, "entities": model.put,
        "placements": model.place,
        "connection": model.connect, "connections": model.connect,
        "parameter": model.set, "parameters": model.set,
        "remove_connection": model.disconnect, "removed_connections": model.disconnect,
        "remove_entity": model.remove, "removed_entities": model.remove,
    }[name](item)  # fmt: skip


def take(space: Space, model: Model, step: Any, cursor: int) -> int:
    """One command, to both. Returns the stream's cursor."""
    model.version = space.state.header.version + 1
    if isinstance(step, dict):
        space.batch(**step)
        for field in FIELDS:
            for item in step.get(field, ()):
                tell(model, field, item)
        return cursor
    space.lines(cursor + 1, *step)
    for line in step:
        [(name, item)] = line.items()
        tell(model, name, item)
    return cursor + len(step)


@settings(max_examples=150)
@given(STEPS)
def test_a_scene_is_what_its_rules_say_and_so_is_every_version_of_it(steps: Any) -> None:
    space, model, cursor = Space(snapshot_every_updates=7), Model(), 0
    history = {}
    for step in steps:
        cursor = take(space, model, step, cursor)
        model.check(space)
        history[space.state.header.version] = model.shown()
    for version, shown in history.items():
        assert space.at_version(version) == shown


@settings(max_examples=80)
@given(STEPS, STEPS)
def test_a_reload_from_the_journal_and_the_live_rows_is_the_same_space(before: Any, after: Any) -> None:
    space, model, cursor = Space(), Model(), 0
    for step in before:
        cursor = take(space, model, step, cursor)
    again = space.reloaded()
    assert again.header == space.state.header
    assert contents(again.scene) == contents(space.scene)
    space.state = again
    for step in after:
        cursor = take(space, model, step, cursor)
        model.check(space)
    assert contents(space.reloaded().scene) == contents(space.scene)


@settings(max_examples=80)
@given(STEPS)
def test_deciding_leaves_the_scene_as_it_is(steps: Any) -> None:
    space, model, cursor = Space(), Model(), 0
    for step in steps:
        if isinstance(step, dict):
            seen = contents(space.scene)
            space.kind.decide(space.state, c.Ingest(items=msgspec.json.encode(step)), space.context())
            assert contents(space.scene) == seen
        cursor = take(space, model, step, cursor)


@settings(max_examples=80)
@given(STEPS)
def test_strictly_nothing_ever_waits_and_what_is_refused_changes_nothing(steps: Any) -> None:
    space, model = Space(ordering="strict"), Model()
    for step in [[{"entity": entity(id_)} for id_ in "abcde"], *steps]:
        seen, cursor = contents(space.scene), space.state.header.cursors.get("s", 0)
        try:
            take(space, model, step, cursor)
        except Invalid:
            assert contents(space.scene) == seen
        else:
            model.check(space)
            assert not space.scene.unresolved


def test_an_index_keeps_few_in_a_tuple_and_many_in_a_set() -> None:
    index: Index[int] = Index()
    for key in range(3 * FEW):
        index.add("a", key)
        assert set(index.of("a")) == set(range(key + 1))
    index.discard("b", 1)
    for key in range(3 * FEW):
        index.discard("a", key)
        assert set(index.of("a")) == set(range(key + 1, 3 * FEW))
    assert not index


# Costs: an update makes as many rows as it is great


def grown(entities: int) -> Space:
    """A tree, each with ten children."""
    space = Space()
    space.batch(
        entities=[entity(f"e{n}", n) for n in range(entities)],
        connections=[edge(f"e{(n - 1) // 10}", f"e{n}") for n in range(1, entities)],
    )
    return space


def test_an_update_makes_one_row_in_a_scene_of_a_thousand() -> None:
    space = grown(1_000)
    space.batch(what="entity", entities=[entity("e5", 77)])
    assert len(space.begun()) == len(space.ended()) == 1
    assert not space.begun(CONNECTIONS)
    space.batch(what="parameter", parameters=[{"entity_id": "e5", "parameter_name": "p", "value": 1}])
    assert len(space.begun()) == 1


def test_a_moved_subtree_makes_a_row_for_each_in_it_and_for_no_other() -> None:
    space = grown(1_000)
    below = [id_ for id_, node in space.scene.nodes.items() if node.depth == 3 and (int(id_[1:]) - 1) // 10 == 20]
    assert len(below) == 10
    space.batch(
        connections=[edge("e500", "e20")], removed_connections=[edge(f"e{19 // 10}", "e20")]
    )  # waits, then has the place
    assert {row.values[1] for row in space.begun()} == {"e20", *below}
    assert space.scene.nodes["e20"].parent == "e500"
    assert len(space.begun(CONNECTIONS)) == 2


def test_a_deep_chain_is_built_in_any_order_at_the_cost_of_its_length() -> None:
    count = 3_000
    for order in (range(1, count), range(count - 1, 0, -1)):
        space = Space()
        space.batch(entities=[entity(f"e{n}") for n in range(count)])
        space.batch(connections=[edge(f"e{n - 1}", f"e{n}") for n in order])
        assert space.scene.depth == count - 1
        assert len(space.begun()) == count - 1
        space.batch(what="entity", removed_entities=["e1500"])
        assert space.scene.depth == 1499
        assert space.scene.nodes["e1501"].depth == 0

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from eustress_world import Space, edge

from actors.eustress import commands as c
from actors.eustress.eep import items_of, plain
from actors.runtime.errors import Invalid


def payload(**changes: Any) -> dict[str, Any]:
    return {
        "protocol_version": "eep_v1",
        "export_id": "export-1",
        "timestamp": "2026-01-01T00:00:00Z",
        "space": {"id": "space-1", "name": "World", "settings": {}},
        "entity": {
            "id": "lamp",
            "name": "Lamp",
            "class": "Part",
            "transform": {
                "position": {"Vector3": [1, 2, 3]},
                "rotation": [0, 0, 0, 1],
                "scale": {"x": 1, "y": 2, "z": 1},
            },
            "properties": {"Mass": {"Float": 1.5}, "Anchored": True},
            "tags": ["light"],
            "attributes": {"Owner": {"String": "me"}},
            "parameters": {"light": {"power": {"Float": 60.0}, "on": {"Bool": True}}},
            "child_count": 0,
        },
        "hierarchy": [
            {"id": "room", "name": "Room", "class": "Model", "depth": 1},
            {"id": "workspace", "name": "Workspace", "class": "Workspace", "depth": 0},
        ],
        "creator": {"source_type": "user", "id": "u1", "name": "U"},
        "consent": {"ai_training": False, "consented_at": None, "consented_by": "u1"},
    } | changes


def export(space: Space, said: dict[str, Any]) -> Any:
    found = items_of(msgspec.json.encode(said))
    return space.reply(c.Ingest(items=found.items, what="entity"), f"k-{found.export_id}")


def wrong(said: dict[str, Any]) -> str:
    with pytest.raises(Invalid) as refused:
        items_of(msgspec.json.encode(said))
    return refused.value.errors[0].path


def test_an_export_is_an_entity_below_its_ancestors() -> None:
    space = Space()
    export(space, payload())
    nodes = space.scene.nodes
    assert {id_: (node.parent, node.depth) for id_, node in nodes.items()} == {
        "workspace": (None, 0),
        "room": ("workspace", 1),
        "lamp": ("room", 2),
    }
    assert nodes["lamp"].trains is False
    assert nodes["room"].trains is None
    assert msgspec.json.decode(nodes["lamp"].data) == {
        "id": "lamp",
        "name": "Lamp",
        "class_type": "Part",
        "position": [1, 2, 3],
        "rotation": [0, 0, 0, 1],
        "scale": [1, 2, 1],
        "tags": ["light"],
        "parameters": {"light": {"power": 60.0, "on": True}},
        "properties": {"Mass": 1.5, "Anchored": True},
        "attributes": {"Owner": "me"},
        "creator": {"source_type": "user", "id": "u1", "name": "U", "consented_by": "u1"},
        "consent": False,
    }
    found = items_of(msgspec.json.encode(payload()))
    assert (found.space_name, found.export_id) == ("World", "export-1")


def test_what_is_known_of_an_ancestor_stands() -> None:
    space = Space()
    space.batch(entities=[{"id": "room", "name": "The room", "position": [9, 9, 9]}])
    export(space, payload())
    assert msgspec.json.decode(space.scene.nodes["room"].data)["name"] == "The room"
    assert space.scene.place(space.scene.nodes["room"]) == (9, 9, 9)


def test_an_entity_that_was_moved_has_its_new_parent_alone() -> None:
    space = Space()
    export(space, payload())
    export(space, payload(hierarchy=[{"id": "garden", "name": "Garden", "class": "Model", "depth": 0}]))
    assert space.scene.nodes["lamp"].parent == "garden"
    assert ("room", "lamp", "hierarchy") not in space.scene.links
    assert space.scene.unresolved == 0


def test_a_place_that_waited_is_taken_before_others_that_wait() -> None:
    space = Space()
    space.batch(
        entities=[{"id": id_} for id_ in ("a", "b", "room", "lamp")], connections=[edge("a", "lamp"), edge("b", "lamp")]
    )
    space.batch(connections=[edge("room", "lamp")])
    export(space, payload())
    assert space.scene.nodes["lamp"].parent == "room"
    assert space.scene.unresolved == 1


def test_the_same_export_again_changes_nothing() -> None:
    space = Space()
    export(space, payload())
    export(space, payload())
    assert not space.begun()


def test_the_space_may_have_an_id_alone_and_an_entity_no_more_than_one() -> None:
    found = items_of(
        msgspec.json.encode(payload(space={"id": 7}, entity={"id": 12}, hierarchy=[], consent=None, creator=None))
    )
    assert found.space_name == "7"
    [entity] = msgspec.json.decode(found.items)["entities"]
    assert entity["id"] == "12"
    assert "consent" not in entity


def test_the_entity_itself_in_its_hierarchy_is_no_ancestor() -> None:
    above = [{"id": "workspace", "depth": 0}, {"id": "lamp", "depth": 1}]
    items = msgspec.json.decode(items_of(msgspec.json.encode(payload(hierarchy=above))).items)
    assert [found["id"] for found in items["placements"][0]["ancestors"]] == ["workspace"]


def test_tags_go_and_objects_stay() -> None:
    said = {"Vector3": [{"Float": 1}, 2]}, {"Mass": 5}, {"Float": 1, "Int": 2}, [{"String": "x"}], None
    assert plain(list(said)) == [[1, 2], {"Mass": 5}, {"Float": 1, "Int": 2}, ["x"], None]


def test_what_is_wrong_is_told_by_its_path_in_the_payload() -> None:
    assert wrong(payload(protocol_version="eep_v2")) == "protocol_version"
    assert wrong(payload(space={})) == "space.name"
    assert wrong(payload(export_id="")) == "export_id"
    assert wrong(payload(entity={"id": "a", "transform": {"position": [1, "b", 3]}})) == "entity.position.1"
    assert wrong(payload(entity={"name": "a"})) == "entity.id"
    assert wrong(payload(hierarchy=[{"id": "a\n"}])) == "hierarchy.id"
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    assert wrong(payload(creator={"x": deep})) == ""

"""What the lake's benches send is what they say, and the same as what they copy."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import orjson

from actors.eustress.values import Line, SceneEntity
from server.bench.eustress import batches, blocks_of
from server.bench.eustress_http import percentile_ms
from server.bench.eustress_items import COLUMNS, depth_of, entity, parent_of, row, scene_lines


def test_an_entity_has_the_size_of_a_real_one() -> None:
    assert 300 < len(entity(12_345)) < 420
    assert msgspec.json.decode(entity(7), type=SceneEntity).id == "photon_0000007"
    assert entity(7, 600.0) != entity(7)


def test_a_scene_is_a_tree() -> None:
    lines = [msgspec.json.decode(line, type=Line) for line in scene_lines(25)]
    parents = {c.target_id: c.source_id for line in lines if (c := line.connection) is not None}
    assert len(parents) == 24
    assert parents["photon_0000024"] == "photon_0000002"
    assert [depth_of(n) for n in (0, 1, 10, 11, 111)] == [0, 1, 1, 2, 3]
    assert parent_of(0) is None


def test_batches_have_every_entity_once() -> None:
    told = [orjson.loads(body) for body in batches('a "space"', 25, 10)]
    assert [len(body["entities"]) for body in told] == [10, 10, 5]
    assert {body["space_name"] for body in told} == {'a "space"'}
    assert len({each["id"] for body in told for each in body["entities"]}) == 25


def test_blocks_are_the_lines() -> None:
    assert b"".join(blocks_of(scene_lines(2_000))).splitlines() == list(scene_lines(2_000))


def test_a_row_has_the_lakes_columns() -> None:
    assert len(row("s", 3, datetime.now(UTC))) == len(COLUMNS)


def test_percentiles_are_of_the_sorted_sample() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([0.003, 0.001, 0.002], 0.5) == 2.0
    assert percentile_ms([0.003, 0.001, 0.002], 1.0) == 3.0

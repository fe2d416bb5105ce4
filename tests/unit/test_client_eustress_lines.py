"""Lines are checked where they are made: what the server would refuse is refused there, and nothing is lost on the way."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from actors.eustress.values import Line
from actors.runtime.errors import Invalid, TooLarge
from server import client_eustress_lines as lines

PHOTON = {
    "id": "photon_1", "name": "Photon", "class_type": "Particle", "position": [1.0, 2.0, 3.0],
    "rotation": [0.0, 0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0], "tags": ["particle", "light"],
    "parameters": {"wavelength": 550.0, "nothing": None},
}  # fmt: skip


def test_the_seeds_entity_is_sent_as_it_was_said() -> None:
    line = lines.entity(PHOTON)
    assert orjson.loads(line) == {"entity": PHOTON}
    assert b"\n" not in line
    msgspec.json.decode(line, type=Line)


def test_numbers_of_numpy_are_numbers() -> None:
    entity = {"id": "a", "position": np.array([1.0, 2.0, 3.0]), "parameters": {"x": np.float32(0.5)}}
    told = orjson.loads(lines.entity(entity))["entity"]
    assert told == {"id": "a", "position": [1.0, 2.0, 3.0], "parameters": {"x": 0.5}}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "id"),
        ({"id": ""}, "length"),
        ({"id": "a\nb"}, "regex"),
        ({"id": "a", "position": [1.0, math.nan, 3.0]}, "nan"),
        ({"id": "a", "position": [1e308, 0.0, 0.0]}, "position"),
        ({"id": "a", "parameters": {"deep": [{"x": math.inf}]}}, "inf"),
        ({"id": "a", "parameters": {"x": np.float32("nan")}}, "nan"),
        ({"id": "a", "name": "x\x00"}, "u0000"),
        ({"id": "a", "parameters": {"x\x00": 1}}, "u0000"),
        ({"id": "a", "name": "\ud800"}, "UTF-8"),
        ({"id": "a", "parameters": {"x": 2**80}}, "64-bit"),
        ({"id": "a", "parameters": {"x": object()}}, "object"),
        ({"id": "a", "parameter": {"x": 1}}, "has no 'parameter'"),
    ],
)
def test_what_the_lake_cannot_hold_is_told_at_once(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(Invalid, match=why):
        lines.entity(fields)


def test_a_text_that_only_looks_like_a_nul_is_fine() -> None:
    entity = {"id": "a", "name": "\\u0000"}
    assert orjson.loads(lines.entity(entity)) == {"entity": entity}


def test_a_line_that_is_too_long_is_told_at_once() -> None:
    with pytest.raises(TooLarge, match="65,536"):
        lines.entity({"id": "a", "parameters": {"x": "y" * lines.LINE_BYTES}})


def test_ends_and_strength_of_connections_are_checked() -> None:
    ends = {"source_id": "a", "target_id": "b", "connection_type": "bond"}
    assert orjson.loads(lines.connection(ends | {"strength": 0.5})) == {"connection": ends | {"strength": 0.5}}
    assert orjson.loads(lines.removed_connection(ends)) == {"remove_connection": ends}
    for wrong in (ends | {"strength": 2.0}, ends | {"source_id": ""}, {"source_id": "a"}):
        with pytest.raises(Invalid):
            lines.connection(wrong)
    with pytest.raises(Invalid):
        lines.removed_entity("")

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.practitioner.archetypal_state import ERRORS_MAX, ArchetypalState, check, parse
from actors.runtime.errors import Invalid

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=100)
STRENGTHS = st.dictionaries(NAMES, st.floats(0, 1), max_size=8)
STATES = st.builds(
    ArchetypalState,
    archetypes=STRENGTHS,
    energies=STRENGTHS,
    integrations=st.lists(NAMES, max_size=5).map(tuple),
    symbols=st.lists(NAMES, max_size=5).map(tuple),
    transformations=st.lists(NAMES, max_size=5).map(tuple),
)


def paths(value: Any) -> list[str]:
    with pytest.raises(Invalid) as refused:
        parse(value)
    return [error.path for error in refused.value.errors]


@given(STATES)
def test_a_state_survives_json_and_stays_as_it_is(state: ArchetypalState) -> None:
    assert parse(msgspec.json.decode(msgspec.json.encode(state))) == state
    assert check(state) == state


def test_what_is_not_given_is_empty_and_integers_are_numbers() -> None:
    assert parse({}) == ArchetypalState()
    assert parse({"archetypes": {"Light": 1, "Shadow": 0}}).archetypes == {"Light": 1.0, "Shadow": 0.0}


@pytest.mark.parametrize(
    "strength", [-0.001, 1.001, math.nan, math.inf, -math.inf, True, "0.5", None, [0.5], 10**400, -(10**400)]
)
def test_a_strength_out_of_bounds_is_named(strength: Any) -> None:
    assert paths({"archetypes": {"Light": 0.5, "Shadow": strength}}) == ["archetypes.Shadow"]
    assert paths({"energies": {"fire": strength}}) == ["energies.fire"]


@pytest.mark.parametrize("name", ["", "x" * 101, "a\0"])
def test_a_name_out_of_bounds_is_named(name: str) -> None:
    assert paths({"symbols": ["moon", name]}) == ["symbols.1"]
    assert paths({"archetypes": {name: 0.5}}) == [f"archetypes.{name[:100]}"]


def test_sizes_are_taken_up_to_their_bound() -> None:
    names = [f"{n:0100d}" for n in range(257)]
    parse({"archetypes": dict.fromkeys(names[:256], 1), "integrations": names[:256]})
    assert paths({"archetypes": dict.fromkeys(names, 1)}) == ["archetypes"]
    assert paths({"integrations": names}) == ["integrations"]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([], ""),
        (None, ""),
        ({"archetypes": []}, "archetypes"),
        ({"symbols": {}}, "symbols"),
        ({"symbols": "moon"}, "symbols"),
        ({"symbols": [1]}, "symbols.0"),
        ({"mood": 1}, "mood"),
    ],
)
def test_another_shape_is_named(value: Any, path: str) -> None:
    assert paths(value) == [path]


def test_all_that_is_wrong_is_told_at_once_but_boundedly() -> None:
    assert paths({"energies": {"fire": 2, "water": 0.5, "air": -1}}) == ["energies.fire", "energies.air"]
    assert len(paths({"energies": {str(n): 2 for n in range(200)}})) == ERRORS_MAX


def test_what_came_over_a_link_is_checked() -> None:
    with pytest.raises(Invalid):
        check(ArchetypalState(energies={"fire": 1.5}))

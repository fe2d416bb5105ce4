from __future__ import annotations

from typing import Any, get_args, get_type_hints

import msgspec
import pytest

from actors.practitioner.archetypal_state import ENTRIES_MAX, ArchetypalState
from actors.practitioner.changes import CHANGES, apply
from actors.practitioner.commands import TransformState
from actors.practitioner.events import Origin
from actors.runtime.errors import Invalid, TooLarge

STATE = ArchetypalState(
    archetypes={"Shadow": 0.5},
    energies={"fire": 0.75},
    integrations=("grief",),
    symbols=("moon",),
    transformations=("descent",),
)


def changed(type_: str, **parameters: Any) -> dict[str, Any]:
    """The fields of the state that one change made different."""
    new = apply(STATE, type_, msgspec.json.encode(parameters))
    before, after = msgspec.structs.asdict(STATE), msgspec.structs.asdict(new)
    return {name: after[name] for name in after if after[name] != before[name]}


@pytest.mark.parametrize(
    ("type_", "parameters", "expected"),
    [
        ("archetype_activation", {"archetype": "Shadow", "strength": 1}, {"archetypes": {"Shadow": 1.0}}),
        (
            "archetype_activation",
            {"archetype": "Sage", "strength": 0.25},
            {"archetypes": {"Shadow": 0.5, "Sage": 0.25}},
        ),
        ("energy_adjustment", {"energy": "fire", "level": 0}, {"energies": {"fire": 0.0}}),
        ("energy_adjustment", {"energy": "fire", "change": -0.5}, {"energies": {"fire": 0.25}}),
        ("energy_adjustment", {"energy": "fire", "change": 1}, {"energies": {"fire": 1.0}}),
        ("energy_adjustment", {"energy": "air", "change": 0.5}, {"energies": {"fire": 0.75, "air": 0.5}}),
        ("energy_adjustment", {"energy": "fire", "change": -1}, {"energies": {"fire": 0.0}}),
        ("integration", {"integration": "anger"}, {"integrations": ("grief", "anger")}),
        ("integration", {"integration": "grief"}, {}),
        ("symbol", {"symbol": "sun"}, {"symbols": ("moon", "sun")}),
        ("transformation_open", {"transformation": "ascent"}, {"transformations": ("descent", "ascent")}),
        ("transformation_open", {"transformation": "descent"}, {}),
        ("transformation_close", {"transformation": "descent"}, {"transformations": ()}),
    ],
)
def test_a_change_changes_what_it_names(type_: str, parameters: Any, expected: Any) -> None:
    assert changed(type_, **parameters) == expected


@pytest.mark.parametrize(
    ("type_", "parameters", "path"),
    [
        ("archetype_activation", {}, "parameters.archetype"),
        ("archetype_activation", {"archetype": "Shadow", "strength": 1.5}, "parameters.strength"),
        ("archetype_activation", {"archetype": "", "strength": 1}, "parameters.archetype"),
        ("archetype_activation", {"archetype": "a", "strength": 1, "x": 1}, "parameters.x"),
        ("energy_adjustment", {"energy": "fire"}, "parameters"),
        ("energy_adjustment", {"energy": "fire", "level": 1, "change": 1}, "parameters"),
        ("energy_adjustment", {"energy": "fire", "change": 2}, "parameters.change"),
        ("symbol", {"symbol": "x" * 101}, "parameters.symbol"),
        ("symbol", {"symbol": 3}, "parameters.symbol"),
        ("symbol", {"symbol": "a\0"}, "parameters"),
        ("transformation_close", {"transformation": "ascent"}, "parameters.transformation"),
    ],
)
def test_parameters_that_mean_nothing_are_told_by_their_path(type_: str, parameters: Any, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        changed(type_, **parameters)
    assert refused.value.errors[0].path == path


@pytest.mark.parametrize("text", [b"[]", b"{", b'"x"', b"\xff", b"[" * 5000 + b"]" * 5000])
def test_parameters_are_a_json_object(text: bytes) -> None:
    with pytest.raises(Invalid):
        apply(STATE, "symbol", text)


def test_parameters_are_bounded() -> None:
    with pytest.raises(TooLarge):
        changed("symbol", symbol="x" * 20_000)


def test_a_list_that_is_full_takes_no_more() -> None:
    full = msgspec.structs.replace(STATE, symbols=tuple(f"s{n}" for n in range(ENTRIES_MAX)))
    with pytest.raises(Invalid) as refused:
        apply(full, "symbol", b'{"symbol":"one more"}')
    assert refused.value.errors[0].path == "symbols"


def test_every_type_of_change_is_there_and_an_origin() -> None:
    types = get_args(get_type_hints(TransformState)["transformation_type"])
    assert set(types) == set(CHANGES)
    assert set(get_args(Origin)) == {*types, "put", "ritual", "baseline"}

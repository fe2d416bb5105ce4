"""The Control Engine's formulas: examples computed by hand from its text, and laws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import as_column, intensity, oracle_recommended, suggestions

State = ArchetypalState
NAMES = tuple(f"symbol {n}" for n in range(60))
LEVELS = st.dictionaries(st.sampled_from(["Light", "Shadow", "Sage", "fire", "air"]), st.floats(0, 1), max_size=5)
LISTS = st.integers(0, 60).map(lambda n: NAMES[:n])
STATES = st.builds(State, archetypes=LEVELS, energies=LEVELS, integrations=LISTS, symbols=LISTS, transformations=LISTS)


def by_the_seed(old: State, new: State) -> float:
    """The Rust of the seed, line by line."""
    total_change, change_count = 0.0, 0
    for then, now in ((old.archetypes, new.archetypes), (old.energies, new.energies)):
        for name, old_value in then.items():
            if name in now:
                total_change += abs(now[name] - old_value)
                change_count += 1
    integration_change = (len(new.integrations) - len(old.integrations)) * 0.2
    symbol_change = (len(new.symbols) - len(old.symbols)) * 0.3
    return total_change / change_count + integration_change + symbol_change if change_count > 0 else 0.0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # (0.4 + 0 + 0.3) / 3 + 1 × 0.2 − 1 × 0.3
        (
            State(archetypes={"Shadow": 0.2, "Light": 0.5}, energies={"fire": 0.4}, symbols=("key",)),
            State(archetypes={"Shadow": 0.6, "Light": 0.5}, energies={"fire": 0.1}, integrations=("grief",)),
            0.7 / 3 - 0.1,
        ),
        # 0 + 3 × 0.3: nothing moved but symbols came
        (State(energies={"fire": 0.5}), State(energies={"fire": 0.5}, symbols=NAMES[:3]), 0.9),
        # 0 − 2 × 0.2: signed
        (State(archetypes={"Sage": 1}, integrations=NAMES[:2]), State(archetypes={"Sage": 1}), -0.4),
        # a key of one state alone counts for nothing
        (State(archetypes={"Sage": 0.0}), State(archetypes={"Sage": 0.5, "Fool": 1.0}), 0.5),
        # an archetype and an energy of one name are two things
        (State(archetypes={"fire": 0.0}), State(energies={"fire": 1.0}, symbols=NAMES[:3]), 0.0),
        # no key is shared: 0, whatever else came
        (State(), State(archetypes={"Shadow": 1.0}, symbols=NAMES, integrations=NAMES), 0.0),
        # its column holds no more than this
        (State(archetypes={"Sage": 0.0}), State(archetypes={"Sage": 0.0}, symbols=NAMES[:50]), 9.99),
        (State(archetypes={"Sage": 0.0}, symbols=NAMES[:50]), State(archetypes={"Sage": 1.0}), -9.99),
    ],
)
def test_the_intensity_of_a_transformation(old: State, new: State, expected: float) -> None:
    assert intensity(old, new) == pytest.approx(expected, abs=1e-12)


@given(STATES, STATES)
def test_the_intensity_is_the_seeds_but_for_its_bound(old: State, new: State) -> None:
    assert intensity(old, new) == pytest.approx(min(9.99, max(-9.99, by_the_seed(old, new))), abs=1e-12)


@given(STATES, STATES, st.randoms(use_true_random=False))
def test_the_order_of_a_states_names_changes_no_bit(old: State, new: State, chance: random.Random) -> None:
    def shuffled(levels: dict[str, float]) -> dict[str, float]:
        names = list(levels)
        chance.shuffle(names)
        return {name: levels[name] for name in names}

    again = State(
        archetypes=shuffled(dict(old.archetypes)),
        energies=shuffled(dict(old.energies)),
        integrations=old.integrations,
        symbols=old.symbols,
        transformations=old.transformations,
    )
    assert intensity(again, new) == intensity(old, new)
    assert suggestions(again) == suggestions(old)


@given(STATES, STATES)
def test_nothing_changes_nothing_and_a_column_holds_it(old: State, new: State) -> None:
    assert intensity(old, old) == 0
    assert abs(as_column(intensity(old, new))) <= 9.99
    assert as_column(intensity(old, new)) == pytest.approx(intensity(old, new), abs=0.005001)


def energies(*levels: float) -> State:
    return State(energies={f"energy {n}": level for n, level in enumerate(levels)})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(), ()),
        (energies(1, 1, 1, 1, 1), ()),
        (energies(1, 1, 1, 1, 1, 0.01), ("energy_integration",)),
        (energies(*[0.1] * 50), ()),
        (State(archetypes={"Light": 1.0, "Shadow": 0.5}), ()),
        (State(archetypes={"Light": 0.25, "Shadow": 1.0}), ("shadow_integration",)),
        (State(archetypes={"Light": 1.0}), ()),
        (State(archetypes={"light": 1.0, "shadow": 0.0}), ()),
        (State(transformations=NAMES[:2]), ()),
        (State(transformations=NAMES[:3]), ("transformation_completion",)),
    ],
)
def test_the_rituals_that_a_state_calls_for(state: State, expected: tuple[str, ...]) -> None:
    assert suggestions(state) == expected


def test_all_of_them_come_in_the_seeds_order() -> None:
    state = State(
        archetypes={"Light": 0.0, "Shadow": 1.0}, energies=energies(*[1] * 6).energies, transformations=NAMES[:3]
    )
    assert suggestions(state) == ("energy_integration", "shadow_integration", "transformation_completion")


def test_the_oracle_is_recommended_where_much_changed_or_a_symbol_emerged() -> None:
    assert not oracle_recommended(0.7, ())
    assert oracle_recommended(0.71, ())
    assert oracle_recommended(-9.99, ("moon",))

from __future__ import annotations

import hashlib
import uuid

import msgspec
import pytest
from driving import uuid as person
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from actors.practitioner import chain
from actors.practitioner.archetypal_state import ArchetypalState

STATE = ArchetypalState(archetypes={"Shadow": 0.5, "Light": 1.0}, energies={"é": 1e-7}, symbols=('a"b', "\n"))
CANONICAL = (
    '{"archetypes":{"Light":1,"Shadow":0.5},"energies":{"é":1e-7},"integrations":[],'
    '"symbols":["a\\"b","\\n"],"transformations":[]}'
).encode()


def test_a_state_is_hashed_in_its_canonical_form() -> None:
    assert chain.canonical(STATE) == CANONICAL
    assert chain.state_hash(None, STATE) == hashlib.sha256(CANONICAL).hexdigest()


def test_each_version_is_hashed_over_the_one_before() -> None:
    first = chain.next_version(person(1), None, ArchetypalState())
    second = chain.next_version(person(1), first, STATE)
    assert (first.number, first.prev_hash) == (1, None)
    assert (second.number, second.prev_hash) == (2, first.hash)
    assert second.hash == hashlib.sha256(bytes.fromhex(first.hash) + CANONICAL).hexdigest()
    assert second.id == str(uuid.uuid5(chain.NAMESPACE, f"{person(1)}:2"))


@pytest.mark.parametrize(
    "changed", [{"number": 3}, {"id": person(5)}, {"hash": "00" * 32}, {"prev_hash": None}, {"prev_hash": "00" * 32}]
)
def test_a_version_that_was_changed_does_not_fit(changed: dict[str, object]) -> None:
    first = chain.next_version(person(1), None, ArchetypalState())
    second = chain.next_version(person(1), first, STATE)
    assert chain.misfit(person(1), first, second, STATE) is None
    assert next(iter(changed)) in str(chain.misfit(person(1), first, replace(second, **changed), STATE))


def test_a_state_that_was_changed_or_is_missing_does_not_fit() -> None:
    first = chain.next_version(person(1), None, STATE)
    third = chain.next_version(person(1), chain.next_version(person(1), first, STATE), STATE)
    assert "hash" in str(chain.misfit(person(1), None, first, replace(STATE, symbols=())))
    assert "number" in str(chain.misfit(person(1), first, third, STATE))
    assert "id" in str(chain.misfit(person(2), None, first, STATE))


@given(
    st.builds(
        ArchetypalState,
        archetypes=st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1), max_size=5),
        symbols=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    )
)
def test_what_the_database_gives_back_has_the_same_hash(state: ArchetypalState) -> None:
    again = msgspec.json.decode(chain.canonical(state), type=ArchetypalState)
    assert again == state
    backwards = replace(state, archetypes=dict(reversed(state.archetypes.items())))
    assert chain.state_hash(None, again) == chain.state_hash(None, backwards) == chain.state_hash(None, state)

from __future__ import annotations

import math
import statistics
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from actors.ritual.values import Contribution
from actors.space import collective as k
from actors.space.coherence import Coherence, coherence

STRENGTHS = st.dictionaries(st.sampled_from(["Light", "Shadow", "Void", "é"]), st.floats(0, 1), max_size=4)
CONTRIBUTIONS = st.lists(
    st.builds(
        Contribution,
        status=st.just("transformed"),
        archetypes=STRENGTHS,
        energies=STRENGTHS,
        symbols=st.lists(st.sampled_from("abc")).map(tuple),
        intensity=st.floats(-10, 10),
    ),
    min_size=1,
    max_size=8,
)


def of(*archetypes: dict[str, float], **fields: Any) -> Contribution:
    return Contribution(status="transformed", archetypes=archetypes[0] if archetypes else {}, **fields)


def test_means_and_deviations_are_over_those_who_have_the_name() -> None:
    whole = k.collective([of({"Light": 0.2, "Void": 1.0}), of({"Light": 0.4}), of()], 4, Coherence())
    assert whole["archetypes"]["Light"] == {"mean": pytest.approx(0.3), "sd": pytest.approx(0.1), "n": 2}
    assert whole["archetypes"]["Void"] == {"mean": 1.0, "sd": 0.0, "n": 1}
    assert (whole["transformed"], whole["participants"]) == (3, 4)
    assert whole["coherence"] == {"r": None, "unbiased": None, "n": 0}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_deviation_is_the_populations(values: list[float]) -> None:
    found = k.statistics(values)
    assert found["mean"] == pytest.approx(statistics.fmean(values), abs=1e-12)
    assert found["sd"] == pytest.approx(float(np.std(values)), abs=1e-12)
    assert found["n"] == len(values)


@given(CONTRIBUTIONS, st.randoms(use_true_random=False))
def test_the_order_of_participants_does_not_show(contributions: list[Contribution], chance: Any) -> None:
    shuffled = list(contributions)
    chance.shuffle(shuffled)
    agreed = coherence([0.0, math.pi / 2])
    assert k.collective(contributions, 9, agreed) == k.collective(shuffled, 9, agreed)


def test_symbols_are_counted_once_a_participant_the_most_common_first() -> None:
    whole = k.collective([of(symbols=("b", "a", "a")), of(symbols=("b",)), of(symbols=("c",))], 3, Coherence())
    assert list(whole["symbols"].items()) == [("b", 2), ("a", 1), ("c", 1)]
    assert whole["mean_intensity"] == 0.0


@given(CONTRIBUTIONS, st.integers(0, 1_500))
def test_what_fits_is_never_larger_and_says_what_it_left_out(contributions: list[Contribution], most: int) -> None:
    whole = k.collective(contributions, len(contributions), Coherence())
    fits = k.fitted(whole, most)
    if fits is None:
        assert most < 320
        return
    assert len(msgspec.json.encode(fits)) <= most
    for name in k.SECTIONS:
        assert fits[name].items() <= whole[name].items()
        assert fits["left_out"][name] == len(whole[name]) - len(fits[name])


def test_symbols_give_way_before_strengths_and_the_rarest_first() -> None:
    contributions = [of({"Light": 0.5}, symbols=tuple(f"symbol-{i}" for i in range(n))) for n in range(60)]
    whole = k.collective(contributions, 60, Coherence())
    fits = k.fitted(whole, 900)
    assert fits is not None
    assert list(fits["archetypes"]) == ["Light"]
    assert list(fits["symbols"]) == list(whole["symbols"])[: len(fits["symbols"])]
    assert fits["symbols"]["symbol-0"] == 59
    assert k.fitted(whole, 100_000) == whole


def test_the_shared_state_keeps_what_it_had() -> None:
    whole = k.collective([of({"Light": 0.5})], 1, Coherence())
    shared = k.shared(msgspec.Raw(b'{"a": [1], "collective": 7}'), whole, 10_000)
    assert msgspec.json.decode(bytes(shared)) == {"a": [1], "collective": whole}  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [b"[1]", b"null", b'"x"', b'{"a":"' + b"x" * 900 + b'"}'])
def test_a_shared_state_that_has_no_place_for_it_stays_as_it_is(state: bytes) -> None:
    whole = k.collective([of({"Light": 0.5})], 1, Coherence())
    assert k.shared(msgspec.Raw(state), whole, 1_000) is UNSET


def test_the_shared_state_stays_within_its_bytes() -> None:
    whole = k.collective([of(symbols=tuple(f"symbol {i}" for i in range(200)))], 1, Coherence())
    for most in range(330, 1_200, 7):
        shared = k.shared(msgspec.Raw(b'{"a":1}'), whole, most)
        if shared is UNSET:
            assert most < 360
        else:
            assert len(bytes(shared)) <= most  # type: ignore[arg-type]

from __future__ import annotations

import cmath
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.space.coherence import coherence, from_sums, phase_locking

PHASES = st.lists(st.floats(-100, 100), min_size=2, max_size=50)


@pytest.mark.parametrize(
    ("phases", "r"),
    [
        ([1.0, 1.0, 1.0], 1.0),
        ([0.0, math.pi / 2, math.pi, 3 * math.pi / 2], 0.0),
        ([0.0, math.pi / 2], 0.7071),
        ([0.0, math.pi], 0.0),
    ],
)
def test_the_order_parameter_of_known_phases(phases: list[float], r: float) -> None:
    assert coherence(phases).r == pytest.approx(r, abs=1e-4)


@pytest.mark.parametrize("phases", [[], [1.0]])
def test_fewer_than_two_phases_say_nothing(phases: list[float]) -> None:
    found = coherence(phases)
    assert (found.r, found.unbiased, found.n) == (None, None, len(phases))


def test_the_unbiased_figure_of_known_phases() -> None:
    assert coherence([0.0, math.pi / 2]).unbiased == pytest.approx(0.0)
    assert coherence([0.0, 0.0]).unbiased == pytest.approx(1.0)
    assert coherence([0.0, math.pi]).unbiased == pytest.approx(-1.0)


def test_the_unbiased_figure_is_zero_in_the_mean_over_independent_phases() -> None:
    """Exact for three phases over all combinations of a grid: E[r²] = 1/N."""
    grid = [math.tau * k / 8 for k in range(8)]
    figures = [coherence([a, b, c]).unbiased for a in grid for b in grid for c in grid]
    assert math.fsum(f for f in figures if f is not None) / len(figures) == pytest.approx(0.0, abs=1e-12)


@given(PHASES)
def test_it_agrees_with_complex_numbers_and_stays_in_bounds(phases: list[float]) -> None:
    found = coherence(phases)
    assert found.r == pytest.approx(abs(sum(cmath.exp(1j * x) for x in phases)) / len(phases), abs=1e-9)
    assert found.r is not None
    assert 0 <= found.r <= 1


@given(PHASES, st.floats(-10, 10))
def test_turning_all_phases_changes_nothing(phases: list[float], by: float) -> None:
    assert coherence([x + by for x in phases]).r == pytest.approx(coherence(phases).r, abs=1e-9)


def test_rounding_never_gives_more_than_one() -> None:
    assert from_sums(2.0000000001, 0.0, 2).r == 1.0


def test_phase_locking_of_a_constant_lag_is_one_and_of_a_full_turn_zero() -> None:
    a = [math.tau * k / 16 for k in range(16)]
    assert phase_locking([x + 0.7 for x in a], a) == pytest.approx(1.0)
    assert phase_locking([2 * x for x in a], a) == pytest.approx(0.0, abs=1e-12)
    assert phase_locking([1.0], [1.0]) is None


def test_phase_locking_of_unequal_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        phase_locking([1.0, 2.0], [1.0])

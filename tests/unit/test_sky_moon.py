from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sky import moon


def test_meeus_example_48a() -> None:
    """1992-04-12 0h TD: ψ = 110.7929°, i = 69.0756°, k = 0.6786, of his α, δ and distances in kilometres."""
    from math import acos, cos, degrees, radians, sin

    sun, luna = (radians(20.6579), radians(8.6964)), (radians(134.6885), radians(13.7684))
    psi = degrees(acos(sin(sun[1]) * sin(luna[1]) + cos(sun[1]) * cos(luna[1]) * cos(sun[0] - luna[0])))
    assert psi == pytest.approx(110.7929, abs=1e-4)
    angle = moon.phase_angle(psi, 368_410, 149_971_520)
    assert angle == pytest.approx(69.0756, abs=1e-4)
    assert moon.illuminated(angle) == pytest.approx(0.6786, abs=5e-5)


@pytest.mark.parametrize(
    ("elongation", "phase"),
    [
        (0, "new_moon"),
        (6.09, "new_moon"),
        (6.10, "waxing_crescent"),
        (83.90, "waxing_crescent"),
        (83.91, "first_quarter"),
        (96.09, "first_quarter"),
        (96.10, "waxing_gibbous"),
        (180, "full_moon"),
        (186.10, "waning_gibbous"),
        (270, "last_quarter"),
        (276.10, "waning_crescent"),
        (353.90, "waning_crescent"),
        (353.91, "new_moon"),
        (360, "new_moon"),
        (-1, "new_moon"),
    ],
)
def test_names_of_phases(elongation: float, phase: str) -> None:
    assert moon.phase_of(elongation) == phase


def test_a_name_is_for_people_too() -> None:
    assert [moon.phase_name(phase) for phase in ("new_moon", "waning_gibbous")] == ["New Moon", "Waning Gibbous"]


@given(st.floats(min_value=0, max_value=359.9), st.floats(min_value=-5.3, max_value=5.3))
def test_more_of_it_is_lit_the_further_it_is_from_the_sun(elongation: float, latitude: float) -> None:
    apart = moon.angular_distance(elongation, latitude)
    lit = moon.illuminated(moon.phase_angle(apart, 384_400, 149_597_871))
    assert 0 <= lit <= 1
    # (1 - cos ψ) / 2 is the limit of an infinitely distant Sun: the Moon's distance is 1/389 of the Sun's
    assert lit == pytest.approx(moon.illuminated(180 - apart), abs=2e-3)
    assert moon.is_waxing(elongation) is (elongation < 180)

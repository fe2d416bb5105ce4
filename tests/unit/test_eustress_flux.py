from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.eustress.flux import SACRED, VERSION, digital_root, flux_position
from actors.eustress.values import REAL_MAX

COORDINATES = st.floats(min_value=-REAL_MAX, max_value=REAL_MAX)


@pytest.mark.parametrize(("number", "root"), [(0, 0), (10, 1), (128, 2), (1248751, 1), (999, 9), (9, 9), (18, 9)])
def test_digital_roots(number: int, root: int) -> None:
    assert digital_root(number) == root


def test_doubling_goes_round_the_vortex() -> None:
    assert [digital_root(2**n) for n in range(7)] == [1, 2, 4, 8, 7, 5, 1]
    assert VERSION == "droot-v1"
    assert {3, 6, 9} == SACRED


@pytest.mark.parametrize(
    ("place", "position"),
    [
        ((0.0, 0.0, 0.0), 9),
        ((-0.0, 0.0, 0.0), 9),
        ((1.0, 2.0, 3.0), 6),
        ((-1.0, 2.0, -3.0), 6),
        ((0.001, 0.0, 0.0), 1),
        ((0.0004, 0.0, 0.0), 9),  # the origin, to the millimetre
        ((0.0005, 0.0, 0.0), 9),  # half to even
        ((0.0015, 0.0, 0.0), 2),
        ((0.009, 0.0, 0.0), 9),
        ((12.487, 51.0, 0.0), 1),  # 1 + 2 + 4 + 8 + 7 + 5 + 1 = 28
        ((0.128, 0.0, 0.0), 2),
    ],
)
def test_flux_positions(place: tuple[float, float, float], position: int) -> None:
    assert flux_position(*place) == position


@given(COORDINATES, COORDINATES, COORDINATES)
def test_it_is_the_digital_root_of_the_digits(x: float, y: float, z: float) -> None:
    millimetres = [round(abs(value) * 1000) for value in (x, y, z)]
    digits = sum(int(digit) for number in millimetres for digit in str(number))
    assert flux_position(x, y, z) == (digital_root(digits) or 9)

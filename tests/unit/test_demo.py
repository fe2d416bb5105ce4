from __future__ import annotations

import math
import random

import pytest

from server.demo import OMEGA_RAD_S, SPREAD_RAD_S, Circle, advance, dial, mean_field


@pytest.mark.parametrize(
    ("phases_rad", "r"),
    [
        ([1.0] * 5, 1.0),
        ([0, math.pi / 2, math.pi, 3 * math.pi / 2], 0.0),
        ([0, math.pi / 2], math.sqrt(0.5)),
        ([], 0.0),
    ],
)
def test_the_mean_field_is_the_order_parameter(phases_rad: list[float], r: float) -> None:
    assert mean_field(phases_rad)[0] == pytest.approx(r, abs=1e-12)


def test_a_phase_alone_goes_at_its_own_frequency_and_stays_in_the_circle() -> None:
    assert advance(6.2, 1.0, (0.0, 0.0), 0.1) == pytest.approx(6.3 - 2 * math.pi)


def test_a_phase_is_drawn_toward_the_field() -> None:
    assert advance(1.0, 0.0, (1.0, 2.0), 0.1) > 1.0 > advance(1.0, 0.0, (1.0, 0.0), 0.1)


def test_coupled_practitioners_come_into_step_slowly() -> None:
    rng = random.Random(7)
    phases = [rng.random() * 2 * math.pi for _ in range(12)]
    omegas = [rng.gauss(OMEGA_RAD_S, SPREAD_RAD_S) for _ in phases]
    r = []
    for _ in range(3000):
        field = mean_field(phases)
        r.append(field[0])
        phases = [advance(phase, omega, field, 0.05) for phase, omega in zip(phases, omegas, strict=True)]
    assert r[100] < 0.8 < r[-1]
    assert r[-1] > r[0]


@pytest.mark.parametrize(("phase_rad", "at"), [(0.0, 0), (math.pi, 4), (2 * math.pi - 1e-9, 7)])
def test_the_dial_shows_the_phase(phase_rad: float, at: int) -> None:
    assert dial(phase_rad, 8).index("●") == at
    assert len(dial(phase_rad, 8)) == 8


def test_the_line_says_what_is_not_known_yet() -> None:
    circle = Circle("http://127.0.0.1:1", 14, random.Random(1))
    assert circle.members[13].name == "Bo 2"
    circle._counts = [0]
    circle.spoken = 6
    circle.measure()
    assert circle.rate_per_s == 6
    assert circle.r is None

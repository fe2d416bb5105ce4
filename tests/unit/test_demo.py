from __future__ import annotations

import math
import random

import pytest
from demo_story import story

from actors.practitioner import archetypal_state
from actors.ritual.builtin.builtin import BUILTINS
from server.demo import OMEGA_RAD_S, RITUALS, SPREAD_RAD_S, Circle, Tempo, advance, mean_field, some_state
from server.demo_view import dial


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


def circle(count: int = 2) -> Circle:
    return Circle("http://127.0.0.1:1", ["token"] * count, random.Random(1))


def test_the_line_says_what_is_not_known_yet() -> None:
    alone = circle(14)
    assert alone.members[13].name == "Bo 2"
    alone._counts = [0]
    alone.spoken = 6
    alone.measure()
    assert alone.rate_per_s == 6
    assert alone.r is None


def test_everyone_comes_with_what_the_rituals_ask_for() -> None:
    for seed in range(50):
        state = archetypal_state.parse(some_state(random.Random(seed)))
        for ritual in BUILTINS.values():
            assert all(state.archetypes[name] > 0 for name in ritual.required_archetypes)
            assert all(state.energies[name] >= level for name, level in ritual.energy_requirements.items())
        assert len(state.transformations) == 3


def test_the_rituals_of_the_demo_are_built_in() -> None:
    assert set(RITUALS) <= set(BUILTINS)


@pytest.mark.parametrize("seconds", [4.0, 5.0, 12.0, 60.0, None])
def test_a_ritual_fits_into_the_time_that_there_is(seconds: float | None) -> None:
    tempo = Tempo.within(seconds)
    assert tempo.countdown_s + tempo.opening_s + tempo.integration_s <= min(14.0, (seconds or 60.0) * 0.6)
    assert tempo.countdown_s > 0


def test_a_circle_remembers_the_rituals_it_held_and_how_far_apart_it_met() -> None:
    ours = circle()
    assert ours.report() == ["no ritual was completed in this time"]
    for event in story():
        ours.hear(event)
    ours.met["r"] = {"Ana": 1.000, "Bo": 1.0025}
    assert [each.run for each in ours.held] == ["r"]
    assert ours._closed.is_set()
    assert "they met within 2.5 ms" in ours.report()[0]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sky.angles import difference, in_sign, separation, shown, turned
from actors.sky.aspects import ANGLES, ORBS, aspect_of, aspects
from actors.sky.values import SIGNS, Body, Located

ANGLE = st.floats(min_value=-1e4, max_value=1e4)


def at(longitude: float, speed: float = 0.0, body: Body = "sun") -> Located:
    return Located(
        body=body, longitude=longitude, latitude=0, distance_au=1, speed=speed, right_ascension=0, declination=0
    )


@pytest.mark.parametrize(
    ("longitude", "text"),
    [
        (0.0, "00°00′00″ Aries"),
        (29.9999999, "29°59′59″ Aries"),  # cut: rounded it would be in Taurus
        (30.0, "00°00′00″ Taurus"),
        (294.504167, "24°30′15″ Capricorn"),
        (-0.25, "29°45′00″ Pisces"),
        (720.0, "00°00′00″ Aries"),
        (-1e-17, "00°00′00″ Aries"),  # -1e-17 % 360 is 360.0
    ],
)
def test_longitudes_as_people_say_them(longitude: float, text: str) -> None:
    assert shown(longitude) == text


@given(ANGLE)
def test_sign_and_degree_are_the_longitude_again(longitude: float) -> None:
    found = in_sign(longitude)
    assert 0 <= found.degree < 30
    assert SIGNS.index(found.sign) * 30 + found.degree == pytest.approx(turned(longitude), abs=1e-9)


@given(ANGLE, ANGLE)
def test_the_shorter_way_round(a: float, b: float) -> None:
    assert -180 < difference(a, b) <= 180
    assert separation(difference(a, b), a - b) < 1e-7
    assert separation(a, b) == pytest.approx(separation(b, a), abs=1e-9)


@pytest.mark.parametrize("kind", ANGLES)
def test_an_aspect_begins_and_ends_with_its_orb(kind: str) -> None:
    angle, orb = ANGLES[kind], ORBS[kind]  # type: ignore[index]
    for apart in {angle - orb, min(angle + orb, 180.0)} - {a for a in (angle - orb,) if a < 0}:
        found = aspect_of(at(350.0 + apart), at(350.0))
        assert found is not None
        assert (found.kind, found.separation) == (kind, pytest.approx(apart))
        assert found.orb == pytest.approx(abs(apart - angle))
    if angle + orb < 180:
        assert aspect_of(at(350.0 + angle + orb + 1e-6), at(350.0)) is None


@pytest.mark.parametrize(
    ("first", "second", "applying"),
    [
        ((10.0, 1.0), (15.0, 0.1), True),  # the faster one comes from behind
        ((15.0, 1.0), (10.0, 0.1), False),
        ((15.0, -0.5), (10.0, 0.1), True),  # retrograde, coming back
        ((358.0, 1.0), (3.0, 0.1), True),  # over the equinox
        ((100.0, 1.0), (12.0, 0.0), True),  # 88° and widening to a square
        ((104.0, 1.0), (12.0, 0.0), False),
        ((183.0, 1.0), (5.0, 0.0), True),  # 178° to the opposition
        ((188.0, 1.0), (5.0, 0.0), False),
        ((10.0, 1.0), (10.0, 0.1), False),  # exact now: it does not become more so
    ],
)
def test_applying_is_becoming_more_exact(
    first: tuple[float, float], second: tuple[float, float], applying: bool
) -> None:
    found = aspect_of(at(*first), at(*second))
    assert found is not None
    assert found.applying is applying
    later = aspect_of(at(first[0] + first[1] / 1e3, first[1]), at(second[0] + second[1] / 1e3, second[1]))
    assert later is not None
    assert (later.orb < found.orb) is applying


def test_aspects_come_the_most_exact_first() -> None:
    found = aspects([at(0, body="sun"), at(65, body="moon"), at(121, body="mars"), at(20, body="venus")])
    assert [(each.first, each.second, each.kind, each.orb) for each in found] == [
        ("sun", "mars", "trine", pytest.approx(1)),
        ("moon", "mars", "sextile", pytest.approx(4)),
        ("sun", "moon", "sextile", pytest.approx(5)),
    ]

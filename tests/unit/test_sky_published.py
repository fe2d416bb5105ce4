"""The names that the published front end reads, of a sky that is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.runtime.errors import Invalid
from actors.sky import published, replies
from actors.sky.aspects import aspects
from actors.sky.hours import Hour, PlanetaryDay
from actors.sky.houses import Frame, houses
from actors.sky.replies import HourHere
from actors.sky.values import Located, Place

NOON = datetime(2026, 6, 21, 12, tzinfo=UTC)
HOUSES = houses(Frame(ramc=80.0, obliquity=23.44, latitude=48.2), "placidus")


def body(name: str, longitude: float, speed: float) -> Located:
    return Located(
        body=name,  # type: ignore[arg-type]
        longitude=longitude,
        latitude=0.0,
        distance_au=1.0,
        speed=speed,
        right_ascension=0.0,
        declination=0.0,
    )


BODIES = (body("sun", 90.25, 0.95), body("saturn", 2.25, -0.01), body("moon", 180.0, 13.0))


def test_bodies_angles_and_cusps_have_the_names_that_it_looks_for() -> None:
    western = published.western(replies.positions(BODIES), aspects(BODIES), HOUSES)
    assert list(western.positions) == ["sun", "saturn", "moon", "ascendant", "midheaven"]
    sun, saturn = western.positions["sun"], western.positions["saturn"]
    assert (sun.sign, sun.degree, sun.formatted, sun.retrograde) == ("Cancer", 0.25, "00°15′00″ Cancer", False)
    assert (saturn.sign, saturn.retrograde) == ("Aries", True)
    assert (western.positions["ascendant"].house, western.positions["midheaven"].house) == (1, 10)
    assert list(western.houses) == [f"house_{n}" for n in range(1, 13)]
    assert western.houses["house_1"].longitude == western.positions["ascendant"].longitude == HOUSES.ascendant
    assert western.houses["house_10"].longitude == pytest.approx(HOUSES.midheaven)


def test_an_aspect_is_told_with_its_exactness() -> None:
    western = published.western(replies.positions(BODIES), aspects(BODIES), None)
    pair = next(each for each in western.aspects if {each.planet1, each.planet2} == {"sun", "saturn"})
    assert (pair.aspect, pair.angle, pair.exactness) == ("Square", 88.0, 0.75)
    assert pair.description == "Sun square Saturn, orb 2.00°"


def test_without_a_place_there_are_neither_angles_nor_houses() -> None:
    western = published.western(replies.positions(BODIES), (), None)
    assert list(western.positions) == ["sun", "saturn", "moon"]
    assert western.houses == {}
    assert western.positions["sun"].house is None


def test_the_hour_has_its_ruler_and_what_is_left_of_it() -> None:
    hour = Hour(
        number=7, of="day", ruler="venus", begins=NOON - timedelta(minutes=20), ends=NOON + timedelta(minutes=40)
    )
    day = PlanetaryDay(
        weekday="Sunday",
        ruler="sun",
        sunrise=NOON - timedelta(hours=8),
        sunset=NOON + timedelta(hours=8),
        next_sunrise=NOON + timedelta(hours=16),
        hours=(hour,),
    )
    told = published.planetary_hours(NOON, HourHere(hour=hour, day=day, missing=None, reason=None))
    assert told is not None
    assert (told.current_planetary_hour, told.day_planet, told.hour_index, told.is_daytime) == ("Venus", "Sun", 7, True)
    assert told.time_remaining_seconds == 2400
    assert published.planetary_hours(NOON, None) is None
    none = HourHere(hour=None, day=None, missing="polar_day", reason="the Sun does not set")
    assert published.planetary_hours(NOON, none) is None


@pytest.mark.parametrize(
    ("text", "lon", "hour"),
    [
        ("2026-06-21T12:00:00", None, 12.0),
        ("2026-06-21T12:00:00", 16.4, 11.0),
        ("2026-06-21T12:00:00", 77.2, 7.0),
        ("2026-06-21T12:00:00", -122.4, 20.0),
        ("2026-06-21T12:00:00", 82.5, 6.5),
        ("2026-06-21T12:00:00Z", -122.4, 12.0),
        ("2026-06-21T12:00:00+02:00", -122.4, 10.0),
        ("2026-06-21T12:00", 180.0, 0.0),
    ],
)
def test_a_time_without_a_zone_is_of_the_places_longitude(text: str, lon: float | None, hour: float) -> None:
    place = None if lon is None else Place(lat=0.0, lon=lon)
    assert published.moment(text, place) == NOON.replace(hour=0) + timedelta(hours=hour)


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01", "1e9", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59-14:00"]
)
def test_what_is_no_time_is_told_by_its_name(text: str) -> None:
    with pytest.raises(Invalid) as told:
        published.moment(text, None)
    assert told.value.errors[0].path == "datetime_str"

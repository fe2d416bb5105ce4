from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.sky.hours import CHALDEAN, DAY_RULERS, SunTimes, hour_at, missing, planetary_day

RISE, SET, NEXT = (datetime(2026, 1, d, h, tzinfo=UTC) for d, h in ((4, 6), (4, 18), (5, 6)))  # a Sunday
SUNDAY = SunTimes(rises=(RISE, NEXT), sets=(SET,), up=True)
DAY = timedelta(days=1)


def test_sunday_begins_with_the_sun_and_monday_with_the_moon() -> None:
    day = planetary_day(RISE, SUNDAY, 0)
    assert day is not None
    assert (day.weekday, day.ruler, len(day.hours)) == ("Sunday", "sun", 24)
    first = ["sun", "venus", "mercury", "moon", "saturn", "jupiter", "mars"]
    assert [hour.ruler for hour in day.hours] == [*first, *first, *first, *first[:3]]
    assert [hour.number for hour in day.hours] == [*range(1, 13), *range(1, 13)]
    after = CHALDEAN[(CHALDEAN.index(day.hours[-1].ruler) + 1) % 7]
    assert after == DAY_RULERS[0] == "moon"


@pytest.mark.parametrize("weekday", range(7))
def test_24_hours_on_is_the_next_days_ruler(weekday: int) -> None:
    """Of any week: 24 = 3 mod 7, and three on in Chaldean order are the days of the week."""
    shift = timedelta(days=weekday)
    times = SunTimes(rises=(RISE + shift, NEXT + shift), sets=(SET + shift,), up=True)
    day = planetary_day(RISE + shift, times, 0)
    assert day is not None
    assert day.hours[0].ruler == day.ruler
    next_ruler = CHALDEAN[(CHALDEAN.index(day.hours[-1].ruler) + 1) % 7]
    assert next_ruler == DAY_RULERS[((RISE + shift).weekday() + 1) % 7]


@given(st.floats(min_value=0.01, max_value=23.9), st.floats(min_value=0, max_value=0.9999), st.floats(-180, 180))
def test_hours_fill_the_day_without_a_gap(day_h: float, share: float, longitude: float) -> None:
    sets = RISE + timedelta(hours=day_h)
    at = RISE + share * DAY
    day = planetary_day(at, SunTimes(rises=(RISE, NEXT), sets=(sets,), up=at < sets), longitude)
    assert day is not None
    assert (day.hours[0].begins, day.hours[11].ends, day.hours[12].begins, day.hours[23].ends) == (
        RISE, sets, sets, NEXT,
    )  # fmt: skip
    assert all(one.ends == two.begins for one, two in zip(day.hours, day.hours[1:], strict=False))
    hour = hour_at(at, day)
    assert hour.begins <= at < hour.ends
    assert hour.of == ("day" if at < sets else "night")


@pytest.mark.parametrize(("longitude", "weekday"), [(0, "Sunday"), (170, "Sunday"), (-170, "Sunday")])
def test_the_weekday_is_the_places_own(longitude: float, weekday: str) -> None:
    """Sunrise at six local mean time: at 170° east that is Saturday evening in UTC."""
    shift = -timedelta(hours=longitude / 15)
    times = SunTimes(rises=(RISE + shift, NEXT + shift), sets=(SET + shift,), up=True)
    day = planetary_day(RISE + shift, times, longitude)
    assert day is not None
    assert day.weekday == weekday


def test_after_midnight_it_is_still_the_night_of_the_day_before() -> None:
    day = planetary_day(NEXT - timedelta(minutes=1), SunTimes(rises=(RISE, NEXT), sets=(SET,), up=False), 0)
    assert day is not None
    assert day.weekday == "Sunday"
    assert hour_at(NEXT - timedelta(minutes=1), day).number == 12


def test_where_the_sun_does_not_rise_or_set_there_is_no_hour_and_it_is_said_which() -> None:
    for up, which in ((True, "polar_day"), (False, "polar_night")):
        sun = SunTimes(rises=(), sets=(), up=up)
        assert planetary_day(RISE, sun, 0) is None
        assert missing(RISE, sun) == which


def test_the_day_that_becomes_the_polar_day_has_no_hours() -> None:
    sun = SunTimes(rises=(RISE,), sets=(RISE - timedelta(minutes=20),), up=True)
    assert planetary_day(RISE + DAY / 2, sun, 0) is None
    assert missing(RISE + DAY / 2, sun) == "polar_day"
    long_day = SunTimes(rises=(RISE, RISE + 2 * DAY), sets=(RISE + 2 * DAY - timedelta(hours=1),), up=True)
    assert planetary_day(RISE + DAY / 2, long_day, 0) is None


def test_the_last_day_before_the_polar_night_has_its_twelve_hours_of_day_and_none_of_night() -> None:
    sun = SunTimes(rises=(RISE,), sets=(RISE + timedelta(hours=1),), up=True)
    day = planetary_day(RISE + timedelta(minutes=6), sun, 0)
    assert day is not None
    assert (len(day.hours), day.next_sunrise) == (12, None)
    assert hour_at(RISE + timedelta(minutes=6), day).number == 2
    evening = SunTimes(rises=sun.rises, sets=sun.sets, up=False)
    assert planetary_day(RISE + timedelta(hours=2), evening, 0) is None
    assert missing(RISE + timedelta(hours=2), evening) == "polar_night"


def test_the_first_night_after_the_polar_day_belongs_to_it() -> None:
    sun = SunTimes(rises=(RISE + timedelta(minutes=30),), sets=(RISE,), up=False)
    assert planetary_day(RISE + timedelta(minutes=10), sun, 0) is None
    assert missing(RISE + timedelta(minutes=10), sun) == "polar_day"

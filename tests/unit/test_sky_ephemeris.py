"""The ephemeris against published places and times. Meeus: Astronomical Algorithms, 2nd ed., by VSOP87 and ELP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.runtime.errors import Invalid, RateLimited
from actors.sky.angles import difference
from actors.sky.houses import ascendant, midheaven
from actors.sky.values import BODIES, Body, Located, Place
from server.sky import readings
from server.sky.desk import WAITING, SkyDesk
from server.sky.ephemeris import Ephemeris, load

ARC_SECONDS = 3600.0
GREENWICH = Place(lat=51.4779, lon=0)
VIENNA = Place(lat=48.2082, lon=16.3738)
TROMSO = Place(lat=69.65, lon=18.96)
TD_1992 = timedelta(seconds=-59.184)
"""From TD to UTC: 27 leap seconds (26 before July) and TT - TAI."""


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.fixture(scope="module")
def sky() -> Ephemeris:
    return load()


def of(sky: Ephemeris, body: Body, at: datetime) -> Located:
    return sky.bodies(at)[BODIES.index(body)]


def test_the_sun_of_meeus_25b(sky: Ephemeris) -> None:
    found = of(sky, "sun", utc(1992, 10, 13) + TD_1992)
    assert difference(found.longitude, 199 + 54 / 60 + 21.8 / 3600) * ARC_SECONDS == pytest.approx(0, abs=0.25)
    assert found.latitude * ARC_SECONDS == pytest.approx(0.72, abs=0.15)
    assert found.distance_au == pytest.approx(0.9976085, abs=1e-7)


def test_the_moon_of_meeus_47a(sky: Ephemeris) -> None:
    """His truncated series is good to 10″ in longitude and 4″ in latitude; the distance to some kilometres."""
    found = of(sky, "moon", utc(1992, 4, 12) + TD_1992 + timedelta(seconds=1))
    assert difference(found.longitude, 133.167265) * ARC_SECONDS == pytest.approx(0, abs=2.5)
    assert found.latitude == pytest.approx(-3.229126, abs=1 / 3600)
    # he has no light time for the distance, and ours is of the apparent place
    assert found.distance_au * 149_597_870.7 == pytest.approx(368_409.7, abs=35)


def test_venus_of_meeus_33a(sky: Ephemeris) -> None:
    found = of(sky, "venus", utc(1992, 12, 20) + TD_1992)
    ascension = (21 + 4 / 60 + 41.454 / 3600) * 15
    assert difference(found.right_ascension, ascension) * ARC_SECONDS == pytest.approx(0, abs=0.1)
    assert (found.declination + 18 + 53 / 60 + 16.84 / 3600) * ARC_SECONDS == pytest.approx(0, abs=0.02)


def test_phases_and_seasons_to_the_second(sky: Ephemeris) -> None:
    (new,) = sky.phases(utc(2024, 4, 8), utc(2024, 4, 9))
    assert new.phase == "new_moon"
    assert abs(new.at - utc(2024, 4, 8, 18, 20, 52)) < timedelta(seconds=1)
    solstice, equinox, *_ = sky.seasons(utc(2024, 6, 1), utc(2025, 6, 1))
    assert (solstice.name, equinox.name) == ("june_solstice", "september_equinox")
    assert abs(solstice.at - utc(2024, 6, 20, 20, 51, 0)) < timedelta(seconds=1)


def test_the_sun_is_at_cancer_when_the_solstice_is_and_the_moon_where_its_phase_says(sky: Ephemeris) -> None:
    (solstice,) = sky.seasons(utc(2024, 6, 1), utc(2024, 7, 1))
    assert difference(of(sky, "sun", solstice.at).longitude, 90) * ARC_SECONDS == pytest.approx(0, abs=0.001)
    for n, phase in enumerate(sky.phases(utc(2024, 4, 8), utc(2024, 5, 5))):
        sun, moon = sky.bodies(phase.at)[:2]
        assert difference(moon.longitude - sun.longitude, 90 * n) * ARC_SECONDS == pytest.approx(0, abs=0.005)


def test_greenwich_at_j2000(sky: Ephemeris) -> None:
    frame = sky.frame(utc(2000, 1, 1, 12), GREENWICH)
    assert ascendant(frame) == pytest.approx(24.26943, abs=6e-6)
    assert midheaven(frame) == pytest.approx(279.61246, abs=6e-6)


@pytest.mark.parametrize("body", BODIES)
def test_speed_is_the_slope_of_the_longitude(sky: Ephemeris, body: Body) -> None:
    """Over an hour either way, which the central difference of 14 minutes does not share."""
    at, hour = utc(2024, 8, 10, 3), timedelta(hours=1)
    before, now, after = (of(sky, body, at + step) for step in (-hour, 0 * hour, hour))
    slope = difference(after.longitude, before.longitude) * 12
    assert now.speed == pytest.approx(slope, abs=2e-4 if body == "moon" else 1e-6)


def test_mercury_was_retrograde_in_august_2024(sky: Ephemeris) -> None:
    """Stations 2024-08-05 04:56 and 2024-08-28 21:14 UTC."""
    days = [(utc(2024, 8, 5, 3), False), (utc(2024, 8, 5, 7), True), (utc(2024, 8, 28, 19), True)]
    for at, backwards in [*days, (utc(2024, 8, 28, 23), False)]:
        mercury = readings.positions(sky, at)[BODIES.index("mercury")]
        assert (mercury.body, mercury.retrograde) == ("mercury", backwards), at


def test_before_1972_a_time_is_universal_time_and_what_is_found_there_too(sky: Ephemeris) -> None:
    """Taken as UTC with ten leap seconds, the Sun of 1900 would be 45 s, which is 1.9″, further on."""
    found = of(sky, "sun", utc(1900, 1, 1))
    earlier = of(sky, "sun", utc(1900, 1, 1) - timedelta(seconds=45))
    assert difference(found.longitude, earlier.longitude) * ARC_SECONDS == pytest.approx(1.9, abs=0.1)
    assert found.longitude == pytest.approx(280.1532, abs=2e-3)  # Newcomb's for 1900.0 ET, with aberration and nutation
    (phase, *_) = sky.phases(utc(1900, 1, 1), utc(1900, 1, 8))
    sun, moon = sky.bodies(phase.at)[:2]
    assert difference(moon.longitude, sun.longitude) * ARC_SECONDS == pytest.approx(0, abs=0.01)
    assert readings.UT_NOTE in readings.whole(sky, utc(1971, 12, 31)).notes
    assert readings.whole(sky, utc(1972, 1, 1)).notes == ()


@pytest.mark.parametrize("at", [utc(1800, 1, 1), utc(1899, 7, 31), utc(2053, 10, 7), utc(2999, 1, 1)])
def test_other_years_are_refused_by_name(sky: Ephemeris, at: datetime) -> None:
    for ask in (
        lambda: sky.bodies(at),
        lambda: sky.frame(at, VIENNA),
        lambda: sky.sun_times(at, VIENNA),
        lambda: readings.moon_phase(sky, at),
        lambda: readings.whole(sky, at, VIENNA),
    ):
        with pytest.raises(Invalid, match="1899 to 2053") as refused:
            ask()
        assert refused.value.errors[0].path == "at"


def test_at_the_ends_of_the_ephemeris_there_is_less_and_no_error(sky: Ephemeris) -> None:
    for at in (sky.first, sky.last):
        found = readings.whole(sky, at, VIENNA)
        assert found.planetary_hour is not None
        assert found.planetary_hour.hour is not None
    assert (found.moon.next_phases, found.seasons) == ((), ())
    assert readings.moon_phase(sky, sky.first).age_days is None


def test_sunrise_and_sunset_in_vienna(sky: Ephemeris) -> None:
    """The almanac's 04:54 and 20:59 CEST of 2024-06-21, minutes rounded."""
    times = sky.sun_times(utc(2024, 6, 21, 12), VIENNA)
    assert any(abs(each - utc(2024, 6, 21, 2, 54)) < timedelta(minutes=1) for each in times.rises)
    assert any(abs(each - utc(2024, 6, 21, 18, 59)) < timedelta(minutes=1) for each in times.sets)
    assert times.up
    for rise in times.rises:
        assert sky.sun_here(rise, VIENNA)[0] == pytest.approx(-50 / 60, abs=1e-3)


@pytest.mark.parametrize(("at", "which"), [(utc(2024, 6, 20, 22), "polar_day"), (utc(2024, 12, 21, 11), "polar_night")])
def test_tromso_at_the_solstices(sky: Ephemeris, at: datetime, which: str) -> None:
    found = readings.whole(sky, at, TROMSO, "placidus")
    assert found.planetary_hour is not None
    assert (found.planetary_hour.hour, found.planetary_hour.missing) == (None, which)
    assert ("does not set" if which == "polar_day" else "does not rise") in str(found.planetary_hour.reason)
    assert found.sun is not None
    assert (found.sun.polar, found.sun.next_sunset, found.sun.next_sunrise) == (which, None, None)
    assert found.houses is None
    assert "polar circles" in found.notes[0]
    assert readings.whole(sky, at, TROMSO).houses is not None


@pytest.mark.parametrize("lat", [90.0, -90.0])
def test_at_the_poles_there_is_a_sun_and_no_houses(sky: Ephemeris, lat: float) -> None:
    found = readings.whole(sky, utc(2024, 6, 20, 22), Place(lat=lat, lon=0))
    assert found.sun is not None
    assert found.sun.polar == ("polar_day" if lat > 0 else "polar_night")
    assert (found.houses, len(found.notes)) == (None, 1)


def test_every_hour_of_a_tromso_year_is_a_planetary_hour_or_has_a_reason(sky: Ephemeris) -> None:
    """Through the beginnings and the ends of polar day (late May, late July) and polar night (late November, mid-January)."""
    seen = []
    for first in (utc(2024, 5, 15), utc(2024, 7, 24), utc(2024, 11, 24), utc(2025, 1, 13)):
        for hour in range(0, 5 * 24, 7):
            at = first + timedelta(hours=hour)
            found = readings.planetary_hour(sky, at, TROMSO)
            seen.append(found.missing)
            if found.hour is not None:
                assert found.hour.begins <= at < found.hour.ends
            else:
                assert found.missing == ("polar_day" if first.month in (5, 7) else "polar_night")
    assert set(seen) == {None, "polar_day", "polar_night"}


def test_a_whole_sky_agrees_with_its_parts(sky: Ephemeris) -> None:
    at = utc(2024, 6, 20, 20, 51)
    whole = readings.whole(sky, at, VIENNA, "placidus")
    assert whole.positions == readings.positions(sky, at, VIENNA, "placidus")
    assert whole.houses == readings.houses(sky, at, VIENNA, "placidus")
    assert whole.moon == readings.moon_phase(sky, at)
    assert whole.planetary_hour == readings.planetary_hour(sky, at, VIENNA)
    here = readings.location(sky, at, VIENNA)
    assert (here.sun, here.sidereal_time) == (whole.sun, whole.houses.sidereal_time)
    assert whole.moon.phase == "waxing_gibbous"
    assert [each.phase for each in whole.moon.next_phases] == [
        "full_moon", "last_quarter", "new_moon", "first_quarter",
    ]  # fmt: skip
    assert whole.moon.age_days == pytest.approx((at - utc(2024, 6, 6, 12, 37, 44)) / timedelta(days=1), abs=1e-3)


# --- the desk --------------------------------------------------------------------------------------------------------


class Held:
    """Something to ask that answers when it is let."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.loads = 0
        self.fail: Exception | None = None

    def load(self) -> Held:
        self.loads += 1
        return self


def answer(held: Held, number: int) -> int:
    held.asked.append(number)
    if held.fail is not None:
        raise held.fail
    return number


async def test_the_same_question_is_calculated_once_and_remembered() -> None:
    held = Held()
    desk = SkyDesk(held.load)
    assert await asyncio.gather(*(desk.ask(answer, 1) for _ in range(9))) == [1] * 9
    assert await desk.ask(answer, 1) == 1
    assert held.asked == [1]
    await desk.close()


async def test_an_error_is_everyones_who_waits_and_is_not_remembered() -> None:
    held = Held()
    held.fail = Invalid("no")
    desk = SkyDesk(held.load)
    failed = await asyncio.gather(desk.ask(answer, 1), desk.ask(answer, 1), return_exceptions=True)
    assert failed == [held.fail, held.fail]
    held.fail = None
    assert await desk.ask(answer, 1) == 1
    assert held.asked == [1, 1]
    await desk.close()


async def test_beyond_its_queue_a_desk_says_to_come_back_and_forgets_nothing() -> None:
    held = Held()
    desk = SkyDesk(held.load)
    waiting: list[Any] = [asyncio.ensure_future(desk.ask(answer, n)) for n in range(WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(RateLimited) as refused:
        await desk.ask(answer, WAITING)
    assert refused.value.retry_after_s is not None
    waiting[0].cancel()  # one goes away; the others still get theirs
    assert await asyncio.gather(*waiting[1:]) == list(range(1, WAITING))
    assert await desk.ask(answer, WAITING) == WAITING
    await desk.close()

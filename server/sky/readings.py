"""What is asked of the sky, composed of what the ephemeris has and what ``actors.sky`` makes of it. Synchronous: whoever has an
event loop asks through ``server.sky.desk``."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from msgspec import Struct

from actors.runtime.errors import Invalid
from actors.sky import hours, moon, replies
from actors.sky.angles import in_sign, turned
from actors.sky.aspects import aspects
from actors.sky.hours import Missing, PlanetaryDay, SunTimes
from actors.sky.houses import Houses
from actors.sky.houses import houses as houses_of
from actors.sky.replies import HourHere, Position, Sky, SunHere
from actors.sky.values import HouseSystem, Located, Place
from server.sky.ephemeris import MONTH, UTC_BEGINS, YEAR, Ephemeris

AU_KM: Final = 149_597_870.7
NEXT_PHASES: Final = 4
REASONS: Final[dict[Missing, str]] = {
    "polar_day": "polar day, the Sun does not set: planetary hours divide the time from a sunrise to the sunset of that day",
    "polar_night": "polar night, the Sun does not rise: planetary hours divide the time from a sunrise to the next",
}
UT_NOTE: Final = "before 1972 there was no UTC: the time is read as universal time (UT1)"


class Here(Struct, frozen=True, kw_only=True):
    """A place: its apparent sidereal time as an angle in degrees, the Sun, the planetary day where there is one."""

    sidereal_time: float
    sun: SunHere
    day: PlanetaryDay | None


def bodies(ephemeris: Ephemeris, at: datetime) -> tuple[Located, ...]:
    """Where everything is, as the ephemeris has it. Raises Invalid."""
    return ephemeris.bodies(at)


def positions(
    ephemeris: Ephemeris, at: datetime, place: Place | None = None, system: HouseSystem = "whole_sign"
) -> tuple[Position, ...]:
    """Where everything is; with a place, in which house. Raises Invalid."""
    found = None if place is None else houses(ephemeris, at, place, system)
    return replies.positions(ephemeris.bodies(at), found)


def houses(ephemeris: Ephemeris, at: datetime, place: Place, system: HouseSystem) -> Houses:
    """The houses of a place. Raises Invalid."""
    return houses_of(ephemeris.frame(at, place), system)


def moon_phase(ephemeris: Ephemeris, at: datetime) -> moon.MoonPhase:
    """The Moon's phase, and the next ones. Raises Invalid."""
    return _moon_phase(ephemeris, at, ephemeris.bodies(at))


def _moon_phase(ephemeris: Ephemeris, at: datetime, located: tuple[Located, ...]) -> moon.MoonPhase:
    sun, luna = located[:2]
    elongation = turned(luna.longitude - sun.longitude)
    apart = moon.angular_distance(elongation, luna.latitude)
    lit = moon.illuminated(moon.phase_angle(apart, luna.distance_au, sun.distance_au))
    around = ephemeris.phases(at - MONTH, at + MONTH)
    before = [each.at for each in around if each.phase == "new_moon" and each.at <= at]
    named, place = moon.phase_of(elongation), in_sign(luna.longitude)
    return moon.MoonPhase(
        phase=named,
        phase_name=moon.phase_name(named),
        elongation=elongation,
        illumination=100 * lit,
        waxing=moon.is_waxing(elongation),
        age_days=(at - before[-1]).total_seconds() / 86_400 if before else None,
        sign=place.sign,
        degree=place.degree,
        distance_km=luna.distance_au * AU_KM,
        next_phases=tuple(each for each in around if each.at > at)[:NEXT_PHASES],
    )


def location(ephemeris: Ephemeris, at: datetime, place: Place) -> Here:
    """A place under the sky. Raises Invalid."""
    times = ephemeris.sun_times(at, place)
    return Here(
        sidereal_time=ephemeris.frame(at, place).ramc,
        sun=_sun_here(ephemeris, at, place, times),
        day=hours.planetary_day(at, times, place.lon),
    )


def _sun_here(ephemeris: Ephemeris, at: datetime, place: Place, times: SunTimes) -> SunHere:
    altitude, azimuth = ephemeris.sun_here(at, place)
    without = hours.planetary_day(at, times, place.lon) is None
    return SunHere(
        altitude=altitude,
        azimuth=azimuth,
        up=times.up,
        last_sunrise=max((each for each in times.rises if each <= at), default=None),
        last_sunset=max((each for each in times.sets if each <= at), default=None),
        next_sunrise=min((each for each in times.rises if each > at), default=None),
        next_sunset=min((each for each in times.sets if each > at), default=None),
        polar=hours.missing(at, times) if without else None,
    )


def planetary_hour(ephemeris: Ephemeris, at: datetime, place: Place) -> HourHere:
    """The planetary hour of a place, or why there is none. Raises Invalid."""
    return _planetary_hour(at, place, ephemeris.sun_times(at, place))


def _planetary_hour(at: datetime, place: Place, times: SunTimes) -> HourHere:
    day = hours.planetary_day(at, times, place.lon)
    if day is None:
        which = hours.missing(at, times)
        return HourHere(hour=None, day=None, missing=which, reason=REASONS[which])
    return HourHere(hour=hours.hour_at(at, day), day=day, missing=None, reason=None)


def whole(ephemeris: Ephemeris, at: datetime, place: Place | None = None, system: HouseSystem = "whole_sign") -> Sky:
    """All of it. Houses that there are not are a note here. Raises Invalid for a moment that is not covered."""
    located = ephemeris.bodies(at)
    notes = [UT_NOTE] if at < UTC_BEGINS else []
    times = None if place is None else ephemeris.sun_times(at, place)
    found = None
    if place is not None:
        try:
            found = houses(ephemeris, at, place, system)
        except Invalid as why:
            notes.append(f"no houses: {why.errors[0].message}")
    return Sky(
        at=at,
        place=place,
        positions=replies.positions(located, found),
        aspects=aspects(located),
        moon=_moon_phase(ephemeris, at, located),
        seasons=ephemeris.seasons(at, at + YEAR)[:4],
        houses=found,
        sun=None if place is None or times is None else _sun_here(ephemeris, at, place, times),
        planetary_hour=None if place is None or times is None else _planetary_hour(at, place, times),
        notes=tuple(notes),
    )

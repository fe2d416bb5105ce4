"""The one file that talks to skyfield: numbers of the JPL ephemeris DE421 as values of ``actors.sky``.

All of it comes with the packages (``skyfield-data`` has the ephemeris, skyfield itself leap seconds and ΔT); nothing is ever
fetched, and nothing expires. Positions are apparent: light time, aberration, deflection by the Sun, Jupiter and Saturn,
precession (IAU 2006) and nutation (IAU 2000A). Of Jupiter and beyond DE421 has the system's barycentre, 0.1″ from the planet at
most.

Moments are UTC. Before 1972, when UTC began, they are read as universal time (UT1), which is what clocks then told.

An ``Ephemeris`` may be used by one thread at a time; a calculation takes from 5 to 100 ms. ``load`` makes it once a process.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from math import acos, degrees
from typing import Any, Final, Literal

import numpy as np
from skyfield import almanac
from skyfield.api import Loader, wgs84
from skyfield.framelib import ecliptic_frame

from actors.runtime.codec import invalid
from actors.sky.angles import turned
from actors.sky.hours import SunTimes
from actors.sky.houses import Frame
from actors.sky.moon import PRINCIPALS, PhaseAt
from actors.sky.replies import SeasonAt
from actors.sky.values import BODIES, Body, Located, Place

FILE: Final = "de421.bsp"
UTC_BEGINS: Final = datetime(1972, 1, 1, tzinfo=UTC)
J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)
J2000_JD: Final = 2_451_545.0
STEP_DAYS: Final = 0.01
"""For speeds, either way: the Moon's central difference errs by 1e-6 degrees a day, and rounding by less."""
MARGIN: Final = timedelta(days=3)
"""From the ends of the file: light from Pluto is seven hours old, and sunrises are looked for two days around the moment."""
AROUND: Final = timedelta(hours=48)
MONTH: Final = timedelta(days=30)
"""Longer than any month from new moon to new moon (29.27 to 29.84 days), and every principal phase occurs in it."""
YEAR: Final = timedelta(days=367)
RISING_DEG: Final = -50 / 60
"""Of the Sun's centre as it rises: 34′ of refraction and a semidiameter of 16′, as almanacs have it."""
TARGETS: Final[dict[Body, str]] = {
    body: f"{body} barycenter" if body in ("jupiter", "saturn", "uranus", "neptune", "pluto") else body
    for body in BODIES
}
SEASONS: Final[tuple[Literal["march_equinox", "june_solstice", "september_equinox", "december_solstice"], ...]] = (
    "march_equinox",
    "june_solstice",
    "september_equinox",
    "december_solstice",
)


class Ephemeris:
    """DE421. Every method raises Invalid (``at``) for a moment that it does not cover."""

    def __init__(self) -> None:
        # Not skyfield_data.get_skyfield_data_path: it warns, by the clock, of a file that is not used here.
        loader = Loader(str(files("skyfield_data") / "data"), verbose=False, expire=False)
        self._scale: Any = loader.timescale(builtin=True)
        self._kernel: Any = loader(FILE)
        self._earth = self._kernel["earth"]
        segments = self._kernel.spk.segments
        self.first = _of_jd(max(each.start_jd for each in segments)) + MARGIN
        self.last = _of_jd(min(each.end_jd for each in segments)) - MARGIN

    def bodies(self, at: datetime) -> tuple[Located, ...]:
        """The Sun, the Moon and the planets."""
        time = self._time(at)
        around = self._scale.tt_jd(np.array([time.tt - STEP_DAYS, time.tt, time.tt + STEP_DAYS]))
        earth = self._earth.at(around)
        return tuple(self._located(body, earth) for body in BODIES)

    def _located(self, body: Body, earth: Any) -> Located:
        seen = earth.observe(self._kernel[TARGETS[body]]).apparent()
        latitude, longitude, distance = seen.frame_latlon(ecliptic_frame)
        ascension, declination, _ = seen.radec(epoch="date")
        before, now, after = longitude.degrees
        return Located(
            body=body,
            longitude=turned(float(now)),
            latitude=float(latitude.degrees[1]),
            distance_au=float(distance.au[1]),
            speed=float((after - before + 180) % 360 - 180) / (2 * STEP_DAYS),
            right_ascension=turned(float(ascension.hours[1]) * 15),
            declination=float(declination.degrees[1]),
        )

    def frame(self, at: datetime, place: Place) -> Frame:
        """How the place is turned: apparent sidereal time, true obliquity (between the poles of date of ecliptic and equator)."""
        time = self._time(at)
        pole_cosine = float(ecliptic_frame.rotation_at(time)[2] @ time.M[2])
        return Frame(
            ramc=turned(float(time.gast) * 15 + place.lon),
            obliquity=degrees(acos(pole_cosine)),
            latitude=place.lat,
        )

    def phases(self, since: datetime, until: datetime) -> tuple[PhaseAt, ...]:
        """The Moon's principal phases of a time, to a second. What of it is not covered has none."""
        found = self._events(since, until, almanac.moon_phases(self._kernel))
        return tuple(PhaseAt(phase=PRINCIPALS[index], at=at) for at, index in found)

    def seasons(self, since: datetime, until: datetime) -> tuple[SeasonAt, ...]:
        """Its equinoxes and solstices, to a second."""
        found = self._events(since, until, almanac.seasons(self._kernel))
        return tuple(SeasonAt(name=SEASONS[index], at=at) for at, index in found)

    def sun_times(self, at: datetime, place: Place) -> SunTimes:
        """Sunrises and sunsets from two days before to two days after. The file's ends are further away."""
        start, end = self._time(at - AROUND, within=False), self._time(at + AROUND, within=False)
        self._time(at)
        observer, sun = self._observer(place), self._kernel["sun"]
        rises = almanac.find_risings(observer, sun, start, end)
        sets = almanac.find_settings(observer, sun, start, end)
        altitude, _ = self.sun_here(at, place)
        return SunTimes(rises=self._really(*rises), sets=self._really(*sets), up=altitude > RISING_DEG)

    def sun_here(self, at: datetime, place: Place) -> tuple[float, float]:
        """Altitude and azimuth of the Sun's centre, without refraction, in degrees."""
        seen = self._observer(place).at(self._time(at)).observe(self._kernel["sun"]).apparent()
        altitude, azimuth, _ = seen.altaz()
        return float(altitude.degrees), turned(float(azimuth.degrees))

    def _observer(self, place: Place) -> Any:
        return self._earth + wgs84.latlon(place.lat, place.lon)

    def _really(self, times: Any, crosses: Iterable[bool]) -> tuple[datetime, ...]:
        """Where the Sun stays on one side of the horizon, skyfield has the time of its nearest approach and says False."""
        return tuple(self._instant(time) for time, does in zip(times, crosses, strict=True) if does)

    def _events(self, since: datetime, until: datetime, state: Any) -> list[tuple[datetime, int]]:
        start, end = max(since, self.first), min(until, self.last)
        if start >= end:
            return []
        times, values = almanac.find_discrete(self._time(start), self._time(end), state)
        return [(self._instant(time), int(value)) for time, value in zip(times, values, strict=True)]

    def _time(self, at: datetime, *, within: bool = True) -> Any:
        if within and not self.first <= at <= self.last:
            raise invalid(
                "at",
                f"the ephemeris (DE421) has the years 1899 to 2053: from {self.first:%Y-%m-%d} to {self.last:%Y-%m-%d}",
            )
        if at < UTC_BEGINS:
            return self._scale.ut1_jd(J2000_JD + (at - J2000) / timedelta(days=1))
        return self._scale.from_datetime(at.astimezone(UTC))

    def _instant(self, time: Any) -> datetime:
        """The inverse of ``_time``, to the microsecond that a datetime has."""
        universal = _of_jd(float(time.ut1))
        if universal < UTC_BEGINS:
            return universal
        found: datetime = time.utc_datetime()
        return found.astimezone(UTC)

    def close(self) -> None:
        """Let the file go."""
        self._kernel.close()


def _of_jd(julian_date: float) -> datetime:
    return J2000 + timedelta(days=julian_date - J2000_JD)


@cache
def load() -> Ephemeris:
    """The process's ephemeris: 0.2 s the first time, 17 MB of which are mapped and not read."""
    made = Ephemeris()
    atexit.register(made.close)
    return made

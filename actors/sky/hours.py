"""Planetary hours: day (sunrise to sunset) and night (sunset to sunrise) in twelve equal parts each, ruled in Chaldean order.

The first hour of the day is ruled by the planet of the weekday, each next one by the next in the order Saturn, Jupiter, Mars,
Sun, Venus, Mercury, Moon; 24 hours on that is the next weekday's ruler. The weekday is that of the middle of the day at the
place, in local mean time (UTC + longitude / 15° h): a clock's zone may be hours from the Sun, and is not asked for.

Where the Sun does not rise or does not set, there are no such hours, and none are made up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from actors.sky.values import Body

CHALDEAN: Final[tuple[Body, ...]] = ("saturn", "jupiter", "mars", "sun", "venus", "mercury", "moon")
"""From the slowest to the fastest, as seen from the Earth."""
WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DAY_RULERS: Final[tuple[Body, ...]] = ("moon", "mars", "mercury", "jupiter", "venus", "saturn", "sun")
"""Of the weekdays, Monday first as Python counts them."""
PARTS: Final = 12
A_DAY: Final = timedelta(days=1)
DAY_MAX: Final = timedelta(hours=36)
"""From a sunrise to its sunset, or to the next sunrise. Near the polar circles these happen about local midnight or noon, so they
are less than 25 hours or more than 47; then there was a day between on which the Sun did not rise, or did not set."""

Missing = Literal["polar_day", "polar_night"]
MISSING: Final[tuple[Missing, ...]] = get_args(Missing)


class SunTimes(Struct, frozen=True, kw_only=True):
    """The Sun around a moment: what rises and sets before and after it, in order of time, and whether it is up.

    ``up`` is by the same horizon as the risings are: the upper limb with standard refraction (the centre 50′ below).
    """

    rises: tuple[datetime, ...]
    sets: tuple[datetime, ...]
    up: bool


class Hour(Struct, frozen=True, kw_only=True):
    """One of the twelve parts of a day or a night."""

    number: Annotated[int, Meta(ge=1, le=12, description="of the day's or the night's hours")]
    of: Literal["day", "night"]
    ruler: Body
    begins: datetime
    ends: datetime


class PlanetaryDay(Struct, frozen=True, kw_only=True):
    """From a sunrise to the next: whose day it is, and its hours (those of the night are absent where no sunrise follows)."""

    weekday: str
    ruler: Body
    sunrise: datetime
    sunset: datetime
    next_sunrise: datetime | None
    hours: tuple[Hour, ...]


def planetary_day(at: datetime, sun: SunTimes, longitude: float) -> PlanetaryDay | None:
    """The planetary day that a moment lies in; None where the Sun does not rise or set (``missing`` says which)."""
    rise = max((each for each in sun.rises if each <= at), default=None)
    if rise is None:
        return None
    sunset = _first_after(rise, sun.sets)
    following = _first_after(rise, sun.rises)
    if sunset is None or (following is not None and following < sunset):
        return None
    if following is not None and following - rise > DAY_MAX:
        following = None
    if sunset - rise > DAY_MAX or at >= (following or sunset):
        return None
    weekday = (rise + (sunset - rise) / 2 + timedelta(hours=longitude / 15)).weekday()
    rulers = _rulers(DAY_RULERS[weekday])
    hours = [*_parts("day", rise, sunset, rulers)]
    if following is not None:
        hours += _parts("night", sunset, following, rulers)
    return PlanetaryDay(
        weekday=WEEKDAYS[weekday],
        ruler=DAY_RULERS[weekday],
        sunrise=rise,
        sunset=sunset,
        next_sunrise=following,
        hours=tuple(hours),
    )


def hour_at(at: datetime, day: PlanetaryDay) -> Hour:
    """The hour that a moment of the day lies in. An hour has its beginning, not its end."""
    return max((hour for hour in day.hours if hour.begins <= at), key=lambda each: each.begins)


def missing(at: datetime, sun: SunTimes) -> Missing:
    """What there is where a planetary day is not. The night after the last polar day belongs to that: it has no sunrise."""
    ended = any(at - A_DAY < each <= at and _is_first(each, sun.rises) for each in sun.sets)
    return "polar_day" if sun.up or ended else "polar_night"


def _is_first(sunset: datetime, rises: Iterable[datetime]) -> bool:
    return not any(sunset - A_DAY < each < sunset for each in rises)


def _first_after(moment: datetime, times: Iterable[datetime]) -> datetime | None:
    return min((each for each in times if each > moment), default=None)


def _rulers(first: Body) -> Iterator[Body]:
    place = CHALDEAN.index(first)
    while True:
        yield CHALDEAN[place % len(CHALDEAN)]
        place += 1


def _parts(of: Literal["day", "night"], begin: datetime, end: datetime, rulers: Iterator[Body]) -> Iterator[Hour]:
    """Twelve parts without a gap: each begins where the one before it ends, and the last ends with the day or the night."""
    edges = [begin + (end - begin) * n / PARTS for n in range(PARTS)] + [end]
    for number in range(PARTS):
        yield Hour(number=number + 1, of=of, ruler=next(rulers), begins=edges[number], ends=edges[number + 1])

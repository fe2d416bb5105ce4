"""The sky in the names that the published front end of Vajra.Stream reads. Pure.

Its page shows a tropical chart with Placidus' houses (``western``), and the ruler of the hour (``planetary_hours``). What it also
looks for and no formula gives is not made up: it shows a dash there. Its ``datetime_str`` is a local time without a zone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Final

from msgspec import Meta, Struct

from actors.runtime.codec import invalid
from actors.sky.angles import in_sign, shown
from actors.sky.aspects import ORBS, Aspect
from actors.sky.houses import Houses, house_of
from actors.sky.replies import HourHere, HouseNumber, Position
from actors.sky.values import Circle, Place, Sign, SignDegrees

ZONE_DEG: Final = 7.5
"""Half an hour of the Sun's way: to so much the published server rounds a longitude to make a zone of it."""
_TEXT: Final = "datetime_str"


class Cusp(Struct, frozen=True, kw_only=True):
    """A point of the ecliptic. ``formatted`` is for people."""

    longitude: Circle
    sign: Sign
    degree: SignDegrees
    formatted: str


class Placed(Cusp, frozen=True, kw_only=True):
    """A body, or an angle of the place (which has no speed, and of which ``retrograde`` is false)."""

    retrograde: bool
    speed: Annotated[float | None, Meta(description="degrees a day")]
    house: Annotated[HouseNumber | None, Meta(description="Placidus'; null where there are none")]


class Pair(Struct, frozen=True, kw_only=True):
    """An aspect."""

    planet1: str
    planet2: str
    aspect: Annotated[str, Meta(description="its name, capitalised")]
    angle: Annotated[float, Meta(description="how far apart they are, in degrees")]
    exactness: Annotated[float, Meta(ge=0, le=1, description="1 - orb / the widest orb that counts")]
    description: str


class Western(Struct, frozen=True, kw_only=True):
    """The tropical chart. With a place ``positions`` has ``ascendant`` and ``midheaven``, and ``houses`` the cusps."""

    positions: dict[str, Placed]
    aspects: tuple[Pair, ...]
    houses: Annotated[
        dict[str, Cusp], Meta(description="`house_1` to `house_12`, Placidus'; empty where there are none")
    ]


class PlanetaryHours(Struct, frozen=True, kw_only=True):
    """The hour and the day, by their rulers' names, capitalised."""

    current_planetary_hour: str
    day_planet: str
    hour_index: Annotated[int, Meta(ge=1, le=12)]
    is_daytime: bool
    start_time: datetime
    end_time: datetime
    time_remaining_seconds: int


def western(positions: tuple[Position, ...], aspects: tuple[Aspect, ...], houses: Houses | None) -> Western:
    """``houses`` are Placidus', or None without a place and where the system is undefined."""
    placed = {each.body: _body(each, houses) for each in positions}
    angles = {} if houses is None else {"ascendant": houses.ascendant, "midheaven": houses.midheaven}
    return Western(
        positions=placed | {name: _angle(longitude, houses) for name, longitude in angles.items()},
        aspects=tuple(map(_pair, aspects)),
        houses={f"house_{n + 1}": _cusp(cusp) for n, cusp in enumerate(() if houses is None else houses.cusps)},
    )


def _body(position: Position, houses: Houses | None) -> Placed:
    return Placed(
        longitude=position.longitude,
        sign=position.sign,
        degree=position.degree,
        formatted=position.shown,
        retrograde=position.retrograde,
        speed=position.speed,
        house=None if houses is None else house_of(position.longitude, houses.cusps),
    )


def _angle(longitude: float, houses: Houses | None) -> Placed:
    found = in_sign(longitude)
    return Placed(
        longitude=longitude,
        sign=found.sign,
        degree=found.degree,
        formatted=shown(longitude),
        retrograde=False,
        speed=None,
        house=None if houses is None else house_of(longitude, houses.cusps),
    )


def _cusp(longitude: float) -> Cusp:
    found = in_sign(longitude)
    return Cusp(longitude=longitude, sign=found.sign, degree=found.degree, formatted=shown(longitude))


def _pair(aspect: Aspect) -> Pair:
    return Pair(
        planet1=aspect.first,
        planet2=aspect.second,
        aspect=aspect.kind.title(),
        angle=aspect.separation,
        exactness=1 - aspect.orb / ORBS[aspect.kind],
        description=f"{aspect.first.title()} {aspect.kind} {aspect.second.title()}, orb {aspect.orb:.2f}°",
    )


def planetary_hours(at: datetime, here: HourHere | None) -> PlanetaryHours | None:
    """The hour of a moment; None without a place, and where there is none."""
    if here is None or here.hour is None or here.day is None:
        return None
    return PlanetaryHours(
        current_planetary_hour=here.hour.ruler.title(),
        day_planet=here.day.ruler.title(),
        hour_index=here.hour.number,
        is_daytime=here.hour.of == "day",
        start_time=here.hour.begins,
        end_time=here.hour.ends,
        time_remaining_seconds=int((here.hour.ends - at).total_seconds()),
    )


def moment(text: str, place: Place | None) -> datetime:
    """A moment of ISO 8601 in UTC. Raises Invalid.

    Without a zone it is read as the published server reads it: in a zone that follows from the place's longitude, to the nearest
    half hour and without summer time, or in UTC where no place is given.
    """
    try:
        found = datetime.fromisoformat(text)
        zone = UTC if place is None else timezone(timedelta(minutes=30 * round(place.lon / ZONE_DEG)))
        return (found if found.tzinfo is not None else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise invalid(_TEXT, "must be a time as in 2026-06-21T12:00:00, with or without a zone") from None

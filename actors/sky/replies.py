"""What is answered of the sky. Pure types, and how they are made of the ephemeris' numbers."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from actors.sky.angles import in_sign, shown
from actors.sky.aspects import Aspect
from actors.sky.hours import Hour, Missing, PlanetaryDay
from actors.sky.houses import Houses, house_of
from actors.sky.moon import MoonPhase
from actors.sky.values import Body, Circle, Degrees, Located, Place, Sign, SignDegrees

HouseNumber = Annotated[int, Meta(ge=1, le=12)]


class Position(Struct, frozen=True, kw_only=True):
    """Where a body is: geocentric, apparent, of the true ecliptic, equator and equinox of date."""

    body: Body
    longitude: Circle
    latitude: Degrees
    sign: Sign
    degree: SignDegrees
    shown: Annotated[str, Meta(description="the longitude for people, such as `24°30′15″ Capricorn`")]
    speed: Annotated[float, Meta(description="of the longitude, in degrees a day")]
    retrograde: bool
    distance_au: float
    right_ascension: Circle
    declination: Degrees
    house: Annotated[HouseNumber | None, Meta(description="null without a place, or where there are no houses")]


class SeasonAt(Struct, frozen=True, kw_only=True):
    """A solstice or an equinox, by its month: June's is the northern summer's beginning and the southern winter's."""

    name: Literal["march_equinox", "june_solstice", "september_equinox", "december_solstice"]
    at: datetime


class SunHere(Struct, frozen=True, kw_only=True):
    """The Sun at a place. Rising and setting are of the upper limb with standard refraction, at a horizon of sea level."""

    altitude: Annotated[Degrees, Meta(description="of the centre, without refraction, in degrees")]
    azimuth: Annotated[Circle, Meta(description="degrees from north through east")]
    up: bool
    last_sunrise: datetime | None
    last_sunset: datetime | None
    next_sunrise: Annotated[datetime | None, Meta(description="null: none within two days")]
    next_sunset: Annotated[datetime | None, Meta(description="null: none within two days")]
    polar: Annotated[Missing | None, Meta(description="where the Sun does not set, or does not rise, now")]


class HourHere(Struct, frozen=True, kw_only=True):
    """The planetary hour of a place, and the whole day that it belongs to. Both null, with a reason, where there is none."""

    hour: Hour | None
    day: PlanetaryDay | None
    missing: Missing | None
    reason: str | None


class Sky(Struct, frozen=True, kw_only=True):
    """The sky of a moment, and of a place where one is given.

    ``notes`` says what could not be told, and why.
    """

    at: datetime
    place: Place | None
    positions: tuple[Position, ...]
    aspects: tuple[Aspect, ...]
    moon: MoonPhase
    seasons: tuple[SeasonAt, ...]
    houses: Houses | None
    sun: SunHere | None
    planetary_hour: HourHere | None
    notes: tuple[str, ...] = ()


def positions(bodies: Iterable[Located], houses: Houses | None = None) -> tuple[Position, ...]:
    """The bodies as they are answered; with houses, in which each is."""
    return tuple(_position(body, houses) for body in bodies)


def _position(body: Located, houses: Houses | None) -> Position:
    found = in_sign(body.longitude)
    return Position(
        body=body.body,
        longitude=body.longitude,
        latitude=body.latitude,
        sign=found.sign,
        degree=found.degree,
        shown=shown(body.longitude),
        speed=body.speed,
        retrograde=body.speed < 0,
        distance_au=body.distance_au,
        right_ascension=body.right_ascension,
        declination=body.declination,
        house=None if houses is None else house_of(body.longitude, houses.cusps),
    )

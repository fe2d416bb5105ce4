"""Words and bounds of the sky. Angles are degrees wherever a name does not say otherwise, longitudes are ecliptic and of date.

Nothing here is a judgement: what a planet's place means has no accepted formula, so there is no field for it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

Body = Literal["sun", "moon", "mercury", "venus", "mars", "jupiter", "saturn", "uranus", "neptune", "pluto"]
BODIES: Final[tuple[Body, ...]] = get_args(Body)

Sign = Literal[
    "Aries",
    "Taurus",
    "Gemini",
    "Cancer",
    "Leo",
    "Virgo",
    "Libra",
    "Scorpio",
    "Sagittarius",
    "Capricorn",
    "Aquarius",
    "Pisces",
]
SIGNS: Final[tuple[Sign, ...]] = get_args(Sign)

HouseSystem = Literal["whole_sign", "equal", "placidus"]
SYSTEMS: Final[tuple[HouseSystem, ...]] = get_args(HouseSystem)

Degrees = Annotated[float, Meta(description="degrees")]
Circle = Annotated[float, Meta(ge=0, lt=360, description="degrees, 0 to 360")]
Latitude = Annotated[float, Meta(ge=-90, le=90, description="degrees, north positive")]
Longitude = Annotated[float, Meta(ge=-180, le=180, description="degrees, east positive")]
SignDegrees = Annotated[float, Meta(ge=0, lt=30, description="degrees within the sign")]


class Place(Struct, frozen=True, kw_only=True):
    """A place on the Earth (WGS 84, at sea level)."""

    lat: Latitude
    lon: Longitude


class Located(Struct, frozen=True, kw_only=True):
    """A body as the ephemeris has it: geocentric, apparent (light time, aberration and deflection applied), of date.

    ``speed`` is of ``longitude``; right ascension and declination are of the true equator and equinox of date.
    """

    body: Body
    longitude: float
    latitude: float
    distance_au: float
    speed: Annotated[float, Meta(description="degrees a day")]
    right_ascension: float
    declination: float

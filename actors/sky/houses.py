"""Ascendant, midheaven and the twelve houses.

All of it follows from three angles: θ, the apparent sidereal time of the place as an angle (RAMC), ε, the true obliquity of the
ecliptic, and φ, the latitude (geographic, north positive).

- Midheaven, where the ecliptic crosses the upper meridian: tan λ = sin θ / (cos θ cos ε).
- Ascendant, where it crosses the eastern horizon: tan λ = cos θ / -(sin θ cos ε + tan φ sin ε) (Meeus, Astronomical Algorithms,
  ch. 14 for the horizon; both numerators and denominators keep their signs, so the quadrant is right). Beyond the polar circles
  that point is at times the western one; then it is the other, 180° on. At the poles nothing is east of anything, and where
  ecliptic and horizon are one circle nothing rises: there is no ascendant.
- Whole sign: the first house is the sign of the ascendant. Equal: it begins at the ascendant. 30° each.
- Placidus: a cusp is where a third, or two thirds, of its own semi-arc lies between it and the meridian. Beyond the polar circles
  (|φ| ≥ 90° - ε) parts of the ecliptic never rise or never set, have no semi-arc, and the system is undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import acos, atan2, cos, degrees, hypot, pi, radians, sin, tan
from typing import Annotated, Final

from msgspec import Meta, Struct

from actors.runtime.codec import invalid
from actors.sky.angles import SIGN_DEG, turned
from actors.sky.values import Circle, HouseSystem

HOUSES: Final = 12
DEGENERATE: Final = 1e-9
"""Below, a direction is rounding: at a pole, or where ecliptic and horizon coincide to a thousandth of an arc second."""
ROUNDS: Final = 100
"""Of Placidus: each leaves at most two thirds of the error, so a hundred leave 1e-17 of it."""


class Frame(Struct, frozen=True, kw_only=True):
    """How a place is turned to the ecliptic at a moment, in degrees: sidereal time, obliquity, latitude."""

    ramc: Circle
    obliquity: float
    latitude: float


class Houses(Struct, frozen=True, kw_only=True):
    """The angles and the cusps, as ecliptic longitudes. ``cusps[0]`` begins the first house."""

    system: HouseSystem
    ascendant: Circle
    midheaven: Circle
    cusps: Annotated[tuple[Circle, ...], Meta(min_length=12, max_length=12)]
    sidereal_time: Annotated[Circle, Meta(description="apparent, of the place, as an angle in degrees (RAMC)")]
    obliquity: Annotated[float, Meta(description="of the ecliptic, true, in degrees")]


def midheaven(frame: Frame) -> float:
    """The ecliptic longitude on the upper meridian, 0 ≤ λ < 360. Beyond the polar circles it may be below the horizon."""
    theta = radians(frame.ramc)
    return turned(degrees(atan2(sin(theta), cos(theta) * cos(radians(frame.obliquity)))))


def ascendant(frame: Frame) -> float | None:
    """The ecliptic longitude on the eastern horizon, 0 ≤ λ < 360; None where there is none.

    Both arguments are multiplied by cos φ, which is never negative: tan φ would fail at the poles.
    """
    theta, epsilon, phi = radians(frame.ramc), radians(frame.obliquity), radians(frame.latitude)
    y = cos(theta) * cos(phi)
    x = -(sin(theta) * cos(epsilon) * cos(phi) + sin(phi) * sin(epsilon))
    east = cos(epsilon) * cos(phi) + sin(phi) * sin(epsilon) * sin(theta)
    if hypot(x, y) < DEGENERATE or abs(east) < DEGENERATE or cos(phi) < DEGENERATE:
        return None
    return turned(degrees(atan2(y, x)) + (0.0 if east > 0 else 180.0))


def houses(frame: Frame, system: HouseSystem) -> Houses:
    """The houses of a moment at a place. Raises Invalid: no ascendant (``lat``), or no Placidus (``system``) there."""
    rising = ascendant(frame)
    if rising is None:
        raise invalid(
            "lat", "nothing rises here now (a pole, or the ecliptic lies on the horizon): there is no ascendant"
        )
    top = midheaven(frame)
    return Houses(
        system=system,
        ascendant=rising,
        midheaven=top,
        cusps=_cusps(frame, system, rising, top),
        sidereal_time=frame.ramc,
        obliquity=frame.obliquity,
    )


def _cusps(frame: Frame, system: HouseSystem, rising: float, top: float) -> tuple[float, ...]:
    if system == "placidus":
        return _placidus(frame, rising, top)
    first = rising if system == "equal" else rising // SIGN_DEG * SIGN_DEG
    return tuple(turned(first + SIGN_DEG * n) for n in range(HOUSES))


def _placidus(frame: Frame, rising: float, top: float) -> tuple[float, ...]:
    polar = 90.0 - frame.obliquity
    if abs(frame.latitude) >= polar:
        raise invalid(
            "system",
            f"Placidus is undefined beyond the polar circles (latitude {polar:.4f}°, north and south): parts of the"
            " ecliptic never rise or never set; whole_sign and equal are defined",
        )
    eleventh, twelfth = _above(frame, 1 / 3), _above(frame, 2 / 3)
    second, third = _below(frame, 2 / 3), _below(frame, 1 / 3)
    east = (top, eleventh, twelfth, rising, second, third)  # houses 10, 11, 12, 1, 2, 3
    west = tuple(turned(cusp + 180.0) for cusp in east)  # houses 4, 5, 6, 7, 8, 9
    return (*east[3:], *west, *east[:3])


def _above(frame: Frame, part: float) -> float:
    """The point of the eastern sky whose distance from the upper meridian is a part of its diurnal semi-arc."""
    theta = radians(frame.ramc)
    return _solved(frame, lambda arc: theta + part * arc)


def _below(frame: Frame, part: float) -> float:
    """The same below the horizon: from the lower meridian, a part of its nocturnal semi-arc."""
    opposite = radians(frame.ramc) + pi
    return _solved(frame, lambda arc: opposite - part * (pi - arc))


def _solved(frame: Frame, ascension_of: Callable[[float], float]) -> float:
    """The ecliptic longitude whose right ascension α is ``ascension_of`` its own diurnal semi-arc D(α), by iteration.

    cos D = -tan φ tan δ with tan δ = sin α tan ε. With k = |tan φ| tan ε < 1, |dD/dα| = k |cos α| / √(1 - k² sin² α) ≤ k, and the
    part is at most 2/3: a contraction, so there is one solution and every start leads to it.
    """
    tilt = tan(radians(frame.latitude)) * tan(radians(frame.obliquity))
    ascension = ascension_of(pi / 2)
    for _ in range(ROUNDS):
        ascension = ascension_of(acos(min(1.0, max(-1.0, -tilt * sin(ascension)))))
    return turned(degrees(atan2(sin(ascension), cos(ascension) * cos(radians(frame.obliquity)))))


def house_of(longitude: float, cusps: Sequence[float]) -> int:
    """In which house a longitude is, 1 to 12: a house has its cusp and not the next one's."""
    ahead = turned(longitude - cusps[0])
    begins = [turned(cusp - cusps[0]) for cusp in cusps]
    return sum(begin <= ahead for begin in begins)

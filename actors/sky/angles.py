"""Angles on a circle, and the signs of the zodiac: the tropical one, twelve times 30° from the equinox of date."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from actors.sky.values import SIGNS, Sign

SIGN_DEG: Final = 30.0
CIRCLE_DEG: Final = 360.0


class InSign(Struct, frozen=True, kw_only=True):
    """A longitude as people say it. ``degree`` is within the sign: 0 ≤ degree < 30."""

    sign: Sign
    degree: float


def turned(angle_deg: float) -> float:
    """The same direction, 0 ≤ angle < 360. Python's modulo alone makes 360.0 of -1e-17."""
    folded = angle_deg % CIRCLE_DEG
    return 0.0 if folded == CIRCLE_DEG else folded


def difference(a_deg: float, b_deg: float) -> float:
    """From ``b`` to ``a`` the shorter way round: -180 < difference ≤ 180."""
    ahead = turned(a_deg - b_deg)
    return ahead - CIRCLE_DEG if ahead > CIRCLE_DEG / 2 else ahead


def separation(a_deg: float, b_deg: float) -> float:
    """How far apart two directions are: 0 … 180."""
    return abs(difference(a_deg, b_deg))


def in_sign(longitude_deg: float) -> InSign:
    """Sign and degree of an ecliptic longitude."""
    longitude = turned(longitude_deg)
    index = int(longitude // SIGN_DEG)
    return InSign(sign=SIGNS[index], degree=longitude - index * SIGN_DEG)


def shown(longitude_deg: float) -> str:
    """As in ``24°30′15″ Capricorn``: whole arc seconds, cut and not rounded, so that no body is shown in a sign it is not in."""
    found = in_sign(longitude_deg)
    seconds = int(found.degree * 3600)
    return f"{seconds // 3600:02d}°{seconds // 60 % 60:02d}′{seconds % 60:02d}″ {found.sign}"

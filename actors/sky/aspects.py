"""Aspects: pairs of bodies whose ecliptic longitudes are nearly at one of five angles.

The angles are Ptolemy's five. How near is near (the orb) is convention and differs from school to school: ours is ``ORBS``, every
answer states it, and the separation is always given exactly, so that anybody can apply their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from math import copysign
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from actors.sky.angles import difference
from actors.sky.values import Body, Degrees, Located

Kind = Literal["conjunction", "sextile", "square", "trine", "opposition"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
ANGLES: Final[dict[Kind, float]] = {
    "conjunction": 0.0,
    "sextile": 60.0,
    "square": 90.0,
    "trine": 120.0,
    "opposition": 180.0,
}
ORBS: Final[dict[Kind, float]] = {
    "conjunction": 8.0,
    "sextile": 6.0,
    "square": 8.0,
    "trine": 8.0,
    "opposition": 8.0,
}
"""The widest deviation that still counts, in degrees. No two of them meet, so a pair has one aspect at most."""


class Aspect(Struct, frozen=True, kw_only=True):
    """Two bodies at an angle. ``orb`` is how far ``separation`` is from ``angle``; ``applying``: it gets smaller."""

    first: Body
    second: Body
    kind: Kind
    angle: Degrees
    separation: Annotated[float, Meta(ge=0, le=180, description="of the longitudes, in degrees")]
    orb: Annotated[float, Meta(ge=0, description="degrees from exact")]
    applying: Annotated[bool, Meta(description="whether it becomes more exact, with the speeds of this moment")]


def aspects(bodies: Iterable[Located]) -> tuple[Aspect, ...]:
    """Every aspect between two of the bodies, the most exact first."""
    found = [aspect for a, b in combinations(bodies, 2) if (aspect := aspect_of(a, b)) is not None]
    return tuple(sorted(found, key=lambda each: each.orb))


def aspect_of(a: Located, b: Located) -> Aspect | None:
    """The aspect of a pair, or None.

    With s = |λa - λb| the orb is |s - angle|, and its rate sign(s - angle) · sign(λa - λb) · (va - vb).
    """
    ahead = difference(a.longitude, b.longitude)
    apart = abs(ahead)
    kind = min(KINDS, key=lambda each: abs(apart - ANGLES[each]))
    deviation = apart - ANGLES[kind]
    if abs(deviation) > ORBS[kind]:
        return None
    rate = copysign(1.0, deviation) * copysign(1.0, ahead) * (a.speed - b.speed)
    return Aspect(
        first=a.body,
        second=b.body,
        kind=kind,
        angle=ANGLES[kind],
        separation=apart,
        orb=abs(deviation),
        applying=rate < 0 and deviation != 0,
    )

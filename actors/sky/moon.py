"""The Moon's phase: its name and how much of the disc is lit.

Elongation is the Moon's ecliptic longitude less the Sun's, 0 … 360: by it the phases are defined (new 0, first quarter 90, full
180, last quarter 270; each an instant). Between them people say crescent and gibbous; a principal name is used from half a mean
day before its instant to half a day after, which is convention and is ``NEAR_DEG``.
"""

from __future__ import annotations

from datetime import datetime
from math import acos, atan2, cos, degrees, radians, sin
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from actors.sky.angles import CIRCLE_DEG, turned
from actors.sky.values import Circle, Sign, SignDegrees

SYNODIC_DAYS: Final = 29.530588861
"""The mean synodic month at J2000.0 (Chapront-Touzé and Chapront 1988)."""
NEAR_DEG: Final = CIRCLE_DEG / SYNODIC_DAYS / 2

Principal = Literal["new_moon", "first_quarter", "full_moon", "last_quarter"]
PRINCIPALS: Final[tuple[Principal, ...]] = get_args(Principal)
Phase = Literal[
    "new_moon",
    "waxing_crescent",
    "first_quarter",
    "waxing_gibbous",
    "full_moon",
    "waning_gibbous",
    "last_quarter",
    "waning_crescent",
]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)


class PhaseAt(Struct, frozen=True, kw_only=True):
    """The instant of a principal phase."""

    phase: Principal
    at: datetime


class MoonPhase(Struct, frozen=True, kw_only=True):
    """The Moon at a moment."""

    phase: Phase
    phase_name: Annotated[str, Meta(description="the same for people, such as `Waxing Gibbous`")]
    elongation: Circle
    illumination: Annotated[float, Meta(ge=0, le=100, description="lit part of the disc, in per cent")]
    waxing: bool
    age_days: Annotated[
        float | None, Meta(description="since the last new moon; null where the ephemeris begins later")
    ]
    sign: Sign
    degree: SignDegrees
    distance_km: float
    next_phases: Annotated[
        tuple[PhaseAt, ...], Meta(description="the next four; fewer where the ephemeris ends before")
    ]


def phase_of(elongation_deg: float) -> Phase:
    """The name of an elongation."""
    elongation = turned(elongation_deg)
    quarter, past = divmod(turned(elongation + NEAR_DEG), 90.0)
    return PHASES[int(quarter) * 2 + (past >= 2 * NEAR_DEG)]


def phase_name(phase: Phase) -> str:
    """For people."""
    return phase.replace("_", " ").title()


def is_waxing(elongation_deg: float) -> bool:
    """Whether more of it is lit by the day."""
    return turned(elongation_deg) < CIRCLE_DEG / 2


def angular_distance(elongation_deg: float, latitude_deg: float) -> float:
    """How far the Moon is from the Sun as seen from the Earth, in degrees: cos ψ = cos β cos(λ - λ0), β the Moon's latitude, the
    Sun's being zero to an arc second (Meeus 48.2)."""
    return degrees(acos(max(-1.0, min(1.0, cos(radians(latitude_deg)) * cos(radians(elongation_deg))))))


def phase_angle(distance_deg: float, moon_distance: float, sun_distance: float) -> float:
    """The angle Sun - Moon - Earth in degrees: tan i = R sin ψ / (Δ - R cos ψ), distances in one unit (Meeus 48.3)."""
    psi = radians(distance_deg)
    return degrees(atan2(sun_distance * sin(psi), moon_distance - sun_distance * cos(psi)))


def illuminated(phase_angle_deg: float) -> float:
    """The lit part of the disc, 0 … 1: (1 + cos i) / 2 (Meeus 48.1)."""
    return (1 + cos(radians(phase_angle_deg))) / 2

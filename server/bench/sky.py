"""What is calculated of the sky against published places and times: residuals in arc seconds. Needs no running server.

Of a phase or a season, whose time was published, the residual is of the angle that defines it, at that time: the Moon's
elongation grows by 0.5″ a second, the Sun's longitude by 0.04″. ``good_to`` is what the source itself claims, or half of its
last digit.

Sources: Jean Meeus, Astronomical Algorithms, 2nd ed., by VSOP87 and ELP (his obliquity is that of IAU 1976, from which IAU 2006,
which is ours, takes 0.042″); the almanac's times of 2024; for Greenwich the closed formulas with the sidereal time and the
obliquity of J2000.0 (domain.md).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.table import Table

from actors.sky.angles import difference
from actors.sky.houses import ascendant, midheaven
from actors.sky.values import BODIES, Body, Located, Place
from server.sky.ephemeris import Ephemeris, load

ARC_SECONDS: Final = 3_600.0
GREENWICH: Final = Place(lat=51.4779, lon=0)


class Known(NamedTuple):
    """An angle in degrees that was published, and the same of ours."""

    what: str
    source: str
    degrees: float
    good_to: float
    """Arc seconds."""
    ours: Callable[[Ephemeris], float | None]


def sexagesimal(degrees: int, minutes: int, seconds: float) -> float:
    """Degrees, minutes and seconds of arc as degrees; all of the sign of the first."""
    size = abs(degrees) + minutes / 60 + seconds / 3_600
    return -size if degrees < 0 else size


def _dynamical(year: int, month: int, day: int, leap_seconds: int) -> datetime:
    """0h TD of a day as UTC."""
    return datetime(year, month, day, tzinfo=UTC) - timedelta(seconds=32.184 + leap_seconds)


def _of(body: Body, at: datetime, part: Callable[[Located], float]) -> Callable[[Ephemeris], float]:
    return lambda sky: part(sky.bodies(at)[BODIES.index(body)])


def _elongation(sky: Ephemeris, at: datetime) -> float:
    sun, moon = sky.bodies(at)[:2]
    return moon.longitude - sun.longitude


OCTOBER_1992: Final = _dynamical(1992, 10, 13, 27)
APRIL_1992: Final = _dynamical(1992, 4, 12, 26)
DECEMBER_1992: Final = _dynamical(1992, 12, 20, 27)
APRIL_1987: Final = _dynamical(1987, 4, 10, 23)
NEW_MOON: Final = datetime(2024, 4, 8, 18, 20, 52, tzinfo=UTC)
SOLSTICE: Final = datetime(2024, 6, 20, 20, 51, 0, tzinfo=UTC)
J2000: Final = datetime(2000, 1, 1, 12, tzinfo=UTC)

KNOWN: Final = (
    Known("Sun, longitude", "Meeus 25.b", sexagesimal(199, 54, 21.8), 0.05, _of("sun", OCTOBER_1992, lambda b: b.longitude)),
    Known("Sun, latitude", "Meeus 25.b", 0.72 / 3_600, 0.005, _of("sun", OCTOBER_1992, lambda b: b.latitude)),
    Known("Moon, longitude", "Meeus 47.a", 133.167265, 10, _of("moon", APRIL_1992, lambda b: b.longitude)),
    Known("Moon, latitude", "Meeus 47.a", -3.229126, 4, _of("moon", APRIL_1992, lambda b: b.latitude)),
    Known(
        "Venus, right ascension", "Meeus 33.a", 15 * sexagesimal(21, 4, 41.454), 0.0075,
        _of("venus", DECEMBER_1992, lambda b: b.right_ascension),
    ),
    Known(
        "Venus, declination", "Meeus 33.a", sexagesimal(-18, 53, 16.84), 0.005,
        _of("venus", DECEMBER_1992, lambda b: b.declination),
    ),
    Known(
        "obliquity of the ecliptic", "Meeus 22.a", sexagesimal(23, 26, 36.850), 0.0005,
        lambda sky: sky.frame(APRIL_1987, GREENWICH).obliquity,
    ),
    Known("new moon of April 2024", "almanac, to 1 s", 0.0, 0.25, lambda sky: _elongation(sky, NEW_MOON)),
    Known("June solstice of 2024", "almanac, to 1 min", 90.0, 1.2, _of("sun", SOLSTICE, lambda b: b.longitude)),
    Known("ascendant, Greenwich", "closed formula", 24.26943, 0.018, lambda sky: ascendant(sky.frame(J2000, GREENWICH))),
    Known("midheaven, Greenwich", "closed formula", 279.61246, 0.018, lambda sky: midheaven(sky.frame(J2000, GREENWICH))),
)  # fmt: skip


def run(*, console: Console | None = None) -> dict[str, Any]:
    """Prints a table, returns it."""
    sky = load()
    rows = []
    for known in KNOWN:
        ours = known.ours(sky)
        residual = None if ours is None else round(difference(ours, known.degrees) * ARC_SECONDS, 4)
        rows.append({
            "what": known.what, "source": known.source, "published_degrees": round(known.degrees, 7),
            "residual_arc_seconds": residual, "good_to_arc_seconds": known.good_to,
        })  # fmt: skip
    if console is not None:
        _show(console, rows)
    return {"ephemeris": "DE421", "angles": rows}


def _show(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table(title="the sky against published places and times")
    for name in ("what", "source", "published °", "residual ″", "published to ± ″"):
        table.add_column(name, justify="left" if name in ("what", "source") else "right")
    for row in rows:
        residual = row["residual_arc_seconds"]
        table.add_row(
            row["what"], row["source"], f"{row['published_degrees']:.6f}", "-" if residual is None else f"{residual:+.3f}",
            f"{row['good_to_arc_seconds']:g}",
        )  # fmt: skip
    console.print(table)

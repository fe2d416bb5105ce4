"""What ``sangha sky`` prints for people. Times are in the zone that was asked in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.sky.angles import shown
from actors.sky.aspects import KINDS, Aspect
from actors.sky.houses import Houses
from actors.sky.moon import MoonPhase, phase_name
from actors.sky.replies import HourHere, Position, Sky, SunHere
from actors.sky.values import Body, Place

GLYPHS: Final[dict[Body, str]] = {
    "sun": "☉",
    "moon": "☽",
    "mercury": "☿",
    "venus": "♀",
    "mars": "♂",
    "jupiter": "♃",
    "saturn": "♄",
    "uranus": "♅",
    "neptune": "♆",
    "pluto": "♇",
}
RETROGRADE: Final = "℞"
SIGNS_OF_KINDS: Final = dict(zip(KINDS, "☌⚹□△☍", strict=True))
ASPECTS_SHOWN: Final = 8
DISC: Final = 20
"""Cells of the bar that shows how much of the Moon is lit."""
ROMAN: Final = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII")


def print_sky(sky: Sky, zone: tzinfo, console: Console) -> None:
    """The whole, part by part; what needs a place is there only with one."""
    console.print(Text(_when(sky.at, zone, seconds=True), style="bold"), Text(_where(sky.place), style="dim"))
    console.print()
    console.print(_positions(sky.positions, with_houses=sky.houses is not None))
    parts = Table.grid(padding=(0, 2, 0, 0))
    parts.add_column(style="bold", no_wrap=True)
    parts.add_column()
    for title, lines in _parts(sky, zone):
        parts.add_row()
        parts.add_row(title, Text("\n".join(lines)))
    console.print(parts)


def _parts(sky: Sky, zone: tzinfo) -> Iterator[tuple[str, list[str]]]:
    yield "Moon", _moon(sky.moon, zone)
    if sky.sun is not None:
        yield "Sun", _sun(sky.sun, zone)
    if sky.planetary_hour is not None:
        yield "Hour", _hour(sky.planetary_hour, zone)
    if sky.houses is not None:
        yield "Houses", _houses(sky.houses)
    yield "Aspects", _aspects(sky.aspects)
    yield "Seasons", [f"{each.name.replace('_', ' ').capitalize()} {_when(each.at, zone)}" for each in sky.seasons[:2]]
    notes = list(sky.notes)
    if sky.place is None:
        notes.append("--lat and --lon show houses, sunrise and sunset, and the planetary hour of a place")
    if notes:
        yield "Notes", notes


def _where(place: Place | None) -> str:
    if place is None:
        return "  seen from the Earth's centre"
    north, east = "S" if place.lat < 0 else "N", "W" if place.lon < 0 else "E"
    return f"  at {abs(place.lat):g}° {north}, {abs(place.lon):g}° {east}"


def _when(at: datetime, zone: tzinfo, *, seconds: bool = False) -> str:
    local = at.astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}" if seconds else f"{local:%Y-%m-%d %H:%M}"


def _positions(found: tuple[Position, ...], *, with_houses: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("planet", no_wrap=True)
    table.add_column("place", no_wrap=True)
    table.add_column("", style="red", no_wrap=True)
    for title in ("° a day", "declination", *(["house"] if with_houses else []), "distance"):
        table.add_column(title, justify="right", no_wrap=True)
    for each in found:
        house = [ROMAN[each.house - 1]] if each.house is not None else [""] * with_houses
        table.add_row(
            f"{GLYPHS[each.body]} {each.body.title()}",
            each.shown,
            RETROGRADE if each.retrograde else "",
            f"{each.speed:+.3f}",
            f"{each.declination:+.2f}°",
            *house,
            f"{each.distance_au:.4f} AU",
        )
    return table


def _moon(moon: MoonPhase, zone: tzinfo) -> list[str]:
    lit = round(moon.illumination / 100 * DISC)
    disc = "█" * lit + "░" * (DISC - lit) if not moon.waxing else "░" * (DISC - lit) + "█" * lit
    age = "" if moon.age_days is None else f", {moon.age_days:.1f} days old"
    following = ", ".join(f"{phase_name(each.phase)} {_when(each.at, zone)}" for each in moon.next_phases[:2])
    return [f"{moon.phase_name}, {moon.illumination:.1f} % lit{age}", disc, *([following] if following else [])]


def _sun(sun: SunHere, zone: tzinfo) -> list[str]:
    if sun.polar is not None:
        told = "does not set now (polar day)" if sun.polar == "polar_day" else "does not rise now (polar night)"
    else:
        events = (
            ("rose", sun.last_sunrise),
            ("set", sun.last_sunset),
            ("rises", sun.next_sunrise),
            ("sets", sun.next_sunset),
        )
        wanted = ("rose", "sets") if sun.up else ("set", "rises")
        told = ", ".join(f"{name} {_when(at, zone)}" for name, at in events if name in wanted and at is not None)
    return [told, f"altitude {sun.altitude:+.1f}°, azimuth {sun.azimuth:.1f}°"]


def _hour(here: HourHere, zone: tzinfo) -> list[str]:
    if here.hour is None or here.day is None:
        return [here.reason or ""]
    hour, day = here.hour, here.day
    span = f"{_when(hour.begins, zone)} to {_when(hour.ends, zone)[-5:]}"
    return [
        f"{GLYPHS[hour.ruler]} {hour.ruler.title()}, the {_ordinal(hour.number)} of the {hour.of}: {span}",
        f"{day.weekday}, the day of {GLYPHS[day.ruler]} {day.ruler.title()}",
    ]


def _ordinal(number: int) -> str:
    return f"{number}{({1: 'st', 2: 'nd', 3: 'rd'}).get(number, 'th')}"


def _houses(houses: Houses) -> list[str]:
    angles = f"ascendant {shown(houses.ascendant)}, midheaven {shown(houses.midheaven)}"
    cusps = [f"{ROMAN[n]:>4} {shown(cusp)}" for n, cusp in enumerate(houses.cusps)]
    rows = [f"{cusps[n]:<29}{cusps[n + 6]}".rstrip() for n in range(6)]
    return [f"{houses.system.replace('_', ' ')}: {angles}", *rows]


def _aspects(found: tuple[Aspect, ...]) -> list[str]:
    lines = [
        f"{GLYPHS[each.first]} {SIGNS_OF_KINDS[each.kind]} {GLYPHS[each.second]}  {each.first.title()} {each.kind}"
        f" {each.second.title()}, {each.orb:.2f}° {'before' if each.applying else 'past'} exact"
        for each in found[:ASPECTS_SHOWN]
    ]
    more = len(found) - len(lines)
    return [*lines, *([f"and {more} wider ones"] if more else [])] or ["none"]

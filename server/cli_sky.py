"""``sangha sky``: the sky of a moment, and of a place, on the terminal or as JSON. No server is needed."""

from __future__ import annotations

from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from actors.sky.values import SYSTEMS, HouseSystem
from server.cli_common import fail
from server.join import printable

if TYPE_CHECKING:
    from actors.sky.values import Place


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(sky)


def sky(
    at: Annotated[
        str | None, typer.Option(help="When, with its zone: 2026-06-21T12:00:00Z or …+02:00 (default now).")
    ] = None,
    lat: Annotated[float | None, typer.Option(help="Latitude in degrees, north positive.")] = None,
    lon: Annotated[float | None, typer.Option(help="Longitude in degrees, east positive.")] = None,
    houses: Annotated[str, typer.Option(help=f"Houses: {', '.join(SYSTEMS)}.")] = "whole_sign",
    json: Annotated[bool, typer.Option("--json", help="The whole as JSON.")] = False,
) -> None:
    """Show the sky: planets, aspects, the Moon; with a place houses, sunrise and sunset, and the planetary hour."""
    when, place, system = _moment(at), _place(lat, lon), _system(houses)
    import msgspec
    from rich.console import Console

    from actors.runtime.errors import SanghaError
    from server.cli_sky_view import print_sky
    from server.sky import ephemeris, readings

    try:
        found = readings.whole(ephemeris.load(), when.astimezone(UTC), place, system)
    except SanghaError as why:
        raise fail(str(why)) from None
    if json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())  # noqa: T201
    else:
        print_sky(found, when.tzinfo or UTC, Console())


def _moment(given: str | None) -> datetime:
    """The moment, in the zone in which it is to be shown: as given, else the machine's."""
    if given is None:
        return datetime.now(UTC).replace(microsecond=0).astimezone()
    try:
        when = datetime.fromisoformat(given)
        shown = when.astimezone(UTC)
    except (ValueError, OverflowError):
        raise fail(f"--at {printable(given)[:64]!r} is no time, such as 2026-06-21T12:00:00Z") from None
    if when.tzinfo is None:
        raise fail(f"--at {shown:%Y-%m-%d} has no zone; end it with Z (UTC), or with an offset such as +02:00")
    return when


def _place(lat: float | None, lon: float | None) -> Place | None:
    from actors.sky.values import Place

    if lat is None and lon is None:
        return None
    if lat is None or lon is None:
        raise fail("a place has both --lat and --lon")
    for name, value, most in (("lat", lat, 90), ("lon", lon, 180)):
        if not (isfinite(value) and abs(value) <= most):
            raise fail(f"--{name} {value:g} is not between -{most} and {most} degrees")
    return Place(lat=lat, lon=lon)


def _system(given: str) -> HouseSystem:
    for known in SYSTEMS:
        if given.replace("-", "_") == known:
            return known
    raise fail(f"--houses {printable(given)[:64]!r} is none of {', '.join(SYSTEMS)}")

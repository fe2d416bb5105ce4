"""``/api/v1/astrology``: the sky of a moment, and of a place, as the ephemeris has it.

Where the published client of Vajra.Stream reads an answer it finds ``status``, ``timestamp`` and its own names (``astrology``,
``moon_phase``, ``planetary_positions``); the other paths answer the plain object. A place is a parameter of the query and nothing
else: nobody's place is kept here, so ``location`` has no POST and no PUT.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.runtime.codec import invalid
from actors.runtime.errors import Invalid
from actors.sky import published
from actors.sky.aspects import ANGLES, KINDS, ORBS, Aspect, Kind, aspects
from actors.sky.hours import PlanetaryDay
from actors.sky.houses import Houses
from actors.sky.moon import MoonPhase
from actors.sky.replies import HourHere, Position, SeasonAt, SunHere
from actors.sky.values import Body, HouseSystem, Latitude, Longitude, Place
from server.http.api import Example, Operation, query_of, routes_of
from server.http.context import auth_session, json_response
from server.sky import ephemeris, readings
from server.sky.desk import SkyDesk

TAG: Final = "Sky"
SKY: Final = web.AppKey("sky", SkyDesk)
LOCAL_MEAN_S: Final = 240.0
"""Seconds of time a degree of longitude."""

_At = Annotated[datetime, Meta(tz=True)]
_Q = TypeVar("_Q", bound=msgspec.Struct)


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A moment; without one, now, to the second."""

    at: Annotated[_At | UnsetType, Meta(description="with its zone, such as `2026-06-21T12:00:00Z`; 1899 to 2053")] = (
        UNSET
    )


class Somewhere(Moment, frozen=True, kw_only=True):
    """A moment and, where given, a place. ``latitude`` and ``longitude`` are other names of ``lat`` and ``lon``."""

    lat: Latitude | UnsetType = UNSET
    lon: Longitude | UnsetType = UNSET
    latitude: Latitude | UnsetType = UNSET
    longitude: Longitude | UnsetType = UNSET


class Housed(Somewhere, frozen=True, kw_only=True):
    """The same, and a system of houses: ``placidus`` is undefined beyond the polar circles."""

    system: HouseSystem = "whole_sign"


class Published(Housed, frozen=True, kw_only=True):
    """The same, as the published client asks."""

    datetime_str: Annotated[
        Annotated[str, Meta(max_length=40)] | UnsetType,
        Meta(
            description="`at` as the published client says it. Without a zone it is in the longitude's, to half an hour; without"
            " a place in UTC"
        ),
    ] = UNSET


class Astrology(msgspec.Struct, frozen=True, kw_only=True):
    """All that is said of a moment. What depends on a place is null without one."""

    datetime: Annotated[
        datetime, Meta(description="`at`, `place`, positions and hour again: what the published client reads")
    ]
    location: dict[Literal["latitude", "longitude"], float] | None
    western: published.Western
    planetary_hours: published.PlanetaryHours | None
    moon_phase: MoonPhase
    planetary_positions: Annotated[dict[Body, Position], Meta(description="by body")]
    aspects: tuple[Aspect, ...]
    seasons: Annotated[tuple[SeasonAt, ...], Meta(description="the next four equinoxes and solstices")]
    houses: Houses | None
    sun: SunHere | None
    planetary_hour: HourHere | None
    auspicious_times: Annotated[None, Meta(description="null: what makes a time auspicious has no accepted formula")]
    notes: Annotated[tuple[str, ...], Meta(description="what could not be told, and why")]


class Dated(msgspec.Struct, frozen=True, kw_only=True):
    """Of which moment an answer is."""

    at: datetime
    timestamp: Annotated[float, Meta(description="the same in epoch seconds")]


class Successful(Dated, frozen=True, kw_only=True):
    """As the published client reads it."""

    status: Literal["success"] = "success"


class Current(Successful, frozen=True, kw_only=True):
    """The sky."""

    place: Place | None
    astrology: Astrology


class Positions(Successful, frozen=True, kw_only=True):
    """Where the bodies are."""

    planetary_positions: Annotated[dict[Body, Position], Meta(description="by body")]


class Phase(Successful, frozen=True, kw_only=True):
    """The Moon's phase."""

    moon_phase: MoonPhase
    description: Annotated[str, Meta(description="the same in words: figures, no meaning")]


class HousesHere(Dated, frozen=True, kw_only=True):
    """The houses of a place."""

    place: Place
    houses: Houses


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What counts as an aspect here."""

    angle: float
    orb: Annotated[float, Meta(description="the widest deviation that counts, in degrees")]


class Aspects(Dated, frozen=True, kw_only=True):
    """The aspects of a moment, the most exact first."""

    rules: dict[Kind, Rule]
    aspects: tuple[Aspect, ...]


class Hours(Dated, frozen=True, kw_only=True):
    """The planetary hour of a place."""

    place: Place
    planetary_hour: HourHere


class Location(Dated, frozen=True, kw_only=True):
    """A place under the sky."""

    place: Place
    local_mean_time_offset_s: Annotated[float, Meta(description="of the place from UTC: 240 s a degree of longitude")]
    sidereal_time: Annotated[float, Meta(ge=0, lt=360, description="apparent, of the place, as an angle in degrees")]
    sun: SunHere
    day: Annotated[PlanetaryDay | None, Meta(description="null where the Sun does not rise or set")]


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


def install(app: web.Application) -> None:
    """The desk that the handlers ask; nothing is loaded yet."""
    app[SKY] = desk = SkyDesk(ephemeris.load)

    async def close(_: web.Application) -> None:
        await desk.close()

    app.on_cleanup.append(close)


async def current(request: web.Request) -> web.Response:
    """The whole sky, as the published client reads it."""
    query = await _asked(request, Published)
    place = place_of(query)
    sky = await _desk(request).ask(readings.whole, _moment_of(query, place), place, query.system)
    placidus = await _placidus(request, sky.at, place)
    astrology = Astrology(
        datetime=sky.at,
        location=None if place is None else {"latitude": place.lat, "longitude": place.lon},
        western=published.western(sky.positions, sky.aspects, placidus),
        planetary_hours=published.planetary_hours(sky.at, sky.planetary_hour),
        moon_phase=sky.moon,
        planetary_positions=_by_body(sky.positions),
        aspects=sky.aspects,
        seasons=sky.seasons,
        houses=sky.houses,
        sun=sky.sun,
        planetary_hour=sky.planetary_hour,
        auspicious_times=None,
        notes=sky.notes,
    )
    return _answer(Current(**_dated(sky.at), place=place, astrology=astrology))


async def _placidus(request: web.Request, at: datetime, place: Place | None) -> Houses | None:
    try:
        return None if place is None else await _desk(request).ask(readings.houses, at, place, "placidus")
    except Invalid:  # beyond the polar circles
        return None


async def planetary_positions(request: web.Request) -> web.Response:
    """The positions, by body."""
    query = await _asked(request, Housed)
    at = moment_of(query)
    found = await _desk(request).ask(readings.positions, at, place_of(query), query.system)
    return _answer(Positions(**_dated(at), planetary_positions=_by_body(found)))


async def positions(request: web.Request) -> web.Response:
    """The same under the seed's name: a handler is one operation's."""
    return await planetary_positions(request)


async def moon_phase(request: web.Request) -> web.Response:
    """The phase, and the next ones."""
    at = moment_of(await _asked(request, Moment))
    phase = await _desk(request).ask(readings.moon_phase, at)
    return _answer(Phase(**_dated(at), moon_phase=phase, description=described(phase)))


async def houses(request: web.Request) -> web.Response:
    """The houses."""
    query = await _asked(request, Housed)
    at, place = moment_of(query), _required(query)
    found = await _desk(request).ask(readings.houses, at, place, query.system)
    return _answer(HousesHere(**_dated(at), place=place, houses=found))


async def current_aspects(request: web.Request) -> web.Response:
    """The aspects, and the rules by which they are."""
    at = moment_of(await _asked(request, Moment))
    found = aspects(await _desk(request).ask(readings.bodies, at))
    rules = {kind: Rule(angle=ANGLES[kind], orb=ORBS[kind]) for kind in KINDS}
    return _answer(Aspects(**_dated(at), rules=rules, aspects=found))


async def planetary_hour(request: web.Request) -> web.Response:
    """The hour, and its day."""
    query = await _asked(request, Somewhere)
    at, place = moment_of(query), _required(query)
    found = await _desk(request).ask(readings.planetary_hour, at, place)
    return _answer(Hours(**_dated(at), place=place, planetary_hour=found))


async def location(request: web.Request) -> web.Response:
    """The Sun and the time of a place."""
    query = await _asked(request, Somewhere)
    at, place = moment_of(query), _required(query)
    here = await _desk(request).ask(readings.location, at, place)
    offset_s = place.lon * LOCAL_MEAN_S
    return _answer(
        Location(
            **_dated(at),
            place=place,
            local_mean_time_offset_s=offset_s,
            sidereal_time=here.sidereal_time,
            sun=here.sun,
            day=here.day,
        )
    )


async def _asked(request: web.Request, type_: type[_Q]) -> _Q:
    await auth_session(request)
    return query_of(request, type_)


def _desk(request: web.Request) -> SkyDesk:
    return request.app[SKY]


def moment_of(query: Moment) -> datetime:
    """What is asked about, in UTC. Now is cut to a second, so that those who ask in the same one get the same answer."""
    if isinstance(query.at, UnsetType):
        return datetime.now(UTC).replace(microsecond=0)
    return query.at.astimezone(UTC)


def _moment_of(query: Published, place: Place | None) -> datetime:
    if isinstance(query.datetime_str, UnsetType):
        return moment_of(query)
    if query.at is not UNSET:
        raise invalid("datetime_str", "the same as at: give one of them")
    return published.moment(query.datetime_str, place)


def place_of(query: Somewhere) -> Place | None:
    """The place, or None where none is given. Raises Invalid for half of one, or for two."""
    lat = _one_of(query, "lat", "latitude")
    lon = _one_of(query, "lon", "longitude")
    if lat is None and lon is None:
        return None
    if lat is None or lon is None:
        raise invalid("lat" if lat is None else "lon", "a place has both lat and lon")
    return Place(lat=lat, lon=lon)


def _required(query: Somewhere) -> Place:
    place = place_of(query)
    if place is None:
        raise invalid("lat", "which place? lat and lon are required")
    return place


def _one_of(query: Somewhere, name: str, other: str) -> float | None:
    given = [value for value in (getattr(query, name), getattr(query, other)) if value is not UNSET]
    if len(given) > 1:
        raise invalid(other, f"the same as {name}: give one of them")
    return given[0] if given else None


def described(phase: MoonPhase) -> str:
    """A phase in words."""
    direction = "waxing" if phase.waxing else "waning"
    told = f"{phase.phase_name}: {phase.illumination:.1f} % of the disc is lit, {direction}"
    if not phase.next_phases:
        return told
    following = phase.next_phases[0]
    return f"{told}; {following.phase.replace('_', ' ')} at {following.at:%Y-%m-%d %H:%M} UTC"


def _dated(at: datetime) -> dict[str, Any]:
    return {"at": at, "timestamp": at.timestamp()}


def _by_body(found: tuple[Position, ...]) -> dict[Body, Position]:
    return {position.body: position for position in found}


def _answer(value: msgspec.Struct) -> web.Response:
    return json_response(msgspec.json.encode(value))


_JUNE: Final = {"at": "2024-06-20T20:51:00Z"}
_VIENNA: Final = _JUNE | {"lat": "48.2082", "lon": "16.3738"}


def _operation(
    path: str, handler: Any, summary: str, query: Any, reply: Any, example: Mapping[str, str], **more: Any
) -> Operation:
    name = "sky_" + path.replace("-", "_")
    return Operation(
        method="GET",
        path=f"/api/v1/astrology/{path}",
        handler=handler,
        summary=summary,
        tag=TAG,
        query=query,
        reply=reply,
        errors=("rate_limited",),
        examples=(Example(name=name, query=dict(example)),),
        **more,
    )


_POSITIONS: Final = (
    "Geocentric and apparent, of the true ecliptic, equator and equinox of date. With a place, in which house each is."
)
OPERATIONS: Final = (
    _operation(
        "current", current, "The sky of a moment", Published, Current, _VIENNA,
        description="Positions, aspects, the Moon, the seasons; with `lat` and `lon` houses, the Sun and the planetary hour."
        " `western` and `planetary_hours` are the same in the names of Vajra.Stream's own client, with Placidus' houses.",
    ),
    _operation("positions", positions, "Where the bodies are", Housed, Positions, _JUNE, description=_POSITIONS),
    _operation(
        "planetary-positions", planetary_positions, "Where the bodies are", Housed, Positions, _VIENNA,
        description=f"{_POSITIONS} The same as `positions`.",
    ),
    _operation("moon-phase", moon_phase, "The Moon's phase, and the next four", Moment, Phase, _JUNE),
    _operation(
        "houses", houses, "Ascendant, midheaven, houses", Housed, HousesHere, _VIENNA | {"system": "placidus"},
    ),
    _operation(
        "aspects", current_aspects, "Aspects", Moment, Aspects, _JUNE,
        description="With the exact separations; the orbs are convention, and stated.",
    ),
    _operation(
        "planetary-hour", planetary_hour, "The planetary hour", Somewhere, Hours, _VIENNA,
        description="Where the Sun does not rise or set there is none, and the answer says so.",
    ),
    _operation(
        "location", location, "A place under the sky", Somewhere, Location, _VIENNA,
        description="Sunrise and sunset, sidereal and local mean time. The place is the query's; none is remembered.",
    ),
)  # fmt: skip

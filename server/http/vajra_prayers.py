"""``/api/v1/prayers``: one's prayer wheel, what was accumulated with it, prayers and dedications in our own words.

A wheel that spins is not asked again and again: its count follows from the answer (``rate_rpm``, ``began_at``) and the time. The
list of accumulations is read from their rows, which a spin does not touch either.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.prayer import commands as c
from actors.prayer import showing
from actors.prayer.collection import BY_ID, COLLECTION, DEFAULT_DEDICATION, MANTRAS, MantraShown, TextKind, Written
from actors.prayer.replies import Accumulation, Wheel
from actors.prayer.values import DEFAULT_MANTRA, Dedication, Intention, Mantra, Rate, Rotations, SpinFor
from actors.runtime.codec import invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import NotFound
from actors.runtime.link import ONCE
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import ask, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, STORAGE, UuidText
from server.http.paging import Filter, Page, page_of
from server.http.rituals import caller_of
from server.limits import RateLimit
from server.rituals import read

TAG: Final = "Vajra prayers"
KIND: Final = "prayer_wheel"
PREFIX: Final = "/api/v1/prayers"
PER_MINUTE: Final = 300
"""Changes of one wheel: a bead each 0.2 s, faster than anybody counts. Each is an event in the journal."""
TURNS: Final = web.AppKey("turns", RateLimit)
TextId = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,60}$(?!\n)", description="1 to 60 of a-z 0-9 -")]


class RotateBody(msgspec.Struct, frozen=True, kw_only=True):
    """By hand."""

    rotations: Rotations = 1
    mantra: Mantra = DEFAULT_MANTRA
    intention: Annotated[Intention | UnsetType, Meta(description="what the accumulation is for from here on")] = UNSET


class SpinBody(msgspec.Struct, frozen=True, kw_only=True):
    """By itself: to ``until``, or for so long, or (neither) until it is stopped."""

    rate_rpm: Rate = 30.0
    until: datetime | None = None
    duration_s: SpinFor | None = None
    mantra: Mantra = DEFAULT_MANTRA
    intention: Annotated[Intention | UnsetType, Meta(description="what the accumulation is for from here on")] = UNSET


class DedicateBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which accumulation, by id or by its mantra, and with which words: one's own, or one of our dedications."""

    accumulation: UuidText | None = None
    mantra: Mantra | None = None
    text: Dedication | None = None
    dedication: Annotated[
        TextId | None, Meta(description=f"id of one of our dedications; without it and `text`, `{DEFAULT_DEDICATION}`")
    ] = None


class AccumulationsQuery(Page, frozen=True, kw_only=True):
    """Which accumulations."""

    status: Annotated[Literal["open", "dedicated", "all"], Meta(description="which of them")] = "all"


class PrayersQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which texts."""

    kind: Annotated[TextKind | UnsetType, Meta(description="only of this kind")] = UNSET
    theme: Annotated[Filter | UnsetType, Meta(description="only about this")] = UNSET


class Prayers(msgspec.Struct, frozen=True, kw_only=True):
    """The collection. All texts are our own."""

    prayers: tuple[Written, ...]
    mantras: Annotated[tuple[MantraShown, ...], Meta(description="for a wheel; any other text is one, too")]


def install(app: web.Application, *, lifted: bool) -> None:
    """The rate of changes; ``lifted`` for load tests."""
    app[TURNS] = RateLimit(10**9 if lifted else PER_MINUTE, time.monotonic)


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def _ask(request: web.Request, command: c.AnyCommand, caller: Caller, *, changes: bool = True) -> bytes:
    operation = (operation_of(caller.practitioner, idempotency_key(request)) or ONCE) if changes else None
    if changes:
        request.app[TURNS].take(caller.practitioner)
    return await ask(request, Address(KIND, caller.practitioner), c.encode(command), caller, operation)


async def wheel(request: web.Request) -> web.Response:
    """As it is now."""
    caller = await caller_of(request)
    return json_response(await _ask(request, c.GetWheel(), caller, changes=False))


async def rotate(request: web.Request) -> web.Response:
    """Some rotations by hand."""
    caller = await caller_of(request)
    body = await body_of(request, RotateBody) if request.can_read_body else RotateBody()
    command = c.Rotate(rotations=body.rotations, mantra=body.mantra, intention=body.intention)
    return json_response(await _ask(request, command, caller))


async def spin(request: web.Request) -> web.Response:
    """It turns by itself."""
    caller = await caller_of(request)
    body = await body_of(request, SpinBody) if request.can_read_body else SpinBody()
    command = c.Spin(
        rate_rpm=body.rate_rpm,
        until=body.until,
        duration_s=body.duration_s,
        mantra=body.mantra,
        intention=body.intention,
    )
    return json_response(await _ask(request, command, caller))


async def stop(request: web.Request) -> web.Response:
    """It stands."""
    caller = await caller_of(request)
    return json_response(await _ask(request, c.Stop(), caller))


async def dedicate(request: web.Request) -> web.Response:
    """An accumulation is closed with these words."""
    caller = await caller_of(request)
    body = await body_of(request, DedicateBody)
    text, source = _words(body)
    accumulation = None if body.accumulation is None else body.accumulation.lower()
    command = c.Dedicate(accumulation=accumulation, mantra=body.mantra, text=text, source=source)
    return json_response(await _ask(request, command, caller))


def _words(body: DedicateBody) -> tuple[str, str | None]:
    if body.text is not None and body.dedication is not None:
        raise invalid("dedication", "either this or text")
    if body.text is not None:
        return body.text, None
    found = BY_ID.get(body.dedication or DEFAULT_DEDICATION)
    if found is None or found.kind != "dedication":
        raise invalid("dedication", "there is no dedication of this id")
    return found.text, found.id


async def accumulations(request: web.Request) -> web.Response:
    """What was turned, newest first."""
    caller, query = await caller_of(request), query_of(request, AccumulationsQuery)
    limit, before = page_of(request, query)
    dedicated = None if query.status == "all" else query.status == "dedicated"
    rows = await read(
        gateway_of(request).queries.accumulations(caller.practitioner, limit, before, dedicated=dedicated)
    )
    now = datetime.now(UTC)
    return json_response(msgspec.json.encode([showing.of_row(row, now) for row in rows]))


async def accumulation(request: web.Request) -> web.Response:
    """One of them."""
    caller, id_ = await caller_of(request), request.match_info["id"].lower()
    rows = await read(gateway_of(request).queries.accumulations(caller.practitioner, 1, only=id_))
    if not rows:
        raise NotFound("there is no accumulation of yours with this id")
    return json_response(msgspec.json.encode(showing.of_row(rows[0], datetime.now(UTC))))


async def prayers(request: web.Request) -> web.Response:
    """The collection."""
    query = query_of(request, PrayersQuery)
    theme = query.theme.casefold() if isinstance(query.theme, str) else None
    found = tuple(
        each
        for each in COLLECTION
        if (query.kind is UNSET or each.kind == query.kind) and (theme is None or theme in each.themes)
    )
    return json_response(msgspec.json.encode(Prayers(prayers=found, mantras=MANTRAS)))


async def prayer(request: web.Request) -> web.Response:
    """One text."""
    name = request.match_info["prayer"]
    found = BY_ID.get(name)
    if found is None:
        raise NotFound(f"there is no prayer {name[:64]!r}")
    return json_response(msgspec.json.encode(found))


_CHANGE: Final[dict[str, Any]] = {"tag": TAG, "reply": Wheel}
OPERATIONS: Final = (
    Operation(
        method="GET",
        path=f"{PREFIX}/wheel",
        handler=wheel,
        summary="One's prayer wheel now",
        description="While it spins, a later count follows from `spinning`: nothing has to be asked again.",
        tag=TAG,
        reply=Wheel,
        errors=(*ENTITY, "not_found"),
        examples=(Example(name="prayer_wheel"),),
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/wheel/rotate",
        handler=rotate,
        summary="Turn it by hand",
        description="A rotation is one recitation of the mantra, and a bead; 108 are a mala. The answer has what it concerns of"
        f" the wheel. A wheel takes {PER_MINUTE} changes a minute.",
        body=RotateBody,
        body_optional=True,
        errors=(*ENTITY, "not_found", "conflict", "full", "rate_limited"),
        examples=(Example(name="prayer_rotate", body={"rotations": 108, "intention": "for all who are ill"}),),
        **_CHANGE,
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/wheel/spin",
        handler=spin,
        summary="Let it turn by itself",
        description="Until a time, for so long, or until it is stopped. What spun before is counted, and gives way.",
        body=SpinBody,
        body_optional=True,
        errors=(*ENTITY, "not_found", "conflict", "full", "rate_limited"),
        examples=(
            Example(
                name="prayer_spin", body={"rate_rpm": 30, "duration_s": 3600, "mantra": "Om Tare Tuttare Ture Soha"}
            ),
        ),
        **_CHANGE,
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/wheel/stop",
        handler=stop,
        summary="Stop it",
        description="Whole rotations are counted; where it stands between two, it goes on from there.",
        errors=(*ENTITY, "not_found", "conflict", "rate_limited"),
        examples=(Example(name="prayer_stop"),),
        **_CHANGE,
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}/accumulations",
        handler=accumulations,
        summary="What one accumulated",
        description="With one mantra each, from the first rotation to the dedication; the newest first.",
        tag=TAG,
        query=AccumulationsQuery,
        reply=list[Accumulation],
        errors=STORAGE,
        examples=(Example(name="accumulations", query={"limit": "2"}),),
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}/accumulations/{{id}}",
        handler=accumulation,
        summary="One accumulation",
        tag=TAG,
        reply=Accumulation,
        errors=(*STORAGE, "not_found"),
        examples=(Example(name="accumulation", path={"id": "{prayer_rotate.accumulations.0.id}"}),),
    ),
    Operation(
        method="POST",
        path=f"{PREFIX}/wheel/dedicate",
        handler=dedicate,
        summary="Dedicate the merit",
        description="It closes the accumulation; the next rotation with its mantra begins another.",
        tag=TAG,
        body=DedicateBody,
        reply=Accumulation,
        errors=(*ENTITY, "not_found", "conflict", "rate_limited"),
        examples=(
            Example(name="dedicate", body={"mantra": "Om Mani Padme Hum", "dedication": "merit-to-the-suffering"}),
        ),
    ),
    Operation(
        method="GET",
        path=PREFIX,
        handler=prayers,
        summary="Prayers, dedications, teachings, meditations",
        description="In our own words, of no one tradition; and mantras for a wheel.",
        tag=TAG,
        access="anyone",
        query=PrayersQuery,
        reply=Prayers,
        examples=(Example(name="prayers", query={"kind": "dedication", "theme": "peace"}),),
    ),
    Operation(
        method="GET",
        path=f"{PREFIX}/{{prayer}}",
        handler=prayer,
        summary="One text",
        tag=TAG,
        access="anyone",
        params={"prayer": TextId},
        reply=Written,
        errors=("not_found",),
        examples=(Example(name="prayer", path={"prayer": "for-courage"}),),
    ),
)

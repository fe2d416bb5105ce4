"""``/eustress/entities``, ``connections``, ``hierarchy``, ``changes``: rows of scenes as they are, or were at any time.

Everything comes out of storage, a page at a time, and so is what is committed. One page is of one instant; live pages that follow
each other are not.
"""

from __future__ import annotations

from math import inf, isfinite, nextafter
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import values
from actors.runtime.codec import invalid
from server.http.api import Example, Operation, query_of, routes_of
from server.http.contract import STORAGE
from server.http.eustress_bodies import SpaceName
from server.http.eustress_reading import (
    LINK,
    MARKERS,
    check_spaces,
    cursor_in,
    cursor_of,
    given,
    head_of,
    moments_of,
    page_response,
    reading,
    rows_of,
    space_in_path,
)
from server.http.eustress_shapes import (
    ChangeRow,
    ChangesQuery,
    ConnectionRow,
    ConnectionsQuery,
    EntitiesQuery,
    EntityRow,
    HierarchyQuery,
    HierarchyRow,
    Range,
)
from server.service import engine_of
from storage.eustress_queries import PAGE_BYTES, Box, EustressReading, Moment, Near, Page, Wanted

TAG: Final = "Eustress lake"
READ: Final = (*STORAGE, "timeout", "not_found")


class EntityPlace(msgspec.Struct, frozen=True, array_like=True):
    """After which entity a page begins: by space, snapshot and id, or by distance, space and id."""

    space: str
    snapshot: str | None
    distance: float | None
    id: str


class ConnectionPlace(msgspec.Struct, frozen=True, array_like=True):
    """After which connection."""

    space: str
    source_id: str = ""
    target_id: str = ""
    connection_type: str = ""


class ChangePlace(msgspec.Struct, frozen=True, array_like=True):
    """After which change, in the order of ``EustressReading.changes``."""

    since: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    rank: Annotated[int, Meta(ge=0, le=3)] = 0
    a: str = ""
    b: str = ""
    c: str = ""


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


# --- entities --------------------------------------------------------------------------------------------------------


async def entities(request: web.Request) -> web.Response:
    """Entities of one or more scenes; with ``near`` the nearest first."""
    await engine_of(request, operators=True)
    query = query_of(request, EntitiesQuery)
    wanted, near = _wanted(query), _near(query)
    place = cursor_in(query.after, EntityPlace)
    if query.snapshot is UNSET:
        await check_spaces(request, query.space)
    async with reading(request) as lake:
        if near is not None:
            rows, next_ = await _nearest(lake, query, wanted, near, place)
        else:
            rows, next_ = await _by_id(lake, query.space, query, wanted, query.limit, place)
    body = rows_of(_entity(*row) for row in rows)
    return page_response(request, body, None if next_ is None else {"after": cursor_of(next_)})


async def _by_id(
    lake: EustressReading, spaces: list[str], query: Range, wanted: Wanted, limit: int, place: EntityPlace | None
) -> tuple[list[tuple[Moment, Any]], EntityPlace | None]:
    """Rows of the moments one after the other, and the place of the last one where there is more."""
    moments = await moments_of(lake, spaces, query, None if place is None else (place.space, place.snapshot))
    found: list[tuple[Moment, Any]] = []
    size = 0
    for number, moment in enumerate(moments):
        last = place.id if place is not None and (place.space, place.snapshot) == _where(moment) else None
        page = await lake.entities(moment, wanted, limit - len(found), last, PAGE_BYTES - size)
        found += [(moment, row) for row in page.rows]
        size += page.size
        if page.more or number == MARKERS:
            return found, EntityPlace(*_where(moment), None, page.rows[-1]["id"] if page.rows else last or "")
        if (len(found) >= limit or size >= PAGE_BYTES) and number + 1 < len(moments):
            return found, EntityPlace(*_where(moments[number + 1]), None, "")
    return found, None


def _where(moment: Moment) -> tuple[str, str | None]:
    return moment.space, None if moment.snapshot is None else moment.snapshot.id


async def _nearest(
    lake: EustressReading, query: EntitiesQuery, wanted: Wanted, near: Near, place: EntityPlace | None
) -> tuple[list[tuple[Moment, Any]], EntityPlace | None]:
    """The nearest of all spaces. Of a space whose page was cut nothing is known beyond its last row."""
    if query.from_ is not UNSET or query.to is not UNSET:
        raise invalid("near", "not of a range of snapshots; name one, or a time")
    moments = await moments_of(lake, query.space, query)
    room = PAGE_BYTES // max(len(moments), 1)
    pages = [await lake.near(each, wanted, near, query.limit, _beyond(each, place), room) for each in moments]
    rows = sorted((_key(each, row), each, row) for each, page in zip(moments, pages, strict=True) for row in page.rows)
    known = [_key(each, page.rows[-1]) for each, page in zip(moments, pages, strict=True) if page.more]
    if known:
        rows = [row for row in rows if row[0] <= min(known)]
    shown = rows[: query.limit]
    if not known and len(shown) == len(rows):
        return [row[1:] for row in shown], None
    distance, space, id_ = shown[-1][0]
    return [row[1:] for row in shown], EntityPlace(space, _where(shown[-1][1])[1], distance, id_)


def _key(moment: Moment, row: Any) -> tuple[float, str, str]:
    return row["distance"], moment.space, row["id"]


def _beyond(moment: Moment, place: EntityPlace | None) -> tuple[float, str] | None:
    """After which distance and id a space goes on. The order is by distance, then space, then id."""
    if place is None or place.distance is None:
        return None
    if moment.space == place.space:
        return place.distance, place.id
    return (place.distance if moment.space > place.space else nextafter(place.distance, inf)), ""


def _wanted(query: EntitiesQuery) -> Wanted:
    return Wanted(
        flux=None if isinstance(query.flux, UnsetType) else tuple(map(int, query.flux.split(","))),
        depth=given(query.depth),
        parent=given(query.parent),
        class_type=given(query.type),
        tag=given(query.tag),
        ids=None if isinstance(query.ids, UnsetType) else tuple(query.ids),
        every=given(query.every),
        box=None if isinstance(query.box, UnsetType) else _box(query.box),
    )


def _box(text: str) -> Box:
    a, b, c, d, e, f = _reals("box", text)
    return min(a, d), min(b, e), min(c, f), max(a, d), max(b, e), max(c, f)


def _near(query: EntitiesQuery) -> Near | None:
    if isinstance(query.near, UnsetType):
        if query.radius is not UNSET:
            raise invalid("radius", "around what? it goes with near")
        return None
    x, y, z = _reals("near", query.near)
    return Near(center=(x, y, z), radius=given(query.radius))


def _reals(name: str, text: str) -> list[float]:
    try:
        found = [float(each) for each in text.split(",")]
    except ValueError:
        raise invalid(name, "numbers, with commas between") from None
    if not all(isfinite(each) and abs(each) <= values.REAL_MAX for each in found):
        raise invalid(name, "no coordinate is as large")
    return found


def _entity(moment: Moment, row: Any) -> dict[str, Any]:
    shown = {"id": row["id"]} | head_of(moment, row)
    shown |= {"version": row["since"], "flux_position": row["flux_position"]}
    shown |= {"position": (row["x"], row["y"], row["z"]), "parent_id": row["parent_id"], "depth": row["depth"]}
    shown["entity_data"] = orjson.Fragment(row["data"])
    return shown | ({"distance": row["distance"]} if "distance" in row.keys() else {})  # noqa: SIM118 - a record


# --- connections, hierarchy, changes ---------------------------------------------------------------------------------


async def connections(request: web.Request) -> web.Response:
    """Connections of one or more scenes, by their ends."""
    await engine_of(request, operators=True)
    query = query_of(request, ConnectionsQuery)
    place = cursor_in(query.after, ConnectionPlace)
    if query.snapshot is UNSET:
        await check_spaces(request, query.space)
    found: list[dict[str, Any]] = []
    size = 0
    next_: ConnectionPlace | None = None
    async with reading(request) as lake:
        moments = await moments_of(lake, query.space, query, None if place is None else (place.space, None))
        for moment in moments:
            if len(found) >= query.limit or size >= PAGE_BYTES:
                next_ = ConnectionPlace(moment.space)
                break
            page = await lake.connections(
                moment,
                query.limit - len(found),
                connection_type=given(query.type),
                entity=given(query.entity),
                after=_after(place, moment),
                room=PAGE_BYTES - size,
            )
            found += [_connection(moment, row) for row in page.rows]
            size += page.size
            if page.more:
                next_ = ConnectionPlace(moment.space, *(page.rows[-1][name] for name in _KEY))
                break
    return page_response(request, rows_of(found), None if next_ is None else {"after": cursor_of(next_)})


def _after(place: ConnectionPlace | None, moment: Moment) -> tuple[str, str, str] | None:
    if place is None or place.space != moment.space:
        return None
    return place.source_id, place.target_id, place.connection_type


def _connection(moment: Moment, row: Any) -> dict[str, Any]:
    shown = {"space_name": moment.space} | {name: row[name] for name in (*_KEY, "strength", "label", "in_tree")}
    return shown | {"version": row["since"], "timestamp": row["at"]}


async def hierarchy(request: web.Request) -> web.Response:
    """Places in the tree, by id."""
    await engine_of(request, operators=True)
    query, space = query_of(request, HierarchyQuery), space_in_path(request)
    await check_spaces(request, [space])
    wanted = Wanted(depth=given(query.depth), parent=given(query.parent), with_data=False)
    place = cursor_in(query.after, EntityPlace)
    async with reading(request) as lake:
        rows, next_ = await _by_id(lake, [space], query, wanted, query.limit, place)
    places = (
        head_of(moment, row) | {"entity_id": row["id"], "parent_id": row["parent_id"], "depth": row["depth"]}
        for moment, row in rows
    )
    return page_response(request, rows_of(places), None if next_ is None else {"after": cursor_of(next_)})


async def changes(request: web.Request) -> web.Response:
    """What changed since a version, in order, removals too."""
    await engine_of(request, operators=True)
    query, space = query_of(request, ChangesQuery), space_in_path(request)
    await check_spaces(request, [space])
    async with reading(request) as lake:
        page: Page = await lake.changes(space, msgspec.structs.astuple(_since(query.after)), query.limit)
    last = page.rows[-1] if page.more else None
    link = (
        None
        if last is None
        else {"after": cursor_of(ChangePlace(*(last[name] for name in ChangePlace.__struct_fields__)))}
    )
    return page_response(request, rows_of(map(_change, page.rows)), link)


def _since(after: str | UnsetType) -> ChangePlace:
    if isinstance(after, UnsetType):
        return ChangePlace(1)
    if after.isascii() and after.isdigit() and len(after) < 19:
        return ChangePlace(int(after) + 1)
    return cursor_in(after, ChangePlace) or ChangePlace(1)


def _change(row: Any) -> dict[str, Any]:
    shown = {"version": row["since"], "at": row["at"]}
    match row["rank"]:
        case 0:
            shown["entity"] = orjson.Fragment(row["data"])
            return shown | {name: row[name] for name in ("flux_position", "parent_id", "depth")}
        case 3:
            return shown | {"remove_entity": row["a"]}
    key = {"source_id": row["a"], "target_id": row["b"], "connection_type": row["c"]}
    if row["rank"] == 2:
        return shown | {"remove_connection": key}
    label = {} if row["label"] is None else {"label": row["label"]}
    return shown | {"connection": key | {"strength": row["strength"]} | label}


_KEY: Final = ("source_id", "target_id", "connection_type")
_QUANTUM: Final = {"space": "quantum_mechanics"}
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/eustress/entities",
        handler=entities,
        summary="Entities by flux, place, time and tree",
        description="Of the live scene; with `at` as it was then, with `snapshot` as that shows it, with `from` and `to` as each"
        " snapshot between shows it. By space, time and id; with `near` the nearest first.",
        tag=TAG,
        access="engine_or_admin",
        query=EntitiesQuery,
        reply=list[EntityRow],
        reply_headers=LINK,
        errors=READ,
        examples=(
            Example(name="lake_sacred", query=_QUANTUM | {"flux": "3,6,9"}),
            Example(name="lake_near", query=_QUANTUM | {"near": "0,0,0", "radius": "100", "limit": "2"}),
        ),
    ),
    Operation(
        method="GET",
        path="/eustress/connections",
        handler=connections,
        summary="Connections",
        tag=TAG,
        access="engine_or_admin",
        query=ConnectionsQuery,
        reply=list[ConnectionRow],
        reply_headers=LINK,
        errors=READ,
        examples=(Example(name="lake_connections", query=_QUANTUM | {"type": "hierarchy"}),),
    ),
    Operation(
        method="GET",
        path="/eustress/hierarchy/{space}",
        handler=hierarchy,
        summary="The tree of a scene",
        description="All of it, the children of one entity, or one depth.",
        tag=TAG,
        access="engine_or_admin",
        params={"space": SpaceName},
        query=HierarchyQuery,
        reply=list[HierarchyRow],
        reply_headers=LINK,
        errors=READ,
        examples=(Example(name="lake_hierarchy", path=_QUANTUM, query={"depth": "0"}),),
    ),
    Operation(
        method="GET",
        path="/eustress/changes/{space}",
        handler=changes,
        summary="What changed since a version",
        description="In order, removals too, each as a line of an ingest stream. What retention removed is missing; what is"
        " there now is not.",
        tag=TAG,
        access="engine_or_admin",
        params={"space": SpaceName},
        query=ChangesQuery,
        reply=list[ChangeRow],
        reply_headers=LINK,
        errors=READ,
        examples=(Example(name="lake_changes", path=_QUANTUM, query={"after": "0", "limit": "3"}),),
    ),
)

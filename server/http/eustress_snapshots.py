"""``/eustress/snapshots`` and ``/eustress/ingest/snapshots``: whole scenes as snapshots show them, in the seed's shape.

Written piece by piece, each part by its own pass over the rows, all of one instant of the database: memory does not grow with
the scene. Objects by id (``parent_map``, ``depth_map``, …) are in the order of ids, as the arrays are.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from datetime import datetime
from itertools import groupby
from typing import Annotated, Any, Final

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import values
from actors.runtime.codec import Uuid
from actors.runtime.errors import NotFound
from server.http.api import Example, Operation, query_of, routes_of
from server.http.contract import UuidText
from server.http.eustress_bodies import SpaceName
from server.http.eustress_entities import READ, TAG
from server.http.eustress_reading import LINK, check_spaces, given, linked, reading, space_in_path, streamed
from server.http.eustress_shapes import Time
from server.http.paging import id_in
from server.service import engine_of
from storage.eustress_queries import EustressReading, Marker, Moment

SNAPSHOTS: Final = 20
MOST: Final = 500


class SnapshotsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshots."""

    from_: Annotated[Time | UnsetType, Meta(description="taken then or later")] = msgspec.field(
        default=UNSET, name="from"
    )
    to: Annotated[Time | UnsetType, Meta(description="taken then or before")] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MOST, description="how many at most")] = SNAPSHOTS
    before: Annotated[UuidText | UnsetType, Meta(description="the id of the last one of the page before")] = UNSET
    full: Annotated[bool, Meta(description="with what they show; else only what they are")] = True


class SnapshotQuery(msgspec.Struct, frozen=True, kw_only=True):
    """How much of it."""

    full: Annotated[bool, Meta(description="with what it shows; else only what it is")] = True


class HierarchyTree(msgspec.Struct, frozen=True, kw_only=True):
    """The tree: ids without a parent, and by id the parent, the children, the depth (roots are 0)."""

    roots: list[str]
    parent_map: Mapping[str, str]
    children_map: Mapping[str, list[str]]
    depth_map: Mapping[str, int]


class EustressSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A scene as it was when the snapshot was taken, as the seed has it; also the version and why it was taken."""

    id: Uuid
    space_name: str
    timestamp: datetime
    version: int
    reason: Annotated[str, Meta(description="count, batch, alarm or manual")]
    entities: list[values.SceneEntity] | UnsetType = UNSET
    connections: list[values.SceneConnection] | UnsetType = UNSET
    hierarchy: HierarchyTree | UnsetType = UNSET
    parameters: Annotated[
        Mapping[str, dict[str, Any]] | UnsetType, Meta(description="by the entity's id and by name")
    ] = UNSET
    metadata: values.SnapshotMetadata


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def snapshots(request: web.Request) -> web.StreamResponse:
    """Snapshots of a space, newest first."""
    await engine_of(request, operators=True)
    query, space = query_of(request, SnapshotsQuery), space_in_path(request)
    await check_spaces(request, [space])
    async with reading(request, long=query.full) as lake:
        found = await lake.snapshots(
            space, query.limit + 1, before=id_in(query.before), from_=given(query.from_), to=given(query.to)
        )
        shown = found[: query.limit]
        link = {"before": shown[-1].id} if len(found) > query.limit else None
        return await streamed(request, _array(lake, shown, full=query.full), linked(request, link))


async def snapshot(request: web.Request) -> web.StreamResponse:
    """One snapshot."""
    await engine_of(request, operators=True)
    query, id_ = query_of(request, SnapshotQuery), request.match_info["id"].lower()
    async with reading(request, long=query.full) as lake:
        marker = await lake.snapshot(id_)
        if marker is None:
            raise NotFound(f"there is no snapshot {id_}")
        return await streamed(request, document(lake, marker, full=query.full))


# --- the document ----------------------------------------------------------------------------------------------------


async def _array(lake: EustressReading, markers: list[Marker], *, full: bool) -> AsyncGenerator[bytes, None]:
    yield b"["
    for number, marker in enumerate(markers):
        if number:
            yield b","
        async with aclosing(document(lake, marker, full=full)) as pieces:
            async for piece in pieces:
                yield piece
    yield b"]"


async def document(lake: EustressReading, marker: Marker, *, full: bool) -> AsyncGenerator[bytes, None]:
    """The pieces of one ``EustressSnapshot``."""
    names = ("id", "space_name", "timestamp", "version", "reason")
    head = orjson.dumps({name: getattr(marker, name) for name in names}, option=orjson.OPT_UTC_Z)
    yield head[:-1]
    if full:
        async for piece in _scene(lake, marker.moment):
            yield piece
    yield b',"metadata":' + marker.metadata.encode() + b"}"


async def _scene(lake: EustressReading, moment: Moment) -> AsyncIterator[bytes]:
    """Everything that it shows, each part from the comma before it."""
    parts = (
        (b',"entities":', b"[]", lake.scene_entities(moment), lambda row: row["data"].encode()),
        (b',"connections":', b"[]", lake.scene_connections(moment), _connection),
        (b',"hierarchy":{"roots":', b"[]", lake.scene_tree(moment, roots=True), lambda row: orjson.dumps(row["id"])),
        (
            b',"parent_map":',
            b"{}",
            lake.scene_tree(moment, roots=False),
            lambda row: _member(row["id"], row["parent_id"]),
        ),
    )
    for name, marks, rows, made in parts:
        yield name
        async for piece in _listed(rows, marks, made):
            yield piece
    yield b',"children_map":'
    async for piece in _children(lake.scene_children(moment)):
        yield piece
    yield b',"depth_map":'
    async for piece in _listed(lake.scene_tree(moment), b"{}", lambda row: _member(row["id"], row["depth"])):
        yield piece
    yield b'},"parameters":'
    parameters = lake.scene_parameters(moment)
    async for piece in _listed(parameters, b"{}", lambda row: orjson.dumps(row["id"]) + b":" + row["data"].encode()):
        yield piece


async def _listed(chunks: AsyncIterator[list[Any]], marks: bytes, made: Callable[[Any], bytes]) -> AsyncIterator[bytes]:
    """A JSON array, or an object's members: what is made of each row, a chunk at a time, between the two marks."""
    before = marks[:1]
    async for rows in chunks:
        yield before + b",".join(map(made, rows))
        before = b","
    yield marks if before != b"," else marks[1:]


async def _children(chunks: AsyncIterator[list[Any]]) -> AsyncIterator[bytes]:
    """Arrays of children by parent. Those of one parent may be in several chunks."""
    open_: str | None = None
    yield b"{"
    async for rows in chunks:
        pieces = []
        for parent, group in groupby(rows, key=lambda row: row["parent_id"]):
            ids = b",".join(orjson.dumps(row["id"]) for row in group)
            if parent == open_:
                pieces.append(b"," + ids)
            else:
                pieces.append((b"" if open_ is None else b"],") + orjson.dumps(parent) + b":[" + ids)
            open_ = parent
        yield b"".join(pieces)
    yield b"}" if open_ is None else b"]}"


def _member(name: str, value: str | int) -> bytes:
    return orjson.dumps(name) + b":" + orjson.dumps(value)


def _connection(row: Any) -> bytes:
    return orjson.dumps({name: value for name, value in row.items() if value is not None})


_ONE: Final = {"id": "{ingest_snapshot.snapshot_id}"}
_QUANTUM: Final = {"space": "quantum_mechanics"}
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/eustress/ingest/snapshots/{space}",
        handler=snapshots,
        summary="Snapshots of a space",
        description="Newest first, each with the whole scene (`full=false`: without).",
        tag=TAG,
        access="engine_or_admin",
        params={"space": SpaceName},
        query=SnapshotsQuery,
        reply=list[EustressSnapshot],
        reply_headers=LINK,
        errors=READ,
        examples=(
            Example(name="lake_snapshots", path=_QUANTUM, query={"limit": "1"}),
            Example(name="lake_snapshots_brief", path=_QUANTUM, query={"full": "false", "limit": "2"}),
        ),
    ),
    Operation(
        method="GET",
        path="/eustress/snapshots/{id}",
        handler=snapshot,
        summary="A snapshot",
        tag=TAG,
        access="engine_or_admin",
        query=SnapshotQuery,
        reply=EustressSnapshot,
        errors=READ,
        examples=(Example(name="lake_snapshot", path=_ONE),),
    ),
)

"""``/eustress/epochs``: training epochs over a time range, counted when they are made.

What an epoch has is counted here, out of storage, and decided by its space: the same request with the same key is the same epoch,
whatever has been counted since.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import commands as c
from actors.eustress.replies import Epoch
from actors.runtime.codec import Uuid, invalid
from actors.runtime.entity import Address
from actors.runtime.errors import NotFound
from actors.runtime.link import ONCE
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import ask, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, NDJSON, STORAGE, UuidText
from server.http.eustress_bodies import SpaceName
from server.http.eustress_entities import READ
from server.http.eustress_ingest import KIND
from server.http.eustress_reading import LINK, check_spaces, given, page_response, reading, rows_of
from server.http.eustress_shapes import Time
from server.http.paging import id_in
from server.lake_files import export_epoch
from server.service import engine_of

TAG: Final = "Eustress training"
SNAPSHOTS: Final = 10_000
"""Of one epoch: their ids are in it, and in the space's journal."""


class EpochBody(msgspec.Struct, frozen=True, kw_only=True):
    """Of the snapshots of a space between two times, both included."""

    space_name: SpaceName
    start_time: Time
    end_time: Time


class EpochsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which epochs."""

    space: SpaceName | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=1_000, description="how many at most")] = 50
    before: Annotated[UuidText | UnsetType, Meta(description="the id of the last one of the page before")] = UNSET


class ExportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """As what, and what of it."""

    format: Literal["parquet", "ndjson"] = "parquet"
    part: Literal["entities", "connections"] = "entities"


class EpochRow(Epoch, frozen=True, kw_only=True):
    """An epoch, and what became of it."""

    created_at: datetime
    consolidated_into: Annotated[Uuid | None, Meta(description="the epoch whose snapshots its are now")]


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def create(request: web.Request) -> web.Response:
    """201 with the epoch."""
    caller, body = await engine_of(request), await body_of(request, EpochBody)
    operation = operation_of(caller.practitioner, idempotency_key(request)) or ONCE
    if body.end_time < body.start_time:
        raise invalid("end_time", "before start_time")
    await check_spaces(request, [body.space_name])
    command = await _counted(request, body)
    reply = await ask(request, Address(KIND, body.space_name), c.encode(command), caller, operation)
    return json_response(reply, status=201)


async def _counted(request: web.Request, body: EpochBody) -> c.CreateEpoch:
    """Raises NotFound where there is no snapshot, Invalid where there are too many."""
    space, start, end = body.space_name, body.start_time, body.end_time
    async with reading(request, long=True) as lake:
        found = await lake.epoch_snapshots(space, start, end, SNAPSHOTS + 1)
        if not found:
            raise NotFound(
                f"space {space[:64]!r} has no snapshot between {start.isoformat()} and {end.isoformat()}: no epoch of nothing"
            )
        if len(found) > SNAPSHOTS:
            raise invalid("end_time", f"more than {SNAPSHOTS} snapshots until then; make several epochs of them")
        counted = await lake.epoch_stats(space, [version for _, version in found])
        moment = await lake.moment(space, end)
    return c.CreateEpoch(
        start_time=start,
        end_time=end,
        snapshot_ids=tuple(id_ for id_, _ in found),
        sample_count=counted.sample_count,
        stats=counted.stats,
        horizon=None if moment is None else moment[1],
    )


async def epochs(request: web.Request) -> web.Response:
    """Epochs, newest first."""
    await engine_of(request, operators=True)
    query = query_of(request, EpochsQuery)
    async with reading(request) as lake:
        rows = await lake.epochs(given(query.space), query.limit + 1, id_in(query.before))
    shown = rows[: query.limit]
    link = {"before": shown[-1]["id"]} if len(rows) > query.limit else None
    return page_response(request, rows_of(_epoch(row) for row in shown), link)


async def epoch(request: web.Request) -> web.Response:
    """One of them."""
    await engine_of(request, operators=True)
    return json_response(orjson.dumps(await _found(request), option=orjson.OPT_UTC_Z))


async def export(request: web.Request) -> web.StreamResponse:
    """Its samples, or its connections."""
    await engine_of(request, operators=True)
    query = query_of(request, ExportQuery)
    return await export_epoch(request, await _found(request), query.format, query.part)


async def _found(request: web.Request) -> dict[str, Any]:
    """The epoch that the path names. Raises NotFound."""
    id_ = request.match_info["id"].lower()
    async with reading(request) as lake:
        row = await lake.epoch(id_)
    if row is None:
        raise NotFound(f"there is no epoch {id_}")
    return _epoch(row)


def _epoch(row: Mapping[str, Any]) -> dict[str, Any]:
    as_json = {name: orjson.Fragment(row[name]) for name in ("snapshot_ids", "stats")}
    return dict(row) | as_json


_ONE: Final = {"id": "{lake_epoch_made.id}"}
_QUANTUM: Final = {"space": "quantum_mechanics"}
_RANGE: Final = {"start_time": "2020-01-01T00:00:00Z", "end_time": "2120-01-01T00:00:00Z"}
OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/eustress/epochs",
        handler=create,
        summary="Make a training epoch",
        description="Of the snapshots between two times. A sample is a version of an entity that one of them shows. An entity"
        " that must not train is in none.",
        tag=TAG,
        access="engine",
        body=EpochBody,
        reply=Epoch,
        status=201,
        errors=(*ENTITY, "not_found", "conflict"),
        examples=(Example(name="lake_epoch_made", body={"space_name": "quantum_mechanics"} | _RANGE),),
    ),
    Operation(
        method="GET",
        path="/eustress/epochs",
        handler=epochs,
        summary="Training epochs",
        tag=TAG,
        access="engine_or_admin",
        query=EpochsQuery,
        reply=list[EpochRow],
        reply_headers=LINK,
        errors=(*STORAGE, "timeout"),
        examples=(Example(name="lake_epochs", query=_QUANTUM),),
    ),
    Operation(
        method="GET",
        path="/eustress/epochs/{id}",
        handler=epoch,
        summary="A training epoch",
        tag=TAG,
        access="engine_or_admin",
        reply=EpochRow,
        errors=READ,
        examples=(Example(name="lake_epoch", path=_ONE),),
    ),
    Operation(
        method="GET",
        path="/eustress/epochs/{id}/export",
        handler=export,
        summary="The samples of an epoch",
        description="Streamed: Parquet, or NDJSON with a sample a line.",
        tag=TAG,
        access="engine_or_admin",
        query=ExportQuery,
        media="application/vnd.apache.parquet",
        more_media=(NDJSON,),
        errors=(*READ, "actor_unavailable", "rate_limited"),
        examples=(Example(name="lake_export", path=_ONE, query={"part": "connections"}),),
    ),
)

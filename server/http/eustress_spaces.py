"""``/eustress/spaces``, the lake's figures, archives: what there is, how it does, what its keepers decided.

Spaces are read from their rows, so nothing that sleeps is woken by being looked at. A policy is the space's own to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from actors.eustress import commands as c
from actors.eustress.replies import SpaceState
from actors.eustress.values import Policy, PolicyPatch
from actors.runtime.codec import Uuid
from actors.runtime.entity import Address
from actors.runtime.errors import NotFound
from actors.runtime.link import ONCE
from server.http.api import Example, Operation, body_of, query_of, routes_of
from server.http.context import ask, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY, STORAGE
from server.http.eustress_bodies import SpaceName
from server.http.eustress_entities import READ, TAG
from server.http.eustress_ingest import KIND
from server.http.eustress_reading import LINK, check_spaces, given, page_response, reading, rows_of, space_in_path
from server.lake_archive import directory_of
from server.service import engine_of

LATE_S: Final = 60.0
"""Beside twice the interval: an alarm may be late, and a server may have been away."""
RETENTION_S: Final = 3600.0
"""The longest time between two rounds of retention; of a short one it is a quarter."""
ARCHIVES: Final = 1_000
FILE_NAME: Final = Annotated[str, Meta(min_length=1, max_length=200, description="as the archive lists it")]


class SpacesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of spaces."""

    limit: Annotated[int, Meta(ge=1, le=1_000, description="how many at most")] = 100
    after: Annotated[SpaceName | UnsetType, Meta(description="the name of the last one of the page before")] = UNSET


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How a space does. *waiting*: connections wait for their ends, or for their place in the tree. *late*: it changed, and no
    snapshot followed when it should have. *empty*: nothing is in it."""

    status: Literal["good", "waiting", "late", "empty"]
    reasons: list[str]


class SpaceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A space as its row has it."""

    space_name: str
    version: int
    created_at: datetime
    changed_at: datetime
    entity_count: int
    connection_count: int
    sacred_entity_count: int
    hierarchy_depth: int
    quality_score: float
    scene_bytes: Annotated[int, Meta(description="of the live scene, as JSON")]
    entities_seen: Annotated[int, Meta(description="distinct ids, ever")]
    changes: Annotated[int, Meta(description="items taken in, ever")]
    unresolved: Annotated[int, Meta(description="connections that wait for an end, or for their place in the tree")]
    snapshots: int
    last_snapshot: datetime | None
    horizon: Annotated[datetime | None, Meta(description="what ended before is removed")]
    policy: Policy
    health: Health


class LakeStats(msgspec.Struct, frozen=True, kw_only=True):
    """The seed's figures."""

    total_snapshots: int
    total_spaces: int
    total_entities_seen: Annotated[int, Meta(description="distinct ids of each space, ever")]
    total_epochs: int
    storage_size_bytes: Annotated[int, Meta(description="of all relations of the lake, with their indexes")]
    last_snapshot: datetime | None


class ArchiveFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of an archive."""

    name: str
    rows: int
    bytes: int
    sha256: str


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """What retention wrote to files before it removed it."""

    id: Uuid
    space_name: str
    from_version: int
    to_version: int
    from_time: datetime | None
    to_time: datetime
    files: list[ArchiveFile]
    created_at: datetime


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def stats(request: web.Request) -> web.Response:
    """The lake as a whole."""
    await engine_of(request, operators=True)
    async with reading(request) as lake:
        row = await lake.stats()
    return json_response(orjson.dumps(dict(row or {}), option=orjson.OPT_UTC_Z))


async def spaces(request: web.Request) -> web.Response:
    """Spaces, by name."""
    await engine_of(request, operators=True)
    query = query_of(request, SpacesQuery)
    async with reading(request) as lake:
        rows = await lake.spaces(query.limit + 1, given(query.after))
    shown, now = rows[: query.limit], datetime.now(UTC)
    link = {"after": shown[-1]["id"]} if len(rows) > query.limit else None
    return page_response(request, rows_of(space_row(row, now) for row in shown), link)


async def space(request: web.Request) -> web.Response:
    """One of them."""
    await engine_of(request, operators=True)
    name = space_in_path(request)
    async with reading(request) as lake:
        row = await lake.space(name)
    if row is None:
        raise NotFound(f"there is no Eustress space {name[:64]!r}")
    return json_response(orjson.dumps(space_row(row, datetime.now(UTC)), option=orjson.OPT_UTC_Z))


def space_row(row: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """A ``SpaceRow`` of the table's row. Quality by the seed: a quarter each for entities, connections, a hierarchy and sacred
    entities that are there."""
    shown = dict(row)
    shown["space_name"], shown["sacred_entity_count"] = shown.pop("id"), shown.pop("sacred_count")
    present = ("entity_count", "connection_count", "hierarchy_depth", "sacred_entity_count")
    shown["quality_score"] = sum(shown[name] > 0 for name in present) / len(present)
    policy = msgspec.convert(shown["policy"], Policy)
    shown["policy"] = msgspec.to_builtins(policy)
    status, reasons = health_of(shown, policy, now)
    return shown | {"health": {"status": status, "reasons": reasons}}


def health_of(row: Mapping[str, Any], policy: Policy, now: datetime) -> tuple[str, list[str]]:
    """How a space does: the worst that is the case, and all that is."""
    reasons: dict[str, str] = {}
    due = timedelta(seconds=2 * policy.snapshot_interval_s + LATE_S)
    covered = row["last_snapshot"] is not None and row["last_snapshot"] >= row["changed_at"]
    if policy.snapshot_interval_s and not covered and now - row["changed_at"] > due and row["changes"]:
        reasons["late"] = f"what changed at {row['changed_at'].isoformat()} is in no snapshot yet"
    if policy.retention_s and _keeps_too_long(row, policy, now):
        reasons["late"] = (
            f"what ended {policy.retention_s} s ago is not removed yet; where it cannot be archived the log says so"
        )
    if row["unresolved"]:
        waiting = "1 connection waits for an end, or for its place in the tree"
        if row["unresolved"] != 1:
            waiting = f"{row['unresolved']} connections wait for an end, or for their place in the tree"
        reasons["waiting"] = waiting
    if not row["entity_count"]:
        reasons["empty"] = "there is no entity in it"
    return next(iter(reasons), "good"), list(reasons.values())


def _keeps_too_long(row: Mapping[str, Any], policy: Policy, now: datetime) -> bool:
    """Whether the last change has been over for long enough, and retention has not come to it in two rounds."""
    rounds = 2 * min(policy.retention_s / 4, RETENTION_S)
    due: datetime = row["changed_at"] + timedelta(seconds=policy.retention_s + rounds + LATE_S)
    return now > due and (row["horizon"] is None or row["horizon"] <= row["changed_at"])


async def set_policy(request: web.Request) -> web.Response:
    """The space as it is now."""
    caller, name = await engine_of(request, operators=True), space_in_path(request)
    command = c.SetPolicy(patch=await body_of(request, PolicyPatch))
    operation = operation_of(caller.practitioner, idempotency_key(request)) or ONCE
    async with gateway_of(request).rooms.entering(name):
        return json_response(await ask(request, Address(KIND, name), c.encode(command), caller, operation))


# --- archives --------------------------------------------------------------------------------------------------------


async def archives(request: web.Request) -> web.Response:
    """Archives of a space, newest first."""
    await engine_of(request, operators=True)
    name = space_in_path(request)
    await check_spaces(request, [name])
    async with reading(request) as lake:
        rows = await lake.archives(name, ARCHIVES)
    return page_response(request, rows_of(_archive(row) for row in rows), None)


async def archive_file(request: web.Request) -> web.StreamResponse:
    """A file of an archive. Only a name that the archive's row has is looked for in the directory."""
    await engine_of(request, operators=True)
    name, id_, wanted = space_in_path(request), request.match_info["id"].lower(), request.match_info["file"]
    async with reading(request) as lake:
        row = await lake.archive(name, id_)
    listed: list[dict[str, Any]] = [] if row is None else orjson.loads(row["files"])
    file = next((each["name"] for each in listed if each["name"] == wanted), None)
    path = None if file is None else directory_of(gateway_of(request).settings.archive_dir, name) / file
    if path is None or not path.is_file():
        raise NotFound(f"there is no {wanted[:64]!r} in this archive" + ("" if path is None else ", on this machine"))
    return web.FileResponse(path, headers={"Content-Type": "application/vnd.apache.parquet"})


def _archive(row: Mapping[str, Any]) -> dict[str, Any]:
    return dict(row) | {"files": orjson.Fragment(row["files"])}


_QUANTUM: Final = {"space": "quantum_mechanics"}
_SPACE: Final = {"space": SpaceName}
OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/eustress/ingest/stats",
        handler=stats,
        summary="Figures of the lake",
        tag=TAG,
        access="engine_or_admin",
        reply=LakeStats,
        errors=(*STORAGE, "timeout"),
        examples=(Example(name="lake_stats"),),
    ),
    Operation(
        method="GET",
        path="/eustress/spaces",
        handler=spaces,
        summary="Spaces, and how they do",
        tag=TAG,
        access="engine_or_admin",
        query=SpacesQuery,
        reply=list[SpaceRow],
        reply_headers=LINK,
        errors=(*STORAGE, "timeout"),
        examples=(Example(name="lake_spaces", query={"limit": "1"}),),
    ),
    Operation(
        method="GET",
        path="/eustress/spaces/{space}",
        handler=space,
        summary="A space, and how it does",
        tag=TAG,
        access="engine_or_admin",
        params=_SPACE,
        reply=SpaceRow,
        errors=(*READ, "invalid"),
        examples=(Example(name="lake_space", path=_QUANTUM),),
    ),
    Operation(
        method="PUT",
        path="/eustress/spaces/{space}/policy",
        handler=set_policy,
        summary="What a space's keepers decide",
        description="Changes what is given; a space that is not there is made. 0 turns a rule off.",
        tag=TAG,
        access="engine_or_admin",
        params=_SPACE,
        body=PolicyPatch,
        reply=SpaceState,
        errors=(*ENTITY, "conflict", "full"),
        examples=(
            Example(name="lake_policy", path=_QUANTUM, body={"snapshot_interval_s": 600, "retention_s": 2_592_000}),
        ),
    ),
    Operation(
        method="GET",
        path="/eustress/archives/{space}",
        handler=archives,
        summary="What retention archived",
        description=f"Newest first, at most {ARCHIVES}.",
        tag=TAG,
        access="engine_or_admin",
        params=_SPACE,
        reply=list[Archive],
        errors=(*READ, "invalid"),
        examples=(Example(name="lake_archives", path=_QUANTUM),),
    ),
    Operation(
        method="GET",
        path="/eustress/archives/{space}/{id}/{file}",
        handler=archive_file,
        summary="A file of an archive",
        description="Parquet. With `Range`, a part of it.",
        tag=TAG,
        access="engine_or_admin",
        params=_SPACE | {"file": FILE_NAME},
        media="application/vnd.apache.parquet",
        errors=(*READ, "invalid"),
    ),
)

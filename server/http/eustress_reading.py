"""What reads of the Eustress lake share: which moment is meant, pages and the links between them, rows as JSON, long answers.

A page's cursor (``after``) is the place of its last row, as opaque text: a client takes it out of the ``Link`` header. A long
answer is written piece by piece; an error in the middle cuts it off, which is then no JSON.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, UnsetType

from actors.runtime.codec import invalid
from actors.runtime.errors import NotFound, SanghaError, StorageUnavailable, Timeout
from actors.runtime.ports import StoreDown
from server.http.context import gateway_of
from server.http.eustress_bodies import SpaceName
from server.http.eustress_ingest import named_in_path
from server.http.eustress_shapes import Range, When
from server.http.paging import id_in
from storage.eustress_queries import EustressReading, Moment
from storage.pool import BadValue
from storage.read_pool import ReadTooLong

log = logging.getLogger(__name__)

MARKERS: Final = 500
"""Snapshots looked through for one page of a time range."""
STALL_S: Final = 30.0
"""How long a piece may wait for a client that does not read."""

T = TypeVar("T")


class Lake(Protocol):
    """What a gateway reads the lake with: ``storage.eustress_queries.EustressQueries``."""

    def reading(self, *, long: bool = False) -> Any:
        """The lake at one instant, as a context."""

    async def close(self) -> None:
        """No more reads."""


@asynccontextmanager
async def reading(request: web.Request, *, long: bool = False) -> AsyncIterator[EustressReading]:
    """The lake at one instant. Raises StorageUnavailable, Timeout."""
    lake = gateway_of(request).lake
    if lake is None:
        raise StorageUnavailable("this gateway has no lake to read")
    try:
        async with lake.reading(long=long) as view:
            yield view
    except ReadTooLong as slow:
        raise Timeout(f"{slow}; ask for less") from slow
    except StoreDown as down:
        raise StorageUnavailable("storage does not answer, or is busy; try again") from down
    except BadValue as wrong:
        raise invalid("", str(wrong)) from wrong


# --- which moment ----------------------------------------------------------------------------------------------------


async def moments_of(
    lake: EustressReading, spaces: Iterable[str], query: When, first: tuple[str, str | None] | None = None
) -> list[Moment]:
    """The moments that are meant, in order: by space, of a range by time; from the space and snapshot ``first`` on.

    Of a range at most ``MARKERS`` + 1. Raises NotFound, Invalid.
    """
    given = [name for name in ("at", "snapshot") if getattr(query, name) is not UNSET]
    ranged = isinstance(query, Range) and (query.from_ is not UNSET or query.to is not UNSET)
    if len(given) + ranged > 1:
        raise invalid(given[-1], "one of at, snapshot, and from with to")
    names = sorted(set(spaces))
    if query.snapshot is not UNSET:
        return [await shown_by(lake, str(id_in(query.snapshot)), names)]
    if not names:
        raise invalid("space", "which space? repeat it for several")
    left = [name for name in names if first is None or name >= first[0]]
    if ranged:
        return await _snapshots(lake, left, query, first)  # type: ignore[arg-type] # ranged says so
    if query.at is not UNSET:
        return [await _then(lake, name, query.at, partial=query.partial) for name in left]
    return [Moment(name) for name in left]


async def shown_by(lake: EustressReading, id_: str, spaces: list[str]) -> Moment:
    """What a snapshot shows. Raises NotFound, also where it is of no space in ``spaces`` (of none: of any)."""
    marker = await lake.snapshot(id_)
    if marker is None or (spaces and marker.space_name not in spaces):
        raise NotFound(f"there is no snapshot {id_}" + (f" of {spaces[0][:64]!r}" if len(spaces) == 1 else ""))
    return marker.moment


async def _then(lake: EustressReading, space: str, at: datetime, *, partial: bool) -> Moment:
    found = await lake.moment(space, at)
    if found is None:
        return Moment(space, 0, at)
    moment, horizon = found
    if horizon is not None and at < horizon and not partial:
        raise NotFound(
            f"of {space[:64]!r} what ended before {horizon.isoformat()} is removed; `partial=true` shows what is left"
        )
    return moment


async def _snapshots(
    lake: EustressReading, spaces: list[str], query: Range, first: tuple[str, str | None] | None
) -> list[Moment]:
    found: list[Moment] = []
    for space in spaces:
        start = first[1] if first is not None and first[0] == space else None
        room = MARKERS + 1 - len(found)
        since, until = given(query.from_), given(query.to)
        markers = await lake.snapshots_onward(space, room, first=start, from_=since, to=until)
        found += [marker.moment for marker in markers]
        if len(found) > MARKERS:
            break
    return found


async def check_spaces(request: web.Request, spaces: Iterable[str]) -> None:
    """Raises NotFound where one is not there, StorageUnavailable."""
    for space in spaces:
        await gateway_of(request).rooms.check(space)


# --- pages -----------------------------------------------------------------------------------------------------------


def given(value: T | UnsetType) -> T | None:
    """A parameter, or None where it was not given."""
    return None if isinstance(value, UnsetType) else value


def cursor_in(text: str | UnsetType, type_: type[T]) -> T | None:
    """The place that a cursor names. Raises Invalid."""
    if isinstance(text, UnsetType):
        return None
    wrong = invalid("after", "no place of a page; it comes out of a Link header")
    try:
        place = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise wrong from None
    try:
        return msgspec.json.decode(place, type=type_)
    except msgspec.DecodeError:
        raise wrong from None


def cursor_of(place: msgspec.Struct) -> str:
    """The same as text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).rstrip(b"=").decode()


def rows_of(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as a JSON array: times with a Z, Fragments as they are."""
    return orjson.dumps(list(rows), option=orjson.OPT_UTC_Z)


def page_response(request: web.Request, body: bytes, link: Mapping[str, str] | None) -> web.Response:
    """A page. ``link``: parameters of the query with which the next one is asked for, where there is one."""
    return web.Response(body=body, headers=linked(request, link), content_type="application/json")


def linked(request: web.Request, link: Mapping[str, str] | None) -> dict[str, str]:
    """The ``Link`` header: to the first page and, where there is more, to the next."""
    url = request.rel_url
    links = f'<{url.without_query_params("after", "before")}>; rel="first"'
    return {"Link": links if link is None else f'{links}, <{url.update_query(dict(link))}>; rel="next"'}


def space_in_path(request: web.Request) -> str:
    """The space that the path names. Raises Invalid."""
    return named_in_path(request, "space", SpaceName)


LINK: Final = {"Link": 'to the first page (`rel="first"`) and, where there is more, to the next (`rel="next"`)'}


# --- rows as JSON ----------------------------------------------------------------------------------------------------


def head_of(moment: Moment, row: Mapping[str, Any]) -> dict[str, Any]:
    """What rows of entities have in common."""
    marker = moment.snapshot
    return {
        "space_name": moment.space,
        "snapshot_id": None if marker is None else marker.id,
        "timestamp": row["at"] if marker is None else marker.timestamp,
    }


# --- long answers ----------------------------------------------------------------------------------------------------


async def streamed(
    request: web.Request, pieces: AsyncGenerator[bytes, None], headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """JSON, piece by piece. From the first piece on an error only cuts it off."""
    response = web.StreamResponse(headers={"Content-Type": "application/json", **(headers or {})})
    async with aclosing(pieces):
        await response.prepare(request)
        try:
            async for piece in pieces:
                async with asyncio.timeout(STALL_S):
                    await response.write(piece)
        except (SanghaError, StoreDown, TimeoutError) as failure:
            log.warning("%s is cut off: %r", request.path, failure)
            if request.transport is not None:
                request.transport.close()
            return response
    await response.write_eof()
    return response

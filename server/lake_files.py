"""An epoch as a file that is streamed to a client: the way from the process that makes it to the socket.

Neither a million rows nor pyarrow are in the gateway: a child makes the bytes (``server/lake_export.py``), the client's pace
holds it up, and the client's leaving ends it. What fails before the first byte is an error like any other; afterwards the
answer is cut off, which no reader takes for a whole file: chunks lack their end, Parquet its footer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from actors.runtime.errors import ActorUnavailable, SanghaError
from server.by_gateway import ByGateway
from server.http.context import gateway_of
from server.lake_child import Child
from server.limits import TooSoon

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0
"""For whom all places are taken."""
STALL_S: Final = 60.0
"""A client that takes nothing for so long has no place: it holds a transaction open, and others wait."""
TYPES: Final[Mapping[str, str]] = {"parquet": "application/vnd.apache.parquet", "ndjson": "application/x-ndjson"}
PARTS: Final = ("entities", "connections")


class Places:
    """How many exports a gateway makes at once."""

    def __init__(self) -> None:
        self.taken = 0

    @asynccontextmanager
    async def one(self, most: int) -> AsyncIterator[None]:
        """A place, while it lasts. Raises TooSoon."""
        if self.taken >= most:
            raise TooSoon(f"{self.taken} exports are under way, and {most} may be; try again", RETRY_S)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


places_of: Final = ByGateway(lambda _: Places())


async def export_epoch(
    request: web.Request, epoch: Mapping[str, Any], format_: str, part: str = "entities"
) -> web.StreamResponse:
    """The answer to an export of the epoch whose row this is (its ``id`` counts). ``format_`` is a key of ``TYPES``.

    Raises TooSoon, ActorUnavailable, StorageUnavailable, NotFound.
    """
    gateway = gateway_of(request)
    if gateway.deployment_path is None:
        raise ActorUnavailable("this server has no deployment that an export could read")
    job = {"deployment": str(gateway.deployment_path), "epoch": str(epoch["id"]), "part": part, "format": format_}
    async with places_of(gateway).one(gateway.settings.eustress_exports):
        child = await Child.start("server.lake_export", job)
        try:
            return await _piped(request, child, _response(job))
        finally:
            await asyncio.shield(asyncio.ensure_future(child.end()))


async def _piped(request: web.Request, child: Child, response: web.StreamResponse) -> web.StreamResponse:
    chunk = await child.read()
    if not chunk:
        await child.outcome()  # an epoch without samples has no lines; all else is an error, and nothing was sent yet
    await response.prepare(request)
    try:
        while chunk:
            async with asyncio.timeout(STALL_S):
                await response.write(chunk)
            chunk = await child.read()
        await child.outcome()
    except ConnectionError:
        log.debug("an export's client left")
    except TimeoutError:
        _cut_off(request, f"its client took nothing for {STALL_S:g} s")
    except SanghaError as failure:
        _cut_off(request, failure.message)
    return response


def _cut_off(request: web.Request, why: str) -> None:
    # An end as of any other answer would make what is there look whole.
    log.warning("an export was cut off: %s", why)
    if request.transport is not None:
        request.transport.abort()


def _response(job: Mapping[str, str]) -> web.StreamResponse:
    name = f"epoch-{job['epoch']}-{job['part']}.{job['format']}"
    return web.StreamResponse(
        headers={
            "Content-Type": TYPES[job["format"]],
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        }
    )

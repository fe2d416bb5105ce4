"""``/asyncapi.json``, and ``/docs/ws``, our own page that shows it: no viewer of AsyncAPI comes as a package without a build."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from importlib.metadata import version
from typing import Any, Final

import orjson
from aiohttp import web

from server import asyncapi
from server.http import pages
from server.http.api import routes_of
from server.http.context import gateway_of
from server.http.contract import Example, Operation
from server.http.documents import TAG, Packed, pack, serve
from server.settings import Settings

NAME: Final = "asyncapi.json"


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [*routes_of(OPERATIONS), web.get("/docs/ws", reader)]


@lru_cache(maxsize=8)
def document(settings: Settings) -> Packed:
    """Of a server with these settings."""
    return pack("application/json", orjson.dumps(asyncapi.document(settings, version("sangha"))))


async def asyncapi_json(request: web.Request) -> web.Response:
    """The document."""
    packed = await asyncio.to_thread(document, gateway_of(request).settings)
    return await serve(request, {NAME: packed}, NAME, lambda: packed)


async def reader(request: web.Request) -> web.Response:
    """The page."""
    return await pages.page(request, "docs/ws.html")


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/asyncapi.json",
        handler=asyncapi_json,
        summary="The AsyncAPI document of the WebSocket",
        tag=TAG,
        access="anyone",
        reply=dict[str, Any],
        examples=(Example(name="asyncapi"),),
    ),
)

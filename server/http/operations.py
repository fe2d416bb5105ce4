"""``/``, ``/health``, ``/ready``, ``/api/admin/topology``: for whoever runs the server."""

from __future__ import annotations

import hmac
from importlib.metadata import version

from aiohttp import web

from actors.runtime.errors import ActorUnavailable, Draining, StorageUnavailable, Unauthenticated
from server.http.context import bearer, gateway_of, json_response


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return [
        web.get("/", index),
        web.get("/health", health),
        web.get("/ready", ready),
        web.get("/api/admin/topology", topology),
    ]


async def index(request: web.Request) -> web.Response:
    """What this is, and where to go on."""
    return json_response({"name": "sangha", "version": version("sangha"), "websocket": "/ws", "health": "/health"})


async def health(request: web.Request) -> web.Response:
    """The process lives."""
    gateway = gateway_of(request)
    return json_response({"status": "healthy", "version": version("sangha"), "gateway": gateway.index})


async def ready(request: web.Request) -> web.Response:
    """A request would be served now."""
    gateway = gateway_of(request)
    if gateway.draining:
        raise Draining("the server is going away")
    if not await gateway.queries.healthy():
        raise StorageUnavailable("storage does not answer")
    return json_response({"status": "ready"})


async def topology(request: web.Request) -> web.Response:
    """What runs where; with the admin token only."""
    gateway, token = gateway_of(request), bearer(request)
    known = gateway.admin_token
    if known is None or token is None or not hmac.compare_digest(known.encode(), token.encode()):
        raise Unauthenticated("the admin token is required")
    if gateway.topology is None:
        raise ActorUnavailable("this gateway knows no coordinator")
    return json_response(await gateway.topology())

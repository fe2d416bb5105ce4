"""``/``, ``/health``, ``/ready``, ``/api/admin/topology``: for whoever runs the server."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from aiohttp import web

from actors.runtime.errors import ActorUnavailable, Draining, StorageUnavailable, Unauthenticated
from server.http import pages, replies
from server.http.api import Example, Operation, routes_of
from server.http.context import gateway_of, has_admin_token, json_response

TAG: Final = "Operations"


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


async def index(request: web.Request) -> web.Response:
    """What this is, and where to go on; for a browser, the page."""
    if pages.wants_page(request):
        return await pages.page(request, "index.html")
    settings = gateway_of(request).settings
    about = {"message": settings.project_name, "status": "success", "name": "sangha", "version": version("sangha")}
    return json_response(about | {"websocket": "/ws", "health": "/health", "guests": settings.guests})


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
    gateway = gateway_of(request)
    if not has_admin_token(request):
        raise Unauthenticated("the admin token is required")
    if gateway.topology is None:
        raise ActorUnavailable("this gateway knows no coordinator")
    try:
        return json_response(await gateway.topology())
    except LookupError as away:  # of placement's: it is busy, or on its way to another node
        raise ActorUnavailable("the coordinator does not answer; try again") from away


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/",
        handler=index,
        summary="Name and version",
        tag=TAG,
        access="anyone",
        reply=replies.Index,
        examples=(Example(name="index"),),
    ),
    Operation(
        method="GET",
        path="/health",
        handler=health,
        summary="Does the process live?",
        description="For a supervisor; a load balancer asks `/ready`.",
        tag=TAG,
        access="anyone",
        exempt=True,
        reply=replies.Health,
        examples=(Example(name="health"),),
    ),
    Operation(
        method="GET",
        path="/ready",
        handler=ready,
        summary="Would a request be served now?",
        description="503 while the server starts or drains, or storage does not answer.",
        tag=TAG,
        access="anyone",
        exempt=True,
        reply=replies.Ready,
        errors=("draining", "storage_unavailable"),
        examples=(Example(name="ready"),),
    ),
    Operation(
        method="GET",
        path="/api/admin/topology",
        handler=topology,
        summary="What runs, where",
        description="What `sangha status` prints. With the admin token, a file in the data directory.",
        tag=TAG,
        access="admin",
        reply=replies.Topology,
        errors=("actor_unavailable",),
        examples=(Example(name="topology"),),
    ),
)

"""``GET /metrics``: the numbers of all processes for Prometheus. And the counting of this gateway's own HTTP requests.

Who may ask: a peer on this machine (its address and the Host are loopback's, and no proxy forwarded it), as Prometheus beside
the server does; anybody else with the admin token. The peer is the connection's own, whatever proxies are trusted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from actors.runtime.errors import Unauthenticated
from actors.runtime.trace import Span, traceparent
from server.http.api import Example, Operation, routes_of
from server.http.asker import client
from server.http.context import gateway_of, has_admin_token
from server.http.forwarded import Client
from server.http.origins import hostname
from server.listening import is_loopback
from server.metrics.reports import Report, of_gateway

if TYPE_CHECKING:
    from server.gateway import Gateway

UNMATCHED: Final = "unmatched"

Serve = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def metrics(request: web.Request) -> web.Response:
    """The scrape."""
    if not from_this_machine(request) and not has_admin_token(request):
        raise Unauthenticated("the admin token is required")
    gateway = gateway_of(request)
    reports = await gateway.scrape() if gateway.scrape is not None else own_report(gateway)
    body, headers = await asyncio.to_thread(_render, reports, request.headers.get("Accept", ""))
    return web.Response(body=body, headers=headers)


def _render(reports: list[Report], accept: str) -> Any:
    from server.metrics.exposition import render  # prometheus-client with it: see there

    return render(reports, accept)


def own_report(gateway: Gateway) -> list[Report]:
    """Of a gateway that stands alone."""
    return [Report(f"gateway/{gateway.index}", "", list(of_gateway(gateway)))]


def from_this_machine(request: web.Request) -> bool:
    """Whether the peer is on loopback, asks for a loopback name, and no proxy stands between."""
    return is_local(client(request), request.headers.get("Host", ""))


def is_local(who: Client, host: str) -> bool:
    """The rule."""
    return not who.forwarded and is_loopback(who.address) and is_loopback(hostname(host))


async def watched(
    request: web.Request, handler: Serve, serve: Callable[[web.Request, Serve], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Serve a request, count it, and make it a span where traces are on."""
    gateway, began, route, status = gateway_of(request), time.monotonic(), route_of(request), 500
    span = _span(gateway, request, route)
    token = traceparent.set(span.traceparent if span is not None else None)
    try:
        response = await serve(request, handler)
        status = response.status
        return response
    finally:
        traceparent.reset(token)
        gateway.measures.served(request.method, route, status, time.monotonic() - began)
        if span is not None:
            span.end("ok" if status < 400 else str(status))


def _span(gateway: Gateway, request: web.Request, route: str) -> Span | None:
    if gateway.tracer is None:
        return None
    return gateway.tracer.start(f"{request.method} {route}", request.headers.get("traceparent"))


def route_of(request: web.Request) -> str:
    """The route as declared, with its parameters in braces: never a path that a client made up."""
    resource = request.match_info.route.resource
    return UNMATCHED if resource is None else resource.canonical


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/metrics",
        handler=metrics,
        summary="The numbers of all processes, for Prometheus",
        description="One scrape asks every process of the cluster. From this machine (a loopback peer and Host, nothing "
        "forwarded) without a token, from elsewhere with the admin token. OpenMetrics where Accept prefers it.",
        tag="Operations",
        access="admin_or_local",
        media="text/plain",
        examples=(Example(name="metrics"),),
    ),
)


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)

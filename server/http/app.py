"""The aiohttp application: who may come from where, errors as problems, request ids, CORS, and the way to ``/ws``."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from aiohttp import web

from actors.runtime.errors import BadRequest, Draining, Forbidden, Internal, NotFound, SanghaError, TooLarge
from actors.runtime.trace import request_id as current_request
from server.http import collective, metrics, operations, pages, rituals, runs, state, users
from server.http.context import GATEWAY, bearer, gateway_of
from server.http.origins import Origins
from server.http.problems import problem, problem_response
from server.http.uploads import UPLOADS, Uploads
from server.ws.closing import FORBIDDEN_ORIGIN, TOO_MANY
from server.ws.reading import Frames
from server.ws.socket import Connection

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

SOCKETS: Final = ("/ws", "/ws/collective")
ORIGINS: Final = web.AppKey("origins", Origins)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
ALWAYS: Final = ("/health", "/ready")
"""Answered while draining, and whatever the Host header: probes of a container or a load balancer send an IP address."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(gateway: Gateway) -> web.Application:
    """The application of one gateway."""
    settings = gateway.settings
    app = web.Application(middlewares=[front], client_max_size=settings.request_body_bytes)
    app[GATEWAY] = gateway
    app[ORIGINS] = Origins(settings.public_urls, settings.allowed_origins)
    app[UPLOADS] = Uploads(time.monotonic, lifted=settings.lab)
    for resource in (operations, metrics, pages, users, rituals, runs, state, collective):
        app.add_routes(resource.routes())
    app.add_routes([web.get(path, serve_socket) for path in SOCKETS])
    return app


@web.middleware
def front(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Sockets go straight to their handler (no coroutine stays behind for each open one), the rest through ``_served``."""
    return handler(request) if request.path in SOCKETS else _served(request, handler)


async def _served(request: web.Request, handler: Handler) -> web.StreamResponse:
    token = current_request.set(request_id_of(request))
    try:
        response = await metrics.watched(request, handler, _guarded)
        response.headers["X-Request-ID"] = current_request.get() or ""
        _allow_origin(request, response)
        log.debug("%s %s %d", request.method, request.path, response.status)
        return response
    finally:
        current_request.reset(token)


def request_id_of(request: web.Request) -> str:
    """The client's own id of the request where it is a safe one, else a new one."""
    given = request.headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)


async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The handler's response, or the problem that its error is."""
    try:
        return await _checked(request, handler)
    except SanghaError as failure:
        return problem(failure)
    except web.HTTPRequestEntityTooLarge:
        return problem(TooLarge(f"the body is larger than {gateway_of(request).settings.request_body_bytes} bytes"))
    except web.HTTPNotFound:
        return problem(NotFound(f"there is no {request.path}"))
    except web.HTTPException as http:
        body = {"code": "bad_request", "message": http.reason, "retryable": False}
        response = problem_response(http.status, body)
        if "Allow" in http.headers:
            response.headers["Allow"] = http.headers["Allow"]
        return response
    except Exception as failure:  # noqa: BLE001 - the boundary: logged with a reference that the client gets
        return problem(Internal(gateway_of(request).log_reference("a request failed", failure)))


async def _checked(request: web.Request, handler: Handler) -> web.StreamResponse:
    gateway, origins = gateway_of(request), request.app[ORIGINS]
    if request.path in ALWAYS:
        return await handler(request)
    if not origins.host_is_ours(request.host):
        return misdirected(request)
    if not origins.allows(request.headers.get("Origin"), request.host):
        raise Forbidden("this origin is not allowed")
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    if gateway.draining:
        raise Draining("the server is going away")
    return await handler(request)


def misdirected(request: web.Request) -> web.Response:
    """421: a Host that is not ours (a rebound DNS name, say)."""
    message = f"this server is not {request.host}; SANGHA_PUBLIC_URLS names what it is"
    return problem_response(421, {"code": "bad_request", "message": message, "retryable": False})


def _allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    origin = request.headers.get("Origin")
    if origin is None or not request.app[ORIGINS].is_foreign_but_allowed(origin):
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Vary"] = "Origin"
    response.headers["Access-Control-Expose-Headers"] = "X-Request-ID, Retry-After"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, PUT, PATCH, DELETE"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key, X-Request-ID"
        response.headers["Access-Control-Max-Age"] = "600"


async def serve_socket(request: web.Request) -> web.StreamResponse:
    """The upgrade, and the socket until it ends."""
    gateway, origins = gateway_of(request), request.app[ORIGINS]
    if not origins.host_is_ours(request.host):
        return misdirected(request)
    if gateway.draining:
        return problem(Draining("the server is going away"))
    ws = Frames(gateway.settings)
    if not ws.can_prepare(request):
        return problem(BadRequest("this is a WebSocket's address"))
    await ws.prepare(request)
    transport = request.transport
    if transport is None:
        return ws
    current_request.set(request_id_of(request))
    address = request.remote or ""
    full = gateway.address_is_full(address)
    connection = Connection(gateway, ws, transport, address)
    connection.trace = request.headers.get("traceparent") if gateway.tracer is not None else None
    gateway.opened(connection)
    try:
        if full:
            connection.close(TOO_MANY, "too many sockets from this address")
        elif not origins.allows(request.headers.get("Origin"), request.host):
            connection.close(FORBIDDEN_ORIGIN, "this origin is not allowed")
        await connection.run(bearer(request))
    finally:
        gateway.closed(connection)
    return ws

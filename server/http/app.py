"""The aiohttp application: who may come from where, errors as problems, request ids, headers, and the way to ``/ws``."""

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
from server.http import (
    account,
    admin_tokens,
    asyncapi_document,
    collective,
    documents,
    eustress_eep,
    eustress_entities,
    eustress_epochs,
    eustress_ingest,
    eustress_snapshots,
    eustress_spaces,
    eustress_stream,
    export,
    metrics,
    operations,
    pages,
    rituals,
    runs,
    spaces,
    state,
    users,
    vajra_astrology,
    vajra_audio,
    vajra_device,
    vajra_hardware,
    vajra_llm,
    vajra_prayers,
    vajra_sessions,
    vajra_visuals,
)
from server.http import headers as response_headers
from server.http.asker import ORIGINS, TRUSTED, address_of, client, host_is_ours, host_of
from server.http.context import GATEWAY, bearer, gateway_of, is_local
from server.http.encoding import UnsupportedEncoding, decode_body
from server.http.forwarded import Trusted
from server.http.origins import Origins
from server.http.problems import problem, problem_response
from server.http.uploads import UPLOADS, Uploads
from server.pictures import Studio
from server.ws.closing import FORBIDDEN_ORIGIN, TOO_MANY
from server.ws.protocol import error_body
from server.ws.reading import Frames
from server.ws.socket import BARE, VAJRA, Connection

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

SOCKETS: Final = (BARE, "/ws/collective", VAJRA)
_ID: Final = web.RequestKey("request_id", str)
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,64}")
ALWAYS: Final = ("/health", "/ready")
"""Answered while draining, and whatever the Host header: probes of a container or a load balancer send an IP address."""

_STRANGE: Final = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL keeps neither, so nothing here is named by them."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build(gateway: Gateway) -> web.Application:
    """The application of one gateway."""
    settings = gateway.settings
    app = web.Application(middlewares=[front], client_max_size=settings.request_body_bytes)
    app[GATEWAY] = gateway
    app[ORIGINS] = Origins(settings.public_urls, settings.foreign_origins)
    app[TRUSTED] = Trusted(settings.trusted_proxies)
    app.on_response_prepare.append(dress)
    app[vajra_visuals.STUDIO] = Studio(lifted=settings.lab)
    app[UPLOADS] = Uploads(time.monotonic, lifted=settings.lab)
    vajra_astrology.install(app)
    vajra_prayers.install(app, lifted=settings.lab)
    of_accounts = (users, account, export)
    resources = (
        operations,
        admin_tokens,
        metrics,
        pages,
        asyncapi_document,
        *of_accounts,
        rituals,
        runs,
        state,
        collective,
        spaces,
        eustress_ingest,
        eustress_eep,
        eustress_stream,
        eustress_entities,
        eustress_snapshots,
        eustress_spaces,
        eustress_epochs,
        vajra_astrology,
        vajra_audio,
        vajra_device,
        vajra_hardware,
        vajra_llm,
        vajra_prayers,
        vajra_sessions,
        vajra_visuals,
    )
    for resource in resources:
        app.add_routes(resource.routes())
    documents.install(app, resources)
    app.add_routes([web.get(path, serve_socket) for path in SOCKETS])
    return app


@web.middleware
def front(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
    """Sockets go straight to their handler (no coroutine stays behind for each open one), the rest through ``_served``."""
    return handler(request) if request.path in SOCKETS else _served(request, handler)


async def dress(request: web.Request, response: web.StreamResponse) -> None:
    """The headers that every response has. Not of an upgrade: there is nothing for a browser to show."""
    response_headers.secure(response.headers)
    if response.status == 101:
        return
    if _ID in request:
        response.headers["X-Request-ID"] = request[_ID]
    response_headers.allow_origin(request, response, request.app[ORIGINS])
    if request.secure or client(request).scheme == "https":
        response_headers.be_strict_about_transport(response.headers, host_of(request))


async def _served(request: web.Request, handler: Handler) -> web.StreamResponse:
    request[_ID] = request_id_of(request)
    token = current_request.set(request[_ID])
    try:
        response = await metrics.watched(request, handler, _guarded)
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
    except UnsupportedEncoding as failure:
        return problem_response(415, error_body(failure))
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
    if not host_is_ours(request):
        return misdirected(request)
    if not origins.allows(request.headers.get("Origin"), host_of(request)):
        raise Forbidden("this origin is not allowed")
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204)
    if gateway.draining and request.path != "/metrics":  # which says how far the drain is
        raise Draining("the server is going away")
    if _STRANGE.search(request.path) or _STRANGE.search(request.query_string):
        raise BadRequest("the address has characters that no name here has")
    if request.path != eustress_stream.PATH:  # whose body has no bound: it is made plain as it comes
        await decode_body(request, gateway.settings.request_body_bytes)
    return await handler(request)


HOST_SHOWN: Final = 100


def misdirected(request: web.Request) -> web.Response:
    """421: a Host that is not ours (a rebound DNS name, say)."""
    if not host_of(request):
        return problem(BadRequest("the request has no Host"))
    message = f"this server is not {host_of(request)[:HOST_SHOWN]}; SANGHA_PUBLIC_URLS names what it is"
    return problem_response(421, {"code": "bad_request", "message": message, "retryable": False})


def _may_be_local(request: web.Request) -> bool:
    """Whether a socket may be the local user's, of an Origin that is allowed already."""
    try:
        return is_local(request)
    except Forbidden:
        return False


async def serve_socket(request: web.Request) -> web.StreamResponse:
    """The upgrade, and the socket until it ends."""
    gateway, origins = gateway_of(request), request.app[ORIGINS]
    if not host_is_ours(request):
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
    address = address_of(request)
    full = gateway.address_is_full(address)
    connection = Connection(gateway, ws, transport, address)
    connection.trace = request.headers.get("traceparent") if gateway.tracer is not None else None
    gateway.opened(connection)
    try:
        if full:
            connection.close(TOO_MANY, "too many sockets from this address")
        elif not origins.allows(request.headers.get("Origin"), host_of(request)):
            connection.close(FORBIDDEN_ORIGIN, "this origin is not allowed")
        await connection.run(bearer(request), local=_may_be_local(request), path=request.path)
    finally:
        gateway.closed(connection)
        ws.gone()
    return ws

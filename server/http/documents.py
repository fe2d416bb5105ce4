"""``/openapi.json`` and its two readers: Swagger UI at ``/docs``, ReDoc at ``/redoc``.

The document is of what this very application routes, with this server's settings, made when it is first asked for. The
readers' files come from the package ``fastapi-offline`` (MIT), which is not imported, only looked into: both bundles and
the style sheet, 2.8 MB, current, with FastAPI and Starlette beside them (1.2 MB). Rejected: ``drf-spectacular-sidecar`` (as
current, but 9.6 MB with source maps, and Django), ``aiohttp-swagger3`` (older bundles, and a validator of its own), a CDN
(everybody who reads would be known to it). Nothing is loaded from elsewhere: the only address in the bundles that a browser
would ask by itself, ReDoc's logo, is taken out.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec
import orjson
from aiohttp import web

from actors.runtime.errors import NotFound
from server import openapi
from server.http import pages
from server.http.api import routes_of
from server.http.context import gateway_of
from server.http.contract import Example, Operation
from server.openapi import Recorded

TAG: Final = "Operations"
ASSETS: Final = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "redoc.standalone.js": "text/javascript",
}
REDOCS_LOGO: Final = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
NOTHING: Final = b"data:,"
"""In its place: no image, so ReDoc shows none."""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; object-src 'none'; "
)
SWAGGER_POLICY: Final = _POLICY + "style-src 'self'"
REDOC_POLICY: Final = _POLICY + "style-src 'self' 'unsafe-inline'; worker-src blob:"
"""ReDoc makes its styles in the page and its search index in a worker."""

DESCRIPTION: Final = """\
Everything that a client may ask over HTTP. What happens *in* a collective space (messages, presence, breath and pulse, group
rituals as they unfold) comes over a WebSocket at `/ws`, described in [asyncapi.json](/asyncapi.json).

- **Who asks**: `Authorization: Bearer TOKEN`, with the token of `register` or `login`.
- **Retries**: a request that changes something takes an `Idempotency-Key`; the same key again is the same request, and gets the
  same answer.
- **Errors** are problems (RFC 9457) with a `code` for programs, and with the paths of wrong fields in `errors`. An error changed
  nothing; after a `timeout` the outcome is unknown until the same request with the same key is answered.
- **Lists** page with `limit` and `before`, the id of the last one of the page before.

Read it in [Swagger UI](/docs), where requests can be tried, or in [ReDoc](/redoc).
"""
TAGS: Final = {
    "Accounts": "Who one is: registration, login, profile, and an end of it.",
    "Users": "Who one is: registration, login, profile, and an end of it.",
    "State": "One's own archetypal state, its history, and what the oracle says to it.",
    "Rituals": "The catalog, and what an author does.",
    "Runs": "Rituals that one ran, and what one says of them.",
    "Spaces": "Where practitioners meet.",
    "Group rituals": "Rituals of a space, at a server time. Also over the socket.",
    "Eustress lake": "Scenes as they are and as they were, snapshots, spaces and how they do.",
    "Eustress training": "Epochs: what a model may learn from.",
    "Eustress ingest": "What engines tell of their scenes: with a token of theirs (`sangha token --service eustress`).",
    "Vajra sessions": "Sound with an intention and an end, alone or with a space: everybody hears the same at the same moment.",
    "Vajra audio": "Sounds made on the spot: samples, files, spectra.",
    "Sky": "Where the Sun, the Moon and the planets are, apparent and of date; houses, hours and phases.",
    "Vajra visuals": "Figures and fields as SVG or PNG, from their address alone.",
    "Vajra hardware": "An amplifier, a crystal grid, a bass shaker; simulated where there are none.",
    "Vajra prayers": "A prayer wheel, malas of 108, dedications; prayers in our own words.",
    "Vajra texts": "What the oracle's language model writes on request, or one of our own texts.",
    "Operations": "For whoever runs the server.",
}
OPERATIONS_OF: Final[web.AppKey[tuple[Operation, ...]]] = web.AppKey("operations", tuple)
_recorded: Final = msgspec.json.Decoder(dict[str, Recorded])


class Packed(msgspec.Struct, frozen=True):
    """A body that is served often: plain, as gzip, and its entity tag."""

    media: str
    plain: bytes
    zipped: bytes
    tag: str


_packed: Final[dict[str, Packed]] = {}
"""Files of the package by name: three."""
_DOCUMENT: Final[web.AppKey[dict[str, Packed]]] = web.AppKey("openapi", dict)


def install(app: web.Application, resources: Iterable[Any]) -> None:
    """Serve the document of these modules' operations, and the readers."""
    declared = (operation for resource in resources for operation in getattr(resource, "OPERATIONS", ()))
    documented: tuple[Operation, ...] = (*declared, *OPERATIONS)
    app[OPERATIONS_OF] = documented
    app[_DOCUMENT] = {}
    app.add_routes(
        [
            *routes_of(OPERATIONS),
            web.get("/docs", swagger),
            web.get("/redoc", redoc),
            web.get("/docs/assets/{name}", asset),
        ]
    )


def recorded() -> Mapping[str, Recorded]:
    """The answers that a real server gave to the examples; a test holds them against one."""
    return _recorded.decode((files("server.http") / "examples.json").read_bytes())


def document_of(operations: Iterable[Operation], settings: Any) -> dict[str, Any]:
    """The OpenAPI document of a server."""
    return openapi.document(
        operations,
        settings,
        version=version("sangha"),
        description=DESCRIPTION,
        tags=TAGS,
        recorded=recorded(),
    )


async def openapi_json(request: web.Request) -> web.Response:
    """The document."""
    declared: tuple[Operation, ...] = request.app[OPERATIONS_OF]
    settings = gateway_of(request).settings

    def make() -> Packed:
        return pack("application/json", orjson.dumps(document_of(declared, settings)))

    return await serve(request, request.app[_DOCUMENT], "openapi.json", make)


async def swagger(request: web.Request) -> web.StreamResponse:
    """Swagger UI."""
    return _under(SWAGGER_POLICY, await pages.page(request, "docs/swagger.html"))


async def redoc(request: web.Request) -> web.StreamResponse:
    """ReDoc."""
    return _under(REDOC_POLICY, await pages.page(request, "docs/redoc.html"))


async def asset(request: web.Request) -> web.Response:
    """A file of the readers'."""
    name = request.match_info["name"]
    if name not in ASSETS:
        raise NotFound(f"there is no {name[:64]!r}")
    return await serve(request, _packed, name, lambda: _from_package(name))


def _under(policy: str, response: web.StreamResponse) -> web.StreamResponse:
    response.headers["Content-Security-Policy"] = policy
    return response


def _from_package(name: str) -> Packed:
    spec = find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise NotFound("fastapi-offline is not installed")
    data = (Path(spec.origin).parent / "static" / name).read_bytes()
    return pack(ASSETS[name], data.replace(REDOCS_LOGO, NOTHING))


def pack(media: str, data: bytes) -> Packed:
    """Ready to be served."""
    return Packed(media, data, gzip.compress(data, compresslevel=6, mtime=0), hashlib.sha256(data).hexdigest()[:32])


async def serve(request: web.Request, known: dict[str, Packed], name: str, make: Callable[[], Packed]) -> web.Response:
    """A packed body, made when it is first asked for, or 304 where the browser has it."""
    if name not in known:
        known[name] = await asyncio.to_thread(make)
    found = known[name]
    zipped = "gzip" in request.headers.get("Accept-Encoding", "")
    tag = found.tag + ("-gz" if zipped else "")
    headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"', "Vary": "Accept-Encoding"}
    if any(each.value in (tag, "*") for each in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    charset = "utf-8" if found.media.startswith("text/") else None
    body = found.zipped if zipped else found.plain
    return web.Response(body=body, headers=headers, content_type=found.media, charset=charset)


OPERATIONS: Final = (
    Operation(
        method="GET",
        path="/openapi.json",
        handler=openapi_json,
        summary="This document",
        tag=TAG,
        access="anyone",
        reply=dict[str, Any],
        examples=(Example(name="openapi"),),
    ),
)

"""What a browser is given: the page at ``/``, the operator's, the lake's and that of sound; ``server/web`` under ``/static/``.

A file is read when it is asked for and kept until it changes on disk, with its entity tag and, where it is text of some size,
its gzip form. Browsers ask every time (``no-cache``) and mostly hear 304. Served is what lies below ``server/web`` and has a type
that is known here: no directory, no hidden file, nothing outside, whatever the path says.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from actors.runtime.errors import NotFound

WEB: Final = (Path(__file__).resolve().parent.parent / "web").resolve()
TYPES: Final = {
    ".css": "text/css",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
"""By suffix. Written out, because what the machine's own table says of ``.js`` differs from machine to machine."""
PACKED: Final = frozenset({".png", ".woff2", ".ico"})
GZIP_FROM_BYTES: Final = 1024
"""Less fits into one packet anyhow."""
ROBOTS: Final = "User-agent: *\nAllow: /$\nDisallow: /\n"
"""The front page may be found; people's spaces and the API are nobody's to crawl."""


class Asset(msgspec.Struct, frozen=True):
    """A file as it is served."""

    version: tuple[int, int]
    """Of the file on disk: the time of its change in ns, its bytes."""
    media: str
    body: bytes
    packed: bytes | None
    tag: str


_assets: Final[dict[str, Asset]] = {}
"""By path; as many as there are files."""


def routes() -> list[web.RouteDef]:
    """What this module serves; ``/`` is ``operations.index``, which asks ``page``."""
    return [
        web.get("/operator", operator),
        web.get("/eustress", eustress),
        web.get("/audio", audio),
        web.get("/static/{path:.+}", static),
        web.get("/favicon.ico", favicon),
        web.get("/robots.txt", robots),
    ]


def wants_page(request: web.Request) -> bool:
    """Whether a browser's navigation asks, not a program."""
    return "text/html" in request.headers.get("Accept", "")


async def page(request: web.Request, path: str) -> web.Response:
    """A file of ``server/web``, or 304 where the browser has it. Raises NotFound."""
    asset = await _asset(path)
    zipped = asset.packed is not None and "gzip" in request.headers.get("Accept-Encoding", "")
    tag = asset.tag + ("-gz" if zipped else "")
    headers = {"Cache-Control": "no-cache", "ETag": f'"{tag}"', "Vary": "Accept, Accept-Encoding"}
    if any(known.value in (tag, "*") for known in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    charset = "utf-8" if asset.media.startswith("text/") else None
    body = asset.packed if zipped else asset.body
    return web.Response(body=body, headers=headers, content_type=asset.media, charset=charset)


async def operator(request: web.Request) -> web.Response:
    """The operator's view."""
    return await page(request, "operator.html")


async def eustress(request: web.Request) -> web.Response:
    """The lake's dashboard. Who may look is asked by what it asks for."""
    return await page(request, "eustress.html")


async def audio(request: web.Request) -> web.Response:
    """The page where sessions are made and heard. Who may is asked by what it asks for."""
    return await page(request, "audio.html")


async def static(request: web.Request) -> web.Response:
    """A file that a page loads."""
    return await page(request, request.match_info["path"])


async def favicon(request: web.Request) -> web.Response:
    """Browsers ask for it by this name, whatever the page says."""
    return await page(request, "app/mark.svg")


async def robots(request: web.Request) -> web.Response:
    """What crawlers may look at."""
    return web.Response(text=ROBOTS)


async def _asset(path: str) -> Asset:
    try:
        return await asyncio.to_thread(_read, path)
    except (OSError, ValueError):
        raise NotFound(f"there is no {path}") from None


def _read(path: str) -> Asset:
    """The file, from memory where it is the same still. Raises OSError, ValueError."""
    known, file = _assets.get(path), _file(path)
    status = file.stat()
    version = (status.st_mtime_ns, status.st_size)
    if known is not None and known.version == version:
        return known
    body = file.read_bytes()
    small = len(body) < GZIP_FROM_BYTES or file.suffix in PACKED
    packed = None if small else gzip.compress(body, mtime=0)
    tag = hashlib.sha256(body).hexdigest()[:32]
    asset = _assets[path] = Asset(version, TYPES[file.suffix], body, packed, tag)
    return asset


def _file(path: str) -> Path:
    """The file that a path means. Raises ValueError where it may mean none."""
    parts = path.split("/")
    file = WEB.joinpath(*parts)
    if any(not part or part.startswith(".") or "\\" in part for part in parts) or file.suffix not in TYPES:
        raise ValueError(path)
    if not file.resolve(strict=True).is_relative_to(WEB) or not file.is_file():
        raise ValueError(path)
    return file

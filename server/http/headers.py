"""Headers of every response: what a browser may do with it, who may read it, how long it may be kept.

A handler that set one of them knows better (a page that needs another policy, a file that may be cached). Set when the
response is prepared, so that streams and errors have them too.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from server.http.origins import Origins
from server.listening import is_loopback

CSP: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'"
)
SECURITY: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""``no-store`` unless the handler says otherwise: an answer of the API may be personal."""
HSTS: Final = "max-age=31536000"
"""A year, as browsers' own lists want it. Other names below the host are not ours to speak for."""
EXPOSED: Final = (
    "X-Request-ID, Retry-After, ETag, Location, Content-Disposition, WWW-Authenticate, Accept-Ranges, Content-Range"
)
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS: Final = "Authorization, Content-Type, Idempotency-Key, X-Request-ID, If-None-Match, Range, If-Range"
PREFLIGHT_LIFE_S: Final = 600


def secure(headers: CIMultiDict[str]) -> None:
    """What every response has, whoever asked."""
    headers["Server"] = "sangha"  # aiohttp would name itself and its version
    for name, value in SECURITY.items():
        headers.setdefault(name, value)


def be_strict_about_transport(headers: CIMultiDict[str], host: str) -> None:
    """For answers over TLS. Not for loopback names: it would bind every other server of this machine's developer."""
    if not is_loopback(host.rpartition(":")[0].strip("[]") or host):
        headers.setdefault("Strict-Transport-Security", HSTS)


def allow_origin(request: web.Request, response: web.StreamResponse, origins: Origins) -> None:
    """CORS. No credentials: a token comes in Authorization, and there is no cookie that a browser would add by itself."""
    if not origins.any_foreign:
        return
    _vary(response.headers, "Origin")
    origin = request.headers.get("Origin")
    if origin is None or not origins.is_foreign_but_allowed(origin):
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = EXPOSED
    if request.method != "OPTIONS":
        return
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_LIFE_S)
    if request.headers.get("Access-Control-Request-Private-Network") == "true":
        response.headers["Access-Control-Allow-Private-Network"] = "true"


def _vary(headers: CIMultiDict[str], name: str) -> None:
    known = [each.strip() for each in headers.get("Vary", "").split(",") if each.strip()]
    if name not in known and "*" not in known:
        headers["Vary"] = ", ".join([*known, name])

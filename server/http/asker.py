"""Who asks and what for, of one HTTP request: the client behind trusted proxies, the host that was asked.

Nothing else reads ``request.remote`` or ``request.host``: the first is a proxy's, and for the second aiohttp asks the resolver,
and with it the event loop waits, where a client leaves the header out.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from server.http.forwarded import Client, Trusted, client_of
from server.http.origins import Origins

TRUSTED: Final = web.AppKey("trusted", Trusted)
ORIGINS: Final = web.AppKey("origins", Origins)
_CLIENT: Final = web.RequestKey("client", Client)


def client(request: web.Request) -> Client:
    """Who asks."""
    known = request.get(_CLIENT)
    if known is None:
        headers: dict[str, list[str]] = {}
        for name, value in request.headers.items():
            headers.setdefault(name.lower(), []).append(value)
        known = request[_CLIENT] = client_of(request.remote or "", headers, request.app[TRUSTED])
    return known


def address_of(request: web.Request) -> str:
    """The client's address as limits count it."""
    return client(request).counted_as


def host_of(request: web.Request) -> str:
    """What the client asked for: ``Host``, or what a trusted proxy says that was. Empty where there is none."""
    return client(request).host or request.headers.get("Host") or ""


def host_is_ours(request: web.Request) -> bool:
    """Whether the request is meant for this server, in its header and, where it names one there too, in its target."""
    origins = request.app[ORIGINS]
    in_target = str(request.host) if not request.raw_path.startswith(("/", "*")) else None
    return all(origins.host_is_ours(name) for name in (host_of(request), in_target) if name is not None)

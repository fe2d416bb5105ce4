"""Which Host and Origin headers are ours. Pure.

A browser sends whatever page it shows to any address it is told; these two headers are what it does not let the page choose.
So a Host must be a loopback name or a public name of this server (or a page could rebind its own name to our address), and
an Origin, where there is one, the very server that answers, one of its public URLs, or one that the settings allow.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit


class Origins:
    """The rules of one server."""

    def __init__(self, public_urls: Iterable[str], allowed_origins: Iterable[str]) -> None:
        self._public = frozenset(map(_origin, public_urls))
        self._public_hosts = frozenset((urlsplit(url).hostname or "") for url in public_urls)
        self._allowed = frozenset(map(_origin, allowed_origins))

    def host_is_ours(self, host: str) -> bool:
        """Whether the Host header names this server."""
        name = _hostname(host)
        return is_loopback(name) or name in self._public_hosts

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a request with this Origin may be served. None is not a browser's cross-origin request."""
        if origin is None:
            return True
        given = _origin(origin)
        return given in self._public or given in self._allowed or self._is_this_server(given, host)

    def is_foreign_but_allowed(self, origin: str) -> bool:
        """Whether the settings allow an origin that is not the server's own: it needs CORS headers."""
        return _origin(origin) in self._allowed

    @staticmethod
    def _is_this_server(origin: str, host: str) -> bool:
        """A page of a loopback name and the port that was asked: names of one machine may differ, ports may not."""
        try:
            page, asked = urlsplit(origin), urlsplit(f"//{host}")
            same_port = _port(page.scheme, page.port) == _port(page.scheme, asked.port)
        except ValueError:
            return False
        loopback = is_loopback(page.hostname or "") and is_loopback(asked.hostname or "")
        return page.scheme in ("http", "https") and loopback and same_port


def is_loopback(name: str) -> bool:
    """Whether a host name means this machine for every resolver."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _origin(url: str) -> str:
    return url.rstrip("/").lower()


def _port(scheme: str, port: int | None) -> int | None:
    return port or {"http": 80, "https": 443}.get(scheme)

"""Which Host and Origin headers are ours. Pure.

A browser sends whatever page it shows to any address it is told; these two headers are what it does not let the page choose.
So a Host must be a loopback name or a public name of this server (or a page could rebind its own name to our address), and
an Origin, where there is one, the very server that answers, one of its public URLs, or one that the settings allow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from server.listening import is_loopback

LOCAL_ORIGINS: Final = tuple(
    f"http://{host}:{port}" for host in ("localhost", "127.0.0.1") for port in (3000, 3009, 5173)
)
"""Where the development servers of Vajra.Stream's front ends are (the seed's BACKEND_CORS_ORIGINS, and the published one's
3009): welcome by default where there is a local user, whose pages need no login."""

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s\[\]:/?#@\\]+)(?::[0-9]{0,5})?")
"""Stricter than a URL's authority: no user, no blanks. What is let through here is compared, and must have one meaning."""


class Origins:
    """The rules of one server."""

    def __init__(self, public_urls: Iterable[str], allowed_origins: Iterable[str]) -> None:
        public_urls = tuple(public_urls)
        self._public = frozenset(map(_origin, public_urls))
        self._public_hosts = frozenset(_plain(urlsplit(url).hostname or "") for url in public_urls)
        self._allowed = frozenset(map(_origin, allowed_origins))

    def host_is_ours(self, host: str) -> bool:
        """Whether the Host header names this server."""
        name = hostname(host)
        return name != "" and (is_loopback(name) or name in self._public_hosts)

    def allows(self, origin: str | None, host: str) -> bool:
        """Whether a request with this Origin may be served. None is not a browser's cross-origin request."""
        if origin is None:
            return True
        given = _origin(origin)
        return given in self._public or given in self._allowed or self._is_this_server(given, host)

    @property
    def any_foreign(self) -> bool:
        """Whether answers may differ by Origin, which caches must know."""
        return bool(self._allowed)

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


def hostname(host: str) -> str:
    """The name in a Host header, in lower case and without its port; empty where it is none."""
    found = _HOST.fullmatch(host)
    return "" if found is None or ".." in host else _plain(found[1].strip("[]"))


def _plain(name: str) -> str:
    """Names are alike in any case, and with the dot of the root or without."""
    return name.lower().removesuffix(".")


def _origin(url: str) -> str:
    return url.rstrip("/").lower()


def _port(scheme: str, port: int | None) -> int | None:
    return port or {"http": 80, "https": 443}.get(scheme)

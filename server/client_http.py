"""What a client asks over HTTP: the server's addresses, an account, a login, an archetypal state."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from ssl import SSLContext
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import httpx
import orjson

from server.client_events import ConnectionLost, error_of

TIMEOUT_S: Final = 30.0
"""An account costs the server a hash, and many may come at once."""


def ws_url(url: str) -> str:
    """The WebSocket address of a server given as http(s) or ws(s) URL, with or without a path (default ``/ws``)."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return urlunsplit((scheme, parts.netloc, "/ws" if parts.path in ("", "/") else parts.path, parts.query, ""))


def http_url(url: str) -> str:
    """The HTTP root of a server given in the same ways."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    return urlunsplit(({"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme), parts.netloc, "", "", ""))


async def register(
    url: str, email: str, password: str, *, verify: SSLContext | bool = True, **profile: Any
) -> dict[str, Any]:
    """Create an account: ``{token, expires_at, practitioner}``. ``profile``: spiritual_name, privacy_level, …

    Raises Conflict where the email is taken, Invalid with the fields that were wrong.
    """
    body = {"email": email, "password": password, **profile}
    return await _ask(url, "POST", "/api/users/register", body, verify)


async def login(url: str, email: str, password: str, *, verify: SSLContext | bool = True) -> dict[str, Any]:
    """A token for an account: ``{token, expires_at, practitioner}``. Raises Unauthenticated, RateLimited."""
    return await _ask(url, "POST", "/api/users/login", {"email": email, "password": password}, verify)


async def put_archetypal_state(
    url: str, token: str, state: Mapping[str, Any], *, verify: SSLContext | bool = True
) -> dict[str, Any]:
    """Replace the whole archetypal state; the state as it is now. Raises Invalid, Conflict while a ritual is under way."""
    return await _ask(url, "PUT", "/api/users/archetypal_state", state, verify, token)


async def _ask(
    url: str, method: str, path: str, body: Mapping[str, Any], verify: SSLContext | bool, token: str | None = None
) -> dict[str, Any]:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx.AsyncClient(base_url=http_url(url), verify=verify, timeout=TIMEOUT_S) as http:
        try:
            reply = await http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as failure:
            raise ConnectionLost(f"{http_url(url)} cannot be reached: {failure}") from failure
    answer = orjson.loads(reply.content or b"{}")
    if reply.is_error:
        code, detail = answer.get("code", "internal"), answer.get("detail", reply.reason_phrase)
        raise error_of(code, detail, answer.get("errors") or ())
    result: dict[str, Any] = answer
    return result

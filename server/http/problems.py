"""Errors as RFC 9457 problems: the one map from error codes to HTTP statuses."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from actors.runtime.errors import SanghaError
from server.ws.protocol import error_body

STATUS: Final = {
    "bad_request": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "conflict": 409,
    "full": 409,
    "too_large": 413,
    "invalid": 422,
    "ritual_failed": 422,
    "ritual_rejected": 422,
    "rate_limited": 429,
    "internal": 500,
    "storage_unavailable": 503,
    "actor_unavailable": 503,
    "draining": 503,
    "timeout": 504,
}
RETRY_AFTER_S: Final = 1
"""Where the error itself knows no better."""


def problem(failure: SanghaError) -> web.Response:
    """The response to an error."""
    return problem_response(STATUS[failure.code], error_body(failure), failure)


def problem_response(status: int, body: dict[str, Any], failure: SanghaError | None = None) -> web.Response:
    """``body`` is ``{code, message, retryable, errors?}``."""
    detail = body.pop("message")
    document = {
        "type": f"urn:sangha:error:{body['code']}",
        "title": body["code"].replace("_", " "),
        "status": status,
        "detail": detail,
        "error": detail,  # the name under which some of the seeds' clients read it
        **body,
    }
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(
            max(1, round((failure.retry_after_s if failure is not None else None) or RETRY_AFTER_S))
        )
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=status, body=orjson.dumps(document), headers=headers, content_type="application/problem+json"
    )

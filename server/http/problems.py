"""Errors as RFC 9457 problems."""

from __future__ import annotations

from typing import Any, Final

import orjson
from aiohttp import web

from actors.runtime.errors import SanghaError
from server.http.contract import STATUS, WITH_RETRY_AFTER, problem_of
from server.ws.protocol import error_body

__all__ = ["STATUS", "problem", "problem_response"]

RETRY_AFTER_S: Final = 1
"""Where the error itself knows no better."""


def problem(failure: SanghaError) -> web.Response:
    """The response to an error."""
    return problem_response(STATUS[failure.code], error_body(failure), failure)


def problem_response(status: int, body: dict[str, Any], failure: SanghaError | None = None) -> web.Response:
    """``body`` is ``{code, message, retryable, errors?}``."""
    detail = body.pop("message")
    document = problem_of(status, body["code"], detail, body["retryable"]) | body
    headers = {}
    if status in WITH_RETRY_AFTER:
        headers["Retry-After"] = str(
            max(1, round((failure.retry_after_s if failure is not None else None) or RETRY_AFTER_S))
        )
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return web.Response(
        status=status, body=orjson.dumps(document), headers=headers, content_type="application/problem+json"
    )

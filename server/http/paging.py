"""What lists have in common: ``limit`` and ``before`` of the query, and rows of storage as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
from aiohttp import web

from actors.runtime.codec import invalid
from server.http.context import gateway_of, json_response
from server.ws import protocol

LIMIT: Final = 50
TEXT_MAX: Final = 200
"""Characters of a filter: nothing that is searched for is longer."""

T = TypeVar("T", bound=str)


def page_of(request: web.Request) -> tuple[int, str | None]:
    """``limit`` and ``before``, the id of the last row of the page before. Raises Invalid."""
    return limit_of(request), uuid_in(request, "before")


def limit_of(request: web.Request) -> int:
    """How many rows are asked for. Raises Invalid."""
    most, given = gateway_of(request).settings.history_page, request.query.get("limit")
    if given is None:
        return min(LIMIT, most)
    if not (is_number(given) and 1 <= int(given) <= most):
        raise invalid("limit", f"from 1 to {most}")
    return int(given)


def is_number(text: str) -> bool:
    """Whether a text is digits that an integer of the database holds."""
    return text.isascii() and text.isdigit() and len(text) < 10


def uuid_in(request: web.Request, name: str) -> str | None:
    """An id of the query. Raises Invalid."""
    given = request.query.get(name, "").lower()
    if given and not protocol.UUID.fullmatch(given):
        raise invalid(name, "must be an id (a UUID)")
    return given or None


def text_in(request: web.Request, name: str) -> str | None:
    """A text of the query. Raises Invalid."""
    given = request.query.get(name, "")
    if len(given) > TEXT_MAX or "\0" in given:
        raise invalid(name, f"at most {TEXT_MAX} characters, and no U+0000")
    return given or None


def one_in(request: web.Request, name: str, allowed: tuple[T, ...]) -> T | None:
    """One of some words of the query. Raises Invalid."""
    given = request.query.get(name, "")
    for word in allowed:
        if word == given:
            return word
    if given:
        raise invalid(name, f"one of {', '.join(allowed)}")
    return None


def flag_in(request: web.Request, name: str) -> bool:
    """Whether a flag of the query is set. Raises Invalid."""
    return one_in(request, name, ("true", "false", "1", "0")) in ("true", "1")


def rows_response(rows: Any) -> web.Response:
    """A row of storage, or a list of them: numbers as numbers, times with a Z."""
    return json_response(orjson.dumps(rows, default=_plain, option=orjson.OPT_UTC_Z))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value))

"""What lists have in common: ``limit`` and ``before`` of the query, and rows of storage as JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from server.http.context import gateway_of, json_response
from server.http.contract import UuidText, at_most

LIMIT: Final = 50
TEXT_MAX: Final = 200
"""Characters of a filter: nothing that is searched for is longer."""

Limit = Annotated[int, Meta(description="how many at most"), at_most("history_page", ge=1)]
Filter = Annotated[str, Meta(max_length=TEXT_MAX, pattern=r"^[^\x00]*$")]


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows of a list."""

    limit: Limit = LIMIT


class Page(Rows, frozen=True, kw_only=True):
    """A page of a list."""

    before: Annotated[UuidText | UnsetType, Meta(description="the id of the last one of the page before")] = UNSET


def limit_of(request: web.Request, query: Rows) -> int:
    """How many rows are asked for: what was given is within the setting, the default may not be."""
    return min(query.limit, gateway_of(request).settings.history_page)


def page_of(request: web.Request, query: Page) -> tuple[int, str | None]:
    """``limit`` and ``before``."""
    return limit_of(request, query), id_in(query.before)


def id_in(given: str | UnsetType) -> str | None:
    """An id as storage has it."""
    return given.lower() if isinstance(given, str) else None


def text_in(given: str | UnsetType) -> str | None:
    """A filter, where there is one."""
    return given if isinstance(given, str) else None


def rows_response(rows: Any) -> web.Response:
    """A row of storage, or a list of them: numbers as numbers, times with a Z."""
    return json_response(orjson.dumps(rows, default=_plain, option=orjson.OPT_UTC_Z))


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value))

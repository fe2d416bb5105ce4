"""How a handler gets at what its operation's types say: routes, the body, the query, a command made of them.

The types and ``Operation`` itself are ``contract``'s. What a client sends beside the fields of a body's type is ignored, and an
unknown parameter of the query too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web
from msgspec import UNSET

from actors.runtime.codec import field_error, from_wire, invalid
from server.http.context import gateway_of, json_body
from server.http.contract import JSON, MAXIMUM_SETTING, UUID_PATH, Access, Example, Handler, Operation

__all__ = ["JSON", "Access", "Example", "Handler", "Operation", "body_from", "body_of", "command_of", "given_in"]
__all__ += ["query_of", "routes_of"]

T = TypeVar("T", bound=msgspec.Struct)
C = TypeVar("C")

SEGMENT: Final = "[^/]+"
"""Of a path. aiohttp's own has no braces, and the name of a Eustress space may."""
_NUMBERS: Final = (msgspec.inspect.IntType, msgspec.inspect.FloatType, msgspec.inspect.BoolType)
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LISTS: Final = (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)


class _Fields(msgspec.Struct, frozen=True):
    """What is computed from a type, once: names of fields as they are sent."""

    names: frozenset[str]
    lists: frozenset[str]
    numbers: frozenset[str]
    times: frozenset[str]
    settings: tuple[tuple[str, str], ...]
    """Fields whose greatest value is a setting, and the setting."""


def routes_of(operations: Iterable[Operation]) -> list[web.RouteDef]:
    """As the router takes them. A parameter that is a UUID matches nothing else, so that no other name of a path is taken for
    one: ``PATCH /api/rituals/catalog`` is a method that is not allowed, not a ritual that is not there."""
    return [web.route(operation.method, _routed(operation), operation.handler) for operation in operations]


def _routed(operation: Operation) -> str:
    parts = operation.path.split("/")
    return "/".join(
        f"{{{part[1:-1]}:{SEGMENT if part[1:-1] in operation.params else UUID_PATH}}}" if part.startswith("{") else part
        for part in parts
    )


async def body_of(request: web.Request, type_: type[T]) -> T:
    """The JSON body as its type. Raises BadRequest, Invalid (with the path of the wrong field), TooLarge."""
    return body_from(request, await json_body(request), type_)


def body_from(request: web.Request, body: Mapping[str, Any], type_: type[T]) -> T:
    """The same of a body that was read already. Raises Invalid."""
    return _within(request, _converted(body, type_, strict=True))


def query_of(request: web.Request, type_: type[T]) -> T:
    """The query's parameters as their type. Raises Invalid.

    Numbers and flags are read from text, a repeated parameter is an array where the type says so; an empty text is none, but
    not among an array's.
    """
    known, query = _fields_of(type_), request.query
    given = {
        name: query.getall(name) if name in known.lists else query[name]
        for name in set(query)
        if query[name] or name in known.numbers or name in known.lists
    }
    for name in known.names - known.lists:
        if len(query.getall(name, ())) > 1:  # to take one of them would answer another question
            raise invalid(name, "given more than once")
    for name in known.times.intersection(given):
        if not _DATE.match(query[name]):  # msgspec would read a number as seconds since 1970, which no document says
            raise invalid(name, "must be a time, such as `2026-01-01T12:00:00Z`")
    return _within(request, _converted(given, type_, strict=False))


def given_in(value: msgspec.Struct) -> dict[str, Any]:
    """The fields that were given, by name."""
    return {name: found for name in value.__struct_fields__ if (found := getattr(value, name)) is not UNSET}


def command_of(type_: type[C], body: msgspec.Struct, **also: Any) -> C:
    """A command of the fields of a body that it knows, and of others. Raises Invalid."""
    known = {field.name for field in msgspec.structs.fields(type_)}  # type: ignore[arg-type]
    return from_wire(type_, {name: value for name, value in (given_in(body) | also).items() if name in known})


@lru_cache(maxsize=256)  # as many types as there are operations
def _fields_of(type_: type[msgspec.Struct]) -> _Fields:
    kinds = {field.encode_name: _kinds(field.type) for field in msgspec.structs.fields(type_)}
    settings = tuple(
        (name, (kind.extra_json_schema or {})[MAXIMUM_SETTING])
        for name, found in kinds.items()
        for kind in found
        if isinstance(kind, msgspec.inspect.Metadata) and MAXIMUM_SETTING in (kind.extra_json_schema or {})
    )
    times = _having(kinds, (msgspec.inspect.DateTimeType,))
    return _Fields(frozenset(kinds), _having(kinds, _LISTS), _having(kinds, _NUMBERS), times, settings)


def _having(kinds: Mapping[str, list[Any]], wanted: tuple[type, ...]) -> frozenset[str]:
    return frozenset(name for name, found in kinds.items() if any(isinstance(kind, wanted) for kind in found))


def _kinds(annotation: Any) -> list[Any]:
    """The types that a field may have, and what is said beside them."""
    found, waiting = [], [msgspec.inspect.type_info(annotation)]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        if isinstance(kind, msgspec.inspect.Metadata):
            waiting.append(kind.type)
        elif isinstance(kind, msgspec.inspect.UnionType):
            waiting += kind.types
    return found


def _within(request: web.Request, value: T) -> T:
    """The same value. Raises Invalid where a number exceeds the setting that bounds it."""
    for name, setting in _fields_of(type(value)).settings:
        given, most = getattr(value, name), getattr(gateway_of(request).settings, setting)
        if isinstance(given, int | float) and given > most:
            raise invalid(name, f"at most {most}")
    return value


def _converted(value: Any, type_: type[T], *, strict: bool) -> T:
    try:
        converted = msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as failure:
        wrong = field_error(failure, type_)
        raise invalid(wrong.path, wrong.message) from None
    if _fields_of(type_).times:
        _check_times(converted)
    return converted


def _check_times(value: msgspec.Struct) -> None:
    """Raises Invalid for what is no time in UTC, such as the last hour of the year 9999 west of Greenwich."""
    for field in msgspec.structs.fields(value):
        time = getattr(value, field.name)
        try:
            if isinstance(time, datetime):
                time.astimezone(UTC)
        except OverflowError:
            raise invalid(field.encode_name, "before the year 1 or after 9999, in UTC") from None

"""How an HTTP operation is declared: path, handler, who may ask, the types that its query and body are validated by.

The router and the OpenAPI document are both made of these declarations, so neither can say what the other does not. A type
is a ``msgspec.Struct`` whose annotations carry every bound that a stranger can run into; what a client sends beside the fields
of a body's type is ignored, an unknown parameter of the query too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Literal, TypeVar

import msgspec
from aiohttp import web

from actors.runtime.codec import field_error, invalid
from server.http.context import json_body

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Access = Literal["anyone", "viewer", "practitioner", "admin"]
"""``viewer``: with a login more is seen, without one what is public. ``practitioner``: a login is needed."""

T = TypeVar("T", bound=msgspec.Struct)

JSON: Final = "application/json"


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A request that works, as the documents show it and a test sends it. Names in braces are earlier examples' answers."""

    name: str
    path: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any = None
    note: str = ""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One request that the server answers."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    """With parameters in braces, as aiohttp and OpenAPI both write them."""
    handler: Handler
    summary: str
    tag: str
    description: str = ""
    access: Access = "practitioner"
    body: Any = None
    """The type of the JSON body, or None where there is none."""
    query: Any = None
    """The type of the query's parameters, or None."""
    reply: Any = None
    """The type of the JSON answer; None is an empty 204, or what ``media`` says."""
    status: int = 200
    media: str = JSON
    errors: tuple[str, ...] = ()
    """Codes of ``problems.STATUS`` that this operation answers with, beyond those that ``access`` and a body imply."""
    examples: tuple[Example, ...] = ()

    def route(self) -> web.RouteDef:
        """As the router takes it."""
        return web.route(self.method, self.path, self.handler)


def routes_of(operations: Iterable[Operation]) -> list[web.RouteDef]:
    """As the router takes them."""
    return [operation.route() for operation in operations]


async def body_of(request: web.Request, type_: type[T]) -> T:
    """The JSON body as its type. Raises BadRequest, Invalid (with the path of the wrong field), TooLarge."""
    return _converted(await json_body(request), type_, strict=True)


def query_of(request: web.Request, type_: type[T]) -> T:
    """The query's parameters as their type; numbers and flags are read from text, a repeated parameter is an array where
    the type says so. Raises Invalid."""
    lists = {field.encode_name for field in msgspec.structs.fields(type_) if _is_list(field.type)}
    given = {name: request.query.getall(name) if name in lists else request.query[name] for name in set(request.query)}
    return _converted(given, type_, strict=False)


def _is_list(annotation: Any) -> bool:
    kinds = getattr(msgspec.inspect.type_info(annotation), "types", None) or (msgspec.inspect.type_info(annotation),)
    return any(isinstance(kind, (msgspec.inspect.ListType, msgspec.inspect.VarTupleType)) for kind in kinds)


def _converted(value: Any, type_: type[T], *, strict: bool) -> T:
    try:
        return msgspec.convert(value, type_, strict=strict)
    except msgspec.ValidationError as failure:
        wrong = field_error(failure)
        raise invalid(wrong.path, wrong.message) from None

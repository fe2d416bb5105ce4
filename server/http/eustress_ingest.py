"""``/eustress/ingest``: what engines tell of their scenes. Answered when it is committed.

The items go on as the bytes that came: here nothing is looked at but the space's name. They are decoded, checked and applied in
the space's own process, all or nothing. What belongs together comes as one batch, what is long as a stream (``eustress_stream``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
import orjson
from aiohttp import web
from msgspec import UNSET

from actors.eustress import commands as c
from actors.eustress import values
from actors.eustress.replies import Ingested
from actors.runtime.codec import field_error, has_nul, invalid
from actors.runtime.entity import Address, Caller
from actors.runtime.errors import BadRequest, Conflict, FieldError, SanghaError
from actors.runtime.link import ONCE
from actors.runtime.operations import REUSED
from server.http.api import Example, Operation, query_of, routes_of
from server.http.context import ask, gateway_of, idempotency_key, json_response, operation_of
from server.http.contract import ENTITY
from server.http.eustress_bodies import (
    BatchBody,
    BatchEnvelope,
    BatchQuery,
    ConnectionBody,
    ConnectionEnvelope,
    ConnectionQuery,
    EntityBody,
    EntityEnvelope,
    EntityQuery,
    Envelope,
    ParameterBody,
    SpaceName,
)
from server.service import engine_of
from server.ws.protocol import nul_path

TAG: Final = "Eustress ingest"
KIND: Final = "eustress"
MENDED: Final = ("conflict", "full", "too_large")
E = TypeVar("E", bound=msgspec.Struct)


def routes() -> list[web.RouteDef]:
    """What this module serves."""
    return routes_of(OPERATIONS)


# --- one item ---------------------------------------------------------------------------------------------------------


async def entity(request: web.Request) -> web.Response:
    """An entity."""
    caller = await engine_of(request)
    body = await _envelope(request, EntityEnvelope)
    command = c.Ingest(items=b'{"entities":[' + bytes(body.entity) + b"]}", what="entity")
    return await ingested(request, caller, body.space_name, command, named=("entities.0", "entity"))


async def connection(request: web.Request) -> web.Response:
    """A connection."""
    caller = await engine_of(request)
    body = await _envelope(request, ConnectionEnvelope)
    command = c.Ingest(items=b'{"connections":[' + bytes(body.connection) + b"]}", what="connection")
    return await ingested(request, caller, body.space_name, command, named=("connections.0", "connection"))


async def parameter(request: web.Request) -> web.Response:
    """One parameter of an entity."""
    caller = await engine_of(request)
    data = await text_of(request)
    body = _decoded(data, Envelope)
    command = c.Ingest(items=b'{"parameters":[' + data + b"]}", what="parameter")
    return await ingested(request, caller, body.space_name, command, named=("parameters.0", ""))


async def remove_entity(request: web.Request) -> web.Response:
    """An entity is no longer there, nor are its connections."""
    caller, query = await engine_of(request), query_of(request, EntityQuery)
    command = c.Ingest(items=orjson.dumps({"removed_entities": [query.id]}), what="entity")
    named = ("removed_entities.0", "id")
    return await ingested(request, caller, query.space, command, named=named, message="Entity removed")


async def remove_connection(request: web.Request) -> web.Response:
    """A connection is no longer there."""
    caller, query = await engine_of(request), query_of(request, ConnectionQuery)
    key = {"source_id": query.source_id, "target_id": query.target_id, "connection_type": query.connection_type}
    command = c.Ingest(items=orjson.dumps({"removed_connections": [key]}), what="connection")
    named = ("removed_connections.0", "")
    return await ingested(request, caller, query.space, command, named=named, message="Connection removed")


# --- many -------------------------------------------------------------------------------------------------------------


async def batch(request: web.Request) -> web.Response:
    """Many items at once: all of them, or with ``report=items`` all that are right."""
    caller, query = await engine_of(request), query_of(request, BatchQuery)
    data = await text_of(request)
    body = _decoded(data, BatchEnvelope)
    command = c.Ingest(items=data, per_item=query.report is not UNSET)
    try:
        return await ingested(request, caller, body.space_name, command, operation=_numbered(body))
    except Conflict as failure:
        if failure.message != REUSED or body.source is UNSET:
            raise
        why = f"sequence {body.sequence} of source {body.source!r} was used for another batch, or is too old to tell"
        raise Conflict(why, (FieldError(path="sequence", message="was used for another batch"),)) from None


def _numbered(body: BatchEnvelope) -> str | None:
    """The operation of a batch that has a number. Raises Invalid where only half of it is there."""
    if body.source is UNSET and body.sequence is UNSET:
        return None
    if body.source is UNSET or body.sequence is UNSET:
        raise invalid("source" if body.source is UNSET else "sequence", "source and sequence go together")
    return f"eb-{body.source}:{body.sequence}"  # so never a session's, which is a UUID


async def snapshot(request: web.Request) -> web.Response:
    """A snapshot by hand."""
    caller = await engine_of(request)
    space = named_in_path(request, "space", values.SpaceName)
    await gateway_of(request).rooms.check(space)
    operation = _operation(request, caller)
    return json_response(await ask(request, Address(KIND, space), c.encode(c.TakeSnapshot()), caller, operation))


# --- what they share --------------------------------------------------------------------------------------------------


def named_in_path(request: web.Request, what: str, type_: Any) -> str:
    """What the path names, of a type of texts. Raises Invalid."""
    try:
        name: str = msgspec.convert(request.match_info[what], type_)
    except msgspec.ValidationError as failure:
        raise invalid(what, field_error(failure).message) from None
    return name


async def text_of(request: web.Request) -> bytes:
    """The body, in which no string has U+0000. Raises Invalid, TooLarge."""
    data = await request.read()
    if b"\\u0000" in data and has_nul(data):
        raise invalid(_of_nul(data), "contains U+0000, which cannot be stored")
    return data


def _of_nul(data: bytes) -> str:
    try:
        return nul_path(orjson.loads(data))
    except orjson.JSONDecodeError as failure:
        raise BadRequest(f"the body is not JSON: {failure}") from None


async def _envelope(request: web.Request, type_: type[E]) -> E:
    return _decoded(await text_of(request), type_)


def _decoded(data: bytes, type_: type[E]) -> E:
    """What is looked at of a body. Raises BadRequest, Invalid."""
    try:
        decoded: E = _decoders[type_](data)
    except msgspec.ValidationError as failure:
        wrong = field_error(failure)
        message = wrong.message if wrong.path else "the body must be a JSON object"
        raise invalid(wrong.path, message) from None
    except msgspec.DecodeError as failure:
        raise BadRequest(f"the body is not JSON: {_why(data, failure)}") from None
    except RecursionError:
        raise invalid("", "nested too deeply") from None
    return decoded


def _why(data: bytes, failure: msgspec.DecodeError) -> str:
    """What is wrong with a JSON text. orjson names a lone surrogate, of which msgspec says that the text was cut off."""
    why = str(failure)
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError as other:
        why = str(other)
    return f"{why}; NaN and Infinity are no JSON" if b"NaN" in data or b"Infinity" in data else why


_decoders: Final[dict[Any, Callable[[bytes], Any]]] = {
    type_: msgspec.json.Decoder(type_).decode for type_ in (Envelope, EntityEnvelope, ConnectionEnvelope, BatchEnvelope)
}


def _operation(request: web.Request, caller: Caller) -> str:
    return operation_of(caller.practitioner, idempotency_key(request)) or ONCE


async def ingested(
    request: web.Request,
    caller: Caller,
    space: str,
    command: c.Ingest,
    *,
    named: tuple[str, str] | None = None,
    operation: str | None = None,
    message: str | None = None,
) -> web.Response:
    """What the space answers. ``named``: the path of the one item as the space has it, and as the request had it."""
    keyed = _operation(request, caller)  # a key that is none is refused, also where another name counts
    operation = operation or keyed
    try:
        async with gateway_of(request).rooms.entering(space):
            reply = await ask(request, Address(KIND, space), c.encode(command), caller, operation)
    except SanghaError as failure:
        if named is None or not failure.errors:
            raise
        raise _renamed(failure, *named) from None
    gateway_of(request).measures.ingested(command.what, reply)
    if named is not None:
        reply = _reply_renamed(reply, *named, message)
    return json_response(reply)


def _renamed(failure: SanghaError, theirs: str, ours: str) -> SanghaError:
    errors = tuple(FieldError(path=_path(each.path, theirs, ours), message=each.message) for each in failure.errors)
    where, colon, what = failure.message.partition(": ")
    if not colon or (path := _path(where, theirs, ours)) == where:
        return type(failure)(failure.message, errors)
    return type(failure)(f"{path}: {what}" if path else what, errors)


def _path(path: str, theirs: str, ours: str) -> str:
    if path == theirs:
        return ours
    if path.startswith(f"{theirs}."):
        return f"{ours}.{path[len(theirs) + 1 :]}".lstrip(".")
    return path


def _reply_renamed(reply: bytes, theirs: str, ours: str, message: str | None) -> bytes:
    if message is None and b'"warning_count":0' in reply:
        return reply
    value = orjson.loads(reply)
    for warning in value["warnings"]:
        warning["path"] = _path(warning["path"], theirs, ours)
    if message is not None:
        value["message"] = message
    return orjson.dumps(value)


_PHOTON: Final[dict[str, Any]] = {
    "id": "photon_1",
    "name": "Photon",
    "class_type": "Particle",
    "position": [1.0, 2.0, 3.0],
    "rotation": [0.0, 0.0, 0.0, 1.0],
    "scale": [1.0, 1.0, 1.0],
    "tags": ["particle", "light"],
    "parameters": {"wavelength": 550.0, "energy": 3.6},
}
_BOND: Final[dict[str, Any]] = {
    "source_id": "atom_1",
    "target_id": "electron_1",
    "connection_type": "hierarchy",
    "strength": 0.9,
    "label": "contains",
}
_ATOM: Final[dict[str, Any]] = {"id": "atom_1", "name": "Atom", "class_type": "Atom", "position": [0.0, 3.0, 6.0]}
_ELECTRON: Final[dict[str, Any]] = {"id": "electron_1", "name": "Electron", "class_type": "Particle"}
_SPACE: Final = {"space_name": "quantum_mechanics"}
OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/eustress/ingest/entity",
        handler=entity,
        summary="An entity",
        description="New, or as it is now. 200 means that it is committed.",
        tag=TAG,
        access="engine",
        body_shown=EntityBody,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(Example(name="ingest_entity", body=_SPACE | {"entity": _PHOTON}),),
    ),
    Operation(
        method="POST",
        path="/eustress/ingest/connection",
        handler=connection,
        summary="A connection",
        description="New, or as it is now. In a lenient space it may come before its ends: it waits for them.",
        tag=TAG,
        access="engine",
        body_shown=ConnectionBody,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(Example(name="ingest_connection", body=_SPACE | {"connection": _BOND}),),
    ),
    Operation(
        method="POST",
        path="/eustress/ingest/parameter",
        handler=parameter,
        summary="One parameter of an entity",
        tag=TAG,
        access="engine",
        body_shown=ParameterBody,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(
            Example(
                name="ingest_parameter",
                body=_SPACE | {"entity_id": "photon_1", "parameter_name": "wavelength", "value": 600.0},
            ),
        ),
    ),
    Operation(
        method="POST",
        path="/eustress/ingest/batch",
        handler=batch,
        summary="Many items at once",
        description="All of them or, where one is wrong, none; with `report=items` all but the wrong ones. A batch of 100 items"
        " or more (the space's policy says how many) makes a snapshot.",
        tag=TAG,
        access="engine",
        query=BatchQuery,
        body_shown=BatchBody,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(
            Example(
                name="ingest_batch", body=_SPACE | {"entities": [_ATOM, _ELECTRON, _PHOTON], "connections": [_BOND]}
            ),
            Example(
                name="ingest_report",
                query={"report": "items"},
                body=_SPACE
                | {"source": "engine-1", "sequence": 1, "entities": [_ATOM, {"id": "ghost", "rotation": [0, 0, 0, 0]}]},
                note="What is wrong is left out.",
            ),
        ),
    ),
    Operation(
        method="DELETE",
        path="/eustress/ingest/entity",
        handler=remove_entity,
        summary="An entity is gone",
        description="Its connections go with it; its children become roots.",
        tag=TAG,
        access="engine",
        query=EntityQuery,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(Example(name="remove_entity", query={"space": "quantum_mechanics", "id": "photon_1"}),),
    ),
    Operation(
        method="DELETE",
        path="/eustress/ingest/connection",
        handler=remove_connection,
        summary="A connection is gone",
        tag=TAG,
        access="engine",
        query=ConnectionQuery,
        reply=Ingested,
        errors=(*ENTITY, *MENDED),
        examples=(
            Example(
                name="remove_connection",
                query={
                    "space": "quantum_mechanics",
                    "source_id": "atom_1",
                    "target_id": "electron_1",
                    "connection_type": "hierarchy",
                },
            ),
        ),
    ),
    Operation(
        method="POST",
        path="/eustress/ingest/snapshot/{space}",
        handler=snapshot,
        summary="Take a snapshot",
        description="Of the scene as it is now. It costs a small row, however large the scene.",
        tag=TAG,
        access="engine",
        params={"space": SpaceName},
        reply=Ingested,
        errors=(*ENTITY, "not_found", "conflict", "invalid"),
        examples=(Example(name="ingest_snapshot", path={"space": "quantum_mechanics"}),),
    ),
)

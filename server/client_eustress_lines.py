"""What an engine says of a scene, as lines of the ingest stream; checked here, so that a mistake is told where it was made.

The server would refuse the same: it is asked about every line, perhaps hours later.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Final

import msgspec
import orjson

from actors.eustress.values import ConnectionKey, Line, ParameterUpdate, SceneConnection, SceneEntity
from actors.runtime.errors import Invalid, TooLarge

LINE_BYTES: Final = 64 * 1024
"""The server takes no longer ones."""


def entity(fields: Mapping[str, Any]) -> bytes:
    """An entity as the seed's JSON object has it; numpy's numbers and arrays will do. Raises Invalid, TooLarge."""
    return _line("entity", fields, SceneEntity)


def connection(fields: Mapping[str, Any]) -> bytes:
    """A connection. Raises Invalid, TooLarge."""
    return _line("connection", fields, SceneConnection)


def parameter(fields: Mapping[str, Any]) -> bytes:
    """One parameter of an entity. Raises Invalid, TooLarge."""
    return _line("parameter", fields, ParameterUpdate)


def removed_entity(entity_id: str) -> bytes:
    """An entity is gone. Raises Invalid."""
    return _checked({"remove_entity": entity_id})


def removed_connection(fields: Mapping[str, Any]) -> bytes:
    """A connection is gone. Raises Invalid."""
    return _line("remove_connection", fields, ConnectionKey)


def _line(what: str, fields: Mapping[str, Any], kind: type[msgspec.Struct]) -> bytes:
    unknown = sorted(fields.keys() - set(kind.__struct_fields__))
    if unknown:  # the decoder would pass over it, and it would be lost
        raise Invalid(f"{kind.__name__} has no {', '.join(map(repr, unknown))}: put it into parameters or properties")
    return _checked({what: dict(fields)})


def _checked(said: Mapping[str, Any]) -> bytes:
    try:
        line = orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY)
        if b"null" in line or b"\\u0000" in line:  # perhaps; NaN is written as null
            _no_json(said)
        msgspec.json.decode(line, type=Line)
    except (msgspec.MsgspecError, orjson.JSONEncodeError, RecursionError) as wrong:
        raise Invalid(str(wrong) or type(wrong).__name__) from None
    if len(line) > LINE_BYTES:
        raise TooLarge(f"the line has {len(line):,} bytes; {LINE_BYTES:,} are allowed")
    return line


def _no_json(value: Any) -> None:
    """Raises Invalid for what neither JSON nor the lake can hold."""
    if isinstance(value, Real) and not math.isfinite(value):
        raise Invalid(f"{value} is no number that JSON has")
    if isinstance(value, str) and "\x00" in value:
        raise Invalid("a text must not contain the character \\u0000")
    if isinstance(value, Mapping):
        _no_json(value.keys())
        _no_json(value.values())
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for each in value:
            _no_json(each)

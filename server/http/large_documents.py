"""A body that is a JSON object with one field of many megabytes: its text is kept as it came, the rest is read as any body is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import orjson

from actors.runtime.codec import invalid
from actors.runtime.errors import BadRequest
from server.ws import protocol


def document_of(decode: Callable[[bytes], Any], body: bytes) -> Any:
    """The object, each field of it raw. ``decode`` is a msgspec decoder's. Raises BadRequest, Invalid."""
    try:
        return decode(body)
    except msgspec.ValidationError:
        raise invalid("", "the body must be a JSON object") from None
    except (ValueError, RecursionError) as failure:
        raise BadRequest(f"the body is not JSON: {failure}") from None


def fields_of(fields: Mapping[str, msgspec.Raw], depth: int) -> dict[str, Any]:
    """The values of the small ones; ``depth``: how deep they may be. Raises BadRequest, Invalid."""
    data = msgspec.json.encode(fields)
    try:
        values: dict[str, Any] = orjson.loads(data)
    except orjson.JSONDecodeError as failure:
        raise BadRequest(f"the body is not JSON: {failure}") from None
    protocol.check_json(data, values, depth)
    return values

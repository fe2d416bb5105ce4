"""An entity as its JSON text is kept: one encoding, so that what is there already is told by its bytes.

Postgres prints jsonb with spaces and in an order of its own; ``normal`` makes of that what ``text`` once made. Its numbers are
decimals that know neither -0.0 nor exponents (1e300 comes back as an integer of 301 digits, which would fill the memory that
limits were to bound). So in the one encoding zero has no sign, and an integer that is as well said by the shortest text of a
double, from 1e16 on, is that text.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from actors.eustress.values import SceneEntity

DEPTH_MAX: Final = 32
"""Levels of objects and arrays in one entity, itself included."""
ENTITY_BYTES: Final = 4 * 2**20
"""Of one entity as JSON. Parameters come one by one, and a jsonb value ends at 256 MB."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?', re.DOTALL)
_DIGITS: Final = bytes(0x30 if byte in b"0123456789" else byte if byte == 0x2E else 0x20 for byte in range(256))
_NO_ZEROS: Final = b"-0.0,", b"-0.0]", b"-0.0}"
_LONG: Final = b" " + b"0" * 17
"""As translated by the table above: an integer of at least 1e16, or what looks like one within a string."""
_AS_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(range(256)).translate(None, b"[]{}")


class Stored(msgspec.Struct, gc=False):
    """An entity as it was once taken: the fields of ``SceneEntity`` in the same order, with no bound. Mutable."""

    id: str
    name: str = ""
    class_type: str = ""
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    properties: dict[str, Any] | UnsetType = UNSET
    attributes: dict[str, Any] | UnsetType = UNSET
    creator: dict[str, Any] | UnsetType = UNSET
    consent: bool | UnsetType = UNSET


_encode: Final = msgspec.json.Encoder(order="deterministic").encode
decode: Final = msgspec.json.Decoder(Stored).decode


def encode(value: Any) -> bytes:
    """The one JSON text of a value."""
    json = _encode(value)
    if b"-0.0" in json and (json == b"-0.0" or any(zero in json for zero in _NO_ZEROS)):
        return _TOKEN.sub(_number, json)
    if _LONG in b" " + json.translate(_DIGITS):
        return _TOKEN.sub(_number, json)
    return json


def _number(token: re.Match[bytes]) -> bytes:
    found = token[0]
    if found == b"-0.0":
        return b"0.0"
    if not found.removeprefix(b"-").isdigit() or len(found) < len(_LONG) - 1:
        return found
    shortest = _encode(float(found))  # null of one that no double reaches
    return shortest if shortest != b"null" and Decimal(shortest.decode()) == Decimal(found.decode()) else found


def text(entity: SceneEntity | Stored) -> bytes:
    """The JSON text that is kept: fields in the order of the type, keys of objects sorted, no spaces."""
    return encode(entity)


def normal(jsonb: bytes) -> bytes:
    """``text`` of what Postgres printed."""
    return encode(decode(jsonb))


def too_deep(json: bytes, depth: int = DEPTH_MAX) -> bool:
    """Whether arrays and objects of a JSON text nest deeper than ``depth``. Counting brackets errs to one side only (brackets
    within strings), so more is rarely needed; then all but the brackets goes, and each turn what has nothing within."""
    if json.count(b"{") + json.count(b"[") <= depth:
        return False
    brackets = _STRING.sub(b"", json).translate(_AS_SQUARE, _NO_BRACKETS)
    for _ in range(depth):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)

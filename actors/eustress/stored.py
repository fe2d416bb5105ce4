"""An entity as its JSON text is kept: one encoding, so that what is there already is told by its bytes.

Postgres prints jsonb with spaces and in an order of its own; ``normal`` makes of that what ``text`` once made.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from actors.eustress.values import SceneEntity

DEPTH_MAX: Final = 32
"""Levels of objects and arrays in one entity, itself included."""
ENTITY_BYTES: Final = 4 * 2**20
"""Of one entity as JSON. Parameters come one by one, and a jsonb value ends at 256 MB."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
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


encode: Final = msgspec.json.Encoder(order="deterministic").encode
decode: Final = msgspec.json.Decoder(Stored).decode


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

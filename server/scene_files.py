"""Files of scenes, read as lines of the ingest stream: whatever an engine may have written a scene to.

A file is JSON objects line by line (lines of the stream, or plain entities, connections and parameter updates; what an export
has in its rows is known too), or one JSON value: a batch ``{entities, connections, …}``, a snapshot as the lake shows it, an
array of items. Any of them may be compressed with gzip. Lines are passed on as they stand; the server decides what they mean.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

GZIP: Final = b"\x1f\x8b"
IDENTITY_BYTES: Final = 64 * 1024


class UnusableFile(Exception):
    """The file is no scene; the message says where."""


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What an object may have that says what it is."""

    entity: Raw | UnsetType = UNSET
    connection: Raw | UnsetType = UNSET
    parameter: Raw | UnsetType = UNSET
    remove_connection: Raw | UnsetType = UNSET
    remove_entity: Raw | UnsetType = UNSET
    id: Raw | UnsetType = UNSET
    source_id: Raw | UnsetType = UNSET
    parameter_name: Raw | UnsetType = UNSET
    entity_data: Raw | UnsetType = UNSET
    entities: Raw | UnsetType = UNSET
    connections: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET
    removed_connections: Raw | UnsetType = UNSET
    removed_entities: Raw | UnsetType = UNSET


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch, or a snapshot. A snapshot's ``parameters`` are an object, and its entities have them too."""

    entities: list[Raw] = []
    connections: list[Raw] = []
    parameters: Raw = Raw(b"[]")
    removed_connections: list[Raw] = []
    removed_entities: list[Raw] = []


_shape: Final = msgspec.json.Decoder(Shape)
_items: Final = msgspec.json.Decoder(list[Raw])
_batch: Final = msgspec.json.Decoder(Batch)


def stream_name(path: Path) -> str:
    """The same for the same content: of its size and its first bytes. Raises OSError."""
    with path.open("rb") as file:
        first = file.read(IDENTITY_BYTES)
    return "file-" + hashlib.sha256(b"%d:" % path.stat().st_size + first).hexdigest()[:32]


def lines_of(file: IO[bytes], name: str) -> Iterator[bytes]:
    """The lines of a file that is open (and may be no file but a pipe). Raises UnusableFile as it is read."""
    try:
        plain = _inflated(file)
        number, first = _first(plain)
        if not first:
            return
        shape = _shape_of(first)
        if shape is None or _is_batch(shape):
            yield from _whole(first + plain.read(), name)
        else:
            yield line_of(first, f"{name}, line {number}")
            for line in plain:
                number += 1
                if line.strip():
                    yield line_of(line, f"{name}, line {number}")
    except (EOFError, gzip.BadGzipFile, zlib.error) as wrong:
        raise UnusableFile(f"{name}: the compressed data is cut off or damaged ({wrong})") from None


def _inflated(file: IO[bytes]) -> IO[bytes]:
    peeked = file.peek(2)[:2] if hasattr(file, "peek") else b""
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if peeked == GZIP else file


def _first(file: IO[bytes]) -> tuple[int, bytes]:
    """The first line that is not blank, and its number; an empty one where there is none."""
    for number, line in enumerate(file, 1):
        if line.strip():
            return number, line
    return 0, b""


def _shape_of(text: bytes) -> Shape | None:
    try:
        return _shape.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _is_batch(shape: Shape) -> bool:
    if shape.entities is not UNSET:  # a snapshot has an id
        return True
    others = (shape.connections, shape.parameters, shape.removed_connections, shape.removed_entities)
    return shape.id is UNSET and any(each is not UNSET for each in others)


def line_of(text: bytes, where: str) -> bytes:
    """The line of the stream that an object is. Raises UnusableFile where it is none."""
    try:
        shape = _shape.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise UnusableFile(f"{where}: no JSON object: {wrong}") from None
    said = _said(shape)
    if said is None:
        raise UnusableFile(
            f"{where}: neither a line of the stream, nor an entity (id), nor a connection (source_id), nor a"
            " parameter (parameter_name)"
        )
    what, inner = said
    plain = text.strip() if inner is None else bytes(inner)
    return plain if not what else b'{"%b":%b}' % (what, plain)


def _said(shape: Shape) -> tuple[bytes, Raw | None] | None:
    """The key that an object is put under, and what of it; no key: it is a line already."""
    lines = (shape.entity, shape.connection, shape.parameter, shape.remove_connection, shape.remove_entity)
    if any(each is not UNSET for each in lines):
        return b"", None
    if not isinstance(shape.entity_data, UnsetType):
        return b"entity", shape.entity_data
    if shape.parameter_name is not UNSET:
        return b"parameter", None
    if shape.source_id is not UNSET:
        return b"connection", None
    return (b"entity", None) if shape.id is not UNSET else None


def _whole(text: bytes, name: str) -> Iterator[bytes]:
    """The lines of one JSON value."""
    try:
        if text.lstrip().startswith(b"["):
            for number, item in enumerate(_items.decode(text), 1):
                yield line_of(_flat(item), f"{name}, item {number}")
            return
        batch = _batch.decode(text)
        parameters = batch.parameters if bytes(batch.parameters).lstrip().startswith(b"[") else Raw(b"[]")
        parts: tuple[tuple[bytes, Any], ...] = (
            (b"entity", batch.entities),
            (b"connection", batch.connections),
            (b"parameter", _items.decode(parameters)),
            (b"remove_connection", batch.removed_connections),
            (b"remove_entity", batch.removed_entities),
        )
    except (msgspec.MsgspecError, UnicodeDecodeError) as wrong:
        raise UnusableFile(f"{name}: neither lines of JSON nor a batch: {wrong}") from None
    for what, items in parts:
        for item in items:
            yield b'{"%b":%b}' % (what, _flat(item))


def _flat(item: Raw) -> bytes:
    """Without newlines, which would end a line."""
    text = bytes(item)
    return msgspec.json.format(text, indent=-1) if b"\n" in text or b"\r" in text else text

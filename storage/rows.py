"""One row of a table as PostgreSQL keeps it, and back. Pure.

A sealed jsonb column holds its envelope as a JSON string, a sealed text column ``sealed:`` and the envelope in base64. Where
somebody's own value looks so (a JSON string; a text that begins with ``sealed:``) it is kept wrapped in the same way, behind a
zero byte in place of an envelope's version: it comes back as it was, with a key and without.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import orjson

from storage.pool import BadValue, encode_json
from storage.seal import CannotUnseal, Seal, Unsealed, from_text, is_sealed, to_text
from storage.tables import TABLES

TEXT_MARK: Final = "sealed:"
PLAIN_MARK: Final = b"\0"
UNSEALED: Final = Unsealed()


def place(table: str, column: str) -> str:
    """The envelope's place, as far as table and column go; the row's id and 0 are the rest."""
    return f"{table}.{column}"


def kept(row: Mapping[str, Any], table: str, seal: Seal | None) -> dict[str, Any]:
    """The row for jsonb_populate_record: bytes as PostgreSQL writes them, sealed columns as their envelopes.

    ``bytes`` are a bytea's. JSON that is text already has to come as ``msgspec.Raw``. Raises BadValue.
    """
    by = seal or UNSEALED
    shape = TABLES[table]
    for name in shape.sealed | shape.sealed_text:
        if isinstance(row.get(name), bytes):
            raise BadValue(f"{table}.{name}: bytes are for a bytea column")
    made = {name: "\\x" + value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
    for name in shape.sealed & made.keys():
        if made[name] is not None:
            made[name] = kept_json(made[name], table, name, str(row["id"]), seal)
    for name in shape.sealed_text & made.keys():
        if made[name] is not None:
            made[name] = kept_text(made[name], table, name, str(row["id"]), by)
    return made


def kept_json(value: Any, table: str, column: str, row_id: str, seal: Seal | None) -> Any:
    """A sealed jsonb column's value."""
    if seal is not None:
        return to_text(seal.seal(encode_json(value), place(table, column), row_id, 0))
    is_text = isinstance(value, str) or (isinstance(value, msgspec.Raw) and bytes(value).lstrip().startswith(b'"'))
    return to_text(PLAIN_MARK + encode_json(value)) if is_text else value


def kept_text(text: str, table: str, column: str, row_id: str, seal: Seal) -> str:
    """A sealed text column's value."""
    envelope = seal.seal(text.encode(), place(table, column), row_id, 0)
    if is_sealed(envelope):
        return TEXT_MARK + to_text(envelope)
    return TEXT_MARK + to_text(PLAIN_MARK + envelope) if text.startswith(TEXT_MARK) else text


def opened(row: Mapping[str, Any], table: str, seal: Seal) -> dict[str, Any]:
    """The row as it was given, jsonb decoded. Columns under other names are left alone. Raises CannotUnseal."""
    shape = TABLES[table]
    row_id = str(row["id"])
    found = dict(row)
    for name in shape.sealed & found.keys():
        found[name] = opened_json(found[name], table, name, row_id, seal)
    for name in shape.sealed_text & found.keys():
        if found[name] is not None:
            found[name] = opened_text(found[name], table, name, row_id, seal)
    return found


def opened_json(value: Any, table: str, column: str, row_id: str, seal: Seal) -> Any:
    """What a sealed jsonb column (decoded) means. Raises CannotUnseal."""
    if not isinstance(value, str):
        return value
    data = from_text(value)
    if data.startswith(PLAIN_MARK):
        return orjson.loads(data[len(PLAIN_MARK) :])
    return orjson.loads(seal.unseal(data, place(table, column), row_id, 0))


def opened_text(value: str, table: str, column: str, row_id: str, seal: Seal) -> str:
    """What a sealed text column means. Raises CannotUnseal."""
    if not value.startswith(TEXT_MARK):
        return value
    data = from_text(value[len(TEXT_MARK) :])
    if data.startswith(PLAIN_MARK):
        return data[len(PLAIN_MARK) :].decode()
    if not is_sealed(data):
        raise CannotUnseal(f"{table} {row_id}: {column} is no envelope")
    return seal.unseal(data, place(table, column), row_id, 0).decode()

"""The tables that entities keep true, and the folding of a batch's rows into one write a row. Pure.

A row names the columns that are new; those it does not name stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from actors.runtime.entity import Delete, Upsert
from storage.pool import BadValue


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A table's shape, as far as Python needs it; the migrations have the whole."""

    columns: frozenset[str]
    required: frozenset[str]
    unique: frozenset[str] = frozenset()
    sealed: frozenset[str] = frozenset()
    """jsonb columns that hold an envelope as a JSON string where a key is set."""


def _table(columns: str, required: str, unique: str = "", sealed: str = "") -> Table:
    return Table(
        columns=frozenset(columns.split()),
        required=frozenset(required.split()),
        unique=frozenset(unique.split()),
        sealed=frozenset(sealed.split()),
    )


TABLES: Final[Mapping[str, Table]] = {
    "auth_sessions": _table(
        "id practitioner_id token_hash created_at expires_at revoked_at",
        "id practitioner_id token_hash expires_at",
        unique="token_hash",
    ),
    "collective_spaces": _table(
        "id name purpose tradition facilitator_id participant_limit current_participants shared_state ritual_schedule"
        " access_level created_at slug closed_at updated_at",
        "id name purpose",
        unique="slug",
    ),
    "practitioners": _table(
        "id email password_hash spiritual_name archetypal_preferences energy_alignments privacy_level sacred_path"
        " created_at updated_at",
        "id email password_hash",
        unique="email",
        sealed="archetypal_preferences energy_alignments",
    ),
}


class TableWrites(msgspec.Struct, kw_only=True):
    """What a batch does to one table: first the deletes, then the upserts, both in the order of their ids."""

    table: str
    deletes: list[str]
    upserts: list[dict[str, Any]]


def coalesce(rows: Iterable[Upsert | Delete]) -> list[TableWrites]:
    """One write a row, in (table, id) order, so that two shards never wait for each other in a circle.

    Raises BadValue for a table or column that does not exist, or a row without its id.
    """
    final: dict[tuple[str, str], dict[str, Any]] = {}
    deleted: set[tuple[str, str]] = set()
    for row in rows:
        if isinstance(row, Upsert):
            key = (row.table, _checked_id(row))
            final.setdefault(key, {}).update(row.values)
        else:
            key = (row.table, row.id)
            deleted.add(key)
            final.pop(key, None)
    writes: dict[str, TableWrites] = {}
    for table in sorted({table for table, _ in deleted | final.keys()}):
        if table not in TABLES:
            raise BadValue(f"no table {table}")
        writes[table] = TableWrites(table=table, deletes=[], upserts=[])
    for table, row_id in sorted(deleted):
        writes[table].deletes.append(row_id)
    for table, row_id in sorted(final):
        writes[table].upserts.append(final[table, row_id])
    return list(writes.values())


def _checked_id(row: Upsert) -> str:
    table = TABLES.get(row.table)
    if table is None:
        raise BadValue(f"no table {row.table}")
    strange = row.values.keys() - table.columns
    if strange or row.values.get("id") is None:
        raise BadValue(f"{row.table}: {'no column ' + ', '.join(sorted(strange)) if strange else 'no id'}")
    return str(row.values["id"])

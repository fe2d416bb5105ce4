"""The versioned tables: each row holds from one version of its space until another, and the live ones are a scene. Pure.

What a batch does to one becomes a few statements: an UPDATE for the rows that end, by arrays, and a COPY of those that begin.
The ends come first, for of one key only one row is live.

COPY goes to the partitioned table: straight into the partition that the space is in it is no faster (200 rows, three runs each:
3.2 to 6.3 ms against 3.7 to 6.7), and who writes need not know how the table is divided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from actors.runtime.entity import End, Trim
from actors.runtime.ports import Versions
from storage.flight import Copy, RowStatement
from storage.pool import BadValue

CHUNK_ROWS: Final = 10_000
"""Of one statement: it takes a second at most, and eight are allowed."""
CHUNK_BYTES: Final = 32 * 2**20
"""Of the JSON in one COPY, for the same reason; many commands may have come together in a batch."""
PAGE_ROWS: Final = 20_000
PAGE_BYTES: Final = 16 * 2**20
"""Of a page of live rows, as stored."""
ENDS: Final = ("until", "ended_at")


class VersionedTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table's shape. ``columns`` are in the order of a Begin's values: the ``key``, the version, the time, the rest."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    gone: str
    """The column that is NULL in a row which says that there is nothing."""


def _table(key: str, rest: str, gone: str) -> VersionedTable:
    names = tuple(key.split())
    return VersionedTable(key=names, columns=(*names, "since", "at", *rest.split()), gone=gone)


VERSIONED: Final[Mapping[str, VersionedTable]] = {
    "eustress_connection_versions": _table(
        "space_name source_id target_id connection_type", "made in_tree strength label", "strength"
    ),
    "eustress_entity_versions": _table("space_name id", "flux_position x y z parent_id depth trains data", "data"),
}
TRIMMED: Final = frozenset({*VERSIONED, "eustress_markers"})


def shape_of(table: str) -> VersionedTable:
    """Raises BadValue where there is no such table."""
    shape = VERSIONED.get(table)
    if shape is None:
        raise BadValue(f"no versioned table {table}")
    return shape


def version_steps(parts: Iterable[Versions]) -> list[RowStatement | Copy]:
    """What the versions of a batch need, in order. Raises BadValue for rows that are not of their table's shape."""
    steps: list[RowStatement | Copy] = []
    for part in parts:
        shape = shape_of(part.table)
        columns = (*shape.columns, *ENDS)
        if any(len(row) != len(columns) for row in part.begins) or any(len(e.key) != len(shape.key) for e in part.ends):
            raise BadValue(f"{part.table}: a row has {', '.join(columns)}")
        steps += _ends(part)
        text = columns.index(shape.gone)
        records = (rows for some in chunks(part.begins) for rows in _sized(some, text))
        steps += (Copy(table=part.table, columns=columns, records=rows) for rows in records)
    return steps


def _ends(part: Versions) -> Iterator[RowStatement]:
    """One statement a space, those that may be missing apart; each says how many rows it has to find."""
    groups: dict[tuple[str, bool], list[End]] = {}
    for end in part.ends:
        groups.setdefault((end.key[0], end.sure), []).append(end)
    for (space, sure), ends in groups.items():
        for some in chunks(ends):
            keys = [list(column) for column in zip(*(end.key[1:] for end in some), strict=True)]
            spans = [end.since for end in some], [end.until for end in some], [end.at for end in some]
            yield RowStatement(
                name=f"versions/{part.table}.end",
                arguments=(space, *keys, *spans),
                rows=len(some) if sure else None,
            )


def _sized(rows: Sequence[tuple[Any, ...]], text: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """As many rows as have no more than ``CHUNK_BYTES`` in the column ``text``, where that is bytes; at least one."""
    first = size = 0
    for number, row in enumerate(rows):
        here = len(row[text]) if isinstance(row[text], bytes) else 0
        if size + here > CHUNK_BYTES and number > first:
            yield rows[first:number]
            first, size = number, 0
        size += here
    yield rows[first:]


def trim_statements(trims: Iterable[Trim]) -> list[RowStatement]:
    """What removes rows that ended. Raises BadValue for a table that is not trimmed."""
    statements = []
    for trim in trims:
        if trim.table not in TRIMMED:
            raise BadValue(f"{trim.table} is not trimmed")
        arguments: tuple[str, datetime, datetime | None, int] = trim.entity_id, trim.before, trim.after, trim.limit
        statements.append(RowStatement(name=f"versions/{trim.table}.trim", arguments=arguments))
    return statements


def key_after(shape: VersionedTable, after: tuple[Any, ...] | None) -> Sequence[str]:
    """The key, without the space, that live rows come after: of the last row of a page, or before all (none is empty)."""
    width = len(shape.key)
    return ("",) * (width - 1) if after is None else after[1:width]


def chunks(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many rows as one statement takes, in order."""
    for first in range(0, len(rows), CHUNK_ROWS):
        yield rows[first : first + CHUNK_ROWS]

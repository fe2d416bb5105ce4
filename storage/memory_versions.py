"""The versioned tables of the twin in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from actors.runtime.entity import End, Trim
from actors.runtime.ports import LIVE, CommitAborted, Versions
from storage.pool import BadValue
from storage.versions import ENDS, VERSIONED, VersionedTable, key_after, shape_of, trim_statements, version_steps

UNTIL: Final = -2
ENDED_AT: Final = -1

Rows = dict[tuple[Any, ...], tuple[Any, ...]]
"""Whole rows by key and ``since``."""
Tables = Mapping[str, Rows]


def no_rows() -> dict[str, Rows]:
    """Every table, empty."""
    return {name: {} for name in VERSIONED}


def as_dicts(table: str, rows: Rows) -> list[dict[str, Any]]:
    """Rows as a query would give them."""
    return [dict(zip((*VERSIONED[table].columns, *ENDS), row, strict=True)) for row in rows.values()]


def versions_after(before: Tables, parts: Sequence[Versions]) -> dict[str, Rows]:
    """The tables after a batch. Raises BadValue, CommitAborted."""
    version_steps(parts)
    after = dict(before)
    for part in parts:
        after[part.table] = _table_after(before[part.table], part, VERSIONED[part.table])
    return after


def _table_after(before: Rows, part: Versions, shape: VersionedTable) -> Rows:
    width = len(shape.key)
    rows = dict(before)
    for end in part.ends:
        _end(rows, end, part.table)
    live = {key[:width] for key, row in rows.items() if row[UNTIL] == LIVE}
    for row in part.begins:
        _check(row, part.table)
        if row[UNTIL] == LIVE:
            if row[:width] in live:
                raise CommitAborted(f"{part.table}: {row[:width]} is live", data_error=True, disagrees=True)
            live.add(row[:width])
        rows[row[: width + 1]] = row
    return rows


def _end(rows: Rows, end: End, table: str) -> None:
    key = (*end.key, end.since)
    row = rows.get(key)
    if row is not None and row[UNTIL] == LIVE:
        rows[key] = (*row[:UNTIL], end.until, end.at)
    elif end.sure:
        raise CommitAborted(f"{table}: {key} is not live", data_error=True, disagrees=True)


def _check(row: tuple[Any, ...], table: str) -> None:
    """What PostgreSQL would refuse about a row by itself."""
    for value in row:
        if isinstance(value, str) and "\0" in value:
            raise BadValue(f"{table}: NUL in a text")
        if isinstance(value, bytes):
            try:
                msgspec.json.decode(value)
            except msgspec.MsgspecError as why:
                raise BadValue(f"{table}: {why}") from why
            if b"\\u0000" in value.replace(b"\\\\", b""):
                raise BadValue(f"{table}: NUL in a text")


def live_page(
    tables: Tables, entity_id: str, table: str, after: tuple[Any, ...] | None, limit: int
) -> list[tuple[Any, ...]]:
    """See ``Store.load_live``."""
    shape = shape_of(table)
    width, last = len(shape.key), tuple(key_after(shape, after))
    rows = (row for row in tables[table].values() if row[0] == entity_id and row[UNTIL] == LIVE and row[1:width] > last)
    return [row[:UNTIL] for row in sorted(rows, key=lambda row: row[:width])[:limit]]


def trimmed(tables: dict[str, Rows], markers: Mapping[str, Any], epochs: Mapping[str, Any], trim: Trim) -> set[str]:
    """Take versions from ``tables``, and say which markers go. Raises BadValue."""
    trim_statements([trim])
    if trim.table in VERSIONED:
        rows = tables[trim.table]
        gone = _old_versions(rows, markers, trim)
        tables[trim.table] = {key: row for key, row in rows.items() if key not in gone}
        return set()
    kept = {str(id_) for row in epochs.values() if row["space_name"] == trim.entity_id for id_ in row["snapshot_ids"]}
    theirs = [row for row in markers.values() if row["space_name"] == trim.entity_id and str(row["id"]) not in kept]
    old = sorted(
        (row["timestamp"], str(row["id"]))
        for row in theirs
        if row["timestamp"] < trim.before and (trim.after is None or row["timestamp"] >= trim.after)
    )
    return {id_ for _, id_ in old[: trim.limit]}


def _old_versions(rows: Rows, markers: Mapping[str, Any], trim: Trim) -> set[tuple[Any, ...]]:
    shape = VERSIONED[trim.table]
    gone, at, since = shape.columns.index(shape.gone), shape.columns.index("at"), len(shape.key)
    trains = shape.columns.index("trains") if "trains" in shape.columns else None
    shown = [marker["version"] for marker in markers.values() if marker["space_name"] == trim.entity_id]
    theirs = [(key, row) for key, row in rows.items() if row[0] == trim.entity_id]
    ended = sorted(
        (row[ENDED_AT], key)
        for key, row in theirs
        if row[UNTIL] != LIVE
        and row[ENDED_AT] < trim.before
        and (trim.after is None or row[ENDED_AT] >= trim.after)
        and (row[gone] is None or not any(row[since] <= version < row[UNTIL] for version in shown))
    )
    words = [
        key
        for key, row in theirs
        if row[UNTIL] == LIVE
        and row[gone] is None
        and row[at] < trim.before
        and not (trains is not None and row[trains] is False and any(version < row[since] for version in shown))
    ]
    return set([*(key for _, key in ended), *words][: trim.limit])

"""Archives of spaces, read back: what retention removed from the lake, as it was there.

    files = sorted(directory_of(archive_dir, "quantum_mechanics").glob("*.parquet"))
    scene = scene_at(files, datetime(2026, 5, 1, tzinfo=UTC))     # scene.entities, scene.connections

A file holds versions that ended, so a moment's scene is the archived versions that held then and those that the lake still has
(``GET /eustress/entities?space=…&at=…&partial=true``): disjoint, and together all. Once everything of a moment has ended the
files alone give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

SCHEMA_VERSION: Final = 1
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


class UnreadableArchive(ValueError):
    """Not such a file, or of a newer version of this program."""


class ArchivedScene(NamedTuple):
    """``entities``: their data, by id. ``connections``: ``source_id, target_id, connection_type, strength, label, in_tree``.
    ``parents`` and ``depths`` by entity id, roots without a parent."""

    entities: dict[str, dict[str, Any]]
    connections: list[dict[str, Any]]
    parents: dict[str, str]
    depths: dict[str, int]


def directory_of(archive_dir: Path, space: str) -> Path:
    """Where a space's archives are. Its name may be any text, so a digest of it stands for it; the rest is for people."""
    digest = blake2b(space.encode(), digest_size=8).hexdigest()
    return archive_dir / f"{_UNSAFE.sub('_', space)[:60]}-{digest}"


def read_archive(path: str | PathLike[str]) -> Iterator[dict[str, Any]]:
    """The rows of one file, in its order, with the names of its columns (``server/lake_tables.py``). Raises UnreadableArchive."""
    return _rows(path, None)


def scene_at(files: Iterable[str | PathLike[str]], time: datetime) -> ArchivedScene:
    """What of these files held at a time: it began then or before and ended later. Memory is the scene's."""
    scene = ArchivedScene({}, [], {}, {})
    for path in sorted(map(str, files)):
        if path.endswith(".entities.parquet"):
            for row in _rows(path, time):
                _add(scene, row)
        elif path.endswith(".connections.parquet"):
            names = ("source_id", "target_id", "connection_type", "strength", "label", "in_tree")
            found = ({name: row[name] for name in names} for row in _rows(path, time) if row["strength"] is not None)
            scene.connections.extend(found)
    scene.connections.sort(key=lambda row: (row["source_id"], row["target_id"], row["connection_type"]))
    return scene


def _add(scene: ArchivedScene, row: dict[str, Any]) -> None:
    id_, data = row["entity_id"], row["entity_data"]
    if data is None:
        return
    scene.entities[id_] = orjson.loads(data)
    scene.depths[id_] = row["depth"]
    if row["parent_id"] is not None:
        scene.parents[id_] = row["parent_id"]


def _rows(path: str | PathLike[str], time: datetime | None) -> Iterator[dict[str, Any]]:
    import pyarrow as pa  # 50 MB, and whoever only wants a directory's name needs none of it
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as failure:
        raise UnreadableArchive(f"{path}: {failure}") from failure
    with file:
        check_version(path, file.schema_arrow.metadata)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            if time is not None:
                ends = pc.fill_null(pc.greater(table["ended_at"], pa.scalar(time)), True)
                table = table.filter(pc.and_(pc.less_equal(table["timestamp"], pa.scalar(time)), ends))
            yield from table.to_pylist()


def check_version(path: object, metadata: dict[bytes, bytes] | None) -> None:
    """Raises UnreadableArchive for a Parquet file that is none of the lake's, or a newer one's."""
    version = (metadata or {}).get(b"sangha.schema", b"0")
    if not version.isdigit() or not 1 <= int(version) <= SCHEMA_VERSION:
        raise UnreadableArchive(f"{path}: not a file of the lake that this program can read")

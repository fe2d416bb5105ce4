"""What the lake's files have in them: the columns of entities, connections and snapshots, as Parquet and as NDJSON.

Every file of entities has the same columns, be it an epoch's or an archive's; what one of them has no value for is null. An
epoch's rows are samples: a version of an entity that a snapshot of the epoch shows. ``version`` and ``ended_version`` are those
of the space from which on it holds and no longer holds, ``snapshot_version`` the first snapshot that shows it and ``snapshots``
how many do. JSON is kept as the text that the lake has, exactly.

Only the export's and the archive's own processes import this module: pyarrow takes 50 MB.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA_VERSION: Final = "1"
"""Of the columns below. Readers refuse a greater one."""
FLUX: Final = "droot-v1"
GROUP_ROWS: Final = 4_096
GROUP_BYTES: Final = 8 * 2**20
"""A row group ends at either: it is what writers and readers hold in memory."""
SACRED: Final = frozenset((3, 6, 9))

Part = Literal["entities", "connections", "snapshots"]

_TIME: Final = pa.timestamp("us", tz="UTC")


def _fixed(length: int) -> Any:
    return pa.list_(pa.field("element", pa.float64(), nullable=False), length)


ENTITIES: Final = pa.schema(
    [
        pa.field("epoch_id", pa.string()),
        pa.field("space_name", pa.string(), nullable=False),
        pa.field("entity_id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("ended_version", pa.int64()),
        pa.field("snapshot_version", pa.int64()),
        pa.field("snapshots", pa.int32()),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("ended_at", _TIME),
        pa.field("name", pa.string()),
        pa.field("class_type", pa.string()),
        pa.field("position", _fixed(3)),
        pa.field("rotation", _fixed(4)),
        pa.field("scale", _fixed(3)),
        pa.field("tags", pa.list_(pa.field("element", pa.string(), nullable=False))),
        pa.field("parameters", pa.string()),
        pa.field("parent_id", pa.string()),
        pa.field("depth", pa.int32()),
        pa.field("flux_position", pa.int8()),
        pa.field("sacred", pa.bool_()),
        pa.field("trains", pa.bool_()),
        pa.field("entity_data", pa.string()),
    ]
)
CONNECTIONS: Final = pa.schema(
    [
        pa.field("epoch_id", pa.string()),
        pa.field("space_name", pa.string(), nullable=False),
        pa.field("source_id", pa.string(), nullable=False),
        pa.field("target_id", pa.string(), nullable=False),
        pa.field("connection_type", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("ended_version", pa.int64()),
        pa.field("snapshot_version", pa.int64()),
        pa.field("snapshots", pa.int32()),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("ended_at", _TIME),
        pa.field("made", pa.int64(), nullable=False),
        pa.field("in_tree", pa.bool_(), nullable=False),
        pa.field("strength", pa.float64()),
        pa.field("label", pa.string()),
    ]
)
SNAPSHOTS: Final = pa.schema(
    [
        pa.field("space_name", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("timestamp", _TIME, nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("created_at", _TIME, nullable=False),
        pa.field("metadata", pa.string(), nullable=False),
    ]
)
SCHEMAS: Final[Mapping[str, Any]] = {"entities": ENTITIES, "connections": CONNECTIONS, "snapshots": SNAPSHOTS}
JSON_COLUMNS: Final = ("parameters", "entity_data", "metadata")


class _Shown(msgspec.Struct, frozen=True):
    """What of an entity's JSON gets a column of its own."""

    name: str = ""
    class_type: str = ""
    rotation: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    tags: list[str] = []
    parameters: msgspec.Raw = msgspec.Raw(b"{}")


_shown: Final = msgspec.json.Decoder(_Shown).decode


class Sink(Protocol):
    """Where the bytes go."""

    def write(self, data: Any, /) -> Any:
        """All of them."""


class Writer(Protocol):
    """Makes a file of rows."""

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Some more rows, by the schema's names."""

    def close(self) -> None:
        """There are no more."""


def rows_of(part: Part, page: Sequence[Any], **constants: Any) -> list[dict[str, Any]]:
    """Rows of a file from a page of the lake's records; ``constants`` are the same in all: ``space_name``, ``epoch_id``."""
    if part == "entities":
        return [constants | _entity(dict(record)) for record in page]
    return [constants | dict(record) for record in page]


def _entity(row: dict[str, Any]) -> dict[str, Any]:
    x, y, z = row.pop("x"), row.pop("y"), row.pop("z")
    if row["entity_data"] is None:
        return row
    shown, flux = _shown(row["entity_data"]), row["flux_position"]
    return row | {
        "name": shown.name,
        "class_type": shown.class_type,
        "position": (x, y, z),
        "rotation": shown.rotation,
        "scale": shown.scale,
        "tags": shown.tags,
        "parameters": bytes(shown.parameters).decode(),
        "sacred": flux in SACRED,
    }


class ParquetRows:
    """Parquet, a row group at a time. ``metadata`` goes into the file's own, beside the schema's version and the flux's."""

    def __init__(self, sink: Sink, part: Part, metadata: Mapping[str, str]) -> None:
        marks = {"sangha.schema": SCHEMA_VERSION, "sangha.part": part, "sangha.flux": FLUX, **metadata}
        self._schema = SCHEMAS[part].with_metadata(marks)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(_Tellable(sink), mode="w"), self._schema, compression="zstd", compression_level=1
        )
        self._waiting: list[Mapping[str, Any]] = []
        self._bytes = 0
        self.rows = 0

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Some more rows; a row group goes out when it is full."""
        for row in rows:
            self._waiting.append(row)
            self._bytes += 200 + len(row.get("entity_data") or "")
            if len(self._waiting) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        """The last row group and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        names, waiting = self._schema.names, self._waiting
        arrays = [pa.array([row.get(name) for row in waiting], self._schema.field(name).type) for name in names]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema), row_group_size=len(waiting))
        self.rows += len(waiting)
        self._waiting, self._bytes = [], 0


class JsonRows:
    """NDJSON: a line a row, with the names of Parquet's columns; what is JSON text there is JSON here, null is left out."""

    def __init__(self, sink: Sink, part: Part) -> None:
        self._sink = sink
        self._names = SCHEMAS[part].names
        self._encode = msgspec.json.Encoder().encode
        self.rows = 0

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Some more lines."""
        lines = [self._encode(self._plain(row)) for row in rows]
        self.rows += len(lines)
        self._sink.write(b"".join(line + b"\n" for line in lines))

    def close(self) -> None:
        """Nothing is kept back."""

    def _plain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: row[name] for name in self._names if row.get(name) is not None}
        for name in JSON_COLUMNS:
            if name in given:
                given[name] = msgspec.Raw(given[name].encode())
        return given


class _Tellable:
    """A pipe that knows how much was written: Parquet's footer says where everything is."""

    def __init__(self, sink: Sink) -> None:
        self._sink, self._written = sink, 0
        self.closed = False

    def write(self, data: Any) -> int:
        length = len(data)
        self._sink.write(data)
        self._written += length
        return length

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Whoever made the sink flushes it."""

    def close(self) -> None:
        self.closed = True


def utc(text: str) -> datetime:
    """A time of an NDJSON line or a command line, which names its zone."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)

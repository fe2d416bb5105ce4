"""The files that samples are read from: an epoch's Parquet or NDJSON, or archives, as groups of rows.

Whatever the file, a group is an Arrow table of the same columns (``server/lake_tables.py``), some thousand rows, read when it is
needed: the file may be larger than memory. Rows have numbers, those of the files after each other. What is no sample is not
among them: in archives, what says that an entity was not there, and entities whose last word on training there is no (an
archive is everything that retention removed, and may know less of that than the lake does).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from server.lake_archive import UnreadableArchive, check_version
from server.lake_tables import ENTITIES, GROUP_BYTES, GROUP_ROWS, JSON_COLUMNS, utc

GROUPS_KEPT: Final = 8
"""Of the last that were read: looking at a parent may need another than iterating does."""
_TIMES: Final = ("timestamp", "ended_at")
_KEY: Final = ("space_name", "entity_id")

Path_ = str | PathLike[str]
Span = tuple[Any, Any]
"""The least and the greatest value."""


class Source(Protocol):
    """One file."""

    counts: Sequence[int]
    """Samples, by group."""
    metadata: Mapping[str, str]

    def table(self, group: int, columns: Sequence[str] | None = None) -> Any:
        """A group's samples."""

    def span(self, group: int, column: str) -> Span | None:
        """What the file says that a column of a group has; None where it says nothing."""


class Files:
    """Several, as one."""

    def __init__(self, paths: Iterable[Path_]) -> None:
        self._sources = [_opened(path) for path in paths]
        self._groups = [(source, n) for source in self._sources for n in range(len(source.counts))]
        self.starts: Final = [0, *accumulate(source.counts[n] for source, n in self._groups)]
        """The number of each group's first row, and at the end how many there are."""
        self._kept: OrderedDict[int, Any] = OrderedDict()

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def groups(self) -> int:
        """How many."""
        return len(self._groups)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What the first file says of itself."""
        return self._sources[0].metadata if self._sources else {}

    def table(self, group: int, columns: Sequence[str] | None = None) -> Any:
        """A group's rows; whole ones are kept for a while."""
        source, n = self._groups[group]
        if columns is not None:
            return source.table(n, columns)
        if group in self._kept:
            self._kept.move_to_end(group)
        else:
            self._kept[group] = source.table(n)
            if len(self._kept) > GROUPS_KEPT:
                self._kept.popitem(last=False)
        return self._kept[group]

    def may_have(self, group: int, column: str, wanted: Collection[Any]) -> bool:
        """Whether a group may have one of these values; a range is looked at by its ends."""
        if not wanted:
            return False
        source, n = self._groups[group]
        span = source.span(n, column)
        ends = (wanted[0], wanted[-1]) if isinstance(wanted, range) else wanted
        return span is None or (min(ends) <= span[1] and max(ends) >= span[0])

    def place(self, row: int) -> tuple[int, int]:
        """The group of a row, and its place there."""
        group = bisect_right(self.starts, row) - 1
        return group, row - self.starts[group]


def files_in(path: Path_ | Iterable[Path_]) -> list[Path]:
    """A file; a directory's files of entities (an archive's, in the order of what they have); or several of these.

    Raises FileNotFoundError.
    """
    if not isinstance(path, str | PathLike):
        return [file for one in path for file in files_in(one)]
    found = Path(fspath(path))
    if not found.is_dir():
        return [found] if found.exists() else _none(found)
    return sorted(found.glob("*.entities.parquet"), key=_first_version) or _none(found)


def _none(path: Path) -> list[Path]:
    raise FileNotFoundError(f"{path}: no file with samples")


def _first_version(path: Path) -> tuple[int, str]:
    first = path.name.partition("-")[0]
    return (int(first) if first.isdigit() else 0, path.name)


def _opened(path: Path_) -> Source:
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return ParquetFile(path)
    if magic[:1] in (b"{", b""):
        return JsonFile(path)
    raise UnreadableArchive(f"{path}: neither Parquet nor NDJSON")


class ParquetFile:
    """An epoch's, or an archive's."""

    def __init__(self, path: Path_) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=False)
        except pa.ArrowInvalid as failure:
            raise UnreadableArchive(f"{path}: {failure}") from failure
        marks = self._file.schema_arrow.metadata
        check_version(path, marks)
        if marks[b"sangha.part"] != b"entities":
            raise UnreadableArchive(f"{path}: a file of {marks[b'sangha.part'].decode()}, and not of entities")
        self.metadata: Mapping[str, str] = {
            k.decode(): v.decode() for k, v in marks.items() if k.startswith(b"sangha.")
        }
        self._columns = {name: n for n, name in enumerate(_leaves(self._file))}
        self._withheld: Any = None
        groups = range(self._file.num_row_groups)
        if "sangha.epoch" in self.metadata:
            self.counts: Sequence[int] = [self._file.metadata.row_group(n).num_rows for n in groups]
        else:
            self._withheld = self._who_refused()
            self.counts = [self.table(n, ("version",)).num_rows for n in groups]

    def table(self, group: int, columns: Sequence[str] | None = None) -> Any:
        """A row group's samples."""
        if self._withheld is None:
            return self._file.read_row_group(group, columns=None if columns is None else list(columns))
        needed = None if columns is None else [*{*columns, *_KEY, "depth"}]
        table = self._file.read_row_group(group, columns=needed)
        table = table.filter(pc.is_valid(table["depth"]))
        if len(self._withheld):
            table = table.filter(pc.invert(pc.is_in(table["entity_id"], value_set=self._withheld)))
        return table if columns is None else table.select(list(columns))

    def span(self, group: int, column: str) -> Span | None:
        """By its statistics."""
        told = self._file.metadata.row_group(group).column(self._columns[column]).statistics
        return (told.min, told.max) if told is not None and told.has_min_max else None

    def _who_refused(self) -> Any:
        """An archive is of one space, so ids are enough."""
        words: dict[str, tuple[int, bool]] = {}
        for group in range(self._file.num_row_groups):
            table = self._file.read_row_group(group, columns=["entity_id", "version", "trains"])
            told = table.filter(pc.is_valid(table["trains"]))
            for id_, version, trains in zip(*(told[name].to_pylist() for name in told.column_names), strict=True):
                words[id_] = max(words.get(id_, (0, True)), (version, trains))
        return pa.array([id_ for id_, (_, trains) in words.items() if not trains], pa.string())


def _leaves(file: Any) -> list[str]:
    schema = file.schema
    return [schema.column(n).path.partition(".")[0] for n in range(len(schema.names))]


class JsonFile:
    """NDJSON. A first pass finds where the groups begin."""

    def __init__(self, path: Path_) -> None:
        self._path = path
        self.metadata: Mapping[str, str] = {}
        counts, self._offsets, rows, end = [], [0], 0, 0
        with open(path, "rb") as file:
            for line in file:
                rows, end = rows + 1, end + len(line)
                if rows == GROUP_ROWS or end - self._offsets[-1] >= GROUP_BYTES:
                    self._offsets.append(end)
                    counts.append(rows)
                    rows = 0
        if rows:
            self._offsets.append(end)
            counts.append(rows)
        self.counts: Sequence[int] = counts

    def table(self, group: int, columns: Sequence[str] | None = None) -> Any:
        """Some thousand lines."""
        begin, end = self._offsets[group : group + 2]
        with open(self._path, "rb") as file:
            file.seek(begin)
            lines = file.read(end - begin).splitlines()
        names = ENTITIES.names if columns is None else list(columns)
        rows = [_row(self._path, line) for line in lines]
        arrays = [pa.array([row.get(name) for row in rows], ENTITIES.field(name).type) for name in names]
        return pa.table(arrays, schema=pa.schema([ENTITIES.field(name) for name in names]))

    def span(self, group: int, column: str) -> Span | None:
        """It says nothing."""
        return None


def _row(path: Path_, line: bytes) -> dict[str, Any]:
    try:
        row: dict[str, Any] = orjson.loads(line)
    except orjson.JSONDecodeError as failure:
        raise UnreadableArchive(f"{path}: {failure}; is it whole?") from failure
    for name in _TIMES:
        if name in row:
            row[name] = utc(row[name])
    for name in JSON_COLUMNS:
        if name in row:
            row[name] = orjson.dumps(row[name]).decode()
    return row

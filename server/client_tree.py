"""Who was whose parent among the samples of some files: the index that an ``EpochReader`` keeps in memory.

A sample's time is the first snapshot that shows it (in an archive, the version in which it began). Its parent is the version of
the entity ``parent_id`` that held then, its children the versions that held then and name it. So the tree is that of one moment
of the scene, though entities changed at different times. 120 bytes a sample, as arrays; while it is made, with all ids,
some 450.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from server.client_sample_files import Files

Ints = npt.NDArray[np.int64]
COLUMNS: Final = (
    "space_name",
    "entity_id",
    "parent_id",
    "version",
    "ended_version",
    "snapshot_version",
    "depth",
    "flux_position",
    "position",
)
_SEPARATOR: Final = pa.scalar("\x00", pa.large_string())
"""In no name."""


class _Spans(NamedTuple):
    """Versions by whom they are of: sorted by (owner, when they began)."""

    order: Ints
    keys: Ints


class Tree:
    """The index. By row: ``depth``, ``flux``, ``space`` (an index into ``spaces``), ``entity`` (a number for each), ``position``
    (n by 3), ``parent`` (its row; -1: none), ``children`` (how many)."""

    def __init__(self, files: Files) -> None:
        tables = [files.table(group, COLUMNS) for group in range(files.groups)]
        whole = pa.concat_tables(tables) if tables else pa.table({name: pa.array([], pa.string()) for name in COLUMNS})
        n = whole.num_rows
        self.depth: Final = _ints(whole["depth"], 0).astype(np.int32)
        self.flux: Final = _ints(whole["flux_position"], 0).astype(np.int8)
        self.position: Final = _positions(whole["position"]) if n else np.zeros((0, 3))
        spaces = pc.dictionary_encode(_joined(whole["space_name"]))
        self.spaces: Final[Sequence[str]] = spaces.dictionary.to_pylist()
        self.space: Final = np.asarray(spaces.indices).astype(np.int32)
        version, ended = _ints(whole["version"], 0), _ints(whole["ended_version"], np.iinfo(np.int64).max)
        time = np.where(shown := _ints(whole["snapshot_version"], 0), shown, version)
        self._codes(whole)
        self._rank(version, ended, time)
        self.parent: Final = self._holding(self._parent_code, self._time)
        self.children: Final = self._counted()

    def children_of(self, row: int) -> list[int]:
        """The rows of what it was the parent of, at its time."""
        code, time = self.entity[row], self._time[row]
        order, keys = self._by_parent
        low, high = np.searchsorted(keys, (code * self._ranks, code * self._ranks + time + 1))
        rows = order[low:high]
        return [int(one) for one in rows[self._ended[rows] > time]]

    def _codes(self, whole: Any) -> None:
        """Numbers for entities: of each row, and of its parent (-1: none, or none that the files have)."""
        space = _joined(whole["space_name"])
        keys = pc.binary_join_element_wise(space, _joined(whole["entity_id"]), _SEPARATOR)
        encoded = pc.dictionary_encode(keys)
        self.entity: Ints = np.asarray(encoded.indices).astype(np.int64)
        parents = pc.binary_join_element_wise(space, _joined(whole["parent_id"]), _SEPARATOR)
        found = pc.index_in(parents, value_set=encoded.dictionary)
        self._parent_code = np.asarray(pc.fill_null(found, -1)).astype(np.int64)
        self._parent_code[np.asarray(pc.is_null(parents))] = -1

    def _rank(self, version: Ints, ended: Ints, time: Ints) -> None:
        """Versions by their order among all there are, so that (entity, version) is one number."""
        all_ = np.unique(np.concatenate((version, ended, time)))
        self._ranks = len(all_) + 1
        self._began, self._ended, self._time = (np.searchsorted(all_, these) for these in (version, ended, time))
        self._by_entity = self._spans(self.entity, self._began)
        self._by_parent = self._spans(self._parent_code, self._began)

    def _spans(self, owner: Ints, when: Ints) -> _Spans:
        keys = owner * self._ranks + when
        order = np.argsort(keys, kind="stable")
        return _Spans(order, keys[order])

    def _holding(self, owner: Ints, time: Ints) -> Ints:
        """The row of the version that held of each owner at each time; -1 where none did."""
        if not len(owner):
            return owner
        order, keys = self._by_entity
        rows = order[np.maximum(np.searchsorted(keys, owner * self._ranks + time, side="right") - 1, 0)]
        held = (self.entity[rows] == owner) & (self._began[rows] <= time) & (self._ended[rows] > time)
        return np.where(held, rows, -1)

    def _counted(self) -> Ints:
        """How many children each row had: of those that had begun the ones that had not ended."""
        began, ended = self._by_parent.keys, self._spans(self._parent_code, self._ended).keys
        low, now = self.entity * self._ranks, self.entity * self._ranks + self._time
        had_begun = np.searchsorted(began, now, side="right") - np.searchsorted(began, low)
        had_ended = np.searchsorted(ended, now, side="right") - np.searchsorted(ended, low)
        return had_begun - had_ended


def _joined(column: Any) -> Any:
    """One array of a column in pieces; large: its texts may be more than 2 GB together."""
    large = column.cast(pa.large_string())
    return large.combine_chunks() if isinstance(large, pa.ChunkedArray) else large


def _ints(column: Any, absent: int) -> Ints:
    return np.asarray(pc.fill_null(column.cast(pa.int64()), pa.scalar(int(absent), pa.int64()))).astype(np.int64)


def _positions(column: Any) -> npt.NDArray[np.float64]:
    return np.concatenate([np.asarray(piece.flatten()) for piece in column.chunks]).reshape(-1, 3)

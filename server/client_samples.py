"""Training samples out of an epoch that was downloaded, or out of archives: one by one, or as batches of numpy arrays.

    reader = EpochReader("epoch.parquet")
    for sample in reader.samples(depth=range(1, 3), flux={3, 6, 9}):
        print(sample.entity_id, sample.position, sample.weight, [above.entity_id for above in sample.ancestors])
    for batch in reader.batches(256, seed=1):
        train(batch.features, batch.class_type)            # sacred ones are drawn three times as often

A sample is a version of an entity, and its tree that of the moment of its first snapshot (``server/client_tree.py``). Memory: a
few row groups, and once the hierarchy or a batch is asked for 120 bytes a sample.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from os import PathLike
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from server.client_sample_files import Files, files_in
from server.client_tree import Tree

SACRED: Final = (3, 6, 9)
SACRED_WEIGHT: Final = 3.0
"""Of a sample at flux 3, 6 or 9; any other's is 1."""
WINDOW: Final = 8
"""Row groups that are shuffled together: random access to a file that is read in groups would read it all for each batch."""
RECENT: Final = 4_096
"""Samples that were looked up and are kept: many have the same parents."""
FEATURES: Final = (
    *("x", "y", "z"),
    *("rotation_x", "rotation_y", "rotation_z", "rotation_w"),
    *("scale_x", "scale_y", "scale_z"),
    *("offset_x", "offset_y", "offset_z"),
    *("has_parent", "depth", "children", "tags"),
)
"""The columns of a batch's features. ``offset``: from the parent's position, 0 where the files have no parent."""

Floats = npt.NDArray[np.float64]
Spaces = str | Collection[str] | None
Numbers = Collection[int] | None
"""Values of a column, as a range or a set. None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A version of an entity, equal to any other sight of the same. ``version`` to ``ended_version`` (None: it still holds) is
    what it spans, in versions of the space; ``snapshot_version`` the first snapshot of the epoch that shows it and ``snapshots``
    how many do, both None in an archive."""

    space_name: str
    entity_id: str
    version: int
    ended_version: int | None = field(compare=False)
    snapshot_version: int | None = field(compare=False)
    snapshots: int | None = field(compare=False)
    timestamp: datetime = field(compare=False)
    ended_at: datetime | None = field(compare=False)
    name: str = field(compare=False)
    class_type: str = field(compare=False)
    position: tuple[float, float, float] = field(compare=False)
    rotation: tuple[float, float, float, float] = field(compare=False)
    scale: tuple[float, float, float] = field(compare=False)
    tags: tuple[str, ...] = field(compare=False)
    parent_id: str | None = field(compare=False)
    depth: int = field(compare=False)
    flux_position: int = field(compare=False)
    sacred: bool = field(compare=False)
    weight: float = field(compare=False)
    row: int = field(compare=False)
    """Its number in the reader's files."""
    parameters_json: str = field(compare=False, repr=False)
    entity_json: str = field(compare=False, repr=False)
    reader: EpochReader = field(compare=False, repr=False)

    @property
    def parameters(self) -> dict[str, Any]:
        """By name."""
        parameters: dict[str, Any] = orjson.loads(self.parameters_json)
        return parameters

    @property
    def entity_data(self) -> dict[str, Any]:
        """All that the engine said of it."""
        data: dict[str, Any] = orjson.loads(self.entity_json)
        return data

    @property
    def parent(self) -> Sample | None:
        """What its parent was then. None of a root, and where the files do not have it (it refused to train, say)."""
        row = int(self.reader.tree.parent[self.row])
        return None if row < 0 else self.reader.sample(row)

    @property
    def ancestors(self) -> tuple[Sample, ...]:
        """Its parent, its parent's parent at that one's time, …: the root comes last."""
        above: list[Sample] = []
        sample = self.parent
        while sample is not None and sample not in above:
            above.append(sample)
            sample = sample.parent
        return tuple(above)

    @property
    def children(self) -> tuple[Sample, ...]:
        """What it was the parent of then, as it was then."""
        return tuple(self.reader.sample(row) for row in self.reader.tree.children_of(self.row))


class Batch(NamedTuple):
    """Samples as arrays: ``features`` n by ``len(FEATURES)``, the others of length n. ``row``: ``reader.sample(row)`` has all
    else. ``entity`` is one number for all versions of an entity, to keep them on one side of a split. ``weight`` is what is left
    to weigh: 1 where samples were drawn by their weights."""

    features: Floats
    class_type: npt.NDArray[Any]
    depth: npt.NDArray[np.int32]
    flux_position: npt.NDArray[np.int8]
    sacred: npt.NDArray[np.bool_]
    weight: Floats
    row: npt.NDArray[np.int64]
    entity: npt.NDArray[np.int64]


class EpochReader:
    """Reads an epoch's file (Parquet or NDJSON), an archive's directory, or several of these as one. ``sacred_weight``: how much
    more a sample at flux 3, 6 or 9 counts.

    Raises FileNotFoundError, UnreadableArchive.
    """

    def __init__(
        self,
        path: str | PathLike[str] | Iterable[str | PathLike[str]],
        *,
        sacred_weight: float = SACRED_WEIGHT,
    ) -> None:
        if not 0 <= sacred_weight < float("inf"):
            raise ValueError("a weight is a number, 0 or greater")
        self._files = Files(files_in(path))
        self.sacred_weight: Final = sacred_weight
        self._recent = lru_cache(RECENT)(self._found)

    def __len__(self) -> int:
        """How many samples there are."""
        return len(self._files)

    @property
    def metadata(self) -> Mapping[str, str]:
        """What a Parquet file says of its epoch: ``sangha.epoch``, ``sangha.stats`` (JSON), …; NDJSON says nothing."""
        return self._files.metadata

    @cached_property
    def tree(self) -> Tree:
        """Who was whose parent."""
        return Tree(self._files)

    def sample(self, row: int) -> Sample:
        """The sample of a number."""
        if not 0 <= row < len(self):
            raise IndexError(f"no sample {row} among {len(self)}")
        return self._recent(row)

    def _found(self, row: int) -> Sample:
        group, place = self._files.place(row)
        return self._sample(self._files.table(group).slice(place, 1).to_pylist()[0], row)

    def samples(self, *, space: Spaces = None, depth: Numbers = None, flux: Numbers = None) -> Iterator[Sample]:
        """All samples, or those of a space, of some depths, of some flux positions: parents before children, within a file."""
        spaces, wanted = _names(space), {"space_name": _names(space), "depth": depth, "flux_position": flux}
        for group in range(self._files.groups):
            if not all(v is None or self._files.may_have(group, name, v) for name, v in wanted.items()):
                continue
            table = self._files.table(group)
            keep = _mask(table["space_name"].to_numpy(), spaces)
            keep &= _mask(table["depth"].to_numpy(), depth) & _mask(table["flux_position"].to_numpy(), flux)
            rows = np.flatnonzero(keep)
            for place, values in zip(rows, table.take(rows).to_pylist(), strict=True):
                yield self._sample(values, self._files.starts[group] + int(place))

    def batches(
        self,
        size: int,
        *,
        weighted: bool = True,
        seed: int = 0,
        space: Spaces = None,
        depth: Numbers = None,
        flux: Numbers = None,
    ) -> Iterator[Batch]:
        """One pass in an order that ``seed`` makes: as many draws as there are samples, ``size`` at a time, the last batch maybe
        smaller. Pass another seed for the next.

        ``weighted``: of n samples with weights w, each is drawn n * w / sum(w) times, rounded up or down so that the sum is n
        (systematic resampling); else each once, with its weight beside it.
        """
        if size < 1:
            raise ValueError("a batch has at least one sample")
        rng, keep = np.random.default_rng(seed), self._chosen(space, depth, flux)
        drawn = _copies(self._weights() * keep, int(keep.sum()), rng) if weighted else keep.astype(np.int64)
        left: Batch | None = None
        for batch in self._windows(drawn, weighted, rng):
            whole = batch if left is None else _joined(left, batch)
            ends = len(whole.row) - len(whole.row) % size
            for begin in range(0, ends, size):
                yield _part(whole, slice(begin, begin + size))
            left = _part(whole, slice(ends, None))
        if left is not None and len(left.row):
            yield left

    def _windows(self, drawn: npt.NDArray[np.int64], weighted: bool, rng: np.random.Generator) -> Iterator[Batch]:
        groups = rng.permutation(self._files.groups)
        for begin in range(0, len(groups), WINDOW):
            parts = []
            for group in groups[begin : begin + WINDOW]:
                first, end = self._files.starts[group], self._files.starts[group + 1]
                if (copies := drawn[first:end]).any():
                    parts.append(_part(self._batch(int(group), weighted), np.repeat(np.arange(end - first), copies)))
            if parts:
                window = _joined(*parts)
                yield _part(window, rng.permutation(len(window.row)))

    def _batch(self, group: int, weighted: bool) -> Batch:
        """A row group as arrays."""
        table, tree = self._files.table(group), self.tree
        rows = np.arange(self._files.starts[group], self._files.starts[group + 1])
        position, parent = tree.position[rows], tree.parent[rows]
        known = parent >= 0
        offset = np.where(known[:, None], position - tree.position[parent], 0.0)
        counts = (known, tree.depth[rows], tree.children[rows], table["tags"].combine_chunks().value_lengths())
        turned, scale = _vectors(table["rotation"], 4), _vectors(table["scale"], 3)
        numbers = np.column_stack([np.asarray(one, dtype=np.float64) for one in counts])
        sacred = np.isin(tree.flux[rows], SACRED)
        return Batch(
            features=np.hstack((position, turned, scale, offset, numbers)),
            class_type=np.asarray(table["class_type"].to_pylist(), dtype=object),
            depth=tree.depth[rows],
            flux_position=tree.flux[rows],
            sacred=sacred,
            weight=np.ones(len(rows)) if weighted else np.where(sacred, self.sacred_weight, 1.0),
            row=rows,
            entity=tree.entity[rows],
        )

    def _weights(self) -> Floats:
        return np.where(np.isin(self.tree.flux, SACRED), self.sacred_weight, 1.0)

    def _chosen(self, space: Spaces, depth: Numbers, flux: Numbers) -> npt.NDArray[np.bool_]:
        names, tree = _names(space), self.tree
        spaces = None if names is None else [n for n, name in enumerate(tree.spaces) if name in names]
        return _mask(tree.space, spaces) & _mask(tree.depth, depth) & _mask(tree.flux, flux)

    def _sample(self, values: dict[str, Any], row: int) -> Sample:
        for name in ("epoch_id", "trains"):
            del values[name]
        for name in ("position", "rotation", "scale", "tags"):
            values[name] = tuple(values[name])
        texts = {"parameters_json": values.pop("parameters"), "entity_json": values.pop("entity_data")}
        weight = self.sacred_weight if values["sacred"] else 1.0
        return Sample(**values, **texts, weight=weight, row=row, reader=self)


def _names(space: Spaces) -> Collection[str] | None:
    return [space] if isinstance(space, str) else space


def _mask(values: npt.NDArray[Any], wanted: Collection[Any] | None) -> npt.NDArray[np.bool_]:
    if wanted is None:
        return np.ones(len(values), dtype=np.bool_)
    if isinstance(wanted, range):
        up = wanted.step > 0
        least, beyond = (wanted.start, wanted.stop) if up else (wanted.stop + 1, wanted.start + 1)
        on_step: npt.NDArray[np.bool_] = (values.astype(np.int64) - wanted.start) % wanted.step == 0
        return (values >= least) & (values < beyond) & on_step
    return np.isin(values, np.asarray(list(wanted), dtype=object if values.dtype == object else np.int64))


def _copies(weights: Floats, draws: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """How often each is drawn: ``draws`` points at equal distances on the line of the weights."""
    if not len(weights) or (total := weights.sum()) == 0:
        return np.zeros(len(weights), dtype=np.int64)
    ends = np.cumsum(weights) * (draws / total)
    ends[-1] = draws
    copies: npt.NDArray[np.int64] = np.diff(np.floor(ends + rng.random()), prepend=0.0).astype(np.int64)
    return copies


def _part(batch: Batch, which: Any) -> Batch:
    return Batch(*(array[which] for array in batch))


def _joined(*batches: Batch) -> Batch:
    return Batch(*(np.concatenate(arrays) for arrays in zip(*batches, strict=True)))


def _vectors(column: Any, length: int) -> Floats:
    return np.concatenate([np.asarray(piece.flatten()) for piece in column.chunks]).reshape(-1, length)

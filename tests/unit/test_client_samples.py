"""The reader of training samples: filters, weights, the tree of a moment; Parquet, NDJSON and archives."""

from __future__ import annotations

import io
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from server import lake_tables
from server.client_epochs import EpochReader, Sample
from server.client_samples import FEATURES
from server.lake_archive import UnreadableArchive
from server.lake_tables import JsonRows, ParquetRows, rows_of

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


def record(id_: str, version: int, ended: int | None = None, shown: int | None = None, **fields: Any) -> dict[str, Any]:
    """As the lake's statement gives it."""
    x, y, z = fields.pop("position", (0.0, 0.0, 0.0))
    flux = fields.pop("flux", sum(round(abs(v) * 1000) for v in (x, y, z)) % 9 or 9)
    row = {"entity_id": id_, "version": version, "ended_version": ended, "x": x, "y": y, "z": z, "flux_position": flux}
    row |= {"snapshot_version": version if shown is None else shown, "snapshots": 1, "ended_at": None}
    row |= {"timestamp": BEGAN + timedelta(seconds=version), "parent_id": None, "depth": 0} | fields
    data = {"id": id_, "name": id_, "class_type": fields.pop("class_type", "Part"), "tags": ["a", "b"]}
    data |= {"parameters": {"n": version}, "position": [x, y, z]}
    row.setdefault("entity_data", orjson.dumps(data).decode())
    row.pop("class_type", None)
    return row


def write(path: Path, records: list[dict[str, Any]], *, archive: bool = False) -> Path:
    """A file as an export, or an archive, makes it; by its name Parquet or NDJSON."""
    sink = io.BytesIO()
    marks = {"sangha.before": "now"} if archive else {"sangha.epoch": "e"}
    constants = {"space_name": "quantum"} | ({} if archive else {"epoch_id": "e"})
    writer = JsonRows(sink, "entities") if path.suffix == ".ndjson" else ParquetRows(sink, "entities", marks)
    writer.write([constants | row for row in rows_of("entities", records)])
    writer.close()
    path.write_bytes(sink.getvalue())
    return path


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are many groups."""
    monkeypatch.setattr(lake_tables, "GROUP_ROWS", 4)
    monkeypatch.setattr("server.client_sample_files.GROUP_ROWS", 4)


@pytest.fixture(params=["parquet", "ndjson"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / f"epoch.{request.param}"


def family(tmp: Path) -> EpochReader:
    """A root that moved between two snapshots (at 5 and 9), a child that did not, a grandchild that came late."""
    return EpochReader(
        write(
            tmp,
            [
                record("root", 1, 7, 5, position=(1, 0, 0), class_type="Model"),
                record("root", 7, None, 9, position=(2, 0, 0), class_type="Model"),
                record("child", 2, None, 5, parent_id="root", depth=1, position=(1, 1, 0)),
                record("late", 8, None, 9, parent_id="root", depth=1, flux=6),
                record("leaf", 8, None, 9, parent_id="child", depth=2, flux=3),
            ],
        )
    )


def test_a_sample_has_all_that_the_engine_said(path: Path) -> None:
    reader = family(path)
    sample = next(reader.samples())
    assert (sample.space_name, sample.entity_id, sample.version, sample.ended_version) == ("quantum", "root", 1, 7)
    assert (sample.class_type, sample.name, sample.tags) == ("Model", "root", ("a", "b"))
    assert (sample.position, sample.rotation, sample.scale) == ((1, 0, 0), (0, 0, 0, 1), (1, 1, 1))
    assert sample.parameters == {"n": 1}
    assert sample.entity_data["position"] == [1.0, 0.0, 0.0]
    assert sample.timestamp == BEGAN + timedelta(seconds=1)
    assert (len(reader), sample.row) == (5, 0)


def test_the_tree_is_that_of_the_moment_at_which_a_snapshot_first_shows_the_sample(path: Path) -> None:
    first, moved, child, late, leaf = family(path).samples()
    assert child.parent == first
    assert late.parent == moved
    assert leaf.parent == child
    assert first.children == (child,)
    assert set(moved.children) == {child, late}
    assert child.children == ()  # when the first snapshot showed it, leaf was not there
    assert [above.version for above in leaf.ancestors] == [2, 1]
    assert first.parent is None
    assert first.ancestors == ()


def test_samples_by_depth_flux_and_space(path: Path) -> None:
    reader = family(path)

    def ids(**wanted: Any) -> list[str]:
        return [sample.entity_id for sample in reader.samples(**wanted)]

    assert ids(depth={0}) == ["root", "root"]
    assert ids(depth=range(1, 3)) == ["child", "late", "leaf"]
    assert ids(depth=range(2, -1, -2)) == ["root", "root", "leaf"]
    assert ids(depth=range(10**12)) == ids()
    assert ids(flux={3, 6, 9}) == [sample.entity_id for sample in reader.samples() if sample.sacred]
    assert ids(flux={3, 1000}, depth={2}) == ["leaf"]
    assert ids(depth=()) == ids(space="other") == ids(space=["other"]) == []
    assert len(ids(space={"quantum", "other"})) == 5


def test_sacred_samples_have_a_weight_that_can_be_set(path: Path) -> None:
    reader = family(path)
    assert {(sample.sacred, sample.weight) for sample in reader.samples()} == {(True, 3.0), (False, 1.0)}
    heavier = EpochReader(path, sacred_weight=10)
    assert {(sample.sacred, sample.weight) for sample in heavier.samples()} == {(True, 10), (False, 1.0)}
    with pytest.raises(ValueError, match="weight"):
        EpochReader(path, sacred_weight=-1)


def crowd(path: Path, n: int = 203) -> EpochReader:
    draw = random.Random(1)
    records = [record("e0", 1, flux=1, position=(5, 5, 5), class_type="Model")]
    for i in range(1, n):
        position = tuple(draw.uniform(-9, 9) for _ in range(3))
        records.append(record(f"e{i}", 1, parent_id="e0", depth=1, position=position, flux=1 + i % 9))
    return EpochReader(write(path, records))


def test_batches_draw_each_sample_in_proportion_to_its_weight(path: Path) -> None:
    reader = crowd(path)
    batches = list(reader.batches(32, seed=4))
    assert [len(batch.row) for batch in batches] == [32] * 6 + [11]
    drawn = Counter(row for batch in batches for row in batch.row.tolist())
    total = sum(sample.weight for sample in reader.samples())
    for sample in reader.samples():
        assert abs(drawn[sample.row] - len(reader) * sample.weight / total) < 1, sample
    assert all((batch.weight == 1).all() for batch in batches)
    assert len({drawn[s.row] for s in reader.samples() if s.sacred}) <= 2


def test_without_weights_each_comes_once_in_an_order_that_the_seed_makes(path: Path) -> None:
    reader = crowd(path)

    def rows(seed: int, **wanted: Any) -> list[int]:
        return [row for batch in reader.batches(16, weighted=False, seed=seed, **wanted) for row in batch.row.tolist()]

    assert sorted(rows(1)) == list(range(203))
    assert rows(1) == rows(1) != rows(2)
    assert sorted(rows(1, flux={3})) == [sample.row for sample in reader.samples(flux={3})]
    assert rows(1, depth={7}) == rows(1, space="other") == []
    (first, *_) = reader.batches(16, weighted=False)
    assert first.weight.tolist() == [3.0 if sacred else 1.0 for sacred in first.sacred]


def test_features_are_the_samples_own(path: Path) -> None:
    reader = crowd(path)
    for batch in reader.batches(50):
        assert batch.features.shape == (len(batch.row), len(FEATURES))
        assert np.isfinite(batch.features).all()
        for n, row in enumerate(batch.row.tolist()):
            sample: Sample = reader.sample(row)
            named = dict(zip(FEATURES, batch.features[n].tolist(), strict=True))
            assert (named["x"], named["y"], named["z"]) == sample.position
            parent = sample.parent
            offset = 0.0 if parent is None else sample.position[0] - parent.position[0]
            assert named["offset_x"] == offset
            assert (named["has_parent"], named["depth"]) == (parent is not None, sample.depth)
            assert (named["children"], named["tags"]) == (202 if row == 0 else 0, 2)
            assert (batch.class_type[n], batch.flux_position[n], batch.sacred[n]) == (
                sample.class_type,
                sample.flux_position,
                sample.sacred,
            )


def test_the_tree_agrees_with_one_that_is_looked_for_row_by_row(path: Path) -> None:
    draw, records = random.Random(7), []
    for n in range(40):
        version = 1
        while version < 60:
            ended = version + draw.randrange(1, 30)
            parent = f"e{draw.randrange(n)}" if n and draw.random() < 0.8 else None
            shown = draw.randrange(version, ended)
            records.append(record(f"e{n}", version, ended, shown, parent_id=parent, depth=n))
            version = ended + draw.randrange(2)
    reader = EpochReader(write(path, records))
    samples = list(reader.samples())
    for sample in samples:
        time = sample.snapshot_version
        held = [s for s in samples if s.version <= time < s.ended_version]  # type: ignore[operator]
        assert sample.parent == next((s for s in held if s.entity_id == sample.parent_id), None)
        children = {s for s in held if s.parent_id == sample.entity_id}
        assert set(sample.children) == children
        assert reader.tree.children[sample.row] == len(children)


def gone(id_: str, version: int, trains: bool | None) -> dict[str, Any]:
    names = ("x", "y", "z", "flux_position", "depth", "entity_data", "snapshot_version", "snapshots")
    return record(id_, version) | dict.fromkeys(names) | {"trains": trains}


def test_an_archive_is_read_without_tombstones_and_without_those_who_refused(tmp_path: Path) -> None:
    old = [record("a", 1, 4, position=(1, 0, 0)), record("no", 2, 3), record("b", 3, 5, parent_id="a", depth=1)]
    for row in old:
        row |= {"snapshot_version": None, "snapshots": None, "trains": True if row["entity_id"] == "no" else None}
    write(tmp_path / "1-6-T.entities.parquet", [*old, gone("a", 5, None), gone("b", 6, None)], archive=True)
    new = [record("a", 9, 12, depth=0), record("b", 10, 13, parent_id="a", depth=1), gone("no", 4, False)]
    write(tmp_path / "9-13-T.entities.parquet", [row | {"snapshot_version": None} for row in new], archive=True)
    (tmp_path / "1-6-T.connections.parquet").write_bytes(b"not looked at")
    reader = EpochReader(tmp_path)
    samples = list(reader.samples())
    assert [(s.entity_id, s.version) for s in samples] == [("a", 1), ("no", 2), ("b", 3), ("a", 9), ("b", 10)]
    assert samples[2].parent == samples[0]
    assert samples[4].parent == samples[3]
    assert sum(len(batch.row) for batch in reader.batches(2)) == 5
    refused = [*old, gone("no", 4, False)]
    both = EpochReader(write(tmp_path / "x.parquet", refused, archive=True))
    assert [s.entity_id for s in both.samples()] == ["a", "b"]


def test_a_file_of_nothing_has_no_samples(path: Path) -> None:
    reader = EpochReader(write(path, []))
    assert len(reader) == 0
    assert list(reader.samples()) == list(reader.batches(8)) == list(reader.batches(8, weighted=False)) == []
    with pytest.raises(IndexError):
        reader.sample(0)


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        EpochReader(tmp_path / "none.parquet")
    with pytest.raises(FileNotFoundError):
        EpochReader(tmp_path)
    for name, content in {"a": b"PAR1 cut off", "b": b"<html>", "c": b'{"entity_id": "a", "ver'}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableArchive):
            list(EpochReader(tmp_path / name).samples())
    sink = io.BytesIO()
    ParquetRows(sink, "connections", {}).close()
    (tmp_path / "connections.parquet").write_bytes(sink.getvalue())
    with pytest.raises(UnreadableArchive, match="of connections"):
        EpochReader(tmp_path / "connections.parquet")

"""README.md's example of training: it learns what there is to learn in an epoch, and is what README.md shows."""

from __future__ import annotations

import io
import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from eustress_training_example import main

from server.lake_tables import ParquetRows, rows_of

BEGAN = datetime(2026, 5, 1, tzinfo=UTC)


def solar_systems(draw: random.Random, systems: int) -> list[dict[str, Any]]:
    """Stars with planets, planets with moons and probes. How far from its parent and how large something is tells its class,
    though not for sure: the ranges overlap. Where it is tells nothing."""
    rows = []
    for n in range(systems):
        star = f"s{n}"
        at = tuple(draw.uniform(-1e4, 1e4) for _ in range(3))
        rows.append(row(star, None, 0, "Star", at, draw.lognormvariate(2, 0.7)))
        for p in range(draw.randrange(2, 7)):
            planet, there = f"{star}.{p}", moved(draw, at, draw.lognormvariate(5, 0.6))
            rows.append(row(planet, star, 1, "Planet", there, draw.lognormvariate(1, 0.7)))
            for m in range(draw.randrange(4)):
                kind, far = ("Moon", 2.5) if draw.random() < 0.6 else ("Probe", 1.2)
                size = draw.lognormvariate(0 if kind == "Moon" else -1.5, 0.7)
                rows.append(
                    row(f"{planet}.{m}", planet, 2, kind, moved(draw, there, draw.lognormvariate(far, 0.5)), size)
                )
    return rows


def moved(draw: random.Random, at: tuple[float, ...], far: float) -> tuple[float, ...]:
    turn, height = draw.uniform(0, math.tau), draw.uniform(-1, 1)
    flat = math.sqrt(1 - height**2)
    way = (flat * math.cos(turn), height, flat * math.sin(turn))
    return tuple(a + far * w for a, w in zip(at, way, strict=True))


def row(id_: str, parent: str | None, depth: int, kind: str, at: tuple[float, ...], size: float) -> dict[str, Any]:
    data = {"id": id_, "name": id_, "class_type": kind, "scale": [size] * 3, "position": at}
    found = {"entity_id": id_, "version": 1, "ended_version": None, "snapshot_version": 1, "snapshots": 1}
    found |= {"timestamp": BEGAN + timedelta(seconds=1), "ended_at": None, "parent_id": parent, "depth": depth}
    found |= dict(zip("xyz", at, strict=True))
    found |= {"flux_position": sum(round(abs(v) * 1000) for v in at) % 9 or 9}
    return found | {"entity_data": orjson.dumps(data).decode()}


def test_the_example_learns_what_position_in_the_hierarchy_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sink, rows = io.BytesIO(), solar_systems(random.Random(3), 400)
    writer = ParquetRows(sink, "entities", {"sangha.epoch": "e"})
    rows.sort(key=lambda r: (r["depth"], r["entity_id"]))
    writer.write(rows_of("entities", rows, space_name="sky", epoch_id="e"))
    writer.close()
    path = tmp_path / "epoch.parquet"
    path.write_bytes(sink.getvalue())
    accuracy, baseline = main(path)
    assert accuracy > baseline + 0.25
    assert accuracy > 0.85
    assert "samples held out" in capsys.readouterr().out

"""A space's past made up: versions of entities and connections, snapshots and epochs, as the lake's tables have them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg

FOREVER = 2**63 - 1
BEGAN = datetime(2026, 5, 1, tzinfo=UTC)
POLICY = {"trains_by_default": True}


def data_of(id_: str, **fields: Any) -> dict[str, Any]:
    """An entity's JSON."""
    data = {"id": id_, "name": id_.title(), "class_type": "Part", "position": [0.0, 0.0, 0.0]}
    data |= {"rotation": [0.0, 0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0], "tags": [], "parameters": {}}
    return data | fields


def flux_of(position: Iterable[float]) -> int:
    """droot-v1."""
    total = sum(round(abs(v) * 1000) for v in position)
    return total % 9 or 9


@dataclass
class History:
    """Versions of one space: every change is one version, a second after the one before."""

    space: str = "quantum"
    version: int = 0
    entities: list[dict[str, Any]] = field(default_factory=list)
    connections: list[dict[str, Any]] = field(default_factory=list)
    markers: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[dict[str, Any]] = field(default_factory=list)
    policy: dict[str, Any] = field(default_factory=lambda: dict(POLICY))
    live: dict[str, dict[str, Any]] = field(default_factory=dict)
    edges: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return self.at(self.version)

    @staticmethod
    def at(version: int) -> datetime:
        return BEGAN + timedelta(seconds=version)

    def put(self, id_: str, parent: str | None = None, trains: bool | None = None, **fields: Any) -> None:
        """The entity as it is from now on."""
        data = data_of(id_, **fields)
        x, y, z = data["position"]
        depth = 0 if parent is None else self.live[parent]["depth"] + 1
        row = {"id": id_, "flux_position": flux_of((x, y, z)), "x": float(x), "y": float(y), "z": float(z)}
        self._entity(row | {"parent_id": parent, "depth": depth, "trains": trains, "data": data})

    def remove(self, id_: str) -> None:
        """It is not there from now on."""
        gone = dict.fromkeys(("flux_position", "x", "y", "z", "parent_id", "depth", "data"))
        self._entity({"id": id_, "trains": self.live[id_]["trains"]} | gone)

    def connect(self, source: str, target: str, type_: str = "hierarchy", strength: float | None = 1.0) -> None:
        """A connection as it is from now on; strength None: not there."""
        self.version += 1
        key = (source, target, type_)
        _end(self.edges.get(key), self.version, self.now)
        row = dict(zip(("source_id", "target_id", "connection_type"), key, strict=True))
        row |= {"since": self.version, "until": FOREVER, "at": self.now, "ended_at": None, "made": self.version}
        row |= {"in_tree": type_ == "hierarchy", "strength": strength, "label": None if strength is None else "l"}
        self.edges[key] = row
        self.connections.append(row)

    def snapshot(self) -> str:
        """A marker at this version."""
        id_ = str(uuid4())
        self.markers.append({"id": id_, "version": self.version, "timestamp": self.now, "reason": "manual"})
        return id_

    def epoch(self, snapshots: Iterable[str] | None = None, **fields: Any) -> str:
        """Of these snapshots, or of all."""
        ids = [m["id"] for m in self.markers] if snapshots is None else list(snapshots)
        times = {"start_time": BEGAN, "end_time": self.now, "sample_count": 0, "stats": {"total_entities": 1}}
        self.epochs.append({"id": str(uuid4()), "snapshot_ids": ids, **times, **fields})
        id_: str = self.epochs[-1]["id"]
        return id_

    def scene(self, time: datetime) -> tuple[dict[str, Any], list[tuple[Any, ...]]]:
        """What is there at a time, by these rows: entities' data by id, connections."""
        there = [row for row in self.entities if _holds(row, time) and row["data"] is not None]
        edges = [row for row in self.connections if _holds(row, time) and row["strength"] is not None]
        keys = ("source_id", "target_id", "connection_type", "strength", "label", "in_tree")
        return {row["id"]: row["data"] for row in there}, sorted(tuple(row[key] for key in keys) for row in edges)

    def _entity(self, row: dict[str, Any]) -> None:
        self.version += 1
        _end(self.live.get(row["id"]), self.version, self.now)
        row |= {"since": self.version, "until": FOREVER, "at": self.now, "ended_at": None}
        self.live[row["id"]] = row
        self.entities.append(row)

    async def write(self, dsn: str) -> None:
        """All of it into the tables."""
        connection = await asyncpg.connect(dsn)
        try:
            await self._copy(connection, "eustress_entity_versions", self.entities)
            await self._copy(connection, "eustress_connection_versions", self.connections)
            await self._copy(connection, "eustress_markers", [m | {"metadata": {"n": 1}} for m in self.markers])
            await self._copy(connection, "eustress_epochs", self.epochs)
            row = {"id": self.space, "created_at": BEGAN, "changed_at": self.now, "version": self.version}
            await self._copy(connection, "eustress_spaces", [row | {"policy": self.policy}], named=False)
        finally:
            await connection.close()

    async def _copy(self, connection: Any, table: str, rows: list[dict[str, Any]], *, named: bool = True) -> None:
        if not rows:
            return
        encoder = {"encoder": lambda value: b"\x01" + json.dumps(value).encode(), "decoder": lambda data: data[1:]}
        await connection.set_type_codec("jsonb", schema="pg_catalog", format="binary", **encoder)
        constants = {"space_name": self.space} if named else {}
        columns = list(constants | rows[0])
        records = [tuple((constants | row)[column] for column in columns) for row in rows]
        await connection.copy_records_to_table(table, records=records, columns=columns)


def _end(row: dict[str, Any] | None, version: int, at: datetime) -> None:
    if row is not None:
        row |= {"until": version, "ended_at": at}


def _holds(row: dict[str, Any], time: datetime) -> bool:
    return row["at"] <= time and (row["ended_at"] is None or row["ended_at"] > time)


def random_history(seed: int, changes: int = 120, space: str = "quantum") -> History:
    """Of some ten entities in three levels that come, change, go and come again, with snapshots between."""
    draw, history = random.Random(seed), History(space)
    ids = [f"e{n}" for n in range(10)]
    for _ in range(changes):
        there = [id_ for id_, row in history.live.items() if row["data"] is not None]
        id_ = draw.choice(ids)
        if (roll := draw.random()) < 0.55 or not there:
            parents = [p for p in there if p < id_ and history.live[p]["depth"] < 2]
            known = history.live.get(id_, {"data": None})
            parent = known["parent_id"] if known["data"] else draw.choice([None, *parents])
            position = [round(draw.uniform(-9, 9), 3) for _ in range(3)]
            history.put(id_, parent, position=position, parameters={"n": draw.random()}, tags=["a"])
        elif roll < 0.7:
            leaves = [p for p in there if not any(history.live[c]["parent_id"] == p for c in there)]
            history.remove(draw.choice(leaves))
        elif roll < 0.9:
            history.connect(draw.choice(ids), draw.choice(ids), "touches", draw.choice([None, 0.25, 1.0]))
        else:
            history.snapshot()
    return history

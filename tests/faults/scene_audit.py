"""What a scene must be, computed anew from its entities and connections alone: held against what the lake kept step by step."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from typing import Any

import asyncpg
import orjson

LIVE = 2**63 - 1
SACRED = (3, 6, 9)


class Audit:
    """The live rows of a space, and all versions."""

    def __init__(self, space: dict[str, Any], entities: list[Any], connections: list[Any]) -> None:
        self.space, self.versions, self.edges = space, entities, connections
        self.live = {row["id"]: row for row in entities if row["until"] == LIVE and row["data"] is not None}
        self.connections = [row for row in connections if row["until"] == LIVE and row["strength"] is not None]

    @classmethod
    async def read(cls, database: asyncpg.Connection, space: str) -> Audit:
        """Of one moment."""
        async with database.transaction(isolation="repeatable_read", readonly=True):
            header = await database.fetchrow("SELECT * FROM eustress_spaces WHERE id = $1", space)
            entities = await database.fetch(
                "SELECT *, data::text AS text FROM eustress_entity_versions WHERE space_name = $1 ORDER BY id, since",
                space,
            )
            connections = await database.fetch(
                "SELECT * FROM eustress_connection_versions WHERE space_name = $1"
                " ORDER BY source_id, target_id, connection_type, since",
                space,
            )
        return cls(dict(header), entities, connections)

    def entity(self, id_: str) -> dict[str, Any]:
        """As the engine sent it, or has changed it since."""
        found: dict[str, Any] = orjson.loads(self.live[id_]["text"])
        return found

    def check(self) -> None:
        """Chains of versions, the tree, depths, flux positions, the figures of the space."""
        self._chains(self.versions, ("id",))
        self._chains(self.edges, ("source_id", "target_id", "connection_type"))
        parents = self._tree()
        for id_, row in self.live.items():
            assert row["parent_id"] == parents.get(id_), id_
            assert row["depth"] == self._depth(parents, id_), id_
            assert row["flux_position"] == flux(orjson.loads(row["text"])["position"]), id_
        header = self.space
        assert header["entity_count"] == len(self.live)
        assert header["connection_count"] == len(self.connections)
        assert header["sacred_count"] == sum(row["flux_position"] in SACRED for row in self.live.values())
        assert header["hierarchy_depth"] == max((row["depth"] for row in self.live.values()), default=0)
        assert header["entities_seen"] == len({row["id"] for row in self.versions})

    @staticmethod
    def _chains(rows: list[Any], key: tuple[str, ...]) -> None:
        chains: dict[tuple[str, ...], list[Any]] = defaultdict(list)
        for row in rows:
            chains[tuple(row[name] for name in key)].append(row)
        for which, chain in chains.items():
            for earlier, later in itertools.pairwise(chain):
                assert earlier["until"] == later["since"] > earlier["since"], which
                assert earlier["ended_at"] == later["at"] >= earlier["at"], which
            assert chain[-1]["until"] == LIVE, which

    def _tree(self) -> dict[str, str]:
        """The parent of each: as the rows of connections say, and of those that may be, none is left out."""
        wanting = [row for row in self.connections if row["connection_type"] == "hierarchy"]
        placed = [row for row in wanting if row["in_tree"]]
        assert max(Counter(row["target_id"] for row in placed).values(), default=0) <= 1
        parents = {row["target_id"]: row["source_id"] for row in placed}
        for row in placed:
            assert row["source_id"] in self.live, row
            assert row["target_id"] in self.live, row
        for row in wanting:
            if not row["in_tree"]:
                child, parent = row["target_id"], row["source_id"]
                both = child in self.live and parent in self.live
                assert not both or child in parents or child in self._above(parents, parent), row
        return parents

    def _depth(self, parents: dict[str, str], id_: str) -> int:
        return len(self._above(parents, id_)) - 1

    def _above(self, parents: dict[str, str], id_: str) -> list[str]:
        """It, its parent, and so on; a circle would never end."""
        above = [id_]
        while (parent := parents.get(above[-1])) is not None:
            assert parent not in above
            above.append(parent)
        return above

    def metadata(self) -> dict[str, Any]:
        """A snapshot's, of the scene as it is."""
        positions = [orjson.loads(row["text"])["position"] for row in self.live.values()]
        fluxes = [row["flux_position"] for row in self.live.values()]
        sacred = sum(each in SACRED for each in fluxes)
        quarters = (
            bool(positions),
            bool(self.connections),
            any(row["depth"] for row in self.live.values()),
            sacred > 0,
        )
        return {
            "entity_count": len(positions),
            "connection_count": len(self.connections),
            "hierarchy_depth": max((row["depth"] for row in self.live.values()), default=0),
            "sacred_entity_count": sacred,
            "avg_flux_position": sum(fluxes) / len(fluxes) if fluxes else 0.0,
            "spatial_bounds": [[f(axis) for axis in zip(*positions, strict=True)] for f in (min, max)],
            "quality_score": sum(quarters) / 4,
        }


def flux(position: list[float]) -> int:
    """``droot-v1``, by adding digits, as domain.md says it."""
    total = sum(int(digit) for value in position for digit in str(round(abs(value) * 1000)))
    while total > 9:
        total = sum(int(digit) for digit in str(total))
    return total or 9

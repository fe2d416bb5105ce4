"""Scenes with a past, held in plain Python and written into the lake's tables by hand: what every query is checked against."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from actors.eustress.flux import flux_position

START = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
LIVE = 2**63 - 1
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Thing:
    """An entity as a version has it."""

    data: dict[str, Any]
    parent: str | None = None
    depth: int = 0
    trains: bool | None = None

    @property
    def position(self) -> tuple[float, float, float]:
        x, y, z = self.data["position"]
        return x, y, z

    @property
    def flux(self) -> int:
        return flux_position(*self.position)


@dataclass(frozen=True)
class Bond:
    strength: float = 1.0
    label: str | None = None
    in_tree: bool = False


@dataclass
class Scene:
    """A space at one version."""

    version: int
    at: datetime
    things: dict[str, Thing] = field(default_factory=dict)
    bonds: dict[Key, Bond] = field(default_factory=dict)


@dataclass(frozen=True)
class Shot:
    """A snapshot."""

    id: str
    version: int
    timestamp: datetime


class Past:
    """All versions of one space, oldest first."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.scenes: list[Scene] = [Scene(0, START - timedelta(days=1))]
        self.shots: list[Shot] = []

    def next(self, after_s: float = 60.0) -> Scene:
        """A new version, as yet like the last one."""
        last = self.scenes[-1]
        now = max([last.at if last.version else START, *(shot.timestamp for shot in self.shots)])
        at = now + timedelta(seconds=after_s)  # within a space times never go back
        scene = Scene(last.version + 1, at, dict(last.things), dict(last.bonds))
        self.scenes.append(scene)
        return scene

    def shoot(self, number: int, after_s: float = 1.0) -> Shot:
        """A snapshot of the last version."""
        last = self.scenes[-1]
        id_ = str(UUID(int=number))
        shot = Shot(id_, last.version, last.at + timedelta(seconds=after_s))
        self.shots.append(shot)
        return shot

    def at(self, time: datetime) -> Scene:
        return [scene for scene in self.scenes if scene.at <= time][-1]

    def shown_by(self, shot: Shot) -> Scene:
        return self.scenes[shot.version]

    def words(self) -> dict[str, bool]:
        """What was said last of training."""
        said: dict[str, bool] = {}
        for scene in self.scenes:
            said |= {id_: thing.trains for id_, thing in scene.things.items() if thing.trains is not None}
        return said

    # Rows

    def _spans(self, part: str) -> Iterator[tuple[Any, Any, Scene, Scene | None]]:
        """(key, value or None where it is gone, begins, ends) of everything that ever was."""
        live: dict[Any, tuple[Any, Scene]] = {}
        for scene in self.scenes[1:]:
            now = getattr(scene, part)
            for key in {*live, *now}:
                value = now.get(key)
                if key in live and live[key][0] == value:
                    continue
                if key in live:
                    yield key, live[key][0], live[key][1], scene
                live[key] = (value, scene)
        for key, (value, begins) in live.items():
            yield key, value, begins, None

    async def write(self, connection: asyncpg.Connection, policy: dict[str, Any] | None = None) -> None:
        """Everything, as the space's own entity would have left it."""
        async with connection.transaction():
            await connection.executemany(
                "INSERT INTO eustress_entity_versions (space_name, id, since, until, at, ended_at, flux_position, x, y, z,"
                " parent_id, depth, trains, data)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::jsonb)",
                [
                    (self.space, id_, *_span(begins, ends), *_shown(thing))
                    for id_, thing, begins, ends in self._spans("things")
                ],
            )
            await connection.executemany(
                "INSERT INTO eustress_connection_versions (space_name, source_id, target_id, connection_type, since, until,"
                " at, ended_at, made, in_tree, strength, label) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $5, $9, $10, $11)",
                [
                    (self.space, *key, *_span(begins, ends), *(_tied(bond)))
                    for key, bond, begins, ends in self._spans("bonds")
                ],
            )
            await connection.executemany(
                "INSERT INTO eustress_markers (id, space_name, version, timestamp, reason, metadata)"
                " VALUES ($1, $2, $3, $4, 'manual', $5::text::jsonb)",
                [
                    (shot.id, self.space, shot.version, shot.timestamp, json.dumps(self.metadata(shot)))
                    for shot in self.shots
                ],
            )
            await self._write_space(connection, policy or {})

    def metadata(self, shot: Shot) -> dict[str, Any]:
        """Of a snapshot, as far as anything here looks at it."""
        scene = self.shown_by(shot)
        return {
            "entity_count": len(scene.things),
            "connection_count": len(scene.bonds),
            "hierarchy_depth": max((each.depth for each in scene.things.values()), default=0),
            "sacred_entity_count": sum(each.flux in (3, 6, 9) for each in scene.things.values()),
            "avg_flux_position": 4.5,
            "spatial_bounds": [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]],
            "quality_score": 1.0,
        }

    async def _write_space(self, connection: asyncpg.Connection, policy: dict[str, Any]) -> None:
        last = self.scenes[-1]
        await connection.execute(
            "INSERT INTO eustress_spaces (id, created_at, changed_at, version, entity_count, connection_count, sacred_count,"
            " hierarchy_depth, entities_seen, changes, snapshots, last_snapshot, policy)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::text::jsonb)",
            self.space,
            START,
            last.at,
            last.version,
            len(last.things),
            len(last.bonds),
            sum(thing.flux in (3, 6, 9) for thing in last.things.values()),
            max((thing.depth for thing in last.things.values()), default=0),
            len({id_ for scene in self.scenes for id_ in scene.things}),
            100,
            len(self.shots),
            self.shots[-1].timestamp if self.shots else None,
            json.dumps(policy),
        )


def _span(begins: Scene, ends: Scene | None) -> tuple[Any, ...]:
    return begins.version, LIVE if ends is None else ends.version, begins.at, None if ends is None else ends.at


def _shown(each: Thing | None) -> tuple[Any, ...]:
    if each is None:
        return (None,) * 8
    return each.flux, *each.position, each.parent, each.depth, each.trains, json.dumps(each.data)


def _tied(bond: Bond | None) -> tuple[Any, ...]:
    return (False, None, None) if bond is None else (bond.in_tree, bond.strength, bond.label)


def thing(id_: str, position: tuple[float, float, float], *, trains: bool | None = None, **more: Any) -> Thing:
    data = {"id": id_, "name": id_.title(), "class_type": "Particle", "position": list(position)}
    data |= {"rotation": [0.0, 0.0, 0.0, 1.0], "scale": [1.0, 1.0, 1.0], "tags": [], "parameters": {}}
    return Thing(data | more, trains=trains)


def rooted(scene: Scene) -> None:
    """Parents and depths of the tree that the scene's bonds make."""
    parents = {target: source for (source, target, _), bond in scene.bonds.items() if bond.in_tree}

    def depth(id_: str) -> int:
        return 0 if id_ not in parents else 1 + depth(parents[id_])

    scene.things = {id_: replace(each, parent=parents.get(id_), depth=depth(id_)) for id_, each in scene.things.items()}


def remove(scene: Scene, id_: str) -> None:
    """With its connections."""
    del scene.things[id_]
    scene.bonds = {key: bond for key, bond in scene.bonds.items() if id_ not in key[:2]}


def story(space: str = "quantum_mechanics", *, first_shot: int = 1) -> Past:
    """Five versions of an atom: it comes, moves, loses an electron, is taken apart, gets it back. Two versions have one time."""
    past = Past(space)
    scene = past.next()
    for id_, position in {"root_entity": (0, 0, 0), "nucleus": (0.001, 0.002, 0), "electron_1": (3, 4, 0)}.items():
        scene.things[id_] = thing(id_, tuple(map(float, position)), tags=["matter"], parameters={"charge": 1.5})  # type: ignore[arg-type]
    scene.bonds["root_entity", "nucleus", "hierarchy"] = Bond(0.9, "contains", in_tree=True)
    scene.bonds["nucleus", "electron_1", "hierarchy"] = Bond(in_tree=True)
    scene.bonds["nucleus", "electron_1", "force"] = Bond(0.25)
    rooted(scene)
    past.shoot(first_shot)
    scene = past.next()
    scene.things["electron_1"] = thing("electron_1", (0.0, -12.0, 5.0), trains=True, class_type='Quo"ted')
    scene.things["photon_1"] = thing("photon_1", (1.0, 2.0, 3.0), tags=["light"], trains=True)
    rooted(scene)
    past.shoot(first_shot + 1)
    scene = past.next()
    remove(scene, "electron_1")
    scene.things["photon_1"] = thing("photon_1", (1.0, 2.0, 3.5), tags=["light", "🜂"], trains=False)
    rooted(scene)
    scene = past.next(0.0)  # at the same time
    scene.bonds["photon_1", "nowhere", "lost"] = Bond(0.5)
    del scene.bonds["root_entity", "nucleus", "hierarchy"]
    rooted(scene)
    past.shoot(first_shot + 2)
    scene = past.next()
    scene.things["electron_1"] = thing("electron_1", (3.0, 4.0, 0.0), parameters={"spin": "½"})
    scene.bonds["root_entity", "electron_1", "hierarchy"] = Bond(in_tree=True)
    rooted(scene)
    past.shoot(first_shot + 3)
    past.shoot(first_shot + 4, 30.0)  # of an unchanged scene
    return past


def chance(space: str, seed: int, *, versions: int = 12, first_shot: int = 100) -> Past:
    """A scene that changes at random: entities come, move and go, and so does the tree."""
    rng, past = random.Random(seed), Past(space)
    for number in range(versions):
        scene = past.next(rng.choice([0.0, 0.5, 60.0]))
        for id_ in rng.sample([f"e{n:02}" for n in range(20)], 6):
            if id_ in scene.things and rng.random() < 0.4:
                remove(scene, id_)
            else:
                x, y, z = (rng.choice([-7.0, -1.0, 0.0, 0.5, 2.0, 3.0, 1e6]) for _ in range(3))
                kinds = {"class_type": rng.choice("AB"), "tags": rng.sample(["s", "t"], rng.randrange(3))}
                scene.things[id_] = thing(id_, (x, y, z), trains=rng.choice([None, None, True, False]), **kinds)
        ids = sorted(scene.things)
        for place, id_ in enumerate(ids[1:], 1):
            scene.bonds = {key: bond for key, bond in scene.bonds.items() if key[1] != id_ or key[2] != "hierarchy"}
            if rng.random() < 0.6:
                scene.bonds[rng.choice(ids[:place]), id_, "hierarchy"] = Bond(in_tree=True)
            if rng.random() < 0.3:
                scene.bonds[id_, rng.choice(ids), "force"] = Bond(rng.choice([0.25, 0.75]), rng.choice([None, "x"]))
        rooted(scene)
        if rng.random() < 0.5:
            past.shoot(first_shot + number)
    return past

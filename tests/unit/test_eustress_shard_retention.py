"""A space in a shard that removes its past in steps while commits fail and more is ingested: what is since the horizon, and what
a snapshot shows, is what was there then, and memory and storage agree."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from eustress_world import contents
from test_eustress_review import STATS
from test_eustress_shard import OUTCOMES, SpaceWorld, a_batch, until_done

from actors.eustress import commands as c
from actors.eustress import lake
from actors.eustress.scene import CONNECTIONS, ENTITIES
from actors.eustress.state import MARKERS
from actors.eustress.values import PolicyPatch
from actors.runtime import activation, commits, shard
from actors.runtime.cell import Work
from actors.runtime.entity import AlarmFired, EffectDone, Trim
from storage.memory_versions import trimmed

ALL = 10**6
LEFT = {MARKERS: "markers", ENTITIES: "entities", CONNECTIONS: "connections"}


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((commits, "SETTLE_PAUSE_S"), (activation, "LOAD_PAUSE_S"), (shard, "CONFIRM_PAUSE_S")):
        monkeypatch.setattr(module, name, 0)
    monkeypatch.setattr("actors.eustress.retention.TRIM_ROWS", 3)


class AgingWorld(SpaceWorld):
    """With the lake's worker, and what was seen."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.chance, self.asked = chance, 0
        self.past: list[tuple[datetime, int, Any]] = []
        self.shown: dict[str, Any] = {}
        self.steps = 0

    def rows(self, table: str) -> dict[str, dict[str, Any]]:
        return self.database.tables[table]

    async def change(self) -> None:
        self.asked += 1
        self.clock.passed_s += self.chance.random() * 6
        self.store.outcomes.extend(self.chance.choices(OUTCOMES, k=2))
        said = msgspec.json.decode(a_batch(self.chance))
        for entity in said["entities"]:
            if self.chance.random() < 0.2:
                entity["consent"] = self.chance.random() < 0.5
        items, key = msgspec.json.encode(said), f"key:k:{self.asked}"
        await until_done(self, {self.ask(c.Ingest(items=items), key): (items, key)})
        self.store.outcomes.clear()
        await self.idle()

    def look(self) -> None:
        header = self.shard.cells["e"].state.header
        scene = {id_: (node.parent, node.depth, node.data) for id_, node in self.scene.nodes.items()}
        self.past.append((header.at, header.version, scene))
        for marker in self.rows(MARKERS).values():
            if marker["version"] == header.version:
                self.shown.setdefault(str(marker["id"]), scene)

    async def keep_one(self) -> None:
        """An epoch of any snapshot that is still there."""
        marker = self.chance.choice(list(self.rows(MARKERS).values()))
        await self.answer(
            c.CreateEpoch(
                start_time=marker["timestamp"],
                end_time=marker["timestamp"] + timedelta(seconds=1),
                snapshot_ids=(str(marker["id"]),),
                sample_count=1,
                stats=STATS,
                horizon=self.rows("eustress_spaces")["e"].get("horizon"),
            )
        )

    async def age(self) -> None:
        """What is due of retention, and the worker's answers."""
        for name, due in list(self.shard.cells["e"].agenda.alarms.items()):
            if due <= self.clock.now() and name in ("retention", "trim"):
                self.steps += name == "trim"
                self.store.outcomes.extend(self.chance.choices(OUTCOMES, k=1))
                self.shard.submit(Work("e", AlarmFired(name=name)))
                await self.idle()
                self.store.outcomes.clear()
        for id_, effect in list(self.shard.cells["e"].agenda.effects.items()):
            reply = msgspec.json.encode(self.removable(lake.codec.decode(effect.command)))
            self.shard.submit(Work("e", EffectDone(id=id_, reply=reply)))
            await self.idle()
        self.clock.passed_s += 0.3

    def removable(self, task: Any) -> lake.Removable:
        versions, markers, left = dict(self.database.versions), dict(self.rows(MARKERS)), dict[str, int]()
        for table, name in LEFT.items():
            before = len(versions[table]) if table in versions else 0
            trim = Trim(table=table, entity_id="e", before=task.before, after=task.after, limit=ALL)
            gone = trimmed(versions, markers, self.rows("eustress_epochs"), trim)
            markers = {id_: row for id_, row in markers.items() if id_ not in gone}
            left[name] = len(gone) if table == MARKERS else before - len(versions[table])
        return lake.Removable(**left)

    def at(self, version: int) -> Any:
        rows = [row for row in self.database.versions[ENTITIES].values() if row[2] <= version < row[-2]]
        return {row[1]: (row[8], row[9], row[-3]) for row in rows if row[-3] is not None}

    def check(self) -> None:
        memory, storage = contents(self.scene), contents(self.stored())
        for gone in ("gone", "gone_links"):  # memory may know of more that went: a row less in storage is no harm
            assert storage.pop(gone).items() <= memory.pop(gone).items()
        assert memory == storage
        horizon = self.rows("eustress_spaces")["e"].get("horizon")
        for at, version, scene in self.past:
            assert (horizon is not None and at < horizon) or self.at(version) == scene
        for id_, marker in self.rows(MARKERS).items():
            assert id_ not in self.shown or self.at(marker["version"]) == self.shown[id_]
        for epoch in self.rows("eustress_epochs").values():
            assert all(str(id_) in self.rows(MARKERS) for id_ in epoch["snapshot_ids"])


@pytest.fixture
async def worlds() -> AsyncIterator[list[AgingWorld]]:
    made: list[AgingWorld] = []
    yield made
    for world in made:
        for task in list(world.shard._tasks):
            task.cancel()


@pytest.mark.parametrize("seed", range(10))
async def test_the_past_goes_in_steps_and_no_more_of_it_than_is_said(worlds: list[AgingWorld], seed: int) -> None:
    chance = random.Random(seed)
    world = AgingWorld(chance)
    worlds.append(world)
    await world.start()
    policy = PolicyPatch(retention_s=20, archive=False, snapshot_every_updates=chance.choice([0, 5]))
    await world.answer(c.SetPolicy(patch=policy))
    for _ in range(80):
        await world.change()
        if chance.random() < 0.1:
            await world.answer(c.TakeSnapshot())
        if chance.random() < 0.1:
            await world.answer(c.SetPolicy(patch=PolicyPatch(retention_s=chance.choice([20, 40, 60]))))
        world.look()
        if chance.random() < 0.06 and world.rows(MARKERS):
            await world.keep_one()
        for _ in range(chance.randrange(4)):
            await world.age()
        if chance.random() < 0.15:
            await world.start()
        await world.answer(c.GetSpace())
        world.check()
    assert world.steps > 10
    assert world.rows("eustress_spaces")["e"]["horizon"] is not None

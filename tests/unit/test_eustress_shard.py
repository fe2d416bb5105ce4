"""A Eustress space in a shard whose commits end in every way: memory is what storage has; what was acknowledged is there once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import msgspec
import pytest
from eustress_world import as_jsonb, contents, edge, entity
from fakes import World

from actors.eustress import commands as c
from actors.eustress.entity import EustressKind
from actors.eustress.scene import CONNECTIONS, ENTITIES, Scene
from actors.eustress.values import SceneLimits
from actors.runtime import activation, commits, shard
from actors.runtime.ports import LIVE
from storage import memory

OUTCOMES = ("ok", "ok", "aborted", "unknown-there", "unknown-gone")
IDS = "abcdefgh"


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)
    monkeypatch.setattr(shard, "CONFIRM_PAUSE_S", 0)
    monkeypatch.setattr(memory, "PAGE_ROWS", 3)


class SpaceWorld(World):
    """A shard of spaces, of which ``e`` is one."""

    encode = staticmethod(c.encode)

    def __init__(self) -> None:
        super().__init__(checkpoint_every=7)
        self.kind = EustressKind(SceneLimits())

    @property
    def scene(self) -> Scene:
        scene: Scene = self.shard.cells["e"].state.scene
        return scene

    def stored(self) -> Scene:
        """What a new process would load."""
        scene = Scene()
        for table, width in ((ENTITIES, 2), (CONNECTIONS, 4)):
            rows = [row[:-2] for row in self.database.versions[table].values() if row[-2] == LIVE]
            rows.sort(key=lambda row: row[:width])
            if table == ENTITIES:
                rows = [(*row[:-1], None if row[-1] is None else as_jsonb(row[-1])) for row in rows]
            if rows:
                scene.restored(table, rows)
            scene.restored(table, [])
        return scene


@pytest.fixture
async def world() -> AsyncIterator[SpaceWorld]:
    world = SpaceWorld()
    await world.start()
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


def a_batch(chance: random.Random) -> bytes:
    pick = chance.choice
    return msgspec.json.encode(
        {
            "entities": [
                entity(pick(IDS), chance.random(), parameters={"n": chance.random()})
                for _ in range(chance.randrange(4))
            ],
            "connections": [edge(one, two) for one, two in (chance.sample(IDS, 2) for _ in range(chance.randrange(4)))],
            "removed_connections": [edge(*chance.sample(IDS, 2)) for _ in range(chance.randrange(3))],
            "removed_entities": [pick(IDS) for _ in range(chance.randrange(2))],
        }
    )


async def until_done(world: SpaceWorld, waiting: dict[int, tuple[bytes, str]]) -> int:
    """Each is asked again, under its operation, until it is acknowledged. How many items were taken."""
    accepted = 0
    while waiting:
        await world.idle()
        for cid, (items, operation) in list(waiting.items()):
            answer = world.result(cid)
            del waiting[cid]
            if isinstance(answer, dict):
                accepted += answer["accepted"]
            else:
                assert answer == "storage_unavailable", answer
                waiting[world.ask(c.Ingest(items=items), operation)] = items, operation
    return accepted


@pytest.mark.parametrize("seed", range(12))
async def test_memory_is_what_storage_has_and_what_was_acknowledged_is_there_once(world: SpaceWorld, seed: int) -> None:
    chance, accepted, number = random.Random(seed), 0, 0
    for _ in range(12):
        world.store.outcomes.extend(chance.choices(OUTCOMES, k=3))
        waiting: dict[int, tuple[bytes, str]] = {}
        for _ in range(chance.randrange(1, 5)):
            number += 1
            items, operation = a_batch(chance), f"key:k:{number}"
            waiting[world.ask(c.Ingest(items=items), operation)] = items, operation
        accepted += await until_done(world, waiting)
        world.store.outcomes.clear()
        if chance.random() < 0.3:
            await world.start()
        await world.answer(c.GetSpace())
        assert contents(world.scene) == contents(world.stored())
        assert world.database.tables["eustress_spaces"]["e"]["changes"] == accepted
        state = world.shard.cells["e"].state.header
        assert state.version == world.shard.cells["e"].seq == len(world.database.journal["eustress", "e"])
        assert state.changes == accepted

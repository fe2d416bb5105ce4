"""A Eustress space whose rows are in a real database: what is loaded again is what was in memory, whatever an engine sent."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from backends import PostgresBackend
from making import NOW

from actors.eustress import commands as c
from actors.eustress.entity import EustressKind
from actors.eustress.state import EustressState
from actors.eustress.values import EpochStats, PolicyPatch, SceneLimits
from actors.runtime.commits import make_batch
from actors.runtime.entity import AlarmFired, Context, EffectDone
from actors.runtime.ports import JournalRow
from storage.eustress_queries import EustressQueries, Wanted
from storage.store import PostgresStore

SPACE = "s"
MINUTE = timedelta(minutes=1)
BOND = b'{"source_id":"a","target_id":"b","connection_type":"near"}'
NUMBERS = (
    b"0 -0 -0.0 1 1.0 1e2 0.1 1e-7 5e-324 1e16 1e22 1.2345678901234568e20 1e23 -1e300 1.7976931348623157e308"
    b" 9007199254740993 18446744073709551616 -123456789012345678901234567890"
).split()


class Stored:
    """A space on a store, without a shard."""

    def __init__(self, store: PostgresStore) -> None:
        self.store, self.kind = store, EustressKind(SceneLimits())
        self.state: EustressState = self.kind.initial(SPACE)
        self.now = NOW

    async def do(self, command: Any) -> Any:
        """Decided, and committed as a shard commits it."""
        kind, seq = self.kind, self.state.header.version
        context = Context(entity_id=SPACE, now=self.now, next_offset=1, operation=None, seq=seq)
        decision = kind.decide(self.state, command, context)
        entry = SimpleNamespace(journal=[], rows=[], claims=[], alarms=[], forget=0, cell=SimpleNamespace(id=SPACE))
        for event in decision.events:
            self.state = kind.evolve(self.state, event, self.now)
            row = JournalRow(
                entity_id=SPACE,
                seq=self.state.header.version,
                at=self.now,
                event_type=kind.event_type(event),
                format=kind.format,
                data=kind.encode_event(event),
            )
            entry.journal.append(row)
            entry.rows += kind.rows(event, self.state, self.now)
        if decision.events:
            await self.store.commit(make_batch([entry], []))  # type: ignore[list-item]
        return decision.reply

    async def batch(self, text: bytes) -> Any:
        return await self.do(c.Ingest(items=text))

    async def reload(self) -> None:
        """As an activation does."""
        kind, state = self.kind, self.kind.initial(SPACE)
        for row in (await self.store.load([SPACE]))[SPACE].events:
            state = kind.evolve(state, kind.decode_event(row.format, row.data), row.at)
        for table in kind.versioned:
            after = None
            while rows := await self.store.load_live(SPACE, table, after):
                state, after = kind.restored(state, table, rows), rows[-1]
            state = kind.restored(state, table, [])
        self.state = state


@pytest.fixture
async def space(postgres_backend: PostgresBackend) -> Stored:
    store = postgres_backend.store(kind="eustress")
    assert isinstance(store, PostgresStore)
    await store.acquire()
    return Stored(store)


def texts(space: Stored) -> dict[str, bytes]:
    return {id_: node.data for id_, node in space.state.scene.nodes.items()}


async def test_what_is_loaded_again_is_byte_for_byte_what_was_there_and_the_same_again_is_no_change(
    space: Stored,
) -> None:
    items = [
        b'{"id":"n%d","position":[%s,0,1e22],"parameters":{"v":%s,"deep":{"b":[%s],"a":null}}}'
        % (n, number if abs(float(number)) < 1e38 else b"-0.0", number, number)
        for n, number in enumerate(NUMBERS)
    ]
    items += [
        msgspec.json.encode({"id": text, "parameters": {text: text, "k": {"\u00e9": 1, "e\u0301": 2, "zz": 0, "": ""}}})
        for text in ('"', "\\", "\U0001f9d8", "\u2028", "\\u0000", "a b", "\u200b")
    ]
    await space.batch(b'{"entities":[%s]}' % b",".join(items))
    before, bytes_ = texts(space), space.state.scene.bytes
    await space.reload()
    assert texts(space) == before
    assert space.state.scene.bytes == bytes_
    version = space.state.header.version
    for item in items:
        assert (await space.batch(b'{"entities":[%s]}' % item)).version == version


async def test_what_went_before_the_horizon_is_not_there_after_it_though_an_epoch_shows_it(
    space: Stored, postgres_backend: PostgresBackend
) -> None:
    """The word that it went is removed, and the row that an epoch keeps is the newest that is left."""
    first = space.now
    await space.do(c.SetPolicy(patch=PolicyPatch(retention_s=60, archive=False)))
    await space.batch(b'{"entities":[{"id":"a"},{"id":"b"}],"connections":[%s]}' % BOND)
    snapshot = (await space.do(c.TakeSnapshot())).snapshot_id
    stats = EpochStats(
        total_entities=1, total_connections=0, unique_types=1, avg_hierarchy_depth=0, sacred_frequency=0,
        spatial_coverage=0,
    )  # fmt: skip
    await space.do(
        c.CreateEpoch(start_time=first, end_time=first + MINUTE, snapshot_ids=(snapshot,), sample_count=1, stats=stats)
    )
    space.now += MINUTE
    await space.batch(b'{"removed_entities":["a","b"]}')
    went = space.now
    space.now += 3 * MINUTE
    await space.do(AlarmFired(name="retention"))
    [(id_, _)] = space.kind.agenda(space.state).effects.items()
    await space.do(EffectDone(id=id_, reply=b'{"entities":2,"connections":1}'))
    await space.do(AlarmFired(name="trim"))
    assert space.state.header.horizon > went
    queries = EustressQueries(postgres_backend.dsn)
    try:
        async with queries.reading() as lake:
            found = await lake.moment(SPACE, space.now)
            assert found is not None
            assert (await lake.entities(found[0], Wanted(), 10)).rows == []
            assert not [row async for rows in lake.scene_connections(found[0]) for row in rows]
            then = await lake.moment(SPACE, went - MINUTE / 2)
            assert then is not None
            assert [row["id"] for row in (await lake.entities(then[0], Wanted(), 10)).rows] == ["a", "b"]
    finally:
        await queries.close()

"""What a gateway reads of the lake, against the same computed in plain Python from scenes with a past."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from backends import PostgresBackend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lake_world import START, Past, Scene, Shot, Thing, chance, story, thing

from actors.runtime.ports import StoreDown
from storage import read_pool
from storage.eustress_queries import EustressQueries, EustressReading, Moment, Near, Wanted
from storage.pool import BadValue, connect
from storage.read_pool import ReadPool, ReadTooLong

MANY = 10_000


@pytest.fixture
def pasts() -> list[Past]:
    return [story(), chance("chance", 5), chance("chance more", 8, first_shot=200)]


@pytest.fixture
async def queries(postgres_backend: PostgresBackend, pasts: list[Past]) -> AsyncIterator[EustressQueries]:
    for past in pasts:
        await past.write(postgres_backend.connection)
    queries = EustressQueries(postgres_backend.dsn)
    yield queries
    await queries.close()


@pytest.fixture
async def lake(queries: EustressQueries) -> AsyncIterator[EustressReading]:
    async with queries.reading() as lake:
        yield lake


def ids(page: Any) -> list[str]:
    return [row["id"] for row in page.rows]


def held(scene: Scene) -> list[tuple[Any, ...]]:
    return [
        (id_, each.flux, *each.position, each.parent, each.depth, each.data)
        for id_, each in sorted(scene.things.items())
    ]


def shown(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    names = ("id", "flux_position", "x", "y", "z", "parent_id", "depth")
    return [(*(row[name] for name in names), json.loads(row["data"])) for row in rows]


def bonds(scene: Scene) -> list[tuple[Any, ...]]:
    return [(*key, bond.strength, bond.label, bond.in_tree) for key, bond in sorted(scene.bonds.items())]


def tied(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    names = ("source_id", "target_id", "connection_type", "strength", "label", "in_tree")
    return [tuple(row[name] for name in names) for row in rows]


def moments(past: Past) -> list[tuple[datetime, Scene]]:
    """Every time at which something was, right before and right after it."""
    tick = timedelta(microseconds=1)
    times = {scene.at + by for scene in past.scenes for by in (-tick, timedelta(0), tick)}
    return [(time, past.at(time)) for time in sorted(times) if time >= past.scenes[0].at]


def marker(shot: Shot, space: str) -> Moment:
    return Moment(space, shot.version, shot.timestamp)


# --- a scene at any moment -------------------------------------------------------------------------------------------


async def test_the_scene_is_what_it_was_at_every_moment(lake: EustressReading, pasts: list[Past]) -> None:
    for past in pasts:
        for time, scene in [*moments(past), (START + timedelta(days=900), past.scenes[-1])]:
            found = await lake.moment(past.space, time)
            assert found is not None
            assert found[1] is None
            assert shown((await lake.entities(found[0], Wanted(), MANY)).rows) == held(scene), time
            assert tied((await lake.connections(found[0], MANY)).rows) == bonds(scene), time


async def test_the_live_scene_and_every_snapshot(lake: EustressReading, pasts: list[Past]) -> None:
    for past in pasts:
        live = Moment(past.space)
        assert shown((await lake.entities(live, Wanted(), MANY)).rows) == held(past.scenes[-1])
        assert tied((await lake.connections(live, MANY)).rows) == bonds(past.scenes[-1])
        for shot in past.shots:
            found = await lake.snapshot(shot.id)
            assert found is not None
            assert (found.space_name, found.version, found.timestamp) == (past.space, shot.version, shot.timestamp)
            assert shown((await lake.entities(found.moment, Wanted(), MANY)).rows) == held(past.shown_by(shot))
            assert tied((await lake.connections(found.moment, MANY)).rows) == bonds(past.shown_by(shot))


async def test_a_space_that_is_not_there_has_no_moment_and_nothing_in_it(lake: EustressReading) -> None:
    assert await lake.moment("nowhere", START) is None
    assert (await lake.entities(Moment("nowhere"), Wanted(), 5)).rows == []
    assert await lake.snapshot("00000000-0000-0000-0000-00000000ffff") is None
    with pytest.raises(BadValue):
        await lake.snapshot("no uuid")


async def test_since_when_things_are_as_they_are(lake: EustressReading) -> None:
    rows = (await lake.entities(Moment("quantum_mechanics"), Wanted(with_data=False), MANY)).rows
    assert {row["id"]: row["since"] for row in rows} == {"electron_1": 5, "nucleus": 4, "photon_1": 3, "root_entity": 1}
    assert {row["data"] for row in rows} == {None}


# --- filters ---------------------------------------------------------------------------------------------------------


def fits(id_: str, each: Thing, wanted: Wanted) -> bool:
    x, y, z = each.position
    box = wanted.box or (-math.inf, -math.inf, -math.inf, math.inf, math.inf, math.inf)
    return (
        (wanted.flux is None or each.flux in wanted.flux)
        and wanted.depth in (None, each.depth)
        and wanted.parent in (None, each.parent)
        and wanted.class_type in (None, each.data["class_type"])
        and (wanted.tag is None or wanted.tag in each.data["tags"])
        and (wanted.ids is None or id_ in wanted.ids)
        and box[0] <= x <= box[3]
        and box[1] <= y <= box[4]
        and box[2] <= z <= box[5]
    )


COORDINATES = st.sampled_from([-7.0, -1.0, -0.5, 0.0, 0.5, 2.0, 3.0, 1e6, -3.4e38, 3.4e38])
BOXES = st.tuples(*[COORDINATES] * 6).map(
    lambda c: tuple(min(c[i], c[i + 3]) for i in range(3)) + tuple(max(c[i], c[i + 3]) for i in range(3))
)
IDS = st.sampled_from([f"e{n:02}" for n in range(22)])
WANTED = st.builds(
    Wanted,
    flux=st.none() | st.lists(st.integers(1, 9), min_size=1, max_size=5).map(tuple),
    depth=st.none() | st.integers(0, 3),
    parent=st.none() | IDS,
    class_type=st.none() | st.sampled_from(["A", "B", "C"]),
    tag=st.none() | st.sampled_from(["s", "t", "u"]),
    ids=st.none() | st.lists(IDS, max_size=6).map(tuple),
    box=st.none() | BOXES,
)
ONCE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONCE
@given(wanted=WANTED, when=st.integers(0, 40))
async def test_filters_find_what_fits(lake: EustressReading, pasts: list[Past], wanted: Wanted, when: int) -> None:
    past = pasts[1]
    moment = Moment(past.space)
    scene = past.scenes[-1]
    if when < len(past.shots):
        moment, scene = marker(past.shots[when], past.space), past.shown_by(past.shots[when])
    expected = [id_ for id_, each in sorted(scene.things.items()) if fits(id_, each, wanted)]
    assert ids(await lake.entities(moment, wanted, MANY)) == expected


@ONCE
@given(
    center=st.tuples(*[COORDINATES] * 3),
    radius=st.none() | st.sampled_from([0.0, 1.0, 3.5, math.sqrt(2), 9.0, 1e6, 3.4e38]),
    limit=st.integers(1, 7),
    wanted=st.builds(Wanted, box=st.none() | BOXES, flux=st.none() | st.just((3, 6, 9))),
    when=st.integers(0, 12),
)
async def test_the_nearest_come_first_and_none_is_missed(
    lake: EustressReading,
    pasts: list[Past],
    center: tuple[float, float, float],
    radius: float | None,
    limit: int,
    wanted: Wanted,
    when: int,
) -> None:
    past = pasts[2]
    moment, scene = Moment(past.space), past.scenes[-1]
    if when < len(past.shots):
        moment, scene = marker(past.shots[when], past.space), past.shown_by(past.shots[when])
    expected = sorted(
        (far, id_)
        for id_, each in scene.things.items()
        if fits(id_, each, wanted)
        and ((far := distance(each.position, center)) <= (radius or math.inf) or far == radius)
    )
    if radius is not None:
        expected = [(far, id_) for far, id_ in expected if far <= radius]
    found: list[tuple[float, str]] = []
    after: tuple[float, str] | None = None
    while True:
        page = await lake.near(moment, wanted, Near(center=center, radius=radius), limit, after)
        assert len(page.rows) <= limit
        found += [(row["distance"], row["id"]) for row in page.rows]
        if not page.more:
            break
        after = found[-1]
    assert found == expected


def distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    x, y, z = (a - b for a, b in zip(one, other, strict=True))
    return math.sqrt(x * x + y * y + z * z)


async def test_coordinates_whose_squares_underflow_are_at_no_distance(
    postgres_backend: PostgresBackend, queries: EustressQueries
) -> None:
    past = Past("tiny")
    scene = past.next()
    for number, x in enumerate((1e-300, 5e-324, -1e-200, 1e-100, 0.0)):
        scene.things[f"t{number}"] = thing(f"t{number}", (x, 0.0, 0.0))
    await past.write(postgres_backend.connection)
    async with queries.reading() as lake:
        for radius in (None, 0.0):
            page = await lake.near(Moment("tiny"), Wanted(), Near(center=(0.0, 0.0, 0.0), radius=radius), 10)
            assert [(row["id"], row["distance"]) for row in page.rows][:4] == [(f"t{n}", 0.0) for n in (0, 1, 2, 4)]
            assert len(page.rows) == (5 if radius is None else 4)
        counted = await lake.epoch_stats("tiny", [1])  # whose cells are as small
        assert counted.sample_count == 5


async def test_one_in_so_many_is_always_the_same_one(lake: EustressReading, pasts: list[Past]) -> None:
    everyone = ids(await lake.entities(Moment("chance"), Wanted(), MANY))
    some = ids(await lake.entities(Moment("chance"), Wanted(every=3), MANY))
    assert set(some) < set(everyone)
    assert some
    assert ids(await lake.entities(Moment("chance"), Wanted(every=1), MANY)) == everyone


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_pages_have_no_gaps(lake: EustressReading, pasts: list[Past], limit: int) -> None:
    for past in pasts:
        for moment, scene in [
            (Moment(past.space), past.scenes[-1]),
            (marker(past.shots[1], past.space), past.shown_by(past.shots[1])),
        ]:
            found: list[str] = []
            while True:
                page = await lake.entities(moment, Wanted(), limit, found[-1] if found else None)
                found += ids(page)
                if not page.more:
                    break
                assert len(page.rows) == limit
            assert found == sorted(scene.things)
            keys: list[Any] = []
            while True:
                page = await lake.connections(moment, limit, after=keys[-1] if keys else None)
                keys += [row[:3] for row in tied(page.rows)]
                if not page.more:
                    break
            assert keys == sorted(scene.bonds)


async def test_a_page_ends_where_it_gets_too_large(lake: EustressReading) -> None:
    page = await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY, room=300)
    assert ids(page) == ["electron_1", "nucleus"]
    assert page.more
    last = await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY, "photon_1", room=1)
    assert (ids(last), last.more) == (["root_entity"], False)


async def test_connections_by_type_and_end(lake: EustressReading, pasts: list[Past]) -> None:
    for past in pasts:
        for moment, scene in [
            (Moment(past.space), past.scenes[-1]),
            *((marker(s, past.space), past.shown_by(s)) for s in past.shots),
        ]:
            for kind in (None, "hierarchy", "force"):
                for entity in (None, "nucleus", "e03", "e07", "e11"):
                    expected = [
                        key
                        for key in sorted(scene.bonds)
                        if kind in (None, key[2]) and (entity is None or entity in key[:2])
                    ]
                    page = await lake.connections(moment, MANY, connection_type=kind, entity=entity)
                    assert [row[:3] for row in tied(page.rows)] == expected


async def test_a_scene_by_and_by_is_the_seeds_view(
    lake: EustressReading, postgres_backend: PostgresBackend, pasts: list[Past]
) -> None:
    for row in await postgres_backend.connection.fetch("SELECT * FROM eustress_snapshots"):
        found = await lake.snapshot(str(row["id"]))
        assert found is not None
        moment = found.moment
        assert [json.loads(each["data"]) for each in await everything(lake.scene_entities(moment))] == row["entities"]
        connections = [
            {name: value for name, value in each.items() if value is not None}
            for each in await everything(lake.scene_connections(moment))
        ]
        assert connections == row["connections"]
        tree = await everything(lake.scene_tree(moment))
        hierarchy = row["hierarchy"]
        assert {each["id"]: each["depth"] for each in tree} == hierarchy["depth_map"]
        assert [each["id"] for each in await everything(lake.scene_tree(moment, roots=True))] == hierarchy["roots"]
        parents = await everything(lake.scene_tree(moment, roots=False))
        assert {each["id"]: each["parent_id"] for each in parents} == hierarchy["parent_map"]
        children: dict[str, list[str]] = {}
        for each in await everything(lake.scene_children(moment)):
            children.setdefault(each["parent_id"], []).append(each["id"])
        assert children == hierarchy["children_map"]
        parameters = await everything(lake.scene_parameters(moment))
        assert {each["id"]: json.loads(each["data"]) for each in parameters} == row["parameters"]


async def everything(chunks: AsyncIterator[list[Any]]) -> list[Any]:
    return [row async for rows in chunks for row in rows]


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 500])
async def test_changes_fed_to_an_empty_scene_make_the_live_one(
    lake: EustressReading, pasts: list[Past], limit: int
) -> None:
    for past in pasts:
        things: dict[str, Any] = {}
        links: dict[Any, Any] = {}
        after: tuple[int, int, str, str, str] = (1, 0, "", "", "")
        last = after
        while True:
            page = await lake.changes(past.space, after, limit)
            for row in page.rows:
                after = (row["since"], row["rank"], row["a"], row["b"], row["c"])
                assert after > last
                last = after
                match row["rank"]:
                    case 0:
                        things[row["a"]] = json.loads(row["data"])
                    case 1:
                        links[after[2:]] = (row["strength"], row["label"])
                    case 2:
                        del links[after[2:]]
                    case 3:
                        del things[row["a"]]
            if not page.more:
                break
        scene = past.scenes[-1]
        assert things == {id_: each.data for id_, each in scene.things.items()}
        assert links == {key: (bond.strength, bond.label) for key, bond in scene.bonds.items()}


# --- snapshots -------------------------------------------------------------------------------------------------------


async def test_snapshots_come_in_pages_both_ways(lake: EustressReading, pasts: list[Past]) -> None:
    past = pasts[0]
    expected = [shot.id for shot in past.shots]
    found: list[str] = []
    while page := await lake.snapshots(past.space, 2, before=found[-1] if found else None):
        found += [each.id for each in page]
    assert found == expected[::-1]
    assert [each.id for each in await lake.snapshots_onward(past.space, 9, first=expected[2])] == expected[2:]
    start, end = past.shots[1].timestamp, past.shots[3].timestamp
    assert [each.id for each in await lake.snapshots(past.space, 9, from_=start, to=end)] == expected[1:4][::-1]
    assert [each.id for each in await lake.snapshots_onward(past.space, 9, from_=start, to=end)] == expected[1:4]
    assert await lake.snapshots(past.space, 9, before=pasts[1].shots[0].id) == []  # another's


# --- epochs ----------------------------------------------------------------------------------------------------------


def counted_by_hand(past: Past, shots: Sequence[Shot], *, by_default: bool) -> dict[str, Any]:
    words = past.words()

    def trains(id_: str) -> bool:
        return words.get(id_, by_default)

    scenes = [past.shown_by(shot) for shot in shots]
    samples = set()
    for id_, each, begins, ends in past._spans("things"):
        last = math.inf if ends is None else ends.version
        if each is not None and trains(id_) and any(begins.version <= scene.version < last for scene in scenes):
            samples.add((id_, begins.version))
    kept = [(id_, past.scenes[version].things[id_]) for id_, version in samples]
    links = {key for scene in scenes for key in scene.bonds if trains(key[0]) and trains(key[1])}
    places = [each.position for _, each in kept]
    low, high = ([pick(axis) for axis in zip(*places, strict=True)] if places else [] for pick in (min, max))
    cells = {
        tuple(min(9, int(10 * ((x - a) / (b - a)))) if b > a else 0 for x, a, b in zip(at, low, high, strict=True))
        for at in places
    }
    return {
        "sample_count": len(kept),
        "total_entities": len({id_ for id_, _ in kept}),
        "total_connections": len(links),
        "unique_types": len({each.data["class_type"] for _, each in kept}),
        "avg_hierarchy_depth": sum(each.depth for _, each in kept) / len(kept) if kept else 0.0,
        "sacred_frequency": sum(each.flux in (3, 6, 9) for _, each in kept) / len(kept) if kept else 0.0,
        "spatial_coverage": len(cells) / 1000,
    }


@pytest.mark.parametrize("by_default", [True, False])
async def test_an_epoch_is_counted_as_by_hand(postgres_backend: PostgresBackend, by_default: bool) -> None:
    pasts = [story(), chance("chance", 5), chance("more", 13, versions=25, first_shot=300)]
    for past in pasts:
        await past.write(postgres_backend.connection, {"trains_by_default": by_default})
    queries = EustressQueries(postgres_backend.dsn)
    for past in pasts:
        for first in range(len(past.shots)):
            for last in range(first, len(past.shots)):
                shots = past.shots[first : last + 1]
                async with queries.reading(long=True) as lake:
                    found = await lake.epoch_snapshots(past.space, shots[0].timestamp, shots[-1].timestamp, 100)
                    assert [id_ for id_, _ in found] == [shot.id for shot in shots]
                    counted = await lake.epoch_stats(past.space, [version for _, version in found])
                expected = counted_by_hand(past, shots, by_default=by_default)
                assert counted.sample_count == expected.pop("sample_count")
                for name, value in expected.items():
                    assert getattr(counted.stats, name) == pytest.approx(value), name
    await queries.close()


async def test_an_epoch_of_nothing_counts_nothing(lake: EustressReading) -> None:
    counted = await lake.epoch_stats("nowhere", [])
    assert (counted.sample_count, counted.stats.spatial_coverage, counted.stats.sacred_frequency) == (0, 0.0, 0.0)
    assert await lake.epoch_snapshots("quantum_mechanics", START - timedelta(days=2), START, 5) == []


async def test_who_refused_last_is_in_no_epoch(lake: EustressReading, pasts: list[Past]) -> None:
    """photon_1 let itself train at version 2 and no longer at version 3: none of its versions is a sample."""
    second = pasts[0].shots[1]
    counted = await lake.epoch_stats(pasts[0].space, [second.version])
    assert counted.sample_count == len(pasts[0].shown_by(second).things) - 1


# --- spaces, figures, archives ---------------------------------------------------------------------------------------


async def test_spaces_by_name(lake: EustressReading, pasts: list[Past]) -> None:
    names = sorted(past.space for past in pasts)
    assert [row["id"] for row in await lake.spaces(10)] == names
    assert [row["id"] for row in await lake.spaces(1, names[0])] == names[1:2]
    row = await lake.space("quantum_mechanics")
    assert row is not None
    assert (row["entity_count"], row["version"], row["policy"]) == (4, 5, {})
    assert await lake.space("nowhere") is None


async def test_the_figures_of_the_lake(
    lake: EustressReading, postgres_backend: PostgresBackend, pasts: list[Past]
) -> None:
    stats = dict(await lake.stats() or {})
    size = stats.pop("storage_size_bytes")
    every = [shot for past in pasts for shot in past.shots]
    assert stats == {
        "total_snapshots": len(every),
        "total_spaces": 3,
        "total_entities_seen": sum(len({id_ for scene in past.scenes for id_ in scene.things}) for past in pasts),
        "total_epochs": 0,
        "last_snapshot": max(shot.timestamp for shot in every),
    }
    sizes = await postgres_backend.connection.fetchval(
        "SELECT sum(pg_total_relation_size(oid)) FROM pg_class"
        " WHERE relkind = 'r' AND relname ~ '^eustress_(entity_versions|connection_versions|spaces|markers|epochs|archives)'"
    )
    assert size == sizes > 0


async def test_epochs_and_archives_are_found(postgres_backend: PostgresBackend, queries: EustressQueries) -> None:
    ids_ = [f"00000000-0000-0000-0000-0000000000e{n}" for n in range(3)]
    for number, id_ in enumerate(ids_):
        await postgres_backend.connection.execute(
            "INSERT INTO eustress_epochs (id, space_name, snapshot_ids, start_time, end_time, sample_count, stats, created_at)"
            " VALUES ($1, $2, '[]', $3, $3, 1, '{}', $3)",
            id_,
            "a" if number < 2 else "b",
            START + timedelta(hours=number),
        )
    await postgres_backend.connection.execute(
        "INSERT INTO eustress_archives (id, space_name, from_version, to_version, to_time, files)"
        " VALUES ($1, 'a', 1, 2, $2, '[{\"name\": \"x\"}]')",
        ids_[0],
        START,
    )
    async with queries.reading() as lake:
        assert [row["id"] for row in await lake.epochs(None, 10)] == ids_[::-1]
        assert [row["id"] for row in await lake.epochs("a", 1)] == [ids_[1]]
        assert [row["id"] for row in await lake.epochs("a", 1, ids_[1])] == [ids_[0]]
        found = await lake.epoch(ids_[2])
        assert found is not None
        assert (found["space_name"], found["snapshot_ids"], found["consolidated_into"]) == ("b", "[]", None)
        assert await lake.epoch("00000000-0000-0000-0000-0000000000ff") is None
        assert [row["id"] for row in await lake.archives("a", 5)] == ids_[:1]
        assert await lake.archives("b", 5) == []
        archive = await lake.archive("a", ids_[0])
        assert archive is not None
        assert json.loads(archive["files"]) == [{"name": "x"}]
        assert await lake.archive("b", ids_[0]) is None


# --- views and connections -------------------------------------------------------------------------------------------


async def test_a_reading_is_of_one_instant_and_writes_nothing(
    postgres_backend: PostgresBackend, queries: EustressQueries
) -> None:
    async with queries.reading() as lake:
        before = ids(await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY))
        await postgres_backend.connection.execute("DELETE FROM eustress_entity_versions")
        assert ids(await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY)) == before
        connection = lake._view._connection
        assert await connection.fetchval("SHOW transaction_read_only") == "on"
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
        assert await connection.fetchval("SHOW statement_timeout") == "1min"
    async with queries.reading() as lake:
        assert (await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY)).rows == []


async def test_long_reads_leave_a_connection_to_short_ones(postgres_backend: PostgresBackend) -> None:
    pool = ReadPool(postgres_backend.dsn, application_name="t", size=3, long=2, wait_s=0.05)
    async with pool.view(long=True), pool.view(long=True):
        with pytest.raises(StoreDown, match="too many"):
            async with pool.view(long=True):
                pass
        async with pool.view() as view:
            assert (await view.row("eustress/stats"))["total_spaces"] == 0  # type: ignore[index]
            with pytest.raises(StoreDown, match="too many"):
                async with pool.view():
                    pass
    async with pool.view(), pool.view(), pool.view():
        assert len(pool._open) == 3
    assert len(pool._free) == 3
    await pool.close()


async def test_a_view_that_ends_in_the_middle_of_a_statement_gives_up_its_connection(
    postgres_backend: PostgresBackend, queries: EustressQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_pool, "statement", _by_text)
    pool = queries._pool
    begun = asyncio.Event()

    async def read() -> None:
        async with pool.view() as view:
            begun.set()
            await view.rows("SELECT pg_sleep(60)")

    task = asyncio.create_task(read())
    await begun.wait()  # and the statement is under way: nothing in between gives way
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (pool._free, pool._open) == ([], set())
    async with pool.view() as view:
        assert await view.row("SELECT 1") is not None


def _by_text(name: str) -> str:
    """Statements by their text, and a session that is patient for 0.2 s."""
    return "SET statement_timeout = 200" if name == "eustress/reader_session" else name


async def test_a_stream_that_is_left_gives_its_connection_back(queries: EustressQueries) -> None:
    async with queries.reading(long=True) as lake:
        chunks = lake.scene_entities(Moment("quantum_mechanics"))
        await anext(chunks)
    assert len(queries._pool._free) == 1
    async with queries.reading() as lake:
        assert len((await lake.entities(Moment("quantum_mechanics"), Wanted(), MANY)).rows) == 4


async def test_what_takes_too_long_is_said_so(
    postgres_backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_pool, "statement", _by_text)
    pool = ReadPool(postgres_backend.dsn, application_name="t")
    with pytest.raises(ReadTooLong):
        async with pool.view() as view:
            await view.rows("SELECT pg_sleep(60)")
    await pool.close()


async def test_a_connection_that_broke_is_replaced(postgres_backend: PostgresBackend, queries: EustressQueries) -> None:
    async with queries.reading():
        pass
    await postgres_backend.connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sangha lake reader'"
    )
    async with queries.reading() as lake:
        assert (await lake.stats()) is not None
    down = EustressQueries("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(StoreDown):
        async with down.reading():
            pass


async def test_live_pages_are_read_by_the_live_indexes(postgres_backend: PostgresBackend) -> None:
    """Of 5,000 entities among as many that ended; the plans that reader_session.sql asks for."""
    connection = postgres_backend.connection
    await connection.execute(
        "INSERT INTO eustress_entity_versions (space_name, id, since, until, at, ended_at, flux_position, x, y, z, depth, data)"
        " SELECT 's', 'e' || n, 1, CASE WHEN n % 2 = 0 THEN 9223372036854775807 ELSE 2 END, now(),"
        " CASE WHEN n % 2 = 1 THEN now() END, n % 9 + 1, n % 97, 0, n % 89, n % 400, jsonb_build_object('name', repeat('x', 500))"
        " FROM generate_series(1, 10000) n"
    )
    await connection.execute("ANALYZE eustress_entity_versions")
    reader = await connect(postgres_backend.dsn, application_name="t")
    await reader.execute(read_pool.statement("eustress/reader_session"))
    from storage.eustress_queries import _of_entities

    indexes = {
        "space_name_id": Wanted(),
        "space_name_depth": Wanted(depth=200),
        "point": Wanted(box=(1, 0, 1, 3, 0, 3)),
    }
    for name, wanted in indexes.items():
        args = _of_entities(Moment("s"), wanted, 21, None)
        for _ in range(8):  # after five a general plan might be made
            plan = await reader.fetch("EXPLAIN " + read_pool.statement("eustress/entities"), *args)
        text = "\n".join(line for (line,) in plan)
        assert f"{name}_idx" in text, text
        assert "Seq Scan" not in text, text
    await reader.close()

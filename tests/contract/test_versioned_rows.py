"""What every Store does with versioned rows, held against the twin in memory and the real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from making import NOW, event

from actors.runtime.entity import End, Trim, Upsert
from actors.runtime.ports import LIVE, Batch, CommitAborted, Fenced, Store, Versions
from storage import memory, store, versions

ENTITIES, CONNECTIONS, MARKERS = "eustress_entity_versions", "eustress_connection_versions", "eustress_markers"


@pytest.fixture(params=["memory", "postgres"])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"{request.param}_backend")


@pytest.fixture
async def shard(backend: Any) -> Store:
    shard: Store = backend.store()
    await shard.acquire()
    return shard


def at(minute: int) -> datetime:
    return NOW + timedelta(minutes=minute)


def begun(id_: str, since: int, space: str = "s", data: bytes | None = b'{"n": 1}') -> tuple[Any, ...]:
    """An entity as a Begin has it; the minute of a version is its number."""
    return (space, id_, since, at(since), 3, 1.5, -2.0, 3e300, None, 0, None, data)


def joined(source: str, target: str, since: int, space: str = "s", strength: float | None = 0.5) -> tuple[Any, ...]:
    return (space, source, target, "hierarchy", since, at(since), since, True, strength, None)


def live(*rows: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    return [(*row, LIVE, None) for row in rows]


def ended(row: tuple[Any, ...], until: int) -> tuple[Any, ...]:
    return (*row, until, at(until))


def end(id_: str, since: int, until: int, space: str = "s", **more: Any) -> End:
    return End(table=ENTITIES, key=(space, id_), since=since, until=until, at=at(until), **more)


def batch(
    begins: Sequence[tuple[Any, ...]] = (), ends: Sequence[End] = (), *, table: str = ENTITIES, **more: Any
) -> Batch:
    return Batch(versions=[Versions(table=table, begins=begins, ends=ends)], **more)


def marker(version: int, space: str = "s", **values: Any) -> Upsert:
    made = {"id": str(uuid4()), "space_name": space, "version": version, "timestamp": at(version)}
    return Upsert(table=MARKERS, values=made | {"reason": "manual", "metadata": {}} | values)


def epoch(*ids: str, space: str = "s") -> Upsert:
    made = {"id": str(uuid4()), "space_name": space, "snapshot_ids": ids, "start_time": NOW, "end_time": NOW}
    return Upsert(table="eustress_epochs", values=made | {"sample_count": 0, "stats": {}})


def trim(table: str = ENTITIES, *, before: int, limit: int = 100, **more: Any) -> Batch:
    return Batch(trims=[Trim(table=table, entity_id="s", before=at(before), limit=limit, **more)])


async def kept(backend: Any) -> set[tuple[str, int, int | None]]:
    """Entity, since and until of every row; None while it lives."""
    rows = await backend.rows(ENTITIES)
    return {(row["id"], row["since"], row["until"] if row["until"] != LIVE else None) for row in rows}


# ── begin and end ──


async def test_live_rows_are_loaded_as_they_began_in_the_order_of_their_keys(shard: Store) -> None:
    rows = [begun("b", 1), begun("a", 1), begun("ä/:\u2028", 1), begun("B", 1, data=None)]
    edges = [joined("a", "b", 1), joined("a", "B", 1, strength=None)]
    tables = [Versions(table=CONNECTIONS, begins=live(*edges)), Versions(table=ENTITIES, begins=live(*rows))]
    await shard.commit(Batch(journal=[event(1, "s")], versions=tables))
    assert await shard.load_live("s", ENTITIES) == [rows[3], rows[1], rows[0], rows[2]]
    assert await shard.load_live("s", CONNECTIONS) == [edges[1], edges[0]]
    assert await shard.load_live("other", ENTITIES) == []


async def test_values_come_back_as_they_were(backend: Any, shard: Store) -> None:
    data = json.dumps({"text": "\U0001f54a \u2028 \\u0000"}, ensure_ascii=False).encode()
    row = ("s", "a", 1, NOW, 9, 1e308, -0.0, 5e-324, "p", 2**31 - 1, False, data)
    await shard.commit(batch(live(row)))
    (found,) = await shard.load_live("s", ENTITIES)
    assert found[:-1] == row[:-1]
    assert json.loads(found[-1]) == json.loads(data)
    (whole,) = await backend.rows(ENTITIES)
    assert (whole["until"], whole["ended_at"]) == (LIVE, None)


async def test_one_row_ends_and_the_next_begins_in_one_batch(backend: Any, shard: Store) -> None:
    await shard.commit(batch(live(begun("a", 1), begun("b", 1))))
    await shard.commit(batch(live(begun("a", 2)), [end("a", 1, 2)]))
    assert await shard.load_live("s", ENTITIES) == [begun("a", 2), begun("b", 1)]
    assert await kept(backend) == {("a", 1, 2), ("a", 2, None), ("b", 1, None)}
    (old,) = (row for row in await backend.rows(ENTITIES) if row["until"] == 2)
    assert old["ended_at"] == at(2)


async def test_a_row_may_be_written_already_ended(backend: Any, shard: Store) -> None:
    await shard.commit(batch([ended(begun("a", 1), 2), *live(begun("a", 2))]))
    assert await shard.load_live("s", ENTITIES) == [begun("a", 2)]
    assert await kept(backend) == {("a", 1, 2), ("a", 2, None)}


async def test_connections_end_by_their_whole_key(shard: Store) -> None:
    await shard.commit(batch(live(joined("a", "b", 1), joined("a", "c", 1)), table=CONNECTIONS))
    over = End(table=CONNECTIONS, key=("s", "a", "b", "hierarchy"), since=1, until=2, at=at(2))
    await shard.commit(batch([], [over], table=CONNECTIONS))
    assert await shard.load_live("s", CONNECTIONS) == [joined("a", "c", 1)]


async def test_spaces_of_one_batch_do_not_touch_each_other(shard: Store) -> None:
    await shard.commit(batch(live(begun("a", 1, "s"), begun("a", 1, "t"))))
    await shard.commit(batch(live(begun("a", 2, "t")), [end("a", 1, 2, "s"), end("a", 1, 2, "t")]))
    assert await shard.load_live("s", ENTITIES) == []
    assert await shard.load_live("t", ENTITIES) == [begun("a", 2, "t")]


@pytest.mark.parametrize(
    ("more", "over"),
    [
        ([], end("x", 1, 2)),
        ([], end("a", 7, 8)),
        ([end("a", 1, 2)], end("a", 1, 2)),
        ([end("a", 1, 2)], end("b", 1, 2, space="t")),
    ],
)
async def test_an_end_that_misses_fails_the_commit(backend: Any, shard: Store, more: list[End], over: End) -> None:
    await shard.commit(batch(live(begun("a", 1), begun("b", 1))))
    with pytest.raises(CommitAborted) as aborted:
        await shard.commit(batch(live(begun("c", 2)), [*more, over], journal=[event(1, "s")]))
    assert (aborted.value.data_error, aborted.value.disagrees, aborted.value.conflict) == (True, True, False)
    assert await kept(backend) == {("a", 1, None), ("b", 1, None)}
    assert (await shard.load(["s"]))["s"].events == []
    await shard.commit(batch(live(begun("c", 2))))


async def test_an_end_that_is_not_sure_may_miss(shard: Store) -> None:
    await shard.commit(batch(live(begun("a", 1))))
    await shard.commit(batch(live(begun("b", 2)), [end("a", 1, 2, sure=False), end("b", 1, 2, sure=False)]))
    assert await shard.load_live("s", ENTITIES) == [begun("b", 2)]


async def test_what_is_live_cannot_begin_again(backend: Any, shard: Store) -> None:
    await shard.commit(batch(live(begun("a", 1))))
    with pytest.raises(CommitAborted) as aborted:
        await shard.commit(batch(live(begun("b", 2), begun("a", 2)), journal=[event(1, "s")]))
    assert (aborted.value.data_error, aborted.value.disagrees, aborted.value.conflict) == (True, True, False)
    assert await kept(backend) == {("a", 1, None)}


@pytest.mark.parametrize(
    "row",
    [
        begun("a", 2, data=b'{"n": "\\u0000"}'),
        begun("a", 2, data=b'{"n": NaN}'),
        begun("a", 2, data=b"{"),
        begun("a\0", 2),
        begun("a", 2)[:-1],
    ],
)
async def test_a_value_that_storage_refuses_is_a_data_error(backend: Any, shard: Store, row: tuple[Any, ...]) -> None:
    await shard.commit(batch(live(begun("z", 1))))
    with pytest.raises(CommitAborted) as aborted:
        await shard.commit(batch(live(begun("b", 2), row), [end("z", 1, 2)], journal=[event(1, "s")]))
    assert (aborted.value.data_error, aborted.value.disagrees) == (True, False)
    assert await kept(backend) == {("z", 1, None)}
    await shard.commit(batch(live(begun("b", 2)), [end("z", 1, 2)], journal=[event(1, "s")]))


async def test_a_table_that_is_not_versioned_is_a_data_error(shard: Store) -> None:
    for bad in (batch(live(begun("a", 1)), table="practitioners"), trim("practitioners", before=1)):
        with pytest.raises(CommitAborted) as aborted:
            await shard.commit(bad)
        assert aborted.value.data_error


async def test_who_lost_the_lease_writes_no_versions(backend: Any, shard: Store) -> None:
    await shard.commit(batch(live(begun("a", 1))))
    second = backend.store()
    await second.acquire()
    with pytest.raises((Fenced, CommitAborted)):
        await shard.commit(batch(live(begun("a", 2)), [end("a", 1, 2)]))
    with pytest.raises(Fenced):
        await shard.confirm()
    await second.commit(batch(live(begun("a", 2)), [end("a", 1, 2)]))
    assert await kept(backend) == {("a", 1, 2), ("a", 2, None)}


# ── pages ──


async def test_pages_go_on_where_the_last_one_ended(shard: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PAGE_ROWS", 2)
    monkeypatch.setattr(memory, "PAGE_ROWS", 2)
    monkeypatch.setattr(versions, "CHUNK_ROWS", 2)
    edges = [joined(source, target, 1) for source in "ab" for target in "xyz"]
    await shard.commit(batch(live(*edges), table=CONNECTIONS))
    found: list[tuple[Any, ...]] = []
    pages = []
    while page := await shard.load_live("s", CONNECTIONS, found[-1] if found else None):
        found += page
        pages.append(len(page))
    assert (found, pages) == (edges, [2, 2, 2])


# ── trim ──


async def test_what_ended_goes_the_oldest_first_and_no_more_than_asked(backend: Any, shard: Store) -> None:
    rows = [ended(begun("a", since), since + 1) for since in range(1, 6)]
    await shard.commit(batch([*rows, *live(begun("a", 6), begun("b", 1))]))
    await shard.commit(batch([ended(begun("a", 1, "other"), 2)]))
    await shard.commit(trim(before=5, limit=2))
    assert {since for id_, since, _ in await kept(backend) if id_ == "a"} == {1, 3, 4, 5, 6}  # 1 is the other's
    await shard.commit(trim(before=5))
    assert {since for id_, since, _ in await kept(backend) if id_ == "a"} == {1, 4, 5, 6}
    assert await shard.load_live("s", ENTITIES) == [begun("a", 6), begun("b", 1)]


async def test_what_a_snapshot_shows_stays(backend: Any, shard: Store) -> None:
    rows = [ended(begun("a", since), since + 2) for since in (1, 3, 5)]
    await shard.commit(batch(rows, rows=[marker(2), marker(5), marker(3, "other")]))
    await shard.commit(trim(before=100))
    assert await kept(backend) == {("a", 1, 3), ("a", 5, 7)}


async def test_what_was_left_before_is_not_looked_at(backend: Any, shard: Store) -> None:
    await shard.commit(batch([ended(begun("a", since), since + 1) for since in (1, 2, 3)]))
    await shard.commit(trim(before=100, after=at(3)))
    assert await kept(backend) == {("a", 1, 2)}


async def test_the_word_that_something_is_not_there_goes_too(backend: Any, shard: Store) -> None:
    gone = [begun("a", 1, data=None), begun("b", 4, data=None)]
    await shard.commit(batch([*live(*gone, begun("c", 1)), ended(begun("d", 1, data=None), 2)], rows=[marker(1)]))
    await shard.commit(batch(live(joined("a", "b", 1, strength=None), joined("a", "c", 1)), table=CONNECTIONS))
    await shard.commit(trim(before=3))
    await shard.commit(trim(CONNECTIONS, before=3))
    assert await kept(backend) == {("b", 4, None), ("c", 1, None)}
    assert await shard.load_live("s", CONNECTIONS) == [joined("a", "c", 1)]


async def test_a_refusal_is_remembered_while_a_snapshot_may_show_what_it_is_about(backend: Any, shard: Store) -> None:
    def refused(id_: str, since: int) -> tuple[Any, ...]:
        return (*begun(id_, since, data=None)[:-2], False, None)

    await shard.commit(batch(live(refused("a", 1), refused("b", 3)), rows=[marker(2)]))
    await shard.commit(trim(before=100))
    assert await kept(backend) == {("b", 3, None)}
    await shard.commit(trim(MARKERS, before=100))
    await shard.commit(trim(before=100))
    assert await kept(backend) == set()


async def test_snapshots_go_but_for_those_of_an_epoch(backend: Any, shard: Store) -> None:
    markers = [marker(version) for version in range(1, 6)]
    other = marker(1, "other")
    ids = [str(one.values["id"]) for one in markers]
    await shard.commit(Batch(rows=[*markers, other, epoch(ids[1]), epoch(ids[0], space="other")]))

    async def versions_of_ours() -> list[int]:
        return sorted(row["version"] for row in await backend.rows(MARKERS) if row["space_name"] == "s")

    await shard.commit(trim(MARKERS, before=5, limit=1))
    assert await versions_of_ours() == [2, 3, 4, 5]
    await shard.commit(trim(MARKERS, before=5, after=at(4)))
    assert await versions_of_ours() == [2, 3, 5]
    await shard.commit(trim(MARKERS, before=5))
    assert await versions_of_ours() == [2, 5]


# ── the tables beside them ──


async def test_a_space_is_kept_by_its_name(backend: Any, shard: Store) -> None:
    name = "a/ä:ö'\"\\ space"
    values = {"id": name, "created_at": NOW, "changed_at": NOW, "version": 1, "policy": {"ordering": "strict"}}
    await shard.commit(Batch(rows=[Upsert(table="eustress_spaces", values=values)]))
    await shard.commit(Batch(rows=[Upsert(table="eustress_spaces", values={"id": name, "version": 2})]))
    (row,) = await backend.rows("eustress_spaces")
    assert (row["id"], row["version"], row["policy"]) == (name, 2, {"ordering": "strict"})

"""What a gateway reads of rituals, states, runs and insights, plain and sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from backends import LAYOUT, PostgresBackend
from making import NOW, insight, practitioner, ritual, run, state

from actors.practitioner import chain
from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch
from storage.pool import BadValue
from storage.queries import Queries
from storage.seal import CannotUnseal, Sealer
from storage.store import PostgresStore

SEAL = Sealer(b"k" * 32)


@pytest.fixture(params=["plain", "sealed"])
def seal(request: pytest.FixtureRequest) -> Sealer | None:
    return SEAL if request.param == "sealed" else None


@pytest.fixture
async def queries(postgres_backend: PostgresBackend, seal: Sealer | None) -> AsyncIterator[Queries]:
    queries = Queries(postgres_backend.dsn, seal=seal)
    yield queries
    await queries.close()


async def write(backend: PostgresBackend, seal: Sealer | None, *rows: Upsert) -> None:
    store = PostgresStore(
        backend.dsn, kind="practitioner", layout=LAYOUT, shard=0, incarnation=backend.incarnation, seal=seal
    )
    backend.stores.append(store)
    await store.acquire()
    await store.commit(Batch(rows=rows))


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [str(row["name"]) for row in rows]


# ── the catalog ──


async def test_the_catalog_has_public_rituals_and_ones_own_and_no_withdrawn_ones(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    author = str(uuid4())
    await write(
        postgres_backend,
        None,
        ritual(name="public"),
        ritual(name="own", is_public=False, author_id=author),
        ritual(name="own public", author_id=author),
        ritual(name="private", is_public=False, author_id=str(uuid4())),
        ritual(name="gone", withdrawn_at=NOW, author_id=author),
    )
    assert set(names(await queries.catalog(author, 10))) == {"public", "own", "own public"}
    assert set(names(await queries.catalog(None, 10))) == {"public", "own public"}
    assert set(names(await queries.catalog(author, 10, mine=True))) == {"own", "own public"}
    assert await queries.catalog(None, 10, mine=True) == []
    assert await queries.count_rituals(author) == 2


async def test_the_catalog_is_filtered_and_searched(postgres_backend: PostgresBackend, queries: Queries) -> None:
    await write(
        postgres_backend,
        None,
        ritual(name="a", tradition="jungian", difficulty_level="master"),
        ritual(name="b", tradition="jungian", description="100% calm"),
        ritual(name="c", intent="CALM"),
    )
    assert names(await queries.catalog(None, 10, tradition="jungian", difficulty="master")) == ["a"]
    assert set(names(await queries.catalog(None, 10, q="calm"))) == {"b", "c"}
    assert names(await queries.catalog(None, 10, q="0%")) == ["b"]


@pytest.mark.parametrize(("order", "expected"), [("newest", "edcba"), ("rating", "bdeca"), ("use", "aedcb")])
async def test_the_catalog_comes_in_pages_in_any_order(
    postgres_backend: PostgresBackend, queries: Queries, order: str, expected: str
) -> None:
    ratings = {"b": 9.5, "d": 7.25}
    await write(
        postgres_backend,
        None,
        *(
            ritual(
                name=name,
                created_at=NOW + timedelta(minutes=n // 2 * 2 + n),
                effectiveness_rating=ratings.get(name, 0),
                usage_count=5 if name == "a" else 1 if name != "b" else 0,
            )
            for n, name in enumerate("abcde")
        ),
    )
    seen: list[str] = []
    before = None
    while page := await queries.catalog(None, 2, before, order=order):
        seen += names(page)
        before = page[-1]["id"]
    assert "".join(seen) == expected
    assert "wasm_module_data" not in (await queries.catalog(None, 1))[0]


async def test_an_order_that_is_none_is_a_bad_value(queries: Queries) -> None:
    with pytest.raises(BadValue):
        await queries.catalog(None, 1, order="luck")


async def test_a_name_means_builtin_ones_then_ones_own_then_public_ones(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    me, other = str(uuid4()), str(uuid4())
    later = NOW + timedelta(hours=1)
    rows = {
        "builtin": ritual(builtin=True),
        "older": ritual(author_id=me, is_public=False),
        "newer": ritual(author_id=me, created_at=later),
        "public": ritual(author_id=other, created_at=later),
    }
    await write(
        postgres_backend,
        None,
        *rows.values(),
        ritual(author_id=other, is_public=False),
        ritual(author_id=me, withdrawn_at=NOW),
        ritual(name="another"),
    )
    found = await queries.ritual_by_name(me, "n")
    assert [one["id"] for one in found] == [rows[name].values["id"] for name in ("builtin", "newer", "older", "public")]
    assert found[0] == {"id": rows["builtin"].values["id"], "author_id": None, "builtin": True, "is_public": True}
    assert len(await queries.ritual_by_name(None, "n")) == 3


# ── states, runs, insights ──


async def test_states_come_in_pages_by_version_or_id(
    postgres_backend: PostgresBackend, queries: Queries, seal: Sealer | None
) -> None:
    someone, other = practitioner(), practitioner("b@example.org")
    who = someone.values["id"]
    states = [state(who, version) for version in (1, 2, 3)]
    await write(postgres_backend, seal, someone, other, *states, state(other.values["id"], 1))
    first, second = await queries.states(who, 2)
    assert (first["version"], second["version"]) == (3, 2)
    assert first["state"] == states[2].values["state_data"]
    assert first["state_hash"] == states[2].values["state_hash"]
    (last,) = await queries.states(who, 2, second["id"])
    assert [last] == await queries.states(who, 2, 2) == await queries.states(who, 2, "2")
    assert last["version"] == 1


async def test_runs_come_newest_first_with_the_rituals_name_and_only_ones_own(
    postgres_backend: PostgresBackend, queries: Queries, seal: Sealer | None
) -> None:
    someone, moon, sun = practitioner(), ritual(name="moon"), ritual(name="sun")
    who = someone.values["id"]
    runs = [
        run(
            who,
            (moon, sun)[n % 2].values["id"],
            created_at=NOW + timedelta(minutes=n),
            subjective_experience=f"note {n}",
        )
        for n in range(4)
    ]
    await write(postgres_backend, seal, someone, moon, sun, *runs)
    page = await queries.runs(who, 3)
    assert [(one["ritual_name"], one["subjective_experience"]) for one in page] == [
        ("sun", "note 3"),
        ("moon", "note 2"),
        ("sun", "note 1"),
    ]
    assert page[0]["parameters"] == {"depth": 2}
    assert page[0]["intention"] == "to see"
    assert [one["id"] for one in await queries.runs(who, 3, page[-1]["id"])] == [runs[0].values["id"]]
    assert [one["id"] for one in await queries.runs(who, 3, ritual=moon.values["id"])] == [
        runs[2].values["id"],
        runs[0].values["id"],
    ]
    assert await queries.runs(str(uuid4()), 3) == []
    assert await queries.run(str(uuid4()), runs[0].values["id"]) is None


async def test_a_run_has_its_result_and_the_states_around_it(
    postgres_backend: PostgresBackend, queries: Queries, seal: Sealer | None
) -> None:
    someone, moon = practitioner(), ritual(name="moon")
    who = someone.values["id"]
    first, second = state(who, 1), state(who, 2)
    begun = run(who, moon.values["id"])
    await write(postgres_backend, seal, someone, moon, first, second, begun)
    found = await queries.run(who, begun.values["id"])
    assert found is not None
    assert (found["status"], found["result"], found["pre_state"], found["post_state"]) == ("running", None, None, None)
    assert await queries.newest_run(who, moon.values["id"]) is None
    done = {
        "status": "completed",
        "result": {"new_state": second.values["state_data"]},
        "pre_state_id": first.values["id"],
        "post_state_id": second.values["id"],
        "transformation_intensity": -9.99,
        "fuel": 2**40,
        "error_message": "sealed: not an envelope",
    }
    await write(postgres_backend, seal, Upsert(table="ritual_sessions", values={"id": begun.values["id"]} | done))
    found = await queries.run(who, begun.values["id"])
    assert found is not None
    assert found.items() >= (done | {"ritual_name": "moon", "intention": "to see"}).items()
    assert found["pre_state"] == first.values["state_data"]
    assert found["post_state"] == second.values["state_data"]
    assert await queries.newest_run(who, moon.values["id"]) == begun.values["id"]


async def test_insights_are_ones_own_and_of_one_run_where_asked(
    postgres_backend: PostgresBackend, queries: Queries, seal: Sealer | None
) -> None:
    someone, moon = practitioner(), ritual()
    who = someone.values["id"]
    begun = run(who, moon.values["id"])
    rows = [
        insight(who, session_id=begun.values["id"], confidence_score=0.75, created_at=NOW + timedelta(minutes=1)),
        insight(who),
        insight(None, space_id=str(uuid4())),
    ]
    await write(postgres_backend, seal, someone, moon, begun, *rows)
    about_run, alone = await queries.insights(who)
    assert (about_run["id"], alone["id"]) == (rows[0].values["id"], rows[1].values["id"])
    assert (about_run["interpretation"], about_run["cautions"], about_run["confidence_score"]) == (
        "so it is",
        ["slowly"],
        0.75,
    )
    assert await queries.insights(who, begun.values["id"]) == [about_run]
    assert await queries.insights(who, None, 1, about_run["id"]) == [alone]


async def test_what_is_sealed_is_no_plain_text_at_rest_and_needs_the_key(postgres_backend: PostgresBackend) -> None:
    someone, moon = practitioner(), ritual()
    who = someone.values["id"]
    begun = run(who, moon.values["id"], subjective_experience="a secret", result={"a": "secret"})
    await write(postgres_backend, SEAL, someone, moon, state(who, 1), begun, insight(who))
    for table in ("archetypal_states", "ritual_sessions", "oracle_insights"):
        kept = str(await postgres_backend.rows(table))
        for secret in ("secret", "Sage", "fire", "to see", "depth", "so it is", "slowly"):
            assert secret not in kept
    queries = Queries(postgres_backend.dsn)
    for read in (queries.states(who, 1), queries.runs(who, 1), queries.insights(who)):
        with pytest.raises(CannotUnseal):
            await read
    await queries.close()


async def test_before_what_is_anothers_there_is_nothing(
    postgres_backend: PostgresBackend, queries: Queries, seal: Sealer | None
) -> None:
    """Ids of states and of runs in groups can be computed: whether there is one, and since when, is not to be had by them."""
    mine, other = practitioner("mine@example.org"), practitioner("other@example.org")
    me, them = str(mine.values["id"]), str(other.values["id"])
    rows = {who: (state(who, 1), run(who, str(uuid4())), insight(who)) for who in (me, them)}
    later = [row.values | {"created_at": NOW + timedelta(hours=1)} for row in rows[them]]
    await write(
        postgres_backend,
        seal,
        mine,
        other,
        *rows[me],
        *(Upsert(table=row.table, values=values) for row, values in zip(rows[them], later, strict=True)),
        state(them, 2, rows[them][0].values["state_hash"]),
    )
    theirs = [str(row.values["id"]) for row in rows[them]]
    second = chain.version_id(them, 2)
    assert len(await queries.states(them, 10, second)) == 1
    assert await queries.states(me, 10, second) == []
    assert await queries.runs(me, 10, theirs[1]) == []
    assert await queries.insights(me, None, 10, theirs[2]) == []

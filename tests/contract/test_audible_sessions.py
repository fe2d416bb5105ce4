"""Which audio sessions a practitioner may hear, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from backends import PostgresBackend

from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch
from actors.space.departing import member_id
from storage.audio_queries import Audible, Place, Stranger
from storage.queries import Queries

NOW = datetime.now(UTC)


@pytest.fixture
async def queries(postgres_backend: PostgresBackend) -> AsyncIterator[Queries]:
    queries = Queries(postgres_backend.dsn)
    yield queries
    await queries.close()


def row(owner: str, *, ago_s: float = 0, **values: Any) -> Upsert:
    known = {
        "id": str(uuid4()), "owner_id": owner, "space_id": None, "name": "", "intention": "", "status": "running",
        "duration": 300, "audio_type": "pure_sine", "frequencies": [528.0], "prayer_bowl_mode": False, "metadata": {},
        "volume": 0.5, "recipe": {}, "notes": [], "created_at": NOW - timedelta(seconds=ago_s),
    }  # fmt: skip
    return Upsert(table="audio_sessions", values=known | values)


def member(space: str, who: str, *, participant: bool) -> Upsert:
    ids = {"id": member_id(space, who), "space_id": space, "practitioner_id": who}
    return Upsert(table="space_members", values=ids | {"participant": participant})


def space(id_: str, *, closed: bool = False) -> Upsert:
    values = {"id": id_, "name": "Hall", "purpose": "to hear", "facilitator_id": str(uuid4()), "access_level": "open"}
    return Upsert(table="collective_spaces", values=values | {"closed_at": NOW if closed else None})


async def put(backend: PostgresBackend, *rows: Upsert) -> None:
    store = backend.store()
    await store.acquire()
    await store.commit(Batch(rows=list(rows)))


async def test_own_sessions_and_those_of_ones_spaces_that_have_not_ended(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    me, other, gone, hall, left, shut = (str(uuid4()) for _ in range(6))
    over = {"anchor_at": NOW - timedelta(seconds=200), "position_s": 150.0}
    mine = [row(me, ago_s=age, status=status) for age, status in enumerate(("created", "running", "paused"), start=50)]
    ended = [row(me, status="stopped"), row(me, status="completed"), row(me, **over)]
    guests = row(str(uuid4()), space_id=hall, ago_s=9, expires_at=NOW + timedelta(hours=1))
    theirs = [row(other, space_id=hall), row(other, space_id=hall, ago_s=5), guests]
    unheard = [row(other), row(other, space_id=left), row(other, space_id=hall, status="stopped")]
    unheard += [row(other, space_id=shut), row(gone, space_id=hall)]
    here = [
        member(hall, me, participant=True),
        member(shut, me, participant=True),
        member(hall, other, participant=True),
    ]
    away = [member(left, me, participant=False), member(hall, gone, participant=False)]
    spaces = [space(hall), space(left), space(shut, closed=True)]
    everywhere = [member(each, other, participant=True) for each in (left, shut)]
    await put(postgres_backend, *spaces, *mine, *ended, *theirs, *unheard, *here, *away, *everywhere)
    expected = [Audible(each.values["id"], None) for each in mine]
    expected += [Audible(each.values["id"], hall) for each in theirs[:2]]
    expected.append(Audible(guests.values["id"], hall, guests.values["owner_id"]))
    assert await queries.audible_sessions(me, 100) == expected
    assert await queries.audible_sessions(me, 4) == expected[:4]
    assert await queries.audible_sessions(str(uuid4()), 100) == []


async def test_a_space_lets_in_while_it_is_open_and_who_listens_and_who_owns_are_there(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    me, owner, gone, stray, hall, shut = (str(uuid4()) for _ in range(6))
    shared, left, closed, alone = (
        row(owner, space_id=hall),
        row(gone, space_id=hall),
        row(owner, space_id=shut),
        row(owner),
    )
    guests = row(stray, space_id=hall, expires_at=NOW + timedelta(hours=1))
    here = [member(each, who, participant=True) for each in (hall, shut) for who in (me, owner)]
    away = member(hall, gone, participant=False)
    spaces = space(hall), space(shut, closed=True)
    await put(postgres_backend, *spaces, shared, left, closed, alone, guests, *here, away)
    places = {each.values["id"]: each.values["owner_id"] for each in (shared, left, closed, alone, guests)}
    found = {id_: await queries.audio_session_place(id_) for id_ in places}
    into = {shared.values["id"]: hall, guests.values["id"]: hall}
    assert found == {id_: Place(who, into.get(id_), id_ == guests.values["id"]) for id_, who in places.items()}
    assert {each["id"] for each in await queries.audio_sessions_of_space(hall, 10)} == set(into)
    assert await queries.audio_sessions_of_space(shut, 10) == []
    strangers = await queries.audio_strangers([(id_, me) for id_ in places] + list(places.items()))
    assert set(strangers) == {
        Stranger(left.values["id"], me, gone, False, hall),
        Stranger(closed.values["id"], me, owner, False, None),
        Stranger(alone.values["id"], me, owner, False, None),
        Stranger(guests.values["id"], me, stray, True, hall),
    }
    assert await queries.audio_strangers([(shared.values["id"], stray)]) == [
        Stranger(shared.values["id"], stray, owner, False, hall)
    ]
    assert await queries.audio_strangers([]) == []

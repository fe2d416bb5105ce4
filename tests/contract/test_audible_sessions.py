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


async def test_own_sessions_and_those_of_ones_spaces_that_have_not_ended(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    me, other, hall, left = (str(uuid4()) for _ in range(4))
    over = {"anchor_at": NOW - timedelta(seconds=200), "position_s": 150.0}
    mine = [row(me, ago_s=age, status=status) for age, status in enumerate(("created", "running", "paused"), start=50)]
    ended = [row(me, status="stopped"), row(me, status="completed"), row(me, **over)]
    theirs = [row(other, space_id=hall), row(other, space_id=hall, ago_s=5)]
    unheard = [row(other), row(other, space_id=left), row(other, space_id=hall, status="stopped")]
    members = [member(hall, me, participant=True), member(left, me, participant=False)]
    store = postgres_backend.store()
    await store.acquire()
    await store.commit(Batch(rows=[*mine, *ended, *theirs, *unheard, *members]))
    expected = [(each.values["id"], True) for each in mine] + [(each.values["id"], False) for each in theirs]
    assert await queries.audible_sessions(me, 100) == expected
    assert await queries.audible_sessions(me, 4) == expected[:4]
    assert await queries.audible_sessions(str(uuid4()), 100) == []

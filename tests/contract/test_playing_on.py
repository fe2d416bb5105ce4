"""Who plays on a sound device at this moment, on a real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from backends import PostgresBackend

from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch
from storage.queries import Queries

NOW = datetime.now(UTC)


def voice(device: str, owner: str, session: str | None, *, ends_in_s: float) -> Upsert:
    ids = {"id": str(uuid4()), "device": device, "practitioner_id": owner, "session_id": session}
    times = {"begins_at": NOW - timedelta(seconds=60), "ends_at": NOW + timedelta(seconds=ends_in_s)}
    return Upsert(table="audio_voices", values=ids | times)


async def test_voices_of_a_device_that_are_not_at_their_end(postgres_backend: PostgresBackend) -> None:
    one, other, session, device = (str(uuid4()) for _ in range(4))
    voices = [
        voice(device, one, None, ends_in_s=600),
        voice(device, other, session, ends_in_s=600),
        voice(device, other, None, ends_in_s=-1),
        voice(f"{device} too", other, None, ends_in_s=600),
    ]
    store = postgres_backend.store()
    await store.acquire()
    await store.commit(Batch(rows=voices))
    queries = Queries(postgres_backend.dsn)
    try:
        assert sorted(await queries.playing_on(device), key=str) == sorted([(one, None), (other, session)], key=str)
        assert await queries.playing_on(str(uuid4())) == []
    finally:
        await queries.close()

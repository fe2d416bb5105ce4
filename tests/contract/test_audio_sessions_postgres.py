"""Audio sessions on a real database: their rows as lists read them, plain and sealed; alarms; a killed shard; their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from making import practitioner
from town import Town

from actors.audio_session import commands as c
from actors.audio_session.entity import KEPT
from actors.audio_session.replies import AudioSession
from actors.audio_session.showing import of_row
from actors.runtime import alarms
from actors.runtime.entity import Address, Caller
from actors.runtime.ports import Batch
from actors.runtime.wire import Answer, Dropped, Pushed
from actors.space import commands as s
from server.erasure import farewells_of
from storage.audio_queries import Place
from storage.pool import BadValue
from storage.queries import Queries

SECRET = "for the river that was here"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "POLL_S", 0.02)


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    """What the shard does by itself is seen in the database only."""
    async with asyncio.timeout(20):
        while not await found():  # noqa: ASYNC110 - another process's commit has no event here
            await asyncio.sleep(0.01)


async def do(town: Town, who: str, session: str, command: Any) -> AudioSession:
    return msgspec.json.decode(await town.do("audio_session", session, command, who), type=AudioSession)


async def made(town: Town, who: str, **fields: Any) -> AudioSession:
    given: dict[str, Any] = {"duration": 60, "intention": SECRET, "name": "river", "metadata": {"river": 1}} | fields
    return await do(town, who, str(uuid4()), c.CreateSession(**given))


async def listed(queries: Queries, who: str, **how: Any) -> list[AudioSession]:
    now = datetime.now(UTC)
    return [of_row(row, now) for row in await queries.audio_sessions(who, how.pop("limit", 10), **how)]


async def test_a_list_has_what_the_sessions_have(town: Town, queries: Queries) -> None:
    who, other = str(uuid4()), str(uuid4())
    first = await made(town, who, frequencies=(7.83, 528.0), published=True)
    second = await made(town, who, device=None, astrology_enabled=True)
    await made(town, other)
    assert await listed(queries, who) == [second, first]
    assert await listed(queries, who, limit=1) == [second]
    assert await listed(queries, who, before=second.id) == [first]
    assert await listed(queries, who, before=first.id) == []
    begun = await do(town, who, first.id, c.Start())
    assert await listed(queries, who, status="running") == [begun]
    assert await listed(queries, who, status="created") == [second]
    paused = await do(town, who, first.id, c.Pause())
    assert await listed(queries, who, status="paused") == [paused]
    stopped = await do(town, who, first.id, c.Stop())
    assert await listed(queries, who, before=second.id) == [stopped]
    assert await queries.count_audio_sessions(who) == 2
    assert await queries.audio_session_ids(who, 10) == sorted((first.id, second.id))
    stored = await town.backend.connection.fetchval("SELECT string_agg(a::text, ' ') FROM audio_sessions a")
    assert ("river" in stored) == (town.seal is None)
    for wrong in ("", "x", "1"):
        with pytest.raises(BadValue):
            await queries.audio_sessions(wrong, 10)


async def test_a_session_that_is_over_is_listed_as_completed_however_late_its_alarm(
    town: Town, queries: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "POLL_S", 1e6)
    who = str(uuid4())
    session = await made(town, who)
    await do(town, who, session.id, c.Start())
    await town.backend.connection.execute("UPDATE audio_sessions SET anchor_at = now() - interval '2 minutes'")
    assert [each.status for each in await listed(queries, who)] == ["completed"]
    assert await listed(queries, who, status="running") == []
    (over,) = await listed(queries, who, status="completed")
    assert (over.elapsed_time, over.timeline.anchor_at) == (60, None)


async def test_members_of_a_space_see_what_is_shared_with_it(town: Town, queries: Queries) -> None:
    who, other, hall, shut = (str(uuid4()) for _ in range(4))
    for space in (hall, shut):
        await town.do("space", space, s.CreateSpace(name="Hall", purpose="to hear", access_level="open"), who)
        await town.do("space", space, s.Join(), who)
    assert await queries.participates(hall, who)
    assert not await queries.participates(hall, other)
    await town.do("space", shut, s.Close(), who)
    assert not await queries.participates(shut, who)
    shared = await made(town, who, space=hall)
    assert [row["id"] for row in await queries.audio_sessions_of_space(hall, 10)] == [shared.id]
    assert await queries.audio_sessions_of_space(hall, 10, shared.id) == []
    assert await queries.audio_session_place(shared.id) == Place(who, hall)
    await town.do("space", hall, s.Leave(), who)
    assert await queries.audio_session_place(shared.id) == Place(who, None)
    assert await queries.audio_sessions_of_space(hall, 10) == []
    await town.do("space", hall, s.Join(), who)
    assert await queries.audio_session_place(shared.id) == Place(who, hall)
    await do(town, who, shared.id, c.Share(space=None))
    assert await queries.audio_session_place(shared.id) == Place(who, None)
    assert await queries.audio_sessions_of_space(hall, 10) == []
    assert await queries.audio_session_place(hall) is None


@pytest.mark.parametrize("blow", ["before", "after"])
async def test_a_killed_shard_finds_the_session_where_it_would_be_and_it_completes_on_time(
    town: Town, queries: Queries, blow: str
) -> None:
    """The blow falls at the commit of a change of volume: with it or without it the course is the same."""
    who = str(uuid4())
    session = await made(town, who, duration=2)
    begun = await do(town, who, session.id, c.Start())
    anchor = begun.timeline.anchor_at
    assert anchor is not None

    def doomed(batch: Batch) -> str | None:
        return blow if any(event.event_type == "updated" for event in batch.journal) else None

    town.doomed = doomed
    asked = asyncio.create_task(do(town, who, session.id, c.UpdateSession(volume=0.1)))
    await asyncio.wait_for(town.dead.wait(), 10)
    asked.cancel()
    await town.kill()
    town.doomed = lambda batch: None
    await town.start()
    found = await do(town, who, session.id, c.GetSession())
    assert (found.status, found.timeline, found.volume) == ("running", begun.timeline, 0.1 if blow == "after" else 0.5)

    async def over() -> bool:
        row = await town.backend.connection.fetchrow("SELECT status FROM audio_sessions WHERE id = $1", session.id)
        return bool(row["status"] == "completed")

    await until(over)
    late = datetime.now(UTC) - (anchor + timedelta(seconds=2))
    assert timedelta() <= late < timedelta(seconds=5)
    (done,) = await listed(queries, who)
    assert (done.elapsed_time, done.stopped_at) == (2, anchor + timedelta(seconds=2))
    assert await town.backend.connection.fetchval("SELECT count(*) FROM alarms WHERE kind = 'audio_session'") == 0


async def test_the_end_of_an_account_takes_its_sessions(town: Town, queries: Queries) -> None:
    here, gone = practitioner(), str(uuid4())
    store = town.backend.store(kind="other")
    await store.acquire()
    await store.commit(Batch(rows=[here]))
    kept = await made(town, here.values["id"])
    for _ in range(2):
        session = await made(town, gone)
    await do(town, gone, session.id, c.Start())
    assert await queries.gone(10) == [gone]
    assert await queries.audio_session_ids(here.values["id"], 10, gone=True) == []
    gateway: Any = SimpleNamespace(queries=queries)
    told = await farewells_of(gateway, gone)
    assert [farewell.target.id for farewell in told] == await queries.audio_session_ids(gone, 10, gone=True)
    for farewell in told:
        await town.do("audio_session", farewell.target.id, c.codec.decode(farewell.command))
    assert await queries.gone(10) == []
    connection = town.backend.connection
    assert [str(row["id"]) for row in await connection.fetch("SELECT id FROM audio_sessions")] == [kept.id]
    left = await connection.fetch("SELECT DISTINCT entity_id FROM journal WHERE kind = 'audio_session'")
    assert [row["entity_id"] for row in left] == [kept.id]
    assert await connection.fetchval("SELECT count(*) FROM alarms WHERE kind = 'audio_session'") == 0


async def test_a_guests_session_goes_with_the_guest_and_is_no_account_that_is_gone(
    town: Town, queries: Queries
) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=0.5)
    who, id_ = Caller(str(uuid4()), "Guest", True, "session", ends.timestamp()), str(uuid4())

    await town.ask(Address("audio_session", id_), c.encode(c.CreateSession()), who, "g:k-1")
    assert await queries.count_audio_sessions(who.practitioner) == 1
    assert await queries.gone(10) == []

    async def over() -> bool:
        return await queries.count_audio_sessions(who.practitioner) == 0

    await until(over)
    assert datetime.now(UTC) >= ends


async def test_who_listens_hears_every_change_and_its_end(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the shard itself: each push whole and numbered, the end before the following ends."""
    heard: list[Any] = []
    answers = town.send
    monkeypatch.setattr(town, "send", lambda message: (heard.append(message), answers(message)))
    who, hall = str(uuid4()), str(uuid4())
    session = await made(town, who, space=hall)
    listener = Caller(str(uuid4()), "Listener", session="s-1")
    address = Address("audio_session", session.id)
    answer = await town.ask(address, c.encode(c.Listen(as_member=hall)), listener)
    assert msgspec.json.decode(answer.body, type=AudioSession) == session
    replies = [
        await do(town, who, session.id, command) for command in (c.Start(), c.UpdateSession(volume=0.1), c.Stop())
    ]
    await town.do("audio_session", session.id, c.Delete(), who)
    await asyncio.wait_for(_dropped(heard), 10)
    pushed = [msgspec.json.decode(message.frame) for message in heard if isinstance(message, Pushed)]
    assert [(push["offset"], push["event"]) for push in pushed] == [
        (2, "changed"),
        (3, "changed"),
        (4, "changed"),
        (5, "deleted"),
    ]
    assert [msgspec.convert(push["body"], AudioSession) for push in pushed[:3]] == replies
    kinds = [type(message) for message in heard if not isinstance(message, Answer)]
    assert kinds[-2:] == [Pushed, Dropped]


async def test_whoever_is_let_in_as_the_sharing_ends_hears_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listening was decided before the sharing ended, and both are committed together."""
    heard: list[Any] = []
    answers = town.send
    monkeypatch.setattr(town, "send", lambda message: (heard.append(message), answers(message)))
    who, hall = str(uuid4()), str(uuid4())
    session = await made(town, who, space=hall)
    owner, listener = Caller(who, "Owner", session="s-0"), Caller(str(uuid4()), "Listener", session="s-1")
    address = Address("audio_session", session.id)
    await town.ask(address, c.encode(c.Listen()), owner)
    await asyncio.gather(
        town.ask(address, c.encode(c.UpdateSession(name="x")), owner, "o:k-1"),
        town.ask(address, c.encode(c.Listen(as_member=hall)), listener),
        town.ask(address, c.encode(c.Share(space=None)), owner, "o:k-2"),
    )
    await asyncio.wait_for(_dropped(heard), 10)
    assert [message for message in heard if isinstance(message, Dropped)] == [
        Dropped(session.id, listener.practitioner)
    ]
    await do(town, who, session.id, c.Stop())
    cell = town.shards["audio_session"].cells[session.id]
    assert list(cell.present) == ["s-0"]


async def test_a_session_that_is_changed_without_end_keeps_a_short_journal(town: Town) -> None:
    who = str(uuid4())
    session = await made(town, who)
    address, owner = Address("audio_session", session.id), Caller(who, "Owner")
    answers = [
        await town.ask(address, c.encode(c.UpdateSession(name=str(n))), owner, f"o:k-{n}") for n in range(2 * KEPT + 8)
    ]
    kept = await town.backend.connection.fetchval("SELECT count(*) FROM journal WHERE entity_id = $1", session.id)
    assert KEPT <= kept < 2 * KEPT
    await town.kill()
    await town.start()
    retried = await town.ask(address, c.encode(c.UpdateSession(name=str(2 * KEPT))), owner, f"o:k-{2 * KEPT}")
    assert retried.body == answers[2 * KEPT].body
    assert (await do(town, who, session.id, c.GetSession())).name == str(2 * KEPT + 7)


async def _dropped(heard: list[Any]) -> None:
    while not any(isinstance(message, Dropped) for message in heard):  # noqa: ASYNC110 - it is sent with the answer
        await asyncio.sleep(0)

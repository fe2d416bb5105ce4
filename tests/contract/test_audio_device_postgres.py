"""The sound device on a real database: what stays of what was played there, and what a retry finds after a kill."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from making import practitioner
from town import Town

from actors.audio import commands as c
from actors.audio.recipe import Recipe, Sine
from actors.audio.replies import DeviceState
from actors.audio.values import SAMPLE_RATE
from actors.runtime.entity import Address, Caller
from actors.runtime.ports import Batch
from actors.runtime.wire import Answer
from server.erasure import farewells_of
from storage.queries import Queries

SECRET = bytes(range(1, 241)) * 20
TONE = Recipe(voices=(Sine(frequency=432),), duration_s=60)
DEVICE = Address("audio", "default")


async def ask(town: Town, command: Any, who: str | None = None, operation: str | None = None) -> Any:
    caller = None if who is None else Caller(who)
    answer = await town.ask(DEVICE, c.encode(command), caller, operation)
    assert isinstance(answer, Answer), answer
    return msgspec.json.decode(answer.body)


async def kept(town: Town) -> tuple[int, bool]:
    """How many events of the device the journal has, and whether the samples are anywhere in it or in the checkpoint."""
    connection = town.backend.connection
    rows = await connection.fetch("SELECT data, reply FROM journal WHERE kind = 'audio'")
    checkpoint = await connection.fetch("SELECT data, NULL::bytea FROM checkpoints WHERE kind = 'audio'")
    found = [bytes(value) for row in (*rows, *checkpoint) for value in row if value is not None]
    return len(rows), any(base64.b64encode(SECRET) in value for value in found)


def samples() -> c.PlaySamples:
    return c.PlaySamples(voice=str(uuid4()), samples=SECRET)


async def test_nothing_of_what_was_played_stays(town: Town, queries: Queries) -> None:
    who = str(uuid4())
    voice = samples()
    await ask(town, voice, who, f"{who}:k-1")
    assert await kept(town) == (1, town.seal is None), "there while it sounds, so that it plays on after a crash"
    (row,) = await queries.audio_voices(who)
    assert (str(row["id"]), row["device"], row["session_id"]) == (voice.voice, "default", None)
    assert (row["ends_at"] - row["begins_at"]).total_seconds() == pytest.approx(len(SECRET) / 2 / SAMPLE_RATE, abs=1e-5)
    await ask(town, c.Stop(), who, f"{who}:k-2")
    assert await kept(town) == (0, False)
    assert await queries.audio_voices(who) == []
    await ask(town, c.SetVolume(volume=0.2, operator=True), who, f"{who}:k-3")
    assert await kept(town) == (1, False)


@pytest.mark.parametrize("blow", ["before", "after"])
async def test_a_kill_at_the_end_of_a_voice_loses_nothing_and_a_retry_plays_nothing_twice(
    town: Town, blow: str
) -> None:
    who = str(uuid4())
    session = c.Play(voice=str(uuid4()), recipe=TONE, session=str(uuid4()), owner=str(uuid4()), order=3)
    await ask(town, session, None, "effect:audio_session:x:3")
    voice = samples()
    await ask(town, voice, who, f"{who}:k-1")
    town.doomed = lambda batch: blow if any(row.event_type == "voices_ended" for row in batch.journal) else None
    stop = town.ask(DEVICE, c.encode(c.Stop()), Caller(who), f"{who}:k-2")
    asked = asyncio.create_task(stop)
    await town.dead.wait()
    asked.cancel()
    await town.kill()
    town.doomed = lambda batch: None
    await town.start()
    again = await ask(town, c.Stop(), who, f"{who}:k-2")
    assert (again["device"]["voices"], again["device"]["others"], again["sessions"]) == ([], 1, [])
    assert (await ask(town, voice, who, f"{who}:k-1"))["voices"] == [], "it was played, and has ended"
    late = c.Stop(voice=session.voice, owner=session.owner, order=2)
    assert await ask(town, late, None, "effect:audio_session:x:2") == {"refused": None, "code": None}
    found = msgspec.convert(await ask(town, c.GetDevice(), session.owner), DeviceState)
    assert [voice.id for voice in found.voices] == [session.voice]


async def test_an_account_that_ends_is_heard_no_more(town: Town, queries: Queries) -> None:
    here, gone = practitioner(), str(uuid4())
    store = town.backend.store(kind="other")
    await store.acquire()
    await store.commit(Batch(rows=[here]))
    stays = here.values["id"]
    for who in (stays, gone):
        await ask(town, c.Play(voice=str(uuid4()), recipe=TONE), who, f"{who}:k-1")
    assert await queries.gone(10) == [gone]
    assert await queries.audio_voices(stays, gone=True) == []
    assert [row["device"] for row in await queries.audio_voices(gone, gone=True)] == ["default"]
    gateway: Any = SimpleNamespace(queries=queries)
    (told,) = await farewells_of(gateway, gone)
    assert told.target == DEVICE
    await ask(town, c.codec.decode(told.command))
    assert await queries.gone(10) == []
    assert await kept(town) == (0, False)
    assert [
        str(row["practitioner_id"]) for row in await town.backend.connection.fetch("SELECT * FROM audio_voices")
    ] == [stays]

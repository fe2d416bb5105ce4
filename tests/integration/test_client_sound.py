"""The Python client listens over real sockets to sessions that are faked: what is heard when, also after a cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import numpy as np
import pytest
from audio_fakes import OTHER, SESSION, FakeSessions, a_session, paused, running, sounding
from gateway_fakes import HALL, World

from actors.audio.render import render
from actors.runtime.errors import Conflict, NotFound
from server.client import Client
from server.client_events import Backoff, ConnectionLost
from server.client_sound import WAITING_FRAMES, Listening, SoundFrame

Here = tuple[World, FakeSessions]
FAST = Backoff(base_s=0.01, cap_s=0.05)


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with asyncio.timeout(60), sounding() as found:
        yield found


def client(w: World) -> Client:
    return Client(w.http, token="t", backoff=FAST)


async def some(sound: Listening, count: int) -> list[SoundFrame]:
    found: list[SoundFrame] = []
    async for frame in sound:
        found.append(frame)
        if len(found) == count:
            break
    return found


async def test_two_clients_hear_the_same_positions_at_the_same_moment(here: Here) -> None:
    w, sessions = here
    async with client(w) as one, client(w) as two, one.listen(SESSION) as first:
        assert first.state["status"] == "created"
        state = sessions.put(running(sessions.states[SESSION]))
        heard = await some(first, 10)
        async with two.listen(SESSION, codec="opus") as second:
            late = await some(second, 10)
            assert second.format["codec"] == "opus"
        heard += await some(first, 30)
    anchor = state.timeline.anchor_at
    assert anchor is not None
    for frame in heard + late:
        delay_s = frame.frame.codec.delay_samples / frame.rate
        assert frame.play_at is not None
        since_s = (frame.play_at - anchor).total_seconds()
        assert since_s == pytest.approx(frame.position / frame.rate - delay_s, abs=1e-5)
    whole = [f for f in heard if not f.frame.discontinuity]  # a run fades in; on a busy machine there may be several
    assert len(whole) >= len(heard) // 2
    assert all(np.abs(f.samples() - render(state.recipe, f.position, 882)).max() < 1e-4 for f in whole)
    assert (first.lost, second.lost) == (0, 0)
    with pytest.raises(ValueError, match="Opus"):
        late[0].samples()


async def test_a_frame_is_due_by_the_loops_clock_as_far_ahead_as_it_was_sent(here: Here) -> None:
    w, sessions = here
    async with client(w) as one, one.listen(SESSION) as sound:
        sessions.put(running(sessions.states[SESSION]))
        ahead = []
        async for frame in sound:
            due = sound.due_s(frame)
            assert due is not None
            ahead.append(due - asyncio.get_running_loop().time())
            if len(ahead) == 25:
                break
        assert 0.1 < max(ahead) < 0.22


async def test_pauses_are_told_and_spectra_are_kept(here: Here) -> None:
    w, sessions = here
    async with client(w) as one, one.listen(SESSION, spectrum=True) as sound:
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        while sound.spectrum is None or sound.spectrum["position_s"] < 5.5:
            await some(sound, 1)
        assert sorted(sound.spectrum["frequencies"][:2]) == pytest.approx([428.085, 435.915], abs=0.1)
        sessions.put(paused(sessions.states[SESSION]))
        while not (frame := (await some(sound, 1))[0]).frame.last:
            pass
        assert sound.state["status"] == "paused"
        assert sound.due_s(frame) is None
        sessions.put(running(sessions.states[SESSION], position_s=8.0))
        assert (await some(sound, 1))[0].position == 400 * 882


async def test_after_a_cut_it_is_listened_to_anew_beside_a_space_that_is_resumed(here: Here) -> None:
    w, sessions = here
    w.shards.space(HALL)
    async with client(w) as one, one.join(HALL) as space, one.listen(SESSION) as sound:
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        (before,) = await some(sound, 1)
        number = sound.format["stream"]
        for connection in list(w.gateway._connections):
            connection.transport.abort()
        while sound.format["stream"] == number:
            await some(sound, 1)
        (after,) = await some(sound, 1)
        assert after.position > before.position
        assert after.play_at is not None
        assert (after.play_at - datetime.now(UTC)).total_seconds() > 0
        assert await space.send("still here") == 1


async def test_who_reads_no_frames_keeps_the_newest_and_everything_else_goes_on(here: Here) -> None:
    w, sessions = here
    async with client(w) as one, one.listen(SESSION) as sound:
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        await some(sound, 1)
        inbox = sound._inbox
        for _ in range(WAITING_FRAMES + 10):
            inbox.hear(inbox.frames[-1].frame if inbox.frames else (await some(sound, 1))[0].frame)
        assert len(inbox.frames) == WAITING_FRAMES
        assert sound.lost >= 10
        assert (await one.request("ping"))["pong"]


async def test_a_session_that_is_not_there_and_one_that_is_listened_to_already_are_refused(here: Here) -> None:
    w, sessions = here
    sessions.put(a_session(OTHER))
    async with client(w) as one:
        with pytest.raises(NotFound):
            async with one.listen("eeeeeeee-eeee-4eee-8eee-eeeeeeeeeeee"):
                pass
        async with one.listen(SESSION), one.listen(OTHER):
            with pytest.raises(Conflict):
                async with one.listen(SESSION):
                    pass
            assert len(await w.gateway.sound()) == 2
        assert len(await w.gateway.sound()) == 0


async def test_the_clients_end_ends_the_frames(here: Here) -> None:
    w, _ = here
    one = client(w)
    async with one, one.listen(SESSION) as sound:
        ending = asyncio.ensure_future(some(sound, 1))
        await one.close()
        with pytest.raises(ConnectionLost):
            await ending

"""Vajra.Stream's dialect over real sockets, fake shards and real sessions: who gets it, and what they get."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from fuzz.frames import Wire
from gateway_fakes import ALICE, BOB, HALL, ROOM, Client, until
from vajra_world import SoundWorld, sound_world

from actors.audio.replies import DeviceState
from actors.audio_session import commands as c
from actors.runtime.entity import Caller
from actors.runtime.errors import ActorUnavailable, SanghaError
from server import audio_sessions
from server.local_user import ID as LOCAL
from server.sound import hearing
from server.ws import authentication

CONNECTED = {"type": "connection_status", "status": "connected"}
SESSION = "cccccccc-cccc-4ccc-8ccc-cccccccccccc"
OTHER = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
TONE = {"audio_type": "pure_sine", "audio_frequency": 528.0, "prayer_bowl_mode": False, "name": "Evening"}


@pytest.fixture
async def w() -> AsyncIterator[SoundWorld]:
    async with sound_world(local_user=True) as here:
        yield here


async def receive(client: Client, type_: str) -> dict[str, Any]:
    """The next frame of a type."""
    while True:
        frame = await client.receive()
        if frame.get("type") == type_:
            return frame


async def status_of(client: Client, session: str, status: str) -> dict[str, Any]:
    """The first ``realtime_data`` that shows a session so."""
    while True:
        frame = await receive(client, "realtime_data")
        if frame["active_sessions"].get(session, {}).get("status") == status:
            return frame


async def refused(client: Client) -> dict[str, Any]:
    """The next frame that is an error."""
    while True:
        frame = await client.receive()
        if "error" in frame:
            return frame


# --- who gets it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/ws", "/ws/vajra"])
async def test_the_local_user_who_says_nothing_is_greeted_and_gets_realtime_data(w: SoundWorld, path: str) -> None:
    async with w.socket(path) as client:
        assert await client.receive() == CONNECTED
        frame = await client.receive()
        assert (frame["type"], frame["audio_spectrum"], frame["active_sessions"]) == ("realtime_data", [0.0] * 64, {})
        assert abs(frame["timestamp"] - time.time()) < 5


async def test_a_practitioner_speaks_it_with_a_token_on_the_upgrade() -> None:
    async with sound_world() as w:
        w.queries.login("t", ALICE)
        w.shards.session(SESSION, ALICE, **TONE)
        w.shards.session(OTHER, BOB, **TONE)
        async with w.socket("/ws/vajra", additional_headers={"Authorization": "Bearer t"}) as client:
            frame = await receive(client, "realtime_data")
            assert list(frame["active_sessions"]) == [SESSION]
            assert frame["active_sessions"][SESSION]["name"] == "Evening"


@pytest.mark.parametrize("first", ["subscribe_audio", "start_session", "stop_session"])
async def test_on_the_bare_path_its_words_decide(first: str) -> None:
    """Whatever the setting says of silence."""
    async with sound_world(silent_dialect="none") as w:
        w.queries.login("t", ALICE)
        async with w.socket(additional_headers={"Authorization": "Bearer t"}) as client:
            await client.send(type=first, session_id=SESSION)
            if first == "subscribe_audio":
                assert (await client.receive())["type"] == "audio_spectrum"
            else:
                assert (await client.receive())["code"] == "not_found"


async def test_without_a_login_its_words_are_an_error_and_4001() -> None:
    async with sound_world() as w, w.socket() as client:
        await client.send(type="subscribe_audio")
        assert (await client.receive())["code"] == "unauthenticated"
        assert await client.closed() == 4001


@pytest.mark.parametrize("token", [None, "wrong", "of a service"])
async def test_who_may_not_is_told_and_closed_with_4001(token: str | None) -> None:
    async with sound_world() as w:
        w.queries.login("of a service", ALICE, service="eustress")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with w.socket("/ws/vajra", additional_headers=headers) as client:
            assert (await client.receive())["error"]
            assert await client.closed() == 4001


async def test_a_foreign_page_is_not_the_local_user(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra", origin="https://evil.example") as client:
        assert await client.closed() == 4003


async def test_a_page_of_an_allowed_origin_is(w: SoundWorld) -> None:
    """The published front end's, from its own development server."""
    page = "http://localhost:5173"
    async with sound_world(local_user=True, allowed_origins=page) as there, there.socket(origin=page) as client:
        assert await client.receive() == CONNECTED


async def test_silence_is_ours_where_the_setting_says_so_or_nobody_could_be_meant() -> None:
    async with sound_world(local_user=True, silent_dialect="none", auth_timeout_s=0.5) as w, w.socket() as client:
        assert await client.closed() == 4001
    async with sound_world(silent_dialect="vajra", auth_timeout_s=0.5) as w, w.socket() as client:
        assert await client.closed() == 4001
    async with sound_world(silent_dialect="vajra") as w:
        w.queries.login("t", ALICE)
        async with w.socket(additional_headers={"Authorization": "Bearer t"}) as client:
            assert await client.receive() == CONNECTED
    async with sound_world(local_user=True, auth_timeout_s=0.5) as w, w.socket("/ws/collective") as client:
        assert await client.closed() == 4001


async def test_a_native_client_is_served_as_ever_also_where_it_is_slow(w: SoundWorld) -> None:
    """On a busy machine its ``auth`` may come after the silence was taken for Vajra's."""
    async with w.socket() as quick, w.socket() as slow:
        assert (await quick.auth())["practitioner"]["id"] == LOCAL
        assert await slow.receive() == CONNECTED
        await receive(slow, "realtime_data")
        await slow.send(id=1, type="auth")
        hello = await receive(slow, "result")
        assert hello["result"]["practitioner"]["id"] == LOCAL
        for client in (quick, slow):
            assert (await client.ask("ping"))["result"]["pong"] is True
        w.shards.space()
        assert (await slow.join(HALL))[-1]["full"]
        assert w.gateway.sessions == 2
    await until(lambda: not w.gateway.followers)


async def test_a_slow_native_client_with_a_wrong_token_is_closed(w: SoundWorld) -> None:
    async with w.socket() as client:
        assert await client.receive() == CONNECTED
        await client.send(id=1, type="auth", token="wrong")
        assert (await receive(client, "error"))["error"]["code"] == "unauthenticated"
        assert await client.closed() == 4001


@pytest.mark.parametrize("late", [False, True])
async def test_a_native_client_that_does_not_begin_with_auth_is_told_in_its_own_words(
    w: SoundWorld, late: bool
) -> None:
    """Also behind the 300 ms after which it was greeted as Vajra's: whatever it got has a type."""
    async with w.socket() as client:
        if late:
            assert "type" in await client.receive()
        await client.send(id=7, type="space.list")
        while (told := await client.receive())["type"] != "error":
            assert told["type"] in ("realtime_data", "connection_status")
        assert (told["id"], told["error"]["code"]) == (7, "unauthenticated")
        assert await client.closed() == 4001


async def test_its_own_path_is_no_way_into_the_native_dialect(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra") as client:
        await client.send(id=1, type="auth")
        assert (await refused(client))["error"] == "unknown type 'auth'"


async def test_storage_that_is_down_sends_a_client_that_says_nothing_away_to_come_back() -> None:
    async with sound_world() as w:
        w.queries.login("t", ALICE)
        w.queries.down = True
        async with w.socket("/ws/vajra", additional_headers={"Authorization": "Bearer t"}) as client:
            assert (await client.receive())["code"] == "storage_unavailable"
            assert await client.closed() == 1001


async def test_a_login_that_ends_closes_its_sockets() -> None:
    async with sound_world() as w:
        login = w.queries.login("t", ALICE)
        async with w.socket("/ws/vajra", additional_headers={"Authorization": "Bearer t"}) as client:
            await receive(client, "realtime_data")
            w.shards.push(w.shards.streams["practitioner", ALICE], "session_closed", {"sessions": [login.id]})
            assert await client.closed() == 4001
        async with w.socket("/ws/vajra", additional_headers={"Authorization": "Bearer t"}) as client:
            await receive(client, "realtime_data")
            w.gateway.sweep(0.0, 2e10)
            assert await client.closed() == 4001


@pytest.mark.parametrize("when", ["while it is asked", "while its sessions are looked up"])
async def test_a_login_that_ends_while_a_socket_enters_leaves_none_standing(when: str) -> None:
    async with sound_world() as w:
        login = w.queries.login("t", ALICE)
        looked, go_on = asyncio.Event(), asyncio.Event()
        real = w.queries.audible_sessions

        async def slow(practitioner: str, limit: int) -> Any:
            looked.set()
            await go_on.wait()
            return await real(practitioner, limit)

        w.queries.audible_sessions = slow  # type: ignore[method-assign]
        if when == "while it is asked":
            w.shards.hold()
        async with w.socket("/ws/vajra", additional_headers={"Authorization": "Bearer t"}) as client:
            if when == "while it is asked":
                await until(lambda: w.shards.held)
                w.shards.release()
                await until(lambda: ("practitioner", ALICE) in w.shards.streams)
            else:
                await looked.wait()
            w.shards.push(w.shards.streams["practitioner", ALICE], "session_closed", {"sessions": [login.id]})
            assert await client.closed() == 4001
        go_on.set()
        await until(lambda: not w.gateway.followers and not w.gateway._connections)
        assert w.gateway.sessions == 0


async def test_its_sockets_are_counted_as_any_others() -> None:
    async with sound_world(local_user=True, sockets_per_practitioner=1) as w, w.socket("/ws/vajra") as first:
        await receive(first, "realtime_data")
        async with w.socket("/ws/vajra") as second:
            assert (await second.receive())["code"] == "full"
            assert await second.closed() == 4029
        await receive(first, "realtime_data")


async def test_a_drain_closes_it_with_1001_and_no_word_of_ours(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra") as client:
        await receive(client, "realtime_data")
        draining = asyncio.create_task(w.gateway.drain())
        types = set()
        while client.socket.close_code is None:
            try:
                types.add((await client.receive())["type"])
            except Exception:  # noqa: BLE001 - the close
                break
        await draining
        assert client.socket.close_code == 1001
        assert types <= {"realtime_data"}


# --- what it says ----------------------------------------------------------------------------------------------------


async def test_the_published_client_asks_whether_it_is_heard(w: SoundWorld) -> None:
    async with w.socket() as client:
        assert await client.receive() == CONNECTED
        await client.send(type="ping")
        assert await receive(client, "pong") == {"type": "pong"}
        await client.send(type="dance")
        told = await receive(client, "error")
        assert told["message"] == told["error"] == "unknown type 'dance'"
        await receive(client, "realtime_data")


async def test_what_is_no_json_is_told_in_the_seeds_words_and_the_socket_stays(w: SoundWorld) -> None:
    """Also as the first frame, where silence would have been Vajra's; and more often than the native dialect would bear."""
    async with w.socket() as client:
        for _ in range(12):
            await client.socket.send("not json")
            assert await client.receive() == {"error": "Invalid JSON message"}
        await client.socket.send(b"\x00\x01")
        assert await client.receive() == {"error": "Invalid JSON message"}
        await client.send(type="subscribe_audio")
        assert (await client.receive())["type"] == "audio_spectrum"


async def test_garbage_stays_the_native_dialects_where_nobody_named_another() -> None:
    async with sound_world() as w, w.socket() as client:
        await client.socket.send("not json")
        assert (await client.receive())["error"]["code"] == "bad_request"
        assert await client.closed() == 4001


def _changes(w: SoundWorld) -> list[type]:
    """Without the looks at the session and at what it sounds on."""
    return [type(each) for each in w.shards.commands if isinstance(each, (c.Start, c.Stop))]


async def test_sessions_are_started_and_stopped_in_the_order_of_the_words(w: SoundWorld) -> None:
    w.shards.session(SESSION, LOCAL, **TONE)
    async with w.socket() as client:
        for word in ("start_session", "stop_session", "start_session"):
            await client.send(type=word, session_id=SESSION)
        await until(lambda: len(_changes(w)) == 3)
        assert _changes(w) == [c.Start, c.Stop, c.Start]
        assert w.shards.sessions[SESSION].state.session.status == "running"


async def test_another_practitioners_session_is_not_there(w: SoundWorld) -> None:
    w.shards.session(SESSION, BOB, **TONE)
    async with w.socket("/ws/vajra") as client:
        await client.send(type="start_session", session_id=SESSION)
        assert (await refused(client))["code"] == "not_found"
        assert w.shards.sessions[SESSION].state.session.status == "created"


async def test_a_flood_is_told_and_read_no_faster_than_is_allowed() -> None:
    async with sound_world(local_user=True, requests_burst=3, requests_per_s=0.9) as w, w.socket("/ws/vajra") as client:
        for _ in range(4):
            await client.send(type="start_session", session_id=SESSION)
        codes = [(await refused(client))["code"] for _ in range(4)]
        assert sorted(codes) == ["not_found"] * 3 + ["rate_limited"]


async def test_no_more_words_wait_than_may(w: SoundWorld) -> None:
    async with sound_world(local_user=True, unanswered_requests=2) as there, there.socket("/ws/vajra") as client:
        await receive(client, "realtime_data")
        there.shards.hold()
        for _ in range(3):
            await client.send(type="start_session", session_id=SESSION)
        assert (await refused(client))["code"] == "rate_limited"
        there.shards.release()
        assert [(await refused(client))["code"] for _ in range(2)] == ["not_found"] * 2


async def test_a_frame_that_is_too_big_is_1009(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra") as client:
        await client.socket.send("x" * 70_000)
        assert await client.closed() == 1009


# --- what it gets ----------------------------------------------------------------------------------------------------


async def test_a_session_that_is_started_sounds_at_its_frequency_and_is_silent_when_it_stops(w: SoundWorld) -> None:
    w.shards.session(SESSION, LOCAL, **TONE)
    async with w.socket() as seeds, w.socket() as client:
        await seeds.send(type="subscribe_audio")
        before = await status_of(client, SESSION, "created")
        assert before["audio_spectrum"] == [0.0] * 64
        await seeds.send(type="start_session", session_id=SESSION)
        while max((frame := await status_of(client, SESSION, "running"))["audio_spectrum"]) < 0.3:
            pass
        spectrum = frame["audio_spectrum"]
        assert spectrum.index(max(spectrum)) == int(528 / 1000 * 64)
        assert all(0 <= bar <= 1 for bar in spectrum)
        while not (data := (await receive(seeds, "audio_spectrum"))["data"])["frequencies"]:
            pass
        while data["amplitudes"][:1] < [0.49]:
            data = (await receive(seeds, "audio_spectrum"))["data"]
        assert data["frequencies"][0] == pytest.approx(528, abs=0.1)
        assert data["amplitudes"][0] == pytest.approx(0.5, abs=0.01)
        await seeds.send(type="stop_session", session_id=SESSION)
        assert (await status_of(client, SESSION, "stopped"))["audio_spectrum"] == [0.0] * 64


async def test_a_session_that_is_new_is_seen_and_one_that_is_deleted_is_gone(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra") as client:
        assert (await receive(client, "realtime_data"))["active_sessions"] == {}
        driver = w.shards.session(SESSION, LOCAL, **TONE)
        await status_of(client, SESSION, "created")
        w.shards.tell(driver, c.Delete(), Caller(LOCAL))
        while (await receive(client, "realtime_data"))["active_sessions"]:
            pass


async def test_a_session_of_a_space_is_heard_by_its_participants_until_they_leave_it(w: SoundWorld) -> None:
    w.shards.session(SESSION, BOB, **TONE, space=HALL)
    w.shards.session(OTHER, BOB, **TONE, space=ROOM)
    w.queries.spaces_of[LOCAL] = (HALL,)
    async with w.socket("/ws/vajra") as client:
        assert list((await status_of(client, SESSION, "created"))["active_sessions"]) == [SESSION]
        w.queries.spaces_of[LOCAL] = ()
        while (await receive(client, "realtime_data"))["active_sessions"]:
            pass
        assert not w.shards.sessions[SESSION].present or w.shards.unfollowed


async def test_a_guests_session_is_heard_while_the_space_says_that_the_guest_is_there(
    w: SoundWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: frozenset[str] | SanghaError = frozenset({LOCAL})
    asked: list[str] = []

    async def participants(gateway: Any, caller: Caller, space: str) -> frozenset[str]:
        asked.append(caller.practitioner)
        assert space == HALL
        assert w.gateway.hearing is not None
        assert not w.gateway.hearing.looking.locked()  # who waits for a shard makes nobody else wait
        if isinstance(inside, SanghaError):
            raise inside
        return inside

    monkeypatch.setattr(audio_sessions, "participants", participants)
    w.shards.session(SESSION, BOB, **TONE, space=HALL)
    w.shards.session(OTHER, LOCAL, **TONE)
    w.queries.guests.add(BOB)
    w.queries.spaces_of[LOCAL] = (HALL,)
    async with w.socket("/ws/vajra") as client:
        assert list((await receive(client, "realtime_data"))["active_sessions"]) == [OTHER]
        inside = frozenset({LOCAL, BOB})
        await status_of(client, SESSION, "created")
        inside, before = ActorUnavailable("its shard is away"), len(asked)
        await until(lambda: len(asked) > before + 1)
        assert SESSION in (await receive(client, "realtime_data"))["active_sessions"]
        inside = frozenset({LOCAL})
        while SESSION in (await receive(client, "realtime_data"))["active_sessions"]:
            pass
    assert set(asked) == {LOCAL}


async def test_a_session_is_rendered_once_a_tick_however_many_look(
    w: SoundWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    real = hearing.window_of
    monkeypatch.setattr(
        hearing, "window_of", lambda session, now: rendered.append(f"{session.id} {now}") or real(session, now)
    )
    driver = w.shards.session(SESSION, LOCAL, **TONE, space=HALL)
    w.queries.spaces_of[ALICE] = (HALL,)
    w.queries.login("t", ALICE)
    w.shards.tell(driver, c.Start(), Caller(LOCAL))
    headers = {"Authorization": "Bearer t"}
    async with (
        w.socket("/ws/vajra") as a,
        w.socket("/ws/vajra") as b,
        w.socket("/ws/vajra", additional_headers=headers) as d,
    ):
        for client in (a, b, d):
            while max((await receive(client, "realtime_data"))["audio_spectrum"]) < 0.1:
                pass
        assert len(w.gateway.followers) == 2
    assert len(rendered) == len(set(rendered))


async def test_frames_come_ten_times_a_second(w: SoundWorld) -> None:
    w.shards.tell(w.shards.session(SESSION, LOCAL, **TONE), c.Start(), Caller(LOCAL))
    async with w.socket("/ws/vajra") as client:
        stamps = [(await receive(client, "realtime_data"))["timestamp"] for _ in range(8)]
        steps = [after - before for before, after in pairwise(stamps)]
        assert min(steps) > 0.05  # never faster; slower only where the machine is
        assert sorted(steps)[len(steps) // 2] < 1


async def test_a_slow_socket_gets_fewer_frames_and_the_newest_and_hurts_nobody(w: SoundWorld) -> None:
    async with w.socket("/ws/vajra") as slow:
        await receive(slow, "realtime_data")
        (connection,) = w.gateway._connections
        sent: list[bytes] = []
        connection.outbox.size, connection.outbox.write = lambda: 10**5, sent.append
        async with w.socket("/ws/vajra") as well:
            stamps = [(await receive(well, "realtime_data"))["timestamp"] for _ in range(5)]
            assert connection.outbox.holding
            assert sent == []
            assert connection.outbox.waiting_bytes - 10**5 < 2_000  # one frame
            connection.outbox.size = lambda: 0
            await until(lambda: sent)
            newest = json.loads(sent[0][4:])["timestamp"]
            assert newest >= stamps[-1]


async def test_what_nobody_looks_at_is_not_followed(w: SoundWorld) -> None:
    w.shards.session(SESSION, LOCAL, **TONE)
    async with w.socket("/ws/vajra") as client, w.socket("/ws/vajra"):
        await status_of(client, SESSION, "created")
        assert len(w.gateway.followers) == 1
    await until(lambda: not w.gateway.followers)
    assert {(each.entity) for each in w.shards.unfollowed} == {LOCAL, SESSION}
    looks = w.queries.looks
    async with w.socket("/ws/vajra") as client:
        await status_of(client, SESSION, "created")
    assert w.queries.looks > looks


async def test_a_shard_that_is_away_delays_what_is_seen_of_its_sessions_and_nothing_else(w: SoundWorld) -> None:
    w.shards.session(SESSION, LOCAL, **TONE)
    away = ActorUnavailable("away")
    w.shards.refuse = lambda message: away if message.entity == SESSION else None
    async with w.socket("/ws/vajra") as client:
        assert (await receive(client, "realtime_data"))["active_sessions"] == {}
        await client.send(type="start_session", session_id=SESSION)
        assert (await refused(client))["code"] == "actor_unavailable"
        w.shards.refuse = lambda message: None
        await status_of(client, SESSION, "created")


async def test_a_client_that_ends_the_connection_without_a_word_leaves_nothing(w: SoundWorld) -> None:
    async with Wire(w.http) as wire:
        await wire.until(lambda each: bool(w.gateway.followers), 10)
    await until(lambda: not w.gateway.followers and not w.gateway._connections)


def test_silence_is_what_the_protocol_says() -> None:
    assert authentication.SILENCE_S == 0.3


# --- the server's device ---------------------------------------------------------------------------------------------


def a_device(**fields: Any) -> DeviceState:
    known: dict[str, Any] = {"device": "default", "present": True, "status": "Speaker (ALSA) plays", "volume": 0.8}
    return DeviceState(**(known | {"frequencies": (440.0,), "amplitudes": (0.4,)} | fields))


async def test_what_one_plays_on_the_device_is_shown_as_the_device_measured_it(w: SoundWorld) -> None:
    w.queries.voices, w.shards.device = [(LOCAL, None)], a_device(underruns=3)
    async with w.socket() as client, w.socket() as seeds:
        await seeds.send(type="subscribe_audio")
        while not max((frame := await receive(client, "realtime_data"))["audio_spectrum"]):
            pass
        assert frame["audio_spectrum"][28] == 0.4
        status = frame["system_status"]
        assert (status["audio_device"], status["audio_status"]) == (True, "Speaker (ALSA) plays")
        assert (status["audio_voices"], status["audio_volume"], status["audio_underruns"]) == (1, 0.8, 3)
        assert all(type(value) in (str, int, float, bool, type(None)) for value in status.values())
        while not (data := (await receive(seeds, "audio_spectrum"))["data"])["frequencies"]:
            pass
        assert (data["frequencies"], data["amplitudes"]) == ([440.0], [0.4])


async def test_what_others_and_ones_own_sessions_play_there_is_not_ones_own(w: SoundWorld) -> None:
    w.queries.voices, w.shards.device = [(BOB, None), (LOCAL, SESSION)], a_device()
    async with w.socket() as client:
        while (frame := await receive(client, "realtime_data"))["system_status"]["audio_device"] is not True:
            pass
        assert (frame["system_status"]["audio_voices"], frame["audio_spectrum"]) == (2, [0.0] * 64)


async def test_to_look_wakes_no_device(w: SoundWorld) -> None:
    w.shards.device = a_device()
    async with w.socket() as client:
        while w.queries.looks < 3:
            status = (await receive(client, "realtime_data"))["system_status"]
        assert w.shards.asked_device == 0
        assert (status["audio_device"], status["audio_voices"], status["sessions_running"]) == (False, 0, 0)
        assert "AUDIO_DEVICE=none" in status["audio_status"]


# --- each other ------------------------------------------------------------------------------------------------------


async def test_who_sounds_expensively_waits_for_the_others_and_not_they_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[str] = []
    real = hearing.Hearing.measure

    async def measure(self: Any, sessions: Any, now: Any) -> Any:
        measured.append(sessions[0].owner)
        found, took_s = await real(self, sessions, now)
        return found, 30.0 if sessions[0].owner == ALICE else took_s

    monkeypatch.setattr(hearing.Hearing, "measure", measure)
    async with sound_world() as w:
        bearers = {}
        for token, owner, session in (("a", ALICE, SESSION), ("b", BOB, OTHER)):
            w.queries.login(token, owner)
            w.shards.tell(w.shards.session(session, owner, **TONE), c.Start(), Caller(owner))
            bearers[owner] = {"additional_headers": {"Authorization": f"Bearer {token}"}}
        async with w.socket("/ws/vajra", **bearers[BOB]) as bob, w.socket("/ws/vajra", **bearers[ALICE]):
            await until(lambda: ALICE in measured)
            alices = measured.count(ALICE)
            for _ in range(10):
                await receive(bob, "realtime_data")
            assert measured.count(ALICE) <= alices + 1  # the one that nobody knew to be expensive

"""Listening over real sockets to sessions that are faked: who may, what comes when, that a slow listener hurts only itself."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from audio_fakes import OTHER, SESSION, FakeSessions, a_session, paused, running, sounding
from gateway_fakes import ALICE, BOB, HALL, Client, World, until

from actors.audio.render import render
from actors.runtime.entity import Caller
from actors.runtime.errors import ActorUnavailable, SanghaError
from actors.runtime.wire import Dropped
from server import audio_listeners, audio_sessions
from server.audio_listeners import end_strangers
from server.sound.frames import Frame, unpack
from server.sound.pcm import from_pcm16
from storage.audio_queries import Stranger

Here = tuple[World, FakeSessions]


@pytest.fixture
async def here() -> AsyncIterator[Here]:
    async with sounding() as found:
        found[0].queries.login("bob", BOB)
        yield found


async def receive(client: Client) -> dict[str, Any] | Frame:
    async with asyncio.timeout(10):
        data = await client.socket.recv()
    return unpack(data) if isinstance(data, bytes) else orjson.loads(data)


async def ask(client: Client, type_: str, **fields: Any) -> dict[str, Any]:
    """The reply, past what comes meanwhile."""
    client.next_id += 1
    await client.send(id=client.next_id, type=type_, **fields)
    while True:
        frame = await receive(client)
        if isinstance(frame, dict) and frame.get("id") == client.next_id:
            return frame


async def frames(client: Client, count: int) -> list[Frame]:
    found: list[Frame] = []
    while len(found) < count:
        if isinstance(frame := await receive(client), Frame):
            found.append(frame)
    return found


async def pushed(client: Client, event: str) -> dict[str, Any]:
    while True:
        frame = await receive(client)
        if isinstance(frame, dict) and event in (frame.get("event"), frame["type"]):
            return frame


def code_of(reply: dict[str, Any]) -> str:
    return str(reply.get("error", {}).get("code", "ok"))


# --- who -------------------------------------------------------------------------------------------------------------


async def test_the_owner_and_who_participates_in_its_space_may_listen(here: Here) -> None:
    w, sessions = here
    async with w.socket() as alice, w.socket() as bob, w.guest() as guest:
        await alice.auth(token="t")
        await bob.auth(token="bob")
        assert code_of(await ask(bob, "audio.listen", session=SESSION)) == "not_found"
        sessions.put(msgspec.structs.replace(sessions.states[SESSION], space=HALL))
        assert code_of(await ask(bob, "audio.listen", session=SESSION)) == "not_found"
        w.queries.participants.add((HALL, BOB))  # type: ignore[attr-defined]
        reply = await ask(bob, "audio.listen", session=SESSION)
        assert reply["result"] | {"stream": 0} == {
            "session": SESSION, "stream": 0, "codec": "pcm", "rate": 44_100, "channels": 2, "frame_samples": 882,
            "delay_samples": 0, "ahead_ms": 200,
        }  # fmt: skip
        snapshot = await pushed(bob, "snapshot")
        assert (snapshot["stream"], snapshot["state"]["name"]) == (f"audio_session:{SESSION}", "Evening")
        assert code_of(await ask(alice, "audio.listen", session=SESSION)) == "ok"
        w.shards.refuse = lambda message: _not_found() if isinstance(message.entity, str) else None
        assert code_of(await ask(guest, "audio.listen", session=SESSION)) == "not_found"


async def test_who_left_the_space_or_whose_owner_did_hears_no_more(here: Here) -> None:
    w, sessions = here
    participants = w.queries.participants  # type: ignore[attr-defined]
    sessions.put(running(msgspec.structs.replace(sessions.states[SESSION], space=HALL)))
    async with w.socket() as alice, w.socket() as bob:
        await alice.auth(token="t")
        await bob.auth(token="bob")
        assert code_of(await ask(alice, "audio.listen", session=SESSION)) == "ok"
        for leaves in (BOB, ALICE):
            participants.update({(HALL, ALICE), (HALL, BOB)})
            assert code_of(await ask(bob, "audio.listen", session=SESSION)) == "ok"
            await end_strangers(w.gateway)
            await frames(bob, 2)
            participants.discard((HALL, leaves))
            await end_strangers(w.gateway)
            left = await pushed(bob, "left")
            assert (left["stream"], left["body"]) == (f"audio_session:{SESSION}", {"reason": "forbidden"})
            assert len(sessions.followers[SESSION]) == 1
            assert (await ask(bob, "ping"))["result"]
            await frames(alice, 2)
        w.queries.down = True
        with pytest.raises(SanghaError, match="storage"):
            await end_strangers(w.gateway)


async def test_of_guests_the_space_itself_says_who_may_go_on_listening(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    w, sessions = here
    inside: set[str] = set()

    async def participants(gateway: Any, caller: Any, space: str) -> frozenset[str]:
        assert (space, caller.practitioner) == (HALL, BOB)
        return frozenset(inside)

    async def strangers(listening: Any) -> list[Stranger]:
        return [Stranger(*pair, ALICE, True, HALL) for pair in listening]

    monkeypatch.setattr(audio_sessions, "participants", participants)
    w.queries.participants.add((HALL, BOB))  # type: ignore[attr-defined]
    sessions.put(msgspec.structs.replace(sessions.states[SESSION], space=HALL))
    async with w.socket() as bob:
        await bob.auth(token="bob")
        assert code_of(await ask(bob, "audio.listen", session=SESSION)) == "ok"
        monkeypatch.setattr(w.queries, "audio_strangers", strangers)
        inside |= {ALICE, BOB}
        await end_strangers(w.gateway)
        assert len(sessions.followers[SESSION]) == 1
        inside.discard(ALICE)
        await end_strangers(w.gateway)
        assert (await pushed(bob, "left"))["body"] == {"reason": "forbidden"}


async def test_a_space_is_asked_once_a_round_and_one_that_does_not_answer_spares_its_own_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, str]] = []
    ended: list[str] = []
    who = {id_: SimpleNamespace(caller=Caller(id_)) for id_ in (ALICE, BOB, OTHER)}
    listening = {(f"{space} {id_}", id_): [who[id_]] for space in ("away", "shut", HALL) for id_ in who}

    async def participants(gateway: Any, caller: Caller, space: str) -> frozenset[str]:
        asked.append((space, caller.practitioner))
        if space == "away":
            raise ActorUnavailable("its shard is away")
        return frozenset() if caller.practitioner == ALICE else frozenset({BOB, "owner"})  # she may not see it

    async def strangers(pairs: Any) -> list[Stranger]:
        return [Stranger(*pair, "owner", True, pair[0].split()[0]) for pair in pairs]

    monkeypatch.setattr(audio_sessions, "participants", participants)
    monkeypatch.setattr(audio_listeners, "_listening", lambda gateway: listening)
    monkeypatch.setattr(audio_listeners, "_end", lambda connection, session: ended.append(session))
    await end_strangers(SimpleNamespace(queries=SimpleNamespace(audio_strangers=strangers)))  # type: ignore[arg-type]
    assert ended == [f"{space} {id_}" for space in ("shut", HALL) for id_ in (ALICE, OTHER)]
    assert asked == [("away", ALICE), *((space, id_) for space in ("shut", HALL) for id_ in (ALICE, BOB))]


async def test_whose_listening_ends_with_the_sharing_is_told(here: Here) -> None:
    w, sessions = here
    w.queries.participants.add((HALL, BOB))  # type: ignore[attr-defined]
    sessions.put(msgspec.structs.replace(sessions.states[SESSION], space=HALL))
    async with w.socket() as bob:
        await bob.auth(token="bob")
        assert code_of(await ask(bob, "audio.listen", session=SESSION)) == "ok"
        sessions.put(msgspec.structs.replace(sessions.states[SESSION], space=None))
        w.gateway.on_message("audio_session", Dropped(SESSION, BOB))
        assert (await pushed(bob, "changed"))["body"]["space"] is None
        assert (await pushed(bob, "left"))["body"] == {"reason": "not_found"}


def _not_found() -> SanghaError:
    from actors.runtime.errors import NotFound

    return NotFound("there is none")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({}, "session"),
        ({"session": "evening"}, "session"),
        ({"session": SESSION, "codec": "mp3"}, "codec"),
        ({"session": SESSION, "spectrum": "yes"}, "spectrum"),
    ],
)
async def test_what_is_wrong_is_named(here: Here, fields: dict[str, Any], path: str) -> None:
    async with here[0].socket() as client:
        await client.auth(token="t")
        error = (await ask(client, "audio.listen", **fields))["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", path)


async def test_a_session_that_is_not_there_is_not_found_and_unlistening_to_it_is_nothing(here: Here) -> None:
    w, _ = here
    async with w.socket() as client:
        await client.auth(token="t")
        assert code_of(await ask(client, "audio.listen", session=OTHER)) == "not_found"
        assert (await ask(client, "audio.unlisten", session=OTHER))["result"] == {"session": OTHER}
        assert len(await w.gateway.sound()) == 0


async def test_a_service_token_hears_nothing(here: Here) -> None:
    w, _ = here
    w.queries.login("engine", ALICE, service="eustress")
    async with w.socket() as client:
        await client.auth(token="engine")
        assert code_of(await ask(client, "audio.listen", session=SESSION)) == "forbidden"


# --- what is heard ---------------------------------------------------------------------------------------------------


async def test_two_listeners_hear_the_same_frames_ahead_of_their_time_and_the_later_one_is_in_phase(here: Here) -> None:
    w, sessions = here
    async with w.socket() as first, w.socket() as second:
        await first.auth(token="t")
        await second.auth(token="t")
        number = (await ask(first, "audio.listen", session=SESSION))["result"]["stream"]
        state = sessions.put(running(sessions.states[SESSION]))
        assert (await pushed(first, "changed"))["body"]["status"] == "running"
        anchor = state.timeline.anchor_at
        assert anchor is not None
        early = []
        for _ in range(20):
            (frame,) = await frames(first, 1)
            early.append(anchor.timestamp() + frame.position_s - time.time())
            assert frame.stream == number
        assert 0 < max(early) <= 0.205
        await ask(second, "audio.listen", session=SESSION)
        mine = await frames(second, 10)
        theirs = {frame.position: frame for frame in await frames(first, 15)}
        assert [theirs[frame.position] for frame in mine] == mine
        for frame in mine:
            truth = render(state.recipe, frame.position, 882)
            assert np.abs(from_pcm16(frame.payload, 2) - truth).max() < 1e-4


async def test_the_first_two_listeners_may_come_at_once(here: Here) -> None:
    """What renders is loaded for the first of them, and that takes its time."""
    w, sessions = here
    one, two = await asyncio.gather(w.gateway.sound(), w.gateway.sound())
    assert one is two
    async with w.socket() as first, w.socket() as second:
        for each in (first, second):
            await each.auth(token="t")
        await asyncio.gather(*(ask(each, "audio.listen", session=SESSION) for each in (first, second)))
        sessions.put(running(sessions.states[SESSION]))
        assert await frames(first, 3) == await frames(second, 3)


async def test_a_pause_ends_the_sound_and_a_deletion_the_stream(here: Here) -> None:
    w, sessions = here
    async with w.socket() as client:
        await client.auth(token="t")
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        await ask(client, "audio.listen", session=SESSION)
        assert (await frames(client, 1))[0].discontinuity
        sessions.put(paused(sessions.states[SESSION]))
        while not (frame := (await frames(client, 1))[0]).last:
            pass
        assert not np.any(from_pcm16(frame.payload, 2)[-1])
        sessions.put(running(sessions.states[SESSION], position_s=5.0))
        again = (await frames(client, 1))[0]
        assert (again.discontinuity, again.position) == (True, 250 * 882)
        sessions.delete()
        await pushed(client, "deleted")
        assert code_of(await ask(client, "ping")) == "ok"
        assert len(await w.gateway.sound()) == 0


async def test_spectra_come_to_who_asked_for_them(here: Here) -> None:
    w, sessions = here
    async with w.socket() as client, w.socket() as other:
        for each in (client, other):
            await each.auth(token="t")
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        await ask(other, "audio.listen", session=SESSION)
        await ask(client, "audio.listen", session=SESSION, spectrum=True)
        spectra = [await pushed(client, "spectrum") for _ in range(4)]
        assert sorted(spectra[-1]["frequencies"][:2]) == pytest.approx([428.085, 435.915], abs=0.1)
        steps = np.diff([each["position_s"] for each in spectra])
        assert steps == pytest.approx([0.1, 0.1, 0.1])
        other.next_id += 1
        await other.send(id=other.next_id, type="ping")
        while (frame := await receive(other)) != {} and not (isinstance(frame, dict) and frame.get("id")):
            assert isinstance(frame, Frame) or frame.get("event") != "spectrum"


async def test_listening_again_changes_the_codec_and_unlistening_ends_it(here: Here) -> None:
    w, sessions = here
    async with w.socket() as client:
        await client.auth(token="t")
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        await ask(client, "audio.listen", session=SESSION)
        await frames(client, 3)
        reply = (await ask(client, "audio.listen", session=SESSION, codec="opus"))["result"]
        assert (reply["rate"], reply["frame_samples"], reply["delay_samples"]) == (48_000, 960, 312)
        assert {frame.codec.name for frame in await frames(client, 3)} == {"opus"}
        assert len(await w.gateway.sound()) == 1
        assert (await ask(client, "audio.unlisten", session=SESSION))["result"] == {"session": SESSION}
        assert len(await w.gateway.sound()) == 0
        await until(lambda: not sessions.followers[SESSION])


async def test_a_socket_that_goes_listens_no_longer_also_while_it_asks(here: Here) -> None:
    w, sessions = here
    sessions.put(running(sessions.states[SESSION], in_s=-5))
    async with w.socket() as client:
        await client.auth(token="t")
        await ask(client, "audio.listen", session=SESSION)
        await frames(client, 1)
    playouts = await w.gateway.sound()
    await until(lambda: len(playouts) == 0)
    sessions.held = []
    async with w.socket() as client:
        await client.auth(token="t")
        await client.send(id=2, type="audio.listen", session=SESSION)
        await until(lambda: sessions.held)
    await until(lambda: not w.gateway._connections)
    held, sessions.held = sessions.held, None
    for work in held:
        work()
    assert len(playouts) == 0
    await until(lambda: not sessions.followers[SESSION])


async def test_a_listener_who_does_not_read_loses_its_own_frames_and_is_not_closed() -> None:
    async with sounding() as (w, sessions), w.socket() as good:
        await good.auth(token="t")
        slow = await _unread(w)
        try:
            sessions.put(running(sessions.states[SESSION], in_s=-1))
            await ask(good, "audio.listen", session=SESSION)
            (playout,) = (await w.gateway.sound())._open.values()
            assert len(playout.listeners) == 2
            mine = await frames(good, 60)
            assert [frame.seq - mine[0].seq for frame in mine] == list(range(60))
            assert playout.dropped > 10
            assert playout.sent - playout.dropped >= 60
            assert w.gateway.slow_closes == 0
        finally:
            slow.close()


async def _unread(w: World) -> socket.socket:
    """A client that listens and then reads nothing, behind a small window."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", w.port))
    head = f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{w.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    head += "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    await loop.sock_sendall(raw, head.encode())
    while not (await loop.sock_recv(raw, 4096)).endswith(b"\r\n\r\n"):
        pass
    for request in ({"id": 1, "type": "auth", "token": "t"}, {"id": 2, "type": "audio.listen", "session": SESSION}):
        text = orjson.dumps(request)
        await loop.sock_sendall(raw, b"\x81%c\0\0\0\0%b" % (0x80 | len(text), text))
    playouts = await w.gateway.sound()
    await until(lambda: len(playouts) == 1)
    for connection in w.gateway._connections:
        if connection.caller is not None and connection.streams.get(f"audio_session:{SESSION}"):
            with suppress(OSError):
                connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return raw


async def test_who_would_hear_what_there_is_no_room_for_is_refused_and_follows_nothing() -> None:
    async with sounding(playouts=1) as (w, sessions), w.socket() as client:
        sessions.put(running(a_session(OTHER), in_s=-5))
        sessions.put(running(sessions.states[SESSION], in_s=-5))
        await client.auth(token="t")
        assert code_of(await ask(client, "audio.listen", session=SESSION)) == "ok"
        assert code_of(await ask(client, "audio.listen", session=SESSION)) == "ok"
        assert code_of(await ask(client, "audio.listen", session=OTHER)) == "full"
        await until(lambda: not sessions.followers[OTHER])
        (connection,) = w.gateway._connections
        assert f"audio_session:{OTHER}" not in connection.streams
        await ask(client, "audio.unlisten", session=SESSION)
        assert code_of(await ask(client, "audio.listen", session=OTHER)) == "ok"
        assert await frames(client, 2)


async def test_who_waits_for_room_is_told_and_hears_it_from_then_on() -> None:
    async with sounding(playouts=1) as (w, sessions), w.socket() as client:
        sessions.put(a_session(OTHER))
        await client.auth(token="t")
        numbers = {}
        for session in (SESSION, OTHER):
            numbers[session] = (await ask(client, "audio.listen", session=session))["result"]["stream"]
            sessions.put(running(sessions.states[session], in_s=-5))
        told = await pushed(client, "unheard")
        assert (told["stream"], told["code"]) == (f"audio_session:{OTHER}", "full")
        assert "renders 1 streams" in told["message"]
        sessions.put(paused(sessions.states[SESSION]))
        while (frame := (await frames(client, 1))[0]).stream != numbers[OTHER]:
            assert frame.stream == numbers[SESSION]


async def test_pings_tell_the_time_to_the_microsecond(here: Here) -> None:
    async with here[0].socket() as client:
        await client.auth(token="t")
        told = (await ask(client, "ping"))["result"]["server_time"]
        assert len(told) == len("2026-01-01T00:00:00.000000Z") or told.count(".") == 0

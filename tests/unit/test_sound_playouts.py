"""Frames as bytes, the server's clock, and all playouts of a gateway."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from playing import ID, STEP, Ear, World, session

from actors.audio.recipe import Chord, Recipe
from actors.audio.values import FADE_S
from actors.audio_session.replies import AudioSession
from actors.runtime.errors import Full, Invalid
from actors.runtime.wire import Dropped, Pushed, Resynced
from server.sound import opus
from server.sound.frames import CODECS, Frame, Name, pack, unpack
from server.sound.pcm import PcmEncoder, from_pcm16
from server.sound.playouts import OWNER_MAX, OWNER_PARTIALS_MAX, PARTIALS_MAX, Playouts, ServerClock

OTHERS = "22222222-2222-4222-8222-222222222222"


@pytest.mark.parametrize("name", ["pcm", "opus"])
def test_a_frame_is_what_was_packed(name: Name) -> None:
    codec = CODECS[name]
    frame = unpack(pack(codec, 2**32 - 1, 2**32 + 3, 2**40, 3, b"abc"))
    assert frame == Frame(codec, 2**32 - 1, 3, 2**40, codec.frame_samples, 2, 3, b"abc")
    assert frame.discontinuity
    assert frame.last


@pytest.mark.parametrize("data", [b"", b"SA", b'{"type":"event"}' * 3, pack(CODECS["pcm"], 1, 1, 1, 0, b"")[:23]])
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no frame of sound"):
        unpack(data)


def test_samples_beyond_full_scale_are_held_there() -> None:
    loud = np.array([[2.0, -2.0], [0.5, -0.5]], dtype=np.float32)
    assert from_pcm16(PcmEncoder().encode(loud), 2).tolist() == [[1, -1], pytest.approx([0.5, -0.5], abs=STEP)]


def test_the_servers_clock_is_smooth_and_follows_where_it_is_set() -> None:
    wall, steady = [1_000.0], [5.0]
    clock = ServerClock(lambda: wall[0], lambda: steady[0])
    wall[0], steady[0] = 1_001.01, 6.0
    assert clock.now() == 1_001.0
    wall[0] = 2_000.0
    assert clock.now() == 2_000.0


def id_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def named(name: str, status: str = "running", **fields: Any) -> AudioSession:
    state = session(status, at_s=0.3 if status == "running" else None)
    return msgspec.structs.replace(state, id=id_of(name), **fields)


@pytest.fixture
def all_() -> Iterator[Playouts]:
    found = Playouts(2)
    yield found
    found.close()


async def test_a_gateway_renders_a_bounded_number_of_streams(all_: Playouts) -> None:
    w = World()
    one, two = Ear(w), Ear(w)
    first = all_.listen(one.outbox, named("a"), "pcm", spectrum=False)
    assert all_.listen(two.outbox, named("a"), "pcm", spectrum=True) is first
    assert all_.listeners([id_of("a"), id_of("b")]) == 2
    all_.listen(one.outbox, named("b"), "opus", spectrum=False)
    with pytest.raises(Full, match="renders 2 streams already"):
        all_.listen(two.outbox, named("c"), "pcm", spectrum=False)
    assert (len(all_), all_.rendered) == (2, 2)
    all_.leave(one.outbox)
    all_.leave(two.outbox, id_of("a"))
    assert (len(all_), all_.rendered) == (0, 0)
    assert all_.listen(one.outbox, named("a"), "opus", spectrum=False).number != first.number


@pytest.mark.parametrize("status", ["created", "paused", "stopped", "completed"])
async def test_a_session_that_stands_holds_no_place(all_: Playouts, status: str) -> None:
    w, ear = World(), Ear(World())
    for number in range(20):
        all_.listen(ear.outbox, named(f"stands {number}", status), "pcm", spectrum=False)
    for name in "ab":
        all_.listen(Ear(w).outbox, named(name), "pcm", spectrum=False)
    assert (len(all_), all_.rendered) == (22, 2)
    all_.heard(changed(named("a", status)))
    assert all_.rendered == 1


async def test_one_owners_sessions_leave_room_for_others() -> None:
    all_, w = Playouts(64), World()
    for number in range(OWNER_MAX):
        all_.listen(Ear(w).outbox, named(f"{number}"), "pcm", spectrum=False)
    with pytest.raises(Full, match="of one practitioner"):
        all_.listen(Ear(w).outbox, named("one more"), "pcm", spectrum=False)
    all_.listen(Ear(w).outbox, named("another's", owner=OTHERS), "pcm", spectrum=False)
    all_.close()
    lifted = Playouts(64, lifted=True)
    for number in range(64):
        lifted.listen(Ear(w).outbox, named(f"{number}"), "pcm", spectrum=False)
    lifted.close()


async def test_what_sounds_is_counted_by_its_partials() -> None:
    all_, w = Playouts(64), World()
    wide = Recipe(voices=(Chord(frequencies=tuple(100.0 + n for n in range(32))),) * 16, duration_s=60)  # 512
    for number in range(PARTIALS_MAX // OWNER_PARTIALS_MAX):
        for name in "ab":
            all_.listen(Ear(w).outbox, named(f"{name}{number}", owner=str(number), recipe=wide), "pcm", spectrum=False)
        with pytest.raises(Full, match="partials at once here"):
            all_.listen(Ear(w).outbox, named(f"c{number}", owner=str(number)), "pcm", spectrum=False)
    with pytest.raises(Full, match=f"renders at most {PARTIALS_MAX} partials"):
        all_.listen(Ear(w).outbox, named("d", owner=OTHERS), "pcm", spectrum=False)
    all_.close()


async def test_a_change_of_volume_of_a_large_session_takes_no_second_place() -> None:
    all_, w = Playouts(64), World()
    wide = Recipe(voices=(Chord(frequencies=tuple(100.0 + n for n in range(32))),) * 20, duration_s=60)  # 640
    all_.listen(Ear(w).outbox, named("a", recipe=wide), "pcm", spectrum=False)
    voices = [msgspec.structs.replace(voice, ends_s=7.3 + FADE_S) for voice in wide.voices]
    voices += [msgspec.structs.replace(voice, level=0.2, begins_s=7.3) for voice in wide.voices]
    all_.heard(changed(named("a", recipe=Recipe(voices=tuple(voices), duration_s=60))))
    assert all_.rendered == 1
    all_.close()


async def test_who_began_where_there_was_no_room_is_told_and_heard_as_soon_as_there_is(all_: Playouts) -> None:
    w = World()
    ears = {name: Ear(w) for name in "abcd"}
    for name in "abcd":
        all_.listen(ears[name].outbox, named(name, "created"), "pcm", spectrum=False)
    told: list[tuple[str, str]] = []
    for name in "abcd":
        playout = all_._open[id_of(name), "pcm"]
        playout.told = lambda state, name=name: told.append((name, state.status))  # type: ignore[method-assign,misc]
    for name in "abcd":
        all_.heard(changed(named(name)))
        all_.heard(changed(named(name)))  # said twice, told once
    assert set(told) == {("a", "running"), ("b", "running")}
    for name in "cd":
        ((_, push),) = ears[name].said
        assert (push["stream"], push["event"], push["code"]) == (f"audio_session:{id_of(name)}", "unheard", "full")
    with pytest.raises(Full):
        all_.listen(Ear(w).outbox, named("d"), "pcm", spectrum=False)
    told.clear()
    all_.heard(changed(named("b", "paused")))
    assert told == [("b", "paused"), ("c", "running")]
    all_.heard(changed(named("d", "stopped")))  # it waits no longer
    all_.leave(ears["a"].outbox)
    assert (told[2:], all_.rendered) == ([("d", "stopped")], 1)


async def test_without_an_encoder_opus_is_refused_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "is_there", lambda: False)
    with pytest.raises(Invalid, match="no Opus encoder"):
        Playouts(1).check("opus")


def plain(state: AudioSession) -> Any:
    return msgspec.to_builtins(state, builtin_types=(datetime,))


def changed(state: AudioSession) -> Pushed:
    return Pushed(state.id, 1, orjson.dumps({"type": "event", "offset": 1, "event": "changed", "body": plain(state)}))


async def test_what_the_shard_says_is_heard() -> None:
    w, all_ = World(), Playouts(4)
    playout = all_.listen(Ear(w).outbox, session("created", at_s=None), "pcm", spectrum=False)
    told: list[str] = []
    playout.told = lambda state: told.append(state.status)  # type: ignore[method-assign]

    all_.heard(changed(session("paused", at_s=None)))
    playout.fade = lambda recipe=None: told.append("faded")  # type: ignore[method-assign]
    all_.heard(Pushed(ID, 2, orjson.dumps({"type": "event", "offset": 2, "event": "deleted", "body": {}})))
    all_.heard(
        Resynced(
            ID,
            3,
            orjson.dumps({"stream": f"audio_session:{ID}", "offset": 3, "state": plain(session("paused", at_s=None))}),
        )
    )
    all_.heard(Resynced(ID, 3))
    all_.heard(Dropped(ID, None))
    all_.heard(Resynced(ID, 4, orjson.dumps({"stream": f"audio_session:{ID}", "offset": 4, "state": None})))
    assert told == ["paused", "faded", "paused", "faded"]
    all_.close()

"""Frames as bytes, the server's clock, and all playouts of a gateway."""

from __future__ import annotations

from datetime import datetime

import msgspec
import numpy as np
import orjson
import pytest
from playing import ID, STEP, Ear, World, session

from actors.runtime.errors import Full, Invalid
from actors.runtime.wire import Dropped, Pushed, Resynced
from server.sound import opus
from server.sound.frames import CODECS, Frame, Name, pack, unpack
from server.sound.pcm import PcmEncoder, from_pcm16
from server.sound.playouts import Playouts, ServerClock


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


async def test_a_gateway_renders_a_bounded_number_of_streams() -> None:
    w, all_ = World(), Playouts(1)
    one, two = Ear(w), Ear(w)
    still = session("created", at_s=None)
    first = all_.listen(one.outbox, still, "pcm", spectrum=False)
    assert all_.listen(two.outbox, still, "pcm", spectrum=True) is first
    with pytest.raises(Full):
        all_.listen(two.outbox, still, "opus", spectrum=False)
    assert set(first.listeners) == {one.outbox, two.outbox}
    all_.leave(one.outbox)
    all_.leave(two.outbox, ID)
    assert len(all_) == 0
    assert all_.listen(one.outbox, still, "opus", spectrum=False).number != first.number
    all_.close()


async def test_without_an_encoder_opus_is_refused_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opus, "is_there", lambda: False)
    with pytest.raises(Invalid, match="no Opus encoder"):
        Playouts(1).check(ID, "opus")


async def test_what_the_shard_says_is_heard() -> None:
    w, all_ = World(), Playouts(4)
    playout = all_.listen(Ear(w).outbox, session("created", at_s=None), "pcm", spectrum=False)
    told: list[str] = []
    playout.told = lambda state: told.append(state.status)  # type: ignore[method-assign]

    body = msgspec.to_builtins(session("paused", at_s=None), builtin_types=(datetime,))
    changed = orjson.dumps({"type": "event", "offset": 1, "event": "changed", "body": body})
    all_.heard(Pushed(ID, 1, changed))
    playout.fade = lambda recipe=None: told.append("faded")  # type: ignore[method-assign]
    all_.heard(Pushed(ID, 2, orjson.dumps({"type": "event", "offset": 2, "event": "deleted", "body": {}})))
    all_.heard(Resynced(ID, 3, orjson.dumps({"stream": f"audio_session:{ID}", "offset": 3, "state": body})))
    all_.heard(Resynced(ID, 3))
    all_.heard(Dropped(ID, None))
    assert told == ["paused", "faded", "paused"]
    all_.close()

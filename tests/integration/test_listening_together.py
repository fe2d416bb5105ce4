"""A whole server: all in a space hear its session's samples at the same moment, within 20 ms, also who comes late."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

import httpx
import numpy as np
import pytest
from harness import RunningServer

from actors.audio.recipe import Recipe
from actors.audio.render import render
from actors.runtime.codec import from_wire
from actors.runtime.errors import NotFound
from server.client import Client, register
from server.client_sound import Listening, SoundFrame

WITHIN_S = 0.020
Heard = tuple[SoundFrame, float]
"""A frame, and when it is to sound by this machine's clock, as a client knows that from its pings."""


async def heard(sound: Listening, seconds: float) -> dict[int, Heard]:
    """Frames by position."""
    found: dict[int, Heard] = {}
    loop, first = asyncio.get_running_loop(), None
    async for frame in sound:
        due = sound.due_s(frame)
        if due is not None:
            first = frame.position if first is None else first
            found[frame.position] = frame, time.time() + due - loop.time()
            if frame.position - first >= seconds * frame.rate:
                break
    return found


async def test_listeners_of_a_shared_session_hear_it_together_and_strangers_not_at_all() -> None:
    async with RunningServer() as server, asyncio.timeout(60):
        people = [
            await register(server.url, f"{n}@example.org", "correct horse battery") for n in ("ana", "ben", "eve")
        ]
        ana, ben, eve, late = (Client(server.url, token=people[n]["token"]) for n in (0, 1, 2, 1))
        async with ana, ben, eve, late:
            space = await ana.create_space("Circle", purpose="sound", access_level="open")
            async with ana.join(space["id"]), ben.join(space["id"]):
                fields = {"audio_type": "binaural", "frequencies": [432.0], "duration": 60, "space": space["id"]}
                session = (await post(server, people[0]["token"], "", fields))["id"]
                with pytest.raises(NotFound):
                    async with eve.listen(session):
                        pass
                async with ana.listen(session) as first, ben.listen(session) as second:
                    await post(server, people[0]["token"], f"{session}/start")
                    await listen(first, second, late)


async def post(server: RunningServer, token: str, path: str, body: Any = None) -> Any:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        answer = await http.post(f"{server.url}/api/v1/sessions/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def listen(first: Listening, second: Listening, late: Client) -> None:
    one, two = await asyncio.gather(heard(first, 1.0), heard(second, 1.0))
    async with late.listen(first.session) as third:
        four, three = await asyncio.gather(heard(first, 1.0), heard(third, 0.5))
    anchor_s = datetime.fromisoformat(first.state["timeline"]["anchor_at"]).timestamp()
    agree(one, two, anchor_s)
    agree(four, three, anchor_s)
    recipe = from_wire(Recipe, first.state["recipe"])
    for frame, _ in [*one.values(), *three.values()]:
        assert np.abs(frame.samples() - render(recipe, frame.position, 882)).max() < 1e-4


def agree(one: dict[int, Heard], other: dict[int, Heard], anchor_s: float) -> None:
    """What both heard, they hear at one moment, which is the timeline's (server and clients are one machine, with one clock)."""
    both = one.keys() & other.keys()
    assert len(both) >= 20
    for position in both:
        moments = [heard_[position][1] for heard_ in (one, other)]
        assert abs(moments[0] - moments[1]) < WITHIN_S
        assert all(abs(moment - (anchor_s + position / 44_100)) < WITHIN_S for moment in moments)

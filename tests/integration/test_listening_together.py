"""A whole server: all in a space hear its session's samples at the same moment, within 20 ms, also who comes late and listens in
a process of its own, with a clock offset of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import listening_child
import numpy as np
import pytest
from harness import RunningServer
from listening_child import Heard, heard

from actors.audio.recipe import Recipe
from actors.audio.render import render
from actors.runtime.codec import from_wire
from actors.runtime.errors import NotFound
from server.client import Client, register
from server.client_sound import Listening

WITHIN_S = 0.020
CHILD = Path(listening_child.__file__)


async def test_listeners_of_a_shared_session_hear_it_together_and_strangers_not_at_all() -> None:
    async with RunningServer() as server, asyncio.timeout(60):
        people = [
            await register(server.url, f"{n}@example.org", "correct horse battery") for n in ("ana", "ben", "eve")
        ]
        ana, ben, eve = (Client(server.url, token=each["token"]) for each in people)
        async with ana, ben, eve:
            space = await ana.create_space("Circle", purpose="sound", access_level="open")
            async with ana.join(space["id"]), ben.join(space["id"]):
                fields = {"audio_type": "binaural", "frequencies": [432.0], "duration": 60, "space": space["id"]}
                session = (await post(server, people[0]["token"], "", fields))["id"]
                with pytest.raises(NotFound):
                    async with eve.listen(session):
                        pass
                async with ana.listen(session) as first, ben.listen(session) as second:
                    await post(server, people[0]["token"], f"{session}/start")
                    await listen(first, second, server.url, people[1]["token"])


async def post(server: RunningServer, token: str, path: str, body: Any = None) -> Any:
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
        answer = await http.post(f"{server.url}/api/v1/sessions/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def listen(first: Listening, second: Listening, url: str, token: str) -> None:
    one, two = await asyncio.gather(heard(first, 1.0), heard(second, 1.0))
    late = await asyncio.create_subprocess_exec(sys.executable, CHILD, url, token, first.session, "0.6", stdout=PIPE)
    ended = asyncio.create_task(late.communicate())
    four: dict[int, Heard] = {}
    while not ended.done():
        four |= await heard(first, 0.2)
    three = {int(position): told for position, told in json.loads(ended.result()[0]).items()}
    anchor_s = datetime.fromisoformat(first.state["timeline"]["anchor_at"]).timestamp()
    agree(moments(one), moments(two), anchor_s)
    agree(moments(four), {position: moment for position, (_, moment) in three.items()}, anchor_s)
    recipe = from_wire(Recipe, first.state["recipe"])
    for frame, _ in one.values():
        assert np.abs(frame.samples() - render(recipe, frame.position, 882)).max() < 1e-4
    both = sorted(four.keys() & three.keys())[1:]  # its first fades in, where it is the first of its gateway
    assert all(four[position][0].payload.hex() == three[position][0] for position in both)


def moments(heard_: dict[int, Heard]) -> dict[int, float]:
    return {position: moment for position, (_, moment) in heard_.items()}


def agree(one: dict[int, float], other: dict[int, float], anchor_s: float) -> None:
    """What both heard, they hear at one moment, which is the timeline's (server and clients are one machine, with one clock)."""
    both = one.keys() & other.keys()
    assert len(both) >= 20
    for position in both:
        assert abs(one[position] - other[position]) < WITHIN_S
        assert all(abs(each[position] - (anchor_s + position / 44_100)) < WITHIN_S for each in (one, other))

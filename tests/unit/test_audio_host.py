"""When a sound device's player follows its entity, beside a shard that is none."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from server.audio_host import AudioHost

PATIENCE_S = 10.0


def follower(*, rests: bool, end: Any = None) -> Any:
    return SimpleNamespace(rests=rests, end=lambda: None, player=SimpleNamespace(busy_since=None, end=end))


class Host(AudioHost):
    """It says whom it follows."""

    def __init__(self, cell: Any, first: Any) -> None:
        self.shard: Any = SimpleNamespace(cells={"default": cell}, clock=SimpleNamespace(monotonic=lambda: 10.0))
        self.followers, self._resting = {"default": first}, {}
        self.followed = asyncio.Event()

    def _follow(self, shard: Any, entity: str) -> None:
        self.followers[entity] = follower(rests=False)
        self.followed.set()


def test_what_begins_while_the_player_goes_to_rest_is_heard() -> None:
    async def begins_meanwhile() -> None:
        cell = SimpleNamespace(used_at=1.0, ready=True, state=SimpleNamespace(voices={}))

        def ends() -> None:
            cell.used_at, cell.state = 9.0, SimpleNamespace(voices={"x": "a voice"})

        host = Host(cell, follower(rests=True, end=ends))
        watch = asyncio.create_task(host._watch())
        await asyncio.wait_for(host.followed.wait(), PATIENCE_S)
        watch.cancel()

    asyncio.run(begins_meanwhile())

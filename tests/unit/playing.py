"""What a playout plays to in unit tests: a clock moved by hand, sockets that note what came when, a session."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from actors.audio.recipe import Binaural, Recipe, Sine
from actors.audio.timeline import Timeline
from actors.audio_session.replies import AudioSession
from server.sound.blocks import Payload
from server.sound.frames import Frame, unpack
from server.ws.outbox import Outbox

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
WHO = "11111111-1111-4111-8111-111111111111"
TONE = Recipe(voices=(Binaural(carrier=432.0, beat=7.83, level=0.5),), duration_s=60)
OTHER = Recipe(voices=(Sine(frequency=528.0, level=0.3),), duration_s=60)
STEP = 0.5 / 32_767 + 1e-6


class World:
    """Works by hand: time moves when a test says so, rendering takes none unless it is held."""

    def __init__(self) -> None:
        self.time = T0.timestamp()
        self.calls: list[tuple[float, int, Callable[[], None]]] = []
        self.cancelled: set[int] = set()
        self.held: list[Callable[[], None]] | None = None
        self.fails = False
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def later(self, delay_s: float, act: Callable[[], None]) -> Any:
        number = next(self._numbers)
        heapq.heappush(self.calls, (self.time + delay_s, number, act))
        return type("Handle", (), {"cancel": lambda _: self.cancelled.add(number)})()

    def render(self, work: Callable[[], list[Payload]], then: Callable[[list[Payload] | None], None]) -> None:
        def do() -> None:
            made = None if self.fails else work()
            heapq.heappush(self.calls, (self.time, next(self._numbers), lambda: then(made)))

        if self.held is None:
            do()
        else:
            self.held.append(do)

    def run(self, seconds: float) -> None:
        """Everything that is due within so long."""
        end = self.time + seconds
        while self.calls and self.calls[0][0] <= end + 1e-9:
            at, number, act = heapq.heappop(self.calls)
            self.time = max(self.time, at)
            if number not in self.cancelled:
                act()
        self.time = end


class Ear:
    """A socket: what came to it, and when."""

    session = "s"

    def __init__(self, world: World) -> None:
        self.world, self.waiting = world, 0
        self.frames: list[tuple[float, Frame]] = []
        self.said: list[tuple[float, dict[str, Any]]] = []
        self.outbox = Outbox(self, self, 2**20)

    def write(self, data: bytes) -> None:
        at = self.world.time - T0.timestamp()
        size = data[1] if data[1] < 126 else 126
        payload = data[4:] if size == 126 else data[2:]
        if data[0] == 0x82:
            self.frames.append((at, unpack(payload)))
        else:
            self.said.append((at, orjson.loads(payload)))

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def behind(self) -> None:
        pass

    def too_slow(self) -> None:
        raise AssertionError("sound never closes a socket")


def session(
    status: str = "running", *, at_s: float | None = 0.3, position_s: float = 0.0, recipe: Recipe = TONE
) -> AudioSession:
    """A session whose timeline runs from a time (seconds after ``T0``), or stands."""
    anchor = None if at_s is None else T0 + timedelta(seconds=at_s)
    return AudioSession(
        id=ID, name="", intention="", status=status, duration=60, audio_type="binaural", audio_frequency=432.0,  # type: ignore[arg-type]
        frequencies=(432.0,), prayer_bowl_mode=False, metadata={}, volume=0.5, astrology_enabled=False,
        hardware_enabled=False, visuals_enabled=False, owner=WHO, space=None, device=None, device_error=None, created_at=T0,
        updated_at=None, started_at=T0, stopped_at=None, start_time=T0.timestamp(), elapsed_time=0, recipe=recipe,
        timeline=Timeline(position_s=position_s, anchor_at=anchor), published=False,
    )  # fmt: skip

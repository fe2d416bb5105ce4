"""``sangha demo``: simulated practitioners talk and breathe together in a space of a running server, shown live.

Each is a guest with a connection of its own and an oscillator (Kuramoto 1975) whose phase it pulses; the coupling goes over
the mean field r·e^{iψ} of the simulated phases: dθ/dt = ω + K·r·sin(ψ − θ). The r on display is not the simulation's but
what the server computes from the pulses and pushes. Nothing here is special to the demo's server: it is what any client does.
"""

from __future__ import annotations

import asyncio
import cmath
import math
import random
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from actors.runtime.errors import SanghaError
from server.client import Client, Stream

NAMES: Final = ("Ana", "Bo", "Chandra", "Dalia", "Eir", "Farid", "Gita", "Hana", "Ilse", "Jun", "Kai", "Lhamo")
PHRASES: Final = (
    "breathing with you",
    "I feel the circle close",
    "slower now",
    "in … and out",
    "the field is warm tonight",
    "thank you for being here",
    "listening",
    "may all beings be at ease",
)
OMEGA_RAD_S: Final = 2 * math.pi / 8
"""One breath in eight seconds."""
SPREAD_RAD_S: Final = 0.05
COUPLING: Final = 0.2
"""Well above the critical coupling, 1.6 × the spread, yet low: r rises over half a minute, slowly enough to watch."""
PULSE_EVERY_S: Final = 0.5
SPEAK_EVERY_S: Final = 5.0
GIVE_UP_AFTER_S: Final = 60.0
RATE_WINDOW_S: Final = 5


def mean_field(phases_rad: Sequence[float]) -> tuple[float, float]:
    """(r, ψ): r·e^{iψ} is the mean of e^{iθ}; (0, 0) of none."""
    if not phases_rad:
        return 0.0, 0.0
    mean = sum(cmath.exp(1j * phase) for phase in phases_rad) / len(phases_rad)
    return abs(mean), cmath.phase(mean)


def advance(phase_rad: float, omega_rad_s: float, field: tuple[float, float], dt_s: float) -> float:
    """The phase in [0, 2π) one explicit Euler step later: dθ/dt = ω + K·r·sin(ψ − θ)."""
    r, psi = field
    return (phase_rad + dt_s * (omega_rad_s + COUPLING * r * math.sin(psi - phase_rad))) % (2 * math.pi)


@dataclass(slots=True)
class Practitioner:
    """One simulated practitioner, as the table shows it."""

    name: str
    phase_rad: float
    omega_rad_s: float
    client: Client
    stream: Stream | None = None

    @property
    def state(self) -> str:
        """The connection's state, or that the space is still to be entered."""
        return "joining" if self.stream is None and self.client.state == "connected" else self.client.state


class Circle:
    """The practitioners of one demo, and what was heard."""

    def __init__(self, url: str, count: int, rng: random.Random) -> None:
        names = [NAMES[n % len(NAMES)] + (f" {n // len(NAMES) + 1}" if n >= len(NAMES) else "") for n in range(count)]
        self.members = [
            Practitioner(
                name=name,
                phase_rad=rng.random() * 2 * math.pi,
                omega_rad_s=rng.gauss(OMEGA_RAD_S, SPREAD_RAD_S),
                client=Client(url, guest=name, give_up_after_s=GIVE_UP_AFTER_S, ping_interval_s=2.0),
            )
            for name in names
        ]
        self.r: float | None = None
        """The newest r that the server told; None before it did."""
        self.spoken = 0
        self.rate_per_s = 0.0
        self._rng = rng
        self._counts = [0]

    async def enter(self, stack: AsyncExitStack, space: str | None) -> str:
        """Connect all, make the space where none is named, and join it. Leaving is the stack's."""
        connect = [stack.enter_async_context(member.client) for member in self.members]
        await asyncio.gather(*connect)
        if space is None:
            space = f"demo-{uuid.uuid4().hex[:8]}"
            await self.members[0].client.create_space(
                "The demo's circle",
                purpose="Breathing together",
                slug=space,
                access_level="open",
                participant_limit=len(self.members) + 100,
            )
            stack.push_async_callback(self._close, space)
        for member in self.members:
            member.stream = await stack.enter_async_context(member.client.join(space))
        return space

    async def _close(self, space: str) -> None:
        with suppress(SanghaError, TimeoutError):  # the space of a guest ends with the guest anyway
            await self.members[0].client.request("space.close", space=space, timeout_s=2)

    async def breathe(self, dt_s: float = 0.05) -> None:
        """Move every oscillator, for ever."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(dt_s)
            now = loop.time()
            field = mean_field([member.phase_rad for member in self.members])
            for member in self.members:
                member.phase_rad = advance(member.phase_rad, member.omega_rad_s, field, now - before)
            before = now

    async def pulse(self, member: Practitioner) -> None:
        """Tell one's phase, twice a second."""
        await asyncio.sleep(self._rng.random() * PULSE_EVERY_S)
        while member.stream is not None:
            await member.stream.pulse(member.phase_rad)
            await asyncio.sleep(PULSE_EVERY_S)

    async def speak(self, member: Practitioner) -> None:
        """Say something now and then."""
        while member.stream is not None:
            await asyncio.sleep(self._rng.expovariate(1 / SPEAK_EVERY_S))
            await member.stream.send({"text": self._rng.choice(PHRASES)})

    async def listen(self, member: Practitioner) -> None:
        """Hear the space; the first member's ears are the demo's."""
        if member.stream is None:
            return
        async for event in member.stream:
            if member is self.members[0]:
                self.spoken += event.event == "message"
                if event.event == "coherence":
                    self.r = event.fields.get("phase_coherence")

    def measure(self) -> None:
        """Once a second: messages per second over the last few."""
        self._counts = [*self._counts, self.spoken][-RATE_WINDOW_S - 1 :]
        self.rate_per_s = (self._counts[-1] - self._counts[0]) / max(1, len(self._counts) - 1)

    def line(self) -> str:
        """The demo in one line."""
        connected = sum(member.client.state == "connected" for member in self.members)
        latencies = [ms for member in self.members if (ms := member.client.latency_ms) is not None]
        latency = f"{sum(latencies) / len(latencies):.1f} ms" if latencies else "-"
        r = "-" if self.r is None else f"{self.r:.3f}"
        head = max((member.stream.offset or 0 for member in self.members if member.stream is not None), default=0)
        return f"{connected}/{len(self.members)} connected  r {r}  {self.rate_per_s:.1f} messages/s  head {head}  {latency}"

    def table(self, space: str) -> Group:
        """The demo as a table."""
        table = Table(title=f"space {space}")
        for column in ("practitioner", "state"):
            table.add_column(column)
        for column in ("offset", "latency ms"):
            table.add_column(column, justify="right")
        table.add_column("phase")
        for member in self.members:
            offset = "" if member.stream is None or member.stream.offset is None else str(member.stream.offset)
            latency = "" if member.client.latency_ms is None else f"{member.client.latency_ms:.1f}"
            style = {"connected": "green", "stopped": "red"}.get(member.state, "yellow")
            table.add_row(member.name, Text(member.state, style), offset, latency, dial(member.phase_rad))
        return Group(table, Text(self.line()))


def dial(phase_rad: float, width: int = 24) -> str:
    """A phase as a dot that goes along a line."""
    at = min(width - 1, int(phase_rad / (2 * math.pi) * width))
    return "·" * at + "●" + "·" * (width - 1 - at)


async def _show(circle: Circle, space: str, console: Console) -> None:
    if not console.is_terminal:
        while True:
            await asyncio.sleep(1)
            circle.measure()
            console.print(circle.line(), highlight=False, soft_wrap=True)
    with Live(circle.table(space), console=console, auto_refresh=False) as live:
        for tick in range(2**62):
            if tick % 5 == 0:
                circle.measure()
            live.update(circle.table(space), refresh=True)
            await asyncio.sleep(0.2)


async def run_demo(
    url: str,
    *,
    practitioners: int = 12,
    space: str | None = None,
    seconds: float | None = None,
    console: Console,
    rng: random.Random | None = None,
) -> None:
    """Hold a gathering of simulated guests on the server at ``url`` until cancelled, or for ``seconds``.

    ``space`` is an open space to enter (None: a new one, closed at the end). On a terminal a live table, elsewhere a plain
    line each second. However it ends, everyone leaves and disconnects first. Raises the SanghaError that ended it.
    """
    circle = Circle(url, practitioners, rng or random.Random())
    async with AsyncExitStack() as stack:
        name = await circle.enter(stack, space)
        works = [circle.breathe(), _show(circle, name, console)]
        for member in circle.members:
            works += [circle.pulse(member), circle.speak(member), circle.listen(member)]
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

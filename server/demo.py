"""``sangha demo``: simulated practitioners breathe together in a space of a running server and hold group rituals, shown live.

Each has an account, a connection of its own and an oscillator (Kuramoto 1975) whose phase it pulses; the coupling goes over
the mean field r·e^{iψ} of the simulated phases: dθ/dt = ω + K·r·sin(ψ − θ). The r on display is not the simulation's but
what the server computes from the pulses and pushes. The first of them facilitates one ritual after another; all come at its
time of the server's, by their own estimate of its clock. Nothing here is special to the demo's server: it is what any
client does.
"""

from __future__ import annotations

import asyncio
import cmath
import itertools
import math
import random
import secrets
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live

from actors.runtime.errors import SanghaError
from server.client import Client, Stream, put_archetypal_state, register
from server.client_events import Event
from server.demo_view import Ritual, Row, apart_ms, changes, heard, report, stage_line, strengths, table

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
RITUALS: Final = ("shadow_integration", "energy_attunement", "void_contemplation", "transformation_completion")
INTENTION: Final = "to come closer to each other, and to ourselves"
OMEGA_RAD_S: Final = 2 * math.pi / 8
"""One breath in eight seconds."""
SPREAD_RAD_S: Final = 0.05
COUPLING: Final = 0.2
"""Well above the critical coupling, 1.6 × the spread, yet low: r rises over half a minute, slowly enough to watch."""
PULSE_EVERY_S: Final = 0.5
SPEAK_EVERY_S: Final = 5.0
GIVE_UP_AFTER_S: Final = 60.0
RATE_WINDOW_S: Final = 5
REGISTERING: Final = 4
"""Accounts asked for at once: each costs the server a hash that is meant to be slow."""


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


def names(count: int) -> list[str]:
    """So many different names."""
    return [NAMES[n % len(NAMES)] + (f" {n // len(NAMES) + 1}" if n >= len(NAMES) else "") for n in range(count)]


def some_state(rng: random.Random) -> dict[str, Any]:
    """The archetypal state that somebody comes with: all that the rituals ask for, and room to change."""

    def within(low: float, high: float) -> float:
        return round(rng.uniform(low, high), 2)

    return {
        "archetypes": {"Light": within(0.5, 0.95), "Shadow": within(0.05, 0.45), "Self": within(0.1, 0.5)},
        "energies": {element: within(0.1, 0.95) for element in ("fire", "water", "earth", "air")},
        "transformations": rng.sample(["descent", "crossing", "return", "naming", "letting go"], 3),
    }


@dataclass(frozen=True, slots=True)
class Tempo:
    """How long the parts of a ritual last, and the pause after it."""

    countdown_s: float = 8.0
    opening_s: float = 3.0
    integration_s: float = 3.0
    pause_s: float = 4.0

    @classmethod
    def within(cls, seconds: float | None) -> Tempo:
        """So that a ritual is completed within the time, where there is any sense in trying."""
        share = 1.0 if seconds is None else min(1.0, max(0.1, seconds / 25))
        return cls(*(round(share * part, 2) for part in (8.0, 3.0, 3.0, 4.0)))


@dataclass(slots=True)
class Practitioner:
    """One simulated practitioner."""

    name: str
    phase_rad: float
    omega_rad_s: float
    client: Client
    stream: Stream | None = None
    before: dict[str, float] = field(default_factory=dict)
    """Strengths and levels when the ritual's countdown began."""
    now: dict[str, float] = field(default_factory=dict)
    called: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    """Rituals that begin, and when."""

    @property
    def state(self) -> str:
        """The connection's state, or that the space is still to be entered."""
        return "joining" if self.stream is None and self.client.state == "connected" else self.client.state

    async def look(self) -> None:
        """At one's own state."""
        self.now = strengths((await self.client.archetypal_state())["archetypal_state"])


async def accounts(url: str, people: Sequence[str], rng: random.Random, verify: SSLContext | bool = True) -> list[str]:
    """Tokens of new accounts, each with a state to begin with. Raises RateLimited where too many come in a minute."""
    circle, gate = secrets.token_hex(4), asyncio.Semaphore(REGISTERING)
    states = [some_state(rng) for _ in people]

    async def one(number: int, name: str) -> str:
        async with gate:
            email, password = f"demo-{circle}-{number}@example.org", secrets.token_urlsafe(16)
            profile = {"spiritual_name": name, "privacy_level": "community"}
            opened = await register(url, email, password, verify=verify, **profile)
            await put_archetypal_state(url, opened["token"], states[number], verify=verify)
            return str(opened["token"])

    return list(await asyncio.gather(*itertools.starmap(one, enumerate(people))))


class Circle:
    """The practitioners of one demo, and what was heard."""

    def __init__(self, url: str, tokens: Sequence[str], rng: random.Random, ssl: SSLContext | None = None) -> None:
        self.members = [
            Practitioner(
                name=name,
                phase_rad=rng.random() * 2 * math.pi,
                omega_rad_s=rng.gauss(OMEGA_RAD_S, SPREAD_RAD_S),
                client=Client(url, token=token, ssl=ssl, give_up_after_s=GIVE_UP_AFTER_S, ping_interval_s=2.0),
            )
            for name, token in zip(names(len(tokens)), tokens, strict=True)
        ]
        self.r: float | None = None
        """The newest r that the server told; None before it did."""
        self.spoken = 0
        self.rate_per_s = 0.0
        self.ritual: Ritual | None = None
        self.met: dict[str, dict[str, float]] = {}
        """When each came to a ritual's beginning, by run and name, on this machine's clock."""
        self.held: list[Ritual] = []
        self._closed = asyncio.Event()
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
        await asyncio.gather(*(member.look() for member in self.members))
        return space

    async def _close(self, space: str) -> None:
        with suppress(SanghaError, TimeoutError):  # a space that is left behind empties by itself
            await self.members[0].client.request("space.close", space=space, timeout_s=2)

    # What they do

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

    async def facilitate(self, tempo: Tempo) -> None:
        """Hold one ritual after another."""
        stream = self.members[0].stream
        for name in itertools.cycle(RITUALS):
            assert stream is not None
            self._closed.clear()
            await stream.begin_ritual(
                name,
                intention=INTENTION,
                starts_in_s=tempo.countdown_s,
                opening_s=tempo.opening_s,
                integration_s=tempo.integration_s,
            )
            await self._closed.wait()
            await asyncio.sleep(tempo.pause_s)

    async def attend(self, member: Practitioner) -> None:
        """Come to each ritual at its time."""
        while True:
            run, starts_at = await member.called.get()
            member.before = member.now
            await member.client.until(starts_at)
            self.met.setdefault(run, {})[member.name] = asyncio.get_running_loop().time()

    async def listen(self, member: Practitioner) -> None:
        """Hear the space; the first member's ears are the demo's."""
        if member.stream is None:
            return
        async for event in member.stream:
            if event.event == "ritual_gathering":
                member.called.put_nowait((event.body["ritual_run"], event.body["starts_at"]))
            elif event.event in ("ritual_integration", "ritual_closed"):
                await member.look()
            if member is self.members[0]:
                self.hear(event)

    def hear(self, event: Event) -> None:
        """Take in what the space pushes."""
        self.spoken += event.event == "message"
        if event.event == "coherence":
            self.r = event.fields.get("phase_coherence")
        self.ritual = heard(self.ritual, event)
        if event.event == "ritual_closed" and self.ritual is not None and self.ritual.summary is not None:
            self.held.append(self.ritual)
            self._closed.set()

    # What is shown

    def measure(self) -> None:
        """Once a second: messages per second over the last few."""
        self._counts = [*self._counts, self.spoken][-RATE_WINDOW_S - 1 :]
        self.rate_per_s = (self._counts[-1] - self._counts[0]) / max(1, len(self._counts) - 1)

    def line(self) -> str:
        """The circle in one line."""
        connected = sum(member.client.state == "connected" for member in self.members)
        latencies = [ms for member in self.members if (ms := member.client.latency_ms) is not None]
        latency = f"{sum(latencies) / len(latencies):.1f} ms" if latencies else "-"
        r = "-" if self.r is None else f"{self.r:.3f}"
        head = max((member.stream.offset or 0 for member in self.members if member.stream is not None), default=0)
        return f"{connected}/{len(self.members)} connected  r {r}  {self.rate_per_s:.1f} messages/s  head {head}  {latency}"

    def stage(self) -> str:
        """The ritual in one line."""
        return stage_line(self.ritual, self.members[0].client.server_time(), self._met_ms(self.ritual))

    def _met_ms(self, ritual: Ritual | None) -> float | None:
        return None if ritual is None else apart_ms(self.met.get(ritual.run, {}).values())

    def show(self, space: str) -> Group:
        """The circle as a table."""
        met = {} if self.ritual is None else self.met.get(self.ritual.run, {})
        first = min(met.values(), default=0.0)
        rows = [
            Row(
                name=member.name,
                state=member.state,
                offset=None if member.stream is None else member.stream.offset,
                latency_ms=member.client.latency_ms,
                phase_rad=member.phase_rad,
                values=changes(member.before or member.now, member.now),
                late_ms=(met[member.name] - first) * 1000 if member.name in met else None,
            )
            for member in self.members
        ]
        return table(f"space {space}", rows, self.stage(), self.line())

    def report(self) -> list[str]:
        """What came of the rituals."""
        lines = [line for each in self.held for line in report(each.summary or {}, self._met_ms(each))]
        return lines or ["no ritual was completed in this time"]


async def _show(circle: Circle, space: str, console: Console) -> None:
    if not console.is_terminal:
        while True:
            await asyncio.sleep(1)
            circle.measure()
            console.print(f"{circle.line()}  {circle.stage()}", highlight=False, soft_wrap=True)
    with Live(circle.show(space), console=console, auto_refresh=False) as live:
        for tick in range(2**62):
            if tick % 5 == 0:
                circle.measure()
            live.update(circle.show(space), refresh=True)
            await asyncio.sleep(0.2)


async def run_demo(
    url: str,
    *,
    practitioners: int = 12,
    space: str | None = None,
    seconds: float | None = None,
    console: Console,
    rng: random.Random | None = None,
    ssl: SSLContext | None = None,
) -> None:
    """Hold a gathering of simulated practitioners on the server at ``url`` until cancelled, or for ``seconds``.

    ``space`` is an open space to enter, whose rituals are its facilitator's (None: a new one with rituals of its own, closed
    at the end). On a terminal a live table, elsewhere a plain line each second; at the end what came of the rituals. However
    it ends, everyone leaves and disconnects first. Raises the SanghaError that ended it.
    """
    rng = rng or random.Random()
    circle = Circle(url, await accounts(url, names(practitioners), rng, ssl or True), rng, ssl)
    async with AsyncExitStack() as stack:
        name = await circle.enter(stack, space)
        works = [circle.breathe(), _show(circle, name, console)]
        for member in circle.members:
            works += [circle.pulse(member), circle.speak(member), circle.listen(member), circle.attend(member)]
        if space is None:
            works.append(circle.facilitate(Tempo.within(seconds)))
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for line in circle.report():
                console.print(line, highlight=False, soft_wrap=True)

"""Recovery: a shard is killed (SIGKILL) or frozen (SIGSTOP) under load; how long until its spaces answer, and what was lost.

Each space has one *probe*, a whole client that sends one message after another and retries as clients do, among members
that send at a rate and never retry. Recovered is when every space has acknowledged a message that its probe began to send
after the blow. Lost is an acknowledged message that the history does not have at the acknowledged offset; doubled is one
that it has twice.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from rich.console import Console

from server.bench import show
from server.bench.lean import Lean, enter
from server.client import Client, ws_url
from server.client_events import Backoff, ClientError

PROBE_EVERY_S: Final = 0.02
PROBE_BACKOFF: Final = Backoff(base_s=0.05, cap_s=0.25)
"""Quicker than a client's default: the server is measured, not the client's patience."""


@dataclass(slots=True)
class Space:
    """A space under load and what was acknowledged in it: offset → the message's own id."""

    number: int
    slug: str
    id: str = ""
    acknowledged: dict[int, str] = field(default_factory=dict)
    first_after: float | None = None
    """When the first message that was begun after the blow was acknowledged."""
    answers: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Blow:
    """When the shard was hit, by the monotonic clock; None before."""

    at: float | None = None


def shard_pid(status: Mapping[str, Any], kind: str, index: int | str) -> int:
    """The process of a shard, from ``sangha status --json``. Raises ClientError where there is none."""
    for shard in status["shards"]:
        if shard["kind"] == kind and str(shard["index"]) == str(index):
            return int(shard["pid"])
    raise ClientError(f"no shard {kind}/{index} runs")


def compare(acknowledged: Mapping[int, str], history: Iterable[tuple[int, str]]) -> tuple[int, int]:
    """(lost, doubled): acknowledged messages that are not where they were said to be, and messages that are there twice."""
    found = dict(history)
    lost = sum(found.get(offset) != message for offset, message in acknowledged.items())
    doubled = sum(count - 1 for count in Counter(found.values()).values())
    return lost, doubled


async def _probe(client: Client, space: Space, blow: Blow) -> None:
    for n in range(2**62):
        began, message = time.monotonic(), f"probe-{n}"
        result = await client.request("space.send", space=space.id, body={"m": message})
        space.acknowledged[result["offset"]] = message
        if blow.at is not None and began > blow.at and space.first_after is None:
            space.first_after = time.monotonic()
            space.answers.set()
        await asyncio.sleep(PROBE_EVERY_S)


class Members:
    """The load beside the probes: members that send at a rate; what they were acknowledged counts too."""

    def __init__(self, spaces: list[Space]) -> None:
        self._spaces = spaces
        self._sent: dict[int, dict[int, str]] = {}
        self.delivered = 0

    def listener(self, lean: Lean, space: Space) -> Callable[[bytes], None]:
        """What a member does with a frame."""
        sent = self._sent.setdefault(id(lean), {})

        def frame(payload: bytes) -> None:
            if b'"type":"result"' in payload[:60]:
                reply = orjson.loads(payload)
                if (message := sent.pop(reply["id"], None)) is not None:
                    space.acknowledged[reply["result"]["offset"]] = message
            elif b'"type":"event"' in payload[:60]:
                self.delivered += 1

        return frame

    async def chatter(self, lean: Lean, space: Space, rate_per_s: float) -> None:
        """Send at a rate, for ever."""
        while True:
            await asyncio.sleep(1 / rate_per_s)
            number, message = next(lean.ids), uuid.uuid4().hex
            self._sent[id(lean)][number] = message
            lean.send({"id": number, "type": "space.send", "space": space.id, "body": {"m": message}})


async def _history(client: Client, space: Space) -> list[tuple[int, str]]:
    stream = f"space:{space.id}"
    return [
        (event["offset"], event["body"]["m"]) async for event in client.history(stream) if event["event"] == "message"
    ]


class Trial:
    """The spaces, their probes and members, from entering to the comparison with the history."""

    def __init__(self, url: str, rooms: int, members: int, rate_per_s: float, patience_s: float) -> None:
        tag = uuid.uuid4().hex[:6]
        self.spaces = [Space(number, f"recovery-{tag}-{number}") for number in range(rooms)]
        self.blow, self.load, self.leans = Blow(), Members(self.spaces), list[Lean]()
        self.probes: list[Client] = []
        self.probes_failed = 0
        self._url, self._members, self._rate_per_s, self._patience_s = url, members, rate_per_s, patience_s

    async def enter(self, stack: AsyncExitStack) -> None:
        """Make the spaces and join all of them; the stack leaves."""
        for space in self.spaces:
            client = Client(self._url, guest=space.slug, give_up_after_s=self._patience_s, backoff=PROBE_BACKOFF)
            self.probes.append(await stack.enter_async_context(client))
            options = {"slug": space.slug, "access_level": "open", "participant_limit": self._members + 1}
            space.id = (await client.create_space(space.slug, purpose="load", **options))["id"]
            await client.request("space.join", space=space.id)
            for m in range(self._members - 1):
                lean = Lean(f"{space.slug}-{m}", space.id, creates=False)
                lean.listen(self.load.listener(lean, space))
                stack.callback(lean.close)
                await enter(self._url, lean)
                self.leans.append(lean)

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """While everybody sends."""
        pairs = list(zip(self.probes, self.spaces, strict=True))
        works = [_probe(client, space, self.blow) for client, space in pairs]
        for number, lean in enumerate(self.leans):
            space = self.spaces[number // (self._members - 1)]
            works.append(self.load.chatter(lean, space, self._rate_per_s))
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self.probes_failed = sum(isinstance(end, Exception) for end in ended[: len(pairs)])

    async def recovered(self) -> None:
        """Until every space answers, or the patience is at its end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                await asyncio.gather(*(space.answers.wait() for space in self.spaces))

    async def figures(self) -> dict[str, Any]:
        """What came of it."""
        found = [
            compare(space.acknowledged, await _history(client, space))
            for client, space in zip(self.probes, self.spaces, strict=True)
        ]
        hit = self.blow.at or 0.0
        times = sorted(space.first_after - hit for space in self.spaces if space.first_after is not None)
        return {
            "spaces": len(self.spaces),
            "sockets": len(self.probes) + len(self.leans),
            "recovered_spaces": len(times),
            "recovery_s": round(times[-1], 3) if len(times) == len(self.spaces) else None,
            "median_recovery_s": round(times[len(times) // 2], 3) if times else None,
            "acknowledged": sum(len(space.acknowledged) for space in self.spaces),
            "lost": sum(lost for lost, _ in found),
            "doubled": sum(doubled for _, doubled in found),
            "deliveries": self.load.delivered,
            "sockets_lost": sum(lean.lost for lean in self.leans),
            "probes_failed": self.probes_failed,
        }


@contextmanager
def struck(pid: int, how: str) -> Iterator[None]:
    """A process that was killed or is frozen; a frozen one that nobody replaced goes on afterwards."""
    os.kill(pid, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[how])
    try:
        yield
    finally:
        if how == "stop":
            with suppress(ProcessLookupError):  # it was replaced, as it should be
                os.kill(pid, signal.SIGCONT)


async def run(
    url: str,
    *,
    status: Callable[[], Awaitable[Mapping[str, Any]]],
    how: str = "kill",
    kind: str = "space",
    index: int | str = 0,
    rooms: int = 50,
    members: int = 12,
    rate_per_s: float = 1.0,
    warmup_s: float = 3.0,
    timeout_s: float = 60.0,
    after_s: float = 2.0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Hit one shard of the server at ``url`` under load. Prints a table, returns it.

    ``status`` gives what ``sangha status --json`` prints; ``how`` is "kill" or "stop". Raises ClientError where the shard does
    not run or someone could not enter; without recovery in ``timeout_s`` the time is None.
    """
    trial = Trial(ws_url(url), rooms, members, rate_per_s, timeout_s)
    async with AsyncExitStack() as stack:
        await trial.enter(stack)
        async with trial.busy():
            await asyncio.sleep(warmup_s)
            pid = shard_pid(await status(), kind, index)
            trial.blow.at = time.monotonic()
            with struck(pid, how):
                await trial.recovered()
                await asyncio.sleep(after_s)
        figures = await trial.figures()
    show(console, f"recovery: {how} of shard {kind}/{index}", figures)
    return figures

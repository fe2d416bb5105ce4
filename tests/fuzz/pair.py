"""Two well-behaved clients that talk while others do not: ``python -m tests.fuzz.pair URL`` prints the latencies in ms.

A process of its own, so that what the fuzzer itself costs is not taken for the server's. As often as it is told to by a line
on standard input, which says how many have to be there, it prints a JSON line: ``[latencies, lateness]`` since the last time,
in ms. A latency is from the sending to the other's hearing; lateness is how much later than asked for this process itself was
woken, which the server has no part in: on a machine where others want the processor, each of the processes that a message
passes waits like that.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from server.client import Client, Stream

from .watching import account

EVERY_S = 0.05
ENOUGH = 40
"""Latencies of two seconds."""
HOPS = 6
"""Processes that a message passes: this one, gateway, shard, PostgreSQL, gateway, this one."""
ROOT = Path(__file__).parents[2]


async def talk(url: str) -> None:
    """Until standard input ends."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    token = (await account(url, "Calm speaker"))["token"]  # guests of one address may not make as many spaces
    async with Client(url, token=token) as speaker, Client(url, guest="calm listener") as listener:
        space = await speaker.create_space("A calm place", purpose="to be undisturbed", access_level="open")
        async with speaker.join(space["id"]), listener.join(space["id"]) as heard:
            latencies: list[float] = []
            late: list[float] = []
            heard_more = asyncio.Event()
            work = asyncio.create_task(_speak(speaker, space["id"], late))
            hearing = asyncio.create_task(_hear(heard, latencies, heard_more))
            while line := await lines.readline():
                while len(latencies) < int(line):
                    heard_more.clear()
                    await heard_more.wait()
                print(json.dumps([latencies, late]), flush=True)  # noqa: T201 - this is what it is for
                latencies.clear()
                late.clear()
            work.cancel()
            hearing.cancel()
            await asyncio.gather(work, hearing, return_exceptions=True)


async def _speak(speaker: Client, space: str, late: list[float]) -> None:
    while True:
        await speaker.request("space.send", space=space, body=time.monotonic())
        asleep = time.monotonic()
        await asyncio.sleep(EVERY_S)
        late.append((time.monotonic() - asleep - EVERY_S) * 1_000)


async def _hear(heard: Stream, latencies: list[float], heard_more: asyncio.Event) -> None:
    async for event in heard:
        if event.event == "message":
            took_ms = (time.monotonic() - event.body) * 1_000
            latencies.append(took_ms)
            heard_more.set()


class Pair:
    """The process, as who measures sees it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.late: list[float] = []
        """The machine's own lateness in the time that the last ``take`` told of, sorted; ms."""

    async def __aenter__(self) -> Pair:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.fuzz.pair", self._url, cwd=ROOT, limit=2**26,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await self.take()
        return self

    async def take(self, at_least: int = 0) -> list[float]:
        """The latencies since the last time, sorted; ms. Where they are too few to tell anything, later ones with them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n" % at_least)
        line = await asyncio.wait_for(self._process.stdout.readline(), 60)
        if not line:
            raise ConnectionError("the well-behaved pair ended")
        latencies, late = json.loads(line)
        self.late = sorted(late)
        return sorted(latencies)

    def bearable(self, calm: list[float], floor_ms: float) -> float:
        """The p99 that others may see: twice the calm one, and what the machine itself was late by at each hop."""
        return max(2 * quantile(calm, 0.99), floor_ms) + HOPS * quantile(self.late or [0.0], 0.99)

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._process._transport.close()  # type: ignore[attr-defined]  # or its pipes are closed by the collector


def quantile(ordered: list[float], share: float) -> float:
    """Of a sorted list; not a number where there is none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1]))

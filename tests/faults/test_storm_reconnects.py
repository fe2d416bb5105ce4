"""Three hundred clients of one space lose their connections at once and come back at once: no gap, no repetition."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from harness import RunningServer, measured
from proxy import Proxy

from server.client import Client, Stream
from server.client_events import Backoff

CROWD = 300
ROUNDS = 3
PATIENCE_S = 90.0


class Listener:
    """One of the crowd: what it heard, held against what must come next."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.heard: list[tuple[int, object]] = []
        self.waiting: tuple[int, asyncio.Event] | None = None

    async def run(self) -> None:
        last = self.stream.offset or 0
        async for event in self.stream:
            assert event.event != "snapshot", "a short absence is replayed"
            if event.offset is None:
                continue
            assert event.offset == last + 1, f"{event.offset} after {last}"
            last = event.offset
            self.heard.append((last, event.body if event.event == "message" else None))
            if self.waiting is not None and last >= self.waiting[0]:
                self.waiting[1].set()

    async def reaches(self, offset: int) -> None:
        if (self.stream.offset or 0) < offset:
            reached = asyncio.Event()
            self.waiting = offset, reached
            await reached.wait()
            self.waiting = None


async def test_a_crowd_that_is_cut_off_at_once_resumes_without_a_gap() -> None:
    quick = Backoff(base_s=0.05, cap_s=0.5)
    async with RunningServer() as server, Proxy(("127.0.0.1", server.port)) as proxy, AsyncExitStack() as stack:
        speaker = await stack.enter_async_context(Client(server.url, guest="speaker"))
        made = await speaker.create_space("s", purpose="p", access_level="open", participant_limit=CROWD + 1)
        talk = await stack.enter_async_context(speaker.join(made["id"], leave=False))
        drained = asyncio.create_task(Listener(talk).run())

        async def enter(n: int) -> Listener:
            through = f"http://127.0.0.1:{proxy.port}"
            client = await stack.enter_async_context(Client(through, guest=f"g{n}", backoff=quick))
            return Listener(await stack.enter_async_context(client.join(made["id"], leave=False)))

        crowd: list[Listener] = []
        for start in range(0, CROWD, 50):
            crowd += await asyncio.gather(*(enter(n) for n in range(start, start + 50)))
        async with asyncio.TaskGroup() as listening:
            tasks = [listening.create_task(one.run()) for one in crowd]
            said = 0
            for _ in range(ROUNDS):
                for _ in range(5):
                    said += 1
                    await talk.send(said)
                began = time.monotonic()
                for pair in list(proxy.open()):
                    pair.sever()
                for _ in range(20):  # said while nobody is there, and while they come back
                    said += 1
                    head = await talk.send(said)
                async with asyncio.timeout(PATIENCE_S):
                    await asyncio.gather(*(one.reaches(head) for one in crowd))
                measured(f"{CROWD} clients cut off at once: all of them caught up after", time.monotonic() - began)
            for task in tasks:
                task.cancel()
        drained.cancel()
        first = crowd[-1].heard[0][0]
        history = [event async for event in speaker.history(f"space:{made['id']}")]
        stored = [(e["offset"], e["body"] if e["event"] == "message" else None) for e in history]
        assert [body for _, body in stored if body is not None] == list(range(1, said + 1))
        for one in crowd:
            assert one.heard == [entry for entry in stored if entry[0] >= one.heard[0][0]]
            assert one.heard[0][0] <= first

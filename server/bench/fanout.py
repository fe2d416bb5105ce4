"""Fan-out: R spaces of M members; every member sends at a rate, every member receives every message.

The figure to quote is CPU seconds per million deliveries of the server's processes (with Postgres, without Ray's daemons if
the pids say so): it holds on a noisy machine. Latency is taken of every 20th delivery, from the sender's clock to the
receiver's, which are one. One process generates the load; it says how busy it was, since a full one measures itself.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from server.bench import show
from server.bench.processes import cpu_s, private_kb
from server.client import ws_url

if TYPE_CHECKING:
    from server.bench.lean import Lean

PAD: Final = "x" * 100
SAMPLE: Final = 20


class Tally:
    """What was sent and delivered while ``on``."""

    def __init__(self) -> None:
        self.on = False
        self.sent = self.delivered = 0
        self.latencies_s: list[float] = []

    def frame(self, _: int, payload: bytes) -> None:
        """Count a delivery."""
        if not self.on or (at := payload.find(b'"ts":')) < 0:
            return
        self.delivered += 1
        if self.delivered % SAMPLE == 0:
            self.latencies_s.append(time.perf_counter() - leading_number(payload, at + 5))

    def percentile_ms(self, q: float) -> float | None:
        """The q-quantile of the latency in milliseconds; None of nothing."""
        ordered = sorted(self.latencies_s)
        return round(ordered[int(len(ordered) * q)] * 1000, 2) if ordered else None


def leading_number(payload: bytes, at: int) -> float:
    """The JSON number that begins at ``at``, up to a comma or a brace."""
    ends = [end for end in (payload.find(b",", at), payload.find(b"}", at)) if end > 0]
    return float(payload[at : min(ends)])


async def _chatter(lean: Lean, tally: Tally, rate_per_s: float) -> None:
    await asyncio.sleep(random.random() / rate_per_s)
    while True:
        body = '{"ts":%.6f,"text":"%s"}' % (time.perf_counter(), PAD)  # noqa: UP031 - the cheapest way to format it
        frame = f'{{"id":{next(lean.ids)},"type":"space.send","space":"{lean.space}","body":{body}}}'
        lean.write(frame.encode())
        tally.sent += tally.on
        await asyncio.sleep(1 / rate_per_s)


async def run(
    url: str,
    *,
    pids: Sequence[int] = (),
    rooms: int = 50,
    members: int = 12,
    rate_per_s: float = 1.0,
    seconds: float = 8.0,
    warmup_s: float = 2.0,
    began: asyncio.Event | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Load the server at ``url`` and measure it; ``pids`` are the roots of its process trees. Prints a table, returns it.

    ``rate_per_s`` is each member's. ``began`` is set where the warm-up is over and it is measured.
    Raises ClientError where someone could not enter or picows is missing.
    """
    from server.bench.lean import fill

    tally, own_cpu0 = Tally(), 0.0
    before_kb = private_kb(pids)
    people = await fill(ws_url(url), rooms, members, uuid.uuid4().hex[:6], on_frame=tally.frame)
    await asyncio.sleep(1)
    after_kb = private_kb(pids)
    tasks = [asyncio.ensure_future(_chatter(lean, tally, rate_per_s)) for lean in people]
    try:
        await asyncio.sleep(warmup_s)
        cpu0, own_cpu0, start = cpu_s(pids), time.process_time(), time.perf_counter()
        tally.on = True
        if began is not None:
            began.set()
        await asyncio.sleep(seconds)
        tally.on = False
        elapsed_s, used_s = time.perf_counter() - start, cpu_s(pids) - cpu0
        own_s = time.process_time() - own_cpu0
        lost = sum(lean.lost for lean in people)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lean in people:
            lean.close()
    expected = tally.sent * members
    figures = {
        "connections": len(people),
        "sent": tally.sent,
        "deliveries_per_s": round(tally.delivered / elapsed_s),
        "delivered_of_expected": round(tally.delivered / expected, 3) if expected else None,
        "cpu_s_per_million": round(used_s / tally.delivered * 1e6, 2) if tally.delivered and pids else None,
        "cpu_cores": round(used_s / elapsed_s, 2) if pids else None,
        "p50_ms": tally.percentile_ms(0.5),
        "p99_ms": tally.percentile_ms(0.99),
        "p999_ms": tally.percentile_ms(0.999),
        "private_kb_per_connection": round((after_kb - before_kb) / len(people), 1) if pids else None,
        "disconnected": lost,
        "generator_cores": round(own_s / elapsed_s, 2),
    }
    show(console, f"fan-out: {rooms} spaces × {members}, {rate_per_s:g} messages/s each", figures)
    return figures

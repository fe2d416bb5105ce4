"""Idle connections: what an authenticated, joined socket costs in memory.

Private memory (what would be freed if the processes ended) of the server's process trees, before and after, over the number
of connections. The kernel's buffers stand beside: they are the machine's, both ends of each connection.
"""

from __future__ import annotations

import asyncio
import resource
import time
import uuid
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from rich.console import Console

from server.bench import show
from server.bench.processes import kernel_buffers_kb, private_kb
from server.client import ws_url
from server.client_events import ClientError

PER_SOURCE: Final = 4_000
"""Connections from one loopback address: far below its 28,000 ephemeral ports, of which some may still be closing."""


def source_address(url: str, number: int) -> str | None:
    """A loopback address for the connection, 127.0.0.2 and up; None where the server is elsewhere."""
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        return None
    block = number // PER_SOURCE + 2
    return f"127.0.{block // 256}.{block % 256}"


def allow_files(count: int) -> None:
    """Raise this process's limit of open files to its hard limit. Raises ClientError where that is too low."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < count + 100:
        raise ClientError(f"{count} connections need more open files than the hard limit of {hard} (ulimit -Hn)")


async def run(
    url: str,
    *,
    pids: Sequence[int],
    connections: int = 10_000,
    members: int = 10,
    settle_s: float = 5.0,
    console: Console | None = None,
) -> dict[str, Any]:
    """Open ``connections`` sockets, guests in spaces of ``members``, and weigh the server. Prints a table, returns it.

    ``pids`` are the roots of the server's process trees. Raises ClientError where someone could not enter.
    """
    from server.bench.lean import fill

    target = ws_url(url)
    allow_files(connections)
    before_kb, buffers_kb, start = private_kb(pids), kernel_buffers_kb(), time.perf_counter()
    rooms = -(-connections // members)
    people = await fill(
        target, rooms, members, uuid.uuid4().hex[:6], source=lambda number: source_address(target, number)
    )
    opened_s = time.perf_counter() - start
    try:
        await asyncio.sleep(settle_s)
        figures = {
            "connections": len(people),
            "private_kb_per_connection": round((private_kb(pids) - before_kb) / len(people), 1),
            "kernel_kb_per_connection": round((kernel_buffers_kb() - buffers_kb) / len(people), 1),
            "private_mb_before": round(before_kb / 1024),
            "private_mb_after": round(private_kb(pids) / 1024),
            "joins_per_s": round(len(people) / opened_s),
            "disconnected": sum(lean.lost for lean in people),
        }
    finally:
        for lean in people:
            lean.close()
    show(console, f"idle connections in spaces of {members}", figures)
    return figures

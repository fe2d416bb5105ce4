"""A group ritual of many: the time from ``begin`` to the summary, and how far apart its participants begin.

The countdown and the lengths of opening and integration are zero: what remains is the server's own time. Each participant is
an account with a socket, so everyone's state is really transformed and everyone is told of every stage.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from typing import Any

from rich.console import Console

from server.bench import show
from server.bench.accounts import tokens_of_new_accounts
from server.client import Client
from server.client_events import ClientError


async def run(
    url: str,
    *,
    participants: int = 12,
    rounds: int = 3,
    ritual: str = "archetype_invocation",
    console: Console | None = None,
) -> dict[str, Any]:
    """Hold ``rounds`` group rituals, one after another. Prints a table, returns it. Raises ClientError."""
    tokens = await tokens_of_new_accounts(url, participants)
    slug = f"bench-group-{uuid.uuid4().hex[:8]}"
    times_ms: list[float] = []
    transformed = failed = 0
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(url, token=token)) for token in tokens]
        await clients[0].request(
            "space.create",
            slug=slug,
            name=slug,
            purpose="load",
            access_level="open",
            participant_limit=max(12, participants),
        )
        joined = [await stack.enter_async_context(client.join(slug)) for client in clients]
        for _ in range(rounds):
            watching = [asyncio.create_task(_closed(space)) for space in joined]
            began = time.perf_counter()
            await clients[0].request(
                "space.ritual.begin", space=slug, ritual=ritual, starts_in_s=0, opening_s=0, integration_s=0
            )
            async with asyncio.timeout(120):
                summaries = await asyncio.gather(*watching)
            times_ms.append((time.perf_counter() - began) * 1000)
            transformed, failed = summaries[0]["transformed"], len(summaries[0]["failed"])
            if any(summary != summaries[0] for summary in summaries):
                raise ClientError("two participants were told different summaries")
    figures = {
        "participants": participants,
        "transformed": transformed,
        "failed": failed,
        "begin_to_summary_ms": [round(ms) for ms in times_ms],
        "best_ms": round(min(times_ms)),
    }
    show(console, "group ritual", figures)
    return figures


async def _closed(space: Any) -> Any:
    """The summary, as this participant is told it."""
    async for event in space:
        if event.event == "ritual_closed":
            return event.body["summary"]
    raise ClientError("the space ended before the ritual did")

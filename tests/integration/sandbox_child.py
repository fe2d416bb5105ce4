"""A sandbox in a process of its own: ``python sandbox_child.py MODE MARKS``. Says when a run is under way; prints its outcome."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path

import guests

from actors.ritual.engine import SandboxLimits
from actors.ritual.sandbox import Sandbox
from actors.ritual.values import RunOutcome, RunRequest, encode, outcome_codec
from actors.ritual.worker import SandboxHandler
from actors.runtime.wire import Ask

SPINNING = guests.codex("(loop $l (br $l))")


class Announcing(Sandbox):
    """Says so when a run begins on a thread."""

    def run(self, request: RunRequest) -> RunOutcome:
        print("running", flush=True)  # noqa: T201 - the parent waits for it
        return super().run(request)


async def main(mode: str, marks: str) -> None:
    if mode == "limited":
        resource.setrlimit(resource.RLIMIT_AS, (12 * 2**30,) * 2)
    module = SPINNING if mode == "spin" else guests.GOOD
    limits = SandboxLimits(fuel=10**18, deadline_s=600) if mode == "spin" else SandboxLimits()

    async def fetch(_: str) -> bytes:
        return module

    handler = SandboxHandler(Announcing(limits), fetch, Path(marks))
    reply = await handler(Ask(1, "ritual", encode(guests.request(module)), None, "effect:1"))
    print(outcome_codec.decode(1, reply), flush=True)  # noqa: T201 - the parent reads it
    handler.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

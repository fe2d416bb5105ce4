"""What a sandbox's Ray actor answers: asks to run or to check a ritual come in, outcomes and reports go out.

Most rituals end within half a millisecond: those run on the event loop itself (``Sandbox.run_briefly``), for handing one to a
thread and back costs several times what it takes. What does not end there begins again on one of a few threads, where it
holds no lock: a spinning ritual takes a processor's time and a thread, and the brief ones beside it go on.

A run whose sandbox died is asked again, which is harmless unless it was what killed it. So what is under way is marked
(``run_marks``). What a death was counted for is a suspect: suspects run one at a time, so that the second death falls on the
one that caused it and not on its neighbours; whoever was there at two deaths is answered with a failure and not run again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

from actors.ritual.run_marks import RunMarks
from actors.ritual.run_threads import RunThreads
from actors.ritual.sandbox import ModuleMissing, Sandbox
from actors.ritual.values import (
    CheckReport,
    CheckRequest,
    RunOutcome,
    RunRequest,
    codec,
    outcome_codec,
    report_codec,
)
from actors.runtime.errors import ActorUnavailable, Draining, NotFound, RitualRejected
from actors.runtime.measures import SECONDS, Histogram
from actors.runtime.wire import Ask

T = TypeVar("T")

THREADS: Final = 4
DEATHS_MAX: Final = 2
LOADS_MAX: Final = 3
"""Of one module for one run: more often it is evicted before it runs only where far too many are in use."""
CHECKS_MAX: Final = 8
"""Waiting and under way: each is a module in memory and up to a minute of one thread."""
_LOOP_SLOT, _LOAD_SLOT, _CHECK_SLOT = range(THREADS, THREADS + 3)

GAVE_UP: Final = "the sandbox died twice while this ritual ran; it is not run again, and the state is as it was"
NOT_COMPILED: Final = "the sandbox died twice while it compiled this module; it is not tried again"


class SandboxHandler:
    """Answers asks. ``fetch`` gives a ritual's module by its id, None where there is none; ``marks`` is the path of the file
    that remembers what was under way, one for each sandbox."""

    def __init__(self, sandbox: Sandbox, fetch: Callable[[str], Awaitable[bytes | None]], marks: Path) -> None:
        self._sandbox, self._fetch = sandbox, fetch
        self._marks = RunMarks(marks, THREADS + 3)
        self._running = RunThreads(range(THREADS), "ritual")
        # Each a thread of its own: what is to be compiled waits neither for spinning rituals nor for those of an upload.
        self._loading = RunThreads((_LOAD_SLOT,), "ritual-load")
        self._checking = RunThreads((_CHECK_SLOT,), "ritual-check")
        self._suspects = asyncio.Lock()
        self._closed = False
        self._loads: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._brief = self._fuel = self._checks = self._checks_open = 0
        self.outcomes: Counter[str] = Counter()
        """Runs by ``ok`` or the code of their failure."""
        self.run_s = Histogram(SECONDS)
        """Wall time inside the sandbox."""

    async def __call__(self, ask: Ask) -> bytes:
        """JSON of the RunOutcome or CheckReport. Raises Invalid, NotFound (no such ritual), Draining, what ``fetch`` raises."""
        command = codec.decode(ask.command)
        if isinstance(command, CheckRequest):
            return report_codec.encode(await self._check(command))
        outcome = await self._run(command)
        self.outcomes[outcome.code or "ok"] += 1
        self.run_s.observe(outcome.duration_us / 1e6)
        self._fuel += outcome.fuel
        return outcome_codec.encode(outcome)

    def stats(self) -> dict[str, int]:
        """Since the start. ``brief``: of the runs, those that needed no thread."""
        return {
            "runs": self.outcomes.total(),
            "brief": self._brief,
            "failures": self.outcomes.total() - self.outcomes["ok"],
            "fuel": self._fuel,
            "checks": self._checks,
            "modules": self._sandbox.modules,
        }

    def close(self) -> None:
        """Runs that are under way end at once. Blocks until they have."""
        self._closed = True
        self._sandbox.close()
        for threads in (self._running, self._loading, self._checking):
            threads.close()
        self._marks.close()

    async def _run(self, request: RunRequest) -> RunOutcome:
        deaths = self._marks.deaths(request.run)
        if deaths >= DEATHS_MAX:
            return RunOutcome(code="ritual_failed", message=GAVE_UP)
        for _ in range(LOADS_MAX):
            try:
                if not self._sandbox.has(request.module_hash):
                    await self._load(request)
                if not deaths and (outcome := self._briefly(request)) is not None:
                    return outcome
                return await self._guarded(self._running, request.run, lambda: self._sandbox.run(request))
            except ModuleMissing:
                continue
            except RitualRejected as refusal:
                return RunOutcome(code="ritual_rejected", message=refusal.message)
        raise ActorUnavailable("this sandbox has too many rituals at once; try again")

    def _briefly(self, request: RunRequest) -> RunOutcome | None:
        self._marks.begin(_LOOP_SLOT, request.run)
        try:
            outcome = self._sandbox.run_briefly(request)
        finally:
            self._marks.end(_LOOP_SLOT)
        self._brief += outcome is not None
        return outcome

    async def _load(self, request: RunRequest) -> None:
        """Once for all who wait for it."""
        key = request.ritual, request.module_hash  # another ritual with the same module may be gone, or not be had now
        task = self._loads.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load_now(request))
            self._loads[key] = task
            task.add_done_callback(lambda _: self._loads.pop(key, None))
        await asyncio.shield(task)

    async def _load_now(self, request: RunRequest) -> None:
        key = _module_key(request.module_hash)
        if self._marks.deaths(key) >= DEATHS_MAX:
            raise RitualRejected(NOT_COMPILED)
        module = await self._fetch(request.ritual)
        if module is None:
            raise NotFound("there is no such ritual")
        if not self._sandbox.has(request.module_hash):
            await self._guarded(self._loading, key, lambda: self._sandbox.load(request.module_hash, module))

    async def _check(self, request: CheckRequest) -> CheckReport:
        if self._checks_open >= CHECKS_MAX:
            raise ActorUnavailable("other uploads are being checked; try again")
        self._checks_open += 1
        try:
            return await self._check_now(request)
        finally:
            self._checks_open -= 1

    async def _check_now(self, request: CheckRequest) -> CheckReport:
        self._checks += 1
        module_hash = hashlib.sha256(request.module).hexdigest()
        key = _module_key(module_hash)
        if self._marks.deaths(key) >= DEATHS_MAX:
            return CheckReport(accepted=False, module_hash=module_hash, problems=(NOT_COMPILED,))
        return await self._guarded(self._checking, key, lambda: self._sandbox.check(request))

    async def _guarded(self, threads: RunThreads, key: str, call: Callable[[], T]) -> T:
        """On one of the threads, marked while it runs; a suspect alone."""
        if self._closed:
            raise Draining("this sandbox stops; try again")
        if not self._marks.deaths(key):
            return await threads.run(lambda slot: self._marked(slot, key, call))
        async with self._suspects:
            result = await threads.run(lambda slot: self._marked(slot, key, call))
            self._marks.forget(key)
            return result

    def _marked(self, slot: int, key: str, call: Callable[[], T]) -> T:
        self._marks.begin(slot, key)
        try:
            return call()
        finally:
            self._marks.end(slot)


def _module_key(module_hash: str) -> str:
    return f"module:{module_hash[:48]}"

"""Watches the cluster: beats for it, probes every shard and gateway, replaces the silent, wakes sleeping entities.

Ray restarts what dies but does not notice what is stopped, and does not fence. So: a target that has not answered for
``SILENCE_S`` is killed (by its pid where it is on this node, which works on a stopped process at once; through Ray
elsewhere) and Ray starts it anew; the new one's epoch fences the old one, and the old one's lease has run out meanwhile.
A target that Ray is restarting, or whose process is gone, gets ``START_S`` instead.

On a drowning machine all seem silent, and to kill them is to drown it: a start costs seconds of processor that the others lack.
So no round counts for more than ``ROUND_S``, however late the watcher came to it, and where a thread of the target (on this
node) or of the watcher waited for a processor for ``STARVED`` of a round or more, that does not count, up to ``START_S``. Six
servers started at once on two cores, under a load of 20 to 30: 10 living processes killed in 18 servers without this, none in
12 with it.

``Watch`` is the pure half: what is known of one target and what follows from it. ``serve`` watches the coordinator itself
with the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable
from contextlib import suppress
from enum import Enum
from functools import cache
from typing import Any, Final, Protocol

import psutil

from actors.runtime.placement import Gone, NoAnswer, Restarting
from actors.runtime.starvation import Waits, longest, waits_of

log = logging.getLogger(__name__)

PROBE_S: Final = 1.0
SILENCE_S: Final = 3.0
ROUND_S: Final = 2.5 * PROBE_S
"""A probe that is not answered and the rest before the next, and a little."""
STARVED: Final = 0.25
"""Below it is what the busiest thread of a healthy process waits (0.04 to 0.3 s of 2 s measured, under a load of 10)."""
START_S: Final = 20.0
"""A restart takes about a second on a quiet machine; on a drowning one, killing a starting actor would be for ever."""


class Do(Enum):
    """What follows from a probe."""

    NOTHING = "nothing"
    KILL = "kill"


class Watch:
    """What is known of one target. Times are monotonic seconds."""

    __slots__ = ("_since", "_waits", "patience_s", "silence_s", "starved_s")

    def __init__(self) -> None:
        self.patience_s = START_S
        self._forget()

    def _forget(self) -> None:
        self.silence_s = self.starved_s = 0.0
        self._since: float | None = None
        self._waits: Waits | None = None

    def asks(self, now: float) -> None:
        """The watcher asks. Silence begins with the first question that is not answered."""
        if self._since is None:
            self._since = now

    def answered(self) -> None:
        """It answered."""
        self.patience_s = SILENCE_S
        self._forget()

    def away(self) -> None:
        """Ray says it is restarting (or its process is gone): patience, once for each restart."""
        if self.patience_s != START_S:
            self.killed()

    def killed(self) -> None:
        """It was killed and comes anew."""
        self.patience_s = START_S
        self._forget()

    def missed(self, now: float, waits: Waits) -> Do:
        """It did not answer, and so long have the threads waited for a processor that an answer takes."""
        silence_s = 0.0 if self._since is None else min(now - self._since, ROUND_S)
        waited_s = 0.0 if self._waits is None else min(silence_s, longest(self._waits, waits))
        if waited_s >= STARVED * silence_s:
            self.starved_s += waited_s
        self.silence_s += silence_s
        self._since, self._waits = now, waits
        over = self.silence_s - min(self.starved_s, START_S) >= self.patience_s
        return Do.KILL if over else Do.NOTHING


class Actors(Protocol):
    """The part of placement that a watcher needs."""

    async def call(self, name: str, method: str, *args: Any, timeout_s: float = ...) -> Any:
        """Call an actor."""

    async def kill(self, name: str, *, restart: bool) -> None:
        """Kill an actor."""


class Watcher:
    """Probes named actors and kills the silent ones."""

    def __init__(
        self,
        actors: Actors,
        node: str,
        clock: Callable[[], float],
        bound: Callable[[str], bool] = lambda _: False,
        waits: Callable[[int], Waits] = waits_of,
    ) -> None:
        """``bound``: whether actors of a kind may not be everywhere, so that who needs one starts it anew, and not Ray."""
        self._actors, self._node, self._clock, self._bound, self._waits = actors, node, clock, bound, waits
        self._watches: dict[str, Watch] = {}
        self.status: dict[str, dict[str, Any]] = {}
        self.takeovers: Counter[str] = Counter()
        """Silent targets that were killed and started anew, by kind."""

    async def probe_all(self, names: Iterable[str]) -> None:
        """One round: every target at once, each for at most a second."""
        wanted = set(names)
        for name in self._watches.keys() - wanted:
            del self._watches[name]
            self.status.pop(name, None)
        own = cache(lambda: self._waits(os.getpid()))  # where nobody is silent nobody asks
        await asyncio.gather(*(self._probe(name, own) for name in wanted))

    async def _probe(self, name: str, own: Callable[[], Waits]) -> None:
        """One target. ``own``: how long the watcher's threads have waited."""
        watch = self._watches.setdefault(name, Watch())
        watch.asks(self._clock())
        try:
            status = await self._actors.call(name, "ping", timeout_s=PROBE_S)
        except Restarting:
            watch.away()
            if watch.missed(self._clock(), {}) is Do.KILL and self._bound(_kind(name)):
                await self._replace(name, watch, None)  # the node that Ray waits for is away
            return
        except Gone:
            self.status.pop(name, None)
            self._watches.pop(name, None)
            return
        except NoAnswer:
            known, waits = self.status.get(name), own()
            if known is not None and known["node"] == self._node:
                waits = {**waits, **self._waits(known["pid"])}
                if not _runs(known):
                    watch.away()
            if watch.missed(self._clock(), waits) is Do.KILL:
                await self._replace(name, watch, known)
            return
        watch.answered()
        self.status[name] = status

    async def end_stranded(self, alive: Collection[str]) -> None:
        """End those that were on a node which is not alive any more and may not be everywhere."""
        for name, status in list(self.status.items()):
            if status["node"] not in alive and self._bound(_kind(name)):
                log.warning("%s: its node is lost; whoever needs it starts it where it may be", name)
                self.status.pop(name)
                await self._actors.kill(name, restart=False)

    async def _replace(self, name: str, watch: Watch, known: dict[str, Any] | None) -> None:
        message = "%s is silent: it is killed and started anew (%.1f s waited for a processor)"
        log.warning(message, name, watch.starved_s)
        self.takeovers[_kind(name)] += 1
        if known is not None and known["node"] == self._node and _runs(known):
            with suppress(ProcessLookupError):  # it ended at this moment
                os.kill(known["pid"], signal.SIGKILL)
        else:
            await self._actors.kill(name, restart=not self._bound(_kind(name)))
        watch.killed()


def _kind(name: str) -> str:
    return name.partition("/")[0]


def _runs(known: dict[str, Any]) -> bool:
    """Whether the very process that answered once is there: its pid may be another's by now."""
    try:
        process = psutil.Process(known["pid"])
        return bool(process.create_time() == known["started"] and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class Coordinator:
    """The loop of the coordinator's actor. ``beat`` returns False where another incarnation owns the cluster."""

    def __init__(
        self,
        watcher: Watcher,
        *,
        beat: Callable[[], Awaitable[bool]],
        targets: Callable[[], Awaitable[Iterable[str]]],
        wake: Callable[[], Awaitable[None]],
        halt: Callable[[], Awaitable[None]],
    ) -> None:
        self.watcher = watcher
        self._beat, self._targets, self._wake, self._halt = beat, targets, wake, halt

    async def run(self) -> None:
        """Until another incarnation owns the cluster."""
        beating = asyncio.create_task(self._every(self._beat_once))
        probing = asyncio.create_task(self._every(self._probe_once))
        waking = asyncio.create_task(self._every(self._wake))
        try:
            await beating
        finally:
            probing.cancel()
            waking.cancel()

    async def _every(self, do: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await do()
            except (OSError, LookupError) as failure:
                log.warning("coordinator: %s", failure)
            await asyncio.sleep(PROBE_S)

    async def _beat_once(self) -> None:
        if not await self._beat():
            log.critical("another server owns this database now; this cluster ends")
            await self._halt()

    async def _probe_once(self) -> None:
        await self.watcher.probe_all(await self._targets())

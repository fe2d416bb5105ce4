"""One scrape: every process of the cluster is asked at once, and who does not answer in time is reported as down.

The gateway that is scraped asks the others by one Ray call each. Which there are is Ray's word; when Ray's own process does
not answer, those known before are asked. Shards of kinds placed ``own`` are an actor an entity: they are counted, not asked,
for labels by entity have no bound.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

from actors.runtime.placement import Gone, NoAnswer, Restarting
from server.metrics.reports import Report, Sample

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 2.0
"""A stopped process answers never, and Prometheus waits 10 s by default."""


class Actors(Protocol):
    """What a scrape needs of the placement."""

    async def call(self, name: str, method: str, *args: Any, timeout_s: float = ...) -> Any:
        """Call an actor."""


class Scraper:
    """``names`` gives the cluster's actors, ``own`` the kinds with an actor for each entity; ``me`` is not asked."""

    def __init__(
        self, actors: Actors, names: Callable[[], Awaitable[Sequence[str]]], own: Iterable[str], me: str
    ) -> None:
        self._actors, self._names, self._own, self._me = actors, names, frozenset(own), me
        self._known: Sequence[str] = ()
        self._nodes: dict[str, str] = {}

    async def __call__(self) -> list[Report]:
        """What everybody else reports."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                self._known = await self._names()
        except Exception as failure:  # noqa: BLE001 - Ray raises what it likes; the scrape goes on with whom it knows
            log.warning("metrics: the actors' names cannot be had: %r", failure)
        asked = [name for name in self._known if name != self._me and name.partition("/")[0] not in self._own]
        found = await asyncio.gather(*map(self._ask, asked))
        counted = Counter(kind for name in self._known if (kind := name.partition("/")[0]) in self._own)
        owned = [Sample("sangha_own_shards", count, (kind,)) for kind, count in counted.items()]
        return [report for reports in found for report in reports] + ([Report(self._me, "", owned)] if owned else [])

    async def _ask(self, name: str) -> list[Report]:
        try:
            reports: list[Report] = await self._actors.call(name, "metrics", timeout_s=TIMEOUT_S)
        except Gone:
            return []
        except (NoAnswer, Restarting):
            return [Report(name, self._nodes.get(name, ""), [Sample("sangha_up", 0)])]
        self._nodes[name] = reports[0].node  # so that its series goes on when it does not answer
        return reports

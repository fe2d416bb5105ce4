"""The Ray actors of workers: the sandboxes and the oracle. No lease, no storage; a link and what stands behind it.

Their epoch is the time of their start: a gateway or shard that has spoken to a younger one does not go back to an older.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from actors.oracle.worker import OracleHandler
from actors.ritual import commands as ritual
from actors.ritual.sandbox import Sandbox
from actors.ritual.worker import SandboxHandler
from actors.runtime.entity import Address
from actors.runtime.errors import CODES, ActorUnavailable
from actors.runtime.link import LinkServer, ShardAddress
from actors.runtime.wire import Answer, Ask, Refused
from actors.runtime.worker import Worker
from server.host import Host, Links
from server.metrics import reports
from server.metrics.reports import Sample
from server.sandbox_limits import sandbox_limits

log = logging.getLogger(__name__)


class WorkerHost(Host, ABC):
    """What both have."""

    async def __init__(self, path: str, kind: str, shard: str, entity: str | None = None) -> None:  # type: ignore[misc]
        super().__init__(path, f"{kind}/{shard}")
        self.kind, self.shard_name = kind, shard
        self.address_known: asyncio.Future[ShardAddress] = asyncio.get_running_loop().create_future()
        self.epoch = time.time_ns() // 1_000_000
        self.worker = Worker(self.handler(), tracer=self.tracer)
        self.server: LinkServer | None = None
        self.run(self._start())

    @abstractmethod
    def handler(self) -> Callable[[Ask], Awaitable[bytes]]:
        """What answers."""

    def measured(self) -> Iterable[Sample]:
        """What every worker counts."""
        return reports.of_worker(self.worker)

    async def _start(self) -> None:
        self.server, address = await self.listen(self.worker, self.kind, self.shard_name, self.epoch)
        self.address_known.set_result(address)
        log.info("worker ready")

    async def ping(self) -> dict[str, Any]:
        """For the coordinator and ``sangha status``."""
        return self.base_status() | {
            "kind": self.kind,
            "index": self.shard_name,
            "epoch": self.epoch,
            "entities": 0,
            "backlog": self.worker.waiting,
            "commands": self.worker.handled,
        }

    async def address(self) -> ShardAddress:
        """Where it listens."""
        return await asyncio.shield(self.address_known)

    async def drain(self) -> None:
        """Finish what is under way."""
        async with asyncio.timeout(self.settings.drain_s):
            await self.worker.stop()
        self.end_traces()


class SandboxHost(WorkerHost):
    """A ritual sandbox's Ray actor."""

    def handler(self) -> Callable[[Ask], Awaitable[bytes]]:
        """Runs rituals; modules come from their catalog entries."""
        self.links = self.to_rituals = Links(self.deployment, self.placement, f"{self.kind}/{self.shard_name}")
        run_dir, secret = self.deployment.run_dir, bytes.fromhex(self.deployment.secret)
        sandbox = Sandbox(sandbox_limits(self.settings), cache_dir=run_dir / "modules", cache_key=secret)
        self.runs = SandboxHandler(sandbox, self._module, run_dir / f"{self.kind}-{self.shard_name}.runs")
        return self.runs

    def measured(self) -> Iterable[Sample]:
        """Runs and modules too."""
        return [*super().measured(), *reports.of_sandbox(self.runs)]

    async def _module(self, ritual_id: str) -> bytes | None:
        """The module of a ritual; None where there is none. Raises what may be tried again."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        command = ritual.encode(ritual.GetModule())
        self.to_rituals.link(Address("ritual", ritual_id)).ask(
            lambda cid: Ask(cid, ritual_id, command), answered.set_result
        )
        answer: Answer | Refused = await answered
        if isinstance(answer, Answer):
            return base64.b64decode(msgspec.json.decode(answer.body)["module"])
        if CODES[answer.code].retryable:
            raise ActorUnavailable(f"the ritual's module cannot be had now: {answer.message}")
        return None


class OracleHost(WorkerHost):
    """The oracle's Ray actor."""

    def handler(self) -> Callable[[Ask], Awaitable[bytes]]:
        """Rules, or a language model where one is configured."""
        settings, key = self.settings, self.settings.openrouter_api_key
        self.oracle = OracleHandler(
            api_key=None if key is None else key.get_secret_value(),
            url=settings.oracle_url,
            model=settings.oracle_model,
            timeout_s=settings.oracle_timeout_s,
            tokens_per_day=settings.oracle_tokens_per_day,
            spend_path=self.deployment.settings.data_dir / "oracle-spend.json",
        )
        return self.oracle

    def measured(self) -> Iterable[Sample]:
        """Who answered too."""
        return [*super().measured(), *reports.of_oracle(self.oracle)]

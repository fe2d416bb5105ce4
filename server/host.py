"""What every actor of Sangha's has: the deployment, a placement, links to shards, a clock, tasks whose failure is not lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

import psutil

from actors.runtime import placement as ray_actors
from actors.runtime.entity import Address
from actors.runtime.link import LinkClient, LinkSecurity, LinkServer, ServerHandler, ShardAddress
from actors.runtime.measures import SECONDS, Histogram
from actors.runtime.placement import Placement, Spec
from actors.runtime.trace import traceparent
from actors.runtime.wire import Ask, Follow
from server import logs
from server.addresses import AddressBook, write_down
from server.audio_devices import KIND, place_of
from server.deployment import ASKED, AT_START, LATER, Deployment
from server.metrics import reports
from server.metrics.reports import Report, Sample
from server.settings import Settings
from server.tracing import build_tracer
from storage.seal import Sealer

log = logging.getLogger(__name__)

KNOWN_ADDRESSES: Final = 100_000
"""Addresses whose link is remembered: a hash of the id for each message was a tenth of a busy gateway's time."""
LAG_PROBE_S: Final = 0.5
"""How often the event loop's lag is measured: twice a second costs nothing, and a scrape sees tens of them."""

COLLECT: Final = 10_000, 20, 10
"""How many new objects before the collector looks at them, and how often at older ones. With Python's own 700, 10, 10 and all
that was imported among what it looks at, 5,000 connections that were cut at once held everybody else up by 100 to 150 ms; so, by
7 to 14 (``settled``)."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some start; goes on while the process is stopped."""
        return time.monotonic()


def actor_class(role: str) -> type:
    """The undecorated class of a role: a kind of worker, ``gateway``, ``coordinator``, else a shard's."""
    from server import hosts, worker_hosts  # they are made of what is here

    if role == "lake":
        from server.lake_host import LakeHost  # what it is made of is nobody else's

        return LakeHost
    if role == "hardware":
        from server.hardware_host import HardwareHost

        return HardwareHost
    if role == "audio":
        from server.audio_host import AudioHost  # numpy with it

        return AudioHost
    classes: dict[str, type] = {
        "gateway": hosts.GatewayHost,
        "coordinator": hosts.CoordinatorHost,
        "sandbox": worker_hosts.SandboxHost,
        "oracle": worker_hosts.OracleHost,
    }
    return classes.get(role, hosts.ShardHost)


def build_placement(deployment: Deployment, path: str) -> Placement:
    """The cluster's placement, the same in every process."""
    return Placement(
        deployment.cluster_id, deployment.layouts, path, actor_class, on_demand=(*LATER, *ASKED), needs={KIND: place_of}
    )


class Links:
    """The links of one process to shards, made when first needed. Implements the gateway's Router and the shard's Post."""

    def __init__(
        self,
        deployment: Deployment,
        placement: Placement,
        name: str,
        on_message: Callable[[LinkClient, Any], None] | None = None,
        follows: Callable[[LinkClient], Sequence[Follow]] | None = None,
    ) -> None:
        self._deployment, self._placement = deployment, placement
        self._name = f"{name}/{os.getpid()}/{secrets.token_hex(4)}"
        self._node = ray_actors.node_id()
        self._security = link_security(deployment)
        self._on_message, self._follows = on_message, follows
        self._links: dict[Spec, LinkClient] = {}
        self._known: dict[Address, LinkClient] = {}

    def link(self, address: Address) -> LinkClient:
        """The link to the shard that hosts an entity."""
        known = self._known.get(address)
        if known is not None:
            return known
        if len(self._known) >= KNOWN_ADDRESSES:
            self._known.clear()
        link = self._known[address] = self._link(self._placement.spec_of(address.kind, address.id))
        return link

    def _link(self, spec: Spec) -> LinkClient:
        link = self._links.get(spec)
        if link is None:
            run_dir = self._deployment.run_dir
            book = AddressBook(run_dir, self._node, spec.kind, spec.shard, lambda: self._placement.shard_address(spec))
            link = self._links[spec] = LinkClient(
                spec.kind,
                spec.shard,
                name=self._name,
                node=self._node,
                security=self._security,
                resolve=book.find,
                limit=self._deployment.settings.shard_queue,
                timeout_s=self._deployment.settings.ask_timeout_s,
                on_message=self._on_message,
                follows=self._follows,
                sleeps=spec.entity is not None,
            )
        return link

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        """A command with no caller to another entity (an effect)."""
        trace = traceparent.get()
        self.link(target).ask(lambda cid: Ask(cid, target.id, command, None, operation, None, True, trace), on_answer)

    def open_shared(self) -> None:
        """Connect to the shards that are always there, before anybody waits for them."""
        for spec in self._placement.shards(AT_START):
            layout = self._placement.layouts[spec.kind]
            entity = next(str(i) for i in range(10**6) if layout.shard_of(str(i)) == spec.shard)
            self.link(Address(spec.kind, entity)).start()

    @property
    def all_up(self) -> bool:
        """Whether every link that was made is up."""
        return all(link.up for link in self._links.values())

    @property
    def all(self) -> Iterable[LinkClient]:
        """Every link that was made."""
        return self._links.values()

    async def stop(self) -> None:
        """Disconnect all."""
        for link in self._links.values():
            await link.stop()


def sealer(settings: Settings) -> Sealer | None:
    """Seals practitioners' payloads, where a key is set."""
    if settings.sacred_encryption_key is None:
        return None
    old = [bytes.fromhex(key.get_secret_value()) for key in settings.old_encryption_keys]
    return Sealer(bytes.fromhex(settings.sacred_encryption_key.get_secret_value()), old)


def link_security(deployment: Deployment) -> LinkSecurity:
    """What links of this cluster prove and are wrapped in."""
    server = client = None
    if deployment.settings.link_tls:
        from server.link_tls import contexts  # cryptography's x509 is slow to import and seldom needed

        server, client = contexts(deployment.settings.data_dir)
    return LinkSecurity(deployment.cluster_id, bytes.fromhex(deployment.secret), server, client)


class Host:
    """What every actor of ours has."""

    def __init__(self, path: str, process: str) -> None:
        self.path = path
        self.deployment = Deployment.read(path)
        self.settings = self.deployment.settings
        logs.configure(process, self.settings.log_level, self.deployment.run_dir)
        self.node = ray_actors.node_id()
        self.placement = build_placement(self.deployment, path)
        self.process, self.links = process, cast("Links | None", None)
        self.started_at = psutil.Process().create_time()
        self.tracer = build_tracer(self.settings, process)
        self.loop_lag = Histogram(SECONDS)
        self.run(self._watch_the_loop())

    def base_status(self) -> dict[str, Any]:
        """What the coordinator wants to know of anybody."""
        # Ray starts actors from the raylet.
        return {"pid": os.getpid(), "started": self.started_at, "node": self.node, "raylet_pid": os.getppid()}

    async def metrics(self) -> list[Report]:
        """For ``/metrics``: what this process counts, and others that it speaks for."""
        return [Report(self.process, self.node, [Sample("sangha_up", 1), *self.measured(), *self._base_samples()])]

    def measured(self) -> Iterable[Sample]:
        """What this kind of process counts beside what all do."""
        return ()

    def _base_samples(self) -> Iterable[Sample]:
        yield from reports.of_process(psutil.Process())
        yield from reports.of_python(self.loop_lag)
        if self.links is not None:
            yield from reports.of_links(self.links.all)

    def settled(self) -> None:
        """What there is now stays: the collector need not look at it again, and looks less often at what comes."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT)

    async def _watch_the_loop(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(LAG_PROBE_S)
            self.loop_lag.observe(max(0.0, loop.time() - began - LAG_PROBE_S))

    def end_traces(self) -> None:
        """Send what was not sent yet, where traces are on."""
        if self.tracer is not None:
            self.tracer.close()

    async def listen(
        self, handler: ServerHandler, kind: str, shard: str, epoch: int
    ) -> tuple[LinkServer, ShardAddress]:
        """Take links, and let those on this node know where."""
        deployment = self.deployment
        server = LinkServer(handler, link_security(deployment), kind, shard)
        address = await server.start(deployment.run_dir, deployment.link_host, self.node, epoch)
        write_down(deployment.run_dir, address)
        return server, address

    def run(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run for as long as the actor lives; its failure ends the process, and Ray starts it anew."""
        task = asyncio.get_running_loop().create_task(coroutine)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.critical("a task of this actor failed; it starts anew", exc_info=failure)
            os._exit(1)

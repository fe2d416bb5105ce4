"""What runs in the Ray actors: the composition of storage, runtime and front. ``placement`` decorates and starts them.

A constructor returns at once and the work of starting goes on in a task, so that an actor that waits for storage still
answers ``ping``: Ray takes a constructor that fails for a final death, and the coordinator a silent actor for a hung one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psutil

from actors.practitioner.entity import PractitionerKind
from actors.runtime import placement as ray_actors
from actors.runtime.alarms import AlarmClock
from actors.runtime.coordinator import Coordinator, Watcher
from actors.runtime.entity import Address, EntityKind
from actors.runtime.layout import Layout
from actors.runtime.link import LinkClient, LinkSecurity, LinkServer, ShardAddress
from actors.runtime.placement import Placement, Spec
from actors.runtime.ports import Fenced, StoreDown
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Ask, Follow
from actors.space.entity import SpaceKind, SpaceLimits
from server import logs
from server.addresses import AddressBook, write_down
from server.deployment import KINDS, Deployment
from server.settings import Settings
from server.topology import topology
from storage.heartbeat import Heartbeat
from storage.queries import Queries
from storage.seal import Sealer
from storage.store import PostgresStore

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

RETRY_S: Final = 0.2
KNOWN_ADDRESSES: Final = 100_000
"""Addresses whose link is remembered: a hash of the id for each message was a tenth of a busy gateway's time."""
LAB_PARTICIPANTS: Final = 1_000_000
"""Load tests ask for more room than any real space has."""
OWN_IDLE_PROBE_S: Final = 5.0


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some start; goes on while the process is stopped."""
        return time.monotonic()


def kinds(settings: Settings) -> dict[str, EntityKind]:
    """The kinds of entities, with the settings that bind them."""
    limits = SpaceLimits(
        participant_limit_max=LAB_PARTICIPANTS if settings.lab else settings.participant_limit_max,
        message_bytes=settings.message_bytes,
        shared_state_bytes=settings.shared_state_bytes,
        presence_grace_s=settings.presence_grace_s,
        participant_grace_s=settings.participant_grace_s,
    )
    return {"practitioner": PractitionerKind(), "space": SpaceKind(limits)}


def sealer(settings: Settings) -> Sealer | None:
    """Seals practitioners' payloads, where a key is set."""
    if settings.sacred_encryption_key is None:
        return None
    old = [bytes.fromhex(key.get_secret_value()) for key in settings.old_encryption_keys]
    return Sealer(bytes.fromhex(settings.sacred_encryption_key.get_secret_value()), old)


def build_placement(deployment: Deployment, path: str) -> Placement:
    """The cluster's placement, the same in every process."""
    classes = {"shard": ShardHost, "gateway": GatewayHost, "coordinator": CoordinatorHost}
    return Placement(deployment.cluster_id, deployment.layouts, path, classes)


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
            )
        return link

    def post(self, target: Address, command: bytes, operation: str, on_answer: Callable[[Any], None]) -> None:
        """A command with no caller to another entity (an effect)."""
        self.link(target).ask(lambda cid: Ask(cid, target.id, command, None, operation), on_answer)

    def open_shared(self) -> None:
        """Connect to the shards that are always there, before anybody waits for them."""
        for spec in self._placement.shards(KINDS):
            layout = self._placement.layouts[spec.kind]
            entity = next(str(i) for i in range(10**6) if layout.shard_of(str(i)) == spec.shard)
            self.link(Address(spec.kind, entity)).start()

    @property
    def all_up(self) -> bool:
        """Whether every link that was made is up."""
        return all(link.up for link in self._links.values())

    @property
    def reconnects(self) -> int:
        """How often links were lost, over all."""
        return sum(link.reconnects for link in self._links.values())

    async def stop(self) -> None:
        """Disconnect all."""
        for link in self._links.values():
            await link.stop()


def link_security(deployment: Deployment) -> LinkSecurity:
    """What links of this cluster prove and are wrapped in."""
    server = client = None
    if deployment.settings.link_tls:
        from server.link_tls import contexts  # cryptography's x509 is slow to import and seldom needed

        server, client = contexts(deployment.settings.data_dir)
    return LinkSecurity(deployment.cluster_id, bytes.fromhex(deployment.secret), server, client)


class _Host:
    """What every actor of ours has."""

    def __init__(self, path: str, process: str) -> None:
        self.path = path
        self.deployment = Deployment.read(path)
        self.settings = self.deployment.settings
        logs.configure(process, self.settings.log_level, self.deployment.run_dir)
        self.node = ray_actors.node_id()
        self.placement = build_placement(self.deployment, path)
        self.started_at = psutil.Process().create_time()

    def base_status(self) -> dict[str, Any]:
        """What the coordinator wants to know of anybody."""
        # Ray starts actors from the raylet.
        return {"pid": os.getpid(), "started": self.started_at, "node": self.node, "raylet_pid": os.getppid()}

    def run(self, coroutine: Any) -> asyncio.Task[Any]:
        """Run for as long as the actor lives; its failure ends the process, and Ray starts it anew."""
        task = asyncio.get_running_loop().create_task(coroutine)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            log.critical("a task of this actor failed; it starts anew", exc_info=failure)
            os._exit(1)


class ShardHost(_Host):
    """A shard's Ray actor."""

    async def __init__(self, path: str, kind: str, shard: str, entity: str | None = None) -> None:  # type: ignore[misc]
        super().__init__(path, f"{kind}/{shard}")
        self.kind, self.shard_name, self.entity = kind, shard, entity
        self.layout: Layout = self.deployment.layouts[kind]
        self.address_known: asyncio.Future[ShardAddress] = asyncio.get_running_loop().create_future()
        self.shard: Shard | None = None
        self.links: Links | None = None
        self.server: LinkServer | None = None
        self.draining = False
        self.run(self._start())

    def _owns(self, entity_id: str) -> bool:
        return entity_id == self.entity if self.layout.own else self.layout.shard_of(entity_id) == self.shard_name

    async def _start(self) -> None:
        deployment, settings = self.deployment, self.settings
        self.links = Links(deployment, self.placement, f"{self.kind}/{self.shard_name}")
        store = PostgresStore(
            deployment.dsn,
            kind=self.kind,
            layout=self.layout.text,
            shard=self.shard_name,
            incarnation=deployment.incarnation,
            seal=sealer(settings),
        )
        epoch = await self._acquire(store)
        limits = ShardLimits(
            queue=settings.shard_queue,
            live_entities=settings.live_entities,
            passivate_after_s=settings.passivate_after_s,
            checkpoint_every=settings.checkpoint_every,
        )
        self.shard = shard = Shard(
            kinds(settings)[self.kind],
            store,
            clock=SystemClock(),
            post=self.links,
            halt=self._halt,
            owns=self._owns,
            limits=limits,
        )
        self.server = LinkServer(shard, link_security(deployment), self.kind, self.shard_name)
        address = await self.server.start(deployment.run_dir, deployment.link_host, self.node, epoch)
        write_down(deployment.run_dir, address)
        self.run(shard.keep_lease())
        self.run(AlarmClock(shard, self.layout.slots_of(self.shard_name, self.entity), self._owns).run())
        if self.layout.own:
            self.run(self._retire_when_idle(shard))
        log.info("shard ready, epoch %d", epoch)
        self.address_known.set_result(address)

    async def _acquire(self, store: PostgresStore) -> int:
        while True:
            try:
                return await store.acquire()
            except StoreDown as down:
                log.warning("storage does not answer: %s", down)
                await asyncio.sleep(RETRY_S)
            except Fenced as fenced:
                log.critical("this shard's cluster is no longer the owner: %s", fenced)
                ray_actors.end_this_actor()
                await asyncio.Future()

    def _halt(self, reason: str) -> None:
        """The lease is another's. At once: nothing may be said or written any more. Ray starts a new one, which finds out."""
        log.critical("this shard ends: %s", reason)
        os._exit(1)

    async def _retire_when_idle(self, shard: Shard) -> None:
        """An ``own`` shard whose entity went to rest ends for good; the next command, or an alarm, starts it anew."""
        while True:
            await asyncio.sleep(OWN_IDLE_PROBE_S)
            began = shard.activation.activations
            if began and not shard.cells and shard.idle:
                log.info("its entity rests; the actor ends")
                await shard.stop()
                ray_actors.end_this_actor()
                await asyncio.Future()

    async def ping(self) -> dict[str, Any]:
        """For the coordinator and ``sangha status``."""
        shard = self.shard
        return self.base_status() | {
            "kind": self.kind,
            "index": self.shard_name,
            "epoch": shard.store.epoch if shard is not None else 0,
            "entities": len(shard.cells) if shard is not None else 0,
            "backlog": shard.waiting if shard is not None else 0,
            "commits": shard.commits.committed if shard is not None else 0,
            "commands": shard.commits.entries if shard is not None else 0,
            "activations": shard.activation.activations if shard is not None else 0,
        }

    async def address(self) -> ShardAddress:
        """Where it listens, once it has its epoch."""
        return await asyncio.shield(self.address_known)

    async def drain(self) -> None:
        """Finish and flush what is in flight."""
        if self.shard is not None:
            await self.shard.stop()


class GatewayHost(_Host):
    """A gateway's Ray actor."""

    async def __init__(self, path: str, index: int) -> None:  # type: ignore[misc]
        super().__init__(path, f"gateway/{index}")
        self.index = index
        self.gateway: Gateway | None = None
        self.started = asyncio.Event()
        self.run(self._start())

    async def _start(self) -> None:
        from server.gateway import Gateway  # aiohttp with it: 0.1 s of the second that a killed shard is away

        deployment, layouts = self.deployment, self.placement.layouts

        # Functions and not methods: Ray wraps every method of an actor's class for tracing, a microsecond a call.
        def message(link: LinkClient, what: Any) -> None:
            gateway.on_message(link.kind, what)

        def follows(link: LinkClient) -> Sequence[Follow]:
            layout = layouts[link.kind]
            return [f for f in gateway.follows(link.kind) if layout.shard_of(f.entity) == link.shard]

        links = Links(deployment, self.placement, f"gateway/{self.index}", message, follows)
        queries = Queries(deployment.dsn)
        gateway = Gateway(
            self.settings.model_copy(update={"port": deployment.port}),
            links,
            queries,
            bytes.fromhex(deployment.secret),
            self.index,
            admin_token=deployment.admin_token,
            topology=self._topology,
        )
        self.gateway = gateway
        links.open_shared()
        while not links.all_up:  # noqa: ASYNC110 - ready means that a command would be taken; once, at the start
            await asyncio.sleep(0.02)
        await gateway.start()
        log.info("gateway ready on port %d", deployment.port)
        self.started.set()

    async def _topology(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.placement.call(ray_actors.COORDINATOR, "topology")
        return answer

    async def ping(self) -> dict[str, Any]:
        """For the coordinator and ``sangha status``."""
        status = self.gateway.status() if self.gateway is not None else {"sockets": 0, "outbox_bytes": 0}
        return self.base_status() | status | {"port": self.deployment.port}  # known before it listens

    async def ready(self) -> None:
        """Returns when it answers requests."""
        await self.started.wait()

    async def drain(self) -> None:
        """Tell the sockets to come back, finish what was asked, stop."""
        if self.gateway is not None:
            await self.gateway.drain()
            await self.gateway.stop()


class CoordinatorHost(_Host):
    """The coordinator's Ray actor."""

    async def __init__(self, path: str) -> None:  # type: ignore[misc]
        super().__init__(path, "coordinator")
        self.beat = Heartbeat(self.deployment.dsn, self.deployment.incarnation)
        self.watcher = Watcher(self.placement, self.node, time.monotonic)
        self.coordinator = Coordinator(
            self.watcher, beat=self._beat, targets=self._targets, wake=self._wake, halt=self._halt
        )
        self.run(self.coordinator.run())

    async def _beat(self) -> bool:
        try:
            return await self.beat.beat()
        except StoreDown as down:
            log.warning("storage does not answer: %s", down)
            return True

    async def _targets(self) -> list[str]:
        names = await asyncio.to_thread(self.placement.names)
        return [name for name in names if name != ray_actors.COORDINATOR]

    async def _wake(self) -> None:
        """Start the shards of sleeping ``own`` entities whose alarm is due; their own alarm clock does the rest."""
        own = [kind for kind, layout in self.deployment.layouts.items() if layout.own]
        if not own:
            return
        try:
            due = await self.beat.due_entities(own)
        except StoreDown:
            return
        for kind, entity in due:
            await asyncio.to_thread(self.placement.start_shard, self.placement.spec_of(kind, entity))

    async def _halt(self) -> None:
        names = await self._targets()
        await asyncio.gather(*(self.placement.kill(name, restart=False) for name in names))
        ray_actors.end_this_actor()
        await asyncio.Future()

    async def ping(self) -> dict[str, Any]:
        """For ``serve``, which watches the watcher."""
        return self.base_status()

    async def topology(self) -> dict[str, Any]:
        """What ``sangha status`` prints."""
        nodes = await asyncio.to_thread(ray_actors.nodes)
        return await topology(self.deployment, self.watcher.status, nodes, self.beat, os.getpid())

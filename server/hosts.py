"""What runs in the Ray actors: the composition of storage, runtime and front. ``placement`` decorates and starts them.

A constructor returns at once and the work of starting goes on in a task, so that an actor that waits for storage still
answers ``ping``: Ray takes a constructor that fails for a final death, and the coordinator a silent actor for a hung one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from actors.practitioner.entity import PractitionerKind
from actors.practitioner.runs import PractitionerLimits
from actors.ritual.entity import RitualKind
from actors.runtime import placement as ray_actors
from actors.runtime.alarms import AlarmClock
from actors.runtime.coordinator import Coordinator, Watcher
from actors.runtime.entity import EntityKind
from actors.runtime.layout import Layout
from actors.runtime.link import LinkClient, LinkServer, ShardAddress
from actors.runtime.ports import Fenced, StoreDown
from actors.runtime.shard import Shard, ShardLimits
from actors.runtime.wire import Follow
from actors.space.entity import SpaceKind, SpaceLimits
from server.deployment import ASKED, BUSY
from server.host import Host, Links, SystemClock, sealer
from server.http.tls import FILE as TLS_FILE
from server.metrics import reports
from server.metrics.reports import Report, Sample
from server.metrics.scrape import Scraper
from server.settings import Settings
from server.topology import topology
from storage.eustress_queries import EustressQueries
from storage.heartbeat import Heartbeat
from storage.queries import Queries
from storage.scrubbing import Scrubber
from storage.store import PostgresStore

if TYPE_CHECKING:
    from server.gateway import Gateway

log = logging.getLogger(__name__)

KINDS: Final = ("practitioner", "space", "ritual", "eustress", "audio_session", "audio", "prayer_wheel")
RETRY_S: Final = 0.2
LAB_PARTICIPANTS: Final = 1_000_000
"""Load tests ask for more room than any real space has."""
LIVE_RITUALS: Final = 500
"""Their modules lie in their states: 2 GB at the very most, and what rests is there again within milliseconds."""
OWN_IDLE_PROBE_S: Final = 5.0
DATABASE_TIMEOUT_S: Final = 1.0
"""Shorter than a scrape waits for the coordinator: where PostgreSQL hangs, the rest is reported."""


def kinds(settings: Settings) -> dict[str, EntityKind]:
    """The kinds of entities, with the settings that bind them."""
    return {name: kind_of(name, settings) for name in KINDS}


def kind_of(name: str, settings: Settings) -> EntityKind:
    """One of ``KINDS``."""
    if name == "space":
        return SpaceKind(
            SpaceLimits(
                participant_limit_max=LAB_PARTICIPANTS if settings.lab else settings.participant_limit_max,
                message_bytes=settings.message_bytes,
                shared_state_bytes=settings.shared_state_bytes,
                presence_grace_s=settings.presence_grace_s,
                participant_grace_s=settings.participant_grace_s,
            )
        )
    if name == "ritual":
        return RitualKind()
    if name == "eustress":
        from actors.eustress.entity import EustressKind  # only who needs it pays for it
        from actors.eustress.values import SceneLimits

        return EustressKind(
            SceneLimits(
                max_entities=settings.eustress_entities,
                max_connections=settings.eustress_connections,
                scene_bytes=settings.eustress_scene_bytes,
            )
        )
    if name in ("audio_session", "audio", "prayer_wheel"):
        return _vajra(name, settings)
    return PractitionerKind(
        PractitionerLimits(
            runs_per_day=settings.ritual_runs_per_day,
            fuel_per_day=settings.ritual_fuel_per_day,
            unlimited=settings.lab,
        )
    )


def _vajra(name: str, settings: Settings) -> EntityKind:
    """One of Vajra.Stream's kinds; only who needs it pays for it."""
    if name == "audio_session":
        from actors.audio.presets import Defaults
        from actors.audio_session.entity import AudioSessionKind

        return AudioSessionKind(
            Defaults(
                bowl_harmonics=settings.prayer_bowl_harmonics,
                bowl_envelopes=settings.prayer_bowl_envelopes,
                blessing=settings.blessing_frequencies,
                max_volume=settings.max_volume,
            )
        )
    if name == "audio":
        from actors.audio.entity import AudioKind

        return AudioKind()
    from actors.prayer.entity import PrayerWheelKind

    return PrayerWheelKind()


class ShardHost(Host):
    """A shard's Ray actor."""

    async def __init__(self, path: str, kind: str, shard: str, entity: str | None = None) -> None:  # type: ignore[misc]
        super().__init__(path, f"{kind}/{shard}")
        self.kind, self.shard_name, self.entity = kind, shard, entity
        self.layout: Layout = self.deployment.layouts[kind]
        self.address_known: asyncio.Future[ShardAddress] = asyncio.get_running_loop().create_future()
        self.shard: Shard | None = None
        self.server: LinkServer | None = None
        self.draining = False
        self.run(self._start())

    def _owns(self, entity_id: str) -> bool:
        return entity_id == self.entity if self.layout.own else self.layout.shard_of(entity_id) == self.shard_name

    async def _start(self) -> None:
        deployment, settings = self.deployment, self.settings
        self.links = Links(deployment, self.placement, f"{self.kind}/{self.shard_name}")
        kind = kind_of(self.kind, settings)
        store = PostgresStore(
            deployment.dsn,
            kind=self.kind,
            layout=self.layout.text,
            shard=self.shard_name,
            incarnation=deployment.incarnation,
            seal=sealer(settings),
            sealed=kind.sealed,
        )
        epoch = await self._acquire(store)
        limits = ShardLimits(
            queue=settings.shard_queue,
            live_entities=min(
                settings.live_entities, LIVE_RITUALS if self.kind == "ritual" else settings.live_entities
            ),
            passivate_after_s=settings.passivate_after_s,
            checkpoint_every=settings.checkpoint_every,
        )
        self.shard = shard = Shard(
            kind,
            store,
            clock=SystemClock(),
            post=self.links,
            halt=self._halt,
            owns=self._owns,
            limits=limits,
            tracer=self.tracer,
        )
        self.server, address = await self.listen(shard, self.kind, self.shard_name, epoch)
        self.run(shard.keep_lease())
        self.run(AlarmClock(shard, self.layout.slots_of(self.shard_name, self.entity), self._owns).run())
        if self.layout.own:
            self.run(self._retire_when_idle(shard))
        log.info("shard ready, epoch %d", epoch)
        self.settled()
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
        alone = {"entity": self.entity} if self.layout.own else {}  # its index is but a digest
        return self.base_status() | {
            "kind": self.kind,
            "index": self.shard_name,
            **alone,
            "epoch": shard.store.epoch if shard is not None else 0,
            "entities": len(shard.cells) if shard is not None else 0,
            "backlog": shard.waiting if shard is not None else 0,
            "commits": shard.commits.committed if shard is not None else 0,
            "commands": shard.commits.entries if shard is not None else 0,
            "activations": shard.activation.activations if shard is not None else 0,
        }

    def measured(self) -> Iterable[Sample]:
        """What the shard counts."""
        return reports.of_shard(self.shard, self.shard.store.epoch) if self.shard is not None else ()

    async def address(self) -> ShardAddress:
        """Where it listens, once it has its epoch."""
        return await asyncio.shield(self.address_known)

    async def drain(self) -> None:
        """Finish and flush what is in flight."""
        if self.shard is not None:
            await self.shard.stop()
        self.end_traces()


class GatewayHost(Host):
    """A gateway's Ray actor."""

    async def __init__(self, path: str, index: int) -> None:  # type: ignore[misc]
        super().__init__(path, f"gateway/{index}")
        self.index = index
        self.gateway: Gateway | None = None
        self.scraper = Scraper(
            self.placement,
            lambda: asyncio.to_thread(self.placement.names),
            [kind for kind, layout in self.placement.layouts.items() if layout.own],
            self.process,
        )
        self.started = asyncio.Event()
        self.run(self._start())

    async def _start(self) -> None:
        from server.builtin_rituals import install
        from server.erasure import Erasure
        from server.gateway import Gateway  # aiohttp with it: 0.1 s of the second that a killed shard is away

        deployment, layouts = self.deployment, self.placement.layouts

        # Functions and not methods: Ray wraps every method of an actor's class for tracing, a microsecond a call.
        def message(link: LinkClient, what: Any) -> None:
            gateway.on_message(link.kind, what)

        def follows(link: LinkClient) -> Sequence[Follow]:
            layout = layouts[link.kind]
            return [f for f in gateway.follows(link.kind) if layout.shard_of(f.entity) == link.shard]

        links = self.links = Links(deployment, self.placement, f"gateway/{self.index}", message, follows)
        queries = Queries(deployment.dsn, seal=sealer(self.settings))
        gateway = Gateway(
            self.settings.model_copy(update={"port": deployment.port}),
            links,
            queries,
            bytes.fromhex(deployment.secret),
            self.index,
            admin_token=deployment.admin_token,
            topology=self._topology,
            tls_file=deployment.run_dir / TLS_FILE if self.settings.tls_certificate is not None else None,
            scrape=self._scrape,
            tracer=self.tracer,
            deployment_path=Path(self.path),
            lake=EustressQueries(deployment.dsn),
        )
        self.gateway = gateway
        links.open_shared()
        while not links.all_up:  # noqa: ASYNC110 - ready means that a command would be taken; once, at the start
            await asyncio.sleep(0.02)
        await gateway.start()
        await install(gateway)
        erasure = gateway.erasure = Erasure(gateway, Scrubber(deployment.dsn, seal=sealer(self.settings)))
        self.run(erasure.run())
        log.info("gateway ready on port %d", deployment.port)
        self.settled()
        self.started.set()

    async def _topology(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self.placement.call(ray_actors.COORDINATOR, "topology")
        return answer

    async def ping(self) -> dict[str, Any]:
        """For the coordinator and ``sangha status``."""
        status = self.gateway.status() if self.gateway is not None else {"sockets": 0, "outbox_bytes": 0}
        return self.base_status() | status | {"port": self.deployment.port}  # known before it listens

    def measured(self) -> Iterable[Sample]:
        """What the gateway counts."""
        return reports.of_gateway(self.gateway) if self.gateway is not None else ()

    async def _scrape(self) -> list[Report]:
        return await self.scraper() + await self.metrics()

    async def ready(self) -> None:
        """Returns when it answers requests."""
        await self.started.wait()

    async def reload_tls(self) -> None:
        """A new certificate is kept."""
        if self.gateway is not None:
            self.gateway.reload_tls()

    async def drain(self) -> None:
        """Tell the sockets to come back, finish what was asked, stop."""
        if self.gateway is not None:
            await self.gateway.drain()
            await self.gateway.stop()
        self.end_traces()


class CoordinatorHost(Host):
    """The coordinator's Ray actor."""

    async def __init__(self, path: str) -> None:  # type: ignore[misc]
        super().__init__(path, "coordinator")
        self.beat = Heartbeat(self.deployment.dsn, self.deployment.incarnation)
        self.watcher = Watcher(self.placement, self.node, time.monotonic, self.placement.bound)
        self._away: set[str] = set()
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
        """Start the shards of sleeping entities whose alarm is due, ``own`` ones and those of kinds that start when needed (their
        own alarm clock does the rest), and of those that do something until their alarm is due."""
        sleepers = [kind for kind, layout in self.deployment.layouts.items() if layout.own or kind in ASKED]
        if self.deployment.link_host is not None:  # there may be other nodes
            nodes = await asyncio.to_thread(ray_actors.nodes)
            await self.watcher.end_stranded({node["id"] for node in nodes if node["alive"]})
        try:
            due = await self.beat.due_entities(sleepers)
            busy = await self.beat.busy_entities(BUSY)
        except StoreDown:
            return
        specs = {self.placement.spec_of(kind, entity) for kind, entity in due}
        running = self.watcher.status
        specs |= {spec for each in busy if (spec := self.placement.spec_of(*each)).name not in running}
        for spec in specs:
            await self._start_one(spec)

    async def _start_one(self, spec: ray_actors.Spec) -> None:
        try:
            await asyncio.to_thread(self.placement.start_shard, spec)
            self._away.discard(spec.name)
        except ray_actors.Nowhere as away:
            if spec.name not in self._away:
                self._away.add(spec.name)
                log.warning("%s; it is started when that is back", away)

    async def _halt(self) -> None:
        names = await self._targets()
        await asyncio.gather(*(self.placement.kill(name, restart=False) for name in names))
        ray_actors.end_this_actor()
        await asyncio.Future()

    async def ping(self) -> dict[str, Any]:
        """For ``serve``, which watches the watcher."""
        return self.base_status()

    async def metrics(self) -> list[Report]:
        """Its own, the database's and the cluster's; and of the processes that are no actors."""
        ours = await super().metrics()
        ours[0].samples.extend(await self._of_the_cluster())
        for process, pid in self._no_actors().items():
            with contextlib.suppress(psutil.Error):
                if pid:
                    ours.append(Report(process, self.node, list(reports.of_process(psutil.Process(pid)))))
        return ours

    def _no_actors(self) -> dict[str, int | None]:
        """Processes of ours that are no actors, where they are surely on this node."""
        here: dict[str, int | None] = {"ray/raylet": os.getppid()}
        if self.deployment.link_host is not None:
            return here
        return here | {"serve": self.deployment.serve_pid, "ray/gcs": self.deployment.gcs_pid}

    async def _of_the_cluster(self) -> list[Sample]:
        takeovers = self.watcher.takeovers
        kinds = {*self.deployment.layouts, "gateway", *takeovers}
        found = [Sample("sangha_takeovers_total", takeovers[kind], (kind,)) for kind in sorted(kinds)]
        try:
            async with asyncio.timeout(DATABASE_TIMEOUT_S):
                facts = await self.beat.gauges()
        except (StoreDown, TimeoutError):
            facts = None
        alive = Counter(node["alive"] for node in await asyncio.to_thread(ray_actors.nodes))
        found += [Sample("sangha_nodes", alive[flag], (str(flag).lower(),)) for flag in (True, False)]
        return [*found, *reports.of_database(facts)]

    async def topology(self) -> dict[str, Any]:
        """What ``sangha status`` prints."""
        nodes = await asyncio.to_thread(ray_actors.nodes)
        return await topology(self.deployment, self.watcher.status, nodes, self.beat, os.getpid())

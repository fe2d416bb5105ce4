"""(kind, id) → Ray actor. The one file that talks to Ray about actors: names, namespaces, options, restarts.

Actor classes are written undecorated and handed in. All actors are detached, named ``<kind>/<shard>``, in the namespace
``sangha-<cluster_id>``; Ray restarts one that dies, for ever, and tells where it is. It carries no command and no push.
No secret passes through here: actors get the path of a 0600 file (Ray's control store keeps and shows all arguments).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.runtime.layout import Layout

log = logging.getLogger(__name__)

COORDINATOR: Final = "coordinator"
CALL_TIMEOUT_S: Final = 3.0
A_PLACE: Final = 0.0001
"""CPUs that a shard of a shared layout asks for: Ray's smallest. For actors that ask for nothing Ray picks a node by chance,
strategy or not: all four of a kind were seen on one of two nodes. ``own`` shards, which may be many, ask for nothing."""


class NoAnswer(LookupError):
    """The actor did not answer: it is stopped, hung, or its node is gone."""


class Restarting(LookupError):
    """Ray says that the actor is not there at the moment; it restarts it."""


class Gone(LookupError):
    """There is no such actor."""


class Nowhere(LookupError):
    """No node of the cluster has what the actor needs: it is not started, for it would wait without a word."""


class Spec(msgspec.Struct, frozen=True):
    """What it takes to start a shard anywhere: which class (by name), and whose entities."""

    kind: str
    shard: str
    entity: str | None = None

    @property
    def name(self) -> str:
        """The Ray actor's name."""
        return f"{self.kind}/{self.shard}"


class Placement:
    """Starts, finds, calls and ends the cluster's actors."""

    def __init__(
        self,
        cluster_id: str,
        layouts: dict[str, Layout],
        settings_path: str,
        class_of: Callable[[str], type],
        on_demand: Sequence[str] = (),
        needs: Mapping[str, Callable[[str | None, Mapping[str, float]], Mapping[str, float] | None]] | None = None,
    ) -> None:
        """``class_of``: the undecorated class of a kind of shard or worker, of ``gateway`` and ``coordinator``; each takes
        (settings_path, *args). ``on_demand``: kinds whose shards are started when they are first asked for. ``needs``: by kind,
        what of the cluster's resources (with their amounts) the shard of an ``own`` entity takes up, and so where it may be;
        None where that is nowhere now."""
        self.namespace = f"sangha-{cluster_id}"
        self.layouts = layouts
        self._settings_path = settings_path
        self._class_of = class_of
        self._on_demand = frozenset(on_demand)
        self._needs = needs or {}
        self._handles: dict[str, Any] = {}

    # -- starting -------------------------------------------------------------------------------------------------

    def start_shard(self, spec: Spec) -> None:
        """Start a shard, or find it started. Raises Nowhere."""
        cpus = A_PLACE if spec.entity is None else 0.0
        resources = self._resources_for(spec)
        if resources is None:
            raise Nowhere(f"{spec.name}: the node that it belongs to is away")
        self._start(spec.kind, spec.name, (spec.kind, spec.shard, spec.entity), "SPREAD", cpus, dict(resources))

    def bound(self, kind: str) -> bool:
        """Whether an actor of this kind may not be everywhere: one whose node is lost is ended, for Ray might wait for that node
        for ever, and whoever needs it starts it where it may be then."""
        return kind in self._needs

    def is_misplaced(self, spec: Spec) -> bool:
        """Whether the calling actor, which is this one, would be started elsewhere now."""
        resources = self._resources_for(spec)
        return (
            resources is not None and not resources.keys() <= ray.get_runtime_context().get_assigned_resources().keys()
        )

    def _resources_for(self, spec: Spec) -> Mapping[str, float] | None:
        needs = self._needs.get(spec.kind)
        return {} if needs is None else needs(spec.entity, ray.cluster_resources())

    def start_gateway(self, index: int, node: str) -> None:
        """Start a gateway on a node."""
        where = NodeAffinitySchedulingStrategy(node, soft=False)
        self._start("gateway", f"gateway/{index}", (index,), where)

    def start_coordinator(self) -> None:
        """Start the coordinator."""
        self._start("coordinator", COORDINATOR, (), "DEFAULT")

    def _start(
        self,
        role: str,
        name: str,
        args: tuple[Any, ...],
        where: Any,
        cpus: float = 0.0,
        resources: dict[str, float] | None = None,
    ) -> None:
        options = {
            "name": name,
            "namespace": self.namespace,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "max_task_retries": 0,  # a call that failed says so; who called decides
            "num_cpus": cpus,  # actors wait more than they compute; Ray must place them on any node
            "resources": resources or {},
            "scheduling_strategy": where,
            "enable_task_events": False,
        }
        actor = ray.remote(self._class_of(role)).options(**options)
        self._handles[name] = actor.remote(self._settings_path, *args)

    def shards(self, kinds: tuple[str, ...]) -> list[Spec]:
        """The shards that run from the start: those of the shared layouts of these kinds."""
        return [Spec(kind, str(i)) for kind in kinds for i in range(self.layouts[kind].shards)]

    def spec_of(self, kind: str, entity_id: str) -> Spec:
        """The shard that hosts an entity."""
        layout = self.layouts[kind]
        return Spec(kind, layout.shard_of(entity_id), entity_id if layout.own else None)

    # -- calling --------------------------------------------------------------------------------------------------

    async def call(self, name: str, method: str, *args: Any, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """Call an actor's method. Raises NoAnswer, Restarting or Gone."""
        handle = self._handles.get(name) or await self._find(name)
        try:
            async with asyncio.timeout(timeout_s):
                return await getattr(handle, method).remote(*args)
        except TimeoutError as late:
            raise NoAnswer(f"{name} does not answer") from late
        except ActorUnavailableError as away:
            raise Restarting(f"{name} is being restarted") from away
        except ActorDiedError as dead:
            self._handles.pop(name, None)
            raise Gone(f"{name} is no more") from dead
        except RayError as failure:
            raise NoAnswer(f"{name}: {failure}") from failure

    async def _find(self, name: str) -> Any:
        try:
            handle = await asyncio.to_thread(ray.get_actor, name, namespace=self.namespace)
        except ValueError as unknown:
            raise Gone(f"there is no actor {name}") from unknown
        self._handles[name] = handle
        return handle

    async def shard_address(self, spec: Spec) -> Any:
        """Where a shard listens; an ``own`` one is started where it sleeps, one of a kind on demand at its first use."""
        try:
            return await self.call(spec.name, "address")
        except Gone:
            if spec.entity is None and spec.kind not in self._on_demand:
                raise
        await asyncio.to_thread(self.start_shard, spec)
        return await self.call(spec.name, "address", timeout_s=10.0)

    async def kill(self, name: str, *, restart: bool) -> None:
        """End an actor at once; Ray starts it anew where ``restart``."""
        with contextlib.suppress(Gone):
            handle = self._handles.get(name) or await self._find(name)
            await asyncio.to_thread(ray.kill, handle, no_restart=not restart)
        if not restart:
            self._handles.pop(name, None)

    def names(self) -> list[str]:
        """The names of the cluster's actors that are alive, from Ray."""
        known = ray.util.list_named_actors(all_namespaces=True)
        return sorted(actor["name"] for actor in known if actor["namespace"] == self.namespace)


def node_id() -> str:
    """The node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())


def end_this_actor() -> None:
    """End the calling actor for good: Ray does not restart it. Does not return to the loop's other work."""
    ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


def nodes() -> list[dict[str, Any]]:
    """The cluster's nodes: id, whether alive, address."""
    return [
        {"id": node["NodeID"], "alive": node["Alive"], "address": node["NodeManagerAddress"]} for node in ray.nodes()
    ]

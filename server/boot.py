"""Boots the server, watches it, drains it: settings → data directory → database → Ray → actors → ready.

``serve`` is the one process that a person starts and stops. It owns the data directory, the embedded Postgres and, without
``--ray-address``, Ray. While it runs it restarts Postgres when that dies, replaces a coordinator that is silent, and ends
with an error when Ray's own processes are gone (a restart recovers; actors cannot outlive them).

Whatever a person can put right (a port in use, a bad setting, an unreachable or too new database, a data directory in use,
another server on the database) is a ``CannotServe``: one line, exit code 2.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil

from actors.audio.portaudio import NoSound, probe
from actors.runtime import placement as ray_actors
from actors.runtime.coordinator import Watcher
from actors.runtime.placement import Gone, NoAnswer, Placement, Restarting
from actors.runtime.ports import Fenced, StoreDown
from server import link_tls, logs, ray_environment, tracing
from server.audio_devices import OFF, RESOURCE
from server.deployment import (
    AT_START,
    LATER,
    WORKERS,
    Deployment,
    RunningServer,
    kept_secret,
    layouts_of,
    run_directory,
)
from server.http import tls
from server.listening import shown
from server.settings import Settings
from storage import cluster
from storage.datadir import DataDirectory, DataDirectoryInUse
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresFailed
from storage.keys import check_keys
from storage.migrate import SchemaTooNew, migrate
from storage.pool import UnusableDatabase, connect
from storage.seal import CannotUnseal

log = logging.getLogger(__name__)

PREDECESSOR_WAIT_S: Final = 10.0
"""A predecessor that was killed takes Ray and its port with it within seconds; a live one keeps them."""
START_TIMEOUT_S: Final = 60.0
WATCH_S: Final = 0.5
REST_AFTER_S: Final = 8.0
"""Each of them takes a CPU second to start, which would be missing when everybody comes back after a restart."""
GATEWAY_CONNECTIONS: Final = 5
"""Of a gateway: what it looks up, what it reads of the lake (storage/eustress_queries.py), what it scrubs."""
LAKE_CONNECTIONS: Final = 3
"""Of the lake's worker and its child."""
AUDIO_CONNECTIONS: Final = 4
"""Of two audio devices, which are actors of their own."""
CONNECTIONS_SPARE: Final = 10
"""For operators' psql, migrations, superuser_reserved_connections."""


class CannotServe(Exception):
    """One clear line for the person who started it; exit code 2."""


class RayLost(Exception):
    """Ray's control store or this node's raylet is gone; exit code 3."""


class Server:
    """One run of ``sangha serve``."""

    def __init__(self, settings: Settings, ray_started: Callable[[], None] = lambda: None) -> None:
        """``ray_started``: called once Ray runs in this process (it takes the signal handlers for itself)."""
        paths = ("tls_certificate", "tls_key", "eustress_archive_dir")
        resolved = {name: _resolved(getattr(settings, name)) for name in paths}
        self.settings = settings.model_copy(update=resolved)
        self._asked_for_spaces = "eustress_spaces" in settings.model_fields_set
        self.ray_started = ray_started
        self.data_dir = settings.data_dir.resolve()
        self.deployment: Deployment | None = None
        self.placement: Placement | None = None
        self.postgres: EmbeddedPostgres | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._directory: DataDirectory | None = None
        self._collector: logs.LogCollector | None = None
        self._ray_pids: dict[str, int] = {}
        self._began = time.monotonic()

    # -- boot -----------------------------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Everything up to ``ready``. Raises CannotServe."""
        settings = self.settings
        if settings.traces_url is not None and (why := tracing.missing()) is not None:
            raise CannotServe(why)
        self._open_data_dir()
        run_dir = run_directory(self.data_dir)
        self._keep_certificate(run_dir)
        self._collector = logs.LogCollector(run_dir)
        port = await self._free_port()
        ray_started = asyncio.create_task(self._listen_and_start_ray())
        try:
            dsn = await self._database()
            self._mark("database ready")
        finally:
            await asyncio.wait([ray_started])
        await ray_started
        self.ray_started()
        self._mark("ray ready")
        ownership = await self._own_cluster(dsn)
        if settings.link_tls:
            link_tls.ensure(self.data_dir)
        self.deployment = Deployment(
            settings=self.settings.model_copy(update={"data_dir": self.data_dir}),
            dsn=dsn,
            cluster_id=ownership.cluster_id,
            incarnation=ownership.incarnation,
            secret=kept_secret(self.data_dir / "cluster.secret"),
            admin_token=kept_secret(self.data_dir / "admin.token"),
            port=port,
            run_dir=run_dir,
            link_host=self._link_host(),
            embedded=self.postgres is not None,
            serve_pid=os.getpid(),
            gcs_pid=self._ray_pids.get("gcs_server"),
            started_at=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )
        path = run_dir / "deployment.json"
        self.deployment.write(path)
        await self._start_actors(path)
        certificate = None if settings.tls_certificate is None else str(settings.tls_certificate)
        RunningServer(settings.host, port, os.getpid(), settings.scheme, certificate).write(self.data_dir)
        self._mark("ready")

    def _mark(self, what: str) -> None:
        log.info("%s after %.1f s", what, time.monotonic() - self._began)

    def _open_data_dir(self) -> None:
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._directory = DataDirectory(self.data_dir).acquire(wait_s=0.5)
        except DataDirectoryInUse as used:
            raise CannotServe(str(used)) from used
        except OSError as failure:
            raise CannotServe(f"the data directory {self.data_dir} cannot be used: {failure.strerror}") from failure

    def _keep_certificate(self, run_dir: Path) -> None:
        if self.settings.tls_certificate is None:
            return
        try:
            tls.keep(self.settings.tls_certificate, self.settings.tls_key, run_dir)
        except tls.UnusableCertificate as why:
            raise CannotServe(str(why)) from why

    async def _free_port(self) -> int:
        """The main port to use, once all of them are free; waited for while a killed predecessor's gateways go. Found by
        an exclusive bind: with the gateways' SO_REUSEPORT a second server would not be noticed."""
        settings, deadline = self.settings, time.monotonic() + PREDECESSOR_WAIT_S
        predecessor = RunningServer.read(self.data_dir)
        while True:
            for address in reversed(settings.addresses):
                try:
                    port = probe_port(*address)
                except OSError as failure:
                    if predecessor is None or settings.port != predecessor.port or time.monotonic() > deadline:
                        raise CannotServe(f"{address} cannot be used: {failure.strerror}") from failure
                    break
            else:
                return port
            await asyncio.sleep(0.1)

    async def _database(self) -> str:
        settings = self.settings
        try:
            if settings.database_url is not None:
                dsn = settings.database_url.get_secret_value()
            else:
                self.postgres = EmbeddedPostgres(self.data_dir)
                await asyncio.to_thread(self.postgres.start)
                dsn = self.postgres.dsn
                self._keeping = asyncio.create_task(self._keep(self.postgres))
            await migrate(dsn)
            await self._enough_connections(dsn)
            await self._keys_fit(dsn)
        except CannotUnseal as why:
            raise CannotServe(
                f"this database is sealed with another SACRED_ENCRYPTION_KEY ({why}); set it, or name it in"
                " SANGHA_OLD_ENCRYPTION_KEYS"
            ) from why
        except (StoreDown, UnusableDatabase, SchemaTooNew, EmbeddedPostgresFailed, OSError) as failure:
            raise CannotServe(f"the database cannot be used: {failure}") from failure
        return dsn

    async def _enough_connections(self, dsn: str) -> None:
        """Each shard has a writer and a reader; refuse a layout that the server could not feed. Where nobody said how many
        Eustress spaces there may be, as many as it can feed."""
        settings = self.settings
        layouts = layouts_of(settings)
        shards = sum(layout.shards for kind, layout in layouts.items() if kind not in WORKERS)
        gateways = settings.gateways * (GATEWAY_CONNECTIONS + settings.eustress_exports)
        needed = 2 * shards + gateways + LAKE_CONNECTIONS + AUDIO_CONNECTIONS + 2 + CONNECTIONS_SPARE
        connection = await connect(dsn, application_name="sangha serve")
        try:
            limit = int(await connection.fetchval("SHOW max_connections"))
        finally:
            await connection.close()
        if needed > limit:
            raise CannotServe(f"this layout needs {needed} database connections, and the server allows {limit}")
        room, spaces = (limit - needed) // 2, settings.eustress_spaces
        if layouts["eustress"].own and spaces > room:
            if self._asked_for_spaces:
                raise CannotServe(
                    f"{spaces} Eustress spaces need {needed + 2 * spaces} database connections, and the server allows"
                    f" {limit}: set eustress_spaces to at most {room}, or placement_eustress to shared:1"
                )
            log.warning("%d database connections leave room for %d Eustress spaces of %d", limit, room, spaces)
            self.settings = settings.model_copy(update={"eustress_spaces": room})

    async def _keys_fit(self, dsn: str) -> None:
        """A wrong key is noticed here, and not by every practitioner for themselves."""
        from server.host import sealer

        connection = await connect(dsn, application_name="sangha serve")
        try:
            await check_keys(connection, sealer(self.settings))
        finally:
            await connection.close()

    async def _has_sound(self) -> bool:
        """Whether Ray's own node, which this starts, has a sound device; of a cluster's nodes their ``ray start`` says it."""
        if self.settings.ray_address is not None or self.settings.audio_device == OFF:
            return False
        try:
            return bool(await probe())
        except NoSound as why:
            log.info("no sound on this machine: %s", why)
            return False

    async def _listen_and_start_ray(self) -> None:
        sound = await self._has_sound()
        await asyncio.to_thread(self._start_ray, sound=sound)

    def _start_ray(self, *, sound: bool) -> None:
        import ray

        options: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        logging.getLogger("ray._private.worker").setLevel(logging.ERROR)  # it warns that signals are left to us
        if self.settings.ray_address is None:
            token = self.data_dir / ray_environment.TOKEN_FILE
            kept_secret(token)
            ray_environment.use_token(token)
            options |= {
                "address": "local",
                "include_dashboard": False,
                "num_cpus": max(2, os.cpu_count() or 2),
                "object_store_memory": 80 * 2**20,  # nothing of ours goes through it; this is Ray's smallest
                "_node_ip_address": "127.0.0.1",
                "resources": {RESOURCE: 1} if sound else {},
            }
        else:
            options["address"] = self.settings.ray_address
        try:
            ray.init(**options)
        except (ConnectionError, RuntimeError, ValueError) as failure:
            raise CannotServe(f"Ray cannot be used: {failure}") from failure
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if child.name() in ("gcs_server", "raylet"):
                    self._ray_pids[child.name()] = child.pid

    async def _own_cluster(self, dsn: str) -> cluster.Ownership:
        """The cluster is ours: a new incarnation, or that of the actors which outlived the last ``serve``."""
        connection = await connect(dsn, application_name="sangha serve")
        wanted = {kind: layout.text for kind, layout in layouts_of(self.settings).items()}
        try:
            if self.settings.ray_address is not None:
                known = await cluster.adopt_cluster(connection)
                if await self._alive(known) and await cluster.layouts(connection) == wanted:
                    return known
                await self._end_leftovers(known)
            ownership = await cluster.claim_cluster(connection, PREDECESSOR_WAIT_S)
            known_layouts = await cluster.layouts(connection)
            if known_layouts != wanted:
                if known_layouts:
                    log.info("the layout changed; every lease is raised")
                await cluster.raise_all_leases(connection, ownership.incarnation, wanted)
        except cluster.ClusterOwned as owned:
            raise CannotServe(str(owned)) from owned
        except (StoreDown, Fenced) as failure:
            raise CannotServe(f"the database cannot be used: {failure}") from failure
        finally:
            await connection.close()
        return ownership

    def _old_placement(self, known: cluster.Ownership) -> Placement:
        return Placement(known.cluster_id, {}, "", lambda _: object)

    async def _alive(self, known: cluster.Ownership) -> bool:
        try:
            await self._old_placement(known).call(ray_actors.COORDINATOR, "ping")
        except (Gone, NoAnswer, Restarting):
            return False
        return True

    async def _end_leftovers(self, known: cluster.Ownership) -> None:
        """Actors of a layout, or a coordinator, that is no more."""
        old = self._old_placement(known)
        names = await asyncio.to_thread(old.names)
        await asyncio.gather(*(old.kill(name, restart=False) for name in names))

    def _link_host(self) -> str | None:
        if self.settings.ray_address is None:
            return None
        import ray

        return str(ray.util.get_node_ip_address())

    async def _start_actors(self, path: Path) -> None:
        from server.host import build_placement

        assert self.deployment is not None
        self.placement = placement = build_placement(self.deployment, str(path))
        node = ray_actors.node_id()
        await asyncio.to_thread(placement.start_coordinator)
        for spec in placement.shards(AT_START):
            await asyncio.to_thread(placement.start_shard, spec)
        for index in range(self.settings.gateways):
            await asyncio.to_thread(placement.start_gateway, index, node)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await asyncio.gather(*(self._until_ready(f"gateway/{i}") for i in range(self.settings.gateways)))
        except TimeoutError as late:
            raise CannotServe(f"the actors did not start within {START_TIMEOUT_S:.0f} s; see the log") from late

    async def _until_ready(self, name: str) -> None:
        assert self.placement is not None
        while True:
            try:
                await self.placement.call(name, "ready", timeout_s=START_TIMEOUT_S)
            except (Restarting, NoAnswer):
                await asyncio.sleep(0.1)
            else:
                return

    # -- run ------------------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """For ever; raises RayLost."""
        assert self.placement is not None
        watcher = Watcher(self.placement, ray_actors.node_id(), time.monotonic)
        await asyncio.gather(self._watch_ray(), self._watch_coordinator(watcher), self._start_the_rest())

    async def _start_the_rest(self) -> None:
        """The kinds that nobody waits for at the start, so that nobody waits long for them later. Whoever needs one that
        could not be started now starts it; that Ray is gone is noticed by the others here."""
        from ray.exceptions import RayError

        assert self.placement is not None
        await asyncio.sleep(REST_AFTER_S)
        for spec in self.placement.shards(LATER):
            try:
                await asyncio.to_thread(self.placement.start_shard, spec)
            except (RayError, ConnectionError, RuntimeError) as failure:
                log.warning("%s was not started: %s", spec.name, failure)

    def _lost_process(self) -> str | None:
        return next((name for name, pid in self._ray_pids.items() if not _runs(pid)), None)

    async def ray_lost(self) -> str:
        """Returns the name of a process of Ray's when it is gone."""
        while (name := self._lost_process()) is None:  # noqa: ASYNC110 - a process that ends tells nobody but its parent
            await asyncio.sleep(WATCH_S)
        return name

    async def _watch_ray(self) -> None:
        raise RayLost(f"Ray's {await self.ray_lost()} is gone")

    async def _keep(self, postgres: EmbeddedPostgres) -> None:
        """Start it again whenever it ended, from the boot on and to the end of the drain."""
        while True:
            if not postgres.alive():
                log.error("the embedded Postgres died; it is started again")
                try:
                    await asyncio.to_thread(postgres.start)
                    log.info("the embedded Postgres is back")
                except (EmbeddedPostgresFailed, OSError):
                    log.exception("the embedded Postgres does not start")
            await asyncio.sleep(WATCH_S)

    def let_go(self) -> None:
        """Nobody keeps what is about to be ended."""
        if self._keeping is not None:
            self._keeping.cancel()

    async def _watch_coordinator(self, watcher: Watcher) -> None:
        while True:
            await watcher.probe_all([ray_actors.COORDINATOR])
            await asyncio.sleep(1.0)

    async def reload_tls(self) -> None:
        """New connections get the certificate that lies in the files now; where that is none, the old one."""
        if self.settings.tls_certificate is None or self.deployment is None or self.placement is None:
            log.info("there is no certificate to read again")
            return
        try:
            await asyncio.to_thread(self._keep_certificate, self.deployment.run_dir)
        except CannotServe as why:
            log.error("the old certificate stays: %s", why)  # noqa: TRY400 - the line says it all
            return
        names = await asyncio.to_thread(self.placement.names)
        gateways = [name for name in names if name.startswith("gateway/")]
        await asyncio.gather(*(self._reload_one(name) for name in gateways))
        log.info("new connections get the certificate of %s", self.settings.tls_certificate)

    async def _reload_one(self, name: str) -> None:
        assert self.placement is not None
        try:
            await self.placement.call(name, "reload_tls")
        except (NoAnswer, Restarting, Gone) as failure:
            log.warning("%s reads the new certificate when it is back: %s", name, failure)

    # -- end ------------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Stop accepting, tell the sockets to come back, finish and flush what is in flight, end everything."""
        if self.placement is None:
            return
        log.info("draining")
        names = await asyncio.to_thread(self.placement.names)
        gateways = [name for name in names if name.startswith("gateway/")]
        shards = [name for name in names if name not in gateways and name != ray_actors.COORDINATOR]
        for group in (gateways, shards):
            await asyncio.gather(*(self._drain_one(name) for name in group))
        for name in (ray_actors.COORDINATOR, *gateways, *shards):
            with contextlib.suppress(NoAnswer, Restarting):
                await self.placement.kill(name, restart=False)
        await self._release()
        log.info("drained")

    async def _drain_one(self, name: str) -> None:
        assert self.placement is not None
        try:
            await self.placement.call(name, "drain", timeout_s=self.settings.drain_s + 5)
        except (NoAnswer, Restarting, Gone) as failure:
            log.warning("%s did not drain: %s", name, failure)

    async def _release(self) -> None:
        assert self.deployment is not None
        try:
            connection = await connect(self.deployment.dsn, application_name="sangha serve")
            await cluster.release(connection, self.deployment.incarnation)
            await connection.close()
        except (StoreDown, UnusableDatabase) as failure:
            log.warning("the cluster was not given back: %s", failure)

    def close(self) -> None:
        """End what this process started, in reverse order."""
        import ray

        if ray.is_initialized():
            ray.shutdown()
        if self.postgres is not None:
            with contextlib.suppress(EmbeddedPostgresFailed, OSError):
                self.postgres.stop()
        with contextlib.suppress(OSError):
            RunningServer.file(self.data_dir).unlink()
        if self._collector is not None:
            self._collector.close()
        if self._directory is not None:
            self._directory.release()


def probe_port(host: str, port: int) -> int:
    """A port that nobody listens on; 0 chooses one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past TIME_WAIT; a listener still refuses it
        probe.bind((host, port))
        probe.listen(1)
        return int(probe.getsockname()[1])


def _resolved(path: Path | None) -> Path | None:
    """Actors live in another directory."""
    return None if path is None else path.resolve()


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def serve(settings: Settings, announce: Callable[[str], None]) -> int:
    """Boot, run until a signal, drain. SIGHUP reads the certificate again. Returns the exit code; raises CannotServe."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def signalled() -> None:
        if stop.is_set():
            _end_at_once(server)
        stop.set()

    reloading: set[asyncio.Task[None]] = set()

    def hung_up() -> None:
        task = loop.create_task(server.reload_tls())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    def listen_to_signals() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            loop.add_signal_handler(number, signalled)
        loop.add_signal_handler(signal.SIGHUP, hung_up)

    server = Server(settings, listen_to_signals)
    listen_to_signals()
    booting = asyncio.create_task(server.boot())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([booting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not booting.done():
            await asyncio.wait([booting])
        await booting
        if not stop.is_set():
            port = server.deployment.port if server.deployment else settings.port
            announce(f"ready {settings.scheme}://{shown(settings.host)}:{port}")
            watching = asyncio.create_task(server.watch())
            await asyncio.wait([watching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                await watching
            watching.cancel()
        await _drain_or_end(server)
    except RayLost as lost:
        log.critical("%s; this server ends, start it again", lost)
        _end_at_once(server, 3)
    finally:
        stopping.cancel()
        server.let_go()
        await asyncio.to_thread(server.close)
    return 0


async def _drain_or_end(server: Server) -> None:
    """Drain, unless Ray goes first (a signal to the whole process group ends it too): then there is nothing to wait for."""
    draining = asyncio.create_task(server.drain())
    losing = asyncio.create_task(server.ray_lost())
    await asyncio.wait(
        [draining, losing], return_when=asyncio.FIRST_COMPLETED, timeout=2 * server.settings.drain_s + 15
    )
    if not draining.done():
        log.error("Ray ended before the drain did; what was acknowledged is in the database")
        _end_at_once(server)
    losing.cancel()
    await draining


def _end_at_once(server: Server, code: int = 1) -> None:
    """Without ceremony: Ray's processes (ours only) are killed, Postgres is left for the next start to adopt."""
    sys.stderr.flush()
    if server.settings.ray_address is None:
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "postgres" not in child.name():
                    child.kill()
    os._exit(code)

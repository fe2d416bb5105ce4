"""A whole ``sangha serve`` under test: started, looked into, hit, and ended with everything that it started.

Nothing here is a hook in the server: it is run as a person runs it, and hit with signals as an operating system would.
What must never happen is that a process of a test outlives it: Ray's children and Postgres survive a killed ``serve``, so
every process that was ever seen below it is remembered, and what still runs is killed at the end.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from ssl import SSLContext
from types import TracebackType
from typing import Any, Self

import asyncpg
import httpx
import orjson
import psutil

from storage.embedded import EmbeddedPostgres

SANGHA = Path(sys.executable).with_name("sangha")
READY_S = 90.0
"""Ten times what a quiet machine takes: others run tests here too."""
DRAIN_S = 60.0
PORTS = (12_000, 32_000)
"""Below Linux's range for outgoing connections, which begins at 32,768."""
POLL_S = 0.02
LOG_LINES = 60

MEASURED: list[str] = []
"""What tests measured; printed at the end of the session."""


def measured(what: str, seconds: float) -> None:
    """Note a recovery time."""
    MEASURED.append(f"{what}: {seconds:.2f} s")


async def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """The first true value of a condition (a function or a coroutine function)."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:.0f} s: {what}")
        await asyncio.sleep(POLL_S)


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port that nobody listens on now; kept over restarts, so that clients find the server again.

    Not one of those that the kernel hands out to outgoing connections: it would, while the server is away.
    """
    while True:
        port = random.randrange(*PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class RunningServer:
    """One data directory, and the ``serve`` that runs on it, if one does. ``environment`` overrides settings."""

    verify: SSLContext | bool = True
    """What its certificate is held against, where it has one."""

    def __init__(self, *, data_dir: Path | None = None, port: int | None = None, **environment: str) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="sgf-"))  # short: sockets lie below it
        self.data_dir = data_dir or self.home / "data"
        self.port = free_port() if port is None else port
        self.environment = environment
        self.arguments = ["--guests", "--lab"]
        self.process: asyncio.subprocess.Process | None = None
        self._known: dict[int, psutil.Process] = {}
        self._starts = 0

    # -- its life -------------------------------------------------------------------------------------------------

    async def launch(self) -> None:
        """Start ``serve`` and do not wait for it."""
        self._starts += 1
        with self._log(self._starts).open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                SANGHA, "serve", "--port", str(self.port), "--data-dir", str(self.data_dir), *self.arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
                cwd=self.home, env=self._environment(), start_new_session=True,
            )  # fmt: skip

    async def start(self) -> float:
        """Start ``serve`` and wait until it is ready; how long that took."""
        began = time.monotonic()
        await self.launch()
        await self.ready()
        return time.monotonic() - began

    async def ready(self) -> None:
        """Wait for the line on standard output."""
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = (await self.process.stdout.readline()).decode()
        except TimeoutError:
            raise AssertionError(f"not ready within {READY_S:.0f} s\n{self.log_tail()}") from None
        if line.strip() != f"ready {self.url}":
            raise AssertionError(f"serve said {line!r}\n{self.log_tail()}")
        self.remember()

    async def exited(self, timeout_s: float = DRAIN_S) -> int:
        """The exit code, once it ended by itself."""
        assert self.process is not None
        try:
            async with asyncio.timeout(timeout_s):
                return await self.process.wait()
        except TimeoutError:
            raise AssertionError(f"serve did not end within {timeout_s:.0f} s\n{self.log_tail()}") from None

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self.hit("serve", signal.SIGTERM)
        return await self.exited()

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            print(self.log_tail())  # noqa: T201 - pytest shows it with the failure
        await self.end()

    async def end(self) -> None:
        """Kill whatever is left, first who would start others anew."""
        self.remember()
        first = [p for p in self._known.values() if self.process is not None and p.pid == self.process.pid]
        for process in [*first, *self._known.values(), *self._postgres_processes()]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process is not None:
            await self.process.wait()
            self.process._transport.close()  # type: ignore[attr-defined]  # or its pipe is closed by the collector
        await until(lambda: not self.left(), f"processes outlive SIGKILL: {self.left()}")
        shutil.rmtree(self.home, ignore_errors=True)

    # -- its processes --------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Every process below ``serve``, and below those known, now."""
        roots = list(self._known.values())
        if self.process is not None and self.process.returncode is None:
            with suppress(psutil.NoSuchProcess):
                roots.append(psutil.Process(self.process.pid))
        for root in roots:
            with suppress(psutil.NoSuchProcess):
                for process in (root, *root.children(recursive=True)):
                    self._known.setdefault(process.pid, process)

    def left(self) -> list[psutil.Process]:
        """Processes of this server that still run."""
        return [p for p in self._known.values() if p.is_running() and runs(p.pid)] + list(self._postgres_processes())

    def _postgres_processes(self) -> Iterator[psutil.Process]:
        if not self.data_dir.is_relative_to(self.home):
            return  # another server's data directory, and its Postgres
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.name() == "postgres" and Path(process.cwd()) == self.data_dir.resolve() / "postgres":
                    yield process

    async def status(self) -> dict[str, Any]:
        """What ``sangha status --json`` prints."""
        token = (self.data_dir / "admin.token").read_text().strip()
        async with httpx.AsyncClient(verify=self.verify) as http:
            answer = await http.get(
                f"{self.url}/api/admin/topology", headers={"Authorization": f"Bearer {token}"}, timeout=5
            )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def pid_of(self, name: str, *, other_than: int | None = None, timeout_s: float = 40.0) -> int:
        """The running process of ``serve``, ``postgres``, ``gcs``, ``raylet``, ``coordinator``, ``gateway/0``,
        ``space/0``; a successor where ``other_than`` is given."""

        async def running() -> int | None:
            pid = await self._pid(name)
            return pid if pid is not None and pid != other_than and runs(pid) else None

        pid = int(await until(running, f"a process for {name} other than {other_than}", timeout_s))
        self.remember()
        return pid

    async def _pid(self, name: str) -> int | None:
        assert self.process is not None
        if name == "serve":
            return self.process.pid
        if name in ("gcs", "raylet"):
            wanted = {"gcs": "gcs_server"}.get(name, name)
            return next((p.pid for p in psutil.Process(self.process.pid).children() if p.name() == wanted), None)
        if name == "postgres":
            file = self.data_dir / "postgres" / "postmaster.pid"
            return int(file.read_text().split()[0]) if file.exists() else None
        try:
            return _pid_in(await self.status(), name)
        except httpx.HTTPError:
            return None  # its gateway, or its coordinator, is on its way

    def hit(self, name_or_pid: str | int, number: signal.Signals) -> float:
        """Send a signal (to ``serve`` by name, to others by pid); when."""
        assert self.process is not None
        self.remember()
        now = time.monotonic()
        os.kill(self.process.pid if isinstance(name_or_pid, str) else name_or_pid, number)
        return now

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> tuple[int, float]:
        """Send a signal to a process of ours by its name: its pid, and when."""
        pid = await self.pid_of(name)
        return pid, self.hit(pid, number)

    # -- what it keeps --------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its HTTP root."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """Its database."""
        return self.environment.get("DATABASE_URL") or EmbeddedPostgres(self.data_dir).dsn

    async def connect(self) -> asyncpg.Connection:
        """A connection to its database, ours alone."""
        return await asyncpg.connect(self.dsn)

    def log(self) -> str:
        """All that ``serve`` wrote to standard error since it was started last."""
        return self._log(self._starts).read_text(errors="replace")

    def messages(self) -> list[dict[str, Any]]:
        """The log's lines as objects."""
        return [orjson.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def log_tail(self) -> str:
        """The end of the log, and of Postgres's."""
        tail = [line for line in self.log().splitlines() if ' ok","request_id"' not in line][-LOG_LINES:]
        with suppress(FileNotFoundError):
            tail += (self.data_dir / "postgres.log").read_text(errors="replace").splitlines()[-10:]
        return "\n".join(tail)

    def _log(self, start: int) -> Path:
        return self.home / f"serve-{start}.log"

    def _environment(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SANGHA_", "RAY_", "DATABASE_URL"))}
        ray = self.home / "ray"
        ray.mkdir(exist_ok=True)
        return inherited | {"RAY_TMPDIR": str(ray)} | self.environment


def _pid_in(status: dict[str, Any], name: str) -> int | None:
    if name == "coordinator":
        return int(status["server"]["coordinator_pid"])
    kind, _, index = name.partition("/")
    if kind == "gateway":
        found = status["gateways"]
        return int(found[int(index)]["pid"]) if len(found) > int(index) else None
    return next((int(s["pid"]) for s in status["shards"] if s["kind"] == kind and str(s["index"]) == index), None)

"""Two Ray nodes on this machine, started as the README says: shards on both, clients that meet over TCP links, a lost node."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from harness import RunningServer, runs, until
from readme import blocks_of

from server.client import Client, Stream

pytestmark = pytest.mark.timeout(400)

STARTED_S = 120.0
"""Ray starts in four seconds on a quiet machine; others run tests here too."""
RAY = Path(sys.executable).with_name("ray")
COMMANDS = [line for block in blocks_of("A Ray cluster", "sh") for line in block.text.splitlines()]


class RayNode:
    """``ray start … --block``: one node of a cluster, ended with everything that it started."""

    def __init__(self, home: Path, name: str, command: str, environment: dict[str, str]) -> None:
        self.log = home / f"{name}.log"
        arguments = [*shlex.split(command)[1:], "--num-cpus", "2", "--object-store-memory", str(80 * 2**20), "--block"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [RAY, *arguments], stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self._known: dict[int, psutil.Process] = {}

    async def started(self) -> str:
        """What it said, once it runs."""
        await until(
            lambda: "block forever" in self.log.read_text() or self.process.poll() is not None, "ray", STARTED_S
        )
        text = self.log.read_text()
        assert self.process.poll() is None, text
        self.remember()
        return text

    def remember(self) -> None:
        """Every process below it, now."""
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                self._known.setdefault(process.pid, process)

    def raylet(self) -> psutil.Process:
        """Its raylet."""
        return next(p for p in self._known.values() if p.name() == "raylet")

    async def stop(self) -> None:
        """SIGTERM, as an operator would; SIGKILL for what then still runs."""
        self.remember()
        if self.process.poll() is None:
            self.process.terminate()
        with suppress(TimeoutError):
            await until(lambda: self.process.poll() is not None and not self.left(), "the node's end", 20)
        for process in self.left():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()

    def left(self) -> list[psutil.Process]:
        """Processes of this node that still run."""
        return [p for p in self._known.values() if p.is_running() and runs(p.pid)]


class Cluster:
    """Two nodes and a ``serve`` on them."""

    def __init__(self, nodes: list[RayNode], server: RunningServer, start: Callable[[str], RayNode]) -> None:
        self.nodes, self.server, self._start = nodes, server, start

    async def joined_by(self, name: str) -> str:
        """One more node with a sound device; its id."""
        before = {node["id"] for node in (await self.server.status())["nodes"]}
        self.nodes.append(node := self._start(name))
        await node.started()

        async def known() -> str | None:
            nodes = (await self.server.status())["nodes"]
            return next((node["id"] for node in nodes if node["alive"] and node["id"] not in before), None)

        return str(await until(known, f"{name} among the nodes", 60))

    async def settled(self) -> dict[str, Any]:
        """The topology, once all four spaces' shards and the gateway have told where they are."""

        async def known() -> dict[str, Any] | None:
            status = await self.server.status()
            spaces = [s for s in status["shards"] if s["kind"] == "space" and s["epoch"] > 0]
            return status if len(spaces) == 4 and status["gateways"] and status["gateways"][0]["port"] else None

        found: dict[str, Any] = await until(known, "four shards of spaces", 60)
        for node in self.nodes:
            node.remember()
        return found

    async def node_of(self, space: str) -> str:
        """The node of a space, as ``sangha status --entity`` says."""
        command = [
            Path(sys.executable).with_name("sangha"), "status", "--entity", f"space:{space}",
            "--data-dir", str(self.server.data_dir),
        ]  # fmt: skip

        async def told() -> str | None:
            said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            found = re.search(r'"node":"(\w+)"', said.stdout)
            return found and found[1]  # right after a node's end the command may say that nobody answered in time

        return str(await until(told, f"the node of {space}", 60))

    async def is_on(self, space: str, node: str) -> bool:
        """Whether the coordinator has seen a space there."""
        return await self.node_of(space) == node

    async def spaces(self, client: Client) -> dict[str, str]:
        """A new open space on each node, by node."""
        found: dict[str, str] = {}
        for n in range(40):
            space = await client.create_space(f"Space {n}", purpose="to meet", access_level="open")
            found.setdefault(await self.node_of(space["id"]), space["id"])
            if len(found) == 2:
                return found
        raise AssertionError(f"forty spaces are all on {found}")


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    home = Path(tempfile.mkdtemp(prefix="sgr-"))  # short: Ray's sockets lie below it
    token = home / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    auth = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    health = {f"RAY_health_check_{name}_ms": "1000" for name in ("initial_delay", "period", "timeout")}
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SANGHA_", "RAY_"))}
    environment = (
        inherited | auth | health | {"RAY_health_check_failure_threshold": "3", "RAY_USAGE_STATS_ENABLED": "0"}
    )
    head_command, worker_command = (line for line in COMMANDS if line.startswith("ray start"))
    assert any("sangha serve --ray-address" in line for line in COMMANDS)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        head = RayNode(home, "head", head_command.replace("6379", "0") + f" --temp-dir {home / 'ray'}", environment)
        stack.push_async_callback(head.stop)
        address = re.search(r"--address='([\d.]+:\d+)'", await head.started())
        assert address is not None
        joins = re.sub(r"\S+:6379", address[1], worker_command)

        def start(name: str) -> RayNode:
            node = RayNode(home, name, f"""{joins} --resources '{{"sangha_audio": 1}}'""", environment)
            stack.push_async_callback(node.stop)
            return node

        second = start("second")
        await second.started()
        server = RunningServer(SANGHA_PLACEMENT_SPACE="shared:4", SANGHA_LOCAL_USER="1", **auth)
        server.arguments += ["--ray-address", address[1]]
        async with server:
            yield (made := Cluster([head, second], server, start))
    left = [process for node in made.nodes for process in node.left()]
    assert not left, f"processes outlive their node: {left}"


async def sounds_on(server: RunningServer) -> str:
    """The node of the sound device's actor, once it has told where it is."""

    async def told() -> str | None:
        try:
            status = await server.status()
        except httpx.HTTPStatusError:
            return None  # its coordinator is busy
        alive = {node["id"] for node in status["nodes"] if node["alive"]}
        return next((s["node"] for s in status["shards"] if s["kind"] == "audio" and s["node"] in alive), None)

    return str(await until(told, "the sound device's actor", 90))


async def plays_on(server: RunningServer, node: str) -> bool:
    """Whether the sound device's actor is there."""
    return await sounds_on(server) == node


async def meet(ana: Client, bo: Client, spaces: list[str], stack: AsyncExitStack) -> list[tuple[Stream, Stream]]:
    """Both join every space."""
    return [
        (await stack.enter_async_context(ana.join(space)), await stack.enter_async_context(bo.join(space)))
        for space in spaces
    ]


async def heard(stream: Stream, offset: int) -> Any:
    """The body of the event with this offset."""
    async with asyncio.timeout(60):
        async for event in stream:
            if event.offset == offset:
                return event.body
    raise AssertionError("the stream ended")


async def test_shards_stand_on_both_nodes_and_clients_meet_in_spaces_on_both(cluster: Cluster) -> None:
    server = cluster.server
    status = await cluster.settled()
    assert len([node for node in status["nodes"] if node["alive"]]) == 2
    homes = [shard["node"] for shard in status["shards"] if shard["kind"] == "space"]
    assert sorted(homes.count(node["id"]) for node in status["nodes"]) == [2, 2]

    gateway = status["gateways"][0]
    apart = [shard for shard in status["shards"] if shard["node"] != gateway["node"]]
    reached = {c.raddr.port for c in psutil.Process(gateway["pid"]).net_connections("tcp") if c.raddr}
    for shard in apart:
        listening = {
            c.laddr.port for c in psutil.Process(shard["pid"]).net_connections("tcp") if c.status == psutil.CONN_LISTEN
        }
        assert listening & reached, f"no TCP link to {shard}"

    async with Client(server.url, guest="Ana") as ana, Client(server.url, guest="Bo") as bo, AsyncExitStack() as stack:
        spaces = await cluster.spaces(ana)
        for hers, his in await meet(ana, bo, list(spaces.values()), stack):
            assert await heard(his, await hers.send({"text": "good morning"})) == {"text": "good morning"}
            assert await heard(hers, await his.send({"text": "and to you"})) == {"text": "and to you"}

    pids = [one["pid"] for one in status["shards"] + status["gateways"]] + [status["server"]["coordinator_pid"]]
    assert await server.stop() == 0
    await until(lambda: not [pid for pid in pids if runs(pid)], "the end of all actors after serve's drain", 60)


async def test_what_was_acknowledged_on_a_lost_node_is_there_on_the_other(cluster: Cluster) -> None:
    server = cluster.server
    status = await cluster.settled()
    second = cluster.nodes[1]
    async with Client(server.url, guest="Ana") as ana, Client(server.url, guest="Bo") as bo, AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(base_url=f"{server.url}/api/v1", timeout=60))
        session = {"name": "on a node", "intention": "peace", "duration": 600, "hardware_enabled": True}
        made = (await http.post("/sessions/create", json=session)).json()["session_id"]
        assert (await http.post(f"/sessions/{made}/start")).status_code == 200
        assert await sounds_on(server) != status["gateways"][0]["node"], "it is where a node says that it has sound"
        spaces = await cluster.spaces(ana)
        streams = await meet(ana, bo, list(spaces.values()), stack)
        for hers, _ in streams:
            await hers.send("before")
        lost = second.raylet()
        assert status["gateways"][0]["pid"] not in [p.pid for p in lost.children(recursive=True)]
        began = time.monotonic()
        lost.send_signal(signal.SIGKILL)
        for hers, his in streams:
            async with asyncio.timeout(90):
                assert await heard(his, await hers.send("after")) == "after"
        assert time.monotonic() - began < 90
        for space in spaces.values():
            events = [event async for event in ana.history(f"space:{space}")]
            assert [event["offset"] for event in events] == list(range(1, len(events) + 1))
            assert [event["body"] for event in events if event["event"] == "message"] == ["before", "after"]
        left = status["gateways"][0]["node"]
        for space in spaces.values():
            await until(partial(cluster.is_on, space, left), f"{space} on the node that is left", 60)
        await until(
            partial(plays_on, server, left), "the sound device's actor there: what plays wakes it, nobody asked", 60
        )
        device = (await http.get("/audio/status")).json()["device"]
        assert (device["present"], len(device["voices"])) == (False, 1), device
        third = await cluster.joined_by("third")
        await until(partial(plays_on, server, third), "the sound device's actor where a device came to be", 90)
        device = (await http.get("/audio/status")).json()["device"]
        assert len(device["voices"]) == 1, device
    assert await server.stop() == 0

"""``sangha status`` names every process, and names it rightly: it is how anybody finds out whom to kill."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import psutil
from harness import SANGHA, RunningServer


async def said(server: RunningServer, *arguments: str) -> Any:
    """What ``sangha status`` prints."""
    process = await asyncio.create_subprocess_exec(
        SANGHA,
        "status",
        *arguments,
        "--data-dir",
        str(server.data_dir),
        stdout=asyncio.subprocess.PIPE,
        cwd=server.home,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return orjson.loads(output)


async def test_status_names_every_process() -> None:
    async with RunningServer(SANGHA_GATEWAYS="2", SANGHA_PLACEMENT_SPACE="shared:2") as server:
        later = ("ritual/0", "sandbox/0", "sandbox/1", "oracle/0")
        for name in ("practitioner/0", "space/0", "space/1", "gateway/0", "gateway/1", *later):
            assert "ray::" in psutil.Process(await server.pid_of(name)).name()
        status = await said(server, "--json")
        assert status["server"]["state"] == "ready"
        assert status["server"]["pid"] == await server.pid_of("serve")
        assert status["server"]["gcs_pid"] == await server.pid_of("gcs")
        assert status["database"]["pid"] == await server.pid_of("postgres")
        assert status["database"]["embedded"] is True
        assert [node["raylet_pid"] for node in status["nodes"]] == [await server.pid_of("raylet")]
        assert "Coordinator" in psutil.Process(status["server"]["coordinator_pid"]).name()
        assert len({gateway["pid"] for gateway in status["gateways"]}) == 2
        named = [(shard["kind"], shard["index"]) for shard in status["shards"]]
        assert sorted(f"{kind}/{index}" for kind, index in named) == sorted(
            ["practitioner/0", "space/0", "space/1", *later]
        )
        entity = "726891c0-c30b-5425-bcc1-2207ef5a3d7a"
        shard = await said(server, "--entity", f"space:{entity}")
        assert shard["pid"] == await server.pid_of(f"space/{shard['index']}")
        assert await server.stop() == 0

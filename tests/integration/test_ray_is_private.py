"""A server with a Ray of its own listens on loopback only, and its Ray lets nobody in who has not its token."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator

import psutil
import pytest
import pytest_asyncio
from harness import RunningServer

from server.ray_environment import ON_LOOPBACK

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTACH = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level='ERROR'); print('in')"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


def listeners(root: int) -> Iterator[tuple[str, str, int]]:
    for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
        for connection in process.net_connections():
            if connection.status == psutil.CONN_LISTEN:
                yield process.name(), connection.laddr.ip, connection.laddr.port


def is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


async def attaches(address: str, timeout_s: float, **environment: str) -> bool:
    """Whether a process gets into the cluster. Ray tries for minutes with a wrong token; a right one takes a second."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ATTACH, address, env=clean | environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return out == b"in\n"


async def test_all_listens_on_loopback_and_strangers_are_not_let_in(server: RunningServer) -> None:
    assert server.process is not None
    found = list(listeners(server.process.pid))
    assert {name for name, _, _ in found} >= {"gcs_server", "raylet"}
    assert [one for one in found if not is_loopback(one[1])] == []
    address = next(f"127.0.0.1:{port}" for name, _, port in found if name == "gcs_server")
    home = server.home / "stranger"
    home.mkdir()
    here = {"HOME": str(home), **ON_LOOPBACK}
    began = time.monotonic()
    assert await attaches(address, 60, RAY_AUTH_TOKEN_PATH=str(server.data_dir / "ray.token"), **here)
    enough_s = 4 * (time.monotonic() - began)
    strangers = ({"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"})
    let_in = await asyncio.gather(*(attaches(address, enough_s, **(here | each)) for each in strangers))
    assert let_in == [False, False]


async def test_secrets_are_their_owners_alone_and_no_argument_or_environment_shows_them(server: RunningServer) -> None:
    assert server.process is not None
    secrets = []
    for path in (*server.data_dir.glob("*.token"), *server.data_dir.glob("*.secret")):
        assert path.stat().st_mode & 0o077 == 0, path
        secrets.append(path.read_text().strip())
    assert len(secrets) == 3
    for process in psutil.Process(server.process.pid).children(recursive=True):
        shown = " ".join(process.cmdline()) + " ".join(process.environ().values())
        assert not [secret for secret in secrets if secret in shown], process

"""What a person can put right is one line and exit code 2, and leaves a running server as it was."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from harness import RunningServer
from harness_load import Load

from server.client import login, register


async def refused(server: RunningServer) -> str:
    """Launch a server that must not start: the one line that it says."""
    try:
        await server.launch()
        assert server.process is not None
        assert server.process.stdout is not None
        said = (await server.process.stdout.read()).decode()
        assert await server.exited() == 2, server.log_tail()
        lines = [line for line in server.log().splitlines() if not line.startswith("{")]
        own = [line for line in lines if line.startswith("sangha: ") and "LAB MODE" not in line]
        assert said == ""
        assert "Traceback" not in server.log()
        assert len(own) == 1, server.log_tail()
        return own[0]
    finally:
        await server.end()


async def test_a_second_server_is_refused_and_the_first_goes_on() -> None:
    """On the data directory, on the database, on the port: all at once."""
    async with RunningServer() as server, Load(server) as load:
        same_directory = RunningServer(data_dir=server.data_dir)
        same_database = RunningServer(DATABASE_URL=server.dsn)
        same_port = RunningServer(port=server.port)
        directory, database, port = await asyncio.gather(
            refused(same_directory), refused(same_database), refused(same_port)
        )
        assert f"in use by process {await server.pid_of('serve')}" in directory
        assert "another sangha serve is running on this database" in database
        assert f"127.0.0.1:{server.port}" in port
        await load.check()
        assert await server.stop() == 0


async def test_a_database_that_is_sealed_with_another_key_is_refused_and_opens_with_the_right_one() -> None:
    async with RunningServer(SACRED_ENCRYPTION_KEY="11" * 32) as server:
        await register(server.url, "maya@example.org", "a long password")
        assert await server.stop() == 0
        for keys in ({"SACRED_ENCRYPTION_KEY": "22" * 32}, {}):
            stranger = RunningServer(data_dir=server.data_dir, **keys)
            assert "sealed with another SACRED_ENCRYPTION_KEY" in await refused(stranger)
        server.environment = {"SACRED_ENCRYPTION_KEY": "22" * 32, "SANGHA_OLD_ENCRYPTION_KEYS": "11" * 32}
        await server.start()
        assert (await login(server.url, "maya@example.org", "a long password"))["practitioner"]["email"]


async def test_an_unreachable_database_is_refused() -> None:
    said = await refused(RunningServer(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing"))
    assert "database" in said


async def test_a_database_that_nobody_answers_for_is_refused() -> None:
    """A listener that accepts and says nothing, as a half-dead host does."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        said = await refused(RunningServer(DATABASE_URL=f"postgresql://nobody@127.0.0.1:{port}/nothing"))
    assert "database" in said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("SANGHA_PLACEMENT_SPACE", "shared:0", "placement_space"),
        ("SANGHA_GATEWAYS", "none", "gateways"),
        ("DATABASE_URL", "sqlite:///x.db", "sqlite is not supported"),
        ("SACRED_ENCRYPTION_KEY", "abc", "64 hex digits"),
        ("SANGHA_PLACEMENT_SPACE", "shared:4000", "database connections"),
    ],
)
async def test_a_bad_setting_is_refused(name: str, value: str, says: str) -> None:
    assert says in await refused(RunningServer(**{name: value}))


async def test_a_data_directory_that_cannot_be_used_is_refused() -> None:
    said = await refused(RunningServer(data_dir=Path("/proc/nowhere")))
    assert "data directory" in said


async def test_traces_without_their_packages_are_refused_with_the_command_that_installs_them(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()  # stands before the installed one, and has nothing in it
    said = await refused(RunningServer(SANGHA_TRACES_URL="http://127.0.0.1:4318", PYTHONPATH=str(tmp_path)))
    assert "pip install 'sangha[traces]'" in said

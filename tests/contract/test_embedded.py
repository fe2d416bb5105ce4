"""The embedded server, through every state it can be left in."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from storage.datadir import DataDirectory, DataDirectoryInUse
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresFailed
from storage.pool import connect


@pytest.fixture
def server(data_dir: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(data_dir / "data")
    yield server
    server.stop()


async def ask(dsn: str, sql: str) -> object:
    connection = await connect(dsn, application_name="test")
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def answers(server: EmbeddedPostgres) -> bool:
    return asyncio.run(ask(server.dsn, "SELECT 1")) == 1


def test_it_is_made_stopped_and_started_again(server: EmbeddedPostgres) -> None:
    assert not server.alive()
    server.start()
    server.start()
    assert answers(server)
    assert asyncio.run(ask(server.dsn, "SHOW fsync")) == "on"
    assert asyncio.run(ask(server.dsn, "SHOW max_connections")) == "200"
    assert asyncio.run(ask(server.dsn, "SHOW listen_addresses")) == ""
    server.stop()
    assert server.pid is None
    server.start()
    assert answers(server)


def test_only_its_owner_can_reach_the_socket(server: EmbeddedPostgres) -> None:
    server.start()
    assert stat.S_IMODE(server.cluster_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((server.cluster_dir / ".s.PGSQL.5432").stat().st_mode) == 0o700


def test_it_starts_again_after_a_kill(server: EmbeddedPostgres) -> None:
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)], timeout=5)
    assert not server.alive()
    server.start()
    assert server.pid != pid
    assert answers(server)


def test_it_ends_when_a_backend_crashed_and_starts_again(server: EmbeddedPostgres) -> None:
    """Whoever watches it hears of a crash that way; what was committed is there."""
    server.start()
    postmaster = psutil.Process(server.pid)
    asyncio.run(ask(server.dsn, "CREATE TABLE kept AS SELECT 1 AS one"))
    next(child for child in postmaster.children() if "checkpointer" in " ".join(child.cmdline())).kill()
    psutil.wait_procs([postmaster], timeout=20)
    assert not server.alive()
    server.start()
    assert asyncio.run(ask(server.dsn, "SELECT one FROM kept")) == 1


def test_a_start_that_is_under_way_gives_up_when_it_is_stopped(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would take the end of what it waits for for a crash, and start another that nobody stops."""
    looked = threading.Event()
    monkeypatch.setattr(server, "_ready", lambda: looked.set())  # a recovery that takes long
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(server.start)
        assert looked.wait(20)
        server.stop()
        with pytest.raises(EmbeddedPostgresFailed, match="stopped while it starts"):
            starting.result()
    assert server.pid is None
    assert not (server.cluster_dir / "postmaster.pid").exists()


def test_one_left_by_a_killed_owner_is_adopted(server: EmbeddedPostgres) -> None:
    code = (
        "import os, sys; from pathlib import Path; from storage.embedded import EmbeddedPostgres\n"
        "s = EmbeddedPostgres(Path(sys.argv[1])); s.start(); print(s.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    owner = subprocess.run(
        [sys.executable, "-c", code, str(server.data_dir)], stdout=subprocess.PIPE, check=False, timeout=60
    )
    assert owner.returncode == -signal.SIGKILL
    server.start()
    assert server.pid == int(owner.stdout)
    assert answers(server)


def test_a_lock_file_that_names_a_stranger_does_not_stop_it(server: EmbeddedPostgres) -> None:
    server.start()
    lines = (server.cluster_dir / "postmaster.pid").read_text().splitlines()
    server.stop()
    lines[0] = str(os.getpid())
    (server.cluster_dir / "postmaster.pid").write_text("\n".join(lines))
    server.start()
    assert answers(server)


def test_a_path_too_long_for_a_socket_moves_the_socket(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir / ("x" * 100))
    server.start()
    try:
        assert answers(server)
        socket_dir = Path(str(asyncio.run(ask(server.dsn, "SHOW unix_socket_directories"))))
        assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    finally:
        server.stop()
    assert not socket_dir.exists()


def test_a_half_made_cluster_is_made_anew(server: EmbeddedPostgres) -> None:
    half = server.data_dir / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    server.start()
    assert answers(server)


def test_another_versions_cluster_is_refused(server: EmbeddedPostgres) -> None:
    server.cluster_dir.mkdir(parents=True)
    (server.cluster_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresFailed, match="16"):
        server.start()


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    with (server.cluster_dir / "postgresql.conf").open("a") as conf:
        conf.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresFailed, match="no_such_setting"):
        server.start()
    assert not server.alive()


def test_a_data_directory_has_one_owner(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "data") as first:
        with pytest.raises(DataDirectoryInUse, match=str(os.getpid())):
            DataDirectory(tmp_path / "data").acquire(wait_s=0.06)
        assert (first.path / "owner.lock").exists()
    with DataDirectory(tmp_path / "data"):
        pass


def test_a_killed_owner_lets_the_data_directory_go(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from storage.datadir import DataDirectory\n"
        "DataDirectory(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    DataDirectory(tmp_path).acquire().release()

"""A full disk: callers are told to try again, what was acknowledged stays, and with room it works again.

The database lies on a tmpfs of its own, which takes root. First it can extend no table, which is an error like another;
then it needs a new segment of its log, which is a PANIC: all its processes end, and it cannot even recover until there is room.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import httpx
import pytest
from harness import RunningServer, measured, until
from harness_load import Load
from shards import Follower, operation, person, rig, within

from actors.space import commands as space
from server.client import register
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresFailed
from storage.migrate import migrate
from storage.pool import connect

DISK_MB = 200
BODY = b'"' + b"x" * 8_000 + b'"'


class Disk:
    """A small file system and what fills it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ballast = root / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        block = b"\0" * 2**20
        with self._ballast.open("ab", buffering=0) as file:
            while block:
                try:
                    file.write(block)
                except OSError:
                    block = block[: len(block) // 2]

    def free(self) -> None:
        """Make room again."""
        self._ballast.unlink()


@contextmanager
def small_disk() -> Iterator[Disk]:
    root = Path(tempfile.mkdtemp(prefix="sgd-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=0755", "tmpfs", root],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if mounted.returncode:
        root.rmdir()
        pytest.fail(f"this test mounts a tmpfs, as root with CAP_SYS_ADMIN (uid {os.geteuid()}): {mounted.stderr}")
    try:
        yield Disk(root)
    finally:
        subprocess.run(["umount", "-l", root], check=True)
        shutil.rmtree(root)


async def panic(dsn: str) -> None:
    """Make the server need new segments of its log until it has no room for one. Its own words find no room either."""
    connection = await asyncpg.connect(dsn, timeout=10)
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        while True:
            await connection.execute("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 100000))")
            await connection.execute("SELECT pg_switch_wal()")
    assert connection.is_closed(), "an error and no PANIC"


async def ready(postgres: EmbeddedPostgres) -> None:
    """Start it where it ended, as ``serve`` does, and wait until it takes connections."""

    async def answers() -> bool:
        with suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(postgres.dsn, timeout=5)
            await connection.close()
            return True
        return False

    await asyncio.to_thread(postgres.start)
    await until(answers, "the database is back", 60)


@pytest.mark.timeout(240)
async def test_a_shard_outlives_a_full_disk_and_the_panic_of_its_database() -> None:
    with small_disk() as disk:
        postgres = EmbeddedPostgres(disk.root / "data")
        await asyncio.to_thread(postgres.start)
        try:
            await migrate(postgres.dsn)
            # What is checked at the end is checked over a connection that has not seen the PANIC.
            async with rig(postgres.dsn, postgres.dsn) as on:
                ana = person(1)
                hall = "20000000-0000-4000-8000-000000000000"
                n = 0

                def ask(command: space.SpaceCommand, by: Follower = on.follower):  # type: ignore[no-untyped-def]
                    nonlocal n
                    n += 1
                    return by.ask(hall, command, operation(ana, n), ana)

                sent = [ask(space.CreateSpace(name="s", purpose="p", access_level="open")), ask(space.Join())]
                sent += [ask(space.SendMessage(body=BODY)) for _ in range(10)]
                for one in sent:
                    await within(one.answer)
                impatient = Follower(on.shard, "impatient", retries=False)

                disk.fill()
                refused = []
                while len(refused) < 3:  # there is a little room in pages that are already there
                    one = ask(space.SendMessage(body=BODY), impatient)
                    await within(asyncio.wait([one.answer]))
                    (refused if one.refusals else sent).append(one)
                    assert one.refusals in ([], ["storage_unavailable"])
                disk.free()
                for one in refused:  # changed nothing: the same operation is decided afresh
                    again = on.follower.repeat(one)
                    await within(again.answer)
                    sent.append(again)
                await on.check(hall, sent)

                disk.fill()
                under_way = [ask(space.SendMessage(body=BODY)) for _ in range(10)]
                await panic(postgres.dsn)
                await until(lambda: not postgres.alive(), "the postmaster ends")
                with pytest.raises(EmbeddedPostgresFailed):  # recovery finds no room either
                    await asyncio.to_thread(postgres.start)
                under_way += [ask(space.SendMessage(body=BODY)) for _ in range(10)]
                disk.free()
                await ready(postgres)
                for one in under_way:
                    await within(one.answer)
                await on.admin.close()
                on.admin = await connect(postgres.dsn, application_name="test")
                await on.check(hall, sent + under_way)
        finally:
            await asyncio.to_thread(postgres.stop)


@pytest.mark.timeout(300)
async def test_a_server_whose_disk_is_full_says_so_loses_nothing_and_goes_on_with_room() -> None:
    with small_disk() as disk:
        async with RunningServer(data_dir=disk.root / "data") as server, Load(server) as load:
            await load.recovered(time.monotonic())
            made = await register(server.url, "full@example.org", "a long enough password")
            disk.fill()
            assert await refused(server.url, made["token"]) == "storage_unavailable"
            # Its database can neither grow nor go on; serve starts it again and again, for as long as there is no room.
            await panic(server.dsn)
            await until(lambda: "the embedded Postgres does not start" in server.log(), "a start without room")
            assert await refused(server.url, made["token"]) == "storage_unavailable"
            disk.free()
            measured("a full disk: answered after there was room", await load.recovered(time.monotonic()))
            await load.check()


async def refused(url: str, token: str) -> str:
    """Change an account's state until the server refuses that; its code.

    Each state is another: an unchanged one is stored nowhere, and there may be a little room in pages that are there.
    """
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        while True:
            state = {"symbols": [secrets.token_hex(40) for _ in range(50)]}
            reply = await http.put("/api/users/archetypal_state", json=state)
            if reply.status_code != 200:
                assert reply.status_code == 503, reply.text
                assert reply.headers["Retry-After"]
                return str(reply.json()["code"])

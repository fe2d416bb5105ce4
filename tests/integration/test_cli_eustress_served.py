"""``sangha eustress`` on a running server: a scene in, figures, an epoch out, changes as they come; and every way to say no."""

from __future__ import annotations

import asyncio
import gzip
import os
import signal
from pathlib import Path

import orjson
from harness import SANGHA, RunningServer

ENTITIES = [{"id": f"e{n}", "class_type": "Particle", "position": [n, 2.0, 3.0]} for n in range(50)]
TREE = [{"source_id": "e0", "target_id": f"e{n}", "connection_type": "hierarchy"} for n in range(1, 50)]
SCENE = b"".join(orjson.dumps(each) + b"\n" for each in (*ENTITIES, *TREE))
ODD = {"source_id": "e1", "target_id": "nobody", "connection_type": "bond"}


class Shell:
    """The command line beside a server."""

    def __init__(self, server: RunningServer, home: Path) -> None:
        self._there = ("--data-dir", str(server.data_dir))
        self._home = home
        self.token: str | None = None

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SANGHA_")}
        environment |= {} if self.token is None else {"SANGHA_TOKEN": self.token}
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(SANGHA, *words, *self._there),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            cwd=self._home,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # what a shell runs beside it ignores it
        )

    async def __call__(self, *words: str, code: int = 0, given: bytes = b"") -> tuple[str, str]:
        """What a command prints: on standard output, and on standard error."""
        process = await self.start(*words)
        out, err = await asyncio.wait_for(process.communicate(given), 60)
        assert process.returncode == code, (words, err.decode())
        return out.decode(), err.decode()


async def test_a_scene_goes_in_is_seen_and_comes_out_as_an_epoch(tmp_path: Path) -> None:
    files = {"scene.ndjson": SCENE, "scene.gz": gzip.compress(SCENE), "odd": orjson.dumps(ODD)}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    async with RunningServer() as server:
        shell = Shell(server, tmp_path)
        refused, made = await asyncio.gather(
            shell("eustress", "ingest", "scene.ndjson", "--space", "s", code=2), shell("token", "--service", "eustress")
        )
        assert "sangha token --service eustress" in refused[1]
        shell.token = made[0].strip()
        await scenes_in(shell)
        await figures(shell)
        await changes(shell)
        await epochs_out(shell, tmp_path)


async def scenes_in(shell: Shell) -> None:
    first, both = await asyncio.gather(
        shell("eustress", "ingest", "scene.ndjson", "--space", "a b/c"),
        shell("eustress", "ingest", "scene.gz", "-", "--space", "s", "--json", given=SCENE),
    )
    assert "scene.ndjson: 99 lines committed" in first[0]
    assert [(each["file"], each["committed"]) for each in orjson.loads(both[0])] == [("scene.gz", 99), ("-", 99)]
    again, odd = await asyncio.gather(
        shell("eustress", "ingest", "scene.ndjson", "--space", "a b/c"),
        shell("eustress", "ingest", "odd", "--space", "s"),
    )
    assert "0 lines committed (0 bytes), 99 were before" in again[0]
    assert "odd: 1 line committed" in odd[0]
    assert "1 warning:\n    1 × such as line 1: " in odd[1]
    wrong, none = await asyncio.gather(
        shell("eustress", "ingest", "-", "--space", "s", code=1, given=b'{"id":"y","position":[1e308,0,0]}\n'),
        shell("eustress", "ingest", "-", "--space", "s", code=1, given=b'{"id":"x"}\nhello\n'),
    )
    assert wrong[1].startswith("sangha: -: line 1")
    assert none[1].startswith("sangha: -, line 2: no JSON object")


async def figures(shell: Shell) -> None:
    everything, one, other = await asyncio.gather(
        shell("eustress", "stats", "--json"),
        shell("eustress", "stats", "--space", "s"),
        shell("eustress", "stats", "--space", "t", code=1),
    )
    told = orjson.loads(everything[0])
    assert {row["space_name"]: row["entity_count"] for row in told["spaces"]} == {"a b/c": 50, "s": 51}
    assert told["lake"]["total_spaces"] == 2
    assert "waiting" in one[0]
    for _ in range(20):
        status = await shell("status")
        if "\neustress/a b/c  " in status[0]:  # a process that is busy may miss a ping, and with it a look
            break
    assert "\neustress/a b/c  " in status[0]
    assert "no Eustress space" in other[1]


async def changes(shell: Shell) -> None:
    watching = await shell.start("eustress", "watch", "s")
    assert watching.stdout is not None
    async with asyncio.timeout(60):
        assert b"51 entities" in await watching.stdout.readline()
        await shell("eustress", "ingest", "-", "--space", "s", given=b'{"remove_entity":"x"}\n')
        assert b"1 removed entity" in await watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        assert await watching.wait() == 0


async def epochs_out(shell: Shell, home: Path) -> None:
    export = ("eustress", "export", "--space", "a b/c", "--last", "1h", "-o", "samples.parquet")
    _, err = await shell(*export, code=1)
    assert "no snapshot" in err  # 99 updates: one too few for one of its own
    await shell("eustress", "ingest", "-", "--space", "a b/c", given=b'{"id":"e50"}\n{"id":"e51"}\n')
    _, err = await shell(*export)
    epoch = err.split()[1].rstrip(":")
    lines, none = await asyncio.gather(
        shell("eustress", "export", epoch, "--format", "ndjson", "-o", "-"),
        shell("eustress", "export", "0" * 8 + epoch[8:], code=1),
    )
    assert len(lines[0].splitlines()) >= 51
    assert "no epoch" in none[1]
    assert (home / "samples.parquet").read_bytes().startswith(b"PAR1")
    assert not [name for name in os.listdir(home) if name.endswith(".part")]

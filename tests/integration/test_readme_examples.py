"""README.md's examples, run as they stand there: a fresh copy that is installed and served, and one server for the rest.

Only the port is changed (8080 may be taken). What is printed must be what the README shows, but for ids, times and tokens.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psutil
import pytest
import pytest_asyncio
from browsing import Chromium
from harness import RunningServer, free_port, until
from readme import ROOT, alike, blocks_of, steady

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

INSTALLED_S = 900.0
"""An installation from an empty cache over a slow line."""
RUN_S = 120.0
NOT_IN_A_COPY = shutil.ignore_patterns(
    ".*cache", ".git", ".venv", ".sangha", ".hypothesis", "__pycache__", "*.egg-info"
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    """What `sangha serve --guests` runs, in a directory with a `.venv` and a `.sangha` like a reader's clone."""
    server = RunningServer()
    server.arguments = ["--guests"]
    server.data_dir = server.home / ".sangha"
    (server.home / ".venv").symlink_to(sys.prefix)
    async with server:
        yield server


def ported(text: str, server: RunningServer) -> str:
    return text.replace("8080", str(server.port))


async def bash(server: RunningServer, script: str) -> str:
    """Run a shell example in the reader's directory; what it printed. It must succeed."""
    script = ". .venv/bin/activate\nset -eo pipefail\n" + ported(script, server)
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, cwd=server.home, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=_environment()
    )
    try:
        async with asyncio.timeout(RUN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


def _environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SANGHA_", "RAY_", "DATABASE_URL"))}
    return kept | {"COLUMNS": "100"} | more


def shown(section: str, server: RunningServer) -> str:
    """The output that a section shows."""
    (block,) = blocks_of(section, "text")
    return alike(ported(block.text, server))


def example(section: str, language: str = "sh") -> str:
    (block,) = blocks_of(section, language)
    return block.text


async def test_the_first_conversation_in_python(server: RunningServer) -> None:
    (server.home / "conversation.py").write_text(ported(example("In Python", "python"), server))
    said = await bash(server, example("A first conversation") + "python conversation.py")
    assert alike(said) == shown("In Python", server)


async def test_the_browser_and_the_terminal_talk(server: RunningServer) -> None:
    async with Chromium() as chromium:
        page = await chromium.tab(f"{server.url}/")
        await page.paste(example("In the browser's console", "js"))
        expected = shown("In the browser's console", server).splitlines()
        assert await page.logged(len(expected)) == expected
        await _dan_talks(server)
        assert (await page.logged(len(expected) + 1))[-1] == "5 Dan: good evening"


async def _dan_talks(server: RunningServer) -> None:
    """What is shown for the terminal, typed and compared line by line."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f". .venv/bin/activate; {example('From the terminal')}",
        cwd=server.home, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=_environment(),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(RUN_S):
        for line in shown("From the terminal", server).splitlines():
            if line.startswith(("*", "[")):
                assert (await process.stdout.readline()).decode().rstrip() == line
            else:
                process.stdin.write(f"{line}\n".encode())
        assert await process.wait() == 0
    process._transport.close()  # type: ignore[attr-defined]  # or its pipes are closed by the collector


async def test_the_demo_runs_and_leaves(server: RunningServer) -> None:
    assert "12/12 connected" in await bash(server, example("Twelve at once"))


async def test_a_small_measurement(server: RunningServer) -> None:
    assert "deliver" in await bash(server, example("Figures"))


async def test_an_account_over_http(server: RunningServer) -> None:
    assert alike(await bash(server, example("With an account"))) == shown("With an account", server)


async def test_an_account_is_read_out_and_deleted(server: RunningServer) -> None:
    said = await bash(server, f"{{ {example('With an account')} }} > account.json\n{example('Accounts')}")
    assert said == shown("Accounts", server) + "\n"


async def test_a_first_ritual_after_it(server: RunningServer) -> None:
    said = await bash(server, f"{{ {example('With an account')} }} > account.json\n{example('A first ritual')}")
    assert steady(said) == steady("\n".join(block.text for block in blocks_of("A first ritual", "text")))


async def test_a_group_ritual_of_two(server: RunningServer) -> None:
    (server.home / "rite.py").write_text(ported(example("A group ritual", "python"), server))
    assert alike(await bash(server, "python rite.py")) == shown("A group ritual", server)


async def test_the_chains_fit_and_the_runs_are_the_same_again(server: RunningServer) -> None:
    def counted(text: str) -> str:
        return re.sub(r"\d+", "N", alike(text))

    said = await bash(server, example("State and its chain"))
    assert counted(said) == counted(shown("State and its chain", server))


async def test_status_shows_what_runs(server: RunningServer) -> None:
    def skeleton(text: str) -> str:
        return re.sub(r" +", " ", re.sub(r"\b[0-9a-f]{8}\b|\d+", "N", alike(text)))

    async def told() -> bool:
        status = await server.status()
        gateways = status["gateways"]
        return bool(gateways) and gateways[0]["port"] == server.port and len(status["shards"]) == 6

    await until(told, "all that starts, also what starts later, is known to the coordinator", 60)
    assert skeleton(await bash(server, example("What runs, where"))) == skeleton(shown("What runs, where", server))


async def test_the_lake_from_the_first_entity_to_training(server: RunningServer) -> None:
    """One shell, as the reader's; what each example prints, without numbers where these hang on how a scene was cut."""
    for name, section in (("sky", "Whole scenes"), ("engine", "The ingest client"), ("train", "Epochs and training")):
        (server.home / f"{name}.py").write_text(ported(example(section, "python"), server))
    sections = {name: example(name) for name in ("A first scene", "What is where", "Whole scenes")}
    sections |= {"The ingest client": "python engine.py\n", "Epochs and training": example("Epochs and training")}
    said = await bash(server, "".join(f"{script}echo {SECTION}\n" for script in sections.values()))
    for section, text in zip(sections, said.split(f"{SECTION}\n")[:-1], strict=True):
        assert _uncounted(section, alike(text)) == _uncounted(section, shown(section, server))
    await _the_seeds_sql(server)


SECTION = "--- the next example ---"


def _uncounted(section: str, text: str) -> str:
    return re.sub(r"\d[\d,.]*", "N", text) if section in ("Whole scenes", "Epochs and training") else text


async def _the_seeds_sql(server: RunningServer) -> None:
    """Each query of the README finds what the first scene has."""
    range_ = ("quantum_mechanics", datetime(2020, 1, 1, tzinfo=UTC), datetime(2120, 1, 1, tzinfo=UTC))
    connection = await asyncpg.connect(host=str(server.data_dir / "postgres"), user="postgres", database="postgres")
    try:
        queries = example("Snapshots, time and SQL", "sql").split(";")[:-1]
        found = [await connection.fetch(query, *(range_ if "$1" in query else ())) for query in queries]
    finally:
        await connection.close()
    sacred, children, between = found
    assert {row["id"] for row in sacred} == {"photon_1", "root_entity"}
    assert [row["entity_id"] for row in children] == ["atom_1"]
    assert len(between) == 2


async def test_a_sound_the_sky_and_a_session(server: RunningServer) -> None:
    said = alike(await bash(server, example("Sound and sky")))
    assert _unsized(said) == _unsized(shown("Sound and sky", server))


def _unsized(text: str) -> str:
    """Without the size of a file, which is the encoder's."""
    return re.sub(r"[\d,]+ bytes", "N bytes", text)


async def test_a_scene_is_watched(server: RunningServer) -> None:
    put = f"""export SANGHA_TOKEN=$(sangha token --service eustress)
        curl -s {server.url}/eustress/ingest/entity -H "Authorization: Bearer $SANGHA_TOKEN" --json \
        '{{"space_name": "quantum_mechanics", "entity": {{"id": "photon_2"}}}}' > /dev/null
"""
    token = (await bash(server, "sangha token --service eustress")).strip()
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f". .venv/bin/activate; exec {example('Watching a scene')}",
        cwd=server.home, stdout=PIPE, stderr=STDOUT, env=_environment(SANGHA_TOKEN=token),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(RUN_S):
            said = (await process.stdout.readline()).decode()
            await bash(server, put)
            said += (await process.stdout.readline()).decode()
    finally:
        process.terminate()
        await process.communicate()
        process._transport.close()  # type: ignore[attr-defined]  # or its pipe is closed by the collector
    assert _watched(said) == _watched(shown("Watching a scene", server))


def _watched(text: str) -> str:
    return re.sub(r"\d\d:\d\d:\d\d", "TIME", text.strip())


@pytest.mark.timeout(INSTALLED_S + 300)
async def test_the_first_command_runs_a_server_in_a_fresh_copy(tmp_path: Path) -> None:
    """From nothing but the sources: a virtual environment, the installation, `ready`, and a drain at the signal."""
    clone = tmp_path / "sangha"
    await asyncio.to_thread(shutil.copytree, ROOT, clone, ignore=NOT_IN_A_COPY)
    port, command = free_port(), blocks_of("Two commands", "sh")[0].text
    assert command.count("\n") == 1
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=clone, stdin=DEVNULL, stdout=PIPE, start_new_session=True,
        env=_environment(SANGHA_PORT=str(port), PATH=_path_of_the_base_python(), VIRTUAL_ENV=""),
    )  # fmt: skip
    assert process.stdout is not None
    children: list[psutil.Process] = []
    try:
        async with asyncio.timeout(INSTALLED_S):
            line = (await process.stdout.readline()).decode()
        assert line == blocks_of("Two commands", "text")[0].text.replace("8080", str(port))
        children = psutil.Process(process.pid).children(recursive=True)
        for served in [psutil.Process(process.pid), *children]:
            if "serve" in served.cmdline() and served.name() != "bash":
                served.send_signal(signal.SIGTERM)
        async with asyncio.timeout(RUN_S):
            assert await process.wait() == 0
    finally:
        with suppress(psutil.NoSuchProcess):
            children += psutil.Process(process.pid).children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        if process.returncode is None:
            process.kill()
            await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or its pipe is closed by the collector
        shutil.rmtree(clone, ignore_errors=True)


def _path_of_the_base_python() -> str:
    """PATH without the virtual environment of these tests, and with the Python that it was made from as ``python3``."""
    base = str(Path(sys.base_prefix) / "bin")
    parts = [part for part in os.environ["PATH"].split(":") if not part.startswith(sys.prefix) and part != base]
    return ":".join([base, *parts])

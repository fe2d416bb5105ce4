"""README.md's rituals, written from its text alone: the worked examples in WAT and in C, and the way into the catalog.

The sources are saved, built and run as the README says, and what is printed must be what it shows.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from harness import RunningServer
from readme import TEXT, blocks_of, names_in, steady, table_of

from actors.ritual.builtin.builtin import BUILTINS
from actors.ritual.module import CODEX
from server.ritual_projects import LANGUAGES

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]
RUN_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    running = RunningServer()
    running.data_dir = running.home / ".sangha"
    async with running:
        yield running


async def bash(script: str, directory: Path) -> str:
    """What a shell example prints. It must succeed."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SANGHA_", "RAY_", "DATABASE_URL"))}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", f"set -eo pipefail\n{script}", cwd=directory, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT,
        env=kept | {"COLUMNS": "100", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(RUN_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()


def example(section: str, language: str) -> str:
    (block,) = blocks_of(section, language)
    return block.text


@pytest.mark.parametrize(
    ("section", "language", "file"), [("A ritual in WAT", "wat", "ember.wat"), ("A ritual in C", "c", "moon.c")]
)
async def test_a_ritual_written_from_the_text_alone_runs(
    tmp_path: Path, section: str, language: str, file: str
) -> None:
    await asyncio.to_thread((tmp_path / file).write_text, example(section, language))
    said = await bash(example(section, "sh"), tmp_path)
    assert steady(said) == steady(example(section, "text"))


async def test_a_ritual_comes_into_the_catalog_and_is_run_over_http(server: RunningServer) -> None:
    ember = server.home / "ember.wat"
    await asyncio.to_thread(ember.write_text, example("A ritual in WAT", "wat"))
    script = f"{{ {example('With an account', 'sh')} }} > account.json\n{example('A ritual in the catalog', 'sh')}"
    said = await bash(script.replace("8080", str(server.port)), server.home)
    assert steady(said) == steady(example("A ritual in the catalog", "text"))


async def test_the_tables_name_what_there_is() -> None:
    assert [names_in(row[0])[0] for row in table_of("Rituals")] == list(BUILTINS)
    offered = {names_in(row[0])[0].split("(")[0] for row in table_of("The three ABIs")}
    assert offered == set(CODEX) | {"execute_ritual", "get_resonance", "cleanup"}
    for name, builtin in BUILTINS.items():
        (needs,) = (row[1] for row in table_of("Rituals") if names_in(row[0]) == [name])
        assert names_in(needs) == [*builtin.required_archetypes, *builtin.energy_requirements]
    (offered_languages,) = set(re.findall(r"--language ([a-z|]+\|[a-z|]+)", TEXT))
    assert set(offered_languages.split("|")) == set(LANGUAGES)

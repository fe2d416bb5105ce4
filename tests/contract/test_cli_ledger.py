"""``sangha verify`` and ``sangha rekey`` as they are called: what they say and how they exit."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
import typer
from backends import LAYOUT, PostgresBackend
from click.testing import Result
from recording import FIRST, Recorded
from typer.testing import CliRunner

from actors.practitioner.archetypal_state import ArchetypalState
from server import cli_ledger
from storage.cluster import claim_cluster
from storage.datadir import DataDirectory
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate
from storage.pool import connect
from storage.seal import Sealer
from storage.store import PostgresStore

app = typer.Typer()
cli_ledger.register(app)
OLD, NEW = "0f" * 32, "a1" * 32


@pytest.fixture(autouse=True)
def _no_settings_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "SANGHA_DATABASE_URL", "SACRED_ENCRYPTION_KEY", "SANGHA_OLD_ENCRYPTION_KEYS"):
        monkeypatch.delenv(name, raising=False)


async def sangha(*arguments: str, **environment: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), env=environment)


async def recorded(dsn: str, incarnation: int, seal: Sealer | None = None) -> Recorded:
    store = PostgresStore(dsn, kind="practitioner", layout=LAYOUT, shard=0, incarnation=incarnation, seal=seal)
    await store.acquire()
    who = await (await Recorded(store).register()).put(FIRST, ArchetypalState(symbols=("moon",)))
    await store.close()
    return who


async def test_verify_says_that_all_is_whole_and_names_what_is_not(postgres_backend: PostgresBackend) -> None:
    who = await recorded(postgres_backend.dsn, postgres_backend.incarnation)
    url = f"--database-url={postgres_backend.dsn}"
    whole = await sangha("verify", url, "--replay")
    assert (whole.exit_code, "1 practitioners, 2 states: every chain is whole" in whole.stdout) == (0, True)
    assert "0 runs replayed" in whole.stdout
    await postgres_backend.connection.execute("UPDATE archetypal_states SET symbols = '[]' WHERE version = 2")
    broken = await sangha("verify", url)
    assert broken.exit_code == 1
    assert f"practitioner {who.id}, version 2, id " in broken.stdout
    as_json = await sangha("verify", url, "--json", "--practitioner", who.id)
    told = orjson.loads(as_json.stdout)
    assert (as_json.exit_code, told["sound"], told["chains"]["wrong"][0]["version"]) == (1, False, 2)


@pytest.mark.parametrize(
    "arguments", [["--session", "x"], ["--practitioner", "nobody"], ["--replay", "--session", "nobody"]]
)
async def test_what_cannot_be_looked_for_is_one_line_and_exit_2(database: str, arguments: list[str]) -> None:
    result = await sangha("verify", f"--database-url={database}", *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("sangha: ")


async def test_rekey_needs_the_new_key_and_then_leaves_nothing_under_the_old(postgres_backend: PostgresBackend) -> None:
    await recorded(postgres_backend.dsn, postgres_backend.incarnation, Sealer(bytes.fromhex(OLD)))
    url = f"--database-url={postgres_backend.dsn}"
    refused = await sangha("rekey", url)
    assert (refused.exit_code, "SACRED_ENCRYPTION_KEY" in refused.stderr) == (2, True)
    unread = await sangha("rekey", url, SACRED_ENCRYPTION_KEY=NEW)
    assert (unread.exit_code, "cannot be opened" in unread.stdout) == (1, True)
    keys = {"SACRED_ENCRYPTION_KEY": NEW, "SANGHA_OLD_ENCRYPTION_KEYS": OLD}
    assert (await sangha("rekey", url, **keys)).exit_code == 0
    again = await sangha("rekey", url, **keys)
    assert "0 rows rewritten, 0 cannot be opened" in again.stdout
    assert (await sangha("verify", url, SACRED_ENCRYPTION_KEY=NEW)).exit_code == 0


async def test_the_embedded_database_is_found_stopped_and_beside_its_owner(data_dir: Path) -> None:
    option = f"--data-dir={data_dir}"
    missing = await sangha("verify", option)
    assert (missing.exit_code, "no database" in missing.stderr) == (2, True)
    server = EmbeddedPostgres(data_dir)
    await asyncio.to_thread(server.start)
    await migrate(server.dsn)
    connection = await connect(server.dsn, application_name="test")
    await recorded(server.dsn, (await claim_cluster(connection)).incarnation)
    await connection.close()
    with DataDirectory(data_dir):
        assert "2 states" in (await sangha("verify", option)).stdout
        assert server.alive()
        await asyncio.to_thread(server.stop)
    assert "2 states" in (await sangha("verify", option)).stdout
    assert not EmbeddedPostgres(data_dir).cluster_dir.joinpath("postmaster.pid").exists()

"""A large account is deleted on a real database while the process that does it is killed at every step of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
import typer
from backends import PostgresBackend
from recording import FIRST
from town import Town
from typer.testing import CliRunner

from actors.practitioner import commands as p
from actors.practitioner import leaving
from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual import commands as r
from actors.runtime import alarms, effects, shard
from actors.runtime.entity import Address, Caller
from actors.space import commands as s
from server import cli_ledger
from server.erasure import Erasure, farewells_of
from storage.ledger import verify
from storage.queries import Queries
from storage.rekey import Rekeyed, rekey
from storage.replay import replay
from storage.scrubbing import Scrubber
from storage.seal import Sealer

pytestmark = pytest.mark.timeout(120)

OLD, BOTH, NEW = Sealer(b"o" * 32), Sealer(b"n" * 32, [b"o" * 32]), Sealer(b"n" * 32)
STATES = 2_100
EMAIL = "zephyrine@quill.example"
LEFT = {
    ("checkpoints", "practitioner"),  # says that the id is gone
    ("journal", "space"),  # what was said stays, by an id
    ("checkpoints", "space"),
    ("journal", "ritual"),  # who wrote what is published
    ("checkpoints", "ritual"),
    ("sacred_rituals", None),
    ("claims", None),
}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "PATIENCE", leaving.PATIENCE / 20)
    monkeypatch.setattr(alarms, "POLL_S", 0.02)
    for module in (effects, shard):  # a blow may fall when the answer to an effect is not yet recorded
        monkeypatch.setattr(module, "ALARM_AFTER", effects.ALARM_AFTER / 100)


@pytest.fixture
async def town(postgres_backend: PostgresBackend) -> AsyncIterator[Town]:
    town = await Town(postgres_backend).start()
    yield town
    await town.kill()


class Gateway:
    """As much of one as an erasure needs."""

    def __init__(self, town: Town, queries: Queries) -> None:
        self.ask, self.queries = town.ask, queries


async def settle_in(town: Town, states: int = STATES) -> dict[str, str]:
    """An account with many states, a space where it spoke, a published ritual and another."""
    who = str(uuid4())
    await town.do("practitioner", who, p.Register(email=EMAIL, password_hash="h" * 64))
    put = [
        p.PutArchetypalState(state=ArchetypalState(symbols=(f"{n}",), energies=FIRST.energies)) for n in range(states)
    ]
    await asyncio.gather(*(town.do("practitioner", who, each, who) for each in put))
    made = {"who": who, "space": str(uuid4()), "published": str(uuid4()), "kept": str(uuid4())}
    await town.do("space", made["space"], s.CreateSpace(name="Hall", purpose="to meet", access_level="open"), who)
    await town.do("space", made["space"], s.Join(), who)
    await town.do("space", made["space"], s.SendMessage(body=b'"hello"'), who)
    for name in ("published", "kept"):
        module = f"a module, {name}".encode()
        upload = r.Upload(
            name=name,
            description="d",
            intent="i",
            abi="codex",
            module=module,
            module_hash=hashlib.sha256(module).hexdigest(),
            is_public=name == "published",
        )
        await town.do("ritual", made[name], upload, who)
    return made


async def delete(town: Town, queries: Queries, who: str) -> None:
    farewells = await farewells_of(Gateway(town, queries), who)  # type: ignore[arg-type]
    assert len(farewells) == 2
    await town.do("practitioner", who, p.DeleteAccount(farewells=farewells), who)


async def sweep(town: Town, queries: Queries, seal: Sealer | None) -> None:
    scrubber = Scrubber(town.backend.dsn, seal=seal)
    assert await Erasure(Gateway(town, queries), scrubber).sweep_all()  # type: ignore[arg-type]
    await scrubber.close()


def doom(town: Town, blow: str) -> None:
    """The process is hit before the commit of its next step of a purge, or after it."""

    town.doomed = lambda batch: blow if batch.purges or batch.forgets else None


async def found(backend: PostgresBackend, needle: str) -> set[tuple[str, str | None]]:
    """Tables, and kinds of entities, with a text anywhere in a row."""
    tables = await backend.connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    places = set()
    for (table,) in tables:
        kind = "x.kind" if table in ("journal", "checkpoints", "alarms") else "NULL"
        rows = await backend.connection.fetch(
            f"SELECT DISTINCT {kind} AS kind FROM {table} x WHERE strpos(x::text, $1) > 0 OR strpos(x::text, $2) > 0",
            needle,
            needle.encode().hex(),
        )
        places |= {(table, row["kind"]) for row in rows}
    return places


async def looks_whole(dsn: str, seal: Sealer | None) -> int:
    """What ``sangha verify --replay`` says meanwhile; how many are on their way out."""
    wrong: list[Any] = []
    told = {"seal": seal, "found": wrong.append, "progress": lambda *_: None}
    report = await verify(dsn, **told)  # type: ignore[arg-type]
    await replay(dsn, sandboxes=lambda _: Nothing(), **told)  # type: ignore[arg-type]
    assert wrong == []
    return report.leaving


class Nothing:
    """No run is in these journals."""

    def has(self, module_hash: str) -> bool:
        raise AssertionError

    load = run = has

    def close(self) -> None:
        pass


async def doomed_to_the_end(
    town: Town, queries: Queries, who: str, after_each: Callable[[int], Awaitable[None]]
) -> int:
    """Delete, and kill the process before each step and after it; how often it died."""
    deaths = 0
    doom(town, "before")
    deleting = asyncio.create_task(delete(town, queries, who))
    backend = town.backend
    while await is_killed(town, backend, who):
        deaths += 1
        await town.kill()
        deleting.cancel()
        await after_each(deaths)
        doom(town, "after" if deaths % 2 else "before")
        await town.start()
    assert await backend.connection.fetch("SELECT 1 FROM journal WHERE entity_id = $1", who) == []
    return deaths


async def is_killed(town: Town, backend: PostgresBackend, who: str) -> bool:
    """Wait for the blow; False when there is nothing left to do."""
    async with asyncio.timeout(20):
        while not town.dead.is_set():
            if await backend.connection.fetch("SELECT 1 FROM practitioners WHERE id = $1", who) == []:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(town.dead.wait(), 0.1)
    return True


async def test_an_account_of_thousands_of_rows_goes_whoever_is_killed_between_the_steps(
    postgres_backend: PostgresBackend, town: Town
) -> None:
    queries = Queries(postgres_backend.dsn)
    made = await settle_in(town)
    who, on_their_way = made["who"], []

    async def after_each(_: int) -> None:
        on_their_way.append(await looks_whole(postgres_backend.dsn, None))

    deaths = await doomed_to_the_end(town, queries, who, after_each)
    assert deaths >= 10  # three steps of rows and journal, three of states, one for the rest: before and after each
    assert set(on_their_way) == {0, 1}
    await sweep(town, queries, None)
    assert await found(postgres_backend, EMAIL) == await found(postgres_backend, "Zephyrine") == set()
    assert await found(postgres_backend, who) <= LEFT
    rituals = {str(row["id"]): row["withdrawn_at"] for row in await postgres_backend.rows("sacred_rituals")}
    assert rituals[made["published"]] is None
    assert rituals[made["kept"]] is not None
    assert await queries.gone(10) == []
    assert await looks_whole(postgres_backend.dsn, None) == 0
    alarms_left = await postgres_backend.connection.fetch("SELECT * FROM alarms WHERE entity_id = $1", who)
    assert alarms_left == []
    answer = await town.ask(
        Address("practitioner", who), p.encode(p.Register(email=EMAIL, password_hash="h")), Caller(who), "again"
    )
    assert answer.code == "conflict"
    another = str(uuid4())
    await town.do("practitioner", another, p.Register(email="other@quill.example", password_hash="h"))
    await queries.close()


async def test_a_sealed_account_is_rekeyed_in_the_middle_of_its_deletion_and_goes(
    postgres_backend: PostgresBackend,
) -> None:
    town = await Town(postgres_backend, OLD).start()
    queries = Queries(postgres_backend.dsn, seal=BOTH)
    made = await settle_in(town)
    unopened: list[Any] = []

    async def after_each(deaths: int) -> None:
        if deaths == 4:
            report = await rekey(
                postgres_backend.dsn,
                sealer=BOTH,
                kinds=["practitioner", "space"],
                found=unopened.append,
                progress=lambda *_: None,
            )
            assert report.rewritten > 1_000
            assert report.left == 0
            town.seal = BOTH
            assert await looks_whole(postgres_backend.dsn, NEW) == 1

    await doomed_to_the_end(town, queries, made["who"], after_each)
    assert unopened == []
    await sweep(town, queries, BOTH)
    assert await found(postgres_backend, made["who"]) <= LEFT
    again = await rekey(
        postgres_backend.dsn,
        sealer=NEW,
        kinds=["practitioner", "space"],
        found=unopened.append,
        progress=lambda *_: None,
    )
    assert (again, unopened) == (Rekeyed(), [])
    await town.kill()
    await queries.close()


async def test_rows_that_go_while_they_are_rekeyed_are_not_missed(
    postgres_backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a page are deleted between the look and the rewrite; nothing of them comes back."""
    from storage import rekey as module

    town = await Town(postgres_backend, OLD).start()
    queries = Queries(postgres_backend.dsn, seal=BOTH)
    made = await settle_in(town, states=1_100)
    original = module._Rows.rewrite
    deletion: list[asyncio.Task[None]] = []

    async def rewrite(self: Any, connection: Any, rows: Any) -> int:
        if not deletion and self.table == "archetypal_states":
            deletion.append(asyncio.create_task(delete(town, queries, made["who"])))
            await deletion[0]
        done: int = await original(self, connection, rows)
        return done

    monkeypatch.setattr(module._Rows, "rewrite", rewrite)
    report = await rekey(
        postgres_backend.dsn,
        sealer=BOTH,
        kinds=["practitioner", "space"],
        found=lambda _: None,
        progress=lambda *_: None,
    )
    assert deletion
    assert report.left == 0
    assert await postgres_backend.rows("archetypal_states") == []
    rows = await postgres_backend.connection.fetch("SELECT 1 FROM journal WHERE entity_id = $1", made["who"])
    assert rows == []
    await town.kill()
    await queries.close()


async def test_verify_as_it_is_called_says_who_is_being_deleted_and_finds_nothing_of_who_is_gone(
    postgres_backend: PostgresBackend, town: Town
) -> None:
    app = typer.Typer()
    cli_ledger.register(app)

    async def sangha() -> tuple[int, str]:
        arguments = ["verify", f"--database-url={postgres_backend.dsn}", "--replay"]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        return result.exit_code, result.stdout

    queries = Queries(postgres_backend.dsn)
    made, said = await settle_in(town, states=1_100), []

    async def after_each(deaths: int) -> None:
        if deaths in (4, 6):
            said.append(await sangha())

    await doomed_to_the_end(town, queries, made["who"], after_each)
    assert [code for code, _ in said] == [0, 0]
    assert all("1 are being deleted" in text for _, text in said)
    code, text = await sangha()
    assert (code, "0 practitioners, 0 states: every chain is whole" in text, "deleted" in text) == (0, True, False)
    await queries.close()

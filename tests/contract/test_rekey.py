"""Everything under the newest key: from plain, from an older key, beside writers, and after it was stopped in the middle."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from backends import LAYOUT, PostgresBackend
from making import checkpoint, insight, operation, ritual, run, space
from recording import FIRST, Recorded

from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch
from storage import rekey as rekey_module
from storage.ledger import verify
from storage.pool import connect
from storage.queries import Queries
from storage.rekey import Rekeyed, Unopened, rekey
from storage.rows import opened
from storage.seal import CannotUnseal, Seal, Sealer, from_text, is_sealed
from storage.store import PostgresStore
from storage.tables import TABLES

OLD, NEW = Sealer(b"o" * 32), Sealer(b"n" * 32)
BOTH = Sealer(b"n" * 32, [b"o" * 32])
KINDS = ["practitioner", "space"]


async def store_of(
    backend: PostgresBackend, seal: Sealer | None, kind: str = "practitioner", *, sealed: bool = True
) -> PostgresStore:
    store = PostgresStore(
        backend.dsn, kind=kind, layout=LAYOUT, shard=0, incarnation=backend.incarnation, seal=seal, sealed=sealed
    )
    backend.stores.append(store)
    await store.acquire()
    return store


async def lived(backend: PostgresBackend, seal: Sealer | None, people: int = 2) -> list[Recorded]:
    """Practitioners with states, a run, an insight; an operation with its reply; a space; a kind that is not sealed."""
    store = await store_of(backend, seal)
    recorded = [await Recorded(store).register() for _ in range(people)]
    for one in recorded:
        await one.put(FIRST, ArchetypalState(symbols=("a secret",)))
        session = run(one.id, ritual().values["id"], subjective_experience="a secret", result={"a": "secret"})
        await store.commit(Batch(rows=[session, insight(one.id, session_id=session.values["id"])]))
    await store.commit(Batch(journal=[operation(1, "s:1", "x")], checkpoints=[checkpoint(1, "x")]))
    space = await store_of(backend, seal, "space")
    await space.commit(Batch(journal=[operation(1, "s:1", "y")], checkpoints=[checkpoint(1, "y")]))
    public = await store_of(backend, seal, "ritual", sealed=False)
    await public.commit(Batch(journal=[operation(1, "s:1", "z")], checkpoints=[checkpoint(1, "z")]))
    return recorded


async def rekeyed(backend: PostgresBackend, seal: Sealer, **more: Any) -> tuple[Rekeyed, list[Unopened]]:
    found: list[Unopened] = []
    more = {"found": found.append, "progress": lambda *_: None} | more
    return await rekey(backend.dsn, sealer=seal, kinds=KINDS, **more), found


async def stale(backend: PostgresBackend, seal: Sealer) -> list[str]:
    """What is not under the key, of all that should be."""
    wrong = []
    for table in ("journal", "checkpoints"):
        for row in await backend.rows(table):
            for name in {"data", "reply"} & row.keys():
                if row["kind"] != "ritual" and row[name] is not None and not seal.current(row[name]):
                    wrong.append(f"{table} {row['kind']} {name}")
                assert row["kind"] != "ritual" or row[name] is None or not is_sealed(row[name])
    for table, shape in TABLES.items():
        for row in await backend.rows(table):
            values = {name: row[name] for name in shape.sealed | shape.sealed_text if row[name] is not None}
            wrong += [
                f"{table}.{name}"
                for name, value in values.items()
                if not isinstance(value, str) or not current(seal, value)
            ]
    return wrong


def current(seal: Sealer, text: str) -> bool:
    try:
        return seal.current(from_text(text.removeprefix("sealed:")))
    except CannotUnseal:
        return False


async def assert_readable(backend: PostgresBackend, seal: Seal, who: Recorded) -> None:
    queries = Queries(backend.dsn, seal=seal)
    newest, first = await queries.states(who.id, 5)
    assert (newest["state"]["symbols"], first["version"]) == (["a secret"], 1)
    (session,) = await queries.runs(who.id, 5)
    assert (session["subjective_experience"], session["parameters"]) == ("a secret", {"depth": 2})
    found = await queries.run(who.id, session["id"])
    assert found is not None
    assert found["result"] == {"a": "secret"}
    assert (await queries.insights(who.id))[0]["interpretation"] == "so it is"
    await queries.close()
    wrong: list[Any] = []
    await verify(backend.dsn, seal=seal, found=wrong.append, progress=lambda *_: None, practitioner=who.id)
    assert wrong == []


@pytest.mark.parametrize("before", [None, OLD])
async def test_all_that_is_sealed_is_under_the_new_key_and_opens(
    postgres_backend: PostgresBackend, before: Sealer | None
) -> None:
    people = await lived(postgres_backend, before)
    assert await stale(postgres_backend, NEW)
    report, unopened = await rekeyed(postgres_backend, BOTH)
    assert unopened == []
    assert report.rewritten > 0
    assert await stale(postgres_backend, NEW) == []
    for one in people:
        await assert_readable(postgres_backend, NEW, one)  # the old key is not needed any more
    store = await store_of(postgres_backend, NEW)
    loaded = (await store.load(["x"]))["x"]
    assert loaded.checkpoint == checkpoint(1, "x")
    assert (await store.find_operations("x", 5, ["s:1"])).operations[0].reply == b'{"r":1}'
    assert await rekeyed(postgres_backend, BOTH) == (Rekeyed(), [])


class StopAfter:
    """Cancels the task that rekeys when it was told of so many steps: it ends within the next statement."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __call__(self, table: str, rows: int) -> None:
        self.steps -= 1
        task = asyncio.current_task()
        if self.steps < 0 and task is not None:
            task.cancel()


async def test_stopped_anywhere_it_goes_on_where_it_was(postgres_backend: PostgresBackend) -> None:
    people = await lived(postgres_backend, OLD, people=3)
    left = [len(await stale(postgres_backend, NEW))]
    while left[-1]:
        work = asyncio.create_task(rekeyed(postgres_backend, BOTH, batch=2, progress=StopAfter(2 + len(left))))
        await asyncio.wait([work])
        left.append(len(await stale(postgres_backend, NEW)))
        assert left[-1] < left[-2]
        await assert_readable(postgres_backend, BOTH, people[len(left) % 3])
        if not work.cancelled():
            assert work.result()[0].left == 0
            assert left[-1] == 0
    assert len(left) > 4
    for one in people:
        await assert_readable(postgres_backend, NEW, one)


@pytest.mark.parametrize("writes_with", [OLD, BOTH])
async def test_a_row_that_is_written_meanwhile_is_not_overwritten(
    postgres_backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch, writes_with: Sealer
) -> None:
    (who,) = await lived(postgres_backend, OLD, people=1)
    store = await store_of(postgres_backend, writes_with)
    (session,) = await postgres_backend.rows("ritual_sessions")
    newer = {"id": str(session["id"]), "subjective_experience": "newer", "result": {"newer": 1}}
    moved = checkpoint(2, "x")
    writes = {
        "ritual_sessions": Batch(rows=[Upsert(table="ritual_sessions", values=newer)]),
        "checkpoints": Batch(checkpoints=[moved]),
    }

    def after_a_write(original: Any) -> Any:
        async def rewrite(self: Any, connection: Any, rows: Any) -> int:
            if (batch := writes.pop(self.table, None)) is not None:
                await store.commit(batch)
            done: int = await original(self, connection, rows)
            return done

        return rewrite

    for source in (rekey_module._Rows, rekey_module._Checkpoints):
        monkeypatch.setattr(source, "rewrite", after_a_write(source.rewrite))
    report, _ = await rekeyed(postgres_backend, BOTH)
    assert writes == {}
    assert report.left == 0
    assert await stale(postgres_backend, NEW) == []
    queries = Queries(postgres_backend.dsn, seal=NEW)
    found = await queries.run(who.id, newer["id"])
    assert found is not None
    assert found.items() >= newer.items()
    assert found["intention"] == "to see"
    await queries.close()
    assert (await (await store_of(postgres_backend, NEW)).load(["x"]))["x"].checkpoint == moved


async def test_a_row_that_a_commit_holds_is_not_waited_for(postgres_backend: PostgresBackend) -> None:
    await lived(postgres_backend, OLD, people=1)
    holder = await connect(postgres_backend.dsn, application_name="holder")
    held = holder.transaction()
    await held.start()
    await holder.execute("UPDATE ritual_sessions SET fuel = 7; UPDATE checkpoints SET format = 3 WHERE kind = 'space'")
    report, _ = await asyncio.wait_for(rekeyed(postgres_backend, BOTH), 10)
    assert report.left == 2
    await held.commit()
    await holder.close()
    assert await stale(postgres_backend, NEW)
    assert (await rekeyed(postgres_backend, BOTH))[0] == Rekeyed(rewritten=2)
    assert await stale(postgres_backend, NEW) == []
    assert [row["fuel"] for row in await postgres_backend.rows("ritual_sessions")] == [7]


async def test_what_no_key_opens_is_named_once_and_left(postgres_backend: PostgresBackend) -> None:
    (who,) = await lived(postgres_backend, OLD, people=1)
    lost = Sealer(b"l" * 32)
    store = await store_of(postgres_backend, lost)
    await store.commit(Batch(journal=[operation(1, "s:1", "lost")], rows=[insight(who.id)]))
    report, unopened = await rekeyed(postgres_backend, BOTH, batch=1)
    assert (report.unopened, report.left) == (2, 0)
    assert {one.table for one in unopened} == {"journal", "oracle_insights"}
    assert "practitioner lost 1" in {one.id for one in unopened}
    assert set(await stale(postgres_backend, NEW)) == {
        *("journal practitioner data", "journal practitioner reply"),
        *(f"oracle_insights.{name}" for name in ("interpretation", "cautions")),
    }
    assert (await store.load(["lost"]))["lost"].events == [operation(1, "s:1", "lost")]


@pytest.mark.parametrize("shared", ["a text", "c2VhbGVk", b"\x01not mine".hex(), 7, True, [], {"a": "b"}])
async def test_a_space_may_share_any_json(postgres_backend: PostgresBackend, shared: Any) -> None:
    """A facilitator's text is no envelope, whatever it looks like."""
    await (await store_of(postgres_backend, None, "space")).commit(Batch(rows=[space(shared_state=shared)]))
    report, unopened = await rekeyed(postgres_backend, BOTH)
    assert (report.rewritten, unopened) == (1, [])
    assert await stale(postgres_backend, BOTH) == []
    (row,) = await postgres_backend.rows("collective_spaces")
    assert (
        opened({"id": str(row["id"]), "shared_state": row["shared_state"]}, "collective_spaces", BOTH)["shared_state"]
        == shared
    )

"""What verifying finds in recorded chains, and that it finds nothing where they are whole."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from backends import LAYOUT, PostgresBackend
from making import next_version
from recording import FIRST, Recorded

from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from storage.ledger import STATE_EVENTS, Misfit, Verified, verify
from storage.pool import BadValue
from storage.seal import Sealer
from storage.store import PostgresStore

SEAL = Sealer(b"k" * 32)
STATES = [
    FIRST,
    *(ArchetypalState(energies={"fire": n / 7, "tiny": 5e-324}, symbols=("ü", f"{n}")) for n in range(1, 5)),
]


async def store_of(backend: PostgresBackend, seal: Sealer | None = None) -> PostgresStore:
    store = PostgresStore(
        backend.dsn, kind="practitioner", layout=LAYOUT, shard=0, incarnation=backend.incarnation, seal=seal
    )
    backend.stores.append(store)
    await store.acquire()
    return store


async def walked(
    backend: PostgresBackend, seal: Sealer | None = None, practitioner: str | None = None
) -> tuple[Verified, list[Misfit]]:
    found: list[Misfit] = []
    steps: list[tuple[int, int]] = []
    report = await verify(
        backend.dsn,
        seal=seal,
        found=found.append,
        progress=lambda done, total: steps.append((done, total)),
        practitioner=practitioner,
    )
    assert report.misfits == len(found)
    assert steps[0][0] == 0
    assert steps[-1][0] == steps[-1][1] == report.states
    return report, found


@pytest.mark.parametrize("seal", [None, SEAL])
async def test_whole_chains_pass(postgres_backend: PostgresBackend, seal: Sealer | None) -> None:
    store = await store_of(postgres_backend, seal)
    people = [await Recorded(store).register() for _ in range(3)]
    for one in people[:2]:
        await one.put(*STATES)
    assert await walked(postgres_backend, seal) == (Verified(practitioners=3, states=10), [])
    assert await walked(postgres_backend, seal, people[0].id) == (Verified(practitioners=1, states=5), [])
    assert await walked(postgres_backend, seal, str(uuid4())) == (Verified(), [])
    with pytest.raises(BadValue):
        await walked(postgres_backend, seal, "nobody")


DAMAGES = {
    "a changed state": (
        "UPDATE archetypal_states SET state_data = jsonb_set(state_data, '{energies,fire}', '0.5') WHERE version = 3",
        "state_hash does not fit",
    ),
    "a changed part": ("UPDATE archetypal_states SET symbols = '[]' WHERE version = 3", "the column symbols"),
    "a changed hash": (
        "UPDATE archetypal_states SET state_hash = repeat('a', 64) WHERE version = 3",
        "state_hash does not fit",
    ),
    "a changed link": (
        "UPDATE archetypal_states SET prev_hash = repeat('a', 64) WHERE version = 3",
        "prev_hash is not",
    ),
    "no hash": ("UPDATE archetypal_states SET state_hash = NULL WHERE version = 3", "state_hash does not fit"),
    "another id": ("UPDATE archetypal_states SET id = gen_random_uuid() WHERE version = 3", "its id is not"),
    "no object": ("UPDATE archetypal_states SET state_data = '[]' WHERE version = 3", "state_hash does not fit"),
    "no envelope": ("UPDATE archetypal_states SET state_data = '\"AQ==\"' WHERE version = 3", "cannot be opened"),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_the_first_row_that_does_not_fit_is_named(postgres_backend: PostgresBackend, damage: str) -> None:
    store = await store_of(postgres_backend)
    whole, broken = [await (await Recorded(store).register()).put(*STATES) for _ in range(2)]
    sql, what = DAMAGES[damage]
    await postgres_backend.connection.execute(f"{sql} AND practitioner_id = '{broken.id}'")
    report, (misfit,) = await walked(postgres_backend)
    assert (report.practitioners, report.states) == (2, 10)
    assert (misfit.practitioner, misfit.version) == (broken.id, 3)
    assert what in misfit.what
    assert (await walked(postgres_backend, practitioner=whole.id))[1] == []


@pytest.mark.parametrize(
    ("gone", "named", "what"), [(1, 2, "version 1 is missing"), (3, 4, "3 is missing"), (5, 5, "tail")]
)
async def test_a_missing_row_is_named_wherever_it_was(
    postgres_backend: PostgresBackend, gone: int, named: int, what: str
) -> None:
    someone = await (await Recorded(await store_of(postgres_backend)).register()).put(*STATES)
    await postgres_backend.connection.execute("DELETE FROM archetypal_states WHERE version = $1", gone)
    found: list[Misfit] = []
    await verify(postgres_backend.dsn, seal=None, found=found.append, progress=lambda *_: None)
    assert [(misfit.practitioner, misfit.version) for misfit in found] == [(someone.id, named)]
    assert what in found[0].what


async def test_all_rows_of_somebody_gone_are_noticed(postgres_backend: PostgresBackend) -> None:
    someone = await (await Recorded(await store_of(postgres_backend)).register()).put(*STATES)
    await postgres_backend.connection.execute("DELETE FROM practitioners")
    _, (misfit,) = await walked(postgres_backend)
    assert (misfit.practitioner, misfit.version) == (someone.id, 1)


async def test_a_true_link_that_was_never_journaled_is_named(postgres_backend: PostgresBackend) -> None:
    someone = await (await Recorded(await store_of(postgres_backend)).register()).put(*STATES)
    forged = {"archetypes": {}, "energies": {}, "integrations": [], "symbols": [], "transformations": []}
    head: Any = someone.state.version
    link = next_version(someone.id, head.number, head.hash, forged)
    await postgres_backend.connection.execute(
        """INSERT INTO archetypal_states (id, practitioner_id, state_data, archetypes, energies, version, state_hash, prev_hash)
               VALUES ($1, $2, $3, '{}', '{}', $4, $5, $6)""",
        *(link.id, someone.id, forged, link.number, link.hash, link.prev_hash),
    )
    _, (misfit,) = await walked(postgres_backend)
    assert (misfit.version, misfit.what) == (link.number, "it was never journaled")


async def test_a_chain_rewritten_to_its_end_does_not_fit_the_journal(postgres_backend: PostgresBackend) -> None:
    someone = await (await Recorded(await store_of(postgres_backend)).register()).put(*STATES)
    forged = {"archetypes": {}, "energies": {}, "integrations": [], "symbols": [], "transformations": []}
    hashes: list[str] = []
    for number in range(1, 6):
        link = next_version(someone.id, number - 1, hashes[-1] if hashes else None, forged)
        hashes.append(link.hash)
        await postgres_backend.connection.execute(
            """UPDATE archetypal_states SET state_data = $2, archetypes = '{}', energies = '{}', integrations = '[]',
                   symbols = '[]', transformations = '[]', state_hash = $3, prev_hash = $4 WHERE version = $1""",
            *(number, forged, link.hash, link.prev_hash),
        )
    _, (misfit,) = await walked(postgres_backend)
    assert misfit.version == 1
    assert "the journal has another state" in misfit.what


async def test_what_the_key_does_not_open_is_named(postgres_backend: PostgresBackend) -> None:
    await (await Recorded(await store_of(postgres_backend, SEAL)).register()).put(*STATES)
    _, (misfit,) = await walked(postgres_backend, Sealer(b"x" * 32))
    assert "journal cannot be read" in misfit.what
    assert "not configured" in misfit.what


def test_every_event_with_a_version_is_looked_at() -> None:
    types = e.PractitionerEvent.__args__
    with_version = {one.__struct_config__.tag for one in types if "version" in one.__struct_fields__}
    assert with_version == set(STATE_EVENTS)

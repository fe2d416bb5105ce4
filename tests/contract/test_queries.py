"""What a gateway reads for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from backends import PostgresBackend
from making import NOW, space
from making import practitioner as practitioner_row

from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch, Claim, StoreDown
from storage.pool import BadValue
from storage.queries import Queries


@pytest.fixture
async def queries(postgres_backend: PostgresBackend) -> AsyncIterator[Queries]:
    queries = Queries(postgres_backend.dsn)
    yield queries
    await queries.close()


async def write(backend: PostgresBackend, *rows: Upsert, claims: tuple[Claim, ...] = ()) -> None:
    store = backend.store()
    await store.acquire()
    await store.commit(Batch(rows=rows, claims=claims))


async def test_a_login_counts_until_it_expires_or_is_revoked(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    whose = practitioner_row()
    practitioner = whose.values["id"]
    later, earlier = datetime.now(UTC) + timedelta(hours=1), datetime.now(UTC) - timedelta(hours=1)

    def login(token: bytes, expires_at: datetime, revoked_at: datetime | None = None) -> Upsert:
        values = {
            "practitioner_id": practitioner,
            "token_hash": token,
            "expires_at": expires_at,
            "revoked_at": revoked_at,
        }
        return Upsert(table="auth_sessions", values={"id": str(uuid4())} | values)

    await write(
        postgres_backend, whose, login(b"good", later), login(b"old", earlier), login(b"revoked", later, earlier)
    )
    found = await queries.auth_session(b"good")
    assert found is not None
    assert (found.practitioner_id, found.expires_at) == (practitioner, later)
    for token in (b"old", b"revoked", b"unknown"):
        assert await queries.auth_session(token) is None


async def test_a_token_of_a_service_says_so_and_is_listed_while_it_counts(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    account, other = practitioner_row(), practitioner_row(email="b@example.org")
    now = datetime.now(UTC)

    def token(name: str, whose: Upsert = account, **values: object) -> Upsert:
        fixed = {
            "practitioner_id": whose.values["id"],
            "token_hash": name.encode(),
            "name": name,
            "service": "eustress",
        }
        return Upsert(
            table="auth_sessions", values={"id": str(uuid4()), "expires_at": now + timedelta(1)} | fixed | values
        )

    await write(
        postgres_backend,
        account,
        other,
        token("first", created_at=now - timedelta(1)),
        token("second", created_at=now),
        token("old", expires_at=now - timedelta(1)),
        token("revoked", revoked_at=now),
        token("a person's", service=None),
        token("another's", other),
    )
    found = await queries.auth_session(b"first")
    assert found is not None
    assert (found.service, found.name) == ("eustress", "first")
    person = await queries.auth_session(b"a person's")
    assert person is not None
    assert person.service is None
    rows = await queries.service_tokens([account.values["id"]])
    assert [(row["name"], row["service"]) for row in rows] == [("second", "eustress"), ("first", "eustress")]


async def test_eustress_spaces_are_counted(postgres_backend: PostgresBackend, queries: Queries) -> None:
    assert await queries.eustress_room("a") == (False, 0)
    fixed = {"created_at": NOW, "changed_at": NOW, "version": 1, "policy": {}}
    await write(postgres_backend, *(Upsert(table="eustress_spaces", values={"id": name} | fixed) for name in "ab"))
    assert await queries.eustress_room("a") == (True, 2)
    assert await queries.eustress_room("c") == (False, 2)


async def test_spaces_are_listed_newest_first_in_pages(postgres_backend: PostgresBackend, queries: Queries) -> None:
    rows = [space(name=f"n{n}", created_at=NOW + timedelta(minutes=n // 2)) for n in range(5)]
    await write(postgres_backend, *rows)
    seen: list[str] = []
    before = None
    while page := await queries.spaces(None, 2, before):
        seen += [str(found["name"]) for found in page]
        before = str(page[-1]["id"])
    assert sorted(seen) == [f"n{n}" for n in range(5)]
    assert seen[0] == "n4"
    assert {*seen[3:]} == {"n0", "n1"}


async def test_private_and_closed_spaces_are_not_listed(postgres_backend: PostgresBackend, queries: Queries) -> None:
    facilitator = str(uuid4())
    await write(
        postgres_backend,
        space(name="open", access_level="open"),
        space(name="invite", access_level="invite"),
        space(name="private", access_level="private", facilitator_id=facilitator),
        space(name="closed", access_level="open", closed_at=NOW, facilitator_id=facilitator),
    )
    assert {found["name"] for found in await queries.spaces(str(uuid4()), 10)} == {"open", "invite"}
    assert {found["name"] for found in await queries.spaces(None, 10)} == {"open", "invite"}
    assert {found["name"] for found in await queries.spaces(facilitator, 10)} == {"open", "invite", "private"}
    assert await queries.count_spaces(facilitator) == 1


async def test_a_search_takes_its_text_literally(postgres_backend: PostgresBackend, queries: Queries) -> None:
    await write(postgres_backend, space(name="100% Zen"), space(name="100 bells"), space(slug="zen-2"))
    assert [found["name"] for found in await queries.spaces(None, 10, q="0%")] == ["100% Zen"]
    assert len(await queries.spaces(None, 10, q="zEn")) == 2


async def test_only_confirmed_names_resolve(postgres_backend: PostgresBackend, queries: Queries) -> None:
    await write(postgres_backend, claims=(Claim(scope="space.slug", name="garden", entity_id="e", confirm=True),))
    store = postgres_backend.store()
    await store.claim("space.slug", "pond", "e", "s:1", 60)
    assert await queries.resolve("space.slug", "garden") == "e"
    assert await queries.resolve("space.slug", "pond") is None


async def test_an_id_that_is_none_is_a_bad_value(queries: Queries) -> None:
    with pytest.raises(BadValue):
        await queries.count_spaces("not a uuid")


async def test_a_lost_connection_is_replaced(postgres_backend: PostgresBackend, queries: Queries) -> None:
    assert await queries.healthy()
    await postgres_backend.connection.fetch(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE application_name = 'sangha gateway'"
    )
    assert await queries.count_spaces(str(uuid4())) == 0


async def test_no_server_is_store_down() -> None:
    queries = Queries("postgresql://nobody@127.0.0.1:1/none")
    assert not await queries.healthy()
    with pytest.raises(StoreDown):
        await queries.resolve("a", "b")

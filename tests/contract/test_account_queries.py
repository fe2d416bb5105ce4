"""What a gateway reads of accounts, and how stored events lose a name, on a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from backends import PostgresBackend
from making import NOW, practitioner, ritual, space

from actors.practitioner import events as p
from actors.runtime.codec import tag_of
from actors.runtime.entity import Upsert
from actors.runtime.ports import Batch, JournalRow
from actors.space import events as e
from actors.space.departing import member_id
from storage.account_queries import LeftOver
from storage.queries import Queries
from storage.scrubbing import PAGE, Scrubber
from storage.seal import Sealer
from storage.store import PostgresStore


@pytest.fixture
async def queries(postgres_backend: PostgresBackend) -> AsyncIterator[Queries]:
    queries = Queries(postgres_backend.dsn)
    yield queries
    await queries.close()


def member(space_id: str, who: str, **values: Any) -> Upsert:
    ids = {"id": member_id(space_id, who), "space_id": space_id, "practitioner_id": who}
    return Upsert(table="space_members", values=ids | values)


async def write(backend: PostgresBackend, *rows: Any) -> None:
    store = backend.store()
    await store.acquire()
    await store.commit(Batch(rows=rows))


async def test_members_of_one_open_space_share_it(postgres_backend: PostgresBackend, queries: Queries) -> None:
    a, b, c = (str(uuid4()) for _ in range(3))
    hall, shut = space(), space(closed_at=NOW)
    await write(
        postgres_backend,
        hall,
        shut,
        *(member(hall.values["id"], who, participant=True) for who in (a, b)),
        *(member(shut.values["id"], who, participant=True) for who in (a, c)),
        member(hall.values["id"], c, participant=False),
    )
    assert await queries.share_a_space(a, b)
    assert not await queries.share_a_space(a, c)
    assert {row["space_id"] for row in await queries.memberships(a, 10)} == {hall.values["id"], shut.values["id"]}
    first, second = sorted((hall.values["id"], shut.values["id"]))
    assert [row["space_id"] for row in await queries.memberships(a, 10, first)] == [second]


async def test_the_spaces_that_one_joined_are_listed_private_ones_too(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    me, other = str(uuid4()), str(uuid4())
    names: dict[str, dict[str, Any]] = {
        "hall": {},
        "cell": {"access_level": "private"},
        "left": {},
        "elsewhere": {},
        "shut": {"closed_at": NOW},
    }
    rows = {
        name: space(name=name, facilitator_id=other, created_at=NOW + timedelta(seconds=at), **values)
        for at, (name, values) in enumerate(names.items())
    }
    members = [
        member(rows[name].values["id"], me, participant=name != "left") for name in ("hall", "cell", "left", "shut")
    ]
    members.append(member(rows["elsewhere"].values["id"], other, participant=True))
    await write(postgres_backend, *rows.values(), *members)
    found = await queries.spaces(me, 10, joined=True)
    assert [each["name"] for each in found] == ["cell", "hall"]
    assert [each["name"] for each in await queries.spaces(me, 10, found[0]["id"], joined=True)] == ["hall"]
    assert [each["name"] for each in await queries.spaces(me, 10, q="ell", joined=True)] == ["cell"]
    assert await queries.spaces(str(uuid4()), 10, joined=True) == []


async def test_what_is_left_over_of_accounts_that_are_gone(postgres_backend: PostgresBackend, queries: Queries) -> None:
    here, gone, hall, yard = practitioner(), str(uuid4()), str(uuid4()), str(uuid4())
    own, kept, theirs = (
        ritual(is_public=False, author_id=here.values["id"]),
        ritual(is_public=True, author_id=gone),
        ritual(is_public=False, author_id=gone),
    )
    rows = [member(hall, here.values["id"], participant=True), member(hall, gone), member(yard, gone, departed_at=NOW)]
    await write(postgres_backend, here, *rows, own, kept, theirs, ritual(is_public=False))
    assert await queries.gone(10) == [gone]
    assert await queries.gone(10, gone) == []
    found = await queries.left_over(gone, 10)
    assert found == [LeftOver(space=each, practitioner=gone, departed=each == yard) for each in sorted((hall, yard))]
    assert await queries.left_over(gone, 10, found[0].space) == found[1:]
    assert await queries.left_over(here.values["id"], 10) == []
    assert await queries.orphans(gone, 10) == [theirs.values["id"]]
    assert await queries.orphans(here.values["id"], 10) == []
    assert await queries.unpublished(here.values["id"], 10) == [own.values["id"]]
    assert {row["id"] for row in await queries.authored(gone, 10)} == {kept.values["id"], theirs.values["id"]}


async def test_logins_that_count_are_listed_and_a_token_is_known_for_ever(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    who = practitioner()
    later = {"expires_at": NOW + timedelta(days=99_999)}

    def login(token: bytes, **values: Any) -> Upsert:
        ids = {"id": str(uuid4()), "practitioner_id": who.values["id"], "token_hash": token}
        return Upsert(table="auth_sessions", values=ids | later | values)

    counts = login(b"good")
    await write(
        postgres_backend,
        who,
        counts,
        login(b"gone", revoked_at=NOW),
        login(b"old", expires_at=NOW - timedelta(days=9_000)),
    )
    assert [row["id"] for row in await queries.logins(who.values["id"])] == [counts.values["id"]]
    assert [await queries.was_login(token) for token in (b"good", b"gone", b"never")] == [True, True, False]


@pytest.mark.parametrize("key", [None, b"k" * 32])
async def test_stored_events_lose_the_name_of_who_departed_and_keep_all_else(
    postgres_backend: PostgresBackend, key: bytes | None
) -> None:
    seal = Sealer(key) if key else None
    hall, gone, other = str(uuid4()), str(uuid4()), str(uuid4())
    store = PostgresStore(
        postgres_backend.dsn,
        kind="space",
        layout="shared:1",
        shard=0,
        incarnation=postgres_backend.incarnation,
        seal=seal,
    )
    postgres_backend.stores.append(store)
    await store.acquire()
    said = [
        e.Message(by=who, by_name=name, body=msgspec.Raw(b'"I am Secret Name"'))
        for n in range(PAGE)
        for who, name in ((gone, "Secret Name"), (other, "Other"))
    ]
    rows = [
        JournalRow(
            entity_id=hall, seq=n, at=NOW, event_type="message", format=1, data=e.codec.encode(event), stream_offset=n
        )
        for n, event in enumerate(said, start=1)
    ]
    await store.commit(Batch(journal=rows))
    scrubber = Scrubber(postgres_backend.dsn, seal=seal)
    assert await scrubber.scrub(hall, gone) == PAGE
    assert await scrubber.scrub(hall, gone) == 0
    await scrubber.close()
    events = [e.codec.decode(row.format, row.data) for row in (await store.load([hall]))[hall].events]
    assert {(event.by, event.by_name) for event in events} == {(gone, "departed"), (other, "Other")}  # type: ignore[union-attr]
    assert {bytes(event.body) for event in events} == {b'"I am Secret Name"'}  # type: ignore[union-attr]
    stored = await postgres_backend.connection.fetch("SELECT data FROM journal WHERE entity_id = $1", hall)
    assert all(row["data"].startswith(b"\x01") is (key is not None) for row in stored)


@pytest.mark.parametrize("key", [None, b"k" * 32])
async def test_invitations_lose_the_name_of_whoever_sent_them(
    postgres_backend: PostgresBackend, key: bytes | None
) -> None:
    seal = Sealer(key) if key else None
    hall, gone, other, invited = (str(uuid4()) for _ in range(4))
    stores = {}
    for kind in ("space", "practitioner"):
        stores[kind] = PostgresStore(
            postgres_backend.dsn,
            kind=kind,
            layout="shared:1",
            shard=0,
            incarnation=postgres_backend.incarnation,
            seal=seal,
        )
        postgres_backend.stores.append(stores[kind])
        await stores[kind].acquire()

    def row(entity: str, seq: int, codec: Any, type_: str, event: Any) -> JournalRow:
        return JournalRow(entity_id=entity, seq=seq, at=NOW, event_type=type_, format=1, data=codec.encode(event))

    invitation = e.Invited(by=gone, by_name="Secret Name", practitioner=invited, effect="i", space_name="Hall")
    await stores["space"].commit(Batch(journal=[row(hall, 1, e.codec, "invited", invitation)]))
    got = [
        p.OracleConsentChanged(oracle_consent=True),
        *(p.InvitationReceived(space=hall, name="Hall", by=who, by_name="Secret Name") for who in (gone, other)),
    ]
    rows = [row(invited, n, p.codec, tag_of(event), event) for n, event in enumerate(got, start=1)]
    await stores["practitioner"].commit(Batch(journal=rows))
    scrubber = Scrubber(postgres_backend.dsn, seal=seal)
    assert await scrubber.scrub(hall, gone) == 2
    assert await scrubber.scrub(hall, gone) == 0
    await scrubber.close()
    loaded = (await stores["practitioner"].load([invited]))[invited].events
    found = [p.codec.decode(each.format, each.data) for each in loaded]
    assert [getattr(event, "by_name", None) for event in found] == [None, "departed", "Secret Name"]


async def test_what_a_private_space_is_called_is_not_told_to_who_left_it(
    postgres_backend: PostgresBackend, queries: Queries
) -> None:
    who = str(uuid4())
    spaces = {
        "left": space(access_level="private", name="left"),
        "in": space(access_level="private", name="in"),
        "own": space(access_level="private", name="own", facilitator_id=who),
        "open": space(access_level="open", name="open"),
    }
    members = [member(each.values["id"], who, participant=name == "in") for name, each in spaces.items()]
    await write(postgres_backend, *spaces.values(), *members)
    told = {row["space_id"]: row["name"] for row in await queries.memberships(who, 10)}
    expected = {each.values["id"]: None if name == "left" else name for name, each in spaces.items()}
    assert told == expected


@pytest.mark.parametrize("key", [None, b"k" * 32])
async def test_what_somebody_said_is_found_window_by_window(
    postgres_backend: PostgresBackend, key: bytes | None
) -> None:
    seal = Sealer(key) if key else None
    hall, who, other = str(uuid4()), str(uuid4()), str(uuid4())
    store = PostgresStore(
        postgres_backend.dsn, kind="space", layout="l", shard=0, incarnation=postgres_backend.incarnation, seal=seal
    )
    postgres_backend.stores.append(store)
    await store.acquire()
    said = [e.Message(by=who if n % 10 == 0 else other, body=msgspec.Raw(b"%d" % n)) for n in range(1, 101)]
    rows = [
        JournalRow(entity_id=hall, seq=n, at=NOW, event_type="message", format=1, data=e.codec.encode(event))
        for n, event in enumerate(said, start=1)
    ]
    await store.commit(Batch(journal=rows))
    queries = Queries(postgres_backend.dsn, seal=seal)
    assert (await queries.head("space", hall), await queries.head("space", who)) == (100, 0)
    found = [row.seq for row in await queries.said(hall, who, 0, 100, 30)]
    assert found == ([10, 20, 30] if key is None else list(range(1, 31)))
    assert len(await queries.said(hall, who, 0, 2, 100)) == 2
    assert await queries.said(hall, who, 100, 10, 50) == []
    await queries.close()

"""One bad command among a hundred good ones in a batch: it alone fails, and it is told why."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter

from proxy import Pair, Proxy, Way, socket_of
from shards import Follower, Rig, Sent, rig, within

from actors.practitioner import commands as practitioner
from actors.practitioner.entity import PractitionerKind

ROUND = 100


def register(by: Follower, email: str) -> Sent:
    """A registration as the gateway asks for it."""
    who = str(uuid.uuid4())
    command = practitioner.Register(email=email, password_hash="$argon2id$x")
    return by.ask(who, command, f"{who}:k-register", None, encode=practitioner.encode)


async def all_in_one_batch(on: Rig, proxy: Proxy, emails: list[str]) -> list[Sent]:
    """A hundred registrations, decided while another commit is held up, so that they are committed together."""
    warm = register(on.follower, "first@example.org")
    await within(warm.answer)
    (writer,) = [pair for pair in proxy.open() if not pair.application.endswith(" r")]
    writer.delay_s[Way.DOWN] = 3600.0
    register(on.follower, "held@example.org")
    passed = asyncio.Event()
    proxy.trace = lambda pair, way, data: passed.set() if (pair, way) == (writer, Way.DOWN) else None
    await within(passed.wait())
    sent = [register(on.follower, email) for email in emails]
    good = len({email.lower() for email in emails})
    while on.shard.gate.filling < good:  # noqa: ASYNC110 - what has to be claimed first is claimed over many turns
        await asyncio.sleep(0.01)
    flush(writer)
    await within(asyncio.wait([one.answer for one in sent]))
    return sent


def flush(pair: Pair) -> None:
    """Let what was held up go, and hold nothing any more."""
    pair.delay_s[Way.DOWN] = 0.0
    pair.release(Way.DOWN)


async def check(on: Rig, good: list[Sent]) -> None:
    """Each of them is an account, once: journal, row, permanent claim."""
    for one in good:
        await on.check(one.entity, [one])
    emails = await on.admin.fetch("SELECT id::text, email FROM practitioners")
    rows = {row["id"]: row["email"] for row in emails}
    claims = await on.admin.fetch("SELECT entity_id, name FROM claims WHERE expires_at IS NULL")
    claimed = {row["entity_id"]: row["name"] for row in claims}
    for one in good:
        assert rows[one.entity] == claimed[one.entity]


async def test_of_two_registrations_of_one_email_in_a_batch_of_a_hundred_one_is_refused(database: str) -> None:
    emails = [f"p{n}@example.org" for n in range(ROUND - 1)]
    emails.insert(50, "P7@Example.org ")
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database, PractitionerKind()) as on:
        sent = await all_in_one_batch(on, proxy, [email.strip() for email in emails])
        refused = [one for one in sent if one.refusals]
        assert refused == [sent[50]]
        assert refused[0].refusals == ["conflict"]
        await check(on, [one for one in sent if one is not sent[50]])
        assert await on.journal(sent[50].entity) == []


async def test_a_unique_violation_behind_the_claims_back_fails_its_own_command_alone(database: str) -> None:
    emails = [f"p{n}@example.org" for n in range(ROUND)]
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database, PractitionerKind()) as on:
        await on.admin.execute(
            "INSERT INTO practitioners (email, password_hash) VALUES ('p42@example.org', 'somebody else')"
        )
        commits = on.shard.commits.committed
        sent = await all_in_one_batch(on, proxy, emails)
        assert Counter(tuple(one.refusals) for one in sent) == {(): ROUND - 1, ("conflict",): 1}
        assert sent[42].refusals == ["conflict"]
        assert on.shard.commits.committed - commits == 2 + ROUND - 1  # the batch failed as one, then each went alone
        await check(on, [one for one in sent if one is not sent[42]])
        assert await on.journal(sent[42].entity) == []
        # The guilty one left nothing in memory either: the account may be made with another email.
        assert on.shard.cells[sent[42].entity].seq == 0
        other = practitioner.Register(email="free@example.org", password_hash="x")
        again = on.follower.ask(sent[42].entity, other, sent[42].operation, None, encode=practitioner.encode)
        await within(again.answer)
        await check(on, [again])

"""The unknown outcome: the database's connection ends at every byte of a commit's conversation, in both directions.

A shard lives through hundreds of cases, so that what a recovery left behind would show in those after it. Each case is a
space of its own: three commands fly, two more and a read wait behind them, the connection ends, and then every one has
its answer once, is in the journal once, was pushed once, and asked again says what it said first.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from proxy import Cut, Pair, Proxy, Way, socket_of
from shards import Rig, Sent, cluster, operation, person, shard_in, within

from actors.runtime.entity import Caller
from actors.runtime.gate import Phase
from actors.space import commands as space

LANES = 4
"""Shards that take the cases in turn: while one waits for the database, another is at work."""
FIRST_REQUEST = 1000
"""All request ids have as many digits, so that each case is as long as the others."""
ANA, BO = person(1), person(2)


class Case:
    """A space that two people are in, and the commands whose commit is disturbed."""

    def __init__(self, on: Rig) -> None:
        self.rig, self.id, self.n = on, str(uuid.uuid4()), FIRST_REQUEST
        self.sent: list[Sent] = []

    def ask(self, command: space.SpaceCommand, who: Caller = ANA) -> None:
        self.n += 1
        self.sent.append(self.rig.follower.ask(self.id, command, operation(who, self.n), who))

    def say(self, text: str, who: Caller = ANA) -> None:
        self.ask(space.SendMessage(body=json.dumps(text).encode()), who)

    async def begin(self) -> None:
        """Both are in, all of it committed."""
        self.ask(space.CreateSpace(name="s", purpose="p", access_level="open"))
        self.ask(space.Join(), ANA)
        self.ask(space.Join(), BO)
        await self.answered()

    def three(self, *, rows: bool) -> None:
        """The commands of the batch; with ``rows`` it also writes a table's row, in an explicit transaction."""
        self.say("one")
        if rows:
            self.ask(space.UpdateSpace(purpose="q"))
        else:
            self.say("two", BO)
        self.say("three")

    async def answered(self) -> None:
        await within(asyncio.gather(*(one.answer for one in self.sent)))

    async def check(self) -> None:
        """Everything once, and a repetition is answered as the first time."""
        rows = await self.rig.check(self.id, self.sent)
        again = [self.rig.follower.repeat(one) for one in self.sent]
        replies = await within(asyncio.gather(*(one.answer for one in again)))
        assert replies == [one.answer.result() for one in self.sent]
        assert len(await self.rig.journal(self.id)) == len(rows)
        assert self.rig.follower.unanswered == 0


async def disturb(on: Rig, proxy: Proxy, cut: Cut, *, rows: bool) -> str:
    """One case, with the cut armed for the commit of the first three commands. Says how it went."""
    case = Case(on)
    await case.begin()
    proxy.arm(cut)
    case.three(rows=rows)
    while on.shard.gate.phase is Phase.IDLE:  # noqa: ASYNC110 - a turn or two of the loop
        await asyncio.sleep(0)
    case.say("four")  # the batch has taken off; what comes now fills the next
    case.say("five", BO)
    on.follower.ask(case.id, space.GetSpace(), None, BO)
    settled = await outcome_of(on, case)
    proxy.arm(None)
    await case.check()
    assert cut.fired
    return "told to ask again" if any(one.refusals for one in case.sent) else settled


async def outcome_of(on: Rig, case: Case) -> str:
    """Until all is answered; whether the doubtful commit turned out to have come through."""
    said = "decided again"
    commits: Any = on.shard.commits
    looked = commits._came_through

    async def look(*args: Any) -> bool:
        nonlocal said
        through: bool = await looked(*args)
        said = "had come through" if through else "decided again"
        return through

    commits._came_through = look
    await case.answered()
    commits._came_through = looked
    return said


async def conversation(on: Rig, proxy: Proxy, *, rows: bool) -> dict[Way, bytes]:
    """What both ends of the writer's connection say in the commit of the three commands."""
    said = {Way.UP: b"", Way.DOWN: b""}

    def listen(pair: Pair, way: Way, data: bytes) -> None:
        if not pair.application.endswith(" r"):
            said[way] += data

    case = Case(on)
    await case.begin()
    proxy.trace = listen
    case.three(rows=rows)
    await case.answered()
    proxy.trace = None
    return said


def boundaries(data: bytes) -> Iterator[int]:
    """Where PostgreSQL's messages begin and end: a type, a length, the content."""
    at = 0
    while at < len(data):
        yield at
        at += 1 + int.from_bytes(data[at + 1 : at + 5], "big")
    assert at == len(data), "not a whole conversation"
    yield at


def around(data: bytes) -> list[int]:
    """The bytes beside each boundary of messages."""
    return sorted({n for at in boundaries(data) for n in (at - 1, at, at + 1) if 0 <= n <= len(data)})


async def disturb_all(database: str, cuts: Iterable[Cut], *, rows: bool) -> Counter[str]:
    """Every cut, shared out to the lanes."""
    left, outcomes = iter(cuts), Counter[str]()

    async def lane(of: tuple[str, int], index: int) -> None:
        async with Proxy(socket_of(database)) as proxy, shard_in(of, proxy.dsn(database), index=index) as on:
            for cut in left:
                outcomes[await disturb(on, proxy, cut, rows=rows)] += 1

    async with cluster(database) as of, asyncio.TaskGroup() as lanes:
        for index in range(LANES):
            lanes.create_task(lane(of, index))
    return outcomes


async def measured(database: str, *, rows: bool) -> dict[Way, bytes]:
    """The conversation of an undisturbed case."""
    async with cluster(database) as of, Proxy(socket_of(database)) as proxy, shard_in(of, proxy.dsn(database)) as on:
        return await conversation(on, proxy, rows=rows)


@pytest.mark.timeout(300)
async def test_a_connection_cut_at_any_byte_of_a_commit_loses_and_doubles_nothing(database: str) -> None:
    said = await measured(database, rows=False)
    up, down = len(said[Way.UP]), len(said[Way.DOWN])
    cuts = [Cut(Way.UP, n) for n in range(up + 1)] + [Cut(Way.DOWN, n) for n in range(down + 1)]
    outcomes = await disturb_all(database, cuts, rows=False)
    # What the server did not hear to the end it did not do. (After the last byte the cut meets the next commit's first.)
    assert outcomes == {"decided again": up + 1, "had come through": down + 1}


@pytest.mark.timeout(300)
async def test_a_transaction_that_also_writes_rows_cut_around_each_message(database: str) -> None:
    said = await measured(database, rows=True)
    cuts = [Cut(Way.UP, n) for n in around(said[Way.UP])] + [Cut(Way.DOWN, n) for n in range(len(said[Way.DOWN]))]
    outcomes = await disturb_all(database, cuts, rows=True)
    # Before COMMIT was sent nothing can have happened, and the callers are told so; then it is unknown.
    assert outcomes.keys() == {"told to ask again", "decided again", "had come through"}


@pytest.mark.timeout(300)
async def test_a_server_that_never_hears_of_the_cut_is_settled_too(database: str) -> None:
    """Its transaction stays open, with the lease's row locked: the settling ends that very backend."""
    outcomes: Counter[str] = Counter()
    for rows in (False, True):
        said = await measured(database, rows=rows)
        cuts = [Cut(Way.UP, n, server_hears=False) for n in around(said[Way.UP])]
        outcomes += await disturb_all(database, cuts, rows=rows)
    assert outcomes.keys() == {"told to ask again", "decided again"}

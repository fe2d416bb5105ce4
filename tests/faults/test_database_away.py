"""A database that answers late, not at all, or is gone for a while: callers hear so, and nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from proxy import Cut, Pair, Proxy, Way, socket_of
from shards import Follower, Rig, Sent, cluster, operation, person, rig, shard_in, within

from actors.runtime.gate import Phase
from actors.space import commands as space

DELAY_S = 0.2
WRITERS, MESSAGES = 20, 5


class Hall:
    """A space in which everybody is, and what was asked there."""

    def __init__(self, on: Rig, people: int = 1) -> None:
        self.rig, self.id = on, str(uuid.uuid4())
        self.people = [person(n) for n in range(1, people + 1)]
        self.sent: list[Sent] = []
        self.n = 0

    def ask(self, command: space.SpaceCommand, who: int = 0) -> Sent:
        self.n += 1
        caller = self.people[who]
        self.sent.append(self.rig.follower.ask(self.id, command, operation(caller, self.n), caller))
        return self.sent[-1]

    def say(self, body: object, who: int = 0) -> Sent:
        return self.ask(space.SendMessage(body=json.dumps(body).encode()), who)

    async def begin(self) -> None:
        room = space.CreateSpace(name="s", purpose="p", access_level="open", participant_limit=len(self.people))
        self.ask(room)
        for who in range(len(self.people)):
            self.ask(space.Join(), who)
        await self.answered()

    async def answered(self) -> None:
        await within(asyncio.gather(*(one.answer for one in self.sent)))

    async def said(self) -> list[object]:
        """The bodies in the journal, after the check."""
        rows = await self.rig.check(self.id, self.sent)
        return [json.loads(row.data)["body"] for row in rows if row.event_type == "message"]


def writer_of(proxy: Proxy) -> Pair:
    """The connection that commits."""
    (pair,) = [pair for pair in proxy.open() if not pair.application.endswith(" r")]
    return pair


async def test_a_slow_database_is_used_by_group_commit_and_order_is_kept(database: str) -> None:
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database) as on:
        hall = Hall(on, WRITERS)
        await hall.begin()
        writer_of(proxy).delay_s[Way.DOWN] = DELAY_S
        commits, began = on.shard.commits.committed, asyncio.get_running_loop().time()

        async def write(who: int) -> None:
            for n in range(MESSAGES):
                await within(hall.say([who, n], who).answer)

        await asyncio.gather(*(write(who) for who in range(WRITERS)))
        took = asyncio.get_running_loop().time() - began
        # All that waits goes with the next commit: a round of everybody's is one commit, or two where they fell apart.
        assert on.shard.commits.committed - commits <= 2 * MESSAGES
        assert took < WRITERS * MESSAGES * DELAY_S / 4
        said = await hall.said()
        assert len(said) == WRITERS * MESSAGES
        for who in range(WRITERS):
            assert [body for body in said if body[0] == who] == [[who, n] for n in range(MESSAGES)]  # type: ignore[index]


@pytest.mark.parametrize("fault", ["the commit is swallowed", "its answer is swallowed", "everything is swallowed"])
async def test_a_half_open_database_is_given_up_and_the_commit_settled(database: str, fault: str) -> None:
    """Neither fails nor returns: the client's own limit ends the wait, a new connection tells what became of it."""
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database) as on:
        hall = Hall(on, 3)
        await hall.begin()
        match fault:
            case "the commit is swallowed":
                proxy.arm(Cut(Way.UP, 0, half_open=True))
            case "its answer is swallowed":
                proxy.arm(Cut(Way.DOWN, 0, half_open=True))
            case _:
                proxy.swallow()
        for n in range(5):
            hall.say(n, n % 3)
        while on.shard.gate.phase is Phase.IDLE:  # noqa: ASYNC110 - a turn or two of the loop
            await asyncio.sleep(0)
        for n in range(5, 10):
            hall.say(n, n % 3)
        assert not any(one.answer.done() for one in hall.sent[-10:])
        await hall.answered()
        assert await hall.said() == list(range(10))
        assert not any(one.refusals for one in hall.sent)  # "unknown" is told to nobody


async def test_a_partition_from_the_database_is_outlived(database: str) -> None:
    """Nothing gets through, new connections included, until the network is whole again."""
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database) as on:
        hall = Hall(on)
        await hall.begin()
        stood = len(proxy.pairs)
        proxy.swallow(new=True)
        for n in range(3):
            hall.say(n)
        tried = asyncio.Event()
        proxy.opened = tried.set
        await within(tried.wait())
        assert len(proxy.pairs) > stood
        assert not any(one.answer.done() for one in hall.sent[-3:])
        proxy.come_back()
        await hall.answered()
        assert await hall.said() == [0, 1, 2]


async def test_without_a_database_callers_are_told_and_it_goes_on_when_it_is_back(database: str) -> None:
    async with Proxy(socket_of(database)) as proxy, rig(proxy.dsn(database), database) as on:
        hall, elsewhere = Hall(on), Hall(on)
        await hall.begin()
        impatient = Follower(on.shard, "impatient", retries=False)
        caller = hall.people[0]
        proxy.vanish()
        while not on.store._writer.is_closed():  # noqa: ASYNC110 - else the commit is under way, and in doubt
            await asyncio.sleep(0.01)
        hello = space.SendMessage(body=b'"hello"')
        told = [impatient.ask(hall.id, hello, operation(caller, 100 + n), caller) for n in range(3)]
        told.append(impatient.ask(elsewhere.id, space.GetSpace(), None, caller))  # not live: it cannot even be loaded
        for one in told:
            with pytest.raises(AssertionError, match="storage_unavailable"):
                await within(one.answer)
        assert [row.event_type for row in await on.journal(hall.id)] == ["created", "joined"]
        # These ask again by themselves until it is done.
        patient = [hall.say(n) for n in range(3)]
        refused = asyncio.Event()
        on.follower.refused = refused.set
        await within(refused.wait())
        proxy.come_back()
        await hall.answered()
        assert sorted(await hall.said()) == [0, 1, 2]  # type: ignore[type-var]
        assert any(one.refusals for one in patient)
        # What was refused changed nothing: the same operation is decided afresh.
        again = impatient.repeat(told[0])
        assert json.loads(await within(again.answer))["offset"]
        hall.sent.append(again)
        assert len(await hall.said()) == 4


async def test_a_commit_in_flight_when_the_database_goes_is_answered_when_it_is_back(database: str) -> None:
    """Both ways at once, in two shards: the one's commit had come through, the other's had not."""
    async with cluster(database) as of, Proxy(socket_of(database)) as proxy:
        dsn = proxy.dsn(database)
        async with shard_in(of, dsn, index=0) as one, shard_in(of, dsn, index=1) as other:
            halls = Hall(one), Hall(other)
            for hall in halls:
                await hall.begin()
            through = asyncio.Event()
            first, second = [pair for pair in proxy.open() if not pair.application.endswith(" r")]
            first.delay_s[Way.DOWN], second.delay_s[Way.UP] = 3600.0, 3600.0
            proxy.trace = lambda pair, way, data: through.set() if (pair, way) == (first, Way.DOWN) else None
            for hall in halls:
                for n in range(3):
                    hall.say(n)
            await within(through.wait())
            proxy.vanish()
            for hall in halls:
                hall.say(3)
            assert not any(sent.answer.done() for hall in halls for sent in hall.sent[-4:])
            tried = asyncio.Event()
            proxy.opened = tried.set
            await within(tried.wait())
            proxy.come_back()
            for hall in halls:
                await hall.answered()
                assert await hall.said() == [0, 1, 2, 3]
                assert not any(sent.refusals for sent in hall.sent)

"""Rituals, the practitioner's own state and group rituals over the socket: the gateway with real sockets over a fake shard."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from gateway_fakes import ALICE, HALL, Client, World, until, world

from actors.practitioner import commands as p
from actors.ritual.values import Brief, run_id_of
from actors.runtime.errors import ActorUnavailable, RitualFailed
from actors.runtime.wire import Ask
from actors.space import commands as s

DANCE = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
BRIEF = Brief(id=DANCE, name="dance", module_hash="00" * 32)
OWN = {
    "ritual.run": {"ritual": "dance"},
    "state.get": {},
    "state.transform": {"transformation_type": "symbol", "parameters": {"name": "spiral"}},
    "state.history": {},
    "state.reflection": {},
}


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        here.shards.space(HALL)
        here.shards.briefs[DANCE] = BRIEF
        here.queries.rituals[DANCE] = "dance"
        here.queries.login("t", ALICE)
        yield here


@asynccontextmanager
async def alice(w: World, **auth: Any) -> AsyncIterator[Client]:
    async with w.socket() as client:
        await client.auth(token="t", **auth)
        yield client


async def begun(w: World, count: int = 1) -> None:
    await until(lambda: len(w.shards.runs) == count and all(run.waiting for run in w.shards.runs.values()))


def asked(w: World, *kinds: type) -> list[Any]:
    """The operations of these kinds that shards were asked, in order."""
    tags = {kind.__struct_config__.tag: kind for kind in kinds}  # type: ignore[attr-defined]
    commands = [each.command for each in w.shards.asked if isinstance(each, Ask) and each.operation]
    return [
        msgspec.msgpack.decode(command, type=tags[tag])
        for command in commands
        if (tag := msgspec.msgpack.decode(command)["type"]) in tags
    ]


@pytest.mark.parametrize("type_", OWN)
async def test_a_guest_has_no_archetypal_state(w: World, type_: str) -> None:
    async with w.guest() as client:
        error = (await client.ask(type_, **OWN[type_]))["error"]
        assert error["code"] == "forbidden"
        assert "an account is needed" in error["message"]
        assert w.shards.asked == []


async def test_a_run_is_answered_with_its_result_and_nothing_waits_behind_it(w: World) -> None:
    async with alice(w) as client:
        await client.send(id=10, type="ritual.run", ritual="dance", intention="joy", parameters={"n": 1})
        await begun(w)
        assert (
            await client.ask(
                "ping",
            )
        )["id"] == client.next_id
        assert (await client.ask("state.get"))["type"] == "result"
        assert (await client.ask("space.get", space=HALL))["type"] == "result"
        (run,) = w.shards.runs.values()
        run.end({"transformation_intensity": 0.5})
        assert await client.receive() == {"id": 10, "type": "result", "result": {"transformation_intensity": 0.5}}
    (command,) = asked(w, p.RunRitual)
    assert command == p.RunRitual(brief=BRIEF, ritual="dance", intention="joy", parameters=b'{"n":1}')


async def test_many_runs_wait_without_being_in_anyones_way(w: World) -> None:
    async with alice(w) as client:
        for n in range(100, 150):
            await client.send(id=n, type="ritual.run", ritual=DANCE)
        await begun(w, 50)
        assert w.gateway.unanswered == 50
        assert (await client.ask("space.get", space=HALL))["type"] == "result"
        for n, run in enumerate(w.shards.runs.values()):
            run.end({"n": n})
        assert sorted([(await client.receive())["id"] for _ in range(50)]) == list(range(100, 150))
        assert w.gateway.unanswered == 0


async def test_parked_runs_count_as_unanswered() -> None:
    async with world(unanswered_requests=2) as w:
        w.shards.briefs[DANCE] = BRIEF
        w.queries.login("t", ALICE)
        async with alice(w) as client:
            for n in (10, 11):
                await client.send(id=n, type="ritual.run", ritual=DANCE)
                await begun(w, n - 9)
            error = (await client.ask("state.get"))["error"]
            assert (error["code"], error["retryable"]) == ("rate_limited", True)
            for run in w.shards.runs.values():
                run.end({})
            assert {(await client.receive())["id"] for _ in range(2)} == {10, 11}
            assert (await client.ask("state.get"))["type"] == "result"


async def test_ones_own_requests_keep_their_order_and_conversation_does_not_wait_for_the_look_up(w: World) -> None:
    async with alice(w) as client:
        w.queries.looking = asyncio.Event()
        await client.send(id=10, type="ritual.run", ritual="dance")
        await client.send(id=11, type="state.transform", **OWN["state.transform"])
        await client.send(id=12, type="space.send", space=HALL, body="meanwhile")
        assert (await client.receive())["id"] == 12
        w.queries.looking.set()
        assert (await client.receive())["id"] == 11
        commands = asked(w, p.RunRitual, p.TransformState)
        assert [type(command) for command in commands] == [p.RunRitual, p.TransformState]


async def test_a_retry_in_progress_waits_for_the_same_outcome_and_a_later_one_gets_it_again(w: World) -> None:
    async with alice(w) as client:
        for _ in range(2):
            await client.send(id=10, type="ritual.run", ritual="dance")
        await begun(w)
        (run,) = w.shards.runs.values()
        run.end({"n": 1})
        first = await client.receive()
        await client.send(id=10, type="ritual.run", ritual="dance")
        assert await client.receive() == first == {"id": 10, "type": "result", "result": {"n": 1}}
        assert len(w.shards.runs) == 1
        await client.send(id=10, type="ritual.run", ritual="another")
        assert (await client.receive())["error"]["code"] == "conflict"


async def cut_during_a_run(w: World) -> dict[str, Any]:
    """A run was begun (id 10), and its socket went. Returns the hello."""
    async with alice(w) as client:
        await client.send(id=10, type="ritual.run", ritual="dance")
        await begun(w)
    await until(lambda: not w.gateway.status()["sockets"])
    assert w.gateway.unanswered == 0
    return client.hello


@pytest.mark.parametrize("outcome", [{"n": 1}, RitualFailed("it wept")])
@pytest.mark.parametrize("ended", ["before", "after"])
async def test_a_retry_after_a_resume_has_the_same_outcome(w: World, ended: str, outcome: Any) -> None:
    hello = await cut_during_a_run(w)
    (run,) = w.shards.runs.values()
    if ended == "before":
        run.end(outcome)
    async with alice(w, resume={"session": hello["session"]}) as client:
        await client.send(id=10, type="ritual.run", ritual="dance")
        if ended == "after":
            await until(lambda: len(run.waiting) == 2)
            run.end(outcome)
        frame = await client.receive()
        assert frame["id"] == 10
        assert frame.get("result") == outcome or frame["error"]["code"] == "ritual_failed"
        assert len(w.shards.runs) == 1


async def test_a_retry_has_its_outcome_also_when_the_ritual_was_withdrawn_since(w: World) -> None:
    hello = await cut_during_a_run(w)
    w.shards.briefs.clear()
    w.queries.rituals.clear()
    async with alice(w, resume={"session": hello["session"]}) as client:
        await client.send(id=10, type="ritual.run", ritual="dance")
        (run,) = w.shards.runs.values()
        await until(lambda: len(run.waiting) == 2)
        run.end({"n": 1})
        assert (await client.receive())["result"] == {"n": 1}


@pytest.mark.parametrize("withdrawn", [False, True])
async def test_a_result_that_the_practitioner_forgot_is_read_from_the_rows(w: World, withdrawn: bool) -> None:
    async with alice(w) as client:
        session = client.hello["session"].partition(".")[0]
        run = run_id_of(f"{session}:10")
        w.queries.runs[ALICE, run] = {"status": "completed", "result": {"n": 1}}
        w.shards.forgotten.add(run)
        if withdrawn:
            w.shards.briefs.clear()
        await client.send(id=10, type="ritual.run", ritual="dance")
        assert (await client.receive())["result"] == {"n": 1}
        w.queries.runs[ALICE, run] = {"status": "failed", "error_code": "ritual_failed", "error_message": "it wept"}
        await client.send(id=10, type="ritual.run", ritual="dance")
        assert (await client.receive())["error"]["code"] == "ritual_failed"


async def test_a_ritual_that_is_not_there_is_not_found_and_one_that_cannot_be_asked_is_to_be_tried_again(
    w: World,
) -> None:
    async with alice(w) as client:
        error = (await client.ask("ritual.run", ritual="sleep"))["error"]
        assert error["code"] == "not_found"
        assert "sleep" in error["message"]
        w.shards.refuse = lambda message: ActorUnavailable("restarting") if message.entity == DANCE else None
        error = (await client.ask("ritual.run", ritual="dance"))["error"]
        assert (error["code"], error["retryable"]) == ("actor_unavailable", True)
        w.queries.down = True
        assert (await client.ask("ritual.run", ritual="dance"))["error"]["code"] == "storage_unavailable"
        w.shards.refuse = lambda message: None
        assert (await client.ask("ritual.run", ritual=DANCE, intention=7))["error"]["errors"][0]["path"] == "intention"
        assert w.gateway.unanswered == 0
        assert asked(w, p.RunRitual) == []


async def test_a_drain_waits_for_a_run(w: World) -> None:
    async with alice(w) as client:
        await client.send(id=10, type="ritual.run", ritual="dance")
        await begun(w)
        drained = asyncio.create_task(w.gateway.drain())
        assert (await client.receive())["type"] == "bye"
        (run,) = w.shards.runs.values()
        run.end({"n": 1})
        assert (await client.receive())["result"] == {"n": 1}
        assert await client.closed() == 1001
        await drained


async def test_the_state_is_read_changed_and_looked_back_upon(w: World) -> None:
    async with alice(w) as client:
        session = client.hello["session"].partition(".")[0]
        assert (await client.ask("state.get"))["type"] == "result"
        assert w.shards.asked[-1].operation is None
        assert (await client.ask("state.transform", **OWN["state.transform"]))["type"] == "result"
        assert w.shards.asked[-1].operation == f"{session}:{client.next_id}"
        (command,) = asked(w, p.TransformState)
        assert command == p.TransformState(transformation_type="symbol", parameters=b'{"name":"spiral"}')
        states = (await client.ask("state.history", limit=3, before=DANCE))["result"]["states"]
        assert states == [{"practitioner": ALICE, "limit": 3, "before": DANCE}]
        assert (await client.ask("state.history", before=7))["result"]["states"][0]["before"] == "7"
        for wrong in ({"limit": 0}, {"limit": 501}, {"before": "x"}, {"before": 2**31}):
            error = (await client.ask("state.history", **wrong))["error"]
            assert (error["code"], error["errors"][0]["path"]) == ("invalid", next(iter(wrong)))
        error = (await client.ask("state.transform", transformation_type="explode"))["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", "transformation_type")


async def test_the_oracle_is_asked_about_the_state_or_about_a_completed_run(w: World) -> None:
    run = {"id": DANCE, "ritual_name": "dance", "intention": None, "status": "completed"}
    run |= {"pre_state": None, "post_state": {"archetypes": {"Sage": 0.5}}, "transformation_intensity": 0.12}
    run["result"] = {"transformation_intensity": 0.1234}
    w.queries.runs[ALICE, DANCE] = run
    w.queries.runs[ALICE, HALL] = run | {"status": "failed"}
    async with alice(w) as client:
        assert (await client.ask("state.reflection"))["type"] == "result"
        assert (await client.ask("state.reflection", session_id=DANCE))["type"] == "result"
        first, second = asked(w, p.Reflect)
        assert first.run is None
        assert (second.run.post.archetypes, second.run.intensity) == ({"Sage": 0.5}, 0.1234)
        assert (await client.ask("state.reflection", session_id=HALL))["error"]["code"] == "conflict"
        assert (await client.ask("state.reflection", session_id=ALICE))["error"]["code"] == "not_found"
        assert (await client.ask("state.reflection", session_id="x"))["error"]["code"] == "not_found"


async def test_a_group_ritual_is_begun_looked_at_and_aborted(w: World) -> None:
    w.queries.names["space.slug", "hall"] = HALL
    async with alice(w) as client:
        session = client.hello["session"].partition(".")[0]
        begin = await client.ask("space.ritual.begin", space="hall", ritual="dance", intention="joy", starts_in_s=2)
        assert begin["result"]["ritual_run"] == f"{session}:{client.next_id}"
        (command,) = asked(w, s.BeginRitual)
        assert command == s.BeginRitual(brief=BRIEF, ritual="dance", intention="joy", starts_in_s=2)
        later = await client.ask("space.ritual.begin", space=HALL, ritual=DANCE, at="2026-12-01T07:00:00Z")
        assert later["type"] == "result"
        assert asked(w, s.BeginRitual)[-1].at is not None
        assert (await client.ask("space.ritual.get", space=HALL))["type"] == "result"
        assert w.shards.asked[-1].operation is None
        assert (await client.ask("space.ritual.abort", space=HALL, ritual_run=DANCE))["type"] == "result"
        assert asked(w, s.AbortRitual) == [s.AbortRitual(ritual_run=DANCE)]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"ritual": "dance", "space": "nowhere"}, "not_found"),
        ({"ritual": "dance", "starts_in_s": 1e9}, "invalid"),
        ({"ritual": "dance", "at": "tomorrow"}, "invalid"),
        ({"ritual": "dance", "at": "9999-12-31T23:59:59-12:00"}, "invalid"),
        ({"ritual": "dance", "parameters": [1]}, "invalid"),
        ({"ritual": "dance", "parameters": {"x": "y" * 20_000}}, "too_large"),
        ({}, "invalid"),
    ],
)
async def test_what_is_wrong_with_a_beginning_is_said_before_the_space_is_asked(
    w: World, fields: dict[str, Any], code: str
) -> None:
    async with alice(w) as client:
        assert (await client.ask("space.ritual.begin", **({"space": HALL} | fields)))["error"]["code"] == code
        assert asked(w, s.BeginRitual) == []


async def test_a_beginning_that_is_tried_again_is_answered_though_its_ritual_was_withdrawn(w: World) -> None:
    async with alice(w) as client:
        await client.send(id=10, type="space.ritual.begin", space=HALL, ritual="dance")
        first = await client.receive()
        w.shards.briefs.clear()
        del w.queries.rituals[DANCE]
        await client.send(id=10, type="space.ritual.begin", space=HALL, ritual="dance")
        assert (await client.receive())["result"] == first["result"]
        error = (await client.ask("space.ritual.begin", space=HALL, ritual="dance"))["error"]
        assert (error["code"], "dance" in error["message"]) == ("not_found", True)


async def test_the_control_engines_path_speaks_the_same(w: World) -> None:
    async with w.socket(path="/ws/collective") as client:
        await client.auth(token="t")
        assert (await client.ask("space.ritual.get", space=HALL))["type"] == "result"

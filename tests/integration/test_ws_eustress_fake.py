"""The lake over real sockets and a fake shard: who may use it, what its actor is asked, what a follower gets and when."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from gateway_fakes import ALICE, BOB, HALL, ROOM, Client, FakeStream, World, until, world

from actors.eustress import commands as e
from actors.runtime.errors import ActorUnavailable, Conflict, NotFound
from actors.runtime.wire import Ask, Dropped, Pushed, Resynced
from server.client import Client as SanghaClient
from server.local_user import ID as LOCAL
from server.ws.protocol import REQUESTS

ODD = 'Ätna: "3", §/…🌋'
"""A name as an engine may give it: colons, quotes, slashes, what is not ASCII."""
SCENE = {"entities": [{"id": "a:b"}], "removed_entities": ["c"]}


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world(local_user=True) as here:
        here.queries.login("engine", ALICE, service="eustress")
        here.queries.login("other", ALICE, service="vajra")
        here.queries.login("person", BOB)
        here.shards.space(HALL)
        yield here


@asynccontextmanager
async def engine(w: World, **auth: Any) -> AsyncIterator[Client]:
    async with w.socket() as client:
        await client.auth(**({"token": "engine"} | auth))
        yield client


def stream_of(w: World, name: str = "cave") -> FakeStream:
    """Of a space that is there."""
    w.queries.lake.add(name)
    return w.shards.streams.setdefault(("eustress", name), FakeStream("eustress", name))


def asked(w: World, kind: type[Any]) -> list[tuple[Ask, Any]]:
    """Commands of a kind that went to the space, with their asks."""
    asks = [each for each in w.shards.asked if isinstance(each, Ask) and each.entity not in (ALICE, BOB, LOCAL, HALL)]
    return [(each, command) for each in asks if isinstance(command := e.codec.decode(each.command), kind)]


async def receive(client: Client, count: int) -> list[dict[str, Any]]:
    return [await client.receive() for _ in range(count)]


# --- who -------------------------------------------------------------------------------------------------------------

FIELDS: dict[str, dict[str, Any]] = {
    "eustress.subscribe": {"space": "cave"},
    "eustress.unsubscribe": {"space": "cave"},
    "eustress.ingest": {"space": "cave"},
    "history": {"stream": "eustress:cave"},
}


@pytest.mark.parametrize("auth", [{"token": "person"}, {"token": "other"}, {"guest": "Gaia"}])
async def test_the_lake_is_for_its_service_alone(w: World, auth: dict[str, str]) -> None:
    async with w.socket() as client:
        await client.auth(**auth)
        for request, fields in FIELDS.items():
            assert (await client.ask(request, **fields))["error"]["code"] == "forbidden", request
        assert not asked(w, e.Command)


async def test_a_service_token_and_the_local_user_may_use_it(w: World) -> None:
    stream_of(w)
    for auth in ({}, {"token": "engine"}):
        async with w.socket() as client:
            await client.auth(**auth)
            for request, fields in FIELDS.items():
                assert (await client.ask(request, **fields))["type"] == "result", request
                if request == "eustress.subscribe":
                    assert (await client.receive())["type"] == "snapshot"


NEEDED: dict[str, Any] = {
    "space": HALL, "name": "n", "purpose": "p", "practitioner": BOB, "body": 1, "phase_rad": 1, "ritual": "dance",
    "transformation_type": "symbol", "session": HALL,
}  # fmt: skip


@pytest.mark.parametrize("request_type", sorted({*REQUESTS} - {*FIELDS, "ping", "auth"}))
async def test_a_service_token_is_for_nothing_else(w: World, request_type: str) -> None:
    async with engine(w) as client:
        fields = {name: NEEDED[name] for name in REQUESTS[request_type].__struct_fields__ if name in NEEDED}
        error = (await client.ask(request_type, **fields))["error"]
        assert (error["code"], "service token" in error["message"]) == ("forbidden", True)


async def test_a_service_token_reads_no_other_streams_and_is_told_of_wrong_ones(w: World) -> None:
    async with engine(w) as client:
        assert (await client.ask("ping"))["type"] == "result"
        assert (await client.ask("auth"))["error"]["code"] == "bad_request"
        for stream in (f"space:{HALL}", f"practitioner:{ALICE}", f"practitioner:{BOB}"):
            assert (await client.ask("history", stream=stream))["error"]["code"] == "forbidden"
        for stream in ("eustress:", "eustress:a\nb", "eustress:" + "x" * 201, "lake:x", "eustress"):
            assert (await client.ask("history", stream=stream))["error"]["code"] == "invalid"


# --- ingest ----------------------------------------------------------------------------------------------------------


async def test_items_go_to_the_space_as_they_came_and_a_retry_is_the_same_operation(w: World) -> None:
    async with engine(w) as client:
        session = client.hello["session"].partition(".")[0]
        answer = await client.ask("eustress.ingest", space=ODD, **SCENE, source="unknown")
        assert answer["result"] == {"success": True, "message": "", "version": 1}
        ((ask, command),) = asked(w, e.Ingest)
        assert (ask.entity, ask.operation) == (ODD, f"{session}:{client.next_id}")
        assert ask.caller is not None
        assert (ask.caller.practitioner, ask.caller.session) == (ALICE, session)
        assert (command.what, command.per_item, json.loads(command.items)) == ("batch", False, SCENE)
        await client.send(id=client.next_id, type="eustress.ingest", space=ODD, **SCENE, source="unknown")
        assert (await client.receive())["result"] == answer["result"]
        assert len(stream_of(w, ODD).frames) == 1


async def test_a_space_that_is_not_there_is_asked_for_nothing_but_to_be_made(w: World) -> None:
    async with engine(w) as client:
        for request, fields in FIELDS.items():
            if request not in ("eustress.ingest", "eustress.unsubscribe"):
                assert (await client.ask(request, **fields))["error"]["code"] == "not_found", request
        w.queries.down = True
        for request in ("eustress.subscribe", "eustress.ingest"):
            assert (await client.ask(request, space="cave"))["error"]["code"] == "storage_unavailable"
        w.queries.down = False
        assert not asked(w, e.Command)
        assert (await client.ask("eustress.ingest", space="cave"))["type"] == "result"
        assert (await client.ask("eustress.subscribe", space="cave"))["type"] == "result", "the gateway knows of it"


async def test_so_many_spaces_may_be_made_and_what_waits_keeps_its_order() -> None:
    async with world(eustress_spaces=2) as w:
        w.queries.login("engine", ALICE, service="eustress")
        stream_of(w, "there")
        async with engine(w) as client:
            w.shards.hold()
            for n, space in ((10, "new"), (11, "new"), (12, "more"), (13, "there")):
                await client.send(id=n, type="eustress.ingest", space=space, entities=[{"id": str(n)}])
            await client.send(id=14, type="eustress.unsubscribe", space="new")
            w.shards.release()
            w.queries.lake.add("new")
            answers = [each for each in await receive(client, 5) if "id" in each]
            codes = [each.get("error", {}).get("code", "ok") for each in answers]
            assert [each["id"] for each in answers] == [10, 11, 12, 13, 14]
            assert codes == ["ok", "ok", "full", "ok", "ok"]


async def test_what_is_wrong_with_items_is_the_spaces_to_say(w: World) -> None:
    async with engine(w) as client:
        await client.ask("eustress.ingest", space="cave", entities=None, connections={"a": [1.5, "x"]})
        ((_, command),) = asked(w, e.Ingest)
        assert command.items == b'{"entities":null,"connections":{"a":[1.5,"x"]}}'
        await client.ask("eustress.ingest", space="cave")
        assert asked(w, e.Ingest)[-1][1].items == b"{}"
        error = (await client.ask("eustress.ingest", space="cave", entities=[{"id": "nul\0"}]))["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", "entities.0.id")


# --- following -------------------------------------------------------------------------------------------------------


async def test_a_subscription_begins_with_a_snapshot_or_with_the_replay_after_an_offset(w: World) -> None:
    cave = stream_of(w, ODD)
    for n in range(3):
        w.shards.say(cave, n)
    async with engine(w) as client, engine(w) as late:
        assert (await client.ask("eustress.subscribe", space=ODD))["result"] == {"space": ODD, "offset": 3}
        assert await client.receive() == {
            "type": "snapshot", "stream": f"eustress:{ODD}", "offset": 3, "state": {"events": 3}, "reason": "joined"
        }  # fmt: skip
        await late.ask("eustress.subscribe", space=ODD, after=1)
        assert [(each["stream"], each["offset"]) for each in await receive(late, 2)] == [
            (f"eustress:{ODD}", 2),
            (f"eustress:{ODD}", 3),
        ]
        assert all(ask.operation is None for ask, _ in asked(w, e.Subscribe))
        await client.ask("eustress.ingest", space=ODD, entities=[])
        for each in (client, late):
            assert (await each.receive())["offset"] == 4
        page = (await client.ask("history", stream=f"eustress:{ODD}", after=2))["result"]["events"]
        assert [each["offset"] for each in page] == [3, 4]


async def test_one_session_unsubscribes_and_the_others_of_the_service_go_on(w: World) -> None:
    cave = stream_of(w)
    async with engine(w) as one, engine(w) as other:
        for client in (one, other):
            await client.ask("eustress.subscribe", space="cave")
            await client.receive()
        assert (await one.ask("eustress.unsubscribe", space="cave"))["result"] == {"space": "cave"}
        session = one.hello["session"].partition(".")[0]
        assert [(each.entity, each.session) for each in w.shards.unfollowed] == [("cave", session)]
        w.shards.say(cave, 1)
        assert (await other.receive())["offset"] == 1
        assert (await one.ask("ping"))["type"] == "result"
        assert (await one.ask("eustress.unsubscribe", space="cave"))["type"] == "result", "once more changes nothing"
        assert len(w.shards.unfollowed) == 1


async def test_whoever_subscribes_again_begins_again(w: World) -> None:
    cave = stream_of(w)
    async with engine(w) as client:
        await client.ask("eustress.subscribe", space="cave")
        await client.receive()
        w.shards.say(cave, 1)
        await client.receive()
        await client.ask("eustress.subscribe", space="cave", after=0)
        assert (await client.receive())["offset"] == 1
        await client.ask("eustress.subscribe", space="cave")
        assert (await client.receive())["type"] == "snapshot"
        w.shards.say(cave, 2)
        assert (await client.receive())["offset"] == 2


async def test_until_the_space_has_answered_a_subscription_cannot_be_taken_back(w: World) -> None:
    stream_of(w)
    async with engine(w) as client:
        w.shards.hold()
        await client.send(id=10, type="eustress.subscribe", space="cave")
        for n, type_ in ((11, "eustress.unsubscribe"), (12, "eustress.subscribe")):
            await client.send(id=n, type=type_, space="cave")
            error = (await client.receive())["error"]
            assert (error["code"], error["retryable"]) == ("actor_unavailable", True)
        w.shards.release()
        assert [each.get("id") or each["type"] for each in await receive(client, 2)] == [10, "snapshot"]
        await client.send(id=11, type="eustress.unsubscribe", space="cave")
        assert (await client.receive())["result"] == {"space": "cave"}


async def test_streams_of_all_kinds_count_towards_what_a_session_may_follow() -> None:
    async with world(joined_spaces=2, local_user=True) as w, w.socket() as client:
        w.shards.space(HALL)
        await client.auth()
        await client.join(HALL)
        for name in ("cave", "mine", "gone"):
            stream_of(w, name)
        w.shards.refuse = lambda ask: NotFound("none") if ask.entity == "gone" else None
        assert (await client.ask("eustress.subscribe", space="gone"))["error"]["code"] == "not_found"
        await client.ask("eustress.subscribe", space="cave")
        assert (await client.receive())["type"] == "snapshot"
        assert (await client.ask("eustress.subscribe", space="mine"))["error"]["code"] == "full"
        assert (await client.ask("space.join", space=ROOM))["error"]["code"] == "full"
        await client.ask("eustress.unsubscribe", space="cave")
        assert (await client.ask("eustress.subscribe", space="mine"))["type"] == "result"


async def test_names_that_look_like_other_entities_are_their_own_streams(w: World) -> None:
    hall, same, mine = w.shards.space(HALL), stream_of(w, HALL), stream_of(w, LOCAL)
    async with w.socket() as client:
        await client.auth()
        await client.join(HALL)
        for name in (HALL, LOCAL):
            await client.ask("eustress.subscribe", space=name)
            await client.receive()
        w.shards.say(same, "scene")
        w.shards.say(hall, "om")
        w.shards.say(mine, "scene")
        w.shards.push(w.shards.streams["practitioner", LOCAL], "invitation", {})
        assert [each["stream"] for each in await receive(client, 4)] == [
            f"practitioner:{LOCAL}",  # it leaves at once, the others together at the end of the turn
            f"space:{HALL}",
            f"eustress:{HALL}",
            f"eustress:{LOCAL}",
        ]
        await client.ask("eustress.unsubscribe", space=HALL)
        w.shards.say(hall, "om")
        assert (await client.receive())["stream"] == f"space:{HALL}"
    await until(lambda: not w.gateway.status()["sockets"])
    assert sorted(each.entity for each in w.shards.unfollowed) == sorted([HALL, HALL, LOCAL, LOCAL])


# --- the client ------------------------------------------------------------------------------------------------------


async def test_the_client_watches_ingests_and_ends_its_watch(w: World) -> None:
    cave = stream_of(w, ODD)
    w.shards.say(cave, "before")
    async with SanghaClient(w.url, token="engine") as client:
        async with client.eustress_subscribe(ODD) as scene:
            assert (scene.space, scene.state, scene.offset) == (ODD, {"events": 1}, 1)
            assert (await scene.ingest(entities=[{"id": "a"}], removed_entities=["b"]))["version"] == 2
            events = aiter(scene)
            event = await anext(events)
            assert (event.stream, event.offset) == (cave.name, 2)
            assert event.body == {"entities": [{"id": "a"}], "removed_entities": ["b"]}
            with pytest.raises(Conflict):
                async with client.eustress_subscribe(ODD):
                    pass
            await cut(w)
            w.shards.say(cave, "meanwhile")
            assert (await anext(events)).offset == 3
        assert cave.followers == {}
        assert (await client.eustress_ingest("other", connections=[]))["version"] == 1
        assert [each["offset"] async for each in client.history(cave.name, after=1)] == [2, 3]
        with pytest.raises(NotFound):
            async with client.eustress_subscribe("nowhere"):
                pass
        async with client.eustress_subscribe(ODD, after=1) as scene:
            assert [(await anext(aiter(scene))).offset for _ in range(2)] == [2, 3]


async def cut(w: World) -> None:
    """The one connection goes."""
    (connection,) = w.gateway._connections
    connection.transport.abort()
    await until(lambda: connection not in w.gateway._connections)


async def test_the_local_user_needs_no_token(w: World) -> None:
    async with SanghaClient(w.url, local=True) as client:
        assert client.practitioner["id"] == LOCAL
        await client.eustress_ingest("cave")
        async with client.eustress_subscribe("cave"):
            await client.eustress_unsubscribe("cave")
    for wrong in ({}, {"local": True, "guest": "Gaia"}):
        with pytest.raises(ValueError, match="either"):
            SanghaClient(w.url, **wrong)


# --- coming back -----------------------------------------------------------------------------------------------------


async def test_a_resumed_engine_gets_exactly_what_it_missed(w: World) -> None:
    cave = stream_of(w, ODD)
    async with engine(w) as client:
        await client.ask("eustress.subscribe", space=ODD)
        await client.receive()
        w.shards.say(cave, 1)
        await client.receive()
        hello = client.hello
    for n in range(2, 5):
        w.shards.say(cave, n)
    refusals = [ActorUnavailable("restarting")]
    w.shards.refuse = lambda ask: refusals.pop() if ask.entity == ODD and refusals else None
    offsets = {f"eustress:{ODD}": 1, f"practitioner:{ALICE}": 0}
    async with engine(w, resume={"session": hello["session"], "offsets": offsets}) as client:
        assert client.hello["resumed"] is True
        assert [each["offset"] for each in await receive(client, 3)] == [2, 3, 4]
        w.shards.say(cave, 5)
        assert (await client.receive())["offset"] == 5


async def test_a_stream_that_cannot_be_resumed_is_told_by_its_name(w: World) -> None:
    async with engine(w) as client:
        hello = client.hello
    stream_of(w, "gone")
    w.shards.refuse = lambda ask: NotFound("none") if ask.entity == "gone" else None
    offsets = {f"eustress:{ODD}": 1, "eustress:gone": 2}
    async with engine(w, resume={"session": hello["session"], "offsets": offsets}) as client:
        for left in await receive(client, 2):
            assert offsets.pop(left["stream"])
            assert (left["event"], left["body"]) == ("left", {"reason": "not_found"})
    assert not asked(w, e.Command) or asked(w, e.Command)[0][0].entity == "gone"


@pytest.mark.parametrize(
    ("token", "stream"),
    [("person", "eustress:cave"), ("engine", f"space:{HALL}"), ("engine", "eustress:a\nb"), ("engine", "lake:x")],
)
async def test_only_what_the_login_may_follow_is_resumed(w: World, token: str, stream: str) -> None:
    async with engine(w, token=token) as client:
        hello = client.hello
    async with w.socket() as client:
        resume = {"session": hello["session"], "offsets": {stream: 1}}
        await client.send(id=1, type="auth", token=token, resume=resume)
        error = (await client.receive())["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", "resume.offsets")


async def test_a_link_that_is_back_tells_what_was_missed_once(w: World) -> None:
    cave = stream_of(w, ODD)
    async with engine(w) as client:
        await client.ask("eustress.subscribe", space=ODD)
        await client.receive()
        w.shards.say(cave, 1)
        assert (await client.receive())["offset"] == 1
        (follow,) = w.gateway.follows("eustress")
        assert (follow.entity, follow.after, [each.practitioner for each in follow.sessions]) == (ODD, 1, [ALICE])
        offset, missed = cave.event("changed", {})
        for number, frame in ((1, cave.frames[0]), (2, missed)):
            w.gateway.on_message("eustress", Pushed(ODD, number, frame))
        w.gateway.on_message("eustress", Resynced(ODD, offset))
        assert (await client.receive())["offset"] == 2
        w.gateway.on_message("eustress", Dropped(ODD, None))
        assert (await client.ask("ping"))["type"] == "result"
        assert w.gateway.follows("eustress") == []

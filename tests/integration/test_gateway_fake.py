"""The gateway over real sockets and a fake shard: the native dialect as a client meets it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import websockets
from gateway_fakes import ALICE, BOB, HALL, ROOM, Client, World, until, world

from actors.runtime.errors import ActorUnavailable, Forbidden, SanghaError
from actors.runtime.wire import Ask, Following, Page, Pushed, Resynced
from server.ws.socket import Connection


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        here.shards.space(HALL)
        yield here


def offsets(frames: list[dict]) -> list[int]:
    return [frame["offset"] for frame in frames if frame["type"] == "event" and "offset" in frame]


# --- authentication --------------------------------------------------------------------------------------------------


async def test_a_guest_gets_a_session_a_secret_and_the_limits(w: World) -> None:
    async with w.guest("Gaia") as client:
        assert client.hello["practitioner"]["name"] == "Gaia"
        assert client.hello["practitioner"]["guest"] is True
        assert client.hello["secret"]
        assert client.hello["resumed"] is False
        assert client.hello["limits"]["message_bytes"] == 16384


async def test_a_token_in_the_frame_or_on_the_upgrade_enters_the_practitioner(w: World) -> None:
    w.queries.login("t", ALICE)
    async with w.socket() as client:
        hello = await client.auth(token="t")
        assert hello["practitioner"]["id"] == ALICE
        assert hello["practitioner"]["name"] == "Ariadne"
    async with w.socket(additional_headers={"Authorization": "Bearer t"}) as client:
        assert (await client.auth())["practitioner"]["id"] == ALICE


@pytest.mark.parametrize(
    "first",
    [
        {"id": 1, "type": "auth", "token": "wrong"},
        {"id": 1, "type": "auth"},
        {"id": 1, "type": "ping"},
        {"id": 1, "type": "auth", "guest": " "},
    ],
)
async def test_no_credential_closes_4001(w: World, first: dict) -> None:
    async with w.socket() as client:
        await client.send(**first)
        frame = await client.receive()
        assert (frame["id"], frame["type"]) == (1, "error")
        assert await client.closed() == 4001


async def test_garbage_as_the_first_frame_closes_4001(w: World) -> None:
    async with w.socket() as client:
        await client.socket.send("what?")
        assert (await client.receive())["error"]["code"] == "bad_request"
        assert await client.closed() == 4001


async def test_silence_closes_4001() -> None:
    async with world(auth_timeout_s=0.05) as w, w.socket() as client:
        assert await client.closed() == 4001


async def test_guests_are_refused_where_they_are_not_allowed() -> None:
    async with world(guests=False) as w, w.socket() as client:
        await client.send(id=1, type="auth", guest="Gaia")
        assert (await client.receive())["error"]["code"] == "unauthenticated"
        assert await client.closed() == 4001


async def test_storage_that_is_down_lets_the_client_try_again_on_the_same_socket(w: World) -> None:
    w.queries.login("t", ALICE)
    w.queries.down = True
    async with w.socket() as client:
        await client.send(id=1, type="auth", token="t")
        assert (await client.receive())["error"]["code"] == "storage_unavailable"
        w.queries.down = False
        assert (await client.auth(token="t"))["practitioner"]["id"] == ALICE


async def test_an_expired_token_closes_a_live_socket(w: World) -> None:
    w.queries.login("t", ALICE)
    async with w.socket() as client:
        await client.auth(token="t")
        w.gateway.sweep(0.0, 2e10)
        assert await client.closed() == 4001


async def test_a_closed_login_closes_its_sockets_and_no_others(w: World) -> None:
    first = w.queries.login("t", ALICE)
    w.queries.login("other", ALICE)
    async with w.socket() as client, w.socket() as other:
        await client.auth(token="t")
        await other.auth(token="other")
        stream = w.shards.streams["practitioner", ALICE]
        w.shards.push(stream, "session_closed", {"sessions": [first.id]})
        assert (await client.receive())["event"] == "session_closed"
        assert await client.closed() == 4001
        assert (await other.receive())["event"] == "session_closed"
        assert (await other.ask("ping"))["type"] == "result"


async def test_a_new_name_is_used_from_then_on(w: World) -> None:
    w.queries.login("t", ALICE)
    async with w.socket() as client:
        await client.auth(token="t")
        stream = w.shards.streams["practitioner", ALICE]
        w.shards.push(stream, "profile_updated", {"privacy_level": "public", "spiritual_name": "Ceres"})
        await client.receive()
        await client.ask("space.get", space=HALL)
        assert w.shards.asked[-1].caller.name == "Ceres"


# --- origins, hosts, addresses ---------------------------------------------------------------------------------------


async def test_a_foreign_origin_is_closed_with_4003(w: World) -> None:
    async with w.socket(origin="https://evil.example") as client:
        assert await client.closed() == 4003


async def test_own_and_allowed_origins_are_welcome() -> None:
    async with world(allowed_origins="https://friend.example") as w:
        for origin in (f"http://localhost:{w.port}", "https://friend.example"):
            async with w.guest(origin=origin):
                pass


async def test_a_host_that_is_not_ours_is_421(w: World) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with websockets.connect(f"ws://rebound.example:{w.port}/ws", host="127.0.0.1"):
            pass
    assert refused.value.response.status_code == 421


async def test_too_many_sockets_of_an_address_close_4029() -> None:
    async with world(sockets_per_address=1) as w, w.guest(), w.socket() as second:
        assert await second.closed() == 4029


async def test_too_many_sockets_of_a_practitioner_close_4029() -> None:
    async with world(sockets_per_practitioner=1) as w:
        w.queries.login("t", ALICE)
        async with w.socket() as first, w.socket() as second:
            await first.auth(token="t")
            await second.send(id=1, type="auth", token="t")
            assert (await second.receive())["error"]["code"] == "full"
            assert await second.closed() == 4029


# --- requests --------------------------------------------------------------------------------------------------------


async def test_ping_tells_the_time(w: World) -> None:
    async with w.guest() as client:
        answer = await client.ask("ping")
        assert answer["result"]["pong"] is True
        assert answer["result"]["server_time"].endswith("Z")


async def test_a_message_reaches_every_member_and_the_reply_precedes_its_push(w: World) -> None:
    async with w.guest("A") as a, w.guest("B") as b:
        await a.join()
        await b.join()
        answer = await a.ask("space.send", space=HALL, body={"text": "om"})
        assert answer["result"] == {"offset": 1}
        for client in (a, b):
            push = await client.receive()
            assert (push["offset"], push["body"]) == (1, {"text": "om"})


async def test_a_join_is_answered_then_shown_as_a_snapshot_then_the_presence(w: World) -> None:
    hall = w.shards.space()
    w.shards.say(hall, 1)
    async with w.guest() as client:
        frames = await client.join()
        assert [f["type"] for f in frames] == ["result", "snapshot", "event"]
        assert frames[1] == {
            "type": "snapshot", "stream": f"space:{HALL}", "offset": 1, "state": {"events": 1}, "reason": "joined"
        }  # fmt: skip


async def test_a_join_after_an_offset_replays_in_place_of_a_snapshot(w: World) -> None:
    hall = w.shards.space()
    for n in range(5):
        w.shards.say(hall, n)
    async with w.guest() as client:
        frames = await client.join(after=2)
        assert offsets(frames) == [3, 4, 5]
        assert [f["type"] for f in frames][1:] == ["event"] * 4


async def test_an_offset_beyond_the_head_is_answered_with_a_snapshot(w: World) -> None:
    w.shards.say(w.shards.space(), 1)
    async with w.guest() as client:
        frames = await client.join(after=40)
        assert (frames[1]["type"], frames[1]["reason"], frames[1]["offset"]) == ("snapshot", "gap", 1)


async def test_after_leaving_nothing_more_comes(w: World) -> None:
    async with w.guest() as client:
        await client.join()
        assert (await client.ask("space.leave", space=HALL))["type"] == "result"
        assert (await client.receive())["event"] == "left"
        w.shards.say(w.shards.space(), 1)
        assert (await client.ask("ping"))["type"] == "result"


async def test_a_retry_in_progress_gets_one_reply_and_a_later_one_the_first_reply(w: World) -> None:
    async with w.guest() as client:
        await client.join()
        w.shards.hold()
        for _ in range(3):
            await client.send(id=50, type="space.send", space=HALL, body=1)
        await client.send(id=51, type="ping")
        assert (await client.receive())["id"] == 51
        w.shards.release()
        assert await client.receive() == {"id": 50, "type": "result", "result": {"offset": 1}}
        assert (await client.receive())["offset"] == 1
        await client.send(id=50, type="space.send", space=HALL, body=1)
        assert await client.receive() == {"id": 50, "type": "result", "result": {"offset": 1}}


async def test_the_same_id_with_another_request_is_a_conflict(w: World) -> None:
    async with w.guest() as client:
        await client.ask("ping")
        await client.send(id=client.next_id, type="space.get", space=HALL)
        assert (await client.receive())["error"]["code"] == "conflict"


async def test_an_id_too_far_back_is_a_bad_request(w: World) -> None:
    async with w.guest() as client:
        client.next_id = 5000
        await client.ask("ping")
        await client.send(id=3000, type="ping")
        assert (await client.receive())["error"]["code"] == "bad_request"


async def test_the_tenth_malformed_frame_of_a_minute_closes_4000(w: World) -> None:
    async with w.guest() as client:
        bad = ["{", "[]", '{"id":0,"type":"ping"}', '{"id":1}', '{"id":3,"type":"dance"}', b"\0", "1", "null", '"', ""]
        for frame in bad:
            await client.socket.send(frame)
        for _ in bad:
            assert (await client.receive())["error"]["code"] == "bad_request"
        assert await client.closed() == 4000


async def test_a_wrong_value_names_its_path_and_changes_nothing(w: World) -> None:
    async with w.guest() as client:
        error = (await client.ask("space.pulse", space=HALL, phase_rad="fast"))["error"]
        assert error["code"] == "invalid"
        assert error["errors"][0]["path"] == "phase_rad"
        error = (await client.ask("space.create", name="x", purpose=3))["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", "purpose")
        error = (await client.ask("space.send", space=HALL, body={"a": ["x", "nul\0"]}))["error"]
        assert (error["code"], error["errors"][0]["path"]) == ("invalid", "body.a.1")
        assert w.shards.asked == []


async def test_a_body_over_the_limit_is_too_large() -> None:
    async with world(message_bytes=100) as w, w.guest() as client:
        w.shards.space()
        assert (await client.ask("space.send", space=HALL, body="x" * 99))["error"]["code"] == "too_large"


async def test_a_frame_over_the_limit_closes_1009() -> None:
    async with world(frame_bytes=2048) as w, w.guest() as client:
        await client.socket.send("x" * 3000)
        assert await client.closed() == 1009


async def test_more_requests_than_the_rate_allows_are_refused_retryably() -> None:
    async with world(requests_burst=3, requests_per_s=0.001) as w, w.guest() as client:
        for _ in range(3):
            assert (await client.ask("ping"))["type"] == "result"
        error = (await client.ask("ping"))["error"]
        assert (error["code"], error["retryable"]) == ("rate_limited", True)


async def test_unanswered_requests_are_bounded() -> None:
    async with world(unanswered_requests=2) as w, w.guest() as client:
        w.shards.space()
        w.shards.hold()
        for n in (2, 3, 4):
            await client.send(id=n, type="space.get", space=HALL)
        refused = await client.receive()
        assert (refused["id"], refused["error"]["code"]) == (4, "rate_limited")
        w.shards.release()
        assert [(await client.receive())["id"] for _ in range(2)] == [2, 3]


async def test_joined_spaces_are_bounded_and_a_refused_join_does_not_count() -> None:
    async with world(joined_spaces=1) as w, w.guest() as client:
        w.shards.space()
        assert (await client.ask("space.join", space=ROOM))["error"]["code"] == "not_found"
        await client.join(HALL)
        assert (await client.ask("space.join", space=ROOM))["error"]["code"] == "full"


async def test_a_guest_creates_open_spaces_only_and_not_many() -> None:
    async with world(guest_created_spaces=2) as w, w.guest() as client:
        made = await client.ask("space.create", name="n", purpose="p")
        assert made["result"]["access_level"] == "open"
        await client.send(id=client.next_id, type="space.create", name="n", purpose="p")
        assert (await client.receive())["result"]["id"] == made["result"]["id"]
        assert (await client.ask("space.create", name="n", purpose="p"))["type"] == "result"
        assert (await client.ask("space.create", name="n", purpose="p"))["error"]["code"] == "full"


async def test_created_spaces_are_bounded_but_a_retry_is_answered() -> None:
    async with world(created_spaces=1) as w, w.socket() as client:
        w.queries.login("t", ALICE)
        await client.auth(token="t")
        made = await client.ask("space.create", name="n", purpose="p")
        w.queries.counts[ALICE] = 1
        await client.send(id=client.next_id, type="space.create", name="n", purpose="p")
        assert (await client.receive())["result"]["id"] == made["result"]["id"]
        assert (await client.ask("space.create", name="n", purpose="p"))["error"]["code"] == "full"


async def test_a_slug_stands_for_the_space_and_its_requests_keep_their_order(w: World) -> None:
    w.queries.names["space.slug", "hall"] = HALL
    async with w.guest() as client:
        await client.join()
        w.queries.resolving = asyncio.Event()
        await client.send(id=10, type="space.send", space="hall", body="first")
        await client.send(id=11, type="space.send", space=HALL, body="second")
        await client.send(id=12, type="ping")
        assert (await client.receive())["id"] == 12
        w.queries.resolving.set()
        replies = {}
        while len(replies) < 2:
            frame = await client.receive()
            if "id" in frame:
                replies[frame["id"]] = frame["result"]["offset"]
        assert replies == {10: 1, 11: 2}


async def test_ones_own_new_slug_is_known_at_once(w: World) -> None:
    async with w.guest() as client:
        made = await client.ask("space.create", name="n", purpose="p", slug="mine")
        assert (await client.join("mine"))[0]["result"]["space"] == made["result"]["id"]


async def test_an_unknown_slug_is_not_found_and_a_dead_storage_says_so(w: World) -> None:
    async with w.guest() as client:
        assert (await client.ask("space.get", space="nowhere"))["error"]["code"] == "not_found"
        assert (await client.ask("space.get", space="NOT A SLUG"))["error"]["code"] == "not_found"
        w.queries.down = True
        assert (await client.ask("space.get", space="nowhere"))["error"]["code"] == "storage_unavailable"
        assert (await client.ask("space.list"))["error"]["code"] == "storage_unavailable"


async def test_spaces_are_listed(w: World) -> None:
    async with w.guest() as client:
        assert (await client.ask("space.list"))["result"]["spaces"][0]["name"] == "Hall"
        assert (await client.ask("space.list", limit=0))["error"]["code"] == "invalid"
        assert (await client.ask("space.list", before="x"))["error"]["code"] == "invalid"


async def test_history_is_read_by_stream(w: World) -> None:
    w.shards.say(w.shards.space(), "x")
    async with w.guest() as client:
        answer = await client.ask("history", stream=f"space:{HALL}", after=0, limit=10)
        assert answer["result"]["events"][0]["body"] == "x"
        for wrong in (
            {"stream": "x"},
            {"stream": f"space:{HALL}", "limit": 501},
            {"stream": f"space:{HALL}", "after": -1},
        ):
            assert (await client.ask("history", **wrong))["error"]["code"] == "invalid"
        assert (await client.ask("history", stream=f"practitioner:{BOB}"))["error"]["code"] == "forbidden"


async def test_a_shards_refusal_reaches_the_client_whole(w: World) -> None:
    w.shards.refuse = lambda message: ActorUnavailable("full")
    async with w.guest() as client:
        error = (await client.ask("space.get", space=HALL))["error"]
        assert error == {"code": "actor_unavailable", "message": "full", "retryable": True}


async def test_operations_are_named_by_session_and_id_and_reads_are_not(w: World) -> None:
    async with w.guest() as client:
        await client.join()
        session = client.hello["session"].partition(".")[0]
        assert w.shards.asked[-1].operation == f"{session}:{client.next_id}"
        await client.ask("space.pulse", space=HALL, phase_rad=1)
        assert w.shards.asked[-1].operation is None


# --- resume ----------------------------------------------------------------------------------------------------------


async def resume(client: Client, hello: dict, streams: dict[str, int], **who: str) -> dict:
    taken = {"session": hello["session"], "offsets": streams}
    if "secret" in hello:
        taken["secret"] = hello["secret"]
    return await client.auth(resume=taken, **who)


async def test_a_resumed_guest_gets_exactly_what_it_missed(w: World) -> None:
    hall = w.shards.space()
    async with w.guest("Gaia") as client:
        await client.join()
        w.shards.say(hall, 1)
        await client.receive()
        hello = client.hello
    await gone(w)
    for n in range(2, 6):
        w.shards.say(hall, n)
    async with w.socket() as client:
        again = await resume(client, hello, {f"space:{HALL}": 1}, guest="Gaia")
        assert again["resumed"] is True
        assert again["practitioner"]["id"] == hello["practitioner"]["id"]
        frames = [await client.receive() for _ in range(5)]
        assert offsets(frames) == [2, 3, 4, 5]
        assert frames[-1]["full"] is True
        w.shards.say(hall, 6)
        assert (await client.receive())["offset"] == 6


async def gone(w: World) -> None:
    """Until the gateway has noticed that every socket went."""
    await until(lambda: not w.gateway.status()["sockets"])


async def test_what_happens_during_the_replay_comes_after_it_once(w: World) -> None:
    hall = w.shards.space()
    w.shards.page_events = 2
    for n in range(1, 8):
        w.shards.say(hall, n)

    def also_speak(message: object) -> SanghaError | None:
        if isinstance(message, Page) and len(hall.frames) < 12:
            w.shards.say(hall, "live")
            w.shards.unnumbered(hall, {"event": "presence", "joined": [], "left": []})
        return None

    w.shards.refuse = also_speak
    async with w.guest() as client:
        await client.ask("space.join", space=HALL, after=1)
        frames = []
        while not frames or frames[-1].get("event") != "presence" or "offset" in frames[-1]:
            frames.append(await client.receive())
        assert offsets(frames) == list(range(2, len(hall.frames) + 1))
        assert frames[-1]["full"] is True, "held pushes come in their order, after the replay"


async def test_a_shard_that_cannot_answer_now_is_asked_again(w: World) -> None:
    hall = w.shards.space()
    w.shards.say(hall, 1)
    refusals = [ActorUnavailable("restarting"), None, ActorUnavailable("restarting")]
    w.shards.refuse = lambda message: refusals.pop() if refusals else None
    async with w.guest() as client:
        hello = client.hello
    await gone(w)
    async with w.socket() as client:
        await resume(client, hello, {f"space:{HALL}": 0}, guest="Guest")
        assert (await client.receive())["offset"] == 1
    assert refusals == []


async def test_a_stream_that_is_lost_is_told_as_left(w: World) -> None:
    hall = w.shards.space()
    async with w.guest() as client:
        hello = client.hello
    hall.gone = True
    async with w.socket() as client:
        await resume(client, hello, {f"space:{HALL}": 0}, guest="Guest")
        left = await client.receive()
        assert left == {"type": "event", "stream": f"space:{HALL}", "event": "left", "body": {"reason": "not_found"}}


async def test_a_page_that_is_forbidden_ends_the_stream(w: World) -> None:
    w.shards.say(w.shards.space(), 1)
    w.shards.refuse = lambda message: Forbidden("no") if isinstance(message, Page) else None
    async with w.guest() as client:
        await client.ask("space.join", space=HALL, after=0)
        assert (await client.receive())["body"] == {"reason": "forbidden"}
        assert len(w.shards.unfollowed) == 1


async def test_a_member_who_is_dropped_while_behind_is_told(w: World) -> None:
    hall = w.shards.space()
    w.shards.say(hall, 1)
    async with w.guest() as client:
        who = client.hello["practitioner"]["id"]
        w.shards.refuse = lambda message: w.shards.drop(hall, who) if isinstance(message, Page) else None
        await client.ask("space.join", space=HALL, after=0)
        assert (await client.receive())["body"] == {"reason": "not_found"}


async def test_another_ones_session_is_forbidden(w: World) -> None:
    w.queries.login("a", ALICE)
    w.queries.login("b", BOB)
    async with w.socket() as client:
        hello = await client.auth(token="a")
    async with w.socket() as client:
        await client.send(id=1, type="auth", token="b", resume={"session": hello["session"]})
        assert (await client.receive())["error"]["code"] == "forbidden"
        assert await client.closed() == 4001
    async with w.socket() as client:
        await client.send(id=1, type="auth", guest="x", resume={"session": hello["session"], "secret": "s"})
        assert (await client.receive())["error"]["code"] == "forbidden"


async def test_a_session_that_is_none_gives_a_new_one(w: World) -> None:
    async with w.socket() as client:
        hello = await client.auth(guest="x", resume={"session": "yesterday's", "offsets": {f"space:{HALL}": 3}})
        assert hello["resumed"] is False
        assert (await client.ask("ping"))["type"] == "result"


async def test_an_account_resumes_its_own_stream_too(w: World) -> None:
    w.queries.login("a", ALICE)
    async with w.socket() as client:
        hello = await client.auth(token="a")
    w.shards.push(w.shards.streams["practitioner", ALICE], "invitation", {"space": HALL})
    async with w.socket() as client:
        assert (await resume(client, hello, {f"practitioner:{ALICE}": 0}, token="a"))["resumed"] is True
        assert (await client.receive())["event"] == "invitation"


async def test_a_session_resumed_elsewhere_closes_the_older_socket(w: World) -> None:
    async with w.guest("Gaia") as older, w.socket() as newer:
        await older.join()
        await resume(newer, older.hello, {f"space:{HALL}": 0}, guest="Gaia")
        assert await older.closed() == 1000
        assert (await newer.receive())["full"] is True
        w.shards.say(w.shards.space(), 1)
        assert (await newer.receive())["offset"] == 1


async def test_a_socket_that_goes_unfollows_its_streams(w: World) -> None:
    async with w.guest() as client:
        await client.join()
        session = client.hello["session"].partition(".")[0]
    await gone(w)
    assert [(u.entity, u.session) for u in w.shards.unfollowed] == [(HALL, session)]


async def test_following_for_a_socket_that_went_is_taken_back(w: World) -> None:
    w.gateway.on_message("space", Following(HALL, "no session", 0))
    assert [u.session for u in w.shards.unfollowed] == ["no session"]


async def test_a_link_that_comes_back_replays_to_the_live_and_drops_what_they_had(w: World) -> None:
    hall = w.shards.space()
    async with w.guest() as client:
        await client.join()
        w.shards.say(hall, 1)
        follow = w.gateway.follows("space")
        assert [(f.entity, f.after, len(f.sessions)) for f in follow] == [(HALL, 1, 1)]
        offset, frame = hall.event("message", "missed")
        for repeated in (hall.frames[0], frame):
            number = json.loads(repeated)["offset"]
            w.gateway.on_message("space", Pushed(HALL, number, repeated))
        w.gateway.on_message("space", Resynced(HALL, offset))
        assert [(await client.receive())["offset"] for _ in range(2)] == [1, 2]
        hall.event("message", "not kept")
        w.gateway.on_message("space", Resynced(HALL, 3, hall.snapshot()))
        snapshot = await client.receive()
        assert (snapshot["offset"], snapshot["reason"]) == (3, "gap")


# --- slow sockets ----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def slow_guest(w: World) -> AsyncIterator[tuple[Client, Connection]]:
    """A client whose library reads one frame ahead, over a connection whose kernel takes little."""
    known = set(w.gateway._connections)
    async with websockets.connect(w.url, compression=None, ping_interval=None, max_queue=1) as raw:
        client = Client(raw)
        await client.auth(guest="slow")
        (connection,) = w.gateway._connections - known
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        yield client, connection


async def test_a_client_that_stops_reading_is_closed_and_hurts_nobody() -> None:
    async with world(outbox_bytes=256 * 1024) as w:
        hall = w.shards.space()
        async with w.guest("fast") as fast:
            await fast.join()
            async with slow_guest(w) as (slow, connection):
                await slow.join()
                for n in range(1, 2000):
                    w.shards.say(hall, "x" * 8000)
                    assert (await fast.receive())["offset"] == n
                    if w.gateway.slow_closes:
                        break
                assert w.gateway.slow_closes == 1
                assert connection.transport.get_write_buffer_size() <= 256 * 1024 + 100
                assert await slow.closed() == 4008


async def test_a_slow_client_gets_only_the_newest_of_a_key() -> None:
    async with world(outbox_bytes=4 * 2**20) as w:
        hall = w.shards.space()
        async with slow_guest(w) as (slow, connection):
            await slow.join()
            while connection.outbox.low:
                w.shards.say(hall, "x" * 60_000)
                await asyncio.sleep(0)
            for n in range(1000):
                w.shards.latest(hall, {"n": n})
            assert (await slow.receive_event("coherence"))["n"] == 999


async def test_a_long_replay_goes_at_the_clients_pace() -> None:
    async with world(outbox_bytes=512 * 1024) as w:
        hall = w.shards.space()
        for n in range(1, 1001):
            hall.event("message", f"{n}" + "x" * 8000)
        async with slow_guest(w) as (slow, connection):
            await slow.ask("space.join", space=HALL, after=0)
            await until(lambda: not connection.outbox.low)
            for n in range(100):
                w.shards.say(hall, n)
            assert connection.outbox.waiting_bytes < 512 * 1024
            seen = [(await slow.receive()).get("offset") for _ in range(1100)]
            assert seen == list(range(1, 1101))
            assert w.gateway.slow_closes == 0
            await slow.receive_event("presence")


# --- drain -----------------------------------------------------------------------------------------------------------


async def test_a_drain_says_bye_answers_what_was_asked_and_closes_1001(w: World) -> None:
    async with w.guest() as client:
        await client.join()
        w.shards.hold()
        await client.send(id=50, type="space.send", space=HALL, body=1)
        await until(
            lambda: any(
                isinstance(m, Ask) and m.operation is not None and m.operation.endswith(":50") for m in w.shards.asked
            )
        )
        drained = asyncio.create_task(w.gateway.drain())
        bye = await client.receive()
        assert (bye["type"], bye["code"]) == ("bye", "draining")
        assert bye["retry_after_ms"] > 0
        await client.send(id=51, type="ping")
        assert (await client.receive())["error"]["code"] == "draining"
        w.shards.release()
        assert (await client.receive())["id"] == 50
        assert await client.closed() == 1001
        await drained
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with w.socket():
            pass
    assert refused.value.response.status_code == 503


async def test_a_drain_with_nobody_there_returns_at_once(w: World) -> None:
    await w.gateway.drain()


async def test_status_counts_sockets(w: World) -> None:
    async with w.guest():
        assert w.gateway.status()["sockets"] == 1
    await gone(w)
    assert w.gateway.status() == {"sockets": 0, "outbox_bytes": 0, "port": w.port}
    assert w.gateway.unanswered == 0

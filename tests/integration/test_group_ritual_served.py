"""Group rituals against a real server: what each gets who is there, late, gone or not able, and what facilitators may do.

The table in ``actors/space/group.py`` is what is promised; here accounts and guests with sockets live it. One server for the
module, so each test has a space (a ``Circle``) of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from circle import Circle, Member, patient_module, slow_module, upload
from harness import RunningServer
from websockets.asyncio.client import ClientConnection, connect

from actors.ritual.values import group_run_id
from actors.runtime.errors import Conflict, Forbidden, NotFound
from server.client import register

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

STAGES = ["ritual_gathering", "ritual_opening", "ritual_active", "ritual_integration", "ritual_closed"]
AT_ONCE = {"starts_in_s": 0, "opening_s": 0, "integration_s": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer(SANGHA_PRESENCE_GRACE_S="1", SANGHA_RITUAL_FUEL=str(10**11)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


async def published(http: httpx.AsyncClient, module: bytes, **fields: str) -> str:
    """The id of a public ritual."""
    token = (await register(str(http.base_url), f"{uuid.uuid4().hex}@example.org", "a long password"))["token"]
    return await upload(http, token, module, f"of-{uuid.uuid4().hex[:8]}", **fields)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def quick(http: httpx.AsyncClient) -> str:
    return await published(http, slow_module(10))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slow(http: httpx.AsyncClient) -> str:
    return await published(http, slow_module(1_200_000_000))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(http: httpx.AsyncClient) -> str:
    return await published(http, patient_module())


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


async def rituals_of(circle: Circle, http: httpx.AsyncClient, who: Member) -> Any:
    """``{current, last, scheduled}`` as HTTP says it."""
    answer = await http.get("/api/collective/rituals", params={"space": circle.space}, headers=bearer(who.token))
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- stages, and who may change them ---------------------------------------------------------------------------------


async def test_everyone_is_told_the_same_in_the_same_order_and_how_far_it_is(
    server: RunningServer, http: httpx.AsyncClient, patient: str
) -> None:
    async with Circle(server, 3, patient) as circle:
        await circle.members[1].awaken()
        before = await circle.versions()
        run = await circle.begin(**AT_ONCE)
        summary = await circle.check_closed(run, before)
        first = circle.members[0]
        assert [event.event for event in first.told] == STAGES
        assert all(member.told == first.told for member in circle.members)
        for member in circle.members:
            progress = [event.fields for event in member.live if event.event == "ritual_progress"]
            assert progress[-1] == {"ritual_run": run, "stage": "active", "settled": 2, "of": 3}
            assert [each["settled"] for each in progress] in ([2], [1, 2])
        known = await rituals_of(circle, http, first)
        assert (known["current"], known["last"], known["scheduled"]) == (None, summary, [])


ABORTED = {
    "gathering": ({**AT_ONCE, "starts_in_s": 60}, 0),
    "opening": ({**AT_ONCE, "opening_s": 60}, 0),
    "active": (AT_ONCE, 3),
    "integration": ({**AT_ONCE, "integration_s": 60}, 3),
}


@pytest.mark.parametrize("stage", ABORTED)
async def test_in_each_stage_only_the_facilitator_ends_a_ritual_and_another_one_or_the_spaces_end_has_to_wait(
    server: RunningServer, http: httpx.AsyncClient, slow: str, stage: str
) -> None:
    times, transformed = ABORTED[stage]
    async with Circle(server, 3, slow) as circle:
        leader, friend, _ = circle.members
        before = await circle.versions()
        run = await circle.begin(**times)
        await circle.told(run, f"ritual_{stage}")
        again: dict[str, Any] = {"space": circle.space, "ritual": slow}
        outcomes: Sequence[Any] = await asyncio.gather(
            rituals_of(circle, http, friend),
            friend.client.request("space.ritual.abort", space=circle.space),
            friend.client.request("space.ritual.begin", **again),
            leader.client.request("space.ritual.begin", **again),
            leader.client.request("space.close", space=circle.space),
            return_exceptions=True,
        )
        known, forbidden, not_yours, conflict, under_way = outcomes
        ended = await leader.client.request("space.ritual.abort", space=circle.space, ritual_run=run)
        assert ended["stage"] == ("aborting" if stage == "active" else "closed")
        assert (known["current"]["ritual_run"], known["current"]["stage"]) == (run, stage)
        assert known["current"]["you"] == {"gathering": None, "integration": "transformed"}.get(stage, "called")
        assert [type(each) for each in (forbidden, not_yours)] == [Forbidden, Forbidden]
        assert [type(each) for each in (conflict, under_way)] == [Conflict, Conflict]
        assert "a group ritual is under way" in str(conflict)
        assert "abort the ritual first" in str(under_way)
        summary = await circle.check_closed(run, before, transformed)
        assert (summary["outcome"], summary["reason"]) == ("aborted", "facilitator")
        assert {event.event for event in leader.told} >= {f"ritual_{stage}", "ritual_closed"}
        assert ("ritual_integration" in {event.event for event in leader.told}) == (stage == "integration")
        with pytest.raises(NotFound, match="no such group ritual"):
            await leader.client.request("space.ritual.abort", space=circle.space)
        await leader.client.request("space.close", space=circle.space)


async def test_the_same_key_begins_one_ritual_however_often_it_is_sent(
    server: RunningServer, http: httpx.AsyncClient, quick: str
) -> None:
    async with Circle(server, 2, quick) as circle:
        before = await circle.versions()
        leader = circle.members[0]
        body = {"space": circle.space, "ritual_id": quick, **AT_ONCE, "starts_in_s": 0.5}

        async def begin(**fields: Any) -> httpx.Response:
            headers = bearer(leader.token, **{"Idempotency-Key": "begin-1"})
            return await http.post("/api/collective/rituals", json=body | fields, headers=headers)

        answers = await asyncio.gather(*(begin() for _ in range(3)))
        assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
        (run,) = {answer.json()["ritual_run"] for answer in answers}
        other = await begin(intention="another one")
        assert (other.status_code, other.json()["code"]) == (409, "conflict")
        await circle.check_closed(run, before)
        assert (await begin()).json() == answers[0].json()
        assert [event.event for event in leader.told] == STAGES


# --- who takes part --------------------------------------------------------------------------------------------------


async def test_each_gets_what_is_promised_to_who_is_gone_leaves_comes_late_or_has_no_account(
    server: RunningServer, http: httpx.AsyncClient, patient: str
) -> None:
    async with Circle(server, 5, patient) as circle:
        leader, stays, gone, leaver, lost = circle.members
        ghost = await circle.enter(await circle.connected(guest="Ghost"))
        token = await circle.account("Late")
        comes = await circle.connected(token=token)
        await leader.awaken()
        await gone.client.close()
        await circle.until(lambda: gone.id in leader.seen_leaving())
        run = await circle.begin(starts_in_s=0, opening_s=1.5, integration_s=0)
        (opening, *_) = await circle.told(run, "ritual_opening", by=(leader, leaver, lost))
        assert set(opening.body["roster"]) == {member.id for member in (leader, stays, leaver, lost)}
        await asyncio.gather(leaver.client.request("space.leave", space=circle.space), lost.client.close())
        back = await circle.enter(await circle.connected(token=gone.token), gone.token)
        await circle.told(run, "ritual_active", by=(leader,))
        late = await circle.enter(comes, token)
        returned = await circle.enter(await circle.connected(token=leaver.token), leaver.token)
        known = {who.id: (await rituals_of(circle, http, who))["current"]["you"] for who in (leader, late, returned)}
        assert known == {leader.id: "called", late.id: "late", returned.id: "left"}
        summary = await circle.summary(run, (leader, stays, ghost, back, late, returned))
        assert [event.event for event in late.told] == STAGES[3:]
        named = {status: set(summary[status]) for status in ("participants", "absent", "left", "late", "witnesses")}
        assert named == {
            "participants": {leader.id, stays.id, lost.id},
            "absent": {gone.id},
            "left": {leaver.id},
            "late": {late.id},
            "witnesses": {ghost.id},
        }
        assert (summary["outcome"], summary["transformed"], summary["failed"]) == ("completed", 3, [])
        again = await circle.enter(await circle.connected(token=lost.token), lost.token)
        for who in (leader, stays, back, again, late, returned):
            by = [state["session_id"] for state in await who.states() if state["session_id"] is not None]
            assert by == ([group_run_id(run, who.id)] if who.id in named["participants"] else [])


async def test_where_nobody_takes_part_it_is_closed_with_the_reason(
    server: RunningServer, http: httpx.AsyncClient, quick: str
) -> None:
    async with Circle(server, 1, quick) as circle:
        (leader,) = circle.members
        ghost = await circle.enter(await circle.connected(guest="Ghost"))
        run = await circle.begin(**{**AT_ONCE, "opening_s": 0.3})
        await circle.told(run, "ritual_opening")
        await leader.client.request("space.leave", space=circle.space)
        summary = await circle.summary(run, (ghost,))
        assert (summary["outcome"], summary["reason"]) == ("aborted", "everyone left")
        begun = await http.post(
            "/api/collective/rituals",
            json={"space": circle.space, "ritual_id": quick, **AT_ONCE},
            headers=bearer(leader.token),
        )
        summary = await circle.summary(begun.json()["ritual_run"], (ghost,))
        assert (summary["outcome"], summary["reason"]) == ("aborted", "nobody came")
        assert (await circle.versions())[leader.id] == 0


async def test_who_lacks_a_required_archetype_fails_alone_and_the_others_complete(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    ritual = await published(http, slow_module(11), required_archetypes='["Trickster"]')
    async with Circle(server, 3, ritual) as circle:
        *able, lacking = circle.members
        for member in able:
            await member.client.transform("archetype_activation", archetype="Trickster", strength=0.3)
        before = await circle.versions()
        run = await circle.begin(**AT_ONCE)
        summary = await circle.check_closed(run, before, 2)
        assert summary["outcome"] == "completed"
        assert summary["failed"] == [{"practitioner": lacking.id, "code": "ritual_failed"}]
        runs = (await http.get("/api/rituals/sessions", headers=bearer(lacking.token))).json()
        (why,) = [each["error_message"] for each in runs if each["id"] == group_run_id(run, lacking.id)]
        assert why.endswith("needs the archetype Trickster active")
        assert summary["collective"]["archetypes"]["Witness"] == {"mean": 0.1, "sd": 0.0, "n": 2}


async def test_a_run_of_ones_own_that_is_under_way_comes_first_and_the_groups_after_it(
    server: RunningServer, slow: str
) -> None:
    async with Circle(server, 2, slow) as circle:
        busy = circle.members[1]
        own = asyncio.create_task(busy.client.run_ritual(slow, intention="mine"))
        while (await busy.client.archetypal_state())["under_way"] is None:  # noqa: ASYNC110 - the server's own word
            await asyncio.sleep(0)
        run = await circle.begin(**AT_ONCE)
        await circle.told(run, "ritual_active")
        assert not own.done()
        summary = await circle.summary(run)
        assert (summary["transformed"], summary["failed"]) == (2, [])
        newest, first = await busy.states()
        assert first["session_id"] == (await own)["session_id"]
        assert newest["session_id"] == group_run_id(run, busy.id)
        assert newest["state"]["archetypes"] == {"Witness": 0.2}


# --- scheduled -------------------------------------------------------------------------------------------------------


async def test_a_scheduled_ritual_begins_by_itself_when_another_has_ended_and_can_be_taken_back_before(
    server: RunningServer, http: httpx.AsyncClient, quick: str
) -> None:
    async with Circle(server, 2, quick) as circle:
        leader, friend = circle.members
        now = leader.client.server_time() or datetime.now(UTC)
        soon = await leader.stream.begin_ritual(quick, at=now + timedelta(seconds=61))
        later = await leader.stream.begin_ritual(quick, at=now + timedelta(days=1), intention="tomorrow")
        assert [each["stage"] for each in (soon, later)] == ["scheduled", "scheduled"]
        meanwhile = await circle.begin(starts_in_s=60)
        known = await rituals_of(circle, http, friend)
        assert known["current"]["ritual_run"] == meanwhile
        assert [each["ritual_run"] for each in known["scheduled"]] == [soon["ritual_run"], later["ritual_run"]]
        path = f"/api/collective/rituals/{later['ritual_run']}/abort"
        taken = await http.post(path, json={"space": circle.space}, headers=bearer(friend.token))
        assert taken.status_code == 403
        taken = await http.post(path, json={"space": circle.space}, headers=bearer(leader.token))
        assert taken.json()["stage"] == "unscheduled", taken.text
        (unscheduled, _) = await circle.told(later["ritual_run"], "ritual_unscheduled", everyone=True)
        assert unscheduled.body["reason"] == "aborted"
        await leader.stream.abort_ritual(meanwhile)
        gathering, _ = await circle.told(soon["ritual_run"], "ritual_gathering", everyone=True)
        begins = datetime.fromisoformat(soon["starts_at"]) - timedelta(seconds=60)
        assert gathering.at is not None
        assert gathering.at >= begins - timedelta(milliseconds=5)
        known = await rituals_of(circle, http, leader)
        assert (known["current"]["stage"], known["scheduled"]) == ("gathering", [])
        await leader.stream.abort_ritual()
        assert friend.told == leader.told


async def test_a_ritual_at_a_time_opens_at_that_time(server: RunningServer, quick: str) -> None:
    async with Circle(server, 2, quick) as circle:
        before = await circle.versions()
        at = (circle.members[0].client.server_time() or datetime.now(UTC)) + timedelta(seconds=0.7)
        begun = await circle.members[0].stream.begin_ritual(quick, at=at, opening_s=0, integration_s=0)
        assert begun["stage"] == "gathering"
        opening, _ = await circle.told(begun["ritual_run"], "ritual_opening", everyone=True)
        assert timedelta(milliseconds=-5) <= opening.at - at < timedelta(seconds=1)
        await circle.check_closed(begun["ritual_run"], before)


# --- many at once ----------------------------------------------------------------------------------------------------


async def test_ten_groups_hold_their_rituals_at_once(server: RunningServer, quick: str) -> None:
    async with AsyncExitStack() as stack:
        circles = await asyncio.gather(*(stack.enter_async_context(Circle(server, 2, quick)) for _ in range(10)))
        before = await asyncio.gather(*(circle.versions() for circle in circles))
        runs = await asyncio.gather(*(circle.begin(**AT_ONCE) for circle in circles))
        summaries = await asyncio.gather(
            *(circle.check_closed(run, was) for circle, run, was in zip(circles, runs, before, strict=True))
        )
        assert [summary["outcome"] for summary in summaries] == ["completed"] * 10
        assert len(set(runs)) == 10


async def test_who_is_in_two_groups_at_the_same_time_is_transformed_once_by_each(
    server: RunningServer, slow: str
) -> None:
    async with Circle(server, 2, slow) as one, Circle(server, 2, slow) as two:
        both = one.members[1]
        also = await two.enter(both.client, both.token)
        runs = await asyncio.gather(one.begin(**AT_ONCE), two.begin(**AT_ONCE))
        first, second = await asyncio.gather(one.summary(runs[0]), two.summary(runs[1], (*two.members, also)))
        assert [first["transformed"], second["transformed"]] == [2, 3]
        states = await both.states()
        assert sorted(state["session_id"] for state in states) == sorted(group_run_id(run, both.id) for run in runs)
        assert states[0]["state"]["archetypes"] == {"Witness": 0.2}


# --- frame by frame --------------------------------------------------------------------------------------------------


class Raw:
    """A socket and its frames, nothing else."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.frames, self._ids = socket, list[Any](), itertools.count(1)

    async def ask(self, type_: str, id_: int | None = None, **fields: Any) -> Any:
        id_ = next(self._ids) if id_ is None else id_
        await self.socket.send(orjson.dumps({"id": id_, "type": type_, **fields}).decode())
        return await self.until(lambda frame: frame.get("id") == id_)

    async def until(self, wanted: Any) -> Any:
        while True:
            self.frames.append(orjson.loads(await self.socket.recv()))
            if wanted(self.frames[-1]):
                return self.frames[-1]

    def group_events(self) -> list[Any]:
        return [f for f in self.frames if str(f.get("stream")).startswith("space:") and f.get("event", "") in STAGES]


async def test_the_frames_are_the_same_on_both_sockets_and_a_request_id_begins_once(
    server: RunningServer, quick: str
) -> None:
    url = f"ws://127.0.0.1:{server.port}"
    async with Circle(server, 1, quick) as circle, connect(f"{url}/ws") as one, connect(f"{url}/ws/collective") as two:
        leader, friend = Raw(one), Raw(two)
        for raw, token in ((leader, circle.members[0].token), (friend, await circle.account("Friend"))):
            assert (await raw.ask("auth", token=token))["type"] == "result"
            assert (await raw.ask("space.join", space=circle.space))["type"] == "result"
        begin: dict[str, Any] = {
            "space": circle.space,
            "ritual": quick,
            **AT_ONCE,
            "starts_in_s": 0.3,
            "intention": "one breath",
        }
        refused = await friend.ask("space.ritual.begin", **begin)
        assert refused["error"]["code"] == "forbidden"
        begun = await leader.ask("space.ritual.begin", 100, **begin)
        assert await leader.ask("space.ritual.begin", 100, **begin) == begun
        another = await leader.ask("space.ritual.begin", **begin)
        assert (another["error"]["code"], another["error"]["retryable"]) == ("conflict", False)
        for raw in (leader, friend):
            await raw.until(lambda frame: frame.get("event") == "ritual_closed")
        events = leader.group_events()
        assert events == friend.group_events()
        assert [event["event"] for event in events] == STAGES
        assert {event["body"]["ritual_run"] for event in events} == {begun["result"]["ritual_run"]}
        assert events[0]["from"]["id"] == circle.members[0].id
        assert events[-1]["body"]["summary"]["transformed"] == 2
        assert await leader.ask("space.ritual.begin", 100, **begin) == begun
        last = (await friend.ask("space.ritual.get", space=circle.space))["result"]["last"]
        assert last == events[-1]["body"]["summary"]

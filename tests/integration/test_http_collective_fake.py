"""Spaces and group rituals over HTTP, over a fake shard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, HALL, World, world

from actors.ritual.values import Brief
from actors.runtime.wire import Ask
from actors.space import commands as s

DANCE = "dddddddd-dddd-4ddd-8ddd-dddddddddddd"
BRIEF = Brief(id=DANCE, name="dance", module_hash="00" * 32)
SPACES, RITUALS = "/api/collective/spaces", "/api/collective/rituals"


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        here.shards.space(HALL)
        here.shards.briefs[DANCE] = BRIEF
        here.queries.rituals[DANCE] = "dance"
        here.queries.names["space.slug", "hall"] = HALL
        here.queries.login("t", ALICE)
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http, headers={"Authorization": "Bearer t"}) as client:
        yield client


def last(w: World) -> tuple[Ask, Any]:
    """The newest ask of a space, and its command."""
    ask = next(each for each in reversed(w.shards.asked) if each.entity not in (ALICE, DANCE))
    return ask, s.codec.decode(ask.command)


async def test_nobody_comes_without_a_login(w: World) -> None:
    async with httpx.AsyncClient(base_url=w.http) as stranger:
        for path in (SPACES, f"{SPACES}/{HALL}", f"{RITUALS}?space={HALL}"):
            assert (await stranger.get(path)).status_code == 401
        for path in (SPACES, RITUALS, f"{RITUALS}/{DANCE}/abort"):
            assert (await stranger.post(path, json={"name": "n", "purpose": "p", "space": HALL})).status_code == 401
    assert w.shards.asked == []


@pytest.mark.parametrize("path", [SPACES, "/api/rituals/catalog", "/api/admin/topology"])
async def test_a_token_that_is_no_text_is_no_token(w: World, path: str) -> None:
    async with httpx.AsyncClient(base_url=w.http) as stranger:
        answer = await stranger.get(path, headers=[(b"Authorization", b"Bearer \xff")])
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_spaces_are_listed_as_an_array(w: World, http: httpx.AsyncClient) -> None:
    answer = await http.get(SPACES, params={"limit": 3, "before": HALL, "q": "hall"})
    assert [space["name"] for space in answer.json()] == ["Hall"]
    assert answer.json()[0]["created_at"].endswith("Z")
    for wrong in ({"limit": "0"}, {"limit": "501"}, {"limit": "ten"}, {"before": "x"}, {"q": "x" * 300}):
        answer = await http.get(SPACES, params=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, next(iter(wrong)))
    w.queries.down = True
    assert (await http.get(SPACES)).json()["code"] == "storage_unavailable"


async def test_a_space_is_created_once_a_key(w: World, http: httpx.AsyncClient) -> None:
    body = {"name": "Circle", "purpose": "together", "access_level": "open", "slug": "circle"}
    answers = [await http.post(SPACES, json=body, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    ask, command = last(w)
    assert ask.operation == f"{ALICE}:k-k"
    assert (ask.caller.practitioner, ask.caller.name) == (ALICE, "Ariadne")
    assert command == s.CreateSpace(name="Circle", purpose="together", access_level="open", slug="circle")
    assert (await http.get(f"{SPACES}/circle")).json() == {"id": answers[0].json()["id"]}
    other = await http.post(SPACES, json=body)
    assert other.json()["id"] != answers[0].json()["id"]
    wrong = await http.post(SPACES, json={"name": "Circle"})
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "purpose")


async def test_created_spaces_are_bounded_but_a_retry_is_answered() -> None:
    async with world(created_spaces=1) as w, httpx.AsyncClient(base_url=w.http) as http:
        w.queries.login("t", ALICE)
        w.queries.counts[ALICE] = 0
        headers = {"Authorization": "Bearer t", "Idempotency-Key": "k"}
        body = {"name": "Circle", "purpose": "together"}
        first = await http.post(SPACES, json=body, headers=headers)
        w.queries.counts[ALICE] = 1
        assert (await http.post(SPACES, json=body, headers=headers)).json() == first.json()
        another = await http.post(SPACES, json=body, headers=headers | {"Idempotency-Key": "other"})
        assert (another.status_code, another.json()["code"]) == (409, "full")


@pytest.mark.parametrize("name", ["ritual", "ritual_id", "ritual_name"])
@pytest.mark.parametrize("space", [HALL, "hall"])
async def test_a_group_ritual_is_begun(w: World, http: httpx.AsyncClient, name: str, space: str) -> None:
    body = {"space": space, name: DANCE if name == "ritual_id" else "dance", "intention": "joy", "starts_in_s": 2}
    answer = await http.post(RITUALS, json=body | {"ritual_parameters": {"n": 1}}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["ritual_run"]) == (201, f"{ALICE}:k-k")
    ask, command = last(w)
    assert ask.entity == HALL
    assert command == s.BeginRitual(
        brief=BRIEF, ritual=body[name], intention="joy", starts_in_s=2, parameters=b'{"n":1}'
    )


async def test_a_beginning_that_is_tried_again_is_answered_though_its_ritual_was_withdrawn(
    w: World, http: httpx.AsyncClient
) -> None:
    body = {"space": HALL, "ritual": "dance"}
    first = await http.post(RITUALS, json=body, headers={"Idempotency-Key": "k"})
    w.shards.briefs.clear()
    del w.queries.rituals[DANCE]
    again = await http.post(RITUALS, json=body, headers={"Idempotency-Key": "k"})
    assert (again.status_code, again.json()) == (201, first.json())
    for headers in ({}, {"Idempotency-Key": "other"}):
        new = await http.post(RITUALS, json=body, headers=headers)
        assert (new.status_code, new.json()["code"]) == (404, "not_found")
        assert "dance" in new.json()["detail"]


async def test_a_group_ritual_is_joined_looked_at_and_aborted(w: World, http: httpx.AsyncClient) -> None:
    joined = await http.post(RITUALS, json={"space": "hall", "action": "join"}, headers={"Idempotency-Key": "k"})
    assert joined.json() == {"space": HALL, "offset": 0}
    ask, command = last(w)
    assert (ask.operation, ask.caller.name, command) == (f"{ALICE}:k-k", "Ariadne", s.Join())
    for read in (
        await http.get(RITUALS, params={"space": HALL}),
        await http.post(RITUALS, json={"space": HALL, "action": "status"}),
    ):
        assert read.status_code == 200
        assert last(w)[0].operation is None
        assert last(w)[1] == s.GetRitual()
    assert (await http.post(RITUALS, json={"space": HALL, "action": "abort"})).status_code == 200
    assert last(w)[1] == s.AbortRitual()
    assert (await http.post(f"{RITUALS}/{DANCE}/abort", json={"space": HALL})).status_code == 200
    assert last(w)[1] == s.AbortRitual(ritual_run=DANCE)
    assert last(w)[0].operation.startswith(f"{ALICE}:once-")


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({"ritual": "dance"}, 422, "space"),
        ({"space": HALL}, 422, "ritual_id"),
        ({"space": HALL, "ritual": 7}, 422, "ritual"),
        ({"space": HALL, "ritual": "dance", "starts_in_s": -1}, 422, "starts_in_s"),
        ({"space": HALL, "ritual": "dance", "at": "9999-12-31T23:59:59-12:00"}, 422, "at"),
        ({"space": HALL, "ritual": "dance", "at": "0001-01-01T00:00:00+12:00"}, 422, "at"),
        ({"space": HALL, "ritual": "dance", "parameters": [1]}, 422, "parameters"),
        ({"space": HALL, "ritual": "dance", "action": "levitate"}, 422, "action"),
        ({"space": HALL, "action": "abort", "ritual_run": "x"}, 422, "ritual_run"),
        ({"space": HALL, "ritual": "sleep"}, 404, None),
        ({"space": "nowhere", "ritual": "dance"}, 404, None),
    ],
)
async def test_what_is_wrong_is_said_and_no_space_is_asked(
    w: World, http: httpx.AsyncClient, body: dict[str, Any], status: int, path: str | None
) -> None:
    answer = await http.post(RITUALS, json=body)
    assert answer.status_code == status, answer.text
    assert [error["path"] for error in answer.json().get("errors", [])] == ([] if path is None else [path])
    assert [each for each in w.shards.asked if each.entity == HALL] == []

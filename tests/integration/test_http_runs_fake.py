"""Runs, ratings and one's own state over HTTP: what practitioners are asked, and what storage answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, BOB
from ritual_fakes import RUN, RitualWorld, ritual_world

from actors.practitioner import commands as p
from actors.practitioner.archetypal_state import ArchetypalState
from actors.ritual import commands as c
from actors.ritual.values import INTENTION_MAX, PARAMETERS_BYTES, Brief, run_id_of
from actors.runtime.codec import from_wire
from actors.runtime.entity import Caller
from actors.runtime.errors import Conflict, NotFound, RateLimited, RitualFailed, SanghaError

MODULE = b"\0asm\1\0\0\0"
HASH = hashlib.sha256(MODULE).hexdigest()
SHADOW = "50000000-0000-4000-8000-000000000001"
DANCE = "50000000-0000-4000-8000-000000000002"
BOBS = "50000000-0000-4000-8000-000000000003"
SECRET = "50000000-0000-4000-8000-000000000004"
A = {"Authorization": "Bearer alice"}
PATHS = (
    ("POST", "/api/rituals/execute"),
    ("PUT", f"/api/rituals/{SHADOW}/rate"),
    ("GET", "/api/rituals/sessions"),
    ("GET", f"/api/rituals/sessions/{RUN}"),
    ("PATCH", f"/api/rituals/sessions/{RUN}"),
    ("GET", "/api/state/current"),
    ("POST", "/api/state/transform"),
    ("GET", "/api/state/history"),
    ("POST", "/api/state/reflection"),
    ("GET", "/api/state/insights"),
)


def ritual(name: str, **fields: Any) -> c.Upload:
    wire = {"name": name, "description": "d", "intent": "i", "is_public": True}
    return from_wire(c.Upload, wire | {"module": MODULE, "module_hash": HASH, "abi": "codex"} | fields)


@pytest.fixture
async def w() -> AsyncIterator[RitualWorld]:
    async with ritual_world() as here:
        here.queries.login("alice", ALICE)
        here.put(ritual("shadow_integration", required_archetypes=["Shadow"]), None, SHADOW)
        here.put(ritual("dance"), ALICE, DANCE)
        here.put(ritual("dance"), BOB, BOBS)
        here.put(ritual("secret", is_public=False), BOB, SECRET)
        yield here


@pytest.fixture
async def http(w: RitualWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http) as client:
        yield client


def recorded(w: RitualWorld, **fields: Any) -> dict[str, Any]:
    run = {
        "id": RUN,
        "practitioner_id": ALICE,
        "ritual_id": SHADOW,
        "ritual_name": "shadow_integration",
        "status": "completed",
        "error_code": None,
        "error_message": None,
        "intention": "to see",
        "transformation_intensity": 0.33,
        "result": {"transformation_intensity": 0.333, "session_id": RUN},
        "pre_state": None,
        "post_state": {"archetypes": {"Shadow": 0.5}},
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    } | fields
    w.queries.recorded[run["id"]] = run
    return run


def problem(answer: httpx.Response, status: int, code: str, path: str | None = None) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    body: dict[str, Any] = answer.json()
    if path is not None:
        assert body["errors"][0]["path"] == path
    return body


def refusing(failure: SanghaError) -> Any:
    def refuse(command: Any) -> Any:
        raise failure

    return refuse


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_what_is_ones_own_needs_a_login(w: RitualWorld, http: httpx.AsyncClient, method: str, path: str) -> None:
    problem(await http.request(method, path), 401, "unauthenticated")
    problem(await http.request(method, path, headers={"Authorization": "Bearer x"}), 401, "unauthenticated")
    assert w.shards.asked == []


@pytest.mark.parametrize(("method", "path"), [each for each in PATHS if each[0] != "GET"])
async def test_a_body_that_is_no_json_object_is_refused(http: httpx.AsyncClient, method: str, path: str) -> None:
    for body in (b"{", b'{"a":NaN}', b"\xff"):
        problem(await http.request(method, path, content=body, headers=A), 400, "bad_request")
    for body in (b"[]", b"7", b'{"a":' + b"[" * 40 + b"]" * 40 + b"}", b'{"a":"\\u0000"}'):
        problem(await http.request(method, path, content=body, headers=A), 422, "invalid")


@pytest.mark.parametrize(("method", "path"), [each for each in PATHS if each[0] != "GET"])
async def test_an_idempotency_key_that_cannot_be_one_is_a_bad_request(
    w: RitualWorld, http: httpx.AsyncClient, method: str, path: str
) -> None:
    recorded(w)
    w.queries.newest[SHADOW] = RUN
    body = {"ritual_id": SHADOW, "rating": 5, "transformation_type": "symbol"}
    answer = await http.request(method, path, json=body, headers=A | {"Idempotency-Key": "a b"})
    problem(answer, 400, "bad_request")


# Execute


async def test_a_run_is_asked_of_the_practitioner_with_the_rituals_own_brief(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    body = {
        "ritual_id": SHADOW,
        "practitioner_state": {"archetypes": {"Shadow": 99}},
        "ritual_parameters": {"depth": 3},
        "intention": "to see",
    }
    answer = await http.post("/api/rituals/execute", json=body, headers=A | {"Idempotency-Key": "k"})
    assert answer.json() == {"asked": "RunRitual"}
    brief = Brief(id=SHADOW, name="shadow_integration", module_hash=HASH, required_archetypes=("Shadow",))
    command = p.RunRitual(brief=brief, ritual=SHADOW, intention="to see", parameters=b'{"depth":3}')
    assert w.shards.own == [(command, f"{ALICE}:k-k", Caller(ALICE))]


async def test_a_run_without_a_key_is_an_operation_too(w: RitualWorld, http: httpx.AsyncClient) -> None:
    for _ in range(2):
        await http.post("/api/rituals/execute", json={"ritual_id": SHADOW}, headers=A)
    operations = [operation for _, operation, _ in w.shards.own]
    assert len(set(operations)) == 2
    assert all(operation.startswith(f"{ALICE}:once-") for operation in operations)


@pytest.mark.parametrize(
    ("name", "meant"), [("shadow_integration", SHADOW), ("dance", DANCE), (SHADOW.upper(), SHADOW)]
)
async def test_a_ritual_may_be_named(w: RitualWorld, http: httpx.AsyncClient, name: str, meant: str) -> None:
    await http.post("/api/rituals/execute", json={"ritual_name": name, "ritual_id": None}, headers=A)
    assert w.shards.own[0][0].brief.id == meant


async def test_a_name_that_several_have_is_a_conflict_and_one_that_none_has_not_found(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    w.queries.login("carol", BOB[:-1] + "9")
    carol = {"Authorization": "Bearer carol"}
    problem(await http.post("/api/rituals/execute", json={"ritual_name": "dance"}, headers=carol), 409, "conflict")
    for name in ("secret", "nothing", "x" * 300, SECRET, RUN):
        answer = await http.post("/api/rituals/execute", json={"ritual_name": name}, headers=A)
        problem(answer, 404, "not_found")
    assert w.shards.own == []


@pytest.mark.parametrize(
    ("body", "status", "code", "path"),
    [
        ({}, 422, "invalid", "ritual_id"),
        ({"ritual_id": 7}, 422, "invalid", "ritual_id"),
        ({"ritual_id": "shadow_integration"}, 422, "invalid", "ritual_id"),
        ({"ritual_name": ["a"]}, 422, "invalid", "ritual_name"),
        ({"ritual_name": ""}, 422, "invalid", "ritual_name"),
        ({"ritual_id": SHADOW, "parameters": []}, 422, "invalid", "parameters"),
        ({"ritual_id": SHADOW, "ritual_parameters": "deep"}, 422, "invalid", "ritual_parameters"),
        ({"ritual_id": SHADOW, "parameters": {"a": "x" * PARAMETERS_BYTES}}, 413, "too_large", "parameters"),
        ({"ritual_id": SHADOW, "intention": 7}, 422, "invalid", "intention"),
        ({"ritual_id": SHADOW, "intention": "x" * (INTENTION_MAX + 1)}, 422, "invalid", "intention"),
    ],
)
async def test_a_wrong_request_to_run_is_refused_with_its_path(
    w: RitualWorld, http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str, path: str
) -> None:
    problem(await http.post("/api/rituals/execute", json=body, headers=A), status, code, path)
    assert w.shards.own == []


async def test_a_run_that_fails_is_a_coded_problem(w: RitualWorld, http: httpx.AsyncClient) -> None:
    for failure, status in ((RitualFailed("needs Shadow"), 422), (RateLimited("enough"), 429), (Conflict("one"), 409)):
        w.shards.practitioner = refusing(failure)
        answer = await http.post("/api/rituals/execute", json={"ritual_id": SHADOW}, headers=A)
        assert problem(answer, status, failure.code)["detail"] == failure.message


async def test_a_retry_that_the_practitioner_forgot_is_answered_from_the_recorded_run(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    run_id = run_id_of(f"{ALICE}:k-k")
    recorded(w, id=run_id)
    w.shards.practitioner = refusing(NotFound("forgotten"))
    again = A | {"Idempotency-Key": "k"}
    answer = await http.post("/api/rituals/execute", json={"ritual_id": SHADOW}, headers=again)
    assert answer.json() == {"transformation_intensity": 0.333, "session_id": RUN}
    recorded(w, id=run_id, status="failed", error_code="ritual_failed", error_message="it trapped", result=None)
    answer = await http.post("/api/rituals/execute", json={"ritual_id": SHADOW}, headers=again)
    assert problem(answer, 422, "ritual_failed")["detail"] == "it trapped"
    problem(await http.post("/api/rituals/execute", json={"ritual_id": SHADOW}, headers=A), 404, "not_found")


async def test_a_retry_is_answered_also_when_its_ritual_was_withdrawn(w: RitualWorld, http: httpx.AsyncClient) -> None:
    again, body = A | {"Idempotency-Key": "k"}, {"ritual_id": DANCE}
    await http.delete(f"/api/rituals/{DANCE}", headers=A)
    assert (await http.post("/api/rituals/execute", json=body, headers=again)).json() == {"asked": "AwaitRun"}
    assert w.shards.own == [(p.AwaitRun(run=run_id_of(f"{ALICE}:k-k")), None, Caller(ALICE))]
    w.shards.practitioner = refusing(NotFound("no such run"))
    problem(await http.post("/api/rituals/execute", json=body, headers=again), 404, "not_found")
    recorded(w, id=run_id_of(f"{ALICE}:k-k"))
    assert (await http.post("/api/rituals/execute", json=body, headers=again)).json()["session_id"] == RUN
    problem(await http.post("/api/rituals/execute", json=body, headers=A), 404, "not_found")


# Rate


async def test_a_rating_is_of_the_newest_completed_run(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.newest[SHADOW] = RUN
    body = {"rating": 9, "notes": "deep", "run": BOB}
    assert (await http.put(f"/api/rituals/{SHADOW}/rate", json=body, headers=A)).status_code == 200
    await http.put(f"/api/rituals/{SHADOW}/rate", json={"rating": 1}, headers=A)
    assert [command for command, _, _ in w.shards.own] == [
        p.AnnotateRun(run=RUN, ritual=SHADOW, effectiveness_rating=9, subjective_experience="deep", newest=True),
        p.AnnotateRun(run=RUN, ritual=SHADOW, effectiveness_rating=1, newest=True),
    ]
    assert all(operation for _, operation, _ in w.shards.own)


async def test_what_one_never_ran_one_cannot_rate(w: RitualWorld, http: httpx.AsyncClient) -> None:
    body = problem(await http.put(f"/api/rituals/{DANCE}/rate", json={"rating": 9}, headers=A), 409, "conflict")
    assert "run it first" in body["detail"]
    problem(await http.put("/api/rituals/dance/rate", json={"rating": 9}, headers=A), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({}, "rating"),
        ({"rating": None}, "rating"),
        ({"rating": 0}, "rating"),
        ({"rating": 11}, "rating"),
        ({"rating": 5.5}, "rating"),
        ({"rating": True}, "rating"),
        ({"rating": "9"}, "rating"),
        ({"rating": 9, "notes": 5}, "notes"),
        ({"rating": 9, "notes": "x" * 20_001}, "notes"),
    ],
)
async def test_a_rating_is_an_integer_from_1_to_10(
    w: RitualWorld, http: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    problem(await http.put(f"/api/rituals/{SHADOW}/rate", json=body, headers=A), 422, "invalid", path)
    assert w.shards.own == []


# Sessions


async def test_runs_are_listed_by_page_and_by_ritual(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.rows = [{"id": RUN, "created_at": datetime(2026, 1, 1, tzinfo=UTC)}]
    answer = await http.get("/api/rituals/sessions", headers=A)
    assert answer.json() == [{"id": RUN, "created_at": "2026-01-01T00:00:00Z"}]
    assert w.queries.asked == (ALICE, 50, None, None)
    query = {"limit": "3", "before": RUN, "ritual": SHADOW}
    await http.get("/api/rituals/sessions", params=query, headers=A)
    assert w.queries.asked == (ALICE, 3, RUN, SHADOW)


@pytest.mark.parametrize("path", ["/api/rituals/sessions", "/api/state/history", "/api/state/insights"])
@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"before": "x"}, {"ritual": "dance"}, {"session_id": "7"}]
)
async def test_a_wrong_page_is_422_with_its_name(http: httpx.AsyncClient, path: str, query: dict[str, str]) -> None:
    read = {"/api/rituals/sessions": "limit before ritual", "/api/state/history": "limit before"}
    answer = await http.get(path, params=query, headers=A)
    name = next(iter(query))
    if name in read.get(path, "limit before session_id").split():
        problem(answer, 422, "invalid", name)
    else:
        assert answer.status_code == 200


async def test_a_run_is_its_practitioners_alone(w: RitualWorld, http: httpx.AsyncClient) -> None:
    recorded(w)
    assert (await http.get(f"/api/rituals/sessions/{RUN}", headers=A)).json()["intention"] == "to see"
    w.queries.login("bob", BOB)
    bob = {"Authorization": "Bearer bob"}
    problem(await http.get(f"/api/rituals/sessions/{RUN}", headers=bob), 404, "not_found")
    problem(await http.patch(f"/api/rituals/sessions/{RUN}", json={}, headers=bob), 404, "not_found")
    for id_ in ("x", SHADOW, "details"):
        problem(await http.get(f"/api/rituals/sessions/{id_}", headers=A), 404, "not_found")
    assert w.shards.own == []


async def test_notes_on_a_run_are_the_practitioners_to_keep(w: RitualWorld, http: httpx.AsyncClient) -> None:
    recorded(w)
    body = {"integration_notes": "walk", "subjective_experience": None, "effectiveness_rating": 7, "run": BOB}
    assert (await http.patch(f"/api/rituals/sessions/{RUN}", json=body, headers=A)).status_code == 200
    assert w.shards.own[0][0] == p.AnnotateRun(
        run=RUN, ritual=SHADOW, integration_notes="walk", subjective_experience=None, effectiveness_rating=7
    )


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"effectiveness_rating": None}, "effectiveness_rating"),
        ({"effectiveness_rating": 11}, "effectiveness_rating"),
        ({"integration_notes": 5}, "integration_notes"),
        ({"subjective_experience": "x" * 20_001}, "subjective_experience"),
    ],
)
async def test_a_wrong_note_is_422_with_its_path(
    w: RitualWorld, http: httpx.AsyncClient, body: dict[str, Any], path: str
) -> None:
    recorded(w)
    problem(await http.patch(f"/api/rituals/sessions/{RUN}", json=body, headers=A), 422, "invalid", path)


async def test_a_run_that_failed_has_notes_but_no_rating(w: RitualWorld, http: httpx.AsyncClient) -> None:
    recorded(w, status="failed")
    path = f"/api/rituals/sessions/{RUN}"
    problem(await http.patch(path, json={"effectiveness_rating": 5}, headers=A), 409, "conflict")
    assert (await http.patch(path, json={"integration_notes": "again"}, headers=A)).status_code == 200


# State


async def test_the_state_now_is_the_practitioners_to_say(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.shards.practitioner = lambda command: {"archetypal_state": {}, "version": 0}
    answer = await http.get("/api/state/current", headers=A)
    assert answer.json() == {"archetypal_state": {}, "version": 0}
    assert w.shards.own == [(p.GetState(), None, Caller(ALICE))]


async def test_a_change_by_hand_is_an_operation(w: RitualWorld, http: httpx.AsyncClient) -> None:
    body = {"transformation_type": "archetype_activation", "parameters": {"name": "Shadow", "strength": 0.5}}
    await http.post("/api/state/transform", json=body, headers=A | {"Idempotency-Key": "k"})
    command = from_wire(p.TransformState, body)
    assert w.shards.own == [(command, f"{ALICE}:k-k", Caller(ALICE))]
    assert json.loads(command.parameters) == body["parameters"]


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        ({}, 422, "transformation_type"),
        ({"transformation_type": "enlightenment"}, 422, "transformation_type"),
        ({"transformation_type": 7}, 422, "transformation_type"),
        ({"transformation_type": "symbol", "parameters": ["moon"]}, 422, "parameters"),
        ({"transformation_type": "symbol", "parameters": {"a": "x" * PARAMETERS_BYTES}}, 413, "parameters"),
    ],
)
async def test_a_wrong_change_is_refused_with_its_path(
    w: RitualWorld, http: httpx.AsyncClient, body: dict[str, Any], status: int, path: str
) -> None:
    answer = await http.post("/api/state/transform", json=body, headers=A)
    problem(answer, status, "invalid" if status == 422 else "too_large", path)
    assert w.shards.own == []


async def test_the_history_pages_by_id_or_by_version(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.rows = [{"version": 2, "state": {"symbols": ["moon"]}}]
    assert (await http.get("/api/state/history", headers=A)).json() == w.queries.rows
    for before in (RUN, "17"):
        await http.get(f"/api/state/history?before={before}&limit=2", headers=A)
        assert w.queries.asked == (ALICE, 2, before)
    problem(await http.get(f"/api/state/history?before={'9' * 40}", headers=A), 422, "invalid", "before")


async def test_a_reflection_without_a_run_is_on_the_state(w: RitualWorld, http: httpx.AsyncClient) -> None:
    for options in ({}, {"json": {}}, {"json": {"session_id": None}}):
        answer = await http.post("/api/state/reflection", headers=A, **options)
        assert answer.json() == {"asked": "Reflect"}
        command, operation, caller = w.shards.own[-1]
        assert (command, caller) == (p.Reflect(), Caller(ALICE))
        assert operation


async def test_a_reflection_on_a_run_has_the_run_as_it_was_recorded(w: RitualWorld, http: httpx.AsyncClient) -> None:
    recorded(w)
    await http.post("/api/state/reflection", json={"session_id": RUN}, headers=A)
    assert w.shards.own[0][0].run == p.RunToReflect(
        id=RUN,
        ritual_name="shadow_integration",
        intention="to see",
        pre=ArchetypalState(),
        post=ArchetypalState(archetypes={"Shadow": 0.5}),
        intensity=0.333,
    )


async def test_a_reflection_is_on_a_completed_run_of_ones_own(w: RitualWorld, http: httpx.AsyncClient) -> None:
    async def reflect(session_id: Any) -> httpx.Response:
        return await http.post("/api/state/reflection", json={"session_id": session_id}, headers=A)

    problem(await reflect(7), 422, "invalid", "session_id")
    problem(await reflect("x"), 404, "not_found")
    problem(await reflect(SHADOW), 404, "not_found")
    recorded(w, practitioner_id=BOB)
    problem(await reflect(RUN), 404, "not_found")
    for status in ("running", "failed"):
        recorded(w, status=status)
        assert status in problem(await reflect(RUN), 409, "conflict")["detail"]
    assert w.shards.own == []


async def test_insights_are_listed_and_one_runs_alone_where_asked(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.rows = [{"oracle_model": "rules-v1", "confidence_score": None}]
    assert (await http.get("/api/state/insights", headers=A)).json() == w.queries.rows
    assert w.queries.asked == (ALICE, None, 50, None)
    await http.get(f"/api/state/insights?session_id={RUN}&limit=2&before={SHADOW}", headers=A)
    assert w.queries.asked == (ALICE, RUN, 2, SHADOW)


@pytest.mark.parametrize(("method", "path"), [each for each in PATHS if "execute" not in each[1]])
async def test_without_storage_nothing_is_guessed(
    w: RitualWorld, http: httpx.AsyncClient, method: str, path: str
) -> None:
    w.queries.down = True
    body = {"rating": 5, "transformation_type": "symbol"}
    answer = await http.request(method, path, headers=A, **({} if method == "GET" else {"json": body}))
    assert problem(answer, 503, "storage_unavailable")["retryable"]

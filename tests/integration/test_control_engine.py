"""The Control Engine's document, endpoint by endpoint, against a real server: what a client written for it does.

One server for the module; each test is one person's use of it. The last one reads the seed's six tables as a BI tool would.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import wasmtime
from circle import SLOW_WAT
from harness import RunningServer

from server.client import Client, Stream

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

BUILTIN = {
    "shadow_integration",
    "archetype_invocation",
    "energy_attunement",
    "void_contemplation",
    "energy_integration",
    "transformation_completion",
}
MODULE = bytes(wasmtime.wat2wasm(SLOW_WAT.replace("{turns}", "10")))
STATE = {
    "archetypes": {"Light": 0.9, "Shadow": 0.2},
    "energies": {"fire": 0.5},
    "integrations": [],
    "symbols": ["spiral"],
    "transformations": ["descent"],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


class Person:
    """An account over HTTP."""

    def __init__(self, http: httpx.AsyncClient, account: dict[str, Any]) -> None:
        self.http, self.account, self.id = http, account, account["practitioner"]["id"]
        self.headers = {"Authorization": f"Bearer {account['token']}"}

    async def call(self, method: str, path: str, status: int = 200, **how: Any) -> Any:
        answer = await self.http.request(method, path, headers=self.headers | how.pop("headers", {}), **how)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content and "json" in answer.headers["Content-Type"] else answer.content


@pytest_asyncio.fixture(loop_scope="module")
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


async def person(http: httpx.AsyncClient, name: str = "Maya") -> Person:
    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "a long password", "spiritual_name": name}
    answer = await http.post("/api/users/register", json=body)
    assert answer.status_code == 201, answer.text
    return Person(http, answer.json())


async def upload(who: Person, **fields: Any) -> Any:
    ritual = {
        "name": "Witnessing",
        "description": "To see and to be seen.",
        "intent": "presence",
        "tradition": "jungian",
        "module_language": "wat",
        "difficulty_level": "beginner",
        "wasm_module": base64.b64encode(MODULE).decode(),
    }
    return await who.call("POST", "/api/rituals/upload", 201, json=ritual | fields)


async def test_a_practitioner_configures_runs_rates_and_looks_back(http: httpx.AsyncClient) -> None:
    maya = await person(http)
    assert await maya.call("PUT", "/api/users/archetypal_state", json=STATE) == STATE
    current = await maya.call("GET", "/api/state/current")
    assert current["archetypal_state"] == STATE
    result = await maya.call(
        "POST",
        "/api/rituals/execute",
        json={"ritual_name": "shadow_integration", "ritual_parameters": {}, "intention": "to meet what I avoid"},
    )
    fields = (
        "new_state transformation_intensity emerged_symbols integration_required next_rituals_suggested"
        " oracle_consultation_recommended session_id"
    )
    assert set(fields.split()) <= set(result)
    assert result["transformation_intensity"] > 0
    after = await maya.call("GET", "/api/state/current")
    assert after["archetypal_state"] == result["new_state"] != STATE
    history = await maya.call("GET", "/api/state/history")
    assert [entry["version"] for entry in history] == [2, 1]
    assert (await maya.call("GET", "/api/state/history?limit=1"))[0]["state_hash"] == after["state_hash"]
    (run,) = await maya.call("GET", "/api/rituals/sessions")
    assert run["id"] == result["session_id"]
    notes = {"subjective_experience": "warm", "integration_notes": "walk", "effectiveness_rating": 8}
    await maya.call("PATCH", f"/api/rituals/sessions/{run['id']}", json=notes)
    (run,) = await maya.call("GET", "/api/rituals/sessions")
    assert {name: run[name] for name in notes} == notes


async def test_state_is_transformed_by_hand_as_well(http: httpx.AsyncClient) -> None:
    maya = await person(http)
    changes = [
        ("archetype_activation", {"archetype": "Sage", "strength": 0.6}),
        ("energy_adjustment", {"energy": "air", "level": 0.4}),
        ("integration", {"integration": "anger"}),
        ("symbol", {"symbol": "owl"}),
        ("transformation_open", {"transformation": "winter"}),
        ("transformation_close", {"transformation": "winter"}),
    ]
    for kind, parameters in changes:
        await maya.call("POST", "/api/state/transform", json={"transformation_type": kind, "parameters": parameters})
    state = (await maya.call("GET", "/api/state/current"))["archetypal_state"]
    assert state["archetypes"] == {"Sage": 0.6}
    assert state["energies"] == {"air": 0.4}
    assert state["symbols"] == ["owl"]
    assert state["transformations"] == []
    assert len(await maya.call("GET", "/api/state/history")) == len(changes)
    wrong = {"transformation_type": "archetype_activation", "parameters": {"archetype": "Sage", "strength": 7}}
    problem = await maya.call("POST", "/api/state/transform", 422, json=wrong)
    assert problem["code"] == "invalid"


async def test_a_ritual_is_shared_found_read_rated_and_withdrawn(http: httpx.AsyncClient) -> None:
    author, reader = await person(http, "Author"), await person(http, "Reader")
    word = f"w{uuid.uuid4().hex[:8]}"
    ritual = await upload(author, name=f"Witnessing {word}")
    assert ritual["wasm_module_hash"] == hashlib.sha256(MODULE).hexdigest()
    assert await reader.call("GET", f"/api/rituals/catalog?q={word}") == []
    await reader.call("GET", f"/api/rituals/{ritual['id']}/details", 404)
    await author.call("PATCH", f"/api/rituals/{ritual['id']}", json={"is_public": True})
    (found,) = await reader.call("GET", f"/api/rituals/catalog?q={word}&tradition=jungian&difficulty=beginner")
    assert found["id"] == ritual["id"]
    details = await reader.call("GET", f"/api/rituals/{ritual['id']}/details")
    assert details["usage_count"] == 0
    assert await reader.call("GET", f"/api/rituals/{ritual['id']}/module") == MODULE
    await reader.call("PUT", f"/api/rituals/{ritual['id']}/rate", 409, json={"rating": 9})
    for who, rating in ((reader, 9), (author, 4), (reader, 6)):
        await who.call("POST", "/api/rituals/execute", json={"ritual_id": ritual["id"], "intention": ""})
        await who.call("PUT", f"/api/rituals/{ritual['id']}/rate", json={"rating": rating, "notes": "so"})

    async def settled() -> bool:
        now = await reader.call("GET", f"/api/rituals/{ritual['id']}/details")
        return bool(now["effectiveness_rating"] == 5.0 and now["usage_count"] == 3)

    async with asyncio.timeout(20):
        while not await settled():  # noqa: ASYNC110 - effects settle after the answer
            await asyncio.sleep(0.05)
    await reader.call("DELETE", f"/api/rituals/{ritual['id']}", 403)
    await author.call("DELETE", f"/api/rituals/{ritual['id']}", 204)
    await reader.call("POST", "/api/rituals/execute", 404, json={"ritual_id": ritual["id"]})
    assert await reader.call("GET", f"/api/rituals/catalog?q={word}") == []


async def test_the_six_built_in_rituals_are_there_with_their_documentation(http: httpx.AsyncClient) -> None:
    catalog = (await http.get("/api/rituals/catalog?limit=100")).json()
    found = {ritual["name"]: ritual for ritual in catalog if ritual["name"] in BUILTIN}
    assert set(found) == BUILTIN
    for ritual in found.values():
        details = (await http.get(f"/api/rituals/{ritual['id']}/details")).json()
        assert len(details["description"]) > 40


async def test_uploads_are_taken_in_each_form_once_for_a_key_and_refused_with_a_reason(http: httpx.AsyncClient) -> None:
    author = await person(http)
    as_array = await upload(author, wasm_module=list(MODULE))
    assert as_array["wasm_module_hash"] == hashlib.sha256(MODULE).hexdigest()
    key = {"Idempotency-Key": "upload-1"}
    body = {"name": "Once", "description": "d", "intent": "i", "wasm_module": base64.b64encode(MODULE).decode()}
    first = await author.call("POST", "/api/rituals/upload", 201, json=body, headers=key)
    assert await author.call("POST", "/api/rituals/upload", 201, json=body, headers=key) == first
    wasi = bytes(
        wasmtime.wat2wasm(
            '(module (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'
            ' (memory (export "memory") 1) (func (export "execute_ritual") (result i32) i32.const 0))'
        )
    )
    refused = await author.call(
        "POST", "/api/rituals/upload", 422, json=body | {"wasm_module": base64.b64encode(wasi).decode()}
    )
    assert refused["code"] == "ritual_rejected"
    assert "wasi" in str(refused).lower()
    huge = {"wasm_module": ("ritual.wasm", MODULE + bytes(4 * 2**20 + 1 - len(MODULE)), "application/wasm")}
    fields = {"name": "Huge", "description": "d", "intent": "i"}
    problem = await author.call("POST", "/api/rituals/upload", 413, data=fields, files=huge)
    assert problem["code"] == "too_large"


async def test_the_same_key_runs_a_ritual_once(http: httpx.AsyncClient) -> None:
    maya = await person(http)
    ritual = await upload(maya)
    body, key = {"ritual_id": ritual["id"], "intention": "once"}, {"Idempotency-Key": "run-1"}
    both = await asyncio.gather(*(maya.call("POST", "/api/rituals/execute", json=body, headers=key) for _ in range(3)))
    assert both[0] == both[1] == both[2]
    assert (await maya.call("GET", "/api/state/current"))["version"] == 1


async def test_a_failing_ritual_leaves_the_state_and_says_why(http: httpx.AsyncClient) -> None:
    maya = await person(http)
    trap = wasmtime.wat2wasm(
        '(module (import "codex" "get_archetype_activation" (func $get (param i32 i32) (result f64)))'
        ' (memory (export "memory") 1) (data (i32.const 0) "Trickster")'
        ' (func (export "execute_ritual") (result i32)'
        " (if (f64.eq (call $get (i32.const 0) (i32.const 9)) (f64.const 0)) (then unreachable)) i32.const 0))"
    )
    ritual = await upload(maya, wasm_module=base64.b64encode(bytes(trap)).decode(), required_archetypes=["Trickster"])
    problem = await maya.call("POST", "/api/rituals/execute", 422, json={"ritual_id": ritual["id"]})
    assert problem["code"] == "ritual_failed"
    assert "Trickster" in problem["detail"]
    assert (await maya.call("GET", "/api/state/current"))["archetypal_state"]["archetypes"] == {}


async def test_a_reflection_says_which_model_spoke_and_that_it_cannot_say_how_sure_it_is(
    http: httpx.AsyncClient,
) -> None:
    maya = await person(http)
    await maya.call("PUT", "/api/users/archetypal_state", json=STATE)
    result = await maya.call("POST", "/api/rituals/execute", json={"ritual_name": "shadow_integration"})
    insight = await maya.call("POST", "/api/state/reflection", json={"session_id": result["session_id"]})
    assert insight["oracle_model"] == "rules-v1"
    assert insight["confidence_score"] is None
    assert insight["interpretation"]
    guidance = await maya.call("POST", "/api/state/reflection", json={})
    assert guidance["insight_type"] in ("guidance", "warning")
    await maya.call("POST", "/api/state/reflection", 404, json={"session_id": str(uuid.uuid4())})


async def _meets(client: Client, starts_at: str) -> float:
    """When this client thinks that it is time."""
    await client.until(starts_at)
    return time.monotonic()


async def _until_closed(stream: Stream) -> Any:
    async for event in stream:
        if event.event == "ritual_closed":
            return event.body["summary"]
    raise AssertionError("the stream ended first")


async def test_a_group_ritual_is_begun_over_http_and_lived_over_the_collective_socket(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    leader, friend = await person(http, "Leader"), await person(http, "Friend")
    body = {"name": "Circle", "purpose": "together", "access_level": "open"}
    space = await leader.call("POST", "/api/collective/spaces", 201, json=body)
    assert space["id"] in [known["id"] for known in await friend.call("GET", "/api/collective/spaces")]
    url = f"{server.url}/ws/collective"
    async with (
        Client(url, token=leader.account["token"]) as one,
        Client(url, token=friend.account["token"]) as two,
        one.join(space["id"]) as ones,
        two.join(space["id"]) as twos,
    ):
        begin = {
            "space": space["id"],
            "ritual_name": "archetype_invocation",
            "intention": "one breath",
            "starts_in_s": 0.3,
            "opening_s": 0,
            "integration_s": 0,
        }
        for who in (leader, friend):
            await who.call("PUT", "/api/users/archetypal_state", json=STATE)
        await friend.call("POST", "/api/collective/rituals", 403, json=begin)
        begun = await leader.call("POST", "/api/collective/rituals", 201, json=begin)
        noticed = await asyncio.gather(*(_meets(client, begun["starts_at"]) for client in (one, two)))
        first, second = await asyncio.gather(_until_closed(ones), _until_closed(twos))
    assert max(noticed) - min(noticed) < 0.02, "they meet at the server's time, each by its own clock and offset"
    assert first == second
    assert first["ritual_run"] == begun["ritual_run"]
    assert first["transformed"] == 2
    status = await leader.call("GET", f"/api/collective/rituals?space={space['id']}")
    assert status["last"]["ritual_run"] == begun["ritual_run"]


async def test_the_seeds_tables_say_the_same(server: RunningServer, http: httpx.AsyncClient) -> None:
    maya = await person(http)
    await maya.call("PUT", "/api/users/archetypal_state", json=STATE)
    result = await maya.call("POST", "/api/rituals/execute", json={"ritual_name": "shadow_integration"})
    await maya.call("POST", "/api/state/reflection", json={"session_id": result["session_id"]})
    connection = await server.connect()
    try:
        row = await connection.fetchrow(
            """SELECT s.transformation_intensity, pre.archetypes AS pre, post.state_hash, post.state_data,
                      i.insight_type, i.oracle_model, i.confidence_score, r.name, s.ai_interpretation
               FROM ritual_sessions s JOIN sacred_rituals r ON r.id = s.ritual_id
               JOIN archetypal_states pre ON pre.id = s.pre_state_id
               JOIN archetypal_states post ON post.id = s.post_state_id
               JOIN oracle_insights i ON i.session_id = s.id
               JOIN practitioners p ON p.id = s.practitioner_id WHERE s.id = $1::uuid""",
            result["session_id"],
        )
    finally:
        await connection.close()
    assert row is not None
    assert float(row["transformation_intensity"]) == pytest.approx(result["transformation_intensity"], abs=0.005)
    assert row["state_hash"] == result["state_hash"]
    assert row["name"] == "shadow_integration"
    assert row["oracle_model"] == "rules-v1"
    assert row["confidence_score"] is None
    assert row["ai_interpretation"]

"""Accounts on a real server: keys on every change, the time of a login, export, the end of logins, others' profiles."""

from __future__ import annotations

import asyncio
import base64
import re
import statistics
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
import websockets
from examples import Player, declared
from harness import RunningServer, until

from server.http.contract import Example, Operation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PASSWORD = "a long password"
ENDS_THE_TOKEN = {"DELETE /api/users/account", "DELETE /api/users/sessions/{id}"}
"""Whose retry comes with a token that is gone: 401 says that it was done."""
BY_CURSOR = "POST /eustress/ingest/stream"
"""Done once by its lines' numbers and not by a key; the answer tells where it stands each time."""
OTHERWISE: dict[str, Any] = {
    "POST /api/users/register": {"spiritual_name": "Another"},
    "PUT /api/users/profile": {"sacred_path": "another"},
    "PUT /api/users/archetypal_state": {"symbols": ["another"]},
    "POST /api/rituals/execute": {"intention": "another"},
    "PATCH /api/rituals/{id}": {"description": "another"},
    "PUT /api/rituals/{id}/rate": {"rating": 1},
    "PATCH /api/rituals/sessions/{id}": {"integration_notes": "another"},
    "POST /api/state/transform": {"transformation_type": "symbol", "parameters": {"symbol": "another"}},
    "POST /api/collective/spaces": {"purpose": "another"},
    "PATCH /api/collective/spaces/{space}": {"purpose": "another"},
    "POST /api/collective/spaces/{space}/messages": {"body": "another"},
}
"""What makes another request of an example's body."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    limits = {"SANGHA_LOGINS_PER_MINUTE_ADDRESS": "10000", "SANGHA_LOGINS_PER_MINUTE_EMAIL": "10000"}
    async with RunningServer(SANGHA_GATEWAYS="2", **limits) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def http(server: RunningServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def register(http: httpx.AsyncClient, **more: Any) -> dict[str, Any]:
    email = f"{uuid.uuid4().hex}@example.org"
    answer = await http.post("/api/users/register", json={"email": email, "password": PASSWORD} | more)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json() | {"id": answer.json()["practitioner"]["id"], "email": email}
    return made


async def login(http: httpx.AsyncClient, who: dict[str, Any], **headers: str) -> Any:
    body = {"email": who["email"], "password": PASSWORD}
    answer = await http.post("/api/users/login", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


# --- keys ------------------------------------------------------------------------------------------------------------


class Again(Player):
    """Sends every change twice with one key, then with another body."""

    def __init__(self, http: httpx.AsyncClient, admin_token: str) -> None:
        super().__init__(http, admin_token)
        self.wrong: list[str] = []
        self.changed = 0
        self.altered = 0

    async def _headers(self, operation: Operation, example: Example) -> dict[str, str]:
        headers = await super()._headers(operation, example)
        return self.told if self.told is not None else headers

    told: dict[str, str] | None = None

    async def _send(self, operation: Operation, example: Example) -> Any:
        if not operation.mutates:
            return await super()._send(operation, example)
        self.told = await super()._headers(operation, example) | {"Idempotency-Key": f"key-{example.name}"}
        try:
            first = await super()._send(operation, example)
            again = await super()._send(operation, example)
            self._compare(f"{operation.method} {operation.path}", first, again)
            await self._alter(operation, example, first)
            self.answers[example.name] = first.answer
        finally:
            self.told = None
        return first

    def _compare(self, name: str, first: Any, again: Any) -> None:
        self.changed += 1
        if name == BY_CURSOR:
            if orjson.loads(again.response.text.splitlines()[-1])["accepted"] != 0:
                self.wrong.append(f"{name}: lines that were there counted again")
            return
        expected = 401 if name in ENDS_THE_TOKEN else first.response.status_code
        if again.response.status_code != expected or (expected != 401 and _timeless(again) != _timeless(first)):
            self.wrong.append(f"{name}: {first.response.text[:300]} then {again.response.text[:300]}")

    async def _alter(self, operation: Operation, example: Example, first: Any) -> None:
        name = f"{operation.method} {operation.path}"
        if name not in OTHERWISE or not isinstance(first.sent.body, dict) or example.form is not None:
            return
        self.altered += 1
        url = re.sub(r"{(\w+)}", lambda found: first.sent.path[found[1]], operation.path)
        body = first.sent.body | OTHERWISE[name]
        answer = await self.http.request(operation.method, url, json=body, headers=self.told)
        if answer.status_code != 409:
            self.wrong.append(f"{name} with another body: {answer.status_code} {answer.text[:300]}")


def _timeless(played: Any) -> Any:
    """An answer without the time at which it was given: a POST may be a look at something."""
    answer = played.answer
    return {**answer, "server_time": None} if isinstance(answer, dict) else answer


async def test_every_change_may_be_sent_twice_with_a_key_and_a_key_is_for_one_request(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    player = Again(http, (server.data_dir / "admin.token").read_text().strip())
    sent = [each.operation async for each in player.play(declared())]
    assert player.wrong == [], "\n".join(player.wrong)
    assert {f"{each.method} {each.path}" for each in declared() if each.mutates} <= {
        f"{each.method} {each.path}" for each in sent
    }
    assert player.altered >= len(OTHERWISE)
    connection = await server.connect()
    rows = await connection.fetch(
        "SELECT operation_id, count(*) FROM journal WHERE operation_id LIKE '%key-%' GROUP BY kind, entity_id, operation_id"
    )
    await connection.close()
    assert len(rows) > len(OTHERWISE)
    assert {row["count"] for row in rows} == {1}


async def test_a_login_with_a_key_gives_the_same_token_again(http: httpx.AsyncClient) -> None:
    who = await register(http)
    first, again = [await login(http, who, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert (first["token"], first["expires_at"]) == (again["token"], again["expires_at"])
    other = await login(http, who)
    assert other["token"] != first["token"]
    for _ in range(2):
        answer = await http.post("/api/users/logout", headers=bearer(first["token"]) | {"Idempotency-Key": "l"})
        assert answer.status_code == 204
    assert (await http.post("/api/users/logout", headers=bearer(first["token"]))).status_code == 401
    assert (await http.get("/api/users/profile", headers=bearer(other["token"]))).status_code == 200


# --- logging in ------------------------------------------------------------------------------------------------------


async def test_nobody_learns_from_a_login_whether_an_email_exists(http: httpx.AsyncClient) -> None:
    here, gone = await register(http), await register(http)
    body = {"password": PASSWORD}
    answer = await http.request("DELETE", "/api/users/account", json=body, headers=bearer(gone["token"]))
    assert answer.status_code == 204, answer.text
    took: dict[str, list[float]] = {"wrong": [], "unknown": [], "deleted": []}
    said = set()
    for n in range(15):
        emails = {"wrong": here["email"], "unknown": f"nobody-{n}@example.org", "deleted": gone["email"]}
        for which, email in emails.items():
            began = time.perf_counter()
            answer = await http.post("/api/users/login", json={"email": email, "password": "not it at all"})
            took[which].append(time.perf_counter() - began)
            said.add((answer.status_code, answer.content))
    assert [status for status, _ in said] == [401]
    medians = {which: statistics.median(times) for which, times in took.items()}
    assert max(medians.values()) < 1.5 * min(medians.values()), medians


# --- the end of logins -----------------------------------------------------------------------------------------------


async def socket_of(server: RunningServer, token: str) -> Any:
    socket = await websockets.connect(f"{server.url.replace('http', 'ws')}/ws")
    await socket.send(orjson.dumps({"id": 1, "type": "auth", "token": token}).decode())
    assert orjson.loads(await socket.recv())["type"] == "result"
    return socket


async def closed_with(socket: Any) -> int:
    async with asyncio.timeout(20):
        with suppress(websockets.ConnectionClosed):
            async for _ in socket:
                pass
        await socket.wait_closed()
    return int(socket.close_code)


async def test_sockets_close_at_once_when_their_login_ends_on_whatever_gateway(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    who = await register(http)
    mine, others = who["token"], [(await login(http, who))["token"] for _ in range(3)]
    sockets = [await socket_of(server, token) for token in others for _ in range(4)]
    kept = await socket_of(server, mine)
    rows = (await http.get("/api/users/sessions", headers=bearer(mine))).json()
    assert [row["current"] for row in rows].count(True) == 1
    assert len(rows) == 4
    one = next(row["id"] for row in rows if not row["current"])
    for status in (204, 404):
        assert (await http.delete(f"/api/users/sessions/{one}", headers=bearer(mine))).status_code == status
    left = await http.delete("/api/users/sessions", headers=bearer(mine))
    assert len(left.json()["sessions"]) == 2
    assert {await closed_with(socket) for socket in sockets} == {4001}
    for token in others:
        assert (await http.get("/api/users/profile", headers=bearer(token))).status_code == 401
    body = {"password": PASSWORD, "new_password": "a longer password"}
    assert (await http.put("/api/users/password", json=body, headers=bearer(mine))).status_code == 200
    await kept.send('{"id":2,"type":"ping"}')
    assert orjson.loads(await kept.recv())["type"] in ("result", "event")
    wrong = await http.put("/api/users/password", json=body, headers=bearer(mine))
    assert (wrong.status_code, wrong.json()["code"]) == (403, "forbidden")
    everywhere = await http.delete("/api/users/sessions", params={"all": "true"}, headers=bearer(mine))
    assert everywhere.status_code == 200
    assert await closed_with(kept) == 4001


async def test_sockets_of_a_deleted_account_close(server: RunningServer, http: httpx.AsyncClient) -> None:
    who = await register(http)
    sockets = [await socket_of(server, who["token"]) for _ in range(4)]
    wrong = await http.request(
        "DELETE", "/api/users/account", json={"password": "not it"}, headers=bearer(who["token"])
    )
    assert wrong.status_code == 403
    body = {"password": PASSWORD}
    answer = await http.request("DELETE", "/api/users/account", json=body, headers=bearer(who["token"]))
    assert answer.status_code == 204
    assert {await closed_with(socket) for socket in sockets} == {4001}


# --- profiles of others ----------------------------------------------------------------------------------------------


async def test_others_see_what_the_privacy_level_says_and_nothing_tells_private_from_unknown(
    http: httpx.AsyncClient,
) -> None:
    who, member, stranger = [await register(http, spiritual_name="Ariadne", privacy_level="private") for _ in range(3)]
    path = f"/api/users/{who['id']}/profile"
    made = await http.post(
        "/api/collective/spaces",
        json={"name": "Hall", "purpose": "to meet", "access_level": "open"},
        headers=bearer(who["token"]),
    )
    for each in (who, member):
        joined = await http.post(f"/api/collective/spaces/{made.json()['id']}/join", headers=bearer(each["token"]))
        assert joined.status_code == 200, joined.text

    async def seen_by(viewer: dict[str, Any] | None) -> httpx.Response:
        return await http.get(path, headers=bearer(viewer["token"]) if viewer else {})

    unknown = await http.get(f"/api/users/{uuid.uuid4()}/profile", headers=bearer(stranger["token"]))
    for viewer in (None, stranger, member):
        answer = await seen_by(viewer)
        assert (answer.status_code, answer.content) == (404, unknown.content)
    level = {"privacy_level": "community"}
    await http.put("/api/users/profile", json=level, headers=bearer(who["token"]))
    assert [(await seen_by(viewer)).status_code for viewer in (None, stranger, member)] == [404, 404, 200]
    assert (await seen_by(member)).json() == {"id": who["id"], "spiritual_name": "Ariadne"}
    level = {"privacy_level": "public"}
    await http.put("/api/users/profile", json=level, headers=bearer(who["token"]))
    for viewer in (None, stranger, member, who):
        answer = await seen_by(viewer)
        assert answer.status_code == 200
        assert answer.json()["spiritual_name"] == "Ariadne"
        assert who["email"] not in answer.text


# --- export ----------------------------------------------------------------------------------------------------------


class Elsewhere(Player):
    """Under other names than the examples', which were sent before."""

    def _filled(self, value: Any) -> Any:
        filled = super()._filled(value)
        if isinstance(filled, str):
            return filled.replace("ariadne@", "elsewhere@").replace("friday-circle", "elsewhere")
        return filled


async def test_an_export_has_what_was_done_and_no_secret(server: RunningServer, http: httpx.AsyncClient) -> None:
    player = Elsewhere(http, (server.data_dir / "admin.token").read_text().strip())
    played = {each.example.name: each async for each in player.play(declared())}
    mine = bearer(player.token)
    answer = await http.get("/api/users/export", headers=mine)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"].startswith("attachment")
    held = answer.json()
    assert held["profile"] == (await http.get("/api/users/profile", headers=mine)).json()
    for name, path in (("states", "state/history"), ("runs", "rituals/sessions"), ("insights", "state/insights")):
        rows = (await http.get(f"/api/{path}", params={"limit": "500"}, headers=mine)).json()
        assert held[name] == rows
        assert rows
    uploaded = {row["id"]: row for row in held["rituals"]}[played["upload"].answer["id"]]
    module = played["upload"].sent.body["wasm_module"]
    assert base64.b64decode(uploaded["wasm_module"]) == (
        bytes(module) if isinstance(module, list) else base64.b64decode(module)
    )
    assert {row["space_id"] for row in held["spaces"]} == {played["create_space"].answer["id"]}
    said = played["say"]
    assert [(each["offset"], each["body"]) for each in held["messages"]] == [
        (said.answer["offset"], said.sent.body["body"])
    ]
    connection = await server.connect()
    who = held["profile"]["id"]
    count = await connection.fetchval(
        "SELECT count(*) FROM journal WHERE kind = 'practitioner' AND entity_id = $1", who
    )
    secrets = await connection.fetch("SELECT password_hash FROM practitioners WHERE id = $1::uuid", who)
    await connection.close()
    assert [event["seq"] for event in held["journal"]] == list(range(1, count + 1))
    assert secrets[0][0] not in answer.text
    assert not re.search(r'"(token|password)_hash"', answer.text)
    assert await until(lambda: held["logins"], "logins")

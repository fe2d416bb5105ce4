"""The HTTP routes over a fake shard: users, operations, errors, origins."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, World, until, world

from actors.practitioner import commands as p
from actors.runtime.errors import ActorUnavailable, Conflict, NotFound
from server.http import passwords

ACCOUNT = {"email": "Ariadne@Example.org", "password": "labyrinth", "spiritual_name": "Ariadne"}


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "TIME_COST", 1)
    monkeypatch.setattr(passwords, "MEMORY_KIB", 64)


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world() as here:
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http) as client:
        yield client


async def registered(w: World, http: httpx.AsyncClient, **headers: str) -> dict[str, Any]:
    answer = await http.post("/api/users/register", json=ACCOUNT, headers=headers)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    w.queries.names["practitioner.email", "ariadne@example.org"] = body["practitioner"]["id"]
    w.queries.login(body["token"], body["practitioner"]["id"])
    return body


async def test_registering_gives_a_token_that_is_stored_only_as_a_hash(w: World, http: httpx.AsyncClient) -> None:
    body = await registered(w, http)
    assert set(body) == {"token", "expires_at", "practitioner"}
    assert body["expires_at"].endswith("Z")
    assert "password_hash" not in body["practitioner"]
    assert w.shards.opened.token_hash == hashlib.sha256(body["token"].encode()).digest()
    register = p.codec.decode(w.shards.asked[0].command)
    assert register.email == "ariadne@example.org"
    assert register.password_hash.startswith("$argon2id$")


async def test_a_retried_registration_is_the_same_commands_and_the_same_token(
    w: World, http: httpx.AsyncClient
) -> None:
    first = await registered(w, http, **{"Idempotency-Key": "k1"})
    again = await registered(w, http, **{"Idempotency-Key": "k1"})
    assert first == again
    commands = [(m.operation, m.command) for m in w.shards.asked]
    assert commands[:2] == commands[2:]
    assert commands[0][0] == f"{first['practitioner']['id']}:k-k1"
    other = await registered(w, http, **{"Idempotency-Key": "k2"})
    assert other["token"] != first["token"]


async def test_a_wrong_field_is_422_with_its_path_before_any_hash(w: World, http: httpx.AsyncClient) -> None:
    for wrong, path in (
        ({"password": "short"}, "password"),
        ({"email": "nobody"}, "email"),
        ({"privacy_level": "secret"}, "privacy_level"),
        ({"spiritual_name": "x" * 101}, "spiritual_name"),
        ({"spiritual_name": "a\0"}, "spiritual_name"),
    ):
        answer = await http.post("/api/users/register", json=ACCOUNT | wrong)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)
    assert w.shards.asked == []


async def test_a_taken_email_is_409(w: World, http: httpx.AsyncClient) -> None:
    w.shards.refuse = lambda message: Conflict("the email is taken")
    answer = await http.post("/api/users/register", json=ACCOUNT)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_login_with_the_right_password_only_and_one_message_for_both_wrongs(
    w: World, http: httpx.AsyncClient
) -> None:
    await registered(w, http)
    right = {"email": ACCOUNT["email"], "password": ACCOUNT["password"]}
    answer = await http.post("/api/users/login", json=right)
    assert answer.status_code == 200
    assert answer.json()["token"]
    wrong = await http.post("/api/users/login", json=right | {"password": "minotaur"})
    nobody = await http.post("/api/users/login", json=right | {"email": "theseus@example.org"})
    assert (wrong.status_code, nobody.status_code) == (401, 401)
    assert wrong.json() == nobody.json()


async def test_an_unknown_email_costs_a_verification_too(
    w: World, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified = []
    verify = passwords._verify
    monkeypatch.setattr(passwords, "_verify", lambda known, password: verified.append(known) or verify(known, password))
    await http.post("/api/users/login", json={"email": "no@body.org", "password": "x"})
    assert len(verified) == 1
    assert verified[0].startswith("$argon2id$")


async def test_logins_are_limited_by_email_with_a_time_to_wait() -> None:
    async with world(logins_per_minute_email=2) as w, httpx.AsyncClient(base_url=w.http) as http:
        for expected in (401, 401, 429):
            answer = await http.post("/api/users/login", json={"email": "a@b.org", "password": "x"})
            assert answer.status_code == expected
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        other = await http.post("/api/users/login", json={"email": "c@b.org", "password": "x"})
        assert other.status_code == 401


async def test_logins_are_limited_by_address() -> None:
    async with world(logins_per_minute_address=1) as w, httpx.AsyncClient(base_url=w.http) as http:
        await http.post("/api/users/login", json={"email": "a@b.org", "password": "x"})
        answer = await http.post("/api/users/login", json={"email": "c@b.org", "password": "x"})
        assert answer.status_code == 429


async def test_the_profile_is_read_and_changed_with_a_token(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    bearer = {"Authorization": "Bearer t"}
    assert (await http.get("/api/users/profile")).status_code == 401
    assert (await http.get("/api/users/profile", headers=bearer)).json()["id"] == ALICE
    headers = bearer | {"Idempotency-Key": "once"}
    assert (await http.put("/api/users/profile", json={"privacy_level": "public"}, headers=headers)).status_code == 200
    assert w.shards.asked[-1].operation == f"{ALICE}:k-once"
    assert w.shards.asked[-1].caller.practitioner == ALICE
    wrong = await http.put("/api/users/profile", json={"privacy_level": 1}, headers=bearer)
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "privacy_level")


async def test_a_change_without_a_key_is_an_operation_all_the_same(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    bearer = {"Authorization": "Bearer t"}
    for _ in range(2):
        assert (await http.put("/api/users/profile", json={"sacred_path": "x"}, headers=bearer)).status_code == 200
    first, second = (asked.operation for asked in w.shards.asked[-2:])
    assert first.startswith("link:")
    assert first != second
    await http.get("/api/users/profile", headers=bearer)
    assert w.shards.asked[-1].operation is None


async def test_the_archetypal_state_is_validated_and_replaced(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    bearer = {"Authorization": "Bearer t"}
    good = await http.put("/api/users/archetypal_state", json={"archetypes": {"Shadow": 0.5}}, headers=bearer)
    assert good.json()["archetypes"] == {"Shadow": 0.5}
    bad = await http.put("/api/users/archetypal_state", json={"archetypes": {"Shadow": 1.5}}, headers=bearer)
    assert (bad.status_code, bad.json()["errors"][0]["path"]) == (422, "archetypes.Shadow")


def gone_when(kind: type[p.Command]) -> Callable[[Any], NotFound | None]:
    """The account is deleted just before a command of that type is decided."""
    return lambda ask: NotFound("there is no such practitioner") if is_a(ask, kind) else None


def is_a(ask: Any, kind: type[p.Command]) -> bool:
    return isinstance(getattr(ask, "command", None), bytes) and isinstance(p.codec.decode(ask.command), kind)


@pytest.mark.parametrize("kind", [p.GetAccount, p.OpenSession, p.GetProfile])
async def test_a_login_while_the_account_is_deleted_is_a_wrong_password(
    w: World, http: httpx.AsyncClient, kind: type[p.Command]
) -> None:
    await registered(w, http)
    w.shards.refuse = gone_when(kind)
    answer = await http.post("/api/users/login", json=ACCOUNT)
    assert (answer.status_code, answer.json()["detail"]) == (401, "the email or the password is wrong")


async def test_a_registration_whose_account_is_deleted_already_is_a_conflict(w: World, http: httpx.AsyncClient) -> None:
    w.shards.refuse = gone_when(p.OpenSession)
    answer = await http.post("/api/users/register", json=ACCOUNT, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("kind", [p.GetAccount, p.GetProfile, p.ChangePassword, p.CloseSession])
async def test_whoever_asks_while_their_account_is_deleted_is_nobody_any_more(
    w: World, http: httpx.AsyncClient, kind: type[p.Command]
) -> None:
    headers = {"Authorization": f"Bearer {(await registered(w, http))['token']}"}
    w.shards.refuse = gone_when(kind)
    if kind is p.GetProfile:
        answer = await http.get("/api/users/profile", headers=headers)
    elif kind is p.CloseSession:
        answer = await http.delete("/api/users/sessions", headers=headers)
    else:
        body = {"password": ACCOUNT["password"], "new_password": "another labyrinth"}
        answer = await http.put("/api/users/password", json=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_an_account_is_exported_once_at_a_time(w: World, http: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {(await registered(w, http))['token']}"}
    w.shards.refuse = gone_when(p.GetProfile)
    w.shards.hold()
    first = asyncio.create_task(http.get("/api/users/export", headers=headers))
    await until(lambda: w.shards.held)
    second = await http.get("/api/users/export", headers=headers)
    assert (second.status_code, second.json()["code"]) == (429, "rate_limited")
    assert second.headers["Retry-After"]
    w.shards.release()
    assert (await first).status_code == 401
    assert w.gateway.exporting == set()


async def test_two_deletions_at_once_both_say_that_it_is_done(w: World, http: httpx.AsyncClient) -> None:
    headers = {"Authorization": f"Bearer {(await registered(w, http))['token']}"}
    w.shards.refuse = gone_when(p.DeleteAccount)
    body = {"password": ACCOUNT["password"]}
    answer = await http.request("DELETE", "/api/users/account", json=body, headers=headers)
    assert answer.status_code == 204
    w.shards.refuse = gone_when(p.GetAccount)
    answer = await http.request("DELETE", "/api/users/account", json=body, headers=headers)
    assert answer.status_code == 401


async def test_a_logout_closes_the_login(w: World, http: httpx.AsyncClient) -> None:
    login = w.queries.login("t", ALICE)
    answer = await http.post("/api/users/logout", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 204
    assert p.codec.decode(w.shards.asked[-1].command) == p.CloseSession(id=login.id)


async def test_problems_say_what_and_whether_to_retry(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    w.shards.refuse = lambda message: ActorUnavailable("not now")
    answer = await http.get("/api/users/profile", headers={"Authorization": "Bearer t"})
    assert answer.status_code == 503
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert answer.headers["Retry-After"] == "1"
    assert answer.json() == {
        "type": "urn:sangha:error:actor_unavailable",
        "title": "actor unavailable",
        "status": 503,
        "detail": "not now",
        "error": "not now",
        "code": "actor_unavailable",
        "retryable": True,
    }


async def test_our_own_failure_shows_a_reference_and_no_trace(w: World, http: httpx.AsyncClient, caplog: Any) -> None:
    w.queries.auth_session = lambda token: 1 / 0  # type: ignore[method-assign]
    answer = await http.get("/api/users/profile", headers={"Authorization": "Bearer t"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["detail"].rpartition(" ")[2] in caplog.text
    assert "ZeroDivision" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("GET", "/nowhere", None, 404),
        ("GET", "/api/users/login", None, 405),
        ("POST", "/api/users/login", b"{", 400),
        ("POST", "/api/users/login", b"[]", 422),
        ("POST", "/api/users/login", b"[" * 40 + b"]" * 40, 422),
        ("GET", "/ws", None, 400),
    ],
)
async def test_what_is_no_request_is_a_problem(
    http: httpx.AsyncClient, method: str, path: str, content: bytes | None, status: int
) -> None:
    answer = await http.request(method, path, content=content)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


async def test_a_body_over_the_limit_is_413() -> None:
    async with world(request_body_bytes=2048) as w, httpx.AsyncClient(base_url=w.http) as http:
        answer = await http.post("/api/users/login", content=b" " * 4096)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_a_bad_idempotency_key_is_400(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/users/register", json=ACCOUNT, headers={"Idempotency-Key": "a b"})
    assert answer.status_code == 400


async def test_a_request_id_is_kept_or_made_and_reaches_the_shard(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    bearer = {"Authorization": "Bearer t"}
    answer = await http.get("/api/users/profile", headers=bearer | {"X-Request-ID": "mine-1"})
    assert answer.headers["X-Request-ID"] == "mine-1"
    assert w.shards.asked[-1].request_id == "mine-1"
    answer = await http.get("/api/users/profile", headers=bearer | {"X-Request-ID": "no spaces"})
    assert answer.headers["X-Request-ID"] == w.shards.asked[-1].request_id != "no spaces"


async def test_health_and_readiness(w: World, http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).json()["status"] == "healthy"
    assert (await http.get("/ready")).status_code == 200
    assert (await http.get("/")).json()["name"] == "sangha"
    w.queries.down = True
    assert (await http.get("/ready")).status_code == 503
    w.queries.down = False
    await w.gateway.drain()
    assert (await http.get("/ready")).json()["code"] == "draining"
    assert (await http.get("/health")).status_code == 200
    assert (await http.get("/")).status_code == 503


async def test_a_host_that_is_not_ours_is_421(http: httpx.AsyncClient) -> None:
    assert (await http.get("/", headers={"Host": "rebound.example"})).status_code == 421


async def test_a_foreign_origin_is_403_and_an_allowed_one_gets_cors_headers() -> None:
    async with world(allowed_origins="https://friend.example") as w, httpx.AsyncClient(base_url=w.http) as http:
        assert (await http.get("/", headers={"Origin": "https://evil.example"})).status_code == 403
        friend = {"Origin": "https://friend.example"}
        assert (await http.get("/", headers=friend)).headers["Access-Control-Allow-Origin"] == friend["Origin"]
        preflight = await http.options("/api/users/login", headers=friend | {"Access-Control-Request-Method": "POST"})
        assert preflight.status_code == 204
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]


async def test_the_topology_is_for_the_admin_token_only(w: World, http: httpx.AsyncClient) -> None:
    async def topology() -> dict[str, Any]:
        return {"server": {}}

    w.gateway.admin_token, w.gateway.topology = "secret", topology
    assert (await http.get("/api/admin/topology")).status_code == 401
    right = await http.get("/api/admin/topology", headers={"Authorization": "Bearer secret"})
    assert right.json() == {"server": {}}

    async def silent() -> dict[str, Any]:
        raise LookupError("coordinator does not answer")

    w.gateway.topology = silent
    away = await http.get("/api/admin/topology", headers={"Authorization": "Bearer secret"})
    assert (away.status_code, away.json()["code"]) == (503, "actor_unavailable")

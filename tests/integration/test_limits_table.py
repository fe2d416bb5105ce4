"""Every limit of the protocol at its edge: what is just within is served, what is just beyond is refused with its code.

``LIMITS`` has a check for each setting that is a limit; ``ELSEWHERE`` names the tests of those whose edge needs more than a
gateway over fakes. A new setting is in one of the two, or in ``NO_LIMIT``. Where the default is large the check makes it small.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from fuzz.frames import Wire
from gateway_fakes import ALICE, HALL, ROOM, Client, world
from unit.driving import Driver, account

from actors.runtime.codec import from_wire
from actors.runtime.entity import AlarmFired, Tick
from actors.runtime.errors import NotFound, SanghaError
from actors.space import commands as s
from server.hosts import kinds
from server.http import passwords
from server.settings import Settings

ROOT = Path(__file__).parents[2]

LIMITS: dict[str, Callable[[], Awaitable[None]]] = {}

MORE_THAN_MAY_BE = "unit/test_eustress_entity.py::test_what_is_more_than_may_be_is_refused_and_changes_nothing"
ELSEWHERE = {
    "playouts": "integration/test_ws_audio_fake.py::test_who_would_hear_what_there_is_no_room_for_is_refused_and_follows_nothing",
    "audio_renders": "integration/test_http_vajra_audio_fake.py"
    "::test_a_client_that_leaves_ends_the_rendering_and_gives_its_place_back",
    "audio_sessions": "integration/test_http_vajra_sessions_fake.py::test_so_many_sessions_are_kept_and_one_that_goes_makes_room",
    "max_volume": "unit/test_audio_session_entity.py::test_no_volume_is_above_the_servers",
    "shard_queue": "unit/test_shard.py::test_a_full_queue_refuses_and_an_answer_makes_room",
    "live_entities": "unit/test_shard.py::test_the_cap_on_live_entities_puts_the_longest_idle_to_rest_or_refuses",
    "outbox_bytes": "integration/test_gateway_fake.py::test_a_client_that_stops_reading_is_closed_and_hurts_nobody",
    "wasm_max_memory": "integration/test_sandbox_hostile.py::test_memory_and_tables_grow_to_their_limits_and_no_further",
    "ritual_fuel": "contract/test_replay.py::test_a_run_that_used_up_its_fuel_does_so_again_under_another_limit",
    "ritual_deadline_s": "integration/test_sandbox_hostile.py::test_a_run_over_its_deadline_ends_there",
    "ritual_runs_per_day": "unit/test_practitioner_runs.py::test_runs_and_fuel_are_bounded_by_the_day",
    "ritual_fuel_per_day": "unit/test_practitioner_runs.py::test_runs_and_fuel_are_bounded_by_the_day",
    "uploaded_rituals": "integration/test_http_rituals_fake.py::test_one_practitioner_has_so_many_rituals",
    "oracle_timeout_s": "integration/test_oracle_client.py::test_a_wait_beyond_the_deadline_is_not_begun",
    "oracle_tokens_per_day": "integration/test_oracle_client.py::test_the_days_budget_outlives_a_restart_and_ends_with_the_day",
    "connections": "unit/test_guard.py::test_when_all_seats_are_taken_the_slowest_head_goes_then_the_longest_idle_then_nobody",
    "connections_per_address": "unit/test_guard.py::test_an_address_has_so_many_seats_and_gets_them_back",
    "header_timeout_s": "unit/test_guard.py::test_a_head_has_its_time_from_the_first_byte",
    "body_timeout_s": "unit/test_guard.py::test_a_body_that_makes_progress_may_take_as_long_as_it_takes",
    "eustress_connections": MORE_THAN_MAY_BE,
    "eustress_entities": MORE_THAN_MAY_BE,
    "eustress_exports": "contract/test_lake_files.py::test_a_client_that_leaves_ends_the_process_and_gives_its_place_back",
    "eustress_scene_bytes": MORE_THAN_MAY_BE,
    "eustress_spaces": "integration/test_ws_eustress_fake.py::test_so_many_spaces_may_be_made_and_what_waits_keeps_its_order",
    "keepalive_s": "unit/test_guard.py::test_an_idle_connection_goes_unless_its_last_answer_is_on_its_way",
}
NO_LIMIT = """
host port data_dir database_url ray_address listen tls_certificate tls_key gateways guests lab public_urls allowed_origins
trusted_proxies local_user silent_dialect sacred_encryption_key old_encryption_keys log_level placement_practitioner
placement_space placement_ritual sandboxes link_tls deflate passivate_after_s checkpoint_every ask_timeout_s openrouter_api_key
oracle_url oracle_model traces_url traces_ratio drain_s placement_eustress eustress_archive_dir
placement_audio_session placement_audio placement_prayer_wheel sample_rate audio_device prayer_bowl_mode prayer_bowl_harmonics
prayer_bowl_envelopes blessing_frequencies hardware_level amplifier_connected hardware_port api_v1_str project_name
"""
"""What to serve, where and how; ``ask_timeout_s`` and ``drain_s`` end waits of the server's own."""

Check = Callable[[], Awaitable[None]]


def limit(name: str) -> Callable[[Check], Check]:
    def registered(check: Check) -> Check:
        LIMITS[name] = check
        return check

    return registered


def code_of(reply: dict[str, Any]) -> str:
    return "ok" if reply["type"] == "result" else str(reply["error"]["code"])


def code(act: Callable[[], Any]) -> str:
    try:
        act()
    except SanghaError as failure:
        return failure.code
    return "ok"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "TIME_COST", 1)
    monkeypatch.setattr(passwords, "MEMORY_KIB", 64)


@pytest.mark.parametrize("name", sorted(set(Settings.model_fields) - set(NO_LIMIT.split()) - set(ELSEWHERE)))
async def test_each_limit_holds_at_its_edge(name: str) -> None:
    await LIMITS[name]()


def test_every_setting_is_a_limit_with_a_test_or_none() -> None:
    named = [*NO_LIMIT.split(), *ELSEWHERE, *LIMITS]
    assert sorted(named) == sorted(Settings.model_fields)


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_tests_that_stand_elsewhere_are_there(where: str) -> None:
    path, _, name = where.partition("::")
    assert re.search(rf"^(async )?def {re.escape(name)}\(", (ROOT / "tests" / path).read_text(), re.MULTILINE)


STATED = """
requests_per_s requests_burst unanswered_requests malformed_per_minute joined_spaces created_spaces participant_limit_max
message_bytes shared_state_bytes frame_bytes json_depth history_page outbox_bytes session_life_s sockets_per_address
sockets_per_practitioner
"""


async def test_the_welcome_states_the_limits_that_bind_the_client() -> None:
    async with world() as w:
        w.queries.login("t", ALICE)
        expected = {name: getattr(w.gateway.settings, name) for name in STATED.split()}
        async with w.socket() as client:
            assert (await client.auth(token="t"))["limits"] == expected
        async with w.guest() as guest:
            assert guest.hello["limits"] == expected | {"created_spaces": 2}
            assert guest.hello["heartbeat_s"] == 25


# --- sockets ---------------------------------------------------------------------------------------------------------


@limit("sockets_per_address")
async def _sockets_per_address() -> None:
    async with world(sockets_per_address=2) as w, w.guest(), w.guest() as second, w.socket() as third:
        assert await third.closed() == 4029
        assert code_of(await second.ask("ping")) == "ok"


@limit("sockets_per_practitioner")
async def _sockets_per_practitioner() -> None:
    """Also where all come at once."""
    async with world(sockets_per_practitioner=3) as w, AsyncExitStack() as stack:
        w.queries.login("t", ALICE)
        clients = [await stack.enter_async_context(w.socket()) for _ in range(5)]
        await asyncio.gather(*(client.send(id=1, type="auth", token="t") for client in clients))
        replies = await asyncio.gather(*(client.receive() for client in clients))
        assert sorted(map(code_of, replies)) == ["full", "full", "ok", "ok", "ok"]
        refused = [client for client, reply in zip(clients, replies, strict=True) if code_of(reply) == "full"]
        assert [await client.closed() for client in refused] == [4029, 4029]


@limit("auth_timeout_s")
async def _auth_timeout() -> None:
    """Whatever is said meanwhile that is not ``auth``: pings do not make it longer."""
    async with world(auth_timeout_s=0.3) as w, w.guest() as client:
        began = time.monotonic()
        async with w.socket() as silent:
            await silent.socket.ping()
            assert await silent.closed() == 4001
        assert time.monotonic() - began >= 0.29
        assert code_of(await client.ask("ping")) == "ok"


class Deaf(Wire):
    """A client that answers no pings."""

    async def _hear(self, opcode: int, payload: bytes) -> None:
        if opcode != 9:
            await super()._hear(opcode, payload)


@limit("heartbeat_s")
async def _heartbeat() -> None:
    async with world(heartbeat_s=0.2) as w, Wire(w.http) as well, Deaf(w.http) as deaf:
        for wire in (well, deaf):
            await wire.enter({"guest": "G"})
        await deaf.until(lambda wire: wire.ended.is_set(), 10)
        assert deaf.ended.is_set()
        assert not well.ended.is_set()


# --- requests --------------------------------------------------------------------------------------------------------


@limit("requests_burst")
async def _requests_burst() -> None:
    async with world(requests_burst=3, requests_per_s=0.001) as w, w.guest() as client:
        replies = [await client.ask("ping") for _ in range(4)]
        assert list(map(code_of, replies)) == ["ok", "ok", "ok", "rate_limited"]
        assert replies[-1]["error"]["retryable"]


@limit("requests_per_s")
async def _requests_per_s() -> None:
    """A flood is read no faster than is allowed, so that what is beyond costs the server nothing; it is all answered."""
    async with world(requests_burst=1, requests_per_s=100) as w, w.guest() as client:
        began = time.monotonic()
        for n in range(2, 42):
            await client.send(id=n, type="ping")
        codes = [code_of(await client.receive()) for _ in range(40)]
        took = time.monotonic() - began
        assert codes.count("ok") <= took * 100 + 2
        assert codes.count("rate_limited") <= took * 100 + 2
        assert set(codes) == {"ok", "rate_limited"}


@limit("unanswered_requests")
async def _unanswered() -> None:
    async with world(unanswered_requests=2) as w, w.guest() as client:
        w.shards.space()
        w.shards.hold()
        for n in (2, 3, 4):
            await client.send(id=n, type="space.get", space=HALL)
        assert (await client.receive())["id"] == 4
        w.shards.release()
        assert [(await client.receive())["id"] for _ in range(2)] == [2, 3]


@limit("malformed_per_minute")
async def _malformed() -> None:
    async with world(malformed_per_minute=3) as w, w.guest() as client:
        for _ in range(2):
            await client.socket.send("no JSON")
            assert (await client.receive())["error"]["code"] == "bad_request"
        assert code_of(await client.ask("ping")) == "ok"
        await client.socket.send("no JSON")
        await client.receive()
        assert await client.closed() == 4000


@limit("frame_bytes")
async def _frame_bytes() -> None:
    async with world(frame_bytes=2048) as w:
        for size, whole in ((2048, True), (2048, False)):
            async with w.guest() as client:
                request = b'{"id":2,"type":"ping"}'.ljust(size)
                await client.socket.send(
                    request.decode() if whole else [request[:1000].decode(), request[1000:].decode()]
                )
                assert (await client.receive())["id"] == 2
        async with w.guest() as client:
            await client.socket.send('{"id":2,"type":"ping"}'.ljust(2049))
            assert await client.closed() == 1009


@limit("json_depth")
async def _json_depth() -> None:
    async with world(json_depth=5) as w, w.guest() as client:
        w.shards.space()
        for depth, expected in ((4, "ok"), (5, "invalid")):  # the frame itself is the first level
            body: Any = 1
            for _ in range(depth):
                body = [body]
            assert code_of(await client.ask("space.send", space=HALL, body=body)) == expected


@limit("message_bytes")
async def _message_bytes() -> None:
    async with world(message_bytes=100) as w, w.guest() as client:
        w.shards.space()
        assert code_of(await client.ask("space.send", space=HALL, body="x" * 98)) == "ok"
        assert code_of(await client.ask("space.send", space=HALL, body="x" * 99)) == "too_large"
    driver = a_space(message_bytes=100)
    assert code(lambda: driver.do(s.SendMessage(body=b'"%b"' % (b"x" * 98)), account(1))) == "ok"
    assert code(lambda: driver.do(s.SendMessage(body=b'"%b"' % (b"x" * 99)), account(1))) == "too_large"


@limit("request_body_bytes")
async def _request_body_bytes() -> None:
    async with world(request_body_bytes=2048) as w, httpx.AsyncClient(base_url=w.http) as http:
        for size, expected in ((2048, 422), (2049, 413)):
            body = b'{"email":"a@b.org"}'.ljust(size)
            assert (await http.post("/api/users/login", content=body)).status_code == expected


@limit("history_page")
async def _history_page() -> None:
    async with world(history_page=3) as w, w.guest() as client:
        w.shards.space()
        for most, expected in ((3, "ok"), (4, "invalid"), (0, "invalid")):
            assert code_of(await client.ask("history", stream=f"space:{HALL}", limit=most)) == expected
            assert code_of(await client.ask("space.list", limit=most)) == expected


# --- spaces ----------------------------------------------------------------------------------------------------------


def a_space(**settings: Any) -> Driver:
    driver = Driver(kinds(Settings(_env_file=None, **settings))["space"])
    driver.do(s.CreateSpace(name="Circle", purpose="", access_level="open"), account(1))
    driver.do(s.Join(), account(1))
    return driver


@limit("joined_spaces")
async def _joined_spaces() -> None:
    async with world(joined_spaces=1) as w, w.guest() as client:
        w.shards.space(HALL)
        w.shards.space(ROOM)
        await client.join(HALL)
        assert code_of(await client.ask("space.join", space=ROOM)) == "full"


@limit("created_spaces")
async def _created_spaces() -> None:
    async with world(created_spaces=2) as w, w.socket() as client:
        w.queries.login("t", ALICE)
        await client.auth(token="t")
        for made, expected in ((1, "ok"), (2, "full")):
            w.queries.counts[ALICE] = made
            assert code_of(await client.ask("space.create", name="n", purpose="p")) == expected


async def creates(client: Client, times: int) -> list[str]:
    return [code_of(await client.ask("space.create", name="n", purpose="p")) for _ in range(times)]


@limit("guest_created_spaces")
async def _guest_created_spaces() -> None:
    async with world() as w, w.guest() as client, w.guest() as other:
        assert await creates(client, 3) == ["ok", "ok", "full"]
        assert await creates(other, 1) == ["ok"]


@limit("guest_created_spaces_per_address")
async def _guest_created_spaces_per_address() -> None:
    async with world(guest_created_spaces_per_address=3) as w, w.guest() as client, w.guest() as other:
        assert await creates(client, 2) == ["ok", "ok"]
        assert await creates(other, 2) == ["ok", "full"]


@limit("participant_limit_max")
async def _participant_limit_max() -> None:
    for most, expected in ((10_000, "ok"), (10_001, "invalid")):
        driver = Driver(kinds(Settings(_env_file=None))["space"])
        command = s.CreateSpace(name="Circle", purpose="", participant_limit=most)
        assert code(lambda d=driver, c=command: d.do(c, account(1))) == expected  # type: ignore[misc]


@limit("shared_state_bytes")
async def _shared_state_bytes() -> None:
    for size, expected in ((256 * 1024 - 2, "ok"), (256 * 1024 - 1, "too_large")):
        update = s.UpdateSpace(shared_state=b'{"a":"%b"}' % (b"x" * (size - 6)))
        assert code(lambda u=update: a_space().do(u, account(1))) == expected  # type: ignore[misc]


@limit("presence_grace_s")
async def _presence_grace() -> None:
    for away_s, shown in ((29.9, True), (30.1, False)):
        driver = a_space(presence_grace_s=30)
        driver.attach(account(1))
        driver.do(Tick())
        driver.detach(account(1))
        driver.wait(away_s)
        driver.do(Tick())
        assert (driver.reply(s.GetSpace(), account(1))["present"] != []) == shown


@limit("participant_grace_s")
async def _participant_grace() -> None:
    for away_s, stays in ((599, True), (601, False)):
        driver = a_space(participant_grace_s=600)
        driver.attach(account(1))
        driver.detach(account(1))
        driver.wait(away_s)
        driver.do(AlarmFired(name="sweep"))
        assert (account(1).practitioner in driver.state.participants) == stays


def test_a_spaces_words_have_their_bounds() -> None:
    """Constants, not settings: they stand in the types, from which the served documents are made."""
    good: dict[str, Any] = {"name": "n", "purpose": "p"}
    edges: list[tuple[str, Any, Any]] = [
        ("name", "x" * 100, "x" * 101),
        ("name", "x", ""),
        ("purpose", "x" * 2_000, "x" * 2_001),
        ("slug", "a" * 63, "a" * 64),
        ("slug", "0-", "-0"),
        ("slug", "a", "A"),
        ("participant_limit", 1, 0),
        ("tradition", "x" * 100, "x" * 101),
    ]
    for field, within, beyond in edges:
        assert code(lambda f=field, v=within: from_wire(s.CreateSpace, good | {f: v})) == "ok"  # type: ignore[misc]
        assert code(lambda f=field, v=beyond: from_wire(s.CreateSpace, good | {f: v})) == "invalid"  # type: ignore[misc]


# --- logins and sessions ---------------------------------------------------------------------------------------------


async def statuses(http: httpx.AsyncClient, path: str, *bodies: dict[str, Any]) -> list[int]:
    return [(await http.post(f"/api/users/{path}", json=body)).status_code for body in bodies]


def wrong(name: str) -> dict[str, str]:
    return {"email": f"{name}@example.org", "password": "not this one"}


@limit("logins_per_minute_address")
async def _logins_per_address() -> None:
    async with world(logins_per_minute_address=3) as w, httpx.AsyncClient(base_url=w.http) as http:
        assert await statuses(http, "login", *map(wrong, "abcd")) == [401, 401, 401, 429]


@limit("logins_per_minute_email")
async def _logins_per_email() -> None:
    async with world(logins_per_minute_email=2) as w, httpx.AsyncClient(base_url=w.http) as http:
        assert await statuses(http, "login", *map(wrong, "aAab")) == [401, 401, 429, 401]


@limit("registrations_per_minute_address")
async def _registrations_per_address() -> None:
    async with world(registrations_per_minute_address=2) as w, httpx.AsyncClient(base_url=w.http) as http:
        assert await statuses(http, "register", *map(wrong, "abc")) == [201, 201, 429]


@limit("exports_per_minute")
async def _exports_per_minute() -> None:
    async with world(exports_per_minute=1) as w, httpx.AsyncClient(base_url=w.http) as http:
        w.queries.login("t", ALICE)
        w.shards.refuse = lambda message: NotFound("asked")
        export = {"url": "/api/users/export", "headers": {"Authorization": "Bearer t"}}
        assert [(await http.get(**export)).status_code for _ in range(2)] == [401, 429]


@limit("token_life_s")
async def _token_life() -> None:
    """A token counts until its end: by the frame, and under a live socket."""
    async with world() as w:
        w.queries.login("over", ALICE, life_s=-0.001)
        w.queries.login("live", ALICE, life_s=60)
        async with w.socket() as client:
            await client.send(id=1, type="auth", token="over")
            assert code_of(await client.receive()) == "unauthenticated"
            assert await client.closed() == 4001
        async with w.socket() as client:
            await client.auth(token="live")
            w.gateway.sweep(0.0, time.time() + 55)
            assert code_of(await client.ask("ping")) == "ok"
            w.gateway.sweep(0.0, time.time() + 61)
            assert await client.closed() == 4001


@limit("session_life_s")
async def _session_life() -> None:
    async with world(session_life_s=100) as w, w.guest() as client:
        keys, session = w.gateway.keys, client.hello["session"]
        ends = keys.read(session, 0.0).expires_s  # type: ignore[union-attr]
        assert 98 <= ends - time.time() <= 100
        assert keys.read(session, ends - 0.1) is not None
        assert keys.read(session, ends + 0.1) is None
        w.gateway.sweep(0.0, ends + 0.1)
        assert await client.closed() == 4001

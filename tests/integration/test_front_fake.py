"""The front over a fake shard: hosts, origins, headers, proxies, encodings, strange targets, the local user."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest
import websockets
from gateway_fakes import ALICE, World, world

from server.http import passwords
from server.http.headers import SECURITY
from server.local_user import ID

FRIEND, EVIL = "https://friend.example", "https://evil.example"
BIG = 4 * 2**20


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world(allowed_origins=(FRIEND,), public_urls=("https://sangha.example",)) as here:
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http) as client:
        yield client


async def exchange(w: World, raw: bytes) -> bytes:
    """All that the server says to these bytes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    try:
        writer.write(raw)
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def is_problem(answer: httpx.Response) -> bool:
    return answer.headers["Content-Type"].startswith("application/problem+json") and "code" in answer.json()


# --- hosts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "EVIL.example:80", "evil.example.", "10.0.0.1", "[2001:db8::1]:8080"])
async def test_a_foreign_host_is_421_on_every_kind_of_address(w: World, http: httpx.AsyncClient, host: str) -> None:
    for path in ("/", "/api/users/profile", "/nowhere", "/ws", "/ws/collective", "/api/admin/topology"):
        answer = await http.get(path, headers={"Host": host})
        assert (answer.status_code, is_problem(answer)) == (421, True), path
    for path in ("/health", "/ready"):
        assert (await http.get(path, headers={"Host": host})).status_code == 200
    assert w.shards.asked == []


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.:1", "127.0.0.1", "[::1]:8080", "Sangha.Example.:443"])
async def test_our_own_names_are_served_in_any_spelling(http: httpx.AsyncClient, host: str) -> None:
    assert (await http.get("/api/users/profile", headers={"Host": host})).status_code == 401


async def test_the_target_may_not_name_another_host_than_ours(w: World) -> None:
    close = b"Connection: close\r\n\r\n"
    answer = await exchange(w, b"GET http://evil.example/api/users/profile HTTP/1.1\r\nHost: localhost\r\n" + close)
    assert status_of(answer) == 421
    answer = await exchange(w, b"GET http://localhost/api/users/profile HTTP/1.1\r\nHost: localhost\r\n" + close)
    assert status_of(answer) == 401
    answer = await exchange(w, b"GET http://localhost/api/users/profile HTTP/1.1\r\nHost: evil.example\r\n" + close)
    assert status_of(answer) == 421


async def test_without_a_host_it_is_a_bad_request_also_for_old_http(w: World) -> None:
    for version in (b"1.0", b"1.1"):
        head = b"GET /api/users/profile HTTP/" + version + b"\r\nConnection: close\r\n\r\n"
        assert status_of(await exchange(w, head)) == 400
    old = await exchange(w, b"GET /api/users/profile HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert status_of(old) == 401


# --- origins and CORS ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_preflight_tells_an_allowed_origin_what_it_may(http: httpx.AsyncClient, method: str) -> None:
    asks = {"Origin": FRIEND, "Access-Control-Request-Method": method}
    asks |= {"Access-Control-Request-Headers": "authorization,idempotency-key"}
    answer = await http.options("/api/users/profile", headers=asks)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == FRIEND
    assert method in answer.headers["Access-Control-Allow-Methods"]
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert (await http.options("/api/users/profile", headers=asks | {"Origin": EVIL})).status_code == 403
    assert (await http.options("/api/users/profile", headers=asks | {"Host": "evil.example"})).status_code == 421


async def test_answers_say_that_they_depend_on_the_origin(http: httpx.AsyncClient) -> None:
    for headers in ({}, {"Origin": FRIEND}, {"Origin": EVIL}):
        answer = await http.get("/api/users/profile", headers=headers)
        assert "Origin" in answer.headers["Vary"]
        assert answer.headers.get("Access-Control-Allow-Origin") == (FRIEND if headers == {"Origin": FRIEND} else None)
    allowed = await http.get("/api/users/profile", headers={"Origin": FRIEND})
    assert "Retry-After" in allowed.headers["Access-Control-Expose-Headers"]


async def test_a_foreign_origin_reaches_no_handler_and_no_socket(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    for method in ("GET", "PUT", "POST", "DELETE"):
        headers = {"Origin": EVIL, "Authorization": "Bearer t"}
        assert (await http.request(method, "/api/users/profile", headers=headers)).status_code == 403
    assert w.shards.asked == []
    async with w.socket(origin=EVIL) as client:
        assert await client.closed() == 4003
    async with w.socket(additional_headers={"Origin": FRIEND}) as client:
        await client.auth(guest="Friend")


# --- headers ---------------------------------------------------------------------------------------------------------


async def test_every_answer_has_the_headers_that_protect_a_browser(w: World, http: httpx.AsyncClient) -> None:
    answers = [
        await http.get("/health"),
        await http.get("/nowhere"),
        await http.get("/api/users/profile"),
        await http.get("/api/users/profile", headers={"Host": "evil.example"}),
        await http.get("/ws"),
        await http.request("DELETE", "/health"),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in SECURITY} == SECURITY, answer.url
        assert answer.headers["Server"] == "sangha"
        assert "Strict-Transport-Security" not in answer.headers
    broken = await exchange(w, b"this is not HTTP\r\n\r\n")
    assert status_of(broken) == 400
    assert b"Server: sangha" in broken
    assert b"nosniff" in broken
    assert b'"code":"bad_request"' in broken


async def test_a_socket_s_upgrade_names_no_version(w: World) -> None:
    async with w.socket() as client:
        assert client.socket.response.headers["Server"] == "sangha"


# --- proxies ---------------------------------------------------------------------------------------------------------


async def refused(w: World, *chains: str) -> list[bool]:
    """Which of these registrations are one too many for their address."""
    account = {"email": "a@b.org", "password": "labyrinth"}
    async with httpx.AsyncClient(base_url=w.http) as http:
        return [
            (await http.post("/api/users/register", json=account, headers={"X-Forwarded-For": chain})).status_code
            == 429
            for chain in chains
        ]


async def test_behind_a_trusted_proxy_limits_are_the_clients_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "TIME_COST", 1)
    monkeypatch.setattr(passwords, "MEMORY_KIB", 64)
    chains = ("1.1.1.1", "2.2.2.2", "9.9.9.9, 1.1.1.1", "2001:db8::1", "2001:db8::2")
    async with world(trusted_proxies=("127.0.0.1",), registrations_per_minute_address=1) as w:
        assert await refused(w, *chains) == [False, False, True, False, True]
    async with world(registrations_per_minute_address=1) as w:
        assert await refused(w, *chains) == [False, True, True, True, True]


async def test_what_a_trusted_proxy_took_over_tls_is_answered_as_such() -> None:
    for trusted, strict in ((("127.0.0.1",), True), ((), False)):
        async with (
            world(trusted_proxies=trusted, public_urls=("https://sangha.example",)) as w,
            httpx.AsyncClient(base_url=w.http) as http,
        ):
            told = {"Host": "sangha.example", "X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            answer = await http.get("/health", headers=told)
            assert ("Strict-Transport-Security" in answer.headers) is strict


async def test_a_trusted_proxy_says_which_host_was_asked_and_nobody_else_does() -> None:
    headers = {"Host": "10.0.0.1", "X-Forwarded-Host": "sangha.example", "X-Forwarded-For": "1.1.1.1"}
    for trusted, expected in ((("127.0.0.0/8",), 401), ((), 421)):
        async with (
            world(trusted_proxies=trusted, public_urls=("https://sangha.example",)) as w,
            httpx.AsyncClient(base_url=w.http) as http,
        ):
            assert (await http.get("/api/users/profile", headers=headers)).status_code == expected


async def test_sockets_are_counted_by_the_client_behind_the_proxy() -> None:
    async with world(trusted_proxies=("127.0.0.1",), sockets_per_address=1) as w:
        one = {"additional_headers": {"X-Forwarded-For": "1.1.1.1"}}
        async with w.guest(**one), w.socket(**one) as second:
            assert await second.closed() == 4029
            async with w.guest(additional_headers={"Forwarded": "for=2.2.2.2"}):
                pass


# --- bodies ----------------------------------------------------------------------------------------------------------


async def test_a_packed_body_is_read(w: World, http: httpx.AsyncClient) -> None:
    w.queries.login("t", ALICE)
    for encoding, pack in (("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)):
        headers = {"Authorization": "Bearer t", "Content-Encoding": encoding, "Content-Type": "application/json"}
        answer = await http.put("/api/users/profile", content=pack(b'{"sacred_path":"x"}'), headers=headers)
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "rot13"])
async def test_an_unknown_encoding_is_415(http: httpx.AsyncClient, encoding: str) -> None:
    answer = await http.post("/api/users/login", content=b"x", headers={"Content-Encoding": encoding})
    assert (answer.status_code, is_problem(answer)) == (415, True)


def bomb(encoding: str) -> bytes:
    """1,000 times 4 MiB of zeros: blocks that need nothing of each other, so that one has to be packed only."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(BIG)) + packer.flush(zlib.Z_FULL_FLUSH)
    return {"gzip": gzip.compress(b"")[:10], "deflate": b"\x78\xda"}[encoding] + block * 1000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_bomb_is_too_large_and_the_next_request_is_served(w: World, encoding: str) -> None:
    packed = bomb(encoding)
    assert len(packed) < BIG + 2**19
    async with httpx.AsyncClient(base_url=w.http) as http, asyncio.timeout(5):
        answer = await http.post("/api/users/login", content=packed, headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert (await http.get("/health")).status_code == 200


async def test_what_is_not_in_its_encoding_is_a_bad_request(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/users/login", content=b"{}", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, is_problem(answer)) == (400, True)


# --- strange requests ------------------------------------------------------------------------------------------------

TRICKS = (
    "/%2e%2e/%2e%2e/etc/passwd", "/static/..%2f..%2fserver%2fgateway.py", "//evil.example/x", "/api//users/profile",
    "/api/users/%00", "/api/rituals/%00/details", "/api/rituals/%ff%fe/details", "/api/rituals/..%2f/details",
    "/api/rituals/%F0%9F%92%A9/details", "/static/%00", "/static/../app.py", "/a" * 3000, "/api/rituals/" + "x" * 7000,
    "/;a=b", "/%", "/%zz", "/api/rituals/catalog?q=%00", "/nowhere?q=%ed%a0%80", "/ws/..", "/ws%2f",
    "/nowhere?" + "&".join(f"a{n}=1" for n in range(1500)),
)  # fmt: skip


@pytest.mark.parametrize("trick", TRICKS)
async def test_a_path_trick_is_answered_with_a_problem_and_never_a_failure(w: World, trick: str) -> None:
    raw = f"GET {trick} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = await exchange(w, raw)
    assert status_of(answer) in (200, 400, 401, 403, 404, 422), answer
    assert status_of(answer) == 200 or b"application/problem+json" in answer
    assert b"root:" not in answer
    assert b"class Gateway" not in answer


async def test_no_route_fails_on_a_strange_name(w: World) -> None:
    w.queries.login("t", ALICE)
    runner = w.gateway._runner
    assert runner is not None
    resources = {resource.canonical for resource in runner.app.router.resources()}
    for canonical in sorted(path for path in resources if "{" in path):
        for name in ("%00", "..%2f..", "%ff", "x" * 2000, "%ed%a0%80"):
            path = "/".join(name if part.startswith("{") else part for part in canonical.split("/"))
            raw = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n"
            assert status_of(await exchange(w, raw.encode())) in (400, 403, 404, 405, 422), path


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(300)) + b"\r\n",
    ],
)
async def test_what_is_no_request_is_a_400_with_a_problem(w: World, raw: bytes) -> None:
    answer = await exchange(w, raw)
    assert status_of(answer) == 400
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    ("raw", "statuses"),
    [
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", (400, 404, 405)),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n", (400, 404, 405)),
        (b"TRACE / HTTP/1.1\r\nHost: localhost\r\n", (405,)),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nExpect: nonsense\r\n", (417,)),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", (200,)),
    ],
)
async def test_what_nobody_needs_is_refused_or_ignored(w: World, raw: bytes, statuses: tuple[int, ...]) -> None:
    answer = await exchange(w, raw + b"Connection: close\r\n\r\n")
    assert status_of(answer) in statuses, answer
    assert status_of(answer) == 200 or b"application/problem+json" in answer


async def test_requests_behind_each_other_are_answered_in_order(w: World) -> None:
    many = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100
    last = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = await exchange(w, many + last)
    statuses = [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [200] * 100 + [404]


# --- WebSocket compression -------------------------------------------------------------------------------------------


async def test_compression_is_off_unless_it_is_set_and_what_is_sent_stays_plain() -> None:
    for deflate in (False, True):
        async with (
            world(deflate=deflate) as w,
            websockets.connect(w.url, compression="deflate") as socket,
        ):
            assert ("permessage-deflate" in str(socket.response.headers)) is deflate
            await socket.send('{"id":1,"type":"auth","guest":"Packed"}')
            assert '"result"' in str(await socket.recv())


async def test_a_packed_frame_is_bounded_by_what_it_holds() -> None:
    async with world(deflate=True) as w, websockets.connect(w.url, compression="deflate") as socket:
        await socket.send('{"id":1,"type":"auth","guest":"Bomber"}')
        await socket.recv()
        await socket.send('{"id":2,"type":"ping","x":"' + "0" * 5 * 2**20 + '"}')
        with pytest.raises(websockets.ConnectionClosed):
            await socket.recv()
        assert socket.close_code == 1009


# --- the local user --------------------------------------------------------------------------------------------------


async def test_the_local_user_needs_no_login_over_http_and_on_a_socket() -> None:
    async with world(local_user=True) as w, httpx.AsyncClient(base_url=w.http) as http:
        assert (await http.get("/api/users/profile")).json()["id"] == ID
        assert (await http.put("/api/users/profile", json={"sacred_path": "x"})).status_code == 200
        assert (await http.get("/api/users/profile", headers={"Authorization": "Bearer wrong"})).status_code == 401
        async with w.socket() as client:
            assert (await client.auth())["practitioner"]["id"] == ID
        async with w.socket() as client:
            assert (await client.auth(guest="Other"))["practitioner"]["guest"] is True


async def test_nobody_else_is_the_local_user() -> None:
    async with (
        world(local_user=True, allowed_origins=(FRIEND,), trusted_proxies=("127.0.0.1",)) as w,
        httpx.AsyncClient(base_url=w.http) as http,
    ):
        for headers, expected in (
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "same-site"}, 403),
            ({"Origin": EVIL}, 403),
            ({"Host": "evil.example"}, 421),
            ({"X-Forwarded-For": "127.0.0.1"}, 401),
            ({"Forwarded": "for=1.1.1.1"}, 401),
            ({"Sec-Fetch-Site": "cross-site", "Origin": FRIEND}, 200),
        ):
            assert (await http.get("/api/users/profile", headers=headers)).status_code == expected, headers
        async with w.socket(origin=EVIL) as client:
            assert await client.closed() == 4003
        async with w.socket(additional_headers={"X-Forwarded-For": "127.0.0.1"}) as client:
            await client.send(id=1, type="auth")
            assert await client.closed() == 4001


async def test_the_seeds_front_ends_are_welcome_where_there_is_a_local_user() -> None:
    seed, published = "http://localhost:5173", "http://localhost:3009"
    for settings, page, welcome in (
        ({"local_user": True}, seed, True),
        ({"local_user": True}, published, True),
        ({"local_user": True, "allowed_origins": ()}, seed, False),
        ({"local_user": True, "allowed_origins": (FRIEND,)}, published, False),
        ({}, seed, False),
    ):
        async with world(**settings) as w, httpx.AsyncClient(base_url=w.http) as http:
            answer = await http.options("/api/v1/audio/presets", headers={"Origin": page})
            assert answer.headers.get("Access-Control-Allow-Origin") == (page if welcome else None), settings
            own = await http.get("/api/users/profile", headers={"Origin": page, "Sec-Fetch-Site": "same-site"})
            assert (own.status_code == 200) is welcome, settings


async def test_without_the_setting_there_is_no_local_user(w: World, http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/users/profile")).status_code == 401
    async with w.socket() as client:
        await client.send(id=1, type="auth")
        assert await client.closed() == 4001

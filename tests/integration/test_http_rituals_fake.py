"""Rituals over HTTP: upload, catalog, details, module, edit, withdraw. The ritual entity is the real one, storage a fake."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from gateway_fakes import ALICE, BOB, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ritual_fakes import RitualWorld, ritual_world

from actors.ritual import commands as c
from actors.ritual.values import MODULE_BYTES_MAX, CheckReport, CheckRequest
from actors.runtime.errors import ActorUnavailable
from server.http import uploads

MODULE = b"\0asm\1\0\0\0" + bytes(range(256))
HASH = hashlib.sha256(MODULE).hexdigest()
AS_BASE64 = base64.b64encode(MODULE).decode()
FIELDS: dict[str, Any] = {
    "name": "Descent",
    "description": "Down, and back up.",
    "intent": "to meet the shadow",
    "tradition": "jungian",
    "module_language": "wat",
    "difficulty_level": "intermediate",
    "required_archetypes": ["Shadow"],
    "energy_requirements": {"fire": 0.25},
}
OTHERS = "99999999-9999-4999-8999-999999999999"
A = {"Authorization": "Bearer alice"}
B = {"Authorization": "Bearer bob"}


@pytest.fixture
async def w() -> AsyncIterator[RitualWorld]:
    async with ritual_world() as here:
        log_in(here)
        yield here


@pytest.fixture
async def http(w: RitualWorld) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http, timeout=30) as client:
        yield client


def log_in(w: RitualWorld) -> None:
    w.queries.login("alice", ALICE)
    w.queries.login("bob", BOB)


async def upload(http: httpx.AsyncClient, headers: Any = A, **fields: Any) -> httpx.Response:
    return await http.post("/api/rituals/upload", json=FIELDS | {"wasm_module": AS_BASE64} | fields, headers=headers)


async def uploaded(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await upload(http, **fields)
    assert answer.status_code == 201, answer.text
    ritual: dict[str, Any] = answer.json()
    return ritual


def problem(answer: httpx.Response, status: int, code: str, path: str | None = None) -> dict[str, Any]:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    if path is not None:
        assert body["errors"][0]["path"] == path
    return body


# Upload


async def test_an_upload_is_checked_in_a_sandbox_and_answered_with_the_ritual(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    answer = await upload(http)
    assert answer.status_code == 201
    ritual = answer.json()
    assert FIELDS.items() <= ritual.items()
    assert (ritual["is_public"], ritual["author_id"], ritual["abi"]) == (False, ALICE, "codex")
    assert ritual["module_hash"] == ritual["wasm_module_hash"] == HASH
    assert (ritual["notes"], ritual["imports"]) == (["no data"], ["codex.log"])
    assert ritual["dry_run"]["fuel"] == 42
    assert "duration_us" not in ritual["dry_run"]
    assert w.shards.rituals[ritual["id"]].module == MODULE
    assert "wasm_module" not in ritual


async def test_the_same_check_has_the_same_name_and_another_has_another(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    for more in ({}, {"description": "not checked"}, {"required_archetypes": ["Wanderer"]}):
        await uploaded(http, **more)
    names = [name for name in w.shards.done if name.startswith("check:")]
    assert len(names) == 2


@pytest.mark.parametrize(
    "module",
    [list(MODULE), AS_BASE64, "\n".join(AS_BASE64[i : i + 76] for i in range(0, len(AS_BASE64), 76))],
    ids=["array of bytes", "base64", "base64 in lines"],
)
async def test_a_module_may_come_as_base64_or_as_an_array_of_bytes(
    w: RitualWorld, http: httpx.AsyncClient, module: Any
) -> None:
    ritual = await uploaded(http, wasm_module=module)
    assert w.shards.rituals[ritual["id"]].module == MODULE


async def test_a_module_may_come_as_a_form(w: RitualWorld, http: httpx.AsyncClient) -> None:
    form = {
        "name": "Abstieg",
        "description": "Hinab ünd hinauf",
        "intent": "i",
        "tradition": "",
        "required_archetypes": '["Shadow"]',
        "energy_requirements": '{"fire": 0.5}',
        "is_public": "true",
    }
    files = {"wasm_module": ("descent.wasm", MODULE, "application/wasm")}
    answer = await http.post("/api/rituals/upload", data=form, files=files, headers=A)
    assert answer.status_code == 201, answer.text
    ritual = answer.json()
    assert (ritual["description"], ritual["tradition"]) == ("Hinab ünd hinauf", None)
    assert (ritual["required_archetypes"], ritual["energy_requirements"]) == (["Shadow"], {"fire": 0.5})
    assert ritual["is_public"] is True
    assert w.shards.rituals[ritual["id"]].module == MODULE


async def test_a_retried_upload_gives_the_first_reply_and_one_ritual(w: RitualWorld, http: httpx.AsyncClient) -> None:
    first = await upload(http, A | {"Idempotency-Key": "k"})
    again = await upload(http, A | {"Idempotency-Key": "k"})
    assert first.json() == again.json()
    assert len(w.shards.rituals) == 1
    assert (await upload(http, A | {"Idempotency-Key": "other"})).json()["id"] != first.json()["id"]
    assert (await upload(http, B | {"Idempotency-Key": "k"})).json()["id"] != first.json()["id"]


async def test_what_the_sandbox_finds_wrong_is_told_problem_by_problem(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.shards.check = lambda check: CheckReport(
        accepted=False, module_hash=HASH, problems=("it imports wasi.fd_write", "it exports no memory")
    )
    body = problem(await upload(http), 422, "ritual_rejected", "wasm_module")
    assert [each["message"] for each in body["errors"]] == ["it imports wasi.fd_write", "it exports no memory"]
    assert w.shards.rituals == {}


async def test_the_check_knows_what_the_ritual_asks_of_a_state(w: RitualWorld, http: httpx.AsyncClient) -> None:
    seen: list[CheckRequest] = []
    accept = w.shards.check
    w.shards.check = lambda check: seen.append(check) or accept(check)
    await uploaded(http)
    assert (seen[0].required_archetypes, seen[0].energy_requirements) == (("Shadow",), {"fire": 0.25})


async def test_a_sandbox_that_is_away_makes_the_upload_retryable(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.shards.refuse = lambda message: ActorUnavailable("no sandbox")
    answer = await upload(http)
    assert problem(answer, 503, "actor_unavailable")["retryable"]
    assert "Retry-After" in answer.headers


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"description": ["a"]}, "description"),
        ({"intent": "x" * 10_001}, "intent"),
        ({"tradition": "x" * 101}, "tradition"),
        ({"module_language": "x" * 51}, "module_language"),
        ({"difficulty_level": "impossible"}, "difficulty_level"),
        ({"required_archetypes": "Shadow"}, "required_archetypes"),
        ({"required_archetypes": [1]}, "required_archetypes[0]"),
        ({"required_archetypes": ["x"] * 65}, "required_archetypes"),
        ({"energy_requirements": {"fire": 2}}, "energy_requirements[...]"),
        ({"energy_requirements": {"fire": "hot"}}, "energy_requirements[...]"),
        ({"energy_requirements": []}, "energy_requirements"),
        ({"is_public": "yes"}, "is_public"),
        ({"description": "a\0b"}, "description"),
        ({"wasm_module": None}, "wasm_module"),
        ({"wasm_module": 5}, "wasm_module"),
        ({"wasm_module": {"a": 1}}, "wasm_module"),
        ({"wasm_module": ""}, "wasm_module"),
        ({"wasm_module": "not base64!"}, "wasm_module"),
        ({"wasm_module": "AGFzbQEAAAA"}, "wasm_module"),  # its padding is missing
        ({"wasm_module": "AGFz"}, "wasm_module"),
        ({"wasm_module": []}, "wasm_module"),
        ({"wasm_module": [256] * 10}, "wasm_module"),
        ({"wasm_module": [-1] * 10}, "wasm_module"),
        ({"wasm_module": [1.0] * 10}, "wasm_module"),
        ({"wasm_module": [True] * 10}, "wasm_module"),
        ({"wasm_module": [None] * 10}, "wasm_module"),
        ({"wasm_module": ["1"] * 10}, "wasm_module"),
        ({"wasm_module": [[1, 2], [3]] * 10}, "wasm_module"),
        ({"wasm_module": [[1, 2]] * 50_000}, "wasm_module"),
        ({"wasm_module": ["1,2"] * 50_000}, "wasm_module"),
    ],
)
async def test_a_wrong_field_is_422_with_its_path_before_any_sandbox_is_asked(
    w: RitualWorld, http: httpx.AsyncClient, fields: dict[str, Any], path: str
) -> None:
    problem(await upload(http, **fields), 422, "invalid", path)
    assert w.shards.asked == []


async def test_what_an_upload_does_not_know_is_ignored_and_nothing_overrides_the_check(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    strange = {"module": "AAAA", "module_hash": "00" * 32, "abi": "legacy", "usage_count": 10**6, "author_id": BOB}
    ritual = await uploaded(http, **strange)
    assert (ritual["wasm_module_hash"], ritual["abi"], ritual["usage_count"]) == (HASH, "codex", 0)
    assert ritual["author_id"] == ALICE


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"name":NaN}', b"\xff", b'{"name":"\xff"}', b'{"a":' + b"[" * 100_000 + b"}"]
)
async def test_what_is_no_json_is_a_bad_request(http: httpx.AsyncClient, body: bytes) -> None:
    problem(await http.post("/api/rituals/upload", content=body, headers=A), 400, "bad_request")


async def test_json_that_is_no_object_or_too_deep_is_invalid(http: httpx.AsyncClient) -> None:
    for body in (b"[]", b"7", b'{"name":' + b"[" * 40 + b"]" * 40 + b"}"):
        problem(await http.post("/api/rituals/upload", content=body, headers=A), 422, "invalid")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
def test_a_torn_body_is_never_ours_to_blame(noise: bytes, cut: int, form: bool) -> None:
    asyncio.run(torn(noise, cut, form=form))


async def torn(noise: bytes, cut: int, *, form: bool) -> None:
    request = httpx.Request(
        "POST",
        "http://x/",
        **({"files": {"wasm_module": MODULE}, "data": {"name": "x"}} if form else {"json": {"wasm_module": [1, 2]}}),
    )
    body = request.read()[:cut] + noise
    headers = A | {"Content-Type": request.headers["Content-Type"]}
    async with ritual_world() as w, httpx.AsyncClient(base_url=w.http) as http:
        log_in(w)
        answer = await http.post("/api/rituals/upload", content=body, headers=headers)
    assert answer.status_code in (400, 422), (body, answer.text)


@pytest.mark.parametrize(
    ("data", "files", "path"),
    [
        ({"name": "x"}, {"other": b"file"}, "wasm_module"),
        ({"required_archetypes": "{"}, {"wasm_module": MODULE}, "required_archetypes"),
        ({"energy_requirements": "[1]"}, {"wasm_module": MODULE}, "energy_requirements"),
        ({"is_public": "yes"}, {"wasm_module": MODULE}, "is_public"),
        ({"name": b"\xff"}, {"wasm_module": MODULE}, "name"),
        ({"name": "a\0"}, {"wasm_module": MODULE}, "name"),
    ],
)
async def test_a_wrong_part_of_a_form_is_422_with_its_path(
    http: httpx.AsyncClient, data: dict[str, Any], files: dict[str, bytes], path: str
) -> None:
    good = {"name": "x", "description": "d", "intent": "i"}
    answer = await http.post("/api/rituals/upload", data=good | data, files=files, headers=A)
    problem(answer, 422, "invalid", path)


async def test_a_module_of_five_bytes_is_told_so_in_either_form(http: httpx.AsyncClient) -> None:
    says = "wasm_module: 5 bytes are too few for a WebAssembly module"
    body = problem(await upload(http, wasm_module=[0, 97, 115, 109, 1]), 422, "invalid", "wasm_module")
    assert body["detail"] == says
    form = {"name": "x", "description": "d", "intent": "i"}
    answer = await http.post("/api/rituals/upload", data=form, files={"wasm_module": b"\0asm\1"}, headers=A)
    assert problem(answer, 422, "invalid", "wasm_module")["detail"] == says


async def test_a_form_with_two_modules_is_refused_at_the_second(http: httpx.AsyncClient) -> None:
    files = [("wasm_module", MODULE), ("wasm_module", MODULE)]
    answer = await http.post("/api/rituals/upload", files=files, headers=A)
    assert "twice" in problem(answer, 422, "invalid", "wasm_module")["detail"]


@pytest.mark.parametrize(
    "part",
    [
        b'Content-Disposition: form-data; name="wasm_module"\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA',
        b'Content-Disposition: form-data; name="wasm_module"\r\nContent-Encoding: gzip\r\n\r\nAAAA',
        b"Content-Disposition: form-data\r\n\r\nAAAA",
        b"Content-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n\r\n--y--",
        b'Content-Disposition: form-data; name="\xff"\r\nContent-Encoding: gzip\r\n\r\nAAAA',
        b"no header at all\r\n\r\nAAAA",
    ],
)
async def test_a_form_that_is_none_is_a_bad_request(http: httpx.AsyncClient, part: bytes) -> None:
    headers = A | {"Content-Type": "multipart/form-data; boundary=x"}
    answer = await http.post("/api/rituals/upload", content=b"--x\r\n" + part + b"\r\n--x--\r\n", headers=headers)
    problem(answer, 400, "bad_request")
    no_boundary = A | {"Content-Type": "multipart/form-data"}
    problem(await http.post("/api/rituals/upload", content=b"x", headers=no_boundary), 400, "bad_request")


async def test_four_mebibytes_are_a_module_and_a_byte_more_is_too_large(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    largest = MODULE + bytes(MODULE_BYTES_MAX - len(MODULE))
    for module in (base64.b64encode(largest).decode(), [255] * MODULE_BYTES_MAX):
        ritual = await uploaded(http, wasm_module=module)
        assert ritual["module_bytes"] == MODULE_BYTES_MAX
        w.shards.rituals.clear()
    over = largest + b"\0"
    for module in (base64.b64encode(over).decode(), [0] * len(over)):
        body = problem(await upload(http, wasm_module=module), 413, "too_large", "wasm_module")
        assert str(MODULE_BYTES_MAX) in body["detail"]
    form = {"name": "x", "description": "d", "intent": "i"}
    answer = await http.post("/api/rituals/upload", data=form, files={"wasm_module": over}, headers=A)
    problem(answer, 413, "too_large", "wasm_module")
    assert w.shards.rituals == {}


async def test_a_body_beyond_every_module_is_refused_before_it_is_read(http: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(uploads.BODY_BYTES // 2**20 + 2):
            yield b" " * 2**20

    problem(await http.post("/api/rituals/upload", content=endless(), headers=A), 413, "too_large")
    told = A | {"Content-Length": str(uploads.BODY_BYTES + 1)}
    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
    writer.write(f"POST /api/rituals/upload HTTP/1.1\r\nHost: 127.0.0.1:{http.base_url.port}\r\n{lines}\r\n".encode())
    assert b" 413 " in await reader.readline()
    writer.close()


async def test_fields_beside_the_module_are_bounded_too(http: httpx.AsyncClient) -> None:
    much = "x" * (uploads.FIELDS_BYTES + 1)
    problem(await upload(http, comment=much), 413, "too_large")
    files = {"wasm_module": MODULE}
    answer = await http.post("/api/rituals/upload", data={"comment": much}, files=files, headers=A)
    problem(answer, 413, "too_large")


async def test_an_upload_needs_a_login_before_its_body_counts(w: RitualWorld, http: httpx.AsyncClient) -> None:
    problem(await upload(http, {}), 401, "unauthenticated")
    problem(await upload(http, {"Authorization": "Bearer mallory"}), 401, "unauthenticated")
    assert w.shards.asked == []


async def test_one_practitioner_has_so_many_rituals(w: RitualWorld) -> None:
    async with ritual_world(uploaded_rituals=1) as w, httpx.AsyncClient(base_url=w.http) as http:
        log_in(w)
        first = await upload(http, A | {"Idempotency-Key": "k"})
        problem(await upload(http), 409, "full")
        assert (await upload(http, A | {"Idempotency-Key": "k"})).json() == first.json()
        assert (await upload(http, B)).status_code == 201


async def test_uploads_at_once_are_few_and_one_a_practitioner(w: RitualWorld, http: httpx.AsyncClient) -> None:
    for n in range(uploads.AT_ONCE):
        w.queries.login(f"p{n}", f"{n}" * 8 + ALICE[8:])
    w.shards.hold()
    under_way = [
        asyncio.create_task(upload(http, {"Authorization": f"Bearer p{n}"})) for n in range(uploads.AT_ONCE - 1)
    ]
    await until(lambda: len(w.shards.asked) == uploads.AT_ONCE - 1)
    answer = await upload(http, {"Authorization": "Bearer p0"})
    assert problem(answer, 429, "rate_limited")["retryable"]
    last = asyncio.create_task(upload(http, {"Authorization": f"Bearer p{uploads.AT_ONCE - 1}"}))
    await until(lambda: len(w.shards.asked) == uploads.AT_ONCE)
    answer = await upload(http, B)
    assert problem(answer, 429, "rate_limited")["retryable"]
    assert answer.headers["Retry-After"] == "1"
    w.shards.release()
    assert {each.status_code for each in await asyncio.gather(*under_way, last)} == {201}
    assert (await upload(http, B)).status_code == 201


async def test_a_body_that_does_not_come_gives_its_place_to_another(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "READ_S", 0.05)
    never = asyncio.Event()

    async def stalled() -> AsyncIterator[bytes]:
        yield b'{"name":'
        await never.wait()

    reader, writer = await asyncio.open_connection("127.0.0.1", http.base_url.port)
    lines = f"Host: 127.0.0.1:{http.base_url.port}\r\nAuthorization: Bearer alice\r\nContent-Length: 100\r\n\r\n"
    writer.write(f"POST /api/rituals/upload HTTP/1.1\r\n{lines}".encode() + b'{"name":')
    assert b" 504 " in await reader.readline()
    writer.close()
    monkeypatch.undo()
    assert (await upload(http)).status_code == 201


async def test_an_author_at_work_is_not_hurried_but_a_machine_is() -> None:
    async with ritual_world() as w, httpx.AsyncClient(base_url=w.http) as http:
        log_in(w)
        for _ in range(uploads.PER_MINUTE):
            problem(await upload(http, wasm_module=None), 422, "invalid")
        answer = await upload(http)
        problem(answer, 429, "rate_limited")
        assert 1 <= int(answer.headers["Retry-After"]) <= 60


# Catalog


async def test_the_catalog_is_for_everyone_and_says_whose_it_is(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.rows = [
        {"id": OTHERS, "effectiveness_rating": Decimal("7.33"), "created_at": datetime(2026, 1, 1, tzinfo=UTC)}
    ]
    answer = await http.get("/api/rituals/catalog")
    assert answer.json() == [{"id": OTHERS, "effectiveness_rating": 7.33, "created_at": "2026-01-01T00:00:00Z"}]
    nothing = {"tradition": None, "difficulty": None, "q": None, "mine": False, "order": "newest"}
    assert w.queries.asked == (None, 50, None, nothing)
    query = {"tradition": "zen", "difficulty": "master", "q": "moon", "mine": "true", "sort": "usage"}
    query |= {"limit": "7", "before": OTHERS}
    await http.get("/api/rituals/catalog", params=query, headers=A)
    filters = {"tradition": "zen", "difficulty": "master", "q": "moon", "mine": True, "order": "use"}
    assert w.queries.asked == (ALICE, 7, OTHERS, filters)


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "501"},
        {"limit": "-1"},
        {"limit": "many"},
        {"limit": "٣"},
        {"limit": "9" * 5000},
        {"before": "yesterday"},
        {"difficulty": "hard"},
        {"sort": "name"},
        {"mine": "perhaps"},
        {"q": "x" * 201},
        {"tradition": "x" * 201},
    ],
)
async def test_a_wrong_question_to_the_catalog_is_422_with_its_name(
    http: httpx.AsyncClient, query: dict[str, str]
) -> None:
    problem(await http.get("/api/rituals/catalog", params=query, headers=A), 422, "invalid", next(iter(query)))


async def test_a_text_that_is_no_unicode_finds_nothing_and_breaks_nothing(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    for text in ("%FF", "%ED%A0%80"):
        assert (await http.get(f"/api/rituals/catalog?q={text}")).status_code == 200
        assert isinstance(w.queries.asked[3]["q"].encode(), bytes)


async def test_ones_own_rituals_need_a_login_and_a_bad_token_is_not_nobody(http: httpx.AsyncClient) -> None:
    problem(await http.get("/api/rituals/catalog?mine=1"), 401, "unauthenticated")
    problem(await http.get("/api/rituals/catalog", headers={"Authorization": "Bearer x"}), 401, "unauthenticated")
    problem(await http.get("/api/rituals/catalog", headers={"Authorization": "Basic x"}), 401, "unauthenticated")


async def test_without_storage_the_catalog_is_unavailable(w: RitualWorld, http: httpx.AsyncClient) -> None:
    w.queries.down = True
    problem(await http.get("/api/rituals/catalog"), 503, "storage_unavailable")


# Details and module


async def test_a_private_ritual_is_its_authors_and_a_public_one_everyones(
    w: RitualWorld, http: httpx.AsyncClient
) -> None:
    ritual = (await uploaded(http))["id"]
    for path in ("details", "module"):
        assert (await http.get(f"/api/rituals/{ritual}/{path}", headers=A)).status_code == 200
        for other in (B, {}):
            problem(await http.get(f"/api/rituals/{ritual}/{path}", headers=other), 404, "not_found")
    edited = await http.patch(f"/api/rituals/{ritual}", json={"is_public": True}, headers=A)
    assert edited.json()["is_public"] is True
    for path in ("details", "module"):
        for other in (B, {}):
            assert (await http.get(f"/api/rituals/{ritual.upper()}/{path}", headers=other)).status_code == 200


async def test_the_module_is_a_file_whose_tag_is_its_hash(http: httpx.AsyncClient) -> None:
    path = f"/api/rituals/{(await uploaded(http))['id']}/module"
    answer = await http.get(path, headers=A)
    assert answer.content == MODULE
    assert answer.headers["Content-Type"] == "application/wasm"
    assert answer.headers["ETag"] == f'"{HASH}"'
    assert answer.headers["Content-Disposition"].startswith("attachment")
    for tag in (f'"{HASH}"', f'W/"{HASH}"', "*"):
        again = await http.get(path, headers=A | {"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
    assert (await http.get(path, headers=A | {"If-None-Match": '"another"'})).status_code == 200


@pytest.mark.parametrize("id_", ["descent", "..", OTHERS + "0", "sessions", "é" * 100, "%FF", "%ED%A0%80"])
async def test_an_id_that_is_none_is_not_found(w: RitualWorld, http: httpx.AsyncClient, id_: str) -> None:
    for path in ("details", "module"):
        problem(await http.get(f"/api/rituals/{id_}/{path}", headers=A), 404, "not_found")
    problem(await http.get(f"/api/rituals/{OTHERS}/details", headers=A), 404, "not_found")


# Edit and withdraw


async def test_only_the_author_edits_and_withdraws(w: RitualWorld, http: httpx.AsyncClient) -> None:
    path = f"/api/rituals/{(await uploaded(http, is_public=True))['id']}"
    for other, status, code in ((B, 403, "forbidden"), ({}, 401, "unauthenticated")):
        problem(await http.patch(path, json={"name": "mine"}, headers=other), status, code)
        problem(await http.delete(path, headers=other), status, code)
    assert (await http.delete(path, headers=A)).status_code == 204
    problem(await http.get(f"{path}/details", headers=B), 404, "not_found")
    assert (await http.get(f"{path}/details", headers=A)).json()["withdrawn_at"] == "2026-01-01T00:00:00Z"
    problem(await http.patch(path, json={"name": "again"}, headers=A), 409, "conflict")
    assert (await http.delete(path, headers=A)).status_code == 204


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"is_public": 1}, "is_public"),
        ({"difficulty_level": "hard"}, "difficulty_level"),
        ({"energy_requirements": {"fire": -1}}, "energy_requirements[...]"),
        ({"wasm_module": AS_BASE64}, "wasm_module"),
        ({"intent": "a\0"}, "intent"),
    ],
)
async def test_a_wrong_edit_is_422_with_its_path(http: httpx.AsyncClient, body: dict[str, Any], path: str) -> None:
    ritual = (await uploaded(http))["id"]
    problem(await http.patch(f"/api/rituals/{ritual}", json=body, headers=A), 422, "invalid", path)


async def test_an_edit_ignores_what_it_does_not_know(http: httpx.AsyncClient) -> None:
    ritual = await uploaded(http)
    body = {"usage_count": 5, "author_id": BOB, "tradition": None}
    edited = (await http.patch(f"/api/rituals/{ritual['id']}", json=body, headers=A)).json()
    assert (edited["usage_count"], edited["author_id"], edited["tradition"]) == (0, ALICE, None)


async def test_an_edit_must_be_json(http: httpx.AsyncClient) -> None:
    problem(await http.patch(f"/api/rituals/{OTHERS}", content=b"{", headers=A), 400, "bad_request")
    nan = json.dumps({"energy_requirements": {"fire": float("nan")}})
    problem(await http.patch(f"/api/rituals/{OTHERS}", content=nan, headers=A), 400, "bad_request")


async def test_a_built_in_ritual_is_nobodys_to_change(w: RitualWorld, http: httpx.AsyncClient) -> None:
    built_in = c.Upload(
        name="d", description="d", intent="i", is_public=True, module=MODULE, module_hash=HASH, abi="codex"
    )
    w.put(built_in, None, OTHERS)
    assert (await http.get(f"/api/rituals/{OTHERS}/details")).json()["builtin"] is True
    problem(await http.patch(f"/api/rituals/{OTHERS}", json={"name": "x"}, headers=A), 403, "forbidden")
    problem(await http.delete(f"/api/rituals/{OTHERS}", headers=A), 403, "forbidden")

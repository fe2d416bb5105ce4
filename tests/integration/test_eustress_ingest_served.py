"""Ingest on a whole server: every example of the seed as it is written there, retries, streams that are cut off, bad input.

One server for the module; each test has a space of its own.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from harness import SANGHA, RunningServer

from server.http import eustress_eep

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

PHOTON = {
    "id": "photon_1",
    "name": "Photon",
    "class_type": "Particle",
    "position": [1.0, 2.0, 3.0],
    "rotation": [0.0, 0.0, 0.0, 1.0],
    "scale": [1.0, 1.0, 1.0],
    "tags": ["particle", "light"],
    "parameters": {"wavelength": 550.0, "energy": 3.6},
}
BOND = {
    "source_id": "atom_1",
    "target_id": "electron_1",
    "connection_type": "hierarchy",
    "strength": 0.9,
    "label": "contains",
}
WRITER = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as out:
    head = f"POST {sys.argv[2]} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nAuthorization: Bearer {sys.argv[3]}\\r\\n"
    out.sendall((head + "Transfer-Encoding: chunked\\r\\n\\r\\n").encode())
    for n, line in enumerate(sys.stdin.buffer.read().splitlines(keepends=True)):
        for part in (line[:9], line[9:]):
            out.sendall(b"%x\\r\\n%b\\r\\n" % (len(part), part))
        if n == 2_500:
            print("under way", flush=True)
    time.sleep(60)
"""
"""A client that sends half lines, and never the end of its body."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer() as running:
        yield running


async def sangha(*arguments: str) -> tuple[int, str, str]:
    """A command's exit code, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        SANGHA, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(server: RunningServer) -> str:
    """As an operator makes one."""
    where = ("--data-dir", str(server.data_dir))
    code, out, err = await sangha("token", "--service", "eustress", "--name", "the test's", *where)
    assert (code, err) == (0, "")
    return out.removesuffix("\n")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(server: RunningServer, token: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


async def post(http: httpx.AsyncClient, path: str, body: Any, **headers: str) -> dict[str, Any]:
    answer = await http.post(f"/eustress/ingest/{path}", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def live(server: RunningServer, space: str) -> dict[str, Any]:
    """The live entities of a space, as they are in the database."""
    connection = await server.connect()
    try:
        rows = await connection.fetch(
            "SELECT id, data::text AS data FROM eustress_entity_versions"
            " WHERE space_name = $1 AND until = 9223372036854775807 AND data IS NOT NULL",
            space,
        )
    finally:
        await connection.close()
    found = {row["id"]: json.loads(row["data"]) for row in rows}
    assert len(found) == len(rows)
    return found


async def test_a_token_is_alone_on_standard_output_and_can_be_revoked(
    server: RunningServer, token: str, http: httpx.AsyncClient
) -> None:
    where = ("--data-dir", str(server.data_dir))
    assert len(token) > 40
    assert token.split() == [token]
    _, other, _ = await sangha("token", "--service", "eustress", "--days", "2", *where)
    mine = {"Authorization": f"Bearer {other.strip()}"}
    listed = (await http.get("/api/users/sessions", headers=mine)).json()
    (id_,) = [row["id"] for row in listed if row["current"]]
    code, out, _ = await sangha("token", "--list", *where)
    assert code == 0
    assert id_ in out
    assert other.strip() not in out
    assert await sangha("token", "--revoke", id_, *where) == (0, "", "")
    assert (await http.get("/api/users/sessions", headers=mine)).status_code == 401
    assert (await http.get("/api/users/profile")).status_code == 403
    code, out, err = await sangha("token", "--revoke", id_, *where)
    assert (code, out) == (2, "")
    assert "no such token" in err
    assert token not in server.log()
    connection = await server.connect()
    try:
        (row,) = await connection.fetch("SELECT * FROM auth_sessions WHERE name = 'the test''s'")
    finally:
        await connection.close()
    assert row["service"] == "eustress"
    assert (row["expires_at"] - row["created_at"]).days in (364, 365)
    assert token.encode() not in row["token_hash"]


async def test_a_token_needs_a_server(server: RunningServer) -> None:
    for where in (("--data-dir", "/nonexistent"), ("--data-dir", str(server.data_dir), "--port", "1")):
        code, out, err = await sangha("token", "--service", "eustress", *where)
        assert (code, out) == (2, "")
        assert err.startswith("sangha: no ")
        assert err.count("\n") == 1


async def test_every_example_of_the_seed_works_as_it_is_written(server: RunningServer, http: httpx.AsyncClient) -> None:
    space = {"space_name": "quantum_mechanics"}
    made = await post(http, "entity", space | {"entity": PHOTON})
    assert list(made.items())[:3] == [("success", True), ("message", "Entity ingested"), ("snapshot_id", None)]
    made = await post(http, "connection", space | {"connection": BOND})
    assert (made["success"], made["message"]) == (True, "Connection ingested")
    update = {"entity_id": "photon_1", "parameter_name": "wavelength", "value": 600.0}
    assert (await post(http, "parameter", space | update))["message"] == "Parameter ingested"
    atoms = [{"id": "atom_1", "name": "Atom"}, {"id": "electron_1", "name": "Electron"}]
    made = await post(http, "batch", space | {"entities": atoms, "connections": [BOND]})
    assert (made["message"], made["snapshot_id"]) == ("Batch ingested", None)
    many = [{"id": f"quark_{n}", "position": [n, 0, 0]} for n in range(100)]
    made = await post(http, "batch", space | {"entities": many})
    assert made["snapshot_id"] is not None
    answer = await http.post("/eustress/ingest/snapshot/quantum_mechanics")
    assert answer.status_code == 200, answer.text
    assert list(answer.json().items())[:2] == [("success", True), ("message", "Snapshot created")]
    assert answer.json()["snapshot_id"] not in (None, made["snapshot_id"])
    shown = (await http.get("/eustress/ingest/snapshots/quantum_mechanics")).json()
    assert [each["id"] for each in shown] == [answer.json()["snapshot_id"], made["snapshot_id"]]
    assert len(shown[0]["entities"]) == 103
    stats = (await http.get("/eustress/ingest/stats")).json()
    assert (stats["total_snapshots"], stats["total_spaces"], stats["total_entities_seen"]) == (2, 1, 103)
    found = await live(server, "quantum_mechanics")
    assert len(found) == 103
    assert found["photon_1"]["parameters"] == {"wavelength": 600.0, "energy": 3.6}


async def test_what_is_gone_is_gone_and_a_webhook_is_taken_once(server: RunningServer, http: httpx.AsyncClient) -> None:
    (example,) = eustress_eep.OPERATIONS[0].examples
    body = example.body | {"space": {"name": "workshop"}}
    first = await post(http, "eep", body)
    assert await post(http, "eep", body) == first
    assert sorted(await live(server, "workshop")) == ["lamp_1", "workbench"]
    key = {"source_id": "workbench", "target_id": "lamp_1", "connection_type": "hierarchy"}
    answer = await http.delete("/eustress/ingest/connection", params=key | {"space": "workshop"})
    assert (answer.status_code, answer.json()["message"]) == (200, "Connection removed")
    answer = await http.delete("/eustress/ingest/entity", params={"space": "workshop", "id": "lamp_1"})
    assert (answer.status_code, answer.json()["message"]) == (200, "Entity removed")
    assert sorted(await live(server, "workshop")) == ["workbench"]


async def test_a_retry_is_answered_and_changes_nothing(server: RunningServer, http: httpx.AsyncClient) -> None:
    body = {"space_name": "retries", "entities": [{"id": f"e{n}"} for n in range(100)]}
    numbered = body | {"source": "engine", "sequence": 1}
    first, second = await asyncio.gather(post(http, "batch", numbered), post(http, "batch", numbered))
    assert first == second
    assert await post(http, "batch", numbered) == first
    keyed = [await post(http, "batch", body, **{"Idempotency-Key": "k"}) for _ in range(2)]
    assert keyed[0] == keyed[1]
    answer = await http.post("/eustress/ingest/batch", json=body | {"entities": []}, headers={"Idempotency-Key": "k"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(await live(server, "retries")) == 100


async def test_a_batch_is_taken_whole_or_not_at_all_or_with_a_report(
    server: RunningServer, http: httpx.AsyncClient
) -> None:
    body = {"space_name": "whole", "entities": [{"id": "good"}, {"id": "bad", "rotation": [0, 0, 0, 0]}]}
    answer = await http.post("/eustress/ingest/batch", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "entities.1.rotation")
    assert await live(server, "whole") == {}
    made = await post(http, "batch?report=items", body)
    assert (made["accepted"], [each["path"] for each in made["refused"]]) == (1, ["entities.1.rotation"])
    assert sorted(await live(server, "whole")) == ["good"]


@pytest.mark.parametrize(
    ("entity", "status", "path"),
    [
        ('{"id":"a","position":[NaN,0,0]}', 400, None),
        ('{"id":"a","position":[1e308,0,0]}', 422, "entity.position.0"),
        ('{"id":"a","position":[1e999,0,0]}', 422, "entity.position.0"),
        ('{"id":"a","position":[0,0]}', 422, "entity.position"),
        ('{"id":"a","rotation":[0,0,0,0]}', 422, "entity.rotation"),
        ('{"id":"a","name":"\\u0000"}', 422, "entity.name"),
        ('{"id":"","name":"x"}', 422, "entity.id"),
        ('{"id":"a","tags":[' + ",".join(['"t"'] * 10**6) + "]}", 422, "entity.tags"),
        ('{"id":"a","parameters":{"x":' + "[" * 40 + "]" * 40 + "}}", 422, "entity"),
        ('{"id":"a","properties":' + '{"a":' * 90_000 + "1" + "}" * 90_000 + "}", 422, None),
        ("17", 422, "entity"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_refused_where_it_is_wrong(
    server: RunningServer, http: httpx.AsyncClient, entity: str, status: int, path: str | None
) -> None:
    answer = await http.post("/eustress/ingest/entity", content=f'{{"space_name":"wrong","entity":{entity}}}')
    assert answer.status_code == status, answer.text[:300]
    assert len(answer.json()["detail"]) < 300
    if path is not None:
        assert answer.json()["errors"][0]["path"].startswith(path)
    assert await live(server, "wrong") == {}


async def test_cycles_and_second_parents_wait_or_are_refused(server: RunningServer, http: httpx.AsyncClient) -> None:
    def hangs(child: str, parent: str) -> dict[str, Any]:
        return {"source_id": parent, "target_id": child, "connection_type": "hierarchy"}

    body = {"space_name": "tree", "entities": [{"id": name} for name in "abc"], "connections": [hangs("b", "a")]}
    await post(http, "batch", body)
    for child, parent in (("a", "b"), ("b", "c")):
        made = await post(http, "connection", {"space_name": "tree", "connection": hangs(child, parent)})
        assert (made["warning_count"], made["warnings"][0]["path"]) == (1, "connection")
    itself = {"space_name": "tree", "connection": hangs("a", "a")}
    answer = await http.post("/eustress/ingest/connection", json=itself)
    assert (answer.status_code, answer.json()["errors"][0]["path"].startswith("connection")) == (422, True)


async def test_a_body_of_200_megabytes_is_refused_early(server: RunningServer, http: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        head = f"POST /eustress/ingest/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {http.headers['Authorization']}\r\n"
        writer.write(f"{head}Content-Length: {200 * 2**20}\r\n\r\n".encode() + b'{"space_name":"x","entities":[')
        writer.write(b" " * (5 * 2**20))
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"413"
    finally:
        writer.transport.abort()


async def stream(http: httpx.AsyncClient, space: str, body: bytes, first: int = 1) -> dict[str, Any]:
    """The last line of the answer."""
    answer = await http.post(
        "/eustress/ingest/stream", params={"space": space, "stream": "s", "first": first}, content=body
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = json.loads(answer.text.splitlines()[-1])
    return found


async def test_a_stream_is_resumed_and_every_line_counts_once(server: RunningServer, http: httpx.AsyncClient) -> None:
    lines = [b'{"entity":{"id":"e%d","position":[%d,0,0]}}\n' % (n, n) for n in range(3_000)]
    told = await stream(http, "long", b"".join(lines[:2_500]) + b'{"thing":{}}\n' + b"".join(lines[2_500:]))
    assert told["cursor"] == 2_000
    assert (told["error"]["code"], told["error"]["errors"][0]["path"][:9]) == ("invalid", "line 2501")
    assert len(await live(server, "long")) == 2_000
    cursor = (await http.get("/eustress/ingest/stream/long/s")).json()["cursor"]
    told = await stream(http, "long", b"".join(lines[cursor:]), first=cursor + 1)
    assert (told["cursor"], told["accepted"], told["done"]) == (3_000, 1_000, True)
    told = await stream(http, "long", b"".join(lines))
    assert (told["cursor"], told["accepted"], told["done"]) == (3_000, 0, True)
    assert len(await live(server, "long")) == 3_000


async def test_of_a_client_that_is_killed_what_was_acknowledged_stays_and_no_half_line(
    server: RunningServer, http: httpx.AsyncClient, token: str
) -> None:
    path = "/eustress/ingest/stream?space=killed&stream=s"
    lines = b"".join(b'{"entity":{"id":"e%d","position":[%d,0,0]}}\n' % (n, n) for n in range(10_000))
    pipe = asyncio.subprocess.PIPE
    arguments = ("-c", WRITER, str(server.port), path, token)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines)
    process.stdin.close()
    assert await process.stdout.readline() == b"under way\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    cursor = (await http.get("/eustress/ingest/stream/killed/s")).json()["cursor"]
    assert len(await live(server, "killed")) >= cursor
    told = await stream(http, "killed", lines)
    assert (told["cursor"], told["done"]) == (10_000, True)
    assert told["accepted"] <= 10_000 - cursor
    assert sorted(await live(server, "killed")) == sorted(f"e{n}" for n in range(10_000))

"""Ingest over HTTP, over a fake space: who may, what goes on to it, what is refused before, streams and their ends."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, World, until, world

from actors.eustress import commands as c
from actors.eustress.replies import Ingested, StreamCursor, Warned
from actors.runtime.codec import invalid
from actors.runtime.errors import Conflict, StorageUnavailable
from actors.runtime.operations import REUSED
from actors.runtime.wire import Ask
from server.http import eustress_eep, eustress_stream
from server.http.eustress_lines import LINE_BYTES
from server.http.guard import Phase
from server.service import account_of

ENGINE = account_of("eustress")
PHOTON = {"id": "photon_1", "position": [1.0, 2.0, 3.0]}
STREAM = "/eustress/ingest/stream?space=q&stream=s"


class FakeLake:
    """A space that counts lines."""

    def __init__(self) -> None:
        self.cursors: dict[str, int] = {}
        self.lines: list[bytes] = []
        self.most_waiting = 0

    def __call__(self, command: Any) -> Any:
        match command:
            case c.IngestLines(stream=stream, first=first, lines=text):
                lines, known = text.split(b"\n"), self.cursors.get(stream, 0)
                assert first <= known + 1
                for number, line in enumerate(lines, first):
                    if line == b"bad":
                        raise invalid(f"line {number}", "is no JSON")
                new = lines[known + 1 - first :]
                self.lines += new
                self.cursors[stream] = known + len(new)
                return StreamCursor(stream=stream, cursor=known + len(new), version=7, accepted=len(new))
            case c.GetCursor(stream=stream):
                return StreamCursor(stream=stream, cursor=self.cursors.get(stream, 0), version=7)
            case c.TakeSnapshot():
                return Ingested(message="Snapshot created", snapshot_id=ALICE, version=3)
            case _:
                return Ingested(message="Batch ingested", version=1, accepted=1)


@pytest.fixture
async def w() -> AsyncIterator[World]:
    async with world(eustress_spaces=2) as here:
        here.shards.lake = FakeLake()
        here.queries.login("engine", ENGINE, service="eustress")
        here.queries.login("person", ALICE)
        here.queries.lake |= {"q"}
        yield here


@pytest.fixture
async def http(w: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": "Bearer engine"}
    async with httpx.AsyncClient(base_url=w.http, headers=headers, timeout=20) as client:
        yield client


def asked(w: World) -> list[Ask]:
    return [each for each in w.shards.asked if isinstance(each, Ask)]


def last(w: World) -> tuple[Ask, Any]:
    """The newest ask of a space, and its command."""
    ask = asked(w)[-1]
    return ask, c.codec.decode(ask.command)


def lines_of(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


# Who


async def test_the_lake_is_for_engines_alone(w: World, http: httpx.AsyncClient) -> None:
    body = {"space_name": "q", "entity": PHOTON}
    async with httpx.AsyncClient(base_url=w.http) as stranger:
        assert (await stranger.post("/eustress/ingest/entity", json=body)).status_code == 401
        person = {"Authorization": "Bearer person"}
        answer = await stranger.post("/eustress/ingest/entity", json=body, headers=person)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "sangha token --service eustress" in answer.json()["detail"]
    assert asked(w) == []
    assert (await http.post("/eustress/ingest/entity", json=body)).status_code == 200
    assert last(w)[0].caller.practitioner == ENGINE  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["/api/users/profile", "/api/state/current", "/api/rituals/catalog"])
async def test_an_engine_is_no_practitioner(w: World, http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "eustress" in answer.json()["detail"]


async def test_an_engine_may_end_its_login(w: World, http: httpx.AsyncClient) -> None:
    assert (await http.post("/api/users/logout")).status_code == 204


async def test_the_local_user_needs_no_token() -> None:
    async with world(local_user=True) as w, httpx.AsyncClient(base_url=w.http) as http:
        w.shards.lake = FakeLake()
        answer = await http.post("/eustress/ingest/entity", json={"space_name": "q", "entity": PHOTON})
        empty = await http.get("/eustress/ingest/stats", headers={"Authorization": "Bearer"})
    assert answer.status_code == 200, answer.text
    assert (empty.status_code, empty.json()["detail"]) == (401, "the bearer token is empty")


async def test_only_the_operator_makes_tokens(w: World) -> None:
    w.gateway.admin_token = "the admin's"
    operator, engine = ({"Authorization": f"Bearer {token}"} for token in ("the admin's", "engine"))
    async with httpx.AsyncClient(base_url=w.http) as http:
        for method in ("GET", "POST"):
            answer = await http.request(method, "/api/admin/tokens", headers=engine)
            assert answer.status_code == 401
        body = {"service": "eustress", "name": "lab", "days": 2}
        made = await http.post("/api/admin/tokens", json=body, headers=operator | {"Idempotency-Key": "k"})
        again = await http.post("/api/admin/tokens", json=body, headers=operator | {"Idempotency-Key": "k"})
        other = await http.post("/api/admin/tokens", json=body, headers=operator)
        wrong = await http.post("/api/admin/tokens", json={"service": "mail"}, headers=operator)
        listed = await http.get("/api/admin/tokens", headers=operator)
        revoked = await http.delete(f"/api/admin/tokens/{made.json()['id']}", headers=operator)
    assert (made.status_code, made.json()["service"], made.json()["name"]) == (201, "eustress", "lab")
    assert again.json()["token"] == made.json()["token"] != other.json()["token"]
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "service")
    assert [row["service"] for row in listed.json()] == ["eustress"]
    assert revoked.status_code == 204
    assert (w.shards.opened.service, w.shards.opened.name) == ("eustress", "lab")


# What goes on


async def test_the_items_go_on_as_they_came(w: World, http: httpx.AsyncClient) -> None:
    raw = b'{"space_name": "q", "entities": [ {"id":"a", "parameters":{"x":1.50}} ],"future":[1e400]}'
    answer = await http.post("/eustress/ingest/batch", content=raw)
    assert answer.status_code == 200, answer.text
    assert list(answer.json())[:3] == ["success", "message", "snapshot_id"]
    ask, command = last(w)
    assert (ask.entity, command.items, command.what, command.per_item) == ("q", raw, "batch", False)
    await http.post("/eustress/ingest/entity", content=b'{"entity": {"id":"a", "x":1.50},"space_name": "q"}')
    assert last(w)[1].items == b'{"entities":[{"id":"a", "x":1.50}]}'
    await http.post("/eustress/ingest/connection", content=b'{"connection":{"source_id":"a"},"space_name":"q"}')
    assert last(w)[1].items == b'{"connections":[{"source_id":"a"}]}'
    parameter = b'{"space_name":"q","entity_id":"a","parameter_name":"p","value":[null]}'
    await http.post("/eustress/ingest/parameter", content=parameter)
    assert last(w)[1].items == b'{"parameters":[' + parameter + b"]}"
    await http.post("/eustress/ingest/batch?report=items", content=raw)
    assert last(w)[1].per_item


async def test_what_is_gone_is_named_in_the_query(w: World, http: httpx.AsyncClient) -> None:
    answer = await http.delete("/eustress/ingest/entity", params={"space": "q", "id": "a b/c"})
    assert answer.json()["message"] == "Entity removed"
    assert json.loads(last(w)[1].items) == {"removed_entities": ["a b/c"]}
    key = {"source_id": "a", "target_id": "b", "connection_type": "hierarchy"}
    answer = await http.delete("/eustress/ingest/connection", params=key | {"space": "q"})
    assert answer.json()["message"] == "Connection removed"
    assert json.loads(last(w)[1].items) == {"removed_connections": [key]}
    assert (await http.delete("/eustress/ingest/entity", params={"space": "q"})).status_code == 422


async def test_a_snapshot_is_taken_only_of_a_space_that_is_there(w: World, http: httpx.AsyncClient) -> None:
    answer = await http.post("/eustress/ingest/snapshot/q")
    assert (answer.status_code, answer.json()["snapshot_id"]) == (200, ALICE)
    before = len(asked(w))
    assert (await http.post("/eustress/ingest/snapshot/other")).status_code == 404
    assert len(asked(w)) == before


@pytest.mark.parametrize("name", ["a/b", "50 %", "{x}", "日本 ü", "a+b?c#d", "."])
async def test_a_space_has_any_name(w: World, http: httpx.AsyncClient, name: str) -> None:
    w.queries.lake = {name}
    answer = await http.post("/eustress/ingest/entity", json={"space_name": name, "entity": PHOTON})
    assert answer.status_code == 200, answer.text
    assert last(w)[0].entity == name
    if name != ".":
        quoted = "".join(f"%{byte:02X}" for byte in name.encode())
        answer = await http.post(f"/eustress/ingest/snapshot/{quoted}")
        assert (answer.status_code, last(w)[0].entity) == (200, name)


# Once


async def test_a_retry_has_the_same_operation(w: World, http: httpx.AsyncClient) -> None:
    body = {"space_name": "q", "entities": [PHOTON]}
    for _ in range(2):
        await http.post("/eustress/ingest/batch", json=body, headers={"Idempotency-Key": "k"})
        assert last(w)[0].operation == f"{ENGINE}:k-k"
    await http.post("/eustress/ingest/batch", json=body | {"source": "engine-1", "sequence": 41})
    assert last(w)[0].operation == "eb-engine-1:41"
    found = set()
    for _ in range(2):
        await http.post("/eustress/ingest/batch", json=body)
        found.add(last(w)[0].operation)
    assert len(found) == 2
    for half in ({"source": "engine-1"}, {"sequence": 1}):
        answer = await http.post("/eustress/ingest/batch", json=body | half)
        assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "source and sequence go together")


async def test_a_number_that_was_used_is_named(w: World, http: httpx.AsyncClient) -> None:
    async def refused(why: str) -> str:
        def refuse(command: Any) -> Any:
            raise Conflict(why)

        w.shards.lake = refuse
        body = {"space_name": "q", "source": "engine-1", "sequence": 41}
        answer = await http.post("/eustress/ingest/batch", json=body)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        return str(answer.json()["detail"])

    assert (await refused(REUSED)).startswith("sequence 41 of source 'engine-1' was used for another batch")
    assert await refused("another") == "another"


async def test_the_webhook_happens_once_by_its_export_id(w: World, http: httpx.AsyncClient) -> None:
    (example,) = eustress_eep.OPERATIONS[0].examples
    assert (await http.post("/eustress/ingest/eep", json=example.body)).status_code == 200
    ask, command = last(w)
    assert (ask.entity, ask.operation) == ("workshop", f"{ENGINE}:k-eep-{example.body['export_id']}")
    assert (command.what, json.loads(command.items)["entities"][0]["class_type"]) == ("entity", "Part")
    answer = await http.post("/eustress/ingest/eep", json=example.body | {"protocol_version": "eep_v9"})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "protocol_version")


# What is refused before it goes on


@pytest.mark.parametrize(
    ("content", "status", "path"),
    [
        (b"", 400, None),
        (b"no", 400, None),
        (b'{"space_name":"q","entity":{"id":"a","position":[NaN,0,0]}}', 400, None),
        (b'{"space_name":"q","entity":{"id":"a"}} x', 400, None),
        (b"[1]", 422, ""),
        (b'{"entity":{"id":"a"}}', 422, "space_name"),
        (b'{"space_name":"","entity":{"id":"a"}}', 422, "space_name"),
        (b'{"space_name":"a\\nb","entity":{"id":"a"}}', 422, "space_name"),
        (b'{"space_name":"q"}', 422, "entity"),
        (b'{"space_name":"q","entity":{"id":"a","parameters":{"x":"\\u0000"}}}', 422, "entity.parameters.x"),
        (b'{"space_name":"q","entity":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422, ""),
    ],
)
async def test_a_body_that_is_none_is_refused_here(
    w: World, http: httpx.AsyncClient, content: bytes, status: int, path: str | None
) -> None:
    answer = await http.post("/eustress/ingest/entity", content=content)
    assert answer.status_code == status, answer.text
    assert [each["path"] for each in answer.json().get("errors", ())] == ([] if path is None else [path])
    assert asked(w) == []


@pytest.mark.parametrize(
    ("position", "name", "said"),
    [
        ("NaN", "a", "NaN and Infinity are no JSON"),
        ("-Infinity", "a", "NaN and Infinity"),
        ("0", "\\ud800b", "surrogate"),
    ],
)
async def test_a_body_that_no_json_may_have_is_told_as_what_it_is(
    http: httpx.AsyncClient, position: str, name: str, said: str
) -> None:
    text = f'{{"space_name":"q","entity":{{"id":"a","name":"{name}","position":[{position},0,0]}}}}'
    assert said in (await http.post("/eustress/ingest/entity", content=text.encode())).json()["detail"]


async def test_items_are_counted_by_how_they_came(w: World, http: httpx.AsyncClient) -> None:
    await http.post("/eustress/ingest/entity", json={"space_name": "q", "entity": PHOTON})
    await http.delete("/eustress/ingest/entity", params={"space": "q", "id": "a"})
    await http.post("/eustress/ingest/batch", json={"space_name": "q", "entities": [PHOTON]})
    await http.post(STREAM, content=b"1\n2\n\n3\n")
    counted = w.gateway.measures.items
    assert counted == {"entity": 2, "connection": 0, "parameter": 0, "batch": 1, "stream": 3, "socket": 0}
    told = (await http.get("/metrics")).text
    assert 'sangha_eustress_items_total{by="stream"' in told


async def test_a_body_beyond_the_bound_is_too_large(w: World, http: httpx.AsyncClient) -> None:
    limit = w.gateway.settings.request_body_bytes
    answer = await http.post("/eustress/ingest/batch", content=b'{"space_name":"q"' + b" " * limit + b"}")
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


async def test_an_error_has_the_path_of_the_request_that_was_sent(w: World, http: httpx.AsyncClient) -> None:
    body = {"space_name": "q", "entity": {}, "connection": {}}

    async def refused(path: str, where: str) -> tuple[str, str]:
        def refuse(command: Any) -> Any:
            raise invalid(where, "is wrong")

        w.shards.lake = refuse
        answer = (await http.post(f"/eustress/ingest/{path}", json=body)).json()
        return answer["errors"][0]["path"], answer["detail"]

    place = "entity.position.0"
    assert await refused("entity", "entities.0.position.0") == (place, f"{place}: is wrong")
    assert await refused("entity", "entities.0") == ("entity", "entity: is wrong")
    assert await refused("connection", "connections.0.strength") == (
        "connection.strength",
        "connection.strength: is wrong",
    )
    assert await refused("parameter", "parameters.0.value") == ("value", "value: is wrong")
    assert await refused("parameter", "parameters.0") == ("", "is wrong")
    assert await refused("batch", "entities.0.position.0") == (
        "entities.0.position.0",
        "entities.0.position.0: is wrong",
    )


async def test_a_warning_has_the_path_of_the_request_too(w: World, http: httpx.AsyncClient) -> None:
    warned = Warned(path="connections.0", message="there is no entity 'a'")
    w.shards.lake = lambda _: Ingested(message="Connection ingested", version=1, warnings=(warned,), warning_count=1)
    answer = await http.post("/eustress/ingest/connection", json={"space_name": "q", "connection": {}})
    assert answer.json()["warnings"] == [{"path": "connection", "message": "there is no entity 'a'"}]


# How many spaces


async def test_there_are_at_most_so_many_spaces(w: World, http: httpx.AsyncClient) -> None:
    async def put(name: str) -> httpx.Response:
        return await http.post("/eustress/ingest/entity", json={"space_name": name, "entity": PHOTON})

    w.shards.hold()
    one, other = asyncio.create_task(put("new")), asyncio.create_task(put("newer"))
    await until(lambda: one.done() or other.done())
    refused = (one if one.done() else other).result()
    w.shards.release()
    assert (refused.status_code, refused.json()["code"]) == (409, "full")
    assert "2 Eustress spaces" in refused.json()["detail"]
    assert {(await one).status_code, (await other).status_code} == {200, 409}
    w.queries.lake |= {"new"}
    assert (await put("new")).status_code == (await put("q")).status_code == 200
    answer = await http.post("/eustress/ingest/stream?space=newest&stream=s", content=b"1\n")
    assert (answer.status_code, answer.json()["code"]) == (409, "full")
    w.queries.down = True


# Streams


async def test_a_stream_is_committed_in_chunks_and_says_how_far_it_is(w: World, http: httpx.AsyncClient) -> None:
    body = b"".join(b"%d\n" % n for n in range(5_500))
    answer = await http.post(STREAM, content=body)
    told = lines_of(answer)
    assert told[0] == {
        "stream": "s", "cursor": 0, "version": 7, "accepted": 0, "snapshot_id": None, "warning_count": 0, "done": False,
    }  # fmt: skip
    assert told[-1] | {"version": 0} == told[0] | {
        "cursor": 5_500, "accepted": 5_500, "version": 0, "done": True, "warnings": [],
    }  # fmt: skip
    assert b"".join(line + b"\n" for line in w.shards.lake.lines) == body  # type: ignore[union-attr]
    assert (await http.get("/eustress/ingest/stream/q/s")).json()["cursor"] == 5_500


async def test_a_stream_goes_on_after_its_cursor_or_begins_again(w: World, http: httpx.AsyncClient) -> None:
    lake: Any = w.shards.lake
    await http.post(STREAM, content=b"1\n2\n3")
    for first, content in ((4, b"4\n5\n"), (1, b"1\n2\n3\n4\n5\n6\n"), (5, b"5\n6\n7\n")):
        told = lines_of(await http.post(f"{STREAM}&first={first}", content=content))
        assert told[-1]["done"]
    assert lake.lines == [b"1", b"2", b"3", b"4", b"5", b"6", b"7"]
    answer = await http.post(f"{STREAM}&first=9", content=b"9\n")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "8" in answer.json()["detail"]


async def test_a_stream_of_a_space_that_is_not_there_begins_at_none(w: World, http: httpx.AsyncClient) -> None:
    assert (await http.get("/eustress/ingest/stream/other/s")).json()["cursor"] == 0
    assert asked(w) == []
    assert (await http.get("/eustress/ingest/stream/q/a%20b")).status_code == 422


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw"])
async def test_a_stream_may_be_compressed(w: World, http: httpx.AsyncClient, encoding: str) -> None:
    body = b"".join(b'{"entity":{"id":"%d"}}\n' % n for n in range(20_000))
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = {"gzip": gzip.compress(body), "deflate": zlib.compress(body), "raw": raw.compress(body) + raw.flush()}
    headers = {"Content-Encoding": "deflate" if encoding == "raw" else encoding}
    told = lines_of(await http.post(STREAM, content=packed[encoding], headers=headers))
    assert told[-1]["cursor"] == 20_000
    told = lines_of(await http.post(f"{STREAM}2", content=packed[encoding][:-20], headers=headers))
    assert (told[-1]["error"]["code"], "ends early" in told[-1]["error"]["message"]) == ("bad_request", True)
    assert (await http.post(STREAM, content=body, headers={"Content-Encoding": "br"})).status_code == 415


async def test_a_bad_line_ends_it_and_what_was_committed_stays(w: World, http: httpx.AsyncClient) -> None:
    good = b"".join(b"%d\n" % n for n in range(1_000))
    told = lines_of(await http.post(STREAM, content=good + b"1\nbad\n" + good))
    assert told[-1]["cursor"] == 1_000
    assert told[-1]["error"] == {
        "code": "invalid",
        "message": "line 1002: is no JSON",
        "retryable": False,
        "errors": [{"path": "line 1002", "message": "is no JSON"}],
    }
    told = lines_of(await http.post(f"{STREAM}&first=1001", content=b"1\n" + b"x" * (LINE_BYTES + 1)))
    assert told[-1]["cursor"] == 1_001
    assert (told[-1]["error"]["code"], told[-1]["error"]["errors"][0]["path"]) == ("too_large", "line 1002")


async def test_an_error_of_ours_ends_it_with_the_cursor(w: World, http: httpx.AsyncClient) -> None:
    def refuse(message: Any) -> StorageUnavailable | None:
        command = c.codec.decode(message.command)
        late = isinstance(command, c.IngestLines) and command.first > 2_000
        return StorageUnavailable("storage does not answer") if late else None

    w.shards.refuse = refuse
    told = lines_of(await http.post(STREAM, content=b"1\n" * 6_000))
    assert (told[-1]["cursor"], told[-1]["error"]["code"], told[-1]["error"]["retryable"]) == (
        2_000,
        "storage_unavailable",
        True,
    )


async def test_no_more_is_read_than_is_on_its_way(w: World, http: httpx.AsyncClient) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):  # 32 MB: more than any buffer of a socket
            yield (b'"' + b"x" * 1_000 + b'"\n') * 32
            sent += 1

    await http.get("/eustress/ingest/stream/q/s")
    w.shards.hold()
    posting = asyncio.create_task(http.post(STREAM, content=body()))
    await until(lambda: w.shards.held)
    w.shards.release()  # the cursor
    w.shards.hold()
    await until(lambda: len(w.shards.held or ()) == eustress_stream.ON_THE_WAY)
    await until(lambda: any(seat.wire._reading_paused for seat in w.gateway.guard._phases[Phase.BUSY]))
    assert sent < 1_000
    assert len(w.shards.held or ()) == eustress_stream.ON_THE_WAY
    w.shards.release()
    assert lines_of(await posting)[-1]["cursor"] == 32_000


@asynccontextmanager
async def raw_stream(w: World) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that has begun a stream of chunked encoding."""
    reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
    head = f"POST {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer engine\r\nTransfer-Encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def next_line(reader: asyncio.StreamReader) -> dict[str, Any]:
    """The next line of the answer, past heads and the lengths of chunks."""
    async with asyncio.timeout(10):
        while line := await reader.readline():
            if line.startswith(b"{"):
                found: dict[str, Any] = json.loads(line)
                return found
    raise ConnectionResetError("the answer ended")


async def test_a_client_may_wait_for_the_cursor_before_it_sends_more(w: World) -> None:
    async with raw_stream(w) as (reader, writer):
        assert (await next_line(reader))["cursor"] == 0
        writer.write(chunk(b"1\n2\n3"))
        assert (await next_line(reader))["cursor"] == 2  # the third may go on
        writer.write(chunk(b"4\n") + b"0\r\n\r\n")
        told = await next_line(reader)
        assert (told["cursor"], told["done"]) == (3, True)
        assert w.shards.lake.lines == [b"1", b"2", b"34"]  # type: ignore[union-attr]


async def test_of_a_client_that_dies_no_half_line_is_taken(w: World, http: httpx.AsyncClient) -> None:
    async with raw_stream(w) as (reader, writer):
        writer.write(chunk(b'1\n2\n{"entity":'))
        await next_line(reader)
        assert (await next_line(reader))["cursor"] == 2
        writer.transport.abort()
        lake: Any = w.shards.lake
        told = lines_of(await http.post(f"{STREAM}&first=3", content=b"3\n"))
        assert told[-1]["cursor"] == 3
        assert lake.lines == [b"1", b"2", b"3"]
        await until(lambda: not w.gateway.rooms._coming)


async def test_a_server_that_goes_away_says_so_with_the_cursor(w: World) -> None:
    async with raw_stream(w) as (reader, writer):
        writer.write(chunk(b"1\n2\n"))
        assert (await next_line(reader))["cursor"] == 0
        assert (await next_line(reader))["cursor"] == 2
        w.gateway.draining = True
        told = await next_line(reader)
        assert (told["error"]["code"], told["error"]["retryable"], told["cursor"]) == ("draining", True, 2)


async def test_a_token_that_is_revoked_ends_its_stream(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eustress_stream, "LOGIN_S", 0.0)
    monkeypatch.setattr(eustress_stream, "PROGRESS_S", 0.05)
    async with raw_stream(w) as (reader, _):
        await next_line(reader)
        w.queries.logins.clear()
        assert (await next_line(reader))["error"]["code"] == "unauthenticated"


def blocks() -> Iterator[bytes]:
    for _ in range(200):
        yield b'{"entity":{"id":"x","name":"' + b"y" * 900 + b'"}}\n'


async def test_who_writes_all_before_reading_is_served(w: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eustress_stream, "PROGRESS_S", 0.0)
    async with raw_stream(w) as (reader, writer):
        for block in blocks():
            writer.write(chunk(block * 20))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        while not (told := await next_line(reader))["done"]:
            assert "error" not in told
        assert told["cursor"] == 4_000


def test_the_types_of_the_answer_are_those_of_the_document() -> None:
    told = msgspec.json.decode(
        b'{"error":{"code":"draining","message":"m","retryable":true},"cursor":2}', type=eustress_stream.StreamEnd
    )
    assert told.error.code == "draining"

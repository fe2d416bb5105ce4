"""The documented conversation with a real server, frame by frame; and every wrong field of every request, told by its path."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from conversation import ENVIRONMENT, Conversation
from fuzz.watching import service_token
from harness import RunningServer
from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect

from server.client import register
from server.ws import examples
from server.ws.protocol import MAX_ID, REQUESTS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

GOOD: Mapping[str, Any] = {
    "session": "cccccccc-cccc-4ccc-8ccc-cccccccccccc",
    "space": "hall",
    "ritual": "shadow_integration",
    "practitioner": str(uuid.UUID(int=1)),
    "name": "Hall",
    "purpose": "rest",
    "body": {},
    "phase_rad": 0.5,
    "transformation_type": "symbol",
    "parameters": {"symbol": "spiral"},
    "stream": f"space:{uuid.UUID(int=2)}",
    "guest": "Guest",
}
"""A good value of each field that a request must have."""
WRONG = [
    *(
        None,
        True,
        17,
        1.5,
        -1,
        MAX_ID + 1,
        2**64,
        -(10**300),
        "",
        " ",
        "!",
        "x",
        "x" * 50_000,
        [],
        {},
        [[]],
        {"x": "y"},
    ),
    *({"session": 1}, {"session": "x", "offsets": {"space:x": -1}}, {"session": "x", "offsets": []}, {"symbol": 1}),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with RunningServer(**ENVIRONMENT) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def document(server: RunningServer) -> Any:
    async with httpx.AsyncClient() as http:
        return (await http.get(f"{server.url}/asyncapi.json")).json()


def closed(schema: Any) -> Any:
    """The same schema, under which an object has no field that is not described."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    copied = {name: closed(each) for name, each in schema.items()}
    if schema.get("type") == "object" and "additionalProperties" not in schema and "properties" in schema:
        copied["additionalProperties"] = False
    return copied


# --- wrong fields ----------------------------------------------------------------------------------------------------


def wrong_fields(components: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Of every request: its type, the field that is wrong, and the fields with it."""
    for name, type_ in REQUESTS.items():
        schema = components["schemas"][type_.__name__]
        good = {field: GOOD[field] for field in schema["required"] if field in GOOD}
        if name in ("state.transform", "auth"):
            good |= {field: GOOD[field] for field in ("parameters", "guest") if field in schema["properties"]}
        for field, described in schema["properties"].items():
            bounds = [described[bound] for bound in ("minimum", "maximum") if bound in described]
            beyond = [bound + by for bound in bounds for by in (-1, 1)]
            for value in [*WRONG, *beyond] if field not in ("id", "type") else []:
                fields = good | {field: value}
                if not Draft202012Validator({**schema, "components": components}).is_valid(
                    {"id": 1, "type": name} | fields
                ):
                    yield name, field, fields


async def ask(socket: ClientConnection, request: dict[str, Any]) -> Any:
    """The answer. Wrong requests count as requests: one that comes too soon after many is asked again."""
    while True:
        await socket.send(json.dumps(request))
        while (answer := orjson.loads(await socket.recv())).get("id") != request["id"]:
            pass
        if answer.get("error", {}).get("code") != "rate_limited":
            return answer


async def test_a_wrong_value_of_any_field_is_invalid_with_the_fields_path(server: RunningServer, document: Any) -> None:
    address, unheard = server.url.replace("http", "ws") + "/ws", []
    token = (await register(server.url, f"{uuid.uuid4().hex}@example.org", "a long password"))["token"]
    async with connect(address) as socket, connect(address) as engine:
        await ask(socket, {"id": 1, "type": "auth", "token": token})
        await ask(engine, {"id": 1, "type": "auth", "token": await service_token(server.url, server.data_dir)})
        await ask(socket, {"id": 2, "type": "space.create", "name": "Hall", "purpose": "rest", "slug": "hall"})
        await ask(socket, {"id": 3, "type": "space.join", "space": "hall"})
        cases = list(wrong_fields(document["components"]))
        assert {(name, field) for name, field, _ in cases} >= {
            ("auth", "resume"),
            ("space.create", "slug"),
            ("history", "limit"),
        }
        for n, (name, field, fields) in enumerate(cases, 4):
            async with AsyncExitStack() as stack:
                asked = engine if name.startswith("eustress.") else socket
                asked = asked if name != "auth" else await stack.enter_async_context(connect(address))
                error = (await ask(asked, {"id": n, "type": name} | fields)).get("error", {})
            paths = [each["path"] for each in error.get("errors", [])]
            if error.get("code") != "invalid" or not all(path.startswith(field) for path in paths) or not paths:
                unheard.append((name, field, str(fields[field])[:40], error))
    assert unheard == []


# --- the conversation ------------------------------------------------------------------------------------------------


async def test_the_documented_conversation_is_had_and_every_frame_is_as_described(
    server: RunningServer, document: Any
) -> None:
    """Last, for at its end the server goes away."""
    async with Conversation(server) as conversation:
        for step in examples.conversation():
            await conversation.have(step)
        await conversation.lines["ana"].gone()
        assert conversation.lines["ana"].closed == 1001
        frames = conversation.frames
    components, wrong = closed(document["components"]), []
    for name, frame in frames:
        payload = closed(document["components"]["messages"][name]["payload"])
        errors = Draft202012Validator({**payload, "components": components}).iter_errors(frame)
        wrong += [(name, error.json_path, error.message) for error in errors]
    assert wrong == []
    outgoing = {name for name in document["components"]["messages"] if name not in REQUESTS}
    assert {name for name, _ in frames} == outgoing

"""The examples of the OpenAPI document, sent to a real server. Run, it records what such a server answers:

python tests/integration/examples.py        # starts a server, writes server/http/examples.json
"""

from __future__ import annotations

import asyncio
import base64
import re
import sys
import uuid
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import orjson

ROOT = Path(__file__).parents[2]
sys.path += [str(ROOT / "tests" / "faults"), str(ROOT)]

from harness import RunningServer  # noqa: E402

from server.http import app, documents  # noqa: E402
from server.http.contract import JSON, NDJSON, Example, Operation  # noqa: E402
from server.openapi import Recorded  # noqa: E402
from server.settings import Settings  # noqa: E402

RECORDED = ROOT / "server" / "http" / "examples.json"
ANSWER_BYTES = 8 * 1024
"""A longer answer shows nobody anything."""
TOKEN = "dGhpcy1pcy1uby10b2tlbi1idXQtbG9va3MtbGlrZS0x"
PASSWORD = "a long password"
"""As the examples have it: who sends one alone has the same."""
STATE = {"archetypes": {"Self": 0.6, "Shadow": 0.3, "Light": 0.4}, "energies": {"fire": 0.5, "air": 0.3}}


def declared() -> tuple[Operation, ...]:
    """Every operation that a server routes and documents."""
    gateway: Any = SimpleNamespace(settings=Settings(_env_file=None))
    operations: tuple[Operation, ...] = app.build(gateway)[documents.OPERATIONS_OF]
    return operations


def document() -> dict[str, Any]:
    """As a server with default settings serves it."""
    made: dict[str, Any] = orjson.loads(orjson.dumps(documents.document_of(declared(), Settings(_env_file=None))))
    return made


@dataclass
class Played:
    """An example that was sent."""

    operation: Operation
    example: Example
    sent: Recorded
    response: httpx.Response

    @property
    def answer(self) -> Any:
        """Of lines, the last one."""
        media = self.response.headers.get("Content-Type", "")
        if media == NDJSON:
            return orjson.loads(self.response.text.splitlines()[-1])
        return self.response.json() if media.endswith("json") else None


@dataclass
class Player:
    """One practitioner, the one of the example ``register``, who sends every example, and what the answers were."""

    http: httpx.AsyncClient
    admin_token: str
    token: str = ""
    engine_token: str = ""
    answers: dict[str, Any] = field(default_factory=dict)

    async def play(self, operations: Iterable[Operation]) -> AsyncIterator[Played]:
        """All examples in order; those that end a login are sent by somebody of their own."""
        self.token = await self.somebody("Maya")
        for operation in operations:
            for example in operation.examples:
                yield await self._send(operation, example)

    async def somebody(self, name: str) -> str:
        """The token of a new account with a state."""
        body = {"email": f"{uuid.uuid4().hex}@example.org", "password": PASSWORD, "spiritual_name": name}
        answer = await self.http.post("/api/users/register", json=body)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert (await self.http.put("/api/users/archetypal_state", json=STATE, headers=headers)).status_code == 200
        return token

    async def _send(self, operation: Operation, example: Example) -> Played:
        path, query = self._filled(dict(example.path)), self._filled(dict(example.query))
        body = self._filled(example.form if example.form is not None else example.body)
        headers = await self._headers(operation, example)
        options: dict[str, Any] = {"params": query, "headers": headers}
        if example.form is not None:
            files = {name: base64.b64decode(part[7:]) for name, part in body.items() if part.startswith("base64:")}
            body = {name: part for name, part in body.items() if name not in files}
            options |= {"data": body, "files": files}
        elif body is not None:
            options["json" if operation.body_media == JSON else "content"] = body
        url = re.sub(r"{(\w+)}", lambda found: path[found[1]], operation.path)
        response = await self.http.request(operation.method, url, **options)
        sent = Recorded(status=response.status_code, path=path, query=query, body=body)
        played = Played(operation, example, sent, response)
        self.answers[example.name] = played.answer
        if example.name == "register":
            self.token = played.answer["token"]
        return played

    async def _headers(self, operation: Operation, example: Example) -> dict[str, str]:
        if operation.access == "anyone":
            return {}
        if operation.access == "admin":
            return {"Authorization": f"Bearer {self.admin_token}"}
        if operation.access.startswith("engine"):
            self.engine_token = self.engine_token or await self.engine()
            return {"Authorization": f"Bearer {self.engine_token}"}
        token = await self.somebody("Somebody") if example.alone else self.token
        return {"Authorization": f"Bearer {token}"}

    async def engine(self) -> str:
        """A token for a Eustress engine."""
        headers = {"Authorization": f"Bearer {self.admin_token}"}
        answer = await self.http.post("/api/admin/tokens", json={"service": "eustress"}, headers=headers)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token

    def _filled(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._filled(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str):
            return re.sub(r"{([\w.]+)}", lambda found: self._named(found[1]), value)
        return value

    def _named(self, dotted: str) -> str:
        if dotted == "in_a_month":
            return (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds").replace("+00:00", "Z")
        name, *parts = dotted.split(".")
        found = self.answers[name]
        for part in parts:
            found = found[int(part)] if isinstance(found, list) else found[part]
        return str(found)


def recorded_of(played: Played) -> Recorded:
    """What the document shows of it: no token that ever counted, no long answer."""
    answer = _without_tokens(played.answer)
    if len(orjson.dumps(answer)) > ANSWER_BYTES:
        answer = None
    return msgspec.structs.replace(played.sent, answer=answer)


def _without_tokens(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: TOKEN if name == "token" else _without_tokens(each) for name, each in value.items()}
    return [_without_tokens(each) for each in value] if isinstance(value, list) else value


async def record() -> None:
    """Write what a new server answers."""
    found = {}
    async with RunningServer() as server, httpx.AsyncClient(base_url=server.url, timeout=60) as http:
        player = Player(http, (server.data_dir / "admin.token").read_text().strip())
        async for played in player.play(declared()):
            print(played.response.status_code, played.operation.method, played.operation.path)  # noqa: T201
            found[played.example.name] = recorded_of(played)
    RECORDED.write_bytes(orjson.dumps(msgspec.to_builtins(found), option=orjson.OPT_INDENT_2) + b"\n")


if __name__ == "__main__":
    asyncio.run(record())

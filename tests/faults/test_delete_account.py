"""An account is deleted while the processes that do it are killed: nothing of it is left, whenever the blow falls."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import Any, NamedTuple

import asyncpg
import httpx
import pytest
from harness import RunningServer, until

pytestmark = pytest.mark.timeout(600)
"""Nine accounts, nine deaths; each takes some ten seconds where others run tests too."""

NAME = "Zephyrine Quillfeather"
PASSWORD = "a thread through it"
BLOWS = (
    ("space/0", 0.0),
    ("practitioner/0", 0.08),
    ("practitioner/0", 0.12),
    ("practitioner/0", 0.15),
    ("practitioner/0", 0.18),
    ("practitioner/0", 0.25),
    ("space/0", 0.15),
    ("gateway/0", 0.15),
    ("gateway/0", 0.25),
)
"""Who is hit, and how long after the request was sent: Argon2id takes some 0.1 s of it."""
MEANT_TO_STAY = {
    ("journal", "space"),  # what was said stays, by an id
    ("checkpoints", "space"),
    ("checkpoints", "practitioner"),  # says that the id is gone
    ("journal", "ritual"),  # ratings and uses count on, by an id
    ("checkpoints", "ritual"),
    ("claims", None),  # of a space's slug: by whose request
}


class Person(NamedTuple):
    """An account to which things happened."""

    id: str
    email: str
    token: str
    spaces: list[str]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def post(http: httpx.AsyncClient, path: str, token: str, body: Any = None) -> Any:
    answer = await http.post(path, json=body, headers=bearer(token))
    assert answer.is_success, answer.text
    return answer.json()


async def register(http: httpx.AsyncClient, email: str, name: str) -> tuple[str, str]:
    body = {"email": email, "password": PASSWORD, "spiritual_name": name, "privacy_level": "public"}
    answer = await http.post("/api/users/register", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["practitioner"]["id"], answer.json()["token"]


async def live_a_little(http: httpx.AsyncClient, other: str) -> Person:
    """Somebody with rows in every table, who spoke in a space of their own and in another's."""
    email = f"{uuid.uuid4().hex}@quill.example"
    who, token = await register(http, email, NAME)
    state = {"archetypes": {"Self": 0.5, "Shadow": 0.5, "Light": 0.4}, "energies": {"fire": 0.5, "air": 0.4}}
    answer = await http.put("/api/users/archetypal_state", json=state, headers=bearer(token))
    assert answer.status_code == 200, answer.text
    run = await post(http, "/api/rituals/execute", token, {"ritual_name": "void_contemplation"})
    await post(http, "/api/state/reflection", token, {"session_id": run["session_id"]})
    rating = {"effectiveness_rating": 7, "integration_notes": "well"}
    path = f"/api/rituals/sessions/{run['session_id']}"
    assert (await http.patch(path, json=rating, headers=bearer(token))).status_code == 200
    spaces = []
    for maker in (token, other):
        body = {"name": "Grove", "purpose": "to talk", "access_level": "open", "slug": f"g-{uuid.uuid4().hex[:12]}"}
        space = (await post(http, "/api/collective/spaces", maker, body))["id"]
        for each in (token, other):
            await post(http, f"/api/collective/spaces/{space}/join", each)
        await post(http, f"/api/collective/spaces/{space}/messages", token, {"body": "what I said"})
        spaces.append(space)
    return Person(who, email, token, spaces)


async def delete(server: RunningServer, person: Person) -> None:
    """Until the server says that it is done: with 204, or because the token is gone with the account."""
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        while True:
            try:
                answer = await http.request(
                    "DELETE", "/api/users/account", json={"password": PASSWORD}, headers=bearer(person.token)
                )
            except httpx.TransportError:
                continue
            if answer.status_code in (202, 204, 401):
                return
            assert answer.status_code == 503, answer.text


async def found(connection: asyncpg.Connection, needle: str) -> set[tuple[str, str | None]]:
    """Tables, and kinds of entities, with a text anywhere in a row: as text, or in bytes."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    places = set()
    for (table,) in tables:
        kind = "x.kind" if table in ("journal", "checkpoints", "alarms") else "NULL"
        rows = await connection.fetch(
            f"SELECT DISTINCT {kind} AS kind FROM {table} x WHERE strpos(x::text, $1) > 0 OR strpos(x::text, $2) > 0",
            needle,
            needle.encode().hex(),
        )
        places |= {(table, row["kind"]) for row in rows}
    return places


async def gone(connection: asyncpg.Connection, person: Person) -> bool:
    """Whether nothing says who they were, and their id is only where it is meant to be."""
    said = await found(connection, person.email) | await found(connection, NAME)
    return not said and await found(connection, person.id) <= MEANT_TO_STAY


async def test_nothing_of_a_deleted_account_is_left_whoever_is_killed_meanwhile() -> None:
    async with (
        RunningServer(SANGHA_LAB="1") as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        _, other = await register(http, "witness@example.org", "Witness")
        connection = await server.connect()
        for process, after_s in BLOWS:
            person = await live_a_little(http, other)
            pid = await server.pid_of(process)
            deleting = asyncio.create_task(delete(server, person))
            await asyncio.sleep(after_s)  # the moment of the blow, not a wait
            server.hit(pid, signal.SIGKILL)
            await deleting
            await until(lambda p=person: gone(connection, p), f"{process} after {after_s}: {person.id} is gone", 60)
            await server.pid_of(process, other_than=pid)
            await check_space(http, other, person)
            again, _ = await register(http, person.email, "Another")
            assert again != person.id
        await connection.close()
        assert await server.stop() == 0


async def check_space(http: httpx.AsyncClient, other: str, person: Person) -> None:
    """What they said is there, from ``departed``; who is left facilitates."""
    for space in person.spaces:

        async def history(space: str = space) -> Any:
            answer = await http.get(f"/api/collective/spaces/{space}/history", headers=bearer(other))
            return answer.json()["events"] if answer.status_code == 200 else None

        events = await until(history, "the space answers")
        names = {event["from"]["name"] for event in events if event["from"] and event["from"]["id"] == person.id}
        assert names == {"departed"}
        assert [event["body"] for event in events if event["event"] == "message"] == ["what I said"]
        state = (await http.get(f"/api/collective/spaces/{space}", headers=bearer(other))).json()
        assert state["facilitator"] not in (None, person.id)
        assert [each["name"] for each in state["participants"]] == ["Witness"]

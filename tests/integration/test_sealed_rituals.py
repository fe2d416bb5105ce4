"""A server with a key: what practitioners are and say is nowhere to be read in storage, and everywhere they may read it.

One server for the module. Two people put, run, write and meet words that occur nowhere else, and each test looks at where
these are, and at what ``sangha verify`` and ``sangha rekey`` say as they are called. The last one changes the key for good.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import httpx
import orjson
import pytest
import pytest_asyncio
from harness import SANGHA, RunningServer, until
from looking import cells, files_with, places

from server.client import Client, Stream
from storage.seal import Sealer, to_text

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
PREFERENCE, ALIGNMENT = "Windharrow", "mistlantern"
ARCHETYPE, ENERGY, SYMBOL = "Zephyrwight", "quicksilverish", "brasslantern"
INTEGRATION, TRANSFORMATION = "saltharbour", "nightferry"
INTENTION, PARAMETER, VALUE = "umbercandle", "velvetkey", "inkmarrow"
EXPERIENCE, NOTE = "plumthunder", "glasswinter"
TOGETHER, MESSAGE = "cedarvault", "opalwhisper"
TELLTALE = [
    PREFERENCE, ALIGNMENT, ARCHETYPE, ENERGY, SYMBOL, INTEGRATION, TRANSFORMATION,
    INTENTION, PARAMETER, VALUE, EXPERIENCE, NOTE, TOGETHER, MESSAGE,
]  # fmt: skip
OPEN = "Openmeadow"
"""A space's name is not sealed: whoever looks has to find it."""
STATE = {
    "archetypes": {ARCHETYPE: 0.9, "Light": 0.9, "Shadow": 0.2},
    "energies": {ENERGY: 0.5},
    "integrations": [INTEGRATION],
    "symbols": [SYMBOL],
    "transformations": [TRANSFORMATION],
}
PUTS = 600
"""More events than ``rekey`` rewrites in one statement, so that there is a middle to kill it in."""
BLOCKED_AT = 550


class Person:
    """An account over HTTP."""

    def __init__(self, http: httpx.AsyncClient, account: dict[str, Any]) -> None:
        self.http, self.token, self.id = http, account["token"], account["practitioner"]["id"]

    async def call(self, method: str, path: str, status: int = 200, **how: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.http.request(method, path, headers=headers, **how)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()


async def person(http: httpx.AsyncClient, name: str, **fields: Any) -> Person:
    body = {"email": f"{uuid.uuid4().hex}@example.org", "password": "a long password", "spiritual_name": name}
    answer = await http.post("/api/users/register", json=body | fields)
    assert answer.status_code == 201, answer.text
    return Person(http, answer.json())


class Story:
    """What two people did, and all that the server answers of it."""

    def __init__(self, server: RunningServer, http: httpx.AsyncClient) -> None:
        self.server, self.http = server, http
        self.space, self.session = "", ""

    async def happen(self) -> None:
        self.maya = await person(
            self.http, "Maya", archetypal_preferences={PREFERENCE: 1}, energy_alignments={"likes": ALIGNMENT}
        )
        self.friend = await person(self.http, "Friend")
        await self.alone()
        await self.together()

    async def alone(self) -> None:
        maya = self.maya
        await maya.call("PUT", "/api/users/archetypal_state", json=STATE)
        run = {
            "ritual_name": "shadow_integration",
            "intention": f"to hold the {INTENTION}",
            "ritual_parameters": {PARAMETER: VALUE},
        }
        self.session = (await maya.call("POST", "/api/rituals/execute", json=run))["session_id"]
        notes = {"subjective_experience": EXPERIENCE, "integration_notes": NOTE, "effectiveness_rating": 8}
        await maya.call("PATCH", f"/api/rituals/sessions/{self.session}", json=notes)
        for body in ({"session_id": self.session}, {}):
            assert (await maya.call("POST", "/api/state/reflection", json=body))["interpretation"]

    async def together(self) -> None:
        space = {"name": OPEN, "purpose": "together", "access_level": "open"}
        self.space = (await self.maya.call("POST", "/api/collective/spaces", 201, json=space))["id"]
        async with self.member(self.maya) as mine, self.member(self.friend) as theirs:
            await mine[0].request("space.send", space=self.space, body={"text": MESSAGE})
            begin = {
                "space": self.space,
                "ritual_name": "archetype_invocation",
                "intention": TOGETHER,
                "ritual_parameters": {PARAMETER: VALUE},
                "starts_in_s": 0.2,
                "opening_s": 0,
                "integration_s": 0,
            }
            await self.maya.call("POST", "/api/collective/rituals", 201, json=begin)
            first, second = await asyncio.gather(_closed(mine[1]), _closed(theirs[1]))
        assert first == second
        assert first["transformed"] == 2

    @asynccontextmanager
    async def member(self, who: Person) -> AsyncIterator[tuple[Client, Stream]]:
        async with (
            Client(f"{self.server.url}/ws/collective", token=who.token) as client,
            client.join(self.space, leave=False) as stream,
        ):
            yield client, stream

    async def told(self) -> dict[str, Any]:
        """All of it, as it is answered now."""
        maya = self.maya
        async with self.member(maya) as (client, _):
            told = [event async for event in client.history(f"space:{self.space}")]
        return {
            "profile": await maya.call("GET", "/api/users/profile"),
            "state": await maya.call("GET", "/api/state/current"),
            "history": await maya.call("GET", "/api/state/history"),
            "runs": await maya.call("GET", "/api/rituals/sessions"),
            "run": await maya.call("GET", f"/api/rituals/sessions/{self.session}"),
            "insights": await maya.call("GET", "/api/state/insights"),
            "group": (await maya.call("GET", f"/api/collective/rituals?space={self.space}"))["last"],
            "shared": (await maya.call("GET", f"/api/collective/spaces/{self.space}"))["shared_state"],
            "messages": [event for event in told if event["event"] == "message"],
            "friend": await self.friend.call("GET", "/api/rituals/sessions"),
        }


async def _closed(stream: Stream) -> Any:
    async for event in stream:
        if event.event == "ritual_closed":
            return event.body["summary"]
    raise AssertionError("the stream ended first")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def story() -> AsyncIterator[Story]:
    async with (
        RunningServer(SACRED_ENCRYPTION_KEY=OLD, SANGHA_CHECKPOINT_EVERY="3") as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as http,
    ):
        happened = Story(server, http)
        await happened.happen()
        yield happened


async def sangha(server: RunningServer, command: str, *arguments: str, **keys: str) -> tuple[int, str, str]:
    """Exit code, standard output and error of a command with these keys and no others."""
    process = await begun(server, command, *arguments, **keys)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def begun(server: RunningServer, command: str, *arguments: str, **keys: str) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in server._environment().items() if "ENCRYPTION" not in name} | keys
    return await asyncio.create_subprocess_exec(
        SANGHA, command, "--data-dir", str(server.data_dir), *arguments, cwd=server.home, env=environment,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_no_table_and_no_file_has_a_word_of_it_and_every_answer_does(story: Story) -> None:
    answered = orjson.dumps(await story.told()).decode()
    assert [word for word in TELLTALE if word not in answered] == []
    found = await places(story.server.dsn, *TELLTALE, OPEN, "shadow_integration")
    assert {"collective_spaces.name"} <= found.pop(OPEN)
    assert {"journal.data", "sacred_rituals.name"} <= found.pop("shadow_integration"), "rituals are everyone's"
    assert found == {word: set() for word in TELLTALE}
    connection = await story.server.connect()
    try:
        sealed = await connection.fetch(
            "SELECT DISTINCT kind FROM checkpoints WHERE substring(data FROM 1 FOR 1) = '\\x01'"
        )
        assert {row["kind"] for row in sealed} == {"practitioner", "space"}, "there was nothing of them to look at"
        await connection.execute("CHECKPOINT")  # to files
    finally:
        await connection.close()
    written = await asyncio.to_thread(files_with, story.server.home, *TELLTALE, OPEN)
    assert any(file.is_relative_to(story.server.data_dir / "postgres") for file in written.pop(OPEN))
    assert written == {}


async def test_it_is_all_there_after_its_actors_were_killed(story: Story) -> None:
    before = await story.told()
    for shard in ("practitioner/0", "space/0"):
        pid, _ = await story.server.kill(shard)
        assert await story.told() == before
        assert await story.server.pid_of(shard, other_than=pid) != pid


async def test_verify_and_replay_find_it_whole_with_the_key(story: Story) -> None:
    code, out, err = await sangha(story.server, "verify", "--replay", SACRED_ENCRYPTION_KEY=OLD)
    assert (code, err) == (0, "")
    assert "every chain is whole" in out
    assert "3 runs replayed, 0 failed without their ritual: the same again, bit for bit" in out


@pytest.mark.parametrize("keys", [{}, {"SACRED_ENCRYPTION_KEY": NEW}], ids=["no key", "another key"])
async def test_verify_says_that_it_cannot_read_without_the_key(story: Story, keys: dict[str, str]) -> None:
    code, out, err = await sangha(story.server, "verify", "--replay", **keys)
    assert code == 1
    assert "is sealed" in out + err
    assert "Traceback" not in err
    assert f"practitioner {story.maya.id}: the journal cannot be read: " in out
    assert "every chain is whole" not in out
    assert "bit for bit" not in out


TAMPERED = {
    "plain in place of the envelope": "state_data = '{}'",
    "another row's envelope": "state_data = (SELECT state_data FROM archetypal_states"
    " WHERE practitioner_id = $1::uuid AND version = 1)",
    "the hash": "state_hash = repeat('0', 64)",
    "a part": "symbols = '[]'",
}


@pytest.mark.parametrize("change", TAMPERED.values(), ids=TAMPERED)
async def test_verify_names_the_row_that_somebody_changed(story: Story, change: str) -> None:
    which = "practitioner_id = $1::uuid AND version = 2"
    connection = await story.server.connect()
    try:
        whole = await connection.fetchrow(f"SELECT * FROM archetypal_states WHERE {which}", story.maya.id)
        await connection.execute(f"UPDATE archetypal_states SET {change} WHERE {which}", story.maya.id)
        code, out, _ = await sangha(story.server, "verify", SACRED_ENCRYPTION_KEY=OLD)
        await connection.execute(
            f"UPDATE archetypal_states SET state_data = $2, state_hash = $3, symbols = $4 WHERE {which}",
            story.maya.id, whole["state_data"], whole["state_hash"], whole["symbols"],
        )  # fmt: skip
    finally:
        await connection.close()
    assert code == 1
    assert f"practitioner {story.maya.id}, version 2, id {whole['id']}: " in out
    assert "1 do not fit" in out


# --- another key -----------------------------------------------------------------------------------------------------


class Requests:
    """One who goes on all the time, reading and writing; any answer but a good one ends the test."""

    def __init__(self, who: Person) -> None:
        self.who, self.done = who, 0

    async def __aenter__(self) -> Requests:
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _go_on(self) -> None:
        while True:
            await self.who.call("PUT", "/api/users/archetypal_state", json=STATE | {"symbols": [f"turn {self.done}"]})
            state = await self.who.call("GET", "/api/state/current")
            history = await self.who.call("GET", "/api/state/history?limit=50")
            assert history[0]["state_hash"] == state["state_hash"]
            self.done += 1

    async def more(self) -> None:
        """Wait until another round is done."""
        enough = self.done + 2
        await until(lambda: self._task.done() or self.done >= enough, "requests are answered")
        if self._task.done():
            await self._task


async def under(connection: asyncpg.Connection, key: str) -> dict[str, int]:
    """How many values of each place are sealed with a key."""
    prefix = Sealer(bytes.fromhex(key)).prefix
    found: dict[str, int] = {}
    text = to_text(prefix).encode()
    async for place, value in cells(connection):
        if value.startswith((prefix, b'"' + text, b"sealed:" + text)):
            found[place] = found.get(place, 0) + 1
    return found


async def kill_in_the_middle(server: RunningServer, connection: asyncpg.Connection, **keys: str) -> None:
    """SIGKILL ``rekey`` at its second statement: it waits there for a row that we hold. Its connection ends with it."""
    rekeys = "FROM pg_stat_activity WHERE application_name = 'sangha rekey'"
    watch = await server.connect()
    try:
        async with connection.transaction():
            await connection.execute(
                """SELECT 1 FROM journal WHERE (kind, entity_id, seq) = (
                    SELECT kind, entity_id, seq FROM journal WHERE kind = 'practitioner'
                    ORDER BY entity_id, seq OFFSET $1 LIMIT 1
                ) FOR UPDATE""",
                BLOCKED_AT,
            )
            process = await begun(server, "rekey", **keys)
            try:
                await until(
                    lambda: watch.fetchval(f"SELECT EXISTS (SELECT 1 {rekeys} AND wait_event_type = 'Lock')"),
                    "rekey waits for our row",
                )
            finally:
                process.kill()
                await process.communicate()
            await watch.execute(f"SELECT pg_terminate_backend(pid) {rekeys}")
            await until(lambda: watch.fetchval(f"SELECT NOT EXISTS (SELECT 1 {rekeys})"), "its connection ends")
    finally:
        await watch.close()


async def test_a_new_key_takes_the_old_ones_place_beside_a_running_server(story: Story) -> None:
    server = story.server
    busy = await person(story.http, "Busy")
    turns = asyncio.Semaphore(16)

    async def put(number: int) -> None:
        async with turns:
            await busy.call("PUT", "/api/users/archetypal_state", json=STATE | {"symbols": [SYMBOL, str(number)]})

    await asyncio.gather(*(put(number) for number in range(PUTS)))
    before = await story.told()
    assert await server.stop() == 0
    both = {"SACRED_ENCRYPTION_KEY": NEW, "SANGHA_OLD_ENCRYPTION_KEYS": OLD}
    server.environment |= both
    await server.start()
    connection = await server.connect()
    try:
        olds = await under(connection, OLD)
        assert olds["journal.data"] > PUTS
        assert olds.keys() >= {"journal.data", "journal.reply", "checkpoints.data", "archetypal_states.state_data"}
        async with Requests(busy) as requests:
            await requests.more()
            await kill_in_the_middle(server, connection, **both)
            left = await under(connection, OLD)
            assert 0 < left["journal.data"] < olds["journal.data"], "it was killed before or after its work"
            assert await story.told() == before
            code, out, err = await sangha(server, "rekey", **both)
            assert (code, err) == (0, "")
            assert "0 cannot be opened" in out
            await requests.more()
        assert await under(connection, OLD) == {}
    finally:
        await connection.close()
    assert await sangha(server, "rekey", **both) == (0, "0 rows rewritten, 0 cannot be opened\n", "")
    assert await story.told() == before
    assert await server.stop() == 0

    del server.environment["SANGHA_OLD_ENCRYPTION_KEYS"]
    await server.start()
    assert await story.told() == before
    assert len(await busy.call("GET", "/api/state/history?limit=500")) == 500
    code, out, _ = await sangha(server, "verify", "--replay", SACRED_ENCRYPTION_KEY=NEW)
    assert code == 0, out
    assert "every chain is whole" in out
    code, out, _ = await sangha(server, "verify", SACRED_ENCRYPTION_KEY=OLD)
    assert (code, "is sealed with a key that is not configured" in out) == (1, True)

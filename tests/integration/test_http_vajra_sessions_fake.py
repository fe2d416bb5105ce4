"""Audio sessions over HTTP: the real entity behind fake shards, as the seed's client and the published one ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, BOB, HALL, ROOM, SECRET, FakeQueries, FakeShards, World
from unit.driving import Driver

from actors.audio_session import commands as c
from actors.audio_session.entity import AudioSessionKind
from actors.runtime.entity import Caller
from actors.runtime.errors import ActorUnavailable, SanghaError
from actors.runtime.wire import Answer, Ask, Refused
from server import audio_devices
from server.audio_sessions import participates
from server.gateway import Gateway
from server.hosts import kind_of
from server.settings import Settings
from storage.audio_queries import Place

BASE = "/api/v1/sessions"
SEED = {"intention": "peace", "duration": 300, "audio_type": "prayer_bowl", "frequencies": [136.1]}
CLIENT = {
    "name": "Morning",
    "intention": "peace",
    "duration": 300,
    "audio_frequency": 432,
    "astrology_enabled": True,
    "hardware_enabled": False,
    "visuals_enabled": True,
}
"""What the published client sends."""


class Shards(FakeShards):
    """``audio_session`` by the real entity, with what a shard remembers of operations."""

    def __init__(self, kind: AudioSessionKind) -> None:
        super().__init__()
        self.kind = kind
        self.sessions: dict[str, Driver] = {}
        self.done: dict[str, bytes] = {}

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind != "audio_session" or self.refuse(message) is not None:
            super()._work(kind, message, on_answer)
            return
        assert isinstance(message, Ask)
        driver = self.sessions.setdefault(message.entity, Driver(self.kind, message.entity))
        driver.now = datetime.now(UTC)
        if (known := self.done.get(message.operation or "")) is not None:
            on_answer(Answer(message.cid, known))
            return
        try:
            reply = driver.reply(c.codec.decode(message.command), message.caller)
        except SanghaError as refused:
            errors = tuple((each.path, each.message) for each in refused.errors)
            on_answer(Refused(message.cid, refused.code, refused.message, errors))
            return
        body = msgspec.json.encode(reply)
        if message.operation is not None:
            self.done[message.operation] = body
        on_answer(Answer(message.cid, body))


class Queries(FakeQueries):
    """The rows as the entities wrote them."""

    def __init__(self, shards: Shards) -> None:
        super().__init__()
        self.shards = shards
        self.members: set[tuple[str, str]] = set()

    def _rows(self) -> list[dict[str, Any]]:
        self._check()
        live = [driver for driver in self.shards.sessions.values() if driver.state.session is not None]
        return [driver.row("audio_sessions") for driver in live][::-1]

    def _page(self, rows: list[dict[str, Any]], limit: int, before: str | None) -> list[dict[str, Any]]:
        ids = [row["id"] for row in rows]
        return rows[ids.index(before) + 1 if before in ids else 0 :][:limit]

    async def audio_sessions(
        self, owner: str, limit: int, before: str | None = None, status: str | None = None
    ) -> list[dict[str, Any]]:
        mine = [row for row in self._rows() if row["owner_id"] == owner and status in (None, row["status"])]
        return self._page(mine, limit, before)

    async def audio_sessions_of_space(self, space: str, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        return self._page([row for row in self._rows() if row["space_id"] == space], limit, before)

    async def audio_session_place(self, session: str) -> Place | None:
        found = [row for row in self._rows() if row["id"] == session]
        return Place(found[0]["owner_id"], found[0]["space_id"]) if found else None

    async def count_audio_sessions(self, owner: str) -> int:
        return sum(row["owner_id"] == owner for row in self._rows())

    async def participates(self, space: str, practitioner: str) -> bool:
        self._check()
        return (space, practitioner) in self.members


class Sounding(World):
    shards: Shards
    queries: Queries


@asynccontextmanager
async def sounding(**settings: Any) -> AsyncIterator[Sounding]:
    made = Settings(_env_file=None, **({"port": 0, "guests": True} | settings))
    kind: Any = kind_of("audio_session", made)
    shards = Shards(kind)
    queries = Queries(shards)
    gateway = Gateway(made, shards, queries, SECRET)
    shards.on_message = gateway.on_message
    for token, who in (("a", ALICE), ("b", BOB)):
        queries.login(token, who)
    port = await gateway.start()
    try:
        yield Sounding(gateway, shards, queries, port)
    finally:
        await gateway.stop()


@pytest.fixture
async def w() -> AsyncIterator[Sounding]:
    async with sounding() as here:
        yield here


@asynccontextmanager
async def client(w: Sounding, token: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=w.http, headers={"Authorization": f"Bearer {token}"}) as http:
        yield http


@pytest.fixture
async def http(w: Sounding) -> AsyncIterator[httpx.AsyncClient]:
    async with client(w, "a") as alice:
        yield alice


@pytest.fixture
async def bob(w: Sounding) -> AsyncIterator[httpx.AsyncClient]:
    async with client(w, "b") as other:
        yield other


async def answer(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    response = await http.request(method, f"{BASE}{path}", **options)
    assert response.status_code == 200, response.text
    return response.json()


async def refused(http: httpx.AsyncClient, method: str, path: str, **options: Any) -> tuple[int, str]:
    problem = (await http.request(method, f"{BASE}{path}", **options)).json()
    assert problem["detail"]
    return problem["status"], problem["code"]


# --- the seed's client -----------------------------------------------------------------------------------------------


async def test_the_seeds_client_makes_changes_and_ends_a_session(http: httpx.AsyncClient) -> None:
    made = await answer(http, "POST", "/", json=SEED)
    seeds = {"id", "intention", "duration", "audio_type", "frequencies", "prayer_bowl_mode", "metadata", "status"}
    seeds |= {"created_at", "updated_at", "started_at", "stopped_at", "elapsed_time"}
    assert seeds <= made.keys()
    assert {name: made[name] for name in SEED} == SEED
    assert (made["status"], made["metadata"], made["prayer_bowl_mode"], made["elapsed_time"]) == (
        "created",
        {},
        True,
        0,
    )
    here = f"/{UUID(made['id'])}"
    begun = await answer(http, "POST", f"{here}/start")
    assert (begun["status"], begun["started_at"]) == ("running", begun["timeline"]["anchor_at"])
    changed = await answer(http, "PUT", here, json={"intention": "joy", "duration": None, "status": "paused"})
    assert (changed["intention"], changed["duration"], changed["status"]) == ("joy", 300, "paused")
    assert (await answer(http, "POST", f"{here}/resume"))["status"] == "running"
    assert (await answer(http, "POST", f"{here}/pause"))["status"] == "paused"
    stopped = await answer(http, "POST", f"{here}/stop")
    assert (stopped["status"], stopped["stopped_at"] is not None) == ("stopped", True)
    assert await answer(http, "GET", here) == stopped
    assert await answer(http, "GET", "/") == [stopped]
    assert await answer(http, "DELETE", here) == {"status": "deleted"}
    assert await answer(http, "GET", "/") == []
    gone = await http.get(f"{BASE}{here}")
    assert (gone.status_code, gone.json()["detail"]) == (404, "Session not found")


# --- the published client --------------------------------------------------------------------------------------------


async def test_the_published_client_makes_a_session_and_hears_of_success(http: httpx.AsyncClient) -> None:
    made = await answer(http, "POST", "/create", json=CLIENT)
    assert made["status"] == "success"
    here = f"/{made['session_id']}"
    for act, status in (("start", "running"), ("pause", "paused"), ("resume", "running"), ("stop", "stopped")):
        done = await answer(http, "POST", f"{here}/{act}")
        assert (done["status"], done["session_id"], done["session"]["status"]) == (
            "success",
            made["session_id"],
            status,
        )
    listed = await answer(http, "GET", "")
    assert (listed["status"], list(listed["sessions"])) == ("success", [made["session_id"]])
    session = listed["sessions"][made["session_id"]]
    assert {name: session[name] for name in CLIENT} == CLIENT
    assert {type(session[name]) for name in ("start_time", "audio_frequency")} == {float}
    assert (await answer(http, "GET", here))["status"] == "stopped"
    assert await answer(http, "GET", "/") == [session]


# --- once, and within bounds -----------------------------------------------------------------------------------------


async def test_a_session_is_made_once_a_key(http: httpx.AsyncClient) -> None:
    first, again, other = [
        await answer(http, "POST", "/", json=SEED, headers={"Idempotency-Key": key}) for key in ("k", "k", "l")
    ]
    assert first == again
    assert other["id"] != first["id"]
    assert [each["id"] for each in await answer(http, "GET", "/")] == [other["id"], first["id"]]


async def test_so_many_sessions_are_kept_and_one_that_goes_makes_room() -> None:
    async with sounding(audio_sessions=2) as w, client(w, "a") as http, client(w, "b") as bob:
        keys = [{"Idempotency-Key": str(n)} for n in range(3)]
        made = [await answer(http, "POST", "/", json=SEED, headers=keys[n]) for n in range(2)]
        assert await refused(http, "POST", "/", json=SEED, headers=keys[2]) == (409, "full")
        assert await answer(http, "POST", "/", json=SEED, headers=keys[1]) == made[1]
        await answer(bob, "POST", "/", json=SEED)
        await answer(http, "DELETE", f"/{made[0]['id']}")
        await answer(http, "POST", "/", json=SEED, headers=keys[2])


async def test_a_list_is_read_page_by_page(http: httpx.AsyncClient) -> None:
    made = [(await answer(http, "POST", "/", json=SEED))["id"] for _ in range(3)][::-1]
    page = await answer(http, "GET", "/", params={"limit": 2})
    rest = await answer(http, "GET", "/", params={"limit": 2, "before": page[-1]["id"]})
    assert [each["id"] for each in page + rest] == made
    await answer(http, "POST", f"/{made[0]}/start")
    assert [each["id"] for each in await answer(http, "GET", "/", params={"status": "running"})] == made[:1]
    for wrong in ({"limit": "0"}, {"status": "asleep"}, {"before": "x"}):
        response = await http.get(f"{BASE}/", params=wrong)
        assert (response.status_code, response.json()["errors"][0]["path"]) == (422, next(iter(wrong)))


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"duration": 0}, "duration"),
        ({"duration": 31_536_000}, "duration"),
        ({"audio_frequency": -1}, "audio_frequency"),
        ({"audio_frequency": 1e9}, "audio_frequency"),
        ({"frequencies": [440] * 10_000}, "frequencies"),
        ({"frequencies": [440, 0]}, "frequencies[1]"),
        ({"volume": 0.9}, "volume"),
        ({"volume": 0.6}, "volume"),
        ({"audio_type": "noise"}, "audio_type"),
        ({"audio_type": "binaural", "audio_frequency": 8}, "audio_frequency"),
        ({"device": ""}, "device"),
        ({"space": "hall"}, "space"),
        ({"metadata": []}, "metadata"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_field(fields: dict[str, Any], where: str) -> None:
    async with sounding(max_volume=0.5) as w, client(w, "a") as http:
        for path in ("/", "/create"):
            response = await http.post(f"{BASE}{path}", json=SEED | {"frequencies": []} | fields)
            assert (response.status_code, response.json()["errors"][0]["path"]) == (422, where)
        assert w.shards.sessions == {} or all(driver.state.session is None for driver in w.shards.sessions.values())


async def test_numbers_that_are_none_are_no_json(http: httpx.AsyncClient) -> None:
    for text in (b'{"duration":NaN}', b'{"audio_frequency":Infinity}', b"[]", b""):
        response = await http.post(f"{BASE}/", content=text)
        assert response.json()["code"] in ("bad_request", "invalid")


async def test_settings_are_what_nobody_said() -> None:
    async with sounding(max_volume=0.3, prayer_bowl_mode=False) as w, client(w, "a") as http:
        made = await answer(http, "POST", "/", json={"intention": "", "duration": 5})
        assert (made["volume"], made["prayer_bowl_mode"], made["recipe"]["voices"][0]["type"]) == (0.3, False, "sine")


# --- devices ---------------------------------------------------------------------------------------------------------


async def test_hardware_is_the_servers_device_unless_there_is_to_be_none() -> None:
    body = CLIENT | {"hardware_enabled": True}
    async with sounding() as w, client(w, "a") as http:
        assert (await answer(http, "POST", "/create", json=body))["session"]["device"] == "default"
    async with sounding(audio_device=audio_devices.OFF) as w, client(w, "a") as http:
        assert (await answer(http, "POST", "/create", json=body))["session"]["device"] is None


# --- spaces ----------------------------------------------------------------------------------------------------------


async def test_a_session_is_shared_with_a_space_that_its_owner_is_in(
    w: Sounding, http: httpx.AsyncClient, bob: httpx.AsyncClient
) -> None:
    here = f"/{(await answer(http, 'POST', '/', json=SEED))['id']}"
    for path in (here, f"{here}/start"):
        method = "GET" if path == here else "POST"
        assert await refused(bob, method, path) == (404, "not_found")
    assert await refused(http, "POST", f"{here}/share", json={"space": HALL}) == (403, "forbidden")
    assert await refused(http, "POST", "/", json=SEED | {"space": HALL}) == (403, "forbidden")
    w.queries.members = {(HALL, ALICE), (HALL, BOB)}
    assert (await answer(http, "POST", f"{here}/share", json={"space": HALL}))["space"] == HALL
    seen = await answer(bob, "GET", here)
    assert await answer(bob, "GET", "/", params={"space": HALL}) == [seen]
    assert await answer(bob, "GET", "/") == []
    assert await refused(bob, "GET", "/", params={"space": ROOM}) == (403, "forbidden")
    for method, path, body in (("POST", "/stop", None), ("PUT", "", {"name": "mine"}), ("DELETE", "", None)):
        assert await refused(bob, method, here + path, json=body) == (403, "forbidden")
    w.queries.members = {(HALL, ALICE)}
    assert await refused(bob, "GET", here) == (404, "not_found")
    w.queries.members.add((HALL, BOB))
    await answer(http, "POST", f"{here}/share", json={"space": None})
    assert await refused(bob, "GET", here) == (404, "not_found")


# --- who, and when it cannot be --------------------------------------------------------------------------------------


async def test_nobody_comes_without_a_login(w: Sounding) -> None:
    async with httpx.AsyncClient(base_url=w.http) as stranger:
        for method, path in (("GET", "/"), ("GET", ""), ("POST", "/"), ("POST", "/create"), ("GET", f"/{uuid4()}")):
            assert await refused(stranger, method, path, json=SEED) == (401, "unauthenticated")


async def test_a_session_that_is_none_is_not_found_whatever_its_name(http: httpx.AsyncClient) -> None:
    for name in (str(uuid4()), str(uuid4()).upper()):
        assert await refused(http, "GET", f"/{name}") == (404, "not_found")
        assert await refused(http, "POST", f"/{name}/start") == (404, "not_found")
    assert (await http.get(f"{BASE}/nothing")).status_code == 404


async def test_a_conflict_says_why(http: httpx.AsyncClient) -> None:
    here = f"/{(await answer(http, 'POST', '/', json=SEED))['id']}"
    problem = (await http.post(f"{BASE}{here}/pause")).json()
    assert (problem["status"], problem["detail"]) == (409, "the session does not run: it is created")
    assert await refused(http, "PUT", here, json={"status": "completed"}) == (422, "invalid")


async def test_what_is_away_is_said_to_be(w: Sounding, http: httpx.AsyncClient) -> None:
    here = f"/{(await answer(http, 'POST', '/', json=SEED))['id']}"
    w.shards.refuse = lambda message: ActorUnavailable("away")
    assert await refused(http, "GET", here) == (503, "actor_unavailable")
    w.shards.refuse = lambda message: None
    w.queries.down = True
    assert (await refused(http, "GET", "/"))[0] == 503


async def test_of_a_guest_the_space_itself_says_whether_they_participate() -> None:
    who = str(uuid4())
    asked: list[Any] = []

    async def space(address: Any, command: bytes, caller: Any = None, operation: str | None = None) -> Any:
        asked.append(address)
        return Answer(1, msgspec.json.encode({"participants": [{"id": who, "name": "Guest"}]}))

    gateway: Any = type("Gateway", (), {"ask": staticmethod(space)})()
    assert await participates(gateway, Caller(who, guest=True), HALL)
    assert not await participates(gateway, Caller(ALICE, guest=True), HALL)
    assert {str(each) for each in asked} == {f"space:{HALL}"}

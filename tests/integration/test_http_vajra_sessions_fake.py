"""Audio sessions over HTTP: the real entity behind fake shards, as the seed's client and the published one ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, BOB, HALL, ROOM
from sessions_fakes import BASE, Sounding, answer, client, refused, sounding

from actors.runtime.entity import Caller
from actors.runtime.errors import ActorUnavailable
from actors.runtime.wire import Answer
from server import audio_devices, audio_sessions
from server.audio_sessions import participates
from server.hosts import kind_of
from server.settings import Settings

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


@pytest.fixture
async def w() -> AsyncIterator[Sounding]:
    async with sounding() as here:
        yield here


@pytest.fixture
async def http(w: Sounding) -> AsyncIterator[httpx.AsyncClient]:
    async with client(w, "a") as alice:
        yield alice


@pytest.fixture
async def bob(w: Sounding) -> AsyncIterator[httpx.AsyncClient]:
    async with client(w, "b") as other:
        yield other


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


async def test_what_is_enabled_does_what_its_name_says(w: Sounding, http: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "k"}
    session = (await http.post(f"{BASE}/create", json=CLIENT, headers=headers)).json()["session"]
    assert session["visual"] == "/api/v1/visuals/cymatics?frequency=432"
    assert (await http.get(session["visual"])).headers["Content-Type"] == "image/svg+xml"
    sky = session["metadata"]["sky"]
    positions = (await http.get("/api/v1/astrology/positions", params={"at": sky["at"]})).json()["planetary_positions"]
    for body, position in positions.items():
        assert sky["planetary_positions"][body] == {
            name: position[name] for name in ("longitude", "shown", "retrograde")
        }
    phase = (await http.get("/api/v1/astrology/moon-phase", params={"at": sky["at"]})).json()["moon_phase"]
    assert sky["moon_phase"]["illumination"] == phase["illumination"]
    again = (await http.post(f"{BASE}/create", json=CLIENT, headers=headers)).json()["session"]
    assert again["metadata"] == session["metadata"], "a key has one answer, wherever the Moon has got to"
    listed = (await http.get(BASE)).json()["sessions"][session["id"]]
    assert (listed["visual"], listed["metadata"]) == (session["visual"], session["metadata"])
    own = (await http.post(f"{BASE}/create", json=CLIENT | {"metadata": {"sky": "blue"}})).json()["session"]
    assert own["metadata"] == {"sky": "blue"}
    plain = (await http.post(f"{BASE}/", json=SEED)).json()
    assert (plain["visual"], plain["metadata"]) == (None, {})


async def test_a_session_may_have_layers(http: httpx.AsyncClient) -> None:
    layers = [{"frequency": 136.1, "ends": 40, "fade_out": 20}, {"type": "chord", "begins": 20, "fade_in": 20}]
    session = (await http.post(f"{BASE}/", json=SEED | {"layers": layers})).json()
    assert session["frequencies"][:2] == [136.1, 7.83]
    assert {voice["begins_s"] for voice in session["recipe"]["voices"]} == {0, 20}
    assert session["recipe"]["voices"][0]["fade_out_s"] == 20
    wrong = await http.post(f"{BASE}/", json=SEED | {"layers": [{"begins": 300}]})
    assert [each["path"] for each in wrong.json()["errors"]] == ["layers[0].begins"]


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


async def test_the_published_clients_list_says_where_the_next_page_begins(http: httpx.AsyncClient) -> None:
    made = [(await answer(http, "POST", "/create", json=CLIENT))["session_id"] for _ in range(3)][::-1]
    first = await answer(http, "GET", "", params={"limit": 2})
    assert (list(first["sessions"]), first["next"]) == (made[:2], made[1])
    rest = await answer(http, "GET", "", params={"limit": 2, "before": first["next"]})
    assert (list(rest["sessions"]), rest["next"]) == (made[2:], None)
    assert (await answer(http, "GET", "", params={"limit": 3}))["next"] is None


async def test_so_many_a_minute_are_made_and_changed_and_what_ends_a_sound_is_always_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_sessions, "CREATES_PER_MINUTE", 2)
    monkeypatch.setattr(audio_sessions, "CHANGES_PER_MINUTE", 3)
    async with sounding() as w, client(w, "a") as http, client(w, "b") as bob:
        here = f"/{(await answer(http, 'POST', '/', json=SEED))['id']}"
        await answer(http, "DELETE", f"/{(await answer(http, 'POST', '/', json=SEED))['id']}")
        assert await refused(http, "POST", "/", json=SEED) == (429, "rate_limited")
        assert await refused(http, "POST", "/create", json=CLIENT) == (429, "rate_limited")
        await answer(bob, "POST", "/", json=SEED)
        await answer(http, "POST", f"{here}/start")
        await answer(http, "PUT", here, json={"volume": 0.2})
        await answer(http, "POST", f"{here}/share", json={"space": None})
        for method, path, body in (("PUT", here, {"name": "x"}), ("POST", f"{here}/start", None)):
            response = await http.request(method, BASE + path, json=body)
            assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
            assert int(response.headers["Retry-After"]) > 0
        for _ in range(3):
            await answer(http, "GET", here)
            await answer(http, "POST", f"{here}/stop")
        await answer(http, "DELETE", here)
    async with sounding(lab=True) as w, client(w, "a") as http:
        for _ in range(4):
            await answer(http, "POST", "/", json=SEED)


async def test_a_server_that_became_softer_shows_and_plays_its_sessions_softer() -> None:
    async with sounding() as w, client(w, "a") as http:
        here = f"/{(await answer(http, 'POST', '/', json=SEED | {'volume': 0.8}))['id']}"
        softer = Settings(_env_file=None, port=0, max_volume=0.2)
        kind: Any = kind_of("audio_session", softer)
        w.gateway.settings = softer
        w.shards.sessions[here[1:]].kind = kind
        assert [each["volume"] for each in await answer(http, "GET", "/")] == [0.2]
        assert (await answer(http, "POST", f"{here}/start"))["recipe"]["voices"][0]["level"] == 0.2


async def test_a_sound_of_layers_can_be_a_session(http: httpx.AsyncClient) -> None:
    layers = [{"type": "prayer_bowl", "frequency": 136.1}, {"type": "binaural", "frequency": 200, "beat_frequency": 4}]
    made = await answer(http, "POST", "/", json={"intention": "peace", "duration": 60, "layers": layers})
    assert [voice["type"] for voice in made["recipe"]["voices"]] == ["bowl", "binaural"]
    assert made["frequencies"] == [136.1, 200.0]


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


async def test_a_list_of_a_space_has_no_sessions_of_guests_who_left(
    w: Sounding, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside: set[str] = {ALICE, BOB}

    async def participants(gateway: Any, caller: Any, space: str) -> frozenset[str]:
        assert (caller.practitioner, space) == (ALICE, HALL)
        return frozenset(inside)

    monkeypatch.setattr(audio_sessions, "participants", participants)
    w.queries.members |= {(HALL, ALICE), (HALL, BOB)}
    async with client(w, "b") as bob:
        theirs, others = [await answer(bob, "POST", "/", json=SEED | {"space": HALL}) for _ in range(2)]
    own = await answer(http, "POST", "/", json=SEED | {"space": HALL})
    rows = w.queries._rows
    expires = {theirs["id"]: datetime.now(UTC) + timedelta(hours=1)}
    w.queries._rows = lambda: [  # type: ignore[method-assign]
        row | {"expires_at": expires.get(row["id"])} for row in rows()
    ]

    async def listed(**query: str) -> list[str]:
        return [each["id"] for each in await answer(http, "GET", "/", params={"space": HALL} | query)]

    assert await listed() == [own["id"], others["id"], theirs["id"]]
    inside.discard(BOB)
    assert await listed() == [own["id"], others["id"]]
    page = await answer(http, "GET", "", params={"space": HALL, "limit": "2"})
    assert (list(page["sessions"]), page["next"]) == ([own["id"], others["id"]], others["id"])
    assert await listed(before=page["next"]) == []


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

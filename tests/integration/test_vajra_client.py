"""Vajra.Stream's clients against a whole server under the local user: every request and frame of the published front end, as it
is (shared/domain.md, "Vajra.Stream's own client"), and those of the seed's guide. Neither knows a login or a word of ours.

What a browser that shows the published front end sends was looked at: its page comes from a development server on port 3009 that
hands ``/api`` on, its socket goes to the server itself by another name of the machine.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import websockets
from harness import RunningServer
from sound_world import NullSink

PAGE = "http://localhost:3009"
"""Where the published front end's development server shows it."""
BROWSER = {"Origin": PAGE, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Referer": f"{PAGE}/practice"}
JSON = {"Content-Type": "application/json"}
SETTINGS = {"SANGHA_LOCAL_USER": "1"}
STRINGS, NUMBERS = ("id", "name", "intention", "status"), ("audio_frequency", "duration", "start_time")
BARS, TOP_HZ = 64, 1_000.0


class Page:
    """What the front end does: a socket on ``/ws`` that says nothing, and ``fetch``."""

    def __init__(self, socket: Any, http: httpx.AsyncClient) -> None:
        self.socket = socket
        self.http = http

    async def receive(self, type_: str | None = None) -> dict[str, Any]:
        """The next frame (of a type)."""
        async with asyncio.timeout(30):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if type_ in (None, frame.get("type")):
                    return frame

    async def fetch(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        """The JSON of an answer. Where there is no body its type is not said either, unless ``more`` has ``headers``."""
        content = {} if body is None else {"content": json.dumps(body), "headers": JSON}
        answer = await self.http.request(method, path, **(content | more))
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, **more: Any) -> Any:
        """The same, of a POST that succeeds."""
        return await self.fetch("POST", path, body, **more)

    async def get(self, path: str, **params: str) -> Any:
        """The same, of a GET."""
        return await self.fetch("GET", path, params=params)

    async def shown(self, session: str, status: str) -> dict[str, Any]:
        """The first ``realtime_data`` in which a session has a status."""
        while True:
            frame = await self.receive("realtime_data")
            if frame["active_sessions"].get(session, {}).get("status") == status:
                return frame


@asynccontextmanager
async def page(server: RunningServer, origin: str | None = PAGE) -> Any:
    headers = {"Accept": "*/*"} | ({} if origin is None else BROWSER)
    url = f"ws://127.0.0.1:{server.port}/ws"
    async with (
        websockets.connect(url, origin=origin, compression=None) as socket,  # type: ignore[arg-type]
        httpx.AsyncClient(base_url=f"http://localhost:{server.port}", headers=headers, timeout=60) as http,
    ):
        yield Page(socket, http)


def is_realtime_data(frame: dict[str, Any]) -> None:
    assert frame["type"] == "realtime_data"
    assert abs(frame["timestamp"] - time.time()) < 30
    assert len(frame["audio_spectrum"]) == BARS
    assert all(0 <= bar <= 1 for bar in frame["audio_spectrum"])
    assert all(type(value) in (str, int, float, bool, type(None)) for value in frame["system_status"].values())
    for id_, session in frame["active_sessions"].items():
        assert session["id"] == id_
        assert all(type(session[name]) is str for name in STRINGS)
        assert all(type(session[name]) in (int, float) for name in NUMBERS)


@pytest.mark.timeout(150)
async def test_the_clients_of_vajra_stream_run_unchanged() -> None:
    sink = NullSink()
    server = RunningServer(**SETTINGS, **sink.environment)
    server.arguments = []
    try:
        sink.start()
        await _what_runs(server)
    finally:
        sink.end()


async def _what_runs(server: RunningServer) -> None:
    async with server:
        await _the_published_client(server)
        await _the_seeds_client(server)
        errors = [line for line in server.messages() if line.get("level") in ("error", "critical")]
        assert errors == []
        await _a_shard_that_is_killed(server)
        assert await server.stop() == 0


async def _the_published_client(server: RunningServer) -> None:
    async with page(server) as client:
        assert await client.receive() == {"type": "connection_status", "status": "connected"}
        frame = await client.receive()
        is_realtime_data(frame)
        assert frame["audio_spectrum"] == [0.0] * BARS
        await client.socket.send(json.dumps({"type": "ping"}))
        assert await client.receive("pong") == {"type": "pong"}
        await _what_it_asks_for(client)
        await _its_sky(client)
        session = await _its_session(client)
        await _its_sound(client)
        await _its_errors(client, session)


async def _what_it_asks_for(client: Page) -> None:
    root = await client.get("/")
    assert (root["status"], root["message"]) == ("success", "Vajra.Stream API")
    assert (await client.get("/health"))["status"] == "healthy"
    for path in ("audio/presets", "audio/frequencies/range", "sessions", "astrology/current", "astrology/moon-phase"):
        assert (await client.get(f"/api/v1/{path}"))["status"] == "success", path
    assert (await client.get("/api/v1/astrology/planetary-positions"))["status"] == "success"
    browser = await client.http.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert browser.headers["Content-Type"].startswith("text/html")
    assert browser.headers["Access-Control-Allow-Origin"] == PAGE


async def _its_sky(client: Page) -> None:
    """What its pages read of ``current``, asked as they ask: a clock's time without a zone, and a place."""
    asked = {"datetime_str": "2026-03-20T12:00:00", "latitude": "37.7749", "longitude": "-122.4194"}
    sky = (await client.get("/api/v1/astrology/current", **asked))["astrology"]
    assert sky["datetime"] == "2026-03-20T20:00:00Z", "of the longitude, to half an hour"
    assert 0 <= sky["moon_phase"]["illumination"] <= 100
    assert type(sky["moon_phase"]["phase_name"]) is str
    positions = sky["western"]["positions"]
    for name in ("sun", "moon", "ascendant", "midheaven"):
        place = positions[name]
        assert (type(place["sign"]), type(place["formatted"]), type(place["retrograde"])) == (str, str, bool)
        assert 0 <= place["degree"] < 30
        assert 1 <= place["house"] <= 12
    assert (positions["sun"]["sign"], positions["sun"]["degree"] < 1) == ("Aries", True), "six hours after the equinox"
    names = ("Conjunction", "Sextile", "Square", "Trine", "Opposition")
    for aspect in sky["western"]["aspects"]:
        assert {aspect["planet1"], aspect["planet2"]} <= set(positions)
        assert (aspect["aspect"] in names, 0 <= aspect["exactness"] <= 1, bool(aspect["description"])) == (True,) * 3
    assert set(sky["western"]["houses"]) == {f"house_{n}" for n in range(1, 13)}
    hours = sky["planetary_hours"]
    assert (hours["day_planet"], hours["is_daytime"]) == ("Venus", True), "a Friday, at noon"
    assert hours["current_planetary_hour"] in ("Sun", "Moon", "Mars", "Mercury", "Jupiter", "Venus", "Saturn")


async def _its_session(client: Page) -> str:
    """Created, started, heard at its frequency, stopped."""
    asked = {
        "name": "Evening", "intention": "May all beings be happy", "duration": 300, "audio_frequency": 639,
        "astrology_enabled": True, "hardware_enabled": False, "visuals_enabled": True,
    }  # fmt: skip
    made = await client.post("/api/v1/sessions/create", asked)
    assert made["status"] == "success"
    id_ = made["session_id"]
    assert (await client.shown(id_, "created"))["audio_spectrum"] == [0.0] * BARS
    assert (await client.post(f"/api/v1/sessions/{id_}/start"))["status"] == "success"
    while max((frame := await client.shown(id_, "running"))["audio_spectrum"]) < 0.1:
        is_realtime_data(frame)
    is_realtime_data(frame)
    assert frame["audio_spectrum"].index(max(frame["audio_spectrum"])) == int(639 / TOP_HZ * BARS)
    shown = frame["active_sessions"][id_]
    assert {name: shown[name] for name in asked} == asked
    assert abs(shown["start_time"] - time.time()) < 60
    listed = await client.get("/api/v1/sessions")
    assert listed["sessions"][id_]["status"] == "running"
    assert (await client.post(f"/api/v1/sessions/{id_}/stop"))["status"] == "success"
    assert (await client.shown(id_, "stopped"))["audio_spectrum"] == [0.0] * BARS
    return str(id_)


async def _its_sound(client: Page) -> None:
    """Its controls' own values: a short one comes as samples, its own of a minute as a place to stream it from."""
    controls = {
        "frequency": 136.1, "volume": 0.8, "prayer_bowl_mode": True, "harmonic_strength": 0.3, "modulation_depth": 0.05,
    }  # fmt: skip
    short = await client.post("/api/v1/audio/generate", controls | {"duration": 1.0})
    assert (short["status"], len(short["audio_data"])) == ("success", short["sample_rate"])
    assert 0.1 < max(map(abs, short["audio_data"])) <= 0.8
    long = await client.post("/api/v1/audio/generate", controls | {"duration": 60.0})
    assert (long["status"], long["audio_data"]) == ("success", None)
    head = await client.http.get(long["url"])
    assert (head.status_code, head.content[:4]) == (200, b"RIFF")
    assert (await client.post("/api/v1/audio/play", {"hardware_level": 2}))["status"] == "success"
    bar = int(controls["frequency"] / TOP_HZ * BARS)
    while (frame := await client.receive("realtime_data"))["audio_spectrum"][bar] < 0.05:
        pass
    assert frame["system_status"]["audio_device"] is True
    stopped = await client.post("/api/v1/audio/stop", headers=JSON)
    assert stopped["status"] == "success", "no other word is one to it"
    while max((await client.receive("realtime_data"))["audio_spectrum"]) > 0:
        pass


async def _its_errors(client: Page, session: str) -> None:
    """It shows ``detail``."""
    wrong = await client.fetch("POST", "/api/v1/sessions/create", {"name": "x", "audio_frequency": -1}, status=422)
    assert "audio_frequency" in json.dumps(wrong["errors"])
    assert wrong["detail"]
    assert (await client.fetch("POST", f"/api/v1/sessions/{session[::-1]}/start", status=404))["detail"]


async def _the_seeds_client(server: RunningServer) -> None:
    """The guide's own paths and words. It is no browser's page here, so it has no Origin."""
    async with page(server, origin=None) as client, page(server, origin=None) as other:
        await client.socket.send("not json")
        assert await client.receive() == {"error": "Invalid JSON message"}
        await client.socket.send(json.dumps({"type": "subscribe_audio"}))
        first = await client.receive()
        assert (first["type"], first["data"]["amplitudes"]) == ("audio_spectrum", [])
        assert "T" in first["data"]["timestamp"]
        asked = {
            "intention": "peace",
            "duration": 300,
            "audio_type": "pure_sine",
            "frequencies": [528],
            "metadata": {"a": 1},
        }
        made = await other.post("/api/v1/sessions/", asked)
        assert (made["status"], made["intention"], made["metadata"]) == ("created", "peace", {"a": 1})
        await client.socket.send(json.dumps({"type": "start_session", "session_id": made["id"]}))
        while not (heard := (await client.receive("audio_spectrum"))["data"])["frequencies"]:
            pass
        while not heard["amplitudes"] or heard["amplitudes"][0] < 0.499:  # before, its beginning is in the window still
            heard = (await client.receive("audio_spectrum"))["data"]
        assert heard["frequencies"][0] == pytest.approx(528, abs=0.1)
        listed = await other.get("/api/v1/sessions/")
        assert [each["status"] for each in listed if each["id"] == made["id"]] == ["running"]
        await client.socket.send(json.dumps({"type": "stop_session", "session_id": made["id"]}))
        while (await client.receive("audio_spectrum"))["data"]["frequencies"]:
            pass
        stopped = await other.get(f"/api/v1/sessions/{made['id']}")
        assert (stopped["status"], stopped["stopped_at"] is not None) == ("stopped", True)
        again = await other.post(f"/api/v1/sessions/{made['id']}/start")
        assert again["status"] == "running"
        changed = await other.fetch("PUT", f"/api/v1/sessions/{made['id']}", {"status": "paused"})
        assert changed["status"] == "paused"
        assert (await other.fetch("DELETE", f"/api/v1/sessions/{made['id']}"))["status"] == "deleted"
        await other.fetch("GET", f"/api/v1/sessions/{made['id']}", status=404)


async def _a_shard_that_is_killed(server: RunningServer) -> None:
    """Who watches goes on hearing what sounds, and sees what becomes of it afterwards."""
    async with page(server) as client:
        made = await client.post("/api/v1/sessions/create", {"name": "Night", "audio_frequency": 417, "duration": 300})
        id_ = made["session_id"]
        await client.post(f"/api/v1/sessions/{id_}/start")
        bar = int(417 / TOP_HZ * BARS)
        while (await client.shown(id_, "running"))["audio_spectrum"][bar] < 0.1:
            pass
        await server.kill("audio_session/0")
        for _ in range(3):
            assert (await client.shown(id_, "running"))["audio_spectrum"][bar] > 0
        assert (await client.post(f"/api/v1/sessions/{id_}/stop"))["status"] == "success"
        assert (await client.shown(id_, "stopped"))["audio_spectrum"] == [0.0] * BARS

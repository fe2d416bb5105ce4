"""The sound device over HTTP: the real entity behind fake shards, and a machine whose devices the test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from gateway_fakes import ALICE, BOB, SECRET, FakeQueries, FakeShards
from unit.driving import Driver

from actors.audio import commands as c
from actors.audio.entity import AudioKind
from actors.audio.portaudio import Device, NoSound
from actors.runtime.errors import SanghaError
from actors.runtime.wire import Answer, Ask, Refused
from server import audio_devices
from server.gateway import Gateway
from server.settings import Settings

BASE = "/api/v1/audio"
CARD = Device(index=3, name="Card", host_api="ALSA", channels=2, sample_rate=48_000, latency_s=0.01, default=True)
GENERATED = {"type": "solfeggio", "frequency": 528, "duration": 20}


class Shards(FakeShards):
    """``audio`` by the real entity."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[str, Driver] = {}

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind != "audio" or not isinstance(message, Ask):
            super()._work(kind, message, on_answer)
            return
        driver = self.devices.setdefault(message.entity, Driver(AudioKind(), message.entity))
        driver.now = datetime.now(UTC)
        try:
            reply = driver.reply(c.codec.decode(message.command), message.caller)
        except SanghaError as refused:
            errors = tuple((each.path, each.message) for each in refused.errors)
            on_answer(Refused(message.cid, refused.code, refused.message, errors))
        else:
            on_answer(Answer(message.cid, msgspec.json.encode(reply)))


@pytest.fixture
async def shards(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shards]:
    async def probe() -> list[Device]:
        return [CARD]

    monkeypatch.setattr(audio_devices, "probe", probe)
    shards, queries = Shards(), FakeQueries()
    gateway = Gateway(Settings(_env_file=None, port=0, max_volume=0.6), shards, queries, SECRET)
    shards.on_message = gateway.on_message
    for token, who in (("a", ALICE), ("b", BOB)):
        queries.login(token, who)
    shards.port = await gateway.start()  # type: ignore[attr-defined]
    try:
        yield shards
    finally:
        await gateway.stop()


@pytest.fixture
async def http(shards: Shards) -> AsyncIterator[httpx.AsyncClient]:
    url = f"http://127.0.0.1:{shards.port}{BASE}"  # type: ignore[attr-defined]
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": "Bearer a"}) as http:
        yield http


def wrong(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    detail: str = answer.json()["detail"]
    return detail


async def test_the_published_client_plays_what_it_generated(http: httpx.AsyncClient, shards: Shards) -> None:
    assert "nothing was generated yet" in wrong(await http.post("/play", json={"hardware_level": 2}), 409)
    assert (await http.post("/generate", json=GENERATED)).status_code == 200
    playing = (await http.post("/play", json={"hardware_level": 2})).json()
    assert playing["status"] == "success"
    (voice,) = shards.devices["default"].state.voices.values()
    assert voice.id == playing["voice"]
    assert (voice.recipe.duration_s, voice.recipe.voices[0].frequency) == (20, 528)
    status = (await http.get("/status")).json()
    assert (status["is_playing"], status["current_session"]) == (True, None)
    other = (await http.get("/status", headers={"Authorization": "Bearer b"})).json()
    assert (other["device"]["voices"], other["device"]["others"]) == ([], 1), "what another plays is not shown"
    assert (await http.post("/stop", headers={"Authorization": "Bearer b"})).json()["status"] == "stopped"
    assert (await http.get("/status")).json()["is_playing"], "only one's own is stopped"
    assert (await http.post("/stop")).json()["status"] == "stopped"
    assert not (await http.get("/status")).json()["is_playing"]
    its_own = {"Content-Type": "application/json"}
    assert (await http.post("/stop", headers=its_own)).json()["status"] == "success"
    assert (await http.post("/stop", json={})).json()["status"] == "stopped"


async def test_the_seeds_client_plays_samples_one_sound_at_a_time(http: httpx.AsyncClient, shards: Shards) -> None:
    for data in ([0, 0.5, -1], [[0.5, 0.3], [0, 0]]):
        assert (await http.post("/play", json={"audio_data": data})).json()["status"] == "playing"
    (voice,) = shards.devices["default"].state.voices.values()
    assert voice.samples == round(0.4 * 32_767).to_bytes(2, "little") + b"\0\0", "both ears' mean"


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ([], "audio_data"),
        (["a"], "audio_data"),
        ([None], "audio_data"),
        ([True], "audio_data"),
        ([[1, 2], [3]], "audio_data"),
        ([[0, 0, 0]], "audio_data"),
        ([[[0]]], "audio_data"),
        ([0, 1.5], "audio_data.1"),
        ([[0, 0], [0, -2]], "audio_data.1"),
        ("x", "audio_data"),
    ],
)
async def test_what_are_no_samples_is_refused(http: httpx.AsyncClient, data: Any, path: str) -> None:
    answer = await http.post("/play", json={"audio_data": data})
    assert wrong(answer, 422)
    assert answer.json()["errors"][0]["path"] == path


async def test_ten_seconds_of_samples_are_too_many_by_one(http: httpx.AsyncClient) -> None:
    assert (await http.post("/play", json={"audio_data": [0] * c.SAMPLES_MAX})).status_code == 200
    assert "441000" in wrong(await http.post("/play", json={"audio_data": [0] * (c.SAMPLES_MAX + 1)}), 422)


async def test_a_volume_above_the_maximum_is_refused_and_another_is_kept(http: httpx.AsyncClient) -> None:
    assert (await http.put("/volume", json={"volume": 0.5})).json()["volume"] == 0.5
    for volume in (0.61, 0.81, -0.1, 1e9):
        assert wrong(await http.put("/volume", json={"volume": volume}), 422).startswith("volume")
    assert (await http.get("/status")).json()["device"]["volume"] == 0.5


async def test_a_device_is_known_by_name_and_index_and_no_actor_is_made_for_another(
    http: httpx.AsyncClient, shards: Shards
) -> None:
    for name in ("Card", "3"):
        assert (await http.get("/status", params={"device": name})).json()["device"]["device"] == "Card"
    for name in ("Cards", "4", "10.0.0.9/default", "\u00b2", "9" * 200):
        assert wrong(await http.get("/status", params={"device": name}), 404)
        assert wrong(await http.post("/play", json={"audio_data": [0], "device": name}), 404)
    assert wrong(await http.get("/status", params={"device": "x" * 201}), 422)
    assert list(shards.devices) == ["Card"]
    listed = (await http.get("/devices")).json()
    assert ([each["name"] for each in listed["devices"]], listed["status"]) == (["Card"], "1 found")


async def test_a_machine_without_sound_says_why_and_plays_in_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe() -> list[Device]:
        raise NoSound("there is no PortAudio library on this machine")

    monkeypatch.setattr(audio_devices, "probe", probe)
    assert (await http.get("/devices")).json() == {
        "devices": [],
        "status": "there is no PortAudio library on this machine",
    }
    playing = (await http.post("/play", json={"audio_data": [0.1]})).json()
    assert playing["status"] == "playing"
    assert not playing["device"]["present"]
    assert (await http.get("/spectrum")).json() == {"frequencies": [], "amplitudes": []}
    assert (await http.get("/frequencies")).json() == {"frequencies": []}


async def test_who_is_not_logged_in_hears_and_plays_nothing(http: httpx.AsyncClient) -> None:
    for method, path in (("GET", "status"), ("GET", "devices"), ("POST", "play"), ("POST", "stop"), ("PUT", "volume")):
        answer = await http.request(method, f"/{path}", headers={"Authorization": "Bearer x"}, json={})
        assert wrong(answer, 401)


def test_where_a_device_is_played_follows_from_its_name_and_the_cluster() -> None:
    place_of, device_of = audio_devices.place_of, audio_devices.device_of
    cluster = {"CPU": 4.0, "sangha_audio": 2.0, "node:10.0.0.2": 1.0}
    assert list(place_of("default", cluster)) == ["sangha_audio"]
    assert list(place_of("10.0.0.2/default", cluster)) == ["node:10.0.0.2"]
    assert place_of("10.0.0.3/default", cluster) == {}
    assert place_of("default", {"CPU": 4.0}) == {}
    assert device_of("default", "Card") == device_of("10.0.0.2/default", "Card") == "Card"
    assert device_of("Other", "Card") == "Other"
    assert device_of("Other", "none") == "none"

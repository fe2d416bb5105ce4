"""The sound device over HTTP: the real entity behind fake shards, and a machine whose devices the test says."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.streams import StreamReader
from gateway_fakes import ALICE, BOB, SECRET, FakeQueries, FakeShards
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, structs
from unit.driving import Driver, uuid

from actors.audio import commands as c
from actors.audio.entity import AudioKind
from actors.audio.portaudio import Device, NoSound
from actors.audio.recipe import Recipe, Sine
from actors.audio_session import commands as session
from actors.runtime.errors import Full, NotFound, SanghaError
from actors.runtime.wire import Answer, Ask, Refused
from server import audio_devices
from server.gateway import Gateway
from server.http import samples
from server.settings import Settings

BASE = "/api/v1/audio"
CARD = Device(index=3, name="Card", host_api="ALSA", channels=2, sample_rate=48_000, latency_s=0.01, default=True)
OTHER = structs.replace(CARD, index=4, name="Other", default=False)
GENERATED = {"type": "solfeggio", "frequency": 528, "duration": 20}
ADMIN = "the admin token"
AS_BOB, AS_ADMIN = {"Authorization": "Bearer b"}, {"Authorization": f"Bearer {ADMIN}"}
TONE = Recipe(voices=(Sine(frequency=432),), duration_s=60)
GONE = uuid(6)


class Shards(FakeShards):
    """``audio`` by the real entity; of ``audio_session`` what is asked, and by whom."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: dict[str, Driver] = {}
        self.sessions: list[tuple[str, str, Any]] = []

    def _work(self, kind: str, message: Any, on_answer: Callable[[Any], None]) -> None:
        if kind == "audio_session" and isinstance(message, Ask):
            assert message.caller is not None
            self.sessions.append((message.entity, message.caller.practitioner, session.codec.decode(message.command)))
            gone = message.entity == GONE
            on_answer(Refused(message.cid, "not_found", "Session not found") if gone else Answer(message.cid, b"{}"))
            return
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
        return [CARD, OTHER]

    monkeypatch.setattr(audio_devices, "probe", probe)
    shards, queries = Shards(), FakeQueries()
    known = Settings(_env_file=None, port=0, max_volume=0.6)
    gateway = Gateway(known, shards, queries, SECRET, admin_token=ADMIN)
    shards.gateway = gateway  # type: ignore[attr-defined]
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
    other = (await http.get("/status", headers=AS_BOB)).json()
    assert (other["device"]["voices"], other["device"]["others"]) == ([], 1), "what another plays is not shown"
    assert (await http.post("/stop", headers=AS_BOB)).json()["status"] == "stopped"
    assert (await http.get("/status")).json()["is_playing"], "only one's own is stopped"
    assert (await http.post("/stop")).json()["status"] == "stopped"
    assert not (await http.get("/status")).json()["is_playing"]
    its_own = {"Content-Type": "application/json"}
    assert (await http.post("/stop", headers=its_own)).json()["status"] == "success"
    assert (await http.post("/stop", json={})).json()["status"] == "stopped"


async def test_the_seeds_client_plays_samples_one_sound_at_a_time(http: httpx.AsyncClient, shards: Shards) -> None:
    for data, channels in (([0, 0.5, -1], 1), ([[0.5, -0.3], [0, 0]], 2)):
        assert (await http.post("/play", json={"audio_data": data})).json()["status"] == "playing"
        (voice,) = shards.devices["default"].state.voices.values()
        plain = np.round(np.array(data) * 32_767).astype("<i2")
        assert (voice.samples, 1 if voice.channels is UNSET else voice.channels) == (plain.tobytes(), channels)


async def test_what_generate_lists_can_be_played_at_its_longest(http: httpx.AsyncClient, shards: Shards) -> None:
    made = await http.post("/generate", json={"type": "binaural", "frequency": 432, "duration": 10})
    assert len(made.content) > 10 * 2**20
    body = b'{"audio_data":' + made.content.partition(b'"audio_data":')[2].partition(b"]]")[0] + b"]]}"
    assert (await http.post("/play", content=body)).json()["status"] == "playing"
    (voice,) = shards.devices["default"].state.voices.values()
    assert (len(voice.samples), voice.channels) == (4 * c.SAMPLES_MAX, 2)
    assert not np.array_equal(*np.frombuffer(voice.samples, "<i2").reshape(-1, 2).T), "an ear each"


async def test_bodies_of_samples_are_bounded_and_few_at_once(http: httpx.AsyncClient, shards: Shards) -> None:
    places = audio_devices.devices_of(shards.gateway).places  # type: ignore[attr-defined]
    large = b'{"audio_data":[' + b"0," * 50_000 + b"0]}"
    with places.place(ALICE):
        assert "yours" in wrong(await http.post("/play", content=large), 429)
        assert (await http.post("/play", json={"audio_data": [0]})).status_code == 200, "a small one needs no place"
        packed = await http.post("/play", content=gzip.compress(large), headers={"Content-Encoding": "gzip"})
        assert "yours" in wrong(packed, 429), "what is small only as it comes needs one"
    with places.place("x"), places.place("y"), places.place("z"):
        refused = await http.post("/play", content=large)
    assert "try again" in wrong(refused, 429)
    assert refused.headers["Retry-After"] == "1"
    assert (await http.post("/play", content=large)).status_code == 200
    assert wrong(await http.post("/play", content=b" " * (samples.BODY_BYTES + 1)), 413)
    other = {"audio_data": [0], "device": "x" * samples.SMALL_BYTES}
    assert wrong(await http.post("/play", json=other), 413)


def content_of_nobody() -> StreamReader:
    """A body that is fed by hand."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    protocol.connection_made(asyncio.Transport())
    return StreamReader(protocol, 2**16, loop=loop)


@pytest.mark.parametrize("first", [b"", b'{"audio_data":[0'])
async def test_a_body_of_samples_that_stands_still_is_not_waited_for(
    first: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samples, "PAUSE_S", 0.05)
    content = content_of_nobody()
    content.feed_data(first)
    with pytest.raises(TimeoutError):
        await samples._body(SimpleNamespace(content=content))  # type: ignore[arg-type]


async def test_a_body_of_samples_that_comes_in_drops_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PAUSE_S", 0.05)
    content, loop = content_of_nobody(), asyncio.get_running_loop()

    def drop() -> None:
        content.feed_data(b"0")
        drops.append(loop.call_later(0.01, drop))

    drops: list[asyncio.TimerHandle] = []
    drop()
    with pytest.raises(TimeoutError):
        await samples._body(SimpleNamespace(content=content))  # type: ignore[arg-type]
    drops[-1].cancel()


@settings(max_examples=40)
@given(
    st.lists(st.floats(-1, 1), min_size=1, max_size=60),
    st.sampled_from([1, 2]),
    st.integers(70, 200),
    st.sampled_from(["", " ", "\n "]),
)
def test_samples_are_the_same_however_they_are_cut(values: list[float], channels: int, cut: int, space: str) -> None:
    rows: Any = values if channels == 1 else [[value, -value] for value in values]
    text = json.dumps(rows, separators=(f"{space},{space}", ":")).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "SLICE", cut)
        found = samples.samples_of(text)
    assert found.channels == channels
    assert found.data == np.round(np.array(rows) * 32_767).astype("<i2").tobytes()


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
        ([0, [0, 0]], "audio_data"),
        ([[0, 0], 0], "audio_data"),
        (["a,b", "c"], "audio_data"),
        ([["]", 0]], "audio_data"),
        ([0] * 100_000 + [-1.001], "audio_data.100000"),
        ([0, 1.5], "audio_data.1"),
        ([[0, 0], [0, -2]], "audio_data.1"),
        ("x", "audio_data"),
    ],
)
async def test_what_are_no_samples_is_refused(http: httpx.AsyncClient, data: Any, path: str) -> None:
    answer = await http.post("/play", json={"audio_data": data})
    assert wrong(answer, 422)
    assert answer.json()["errors"][0]["path"] == path


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"audio_data":[1 2]}', 400),
        (b'{"audio_data":[NaN]}', 400),
        (b'{"audio_data":' + b"[" * 100_000, 400),
        (b'{"device":"\xff"}', 400),
        (b"[]", 422),
        (b'{"audio_data":null}', 422),
        (b'{"audio_data":[1e999]}', 422),
        (b'{"audio_data":[0],"device":"a\\u0000"}', 422),
        (b'{"audio_data":[0],"hardware_level":6}', 422),
    ],
)
async def test_a_body_that_is_none_is_refused(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert wrong(await http.post("/play", content=body), status)


async def test_ten_seconds_of_samples_are_too_many_by_one(http: httpx.AsyncClient) -> None:
    assert (await http.post("/play", json={"audio_data": [0] * c.SAMPLES_MAX})).status_code == 200
    assert "441000" in wrong(await http.post("/play", json={"audio_data": [0] * (c.SAMPLES_MAX + 1)}), 422)


def voice_of(shards: Shards, n: int, owner: str, session_id: str | None = None) -> None:
    driver = shards.devices.setdefault("default", Driver(AudioKind(), "default"))
    driver.now = datetime.now(UTC)
    driver.do(c.Play(voice=session_id or uuid(n), recipe=TONE, session=session_id, owner=owner, order=1))


async def test_what_sounds_of_a_session_is_stopped_as_a_session(http: httpx.AsyncClient, shards: Shards) -> None:
    voice_of(shards, 1, ALICE)
    for session_id, owner in ((uuid(5), ALICE), (GONE, ALICE), (uuid(7), BOB)):
        voice_of(shards, 0, owner, session_id)
    answer = (await http.post("/stop", headers={"Idempotency-Key": "s"})).json()
    assert (answer["status"], answer["device"]["voices"], answer["device"]["others"]) == ("stopped", [], 1)
    assert sorted(shards.sessions) == [(uuid(5), ALICE, session.Stop()), (GONE, ALICE, session.Stop())]
    assert list(shards.devices["default"].state.voices) == [uuid(7)]
    voice_of(shards, 0, ALICE, uuid(8))
    assert (await http.post("/stop", json={"voice": uuid(8)})).json()["device"]["voices"] == []
    assert shards.sessions[2:] == [(uuid(8), ALICE, session.Stop())]
    assert wrong(await http.post("/stop", json={"voice": uuid(7)}), 403)


async def test_the_operator_stops_everyones(http: httpx.AsyncClient, shards: Shards) -> None:
    voice_of(shards, 1, ALICE)
    voice_of(shards, 0, BOB, uuid(7))
    everyone = {"everyone": True}
    assert wrong(await http.post("/stop", json=everyone), 403).startswith("the server's sound device is its operator's")
    assert wrong(await http.post("/stop", headers=AS_ADMIN), 401), "one's own needs a login"
    answer = (await http.post("/stop", json=everyone, headers=AS_ADMIN)).json()
    assert (answer["device"]["voices"], answer["device"]["others"]) == ([], 0)
    assert shards.sessions == [(uuid(7), BOB, session.Stop())]


async def test_the_volume_is_the_operators(http: httpx.AsyncClient) -> None:
    assert wrong(await http.put("/volume", json={"volume": 0.5}), 403)
    assert (await http.put("/volume", json={"volume": 0.5}, headers=AS_ADMIN)).json()["volume"] == 0.5
    for volume in (0.61, 0.81, -0.1, 1e9):
        assert wrong(await http.put("/volume", json={"volume": volume}, headers=AS_ADMIN), 422).startswith("volume")
    assert (await http.get("/status")).json()["device"]["volume"] == 0.5


async def test_a_device_has_one_name_and_no_actor_is_made_for_another(http: httpx.AsyncClient, shards: Shards) -> None:
    for name, one in (("Card", "default"), ("3", "default"), ("Other", "Other"), ("4", "Other")):
        assert (await http.get("/status", params={"device": name})).json()["device"]["device"] == one
    for name in ("Cards", "5", "10.0.0.9/default", "\u00b2", "9" * 200):
        assert wrong(await http.get("/status", params={"device": name}), 404)
        assert wrong(await http.post("/play", json={"audio_data": [0], "device": name}), 404)
    assert wrong(await http.get("/status", params={"device": "x" * 201}), 422)
    assert sorted(shards.devices) == ["Other", "default"]
    listed = (await http.get("/devices")).json()
    assert [each["name"] for each in listed["devices"]] == ["Card", "Other"]
    assert (listed["status"], listed["elsewhere"]) == ("2 found", [])


def cluster(*nodes: str, default: str | None = None, awake: tuple[str, ...] = ()) -> dict[str, Any]:
    """A topology; this machine is the first node."""
    devices = {"default": default} if default else {}
    devices |= dict.fromkeys(awake, nodes[0])
    return {
        "nodes": [{"id": f"id {node}", "address": node, "alive": True} for node in nodes],
        "gateways": [{"pid": os.getpid(), "node": f"id {nodes[0]}"}],
        "shards": [{"kind": "audio", "entity": name, "node": f"id {node}"} for name, node in devices.items()],
    }


async def test_a_look_starts_no_actor_but_the_defaults(http: httpx.AsyncClient, shards: Shards) -> None:
    asleep = True

    async def topology() -> dict[str, Any]:
        return cluster("10.0.0.1", awake=() if asleep else ("Other",))

    shards.gateway.topology = topology  # type: ignore[attr-defined]
    device = (await http.get("/status", params={"device": "4"})).json()["device"]
    assert (device["device"], device["present"], device["volume"]) == ("Other", True, None)
    assert device["status"] == "Other (ALSA) is there; nobody plays on it"
    assert (await http.get("/status", params={"device": "10.0.0.1/default"})).json()["device"]["device"] == "default"
    assert list(shards.devices) == ["default"]
    asleep = False
    audio_devices.devices_of(shards.gateway)._cluster = (0.0, None)  # type: ignore[attr-defined]
    assert (await http.get("/status", params={"device": "4"})).json()["device"]["volume"] == 0.8


@pytest.mark.parametrize(
    ("asked", "plays_on", "name"),
    [
        ("Card", "10.0.0.1", "default"),
        ("Card", "10.0.0.2", "10.0.0.1/default"),
        ("Card", None, "10.0.0.1/default"),
        ("Other", None, "10.0.0.1/Other"),
        ("10.0.0.1/4", None, "10.0.0.1/Other"),
        ("10.0.0.1/default", "10.0.0.1", "default"),
        ("10.0.0.2/default", "10.0.0.2", "default"),
        ("10.0.0.2/default", "10.0.0.1", "10.0.0.2/default"),
    ],
)
async def test_on_several_nodes_a_device_is_called_by_its_node(
    http: httpx.AsyncClient, shards: Shards, asked: str, plays_on: str | None, name: str
) -> None:
    async def topology() -> dict[str, Any]:
        return cluster("10.0.0.1", "10.0.0.2", default=plays_on)

    gateway: Any = shards.gateway  # type: ignore[attr-defined]
    gateway.topology = topology
    assert await audio_devices.name_of(gateway, asked) == name
    assert await audio_devices.elsewhere(gateway) == ["10.0.0.2/default"]
    assert (await http.get("/devices")).json()["elsewhere"] == ["10.0.0.2/default"]


def test_of_another_nodes_devices_the_default_one_and_those_that_play_are_reached() -> None:
    known = audio_devices.Cluster("10.0.0.1", ("10.0.0.1", "10.0.0.2"), None, frozenset({"10.0.0.2/Card"}))
    there = audio_devices._name_there
    assert there("10.0.0.2/default", "10.0.0.2", known) == "10.0.0.2/default"
    assert there("10.0.0.2/Card", "10.0.0.2", known) == "10.0.0.2/Card"
    with pytest.raises(NotFound, match="from here only"):
        there("10.0.0.2/Anything", "10.0.0.2", known)


async def test_so_many_devices_are_played_on_through_a_gateway(shards: Shards) -> None:
    devices = audio_devices.devices_of(shards.gateway)  # type: ignore[attr-defined]
    for n in range(audio_devices.DEVICES_MAX):
        devices.use(f"10.0.0.{n}/default", f"p{n}")
    with pytest.raises(Full):
        devices.use("Other", "another")
    devices.use("default", "another")
    devices.use("10.0.0.1/default", "another")


async def test_nobody_takes_all_the_devices(shards: Shards) -> None:
    devices = audio_devices.devices_of(shards.gateway)  # type: ignore[attr-defined]
    for n in range(audio_devices.OWN_DEVICES_MAX):
        devices.use(f"10.0.0.{n}/default", "one")
    with pytest.raises(Full, match="you began"):
        devices.use("Other", "one")
    devices.use("Other", "another")
    devices.use("Other", "one")  # somebody else began there


async def test_a_machine_without_sound_says_why_and_plays_in_time(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def probe() -> list[Device]:
        raise NoSound("there is no PortAudio library on this machine")

    monkeypatch.setattr(audio_devices, "probe", probe)
    assert (await http.get("/devices")).json() == {
        "devices": [],
        "elsewhere": [],
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
    assert list(place_of("default", cluster) or ()) == ["sangha_audio"]
    assert list(place_of("10.0.0.2/default", cluster) or ()) == ["node:10.0.0.2"]
    assert list(place_of("10.0.0.2/USB Audio: 1/2", cluster) or ()) == ["node:10.0.0.2"]
    assert place_of("10.0.0.3/default", cluster) is None, "its node is away"
    assert place_of("default", {"CPU": 4.0}) == {}
    assert device_of("default", "Card") == device_of("10.0.0.2/default", "Card") == "Card"
    assert device_of("Other", "Card") == device_of("10.0.0.2/Other", "Card") == "Other"
    assert device_of("Other", "none") == "none"

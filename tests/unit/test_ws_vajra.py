from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.audio.recipe import Recipe, Sine
from actors.audio.timeline import Timeline
from actors.audio_session.replies import AudioSession
from actors.runtime.errors import NotFound
from server.ws.dialects import vajra
from server.ws.dialects.vajra import (
    Alive,
    Moment,
    NotOurs,
    Sounding,
    StartSession,
    StopSession,
    SubscribeAudio,
    Vajra,
    Wrong,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)
ID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


def session(**fields: Any) -> AudioSession:
    known: dict[str, Any] = {
        "id": ID, "name": "Evening", "intention": "peace", "status": "running", "duration": 300, "audio_type": "pure_sine",
        "audio_frequency": 528.0, "frequencies": (528.0,), "prayer_bowl_mode": False, "metadata": {"a": 1}, "volume": 0.5,
        "astrology_enabled": True, "hardware_enabled": False, "visuals_enabled": False, "owner": ID, "space": None,
        "device": None, "device_error": None, "created_at": NOW, "updated_at": None, "started_at": NOW, "stopped_at": None,
        "start_time": NOW.timestamp(), "elapsed_time": 0, "recipe": Recipe(voices=(Sine(frequency=528.0),), duration_s=300),
        "timeline": Timeline(anchor_at=NOW),
    }  # fmt: skip
    return AudioSession(**(known | fields))


def said(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def error(message: str, code: str) -> dict[str, Any]:
    """As the seed has it, and as the published client shows it."""
    return {"type": "error", "error": message, "message": message, "code": code, "retryable": False}


def keys(dialect: Vajra) -> list[str]:
    return [key for key, _ in dialect.frames(Moment(NOW, ()))]


# --- who is there ----------------------------------------------------------------------------------------------------


def test_who_is_silent_is_greeted_and_gets_realtime_data() -> None:
    dialect = Vajra(undecided=True)
    assert keys(dialect) == []
    assert json.loads(dialect.silent()) == {"type": "connection_status", "status": "connected"}
    assert keys(dialect) == ["realtime_data"]


def test_who_subscribes_gets_what_the_seed_gives_and_nothing_else() -> None:
    dialect = Vajra(undecided=True)
    assert dialect.received(said(type="subscribe_audio")) == SubscribeAudio()
    assert keys(dialect) == ["audio_spectrum"]


def test_who_was_silent_and_subscribes_gets_both_and_a_second_time_changes_nothing() -> None:
    dialect = Vajra(undecided=False)
    dialect.silent()
    for _ in range(2):
        dialect.received(said(type="subscribe_audio"))
        assert keys(dialect) == ["realtime_data", "audio_spectrum"]


STEPS: dict[str, Callable[[Vajra], Any]] = {
    "silent": lambda dialect: dialect.silent(),
    "subscribe": lambda dialect: dialect.received(said(type="subscribe_audio")),
    "start": lambda dialect: dialect.received(said(type="start_session", session_id=ID)),
    "stop": lambda dialect: dialect.received(said(type="stop_session", session_id=ID)),
    "garbage": lambda dialect: dialect.received(b"what?"),
    "unknown": lambda dialect: dialect.received(said(type="dance")),
    "ping": lambda dialect: dialect.received(said(type="ping")),
    "auth": lambda dialect: dialect.received(said(id=1, type="auth", token="t")),
}


@pytest.mark.parametrize("undecided", [True, False])
def test_in_any_order_frames_follow_from_what_was_said(undecided: bool) -> None:
    """And ``auth`` is a native client's as long as nothing of this dialect was said, where it may be one at all."""
    for order in itertools.permutations(STEPS):
        dialect, seen = Vajra(undecided=undecided), set[str]()
        for step in order:
            outcome = STEPS[step](dialect)
            if step == "auth":
                native = undecided and not seen & {"subscribe", "start", "stop"}
                assert isinstance(outcome, NotOurs if native else Wrong), order
            elif step in ("garbage", "unknown"):
                assert isinstance(outcome, Wrong), order
            elif step == "ping":
                assert isinstance(outcome, Alive), order
            elif step in ("start", "stop"):
                assert outcome == (StartSession if step == "start" else StopSession)(session=ID), order
            seen.add(step)
            wanted = {"realtime_data": "silent", "audio_spectrum": "subscribe"}
            assert keys(dialect) == [key for key, why in wanted.items() if why in seen], order


# --- what it says ----------------------------------------------------------------------------------------------------


def test_the_published_clients_ping_is_answered_and_decides_nothing() -> None:
    dialect = Vajra(undecided=True)
    outcome = dialect.received(said(type="ping"))
    assert isinstance(outcome, Alive)
    assert json.loads(outcome.frame) == {"type": "pong"}
    assert dialect.received(said(id=1, type="auth", token="t")) == NotOurs()
    assert not vajra.begins(said(type="ping"))


def test_any_request_with_an_id_is_a_native_clients_where_it_may_be_one() -> None:
    """So it gets the native dialect's errors, which name the ``id``."""
    for word in ("auth", "ping", "space.list", "dance"):
        assert Vajra(undecided=True).received(said(id=1, type=word)) == NotOurs()
        assert not isinstance(Vajra(undecided=False).received(said(id=1, type=word)), NotOurs)
        decided = Vajra(undecided=True)
        decided.received(said(type="subscribe_audio"))
        assert not isinstance(decided.received(said(id=1, type=word)), NotOurs)
    assert Vajra(undecided=True).received(said(id=1, type="subscribe_audio")) == SubscribeAudio()
    assert isinstance(Vajra(undecided=True).received(said(id=1)), Wrong)


def test_what_is_no_json_gets_the_seeds_own_words() -> None:
    for data in (b"", b"{", b"not json", b'{"type":', b"\xff"):
        outcome = Vajra(undecided=True).received(data)
        assert isinstance(outcome, Wrong)
        assert json.loads(outcome.frame) == {"error": "Invalid JSON message"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "a message is a JSON object"),
        (b"null", "a message is a JSON object"),
        (b"{}", "type is missing"),
        (b'{"type":null}', "type is missing"),
        (b'{"type":7}', "unknown type '7'"),
        (b'{"type":["subscribe_audio"]}', "unknown type \"['subscribe_audio']\""),
        (said(type="x" * 100), "unknown type '" + "x" * 60 + "'"),
    ],
)
def test_what_is_no_message_of_this_dialect_is_told(data: bytes, message: str) -> None:
    outcome = Vajra(undecided=True).received(data)
    assert isinstance(outcome, Wrong)
    assert json.loads(outcome.frame) == error(message, "bad_request")


@pytest.mark.parametrize("wrong", [None, 7, "", "none", ["x"], {"a": 1}, ID[:-1], True])
def test_a_session_is_named_by_its_uuid(wrong: Any) -> None:
    for word in ("start_session", "stop_session"):
        outcome = Vajra(undecided=True).received(said(type=word, session_id=wrong))
        assert isinstance(outcome, Wrong)
        assert json.loads(outcome.frame) == error("session_id must be the UUID of a session", "invalid")


def test_a_session_is_the_same_however_its_uuid_is_written() -> None:
    assert Vajra(undecided=True).received(said(type="stop_session", session_id=ID.upper())) == StopSession(session=ID)


@pytest.mark.parametrize(
    ("data", "ours"),
    [(said(type=word), True) for word in sorted(vajra.WORDS)]
    + [(said(type="auth"), False), (b"[]", False), (b"{", False), (b'{"type":[]}', False), (said(id=1), False)],
)
def test_a_first_frame_is_of_this_dialect_by_its_word(data: bytes, ours: bool) -> None:
    assert vajra.begins(data) is ours


def test_an_error_of_ours_keeps_its_code_beside_the_dialects_form() -> None:
    failure = NotFound("there is no such session")
    assert json.loads(vajra.error(failure)) == error("there is no such session", "not_found")


# --- what it gets ----------------------------------------------------------------------------------------------------


def test_realtime_data_is_what_the_published_client_reads() -> None:
    sounding = Sounding(frequencies=(528.0,), amplitudes=(0.5,), bars=(0.0,) * 33 + (0.5,) + (0.0,) * 30)
    frame = json.loads(Moment(NOW + timedelta(seconds=2.6), (session(),), sounding).realtime_data)
    assert sorted(frame) == ["active_sessions", "audio_spectrum", "system_status", "timestamp", "type"]
    assert frame["type"] == "realtime_data"
    assert frame["timestamp"] == (NOW + timedelta(seconds=2.6)).timestamp()
    assert frame["system_status"] == {}
    assert len(frame["audio_spectrum"]) == 64
    assert frame["audio_spectrum"][33] == 0.5
    shown = frame["active_sessions"][ID]
    strings, numbers = ("id", "name", "intention", "status"), ("audio_frequency", "duration", "start_time")
    assert {name: shown[name] for name in strings} == {
        "id": ID, "name": "Evening", "intention": "peace", "status": "running",
    }  # fmt: skip
    assert {name: shown[name] for name in numbers} == {
        "audio_frequency": 528.0, "duration": 300, "start_time": NOW.timestamp(),
    }  # fmt: skip
    assert shown["elapsed_time"] == 2
    assert "recipe" not in shown


def test_audio_spectrum_is_the_seeds_with_a_naive_time() -> None:
    sounding = Sounding(frequencies=(528.0, 1056.0), amplitudes=(0.5, 0.25))
    frame = json.loads(Moment(NOW, (), sounding).audio_spectrum)
    assert sorted(frame) == ["data", "type"]
    assert frame["type"] == "audio_spectrum"
    assert frame["data"]["frequencies"] == [528.0, 1056.0]
    assert frame["data"]["amplitudes"] == [0.5, 0.25]
    at = datetime.fromisoformat(frame["data"]["timestamp"])
    assert at.tzinfo is None
    assert at.astimezone(UTC) == NOW  # of the server's own zone


def test_silence_is_zeros_and_no_peaks() -> None:
    moment = Moment(NOW, ())
    assert json.loads(moment.realtime_data)["audio_spectrum"] == [0.0] * 64
    data = json.loads(moment.audio_spectrum)["data"]
    assert (data["frequencies"], data["amplitudes"]) == ([], [])


def test_a_session_that_ran_to_its_end_is_completed_before_its_alarm() -> None:
    just = vajra.shown(session(duration=300), NOW + timedelta(seconds=299.9))
    over = vajra.shown(session(duration=300), NOW + timedelta(seconds=300))
    assert (just["status"], just["elapsed_time"]) == ("running", 299)
    assert (over["status"], over["elapsed_time"]) == ("completed", 300)
    stands = vajra.shown(session(status="paused", timeline=Timeline(position_s=12.5)), NOW + timedelta(days=1))
    assert (stands["status"], stands["elapsed_time"]) == ("paused", 12)


def test_a_frame_is_encoded_once_for_all_who_look() -> None:
    moment, first, second = Moment(NOW, (session(),)), Vajra(undecided=False), Vajra(undecided=False)
    for dialect in (first, second):
        dialect.silent()
        dialect.received(said(type="subscribe_audio"))
    for (_, one), (_, other) in zip(first.frames(moment), second.frames(moment), strict=True):
        assert one is other

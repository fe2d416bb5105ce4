"""What the page of sound says and computes by itself, in Node: held against the server's own formulas."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.audio.timeline import Timeline

SCRIPT = Path(__file__).with_name("audio_words.mjs")
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SESSION: dict[str, Any] = {
    "name": "", "intention": "", "status": "running", "duration": 600, "audio_type": "pure_sine", "frequencies": [528.0],
    "timeline": {"position_s": 0.0, "anchor_at": None},
}  # fmt: skip


def said(*asked: list[Any]) -> list[Any]:
    done = subprocess.run(["node", SCRIPT], input=json.dumps(asked), capture_output=True, text=True, check=True)
    found: list[Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("ahead_s", [-0.3, 0.0, 12.25, 1_000.0])
def test_the_place_in_time_is_the_servers(ahead_s: float) -> None:
    timelines = [Timeline(position_s=5.0, anchor_at=NOW), Timeline(position_s=7.5)]
    sessions = [
        SESSION
        | {"timeline": {"position_s": each.position_s, "anchor_at": each.anchor_at and each.anchor_at.isoformat()}}
        for each in timelines
    ]
    at = NOW + timedelta(seconds=ahead_s)
    found = said(*(["positionOf", session, at.timestamp() * 1000] for session in sessions))
    assert found == pytest.approx([each.at(at, 600) for each in timelines], abs=1e-6)


def test_times_notes_and_levels_are_said_as_people_say_them() -> None:
    assert said(*(["clock", each] for each in (0, 59.9, 600, 3_661, -1))) == [
        "0:00",
        "0:59",
        "10:00",
        "1:01:01",
        "0:00",
    ]
    assert said(*(["note", each] for each in (440, 432, 261.6256, 27.5))) == ["A4", "A4 −32 ct", "C4", "A0"]
    assert said(*(["decibels", each] for each in (1, 0.5, 0))) == ["0.0 dB", "−6.0 dB", "−120.0 dB"]
    assert said(["hertz", 7.83], ["hertz", 136.0999999]) == ["7.83 Hz", "136.1 Hz"]


def test_a_session_is_called_by_what_it_has() -> None:
    asked = [SESSION | {"name": "Dawn", "intention": "peace"}, SESSION | {"intention": "peace"}, SESSION]
    assert said(*(["nameOf", each] for each in asked)) == ["Dawn", "peace", "Sine"]
    chord = SESSION | {"audio_type": "chord", "frequencies": [136.1, 528, 639, 741]}
    assert said(["soundOf", SESSION], ["soundOf", chord]) == ["Sine, 528 Hz", "Chord, 4 frequencies"]
    words = said(
        *(["statusOf", SESSION | {"status": each}, 19.4] for each in ("created", "running", "paused", "completed"))
    )
    assert words == ["not begun, 10:00", "running, 9:40 left", "paused, 9:40 left", "completed"]


def test_peaks_and_the_sky_are_one_line() -> None:
    moon = {"phase_name": "Waxing Gibbous", "illumination": 89.2, "degree": 20.9, "sign": "aries"}
    bodies = {
        "sun": {"body": "sun", "degree": 29.1, "sign": "scorpio", "retrograde": False},
        "saturn": {"body": "saturn", "degree": 1.0, "sign": "pisces", "retrograde": True},
    }
    line, loud, silent = said(
        ["skyLine", {"moon_phase": moon, "planetary_positions": bodies}],
        ["peaks", [528.02, 1_056.1], [0.5, 0.1]],
        ["peaks", [], []],
    )
    assert line == "Moon waxing gibbous, 89 % lit, at 20° Aries; Sun at 29° Scorpio; retrograde: Saturn."
    assert loud == "Measured: 528.0 Hz (C5 +16 ct) at −6.0 dB; then 1056.1 Hz."
    assert silent == "Nothing sounds at this moment."

"""Vajra.Stream's dialect: its clients' frames as intents, and sessions and what they sound like as its frames. Pure.

Two clients speak it (domain.md, "Vajra.Stream's own client"). The published one says nothing: it is greeted with
``connection_status`` and gets ``realtime_data`` ten times a second. The seed's speaks first and gets what the seed gives: nothing
but ``audio_spectrum``, after ``subscribe_audio``. Who was silent and then subscribes gets both.

What is sent keeps the dialect's own forms: ``realtime_data`` has epoch seconds, ``audio_spectrum`` the seed's naive ISO time (of
the server's own zone), an error leaves the socket open and says what is wrong twice: as ``error``, where the seed has it, and as
``message`` of the type ``error``, which the published client shows. Where there is a code, it stands beside.

A socket is *undecided* until it says one of ``WORDS``: until then ``auth``, or another request with an ``id``, is a native
client's, which was slow to say it. The published client's ``ping`` has none, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

import orjson

from actors.audio_session.replies import AudioSession
from actors.runtime.entity import Struct
from actors.runtime.errors import SanghaError

WORDS: Final = frozenset({"subscribe_audio", "start_session", "stop_session"})
BARS: Final = 64
BARS_HZ: Final = 1_000.0
"""The published client draws ``BARS`` bars from 0 to this, and marks the session's frequency among them."""
SHOWN: Final = (
    "id", "name", "intention", "status", "audio_frequency", "duration", "start_time", "audio_type", "frequencies",
    "prayer_bowl_mode", "volume", "astrology_enabled", "hardware_enabled", "visuals_enabled", "visual",
)  # fmt: skip
"""Of a session, beside ``elapsed_time``. Recipe and timeline are nothing to send ten times a second."""
_SHORT: Final = 60


class SubscribeAudio(Struct, frozen=True):
    """The client wants ``audio_spectrum`` from now on."""


class StartSession(Struct, frozen=True, kw_only=True):
    """A session is to run."""

    session: str


class StopSession(Struct, frozen=True, kw_only=True):
    """A session is to end."""

    session: str


class NotOurs(Struct, frozen=True):
    """It is a native client after all."""


class Alive(Struct, frozen=True, kw_only=True):
    """The published client asks every 30 s whether it is heard; ``frame`` says so."""

    frame: bytes


class Wrong(Struct, frozen=True, kw_only=True):
    """Nothing that can be done; ``frame`` says so."""

    frame: bytes


Intent = SubscribeAudio | StartSession | StopSession | Alive | NotOurs | Wrong


class Vajra:
    """What one socket gets, by what it has said so far."""

    __slots__ = ("_undecided", "realtime", "spectrum")

    def __init__(self, *, undecided: bool) -> None:
        """``undecided``: it may turn out to be a native client."""
        self.realtime = False
        self.spectrum = False
        self._undecided = undecided

    def silent(self) -> bytes:
        """Nothing was said: it is the published client. Its greeting."""
        self.realtime = True
        return CONNECTED

    def received(self, data: bytes) -> Intent:
        """What one text frame is about."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return Wrong(frame=INVALID)
        word = value.get("type") if type(value) is dict else None
        if self._undecided and _is_native(value, word):
            return NotOurs()
        if word == "ping":
            return Alive(frame=PONG)
        if type(word) is not str or word not in WORDS:
            return Wrong(frame=refusal(_not_a_word(value, word), "bad_request"))
        self._undecided = False
        if word == "subscribe_audio":
            self.spectrum = True
            return SubscribeAudio()
        return _about_session(StartSession if word == "start_session" else StopSession, value)

    def frames(self, moment: Moment) -> Sequence[tuple[str, bytes]]:
        """What the socket gets of a moment: key and frame, of which only the newest of a key matters."""
        wanted: list[tuple[str, bytes]] = []
        if self.realtime:
            wanted.append(("realtime_data", moment.realtime_data))
        if self.spectrum:
            wanted.append(("audio_spectrum", moment.audio_spectrum))
        return wanted


def begins(data: bytes) -> bool:
    """Whether a first frame is one of this dialect's."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    word = value.get("type") if type(value) is dict else None
    return type(word) is str and word in WORDS


def _is_native(value: Any, word: Any) -> bool:
    """A client of the native dialect, which numbers what it asks; its errors are the native ones too, then."""
    return word == "auth" or (type(word) is str and word not in WORDS and "id" in value)


def _not_a_word(value: Any, word: Any) -> str:
    if type(value) is not dict:
        return "a message is a JSON object"
    return "type is missing" if word is None else f"unknown type {str(word)[:_SHORT]!r}"


def _about_session(kind: type[StartSession | StopSession], value: dict[str, Any]) -> Intent:
    session = value.get("session_id")
    try:
        return kind(session=str(UUID(session)))
    except (ValueError, TypeError, AttributeError):
        return Wrong(frame=refusal("session_id must be the UUID of a session", "invalid"))


# --- what goes out ---------------------------------------------------------------------------------------------------


class Sounding(Struct, frozen=True, kw_only=True):
    """What was measured of what sounds: the greatest peaks (Hz; linear, 1 is full scale), and as bars: the greatest amplitude in
    each of ``BARS`` equal bands from 0 to ``BARS_HZ``, 0..1."""

    frequencies: tuple[float, ...] = ()
    amplitudes: tuple[float, ...] = ()
    bars: tuple[float, ...] = (0.0,) * BARS


SILENCE: Final = Sounding()
NOTHING: Final[Mapping[str, str | float | bool | None]] = {}


class Moment:
    """A practitioner's sessions and what they sound like at one time. Frames are encoded once, for as many sockets as look."""

    def __init__(
        self,
        at: datetime,
        sessions: Sequence[AudioSession],
        sounding: Sounding = SILENCE,
        status: Mapping[str, str | float | bool | None] = NOTHING,
    ) -> None:
        """``at`` is aware. ``status``: what is known of the server, in plain values."""
        self.at = at
        self.sessions = sessions
        self.sounding = sounding
        self.status = status

    @cached_property
    def realtime_data(self) -> bytes:
        """For the published client."""
        return orjson.dumps(
            {
                "type": "realtime_data",
                "timestamp": self.at.timestamp(),
                "audio_spectrum": self.sounding.bars,
                "active_sessions": {session.id: shown(session, self.at) for session in self.sessions},
                "system_status": dict(self.status),
            }
        )

    @cached_property
    def audio_spectrum(self) -> bytes:
        """For the seed's client."""
        naive = self.at.astimezone().replace(tzinfo=None).isoformat()
        peaks = {"frequencies": self.sounding.frequencies, "amplitudes": self.sounding.amplitudes}
        return orjson.dumps({"type": "audio_spectrum", "data": peaks | {"timestamp": naive}})


def shown(session: AudioSession, at: datetime) -> dict[str, Any]:
    """A session as this dialect has it. One that ran and is over is completed, though its alarm may still be late."""
    end, elapsed_s = session.timeline.ends_at(session.duration), session.timeline.at(at, session.duration)
    over = {"status": "completed"} if end is not None and end <= at else {}
    return {name: getattr(session, name) for name in SHOWN} | {"elapsed_time": int(elapsed_s)} | over


def refusal(message: str, code: str, *, retryable: bool = False) -> bytes:
    """An error, in the dialect's form."""
    told = {"type": "error", "error": message, "message": message}
    return orjson.dumps(told | {"code": code, "retryable": retryable})


def error(failure: SanghaError) -> bytes:
    """An error of ours, in the dialect's form."""
    return refusal(failure.message, failure.code, retryable=failure.retryable)


CONNECTED: Final = b'{"type":"connection_status","status":"connected"}'
PONG: Final = b'{"type":"pong"}'
INVALID: Final = b'{"error":"Invalid JSON message"}'
"""The seed's own words, and no others."""

"""What the client's state machine says and what its user gets: errors, events, instructions to the shell. Values only.

ClientError                      beside the server's own codes (actors.runtime.errors)
├── ConnectionLost               closed, given up, or a lossy request's connection went
├── OutcomeUnknown               the session went while the request was on its way
├── Overflow                     a stream's consumer reads far slower than it fills
└── ProtocolViolation            the server said what the protocol does not allow
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from actors.runtime.errors import CODES, FieldError, Internal, SanghaError


class ClientError(SanghaError):
    """The client's own end of an exchange; never comes over the wire."""

    code = "client"


class ConnectionLost(ClientError):
    """No connection, and none will be tried any more (for this request)."""

    code = "connection_lost"


class OutcomeUnknown(ClientError):
    """The session ended while the request was under way: it may have been done, or not."""

    code = "outcome_unknown"


class Overflow(ClientError):
    """The stream's consumer did not read and its queue is full."""

    code = "overflow"


class ProtocolViolation(ClientError):
    """The peer does not speak the protocol."""

    code = "protocol_violation"


class Phase(StrEnum):
    """Where the connection is. The values are what ``Client.state`` says."""

    WAITING = "waiting"
    AUTHENTICATING = "authenticating"
    CONNECTED = "connected"
    CLOSING = "closing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who caused an event; the name is None where it is private."""

    id: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A push. ``offset`` is None where it is not numbered (presence, coherence): then ``fields`` has what it says.

    ``event`` is "snapshot" where the stream starts over from ``body``, the state at ``offset``.
    """

    stream: str
    event: str
    offset: int | None = None
    at: datetime | None = None
    sender: Sender | None = None
    body: Any = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Send:
    """Write this text frame."""

    frame: str


@dataclass(frozen=True, slots=True)
class Opened:
    """This join request was granted: what follows on ``stream`` is for whoever made it."""

    handle: int
    stream: str


@dataclass(frozen=True, slots=True)
class Tuned:
    """An audio session is listened to (again): what its sound comes as, and under which number."""

    stream: str
    format: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Resolved:
    """The one outcome of a request: its result."""

    handle: int
    result: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The one outcome of a request: an error."""

    handle: int
    error: SanghaError


@dataclass(frozen=True, slots=True)
class Delivered:
    """A push for the consumer of a stream."""

    event: Event


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more will come on this stream."""

    stream: str
    error: SanghaError


@dataclass(frozen=True, slots=True)
class HangUp:
    """Close the connection, then say ``lost``."""

    why: str


Output = Send | Opened | Tuned | Resolved | Failed | Delivered | Ended | HangUp


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Capped exponential backoff with full jitter: uniform in [0, min(cap, base·2^attempt)]."""

    base_s: float = 0.25
    cap_s: float = 10.0

    def delay_s(self, attempt: int, jitter: float) -> float:
        """The delay before the attempt after ``attempt`` failures; ``jitter`` is uniform in [0, 1)."""
        return jitter * min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32))


def error_of(code: str, message: str, errors: Iterable[Mapping[str, str]] = ()) -> SanghaError:
    """The exception for an error as the server wrote it."""
    fields = tuple(FieldError(path=str(e.get("path", "")), message=str(e.get("message", ""))) for e in errors)
    return CODES.get(code, Internal)(message, fields)


def event_of(message: Mapping[str, Any]) -> Event:
    """A push as it came over the wire."""
    sender, at = message.get("from"), message.get("at")
    known = ("type", "stream", "event", "offset", "at", "from", "body")
    return Event(
        stream=message["stream"],
        event=message["event"],
        offset=message.get("offset"),
        at=None if at is None else datetime.fromisoformat(at),
        sender=None if sender is None else Sender(id=str(sender["id"]), name=sender.get("name")),
        body=message.get("body"),
        fields={key: value for key, value in message.items() if key not in known},
    )

"""The client's side of the native dialect as a state machine: no socket, no clock, no randomness.

The shell (``server/client.py``) says what happened (``connected``, ``received``, ``lost``, ``wake``, ``submit``) and performs
what ``take`` returns. What always holds, whatever is cut and whenever:

* A request gets exactly one outcome: ``Resolved`` or ``Failed``. Until then it is sent again on every new connection, in
  order and with the same id, so that the server can tell a retry from a second request. A *lossy* request (a pulse, a ping)
  is the exception: sent at most once, failed with ConnectionLost when its connection goes.
* A stream's numbered events are delivered once, in order, without a hole, or there is a snapshot where the hole was. What
  was seen already is dropped by its offset; a jump in the offsets hangs up and resumes, twice at one place is a violation.
* A new session (the old one could not be resumed) knows nothing of the old one's ids. What was sent and unanswered then and
  is not idempotent fails with OutcomeUnknown: sending it again could do it twice.

Rejected: resending everything under fresh ids with a token of our own in the body; the protocol's ids do it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final

import orjson

from actors.runtime.errors import Forbidden, SanghaError, TooLarge, Unauthenticated
from server.client_events import (
    Backoff,
    ConnectionLost,
    Delivered,
    Ended,
    Event,
    Failed,
    HangUp,
    Opened,
    OutcomeUnknown,
    Output,
    Phase,
    ProtocolViolation,
    Resolved,
    Send,
    Tuned,
    error_of,
    event_of,
)

AUTH_ID: Final = 1
"""The authentication's id on every connection (as the protocol writes it); requests count upward from the next."""
ID_WINDOW: Final = 1024
"""The server takes a retry only of one of the last 1,024 ids: nothing is sent further ahead of the oldest unanswered."""
ID_BYTES: Final = len('{"id":9007199254740991,')
UNANSWERED_MAX: Final = 256
FRAME_BYTES: Final = 64 * 1024
"""The protocol's defaults, until the authentication's reply states the server's own."""
AUTH_TIMEOUT_S: Final = 10.0
PONG_TIMEOUT_S: Final = 10.0
"""After a ping with nothing heard for this long the connection is dead, whatever TCP thinks."""
STABLE_AFTER_S: Final = 5.0
"""A connection that lived this long was a good one: the backoff starts over."""
PATIENCE_S: Final = 60.0
"""A refusal that asks to wait for longer (a day's quota) is the caller's to hear of."""
CLOCK_SAMPLES: Final = 8

IDEMPOTENT: Final = frozenset(
    {
        "ping",
        "history",
        "space.list",
        "space.get",
        "space.join",
        "space.leave",
        "space.ritual.get",
        "state.get",
        "state.history",
        "eustress.subscribe",
        "eustress.unsubscribe",
        "audio.listen",
        "audio.unlisten",
    }
)
"""Requests that may be asked again in another session: a second one changes nothing."""
FOLLOWS: Final = {"space": "space.join", "eustress": "eustress.subscribe", "audio_session": "audio.listen"}
"""By kind of stream, the request that begins it. (One's own begins by itself.)"""
_FOLLOWED: Final = {type_: kind for kind, type_ in FOLLOWS.items()}


@dataclass(slots=True, kw_only=True)
class Request:
    """One request until its outcome. ``handle`` is ours and never changes, ``id`` is the session's."""

    handle: int
    id: int
    type: str
    fields: Mapping[str, Any]
    text: str
    """The frame as it goes out, after its id: encoded once, so that a retry is the same request to the letter."""
    lossy: bool = False
    rejoins: str | None = None
    """The stream that this join, made by the machine itself, takes up again."""
    on_wire: bool = False
    connections: int = 0
    refusals: int = 0
    not_before: float = 0.0
    sent_at: float = 0.0

    @property
    def internal(self) -> bool:
        """Made by the machine itself: its outcome is nobody else's business."""
        return self.rejoins is not None or (self.type == "ping" and self.lossy)


@dataclass(frozen=True, slots=True)
class ClockSample:
    """From one ping: its round trip, and the server's clock (epoch seconds) minus our monotonic one."""

    round_trip_s: float
    offset_s: float


class ClientState:
    """See the module. ``now`` is any monotonic clock in seconds; ``jitter`` gives uniform numbers in [0, 1)."""

    def __init__(
        self,
        credentials: Mapping[str, str],
        *,
        jitter: Callable[[], float],
        now: float = 0.0,
        backoff: Backoff | None = None,
        give_up_after_s: float | None = None,
        ping_interval_s: float | None = None,
    ) -> None:
        self.phase = Phase.WAITING
        self.error: SanghaError | None = None
        self.reconnect_at = now
        self.session: str | None = None
        self.secret: str | None = None
        self.practitioner: Mapping[str, Any] = {}
        self.limits: Mapping[str, Any] = {}
        self.ever_connected = False
        self.last_error: SanghaError | None = None
        """The newest error that belonged to no request: often the reason of a close."""
        self.clock: list[ClockSample] = []
        self.offsets: dict[str, int | None] = {}
        """The last offset of each followed stream; None until its snapshot came."""
        self._credentials = dict(credentials)
        self._jitter = jitter
        self._backoff = backoff or Backoff()
        self.give_up_after_s = give_up_after_s
        self._asked_ping_interval_s = ping_interval_s
        self._ping_interval_s = ping_interval_s or 25.0
        self._requests: dict[int, Request] = {}  # by handle; insertion order is the order of ids
        self._by_id: dict[int, Request] = {}
        self._on_wire = 0
        self._next_handle = 1
        self._next_id = AUTH_ID + 1
        self._outputs: list[Output] = []
        self._attempt = 0
        self._down_since = now
        self._connected_at = now
        self._deadline: float | None = None
        """When the silence of the peer ends this connection (its reply to auth or ping, or its close after a bye)."""
        self._ping_at = now
        self._paused = False
        self._bye_delay_s: float | None = None
        self._at_once = False
        self._progress = True
        """Something new came since the last close for slowness: resuming at once cannot be a loop."""
        self._gaps: dict[str, int] = {}
        self._up = False
        """This connection got as far as an authentication."""
        self._in_session = False
        """Requests went out under some session, which the next authentication may or may not take up."""
        self._rejoining: set[str] = set()
        """Streams whose join, made by the machine itself, has no answer yet: a resume cannot name them."""
        self._listening: dict[str, Mapping[str, Any]] = {}
        """What was asked of each audio session: it is asked again, since sound is not resumed."""
        self._later: set[int] = set()
        """Handles of requests that wait for their ``not_before``."""

    # What the shell asks

    def take(self) -> list[Output]:
        """What to do, in order. Each is given once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_wake(self) -> float | None:
        """When ``wake`` has something to do next; None while only the outside can move us."""
        if self.phase is Phase.AUTHENTICATING:
            return self._deadline
        if self.phase is not Phase.CONNECTED:
            return None
        times = [self._requests[handle].not_before for handle in self._later]
        if not self._paused:
            times.append(self._ping_at if self._deadline is None else self._deadline)
        return min(times, default=None)

    @property
    def stopped(self) -> bool:
        """Nothing will happen any more; ``error`` says why."""
        return self.phase is Phase.STOPPED

    @property
    def asked(self) -> int:
        """How many requests of callers wait for their outcome."""
        return sum(not request.internal for request in self._requests.values())

    @property
    def clock_sample(self) -> ClockSample | None:
        """The sample with the shortest round trip of the last few: its error is at most half of that."""
        return min(self.clock, key=lambda sample: sample.round_trip_s, default=None)

    # What happened: requests

    def submit(self, type_: str, fields: Mapping[str, Any], now: float, *, lossy: bool = False) -> int:
        """A request; the handle under which its outcome will come."""
        request = self._add(type_, fields, lossy=lossy)
        size = len(request.text.encode()) + ID_BYTES
        if self.phase is Phase.STOPPED:
            self._fail(request, self.error or ConnectionLost("the client is closed"))
        elif size > int(self.limits.get("frame_bytes", FRAME_BYTES)):
            self._fail(request, TooLarge(f"a request of {size} bytes is over the limit of a frame"))
        elif lossy and self.phase is not Phase.CONNECTED:
            self._fail(request, ConnectionLost("not connected"))
        self._pump(now)
        return request.handle

    def forget(self, handle: int, now: float) -> None:
        """Nobody waits for this request any more; it may or may not be done."""
        request = self._requests.get(handle)
        if request is not None:
            self._drop(request)
            self._pump(now)

    def unfollow(self, stream: str) -> None:
        """Deliver nothing more of a stream and do not resume it."""
        self.offsets.pop(stream, None)
        self._gaps.pop(stream, None)
        self._rejoining.discard(stream)
        self._listening.pop(stream, None)

    # What happened: the connection

    def connected(self, now: float) -> None:
        """A socket is open."""
        if self.phase is Phase.STOPPED:
            return
        self.phase, self._deadline = Phase.AUTHENTICATING, now + AUTH_TIMEOUT_S
        self._bye_delay_s, self._paused = None, False
        frame: dict[str, Any] = {"id": AUTH_ID, "type": "auth", **self._credentials}
        if self.session is not None:
            frame["resume"] = {"session": self.session, "offsets": self._resumable()}
            if self.secret is not None:
                frame["resume"]["secret"] = self.secret
        self._outputs.append(Send(_encode(frame)))

    def received(self, frame: str | bytes, now: float) -> None:
        """A frame came."""
        if self.phase not in (Phase.AUTHENTICATING, Phase.CONNECTED):
            return
        try:
            message = orjson.loads(frame)
            kind = message["type"]
            if self._bye_delay_s is None and self.phase is Phase.CONNECTED:
                self._deadline = None
            if (handler := self._HANDLERS.get(kind)) is not None:
                handler(self, message, now)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self.stop(ProtocolViolation(f"cannot be understood ({error!r}): {frame[:200]!r}"))
            return
        self._pump(now)

    def lost(
        self,
        now: float,
        code: int | None = None,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        why: str = "",
    ) -> None:
        """The connection is gone, or could not be made: its close code, or the HTTP status that refused it."""
        if self.phase is Phase.STOPPED:
            return
        was_up, self._up = self._up, False
        if was_up:
            self._down_since = now
        fatal = _fatal(code, status, self.last_error)
        if fatal is not None:
            self.stop(fatal)
            return
        self._off_wire()
        delay_s = self._delay_s(now, code, retry_after_s, was_up=was_up)
        self.phase, self.reconnect_at = Phase.WAITING, now + delay_s
        self._deadline = None
        if self.give_up_after_s is not None and self.reconnect_at - self._down_since > self.give_up_after_s:
            self.stop(ConnectionLost(f"no connection for {self.give_up_after_s:g} s: {why}"))

    def wake(self, now: float) -> None:
        """The time that ``next_wake`` named has come."""
        self._later = {handle for handle in self._later if self._requests[handle].not_before > now}
        if self._deadline is not None and now >= self._deadline and not self._paused:
            self._hang_up("the server does not answer")
        elif self.phase is Phase.CONNECTED and self._deadline is None and now >= self._ping_at and not self._paused:
            self._ping(now)
        self._pump(now)

    def pause(self) -> None:
        """We do not read just now: silence then says nothing about the peer."""
        self._paused = True

    def unpause(self, now: float) -> None:
        """We read again."""
        self._paused = False
        if self._deadline is not None:
            self._deadline = now + PONG_TIMEOUT_S

    def stop(self, error: SanghaError) -> None:
        """The end: every request fails, every stream ends, the connection is closed. Later calls change nothing."""
        if self.phase is Phase.STOPPED:
            return
        self._outputs.append(HangUp(error.message))
        self.phase, self.error, self._deadline = Phase.STOPPED, error, None
        for request in list(self._requests.values()):
            self._fail(request, error)
        self._outputs.extend(Ended(stream, error) for stream in self.offsets)
        self.offsets.clear()

    # Frames, by type

    def _on_result(self, message: Mapping[str, Any], now: float) -> None:
        if message["id"] == AUTH_ID:
            if self.phase is Phase.AUTHENTICATING:
                self._authenticated(message["result"], now)
            return
        request = self._answered(message)
        if request is None:
            return
        self._drop(request)
        self._progress = True
        if request.type == "ping":
            self._measure(request, message["result"], now)
        if request.type in _FOLLOWED:
            self._joined(request, message["result"])
        if not request.internal:
            self._outputs.append(Resolved(request.handle, message["result"]))

    def _on_error(self, message: Mapping[str, Any], now: float) -> None:
        body = message["error"]
        error, retryable = _error(body), bool(body.get("retryable", False))
        wait_s = _retry_after_s(body)
        if message.get("id") is None:
            self.last_error = error
        elif message["id"] == AUTH_ID and self.phase is Phase.AUTHENTICATING:
            self._refused(error, retryable, wait_s)
        elif (request := self._answered(message)) is not None:
            if retryable and not request.lossy and wait_s <= PATIENCE_S:
                self._try_later(request, error, wait_s, now)
            else:
                self._fail(request, error)

    def _on_event(self, message: Mapping[str, Any], now: float) -> None:
        stream, offset = message["stream"], message.get("offset")
        if stream not in self.offsets and stream != self.own_stream:
            return
        if offset is not None and not self._advance(stream, int(offset)):
            return
        if offset is None and message["event"] == "left" and "reason" in (message.get("body") or {}):
            self.unfollow(stream)
            self._outputs.append(Ended(stream, error_of(message["body"]["reason"], "the stream is not ours any more")))
            return
        self._outputs.append(Delivered(event_of(message)))

    def _on_snapshot(self, message: Mapping[str, Any], now: float) -> None:
        stream, offset = message["stream"], int(message["offset"])
        if stream not in self.offsets or self.offsets[stream] == offset:
            return  # nothing is new to whoever has it all up to here
        self.offsets[stream], self._progress = offset, True
        self._gaps.pop(stream, None)
        fields = {"reason": message.get("reason")}
        self._outputs.append(
            Delivered(Event(stream=stream, event="snapshot", offset=offset, body=message["state"], fields=fields))
        )

    def _on_bye(self, message: Mapping[str, Any], now: float) -> None:
        self._bye_delay_s = float(message.get("retry_after_ms", 0)) / 1000
        self._deadline = now + PONG_TIMEOUT_S

    # Streams

    @property
    def own_stream(self) -> str:
        """The stream of what concerns the practitioner alone."""
        return f"practitioner:{self.practitioner.get('id')}"

    def _advance(self, stream: str, offset: int) -> bool:
        """Whether the numbered event is the next one."""
        last = self.offsets.get(stream)
        if last is None:
            if not _is_own(stream):
                return False  # the snapshot that is still to come contains it
            last = offset - 1
        if offset <= last:
            return False
        if offset > last + 1:
            self._gap(stream, last, offset)
            return False
        self.offsets[stream], self._progress = offset, True
        self._gaps.pop(stream, None)
        return True

    def _gap(self, stream: str, last: int, offset: int) -> None:
        if self._gaps.get(stream) == last:
            self.stop(
                ProtocolViolation(f"{stream} goes from {last} to {offset} without a snapshot, also after a resume")
            )
            return
        self._gaps[stream] = last
        self._at_once = True
        self._hang_up(f"{stream} goes from {last} to {offset} without a snapshot")

    def _joined(self, request: Request, result: Mapping[str, Any]) -> None:
        stream = f"{_FOLLOWED[request.type]}:{space_id(result)}"
        if request.rejoins is not None:
            self._rejoining.discard(request.rejoins)
        else:
            self.offsets.setdefault(stream, request.fields.get("after"))
            self._outputs.append(Opened(request.handle, stream))
        if _is_sound(stream):
            self._listening[stream] = request.fields
            self._outputs.append(Tuned(stream, result))
        if request.rejoins is None and request.connections > 1:
            # The first reply may come back for a join that subscribed a connection which is gone. Joining again
            # subscribes this one for certain; a second snapshot at the same offset is dropped.
            self._rejoin(stream)

    def _rejoin(self, stream: str) -> None:
        kind, _, space = stream.partition(":")
        fields: dict[str, Any] = {"space": space}
        if (after := self.offsets[stream]) is not None:
            fields["after"] = after
        self._rejoining.add(stream)
        self._add(FOLLOWS[kind], self._listening.get(stream, fields)).rejoins = stream

    def _resumable(self) -> dict[str, int]:
        followed = self.offsets.items()
        return {
            stream: offset
            for stream, offset in followed
            if offset is not None and stream not in self._rejoining and not _is_sound(stream)
        }

    # The connection

    def _authenticated(self, result: Mapping[str, Any], now: float) -> None:
        over, self._in_session = self._in_session and not result.get("resumed", False), True
        self.session, self.secret = result["session"], result.get("secret", self.secret)
        self.practitioner = result.get("practitioner") or {}
        self.limits = result.get("limits") or {}
        self._ping_interval_s = self._asked_ping_interval_s or float(result.get("heartbeat_s", 25.0))
        self.phase, self._deadline, self.last_error = Phase.CONNECTED, None, None
        self.ever_connected = self._up = True
        self._connected_at = self._ping_at = now
        if over:
            self._start_over()
            return
        for stream in list(self.offsets):
            again = stream in self._rejoining or self.offsets[stream] is None or _is_sound(stream)
            if again and not _is_own(stream):
                self._rejoin(stream)

    def _start_over(self) -> None:
        """A new session: take up the streams first (a message needs the membership), then what may be asked again."""
        old = list(self._requests.values())
        self._requests, self._by_id, self._next_id = {}, {}, AUTH_ID + 1
        for stream in [s for s in self.offsets if _is_own(s) and s != self.own_stream]:
            self.unfollow(stream)
        self._gaps.clear()
        for stream in [s for s in self.offsets if not _is_own(s)]:
            self._rejoin(stream)
        for request in old:
            if request.connections and request.type not in IDEMPOTENT:
                error = OutcomeUnknown(f"the session ended while {request.type} was under way")
                self._fail(request, error)
            else:
                self._enter(request)

    def _refused(self, error: SanghaError, retryable: bool, wait_s: float) -> None:
        if retryable:
            self._bye_delay_s = wait_s or None
            self._hang_up(error.message)
        elif self.session is not None and error.code not in ("unauthenticated", "forbidden"):
            # The session is not known any more; the credentials may still be good.
            self.session = self.secret = None
            self._hang_up(error.message)
        else:
            self.stop(error)

    def _hang_up(self, why: str) -> None:
        self.phase, self._deadline = Phase.CLOSING, None
        self._outputs.append(HangUp(why))

    def _off_wire(self) -> None:
        self._on_wire = 0
        for request in list(self._requests.values()):
            request.on_wire = False
            if request.rejoins is not None:
                self._drop(request)  # the next authentication makes a new one
            elif request.lossy:
                self._fail(request, ConnectionLost("the connection went before the answer came"))

    def _delay_s(self, now: float, code: int | None, retry_after_s: float | None, *, was_up: bool) -> float:
        if was_up and now - self._connected_at >= STABLE_AFTER_S:
            self._attempt = 0
        slow = code == 4008 and self._progress
        at_once, self._at_once = self._at_once or slow, False
        if slow:
            self._progress = False
        named_s, self._bye_delay_s = retry_after_s if self._bye_delay_s is None else self._bye_delay_s, None
        if at_once or named_s is not None:
            return 0.0 if at_once else named_s or 0.0
        self._attempt += 1
        return self._backoff.delay_s(self._attempt - 1, self._jitter())

    def _ping(self, now: float) -> None:
        self._add("ping", {}, lossy=True)
        self._ping_at, self._deadline = now + self._ping_interval_s, now + PONG_TIMEOUT_S

    def _measure(self, request: Request, result: Mapping[str, Any], now: float) -> None:
        round_trip_s = now - request.sent_at
        server = datetime.fromisoformat(result["server_time"]).timestamp()
        sample = ClockSample(round_trip_s, server - (request.sent_at + round_trip_s / 2))
        self.clock = [*self.clock, sample][-CLOCK_SAMPLES:]

    # Requests

    def _add(self, type_: str, fields: Mapping[str, Any], *, lossy: bool = False) -> Request:
        text = _encode({"type": type_, **fields})[1:]
        request = Request(handle=self._next_handle, id=0, type=type_, fields=fields, text=text, lossy=lossy)
        self._next_handle += 1
        self._enter(request)
        return request

    def _enter(self, request: Request) -> None:
        request.id, request.connections = self._next_id, 0
        self._next_id += 1
        self._requests[request.handle] = self._by_id[request.id] = request

    def _pump(self, now: float) -> None:
        """Send what may be sent: within the server's limit, not before its time, not past the window of retries."""
        if self.phase is not Phase.CONNECTED or self._bye_delay_s is not None or self._on_wire == len(self._requests):
            return
        unanswered_max = int(self.limits.get("unanswered_requests", UNANSWERED_MAX))
        floor: int | None = None
        for request in self._requests.values():
            floor = request.id if floor is None else floor
            if self._on_wire >= unanswered_max or request.id - floor >= ID_WINDOW:
                return
            if not request.on_wire and request.not_before <= now:
                self._send(request, now)

    def _send(self, request: Request, now: float) -> None:
        request.on_wire, request.sent_at, request.not_before = True, now, 0.0
        request.connections += 1
        self._on_wire += 1
        self._later.discard(request.handle)
        self._outputs.append(Send(f'{{"id":{request.id},{request.text}'))

    def _answered(self, message: Mapping[str, Any]) -> Request | None:
        """The request that this answers; None for an answer that came before or that nobody waits for."""
        request = self._by_id.get(message["id"])
        return request if request is not None and request.on_wire else None

    def _try_later(self, request: Request, error: SanghaError, wait_s: float, now: float) -> None:
        request.on_wire = False
        self._on_wire -= 1
        if error.code != "timeout":
            request.connections = 0  # an error changed nothing: it is as if it had never been sent
        self._later.add(request.handle)
        request.not_before = now + max(wait_s, self._backoff.delay_s(request.refusals, self._jitter()))
        request.refusals += 1

    def _drop(self, request: Request) -> None:
        self._on_wire -= request.on_wire
        request.on_wire = False
        self._requests.pop(request.handle, None)
        self._by_id.pop(request.id, None)
        self._later.discard(request.handle)

    def _fail(self, request: Request, error: SanghaError) -> None:
        self._drop(request)
        if request.rejoins in self.offsets and self.phase is not Phase.STOPPED:
            self._outputs.append(Ended(str(request.rejoins), error))
            self.unfollow(str(request.rejoins))
        if not request.internal:
            self._outputs.append(Failed(request.handle, error))

    _HANDLERS: ClassVar[Mapping[str, Callable[[ClientState, Mapping[str, Any], float], None]]] = {
        "result": _on_result,
        "error": _on_error,
        "event": _on_event,
        "snapshot": _on_snapshot,
        "bye": _on_bye,
    }
    """Other types are ignored: a newer server may say more than we know."""


def _encode(message: Mapping[str, Any]) -> str:
    return orjson.dumps(message).decode()


def _is_own(stream: str) -> bool:
    """Whether it is a practitioner's own, which nobody has to join."""
    return stream.startswith("practitioner:")


def _is_sound(stream: str) -> bool:
    """Whether it is an audio session's."""
    return stream.startswith("audio_session:")


def space_id(result: Mapping[str, Any]) -> str:
    """The id of what a reply says is followed: a space as an id or as an object with one, an audio session."""
    if "session" in result:
        return str(result["session"])
    space = result["space"]
    return str(space["id"] if isinstance(space, Mapping) else space)


def _error(body: Mapping[str, Any]) -> SanghaError:
    return error_of(str(body["code"]), str(body.get("message", "")), body.get("errors") or ())


def _retry_after_s(body: Mapping[str, Any]) -> float:
    if "retry_after_ms" in body:
        return float(body["retry_after_ms"]) / 1000
    return float(body.get("retry_after_s", body.get("retry_after", 0)) or 0)


def _fatal(code: int | None, status: int | None, last: SanghaError | None) -> SanghaError | None:
    """The error that ends it all, where trying again cannot help."""
    if code == 4001 or status == 401:
        return last or Unauthenticated("the server does not know these credentials (any more)")
    if code == 4003 or status in (403, 421):
        return last or Forbidden("the server refuses this client's origin or host")
    if code in (1009, 4000):
        return last or ProtocolViolation(f"the server closed with {code}: it could not take what we sent")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return ProtocolViolation(f"the server answered the upgrade with HTTP {status}: is this its WebSocket path?")
    return None

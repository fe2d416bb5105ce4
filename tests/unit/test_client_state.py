"""The client's state machine, one behaviour a test. ``Wire`` keeps the outputs apart."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.runtime.errors import Conflict, Forbidden, RateLimited, TooLarge, Unauthenticated
from server.client_events import (
    Backoff,
    ConnectionLost,
    Delivered,
    Ended,
    Failed,
    HangUp,
    OutcomeUnknown,
    Phase,
    ProtocolViolation,
    Resolved,
    Send,
)
from server.client_state import AUTH_TIMEOUT_S, ID_WINDOW, PONG_TIMEOUT_S, ClientState

STREAM = "space:s"


class Wire:
    """A machine and what it said so far, by kind."""

    def __init__(self, *, resumed: bool = False, **options: Any) -> None:
        self.jitter = 0.5
        self.core = ClientState({"token": "T"}, jitter=lambda: self.jitter, **options)
        self.sent: list[dict[str, Any]] = []
        self.outcomes: dict[int, Any] = {}
        self.events: list[Any] = []
        self.ended: list[Ended] = []
        self.hang_ups: list[str] = []

    def take(self) -> None:
        for output in self.core.take():
            match output:
                case Send(frame):
                    self.sent.append(json.loads(frame))
                case Resolved(handle, result):
                    self.outcomes[handle] = result
                case Failed(handle, error):
                    self.outcomes[handle] = error
                case Delivered(event):
                    self.events.append(event)
                case Ended():
                    self.ended.append(output)
                case HangUp(why):
                    self.hang_ups.append(why)

    def hear(self, now: float = 0.0, **message: Any) -> None:
        self.core.received(json.dumps(message), now)
        self.take()

    def connect(self, now: float = 0.0, *, resumed: bool = True, **result: Any) -> None:
        self.sent.clear()
        self.core.connected(now)
        reply = {"session": "S", "practitioner": {"id": "me"}, "resumed": resumed, "heartbeat_s": 25, **result}
        self.hear(now, id=1, type="result", result=reply)

    def ask(self, type_: str = "space.send", now: float = 0.0, *, lossy: bool = False, **fields: Any) -> int:
        handle = self.core.submit(type_, fields, now, lossy=lossy)
        self.take()
        return handle

    def lose(self, now: float = 0.0, code: int | None = 1006, **more: Any) -> None:
        self.core.lost(now, code, **more)
        self.take()

    def join(self, offset: int = 3) -> None:
        self.ask("space.join", space="s")
        self.answer(space="s", offset=offset)
        self.hear(type="snapshot", stream=STREAM, offset=offset, state={"n": 1}, reason="joined")

    def answer(self, now: float = 0.0, **result: Any) -> None:
        self.hear(now, id=self.sent[-1]["id"], type="result", result=result)

    def refuse(self, code: str, *, retryable: bool, now: float = 0.0, **more: Any) -> None:
        error = {"code": code, "message": "m", "retryable": retryable, **more}
        self.hear(now, id=self.sent[-1]["id"], type="error", error=error)

    def event(self, offset: int | None, event: str = "message", **more: Any) -> None:
        numbered = {} if offset is None else {"offset": offset}
        self.hear(type="event", stream=STREAM, event=event, **numbered, **more)


@pytest.fixture
def wire() -> Wire:
    wire = Wire()
    wire.connect(resumed=False)
    return wire


def test_the_first_frame_says_who_comes() -> None:
    wire = Wire()
    wire.core.connected(0)
    wire.take()
    assert wire.sent == [{"id": 1, "type": "auth", "token": "T"}]


def test_requests_count_upward_after_the_authentication(wire: Wire) -> None:
    wire.ask(space="s", body=1)
    wire.ask(space="s", body=2)
    assert [frame["id"] for frame in wire.sent[1:]] == [2, 3]


def test_a_request_made_before_the_connection_goes_out_with_it() -> None:
    wire = Wire()
    wire.ask(space="s", body=1)
    wire.connect(resumed=False)
    assert [frame["type"] for frame in wire.sent] == ["auth", "space.send"]


def test_a_reconnect_resumes_and_sends_again_with_the_same_ids_in_order(wire: Wire) -> None:
    wire.join()
    for n in range(3):
        wire.ask(body=n)
    before = wire.sent[-3:]
    wire.hear(id=before[1]["id"], type="result", result={"offset": 9})
    wire.lose()
    wire.connect()
    assert wire.sent[0]["resume"] == {"session": "S", "offsets": {STREAM: 3}}
    assert wire.sent[1:] == [before[0], before[2]]


def test_a_guest_resumes_with_its_secret() -> None:
    wire = Wire()
    wire.connect(resumed=False, secret="hush")
    wire.lose()
    wire.connect()
    assert wire.sent[0]["resume"]["secret"] == "hush"


def test_a_late_or_second_answer_changes_nothing(wire: Wire) -> None:
    handle = wire.ask(body=1)
    wire.answer(offset=1)
    wire.answer(offset=2)
    assert wire.outcomes == {handle: {"offset": 1}}


def test_an_error_is_the_exception_of_its_code_with_its_fields(wire: Wire) -> None:
    handle = wire.ask(body=1)
    wire.refuse("conflict", retryable=False, errors=[{"path": "slug", "message": "taken"}])
    assert isinstance(wire.outcomes[handle], Conflict)
    assert wire.outcomes[handle].errors[0].path == "slug"


def test_a_retryable_error_is_tried_again_with_the_same_id_after_a_growing_jittered_delay(wire: Wire) -> None:
    wire.core.pause()  # no pings between
    handle = wire.ask(body=1)
    now, delays = 0.0, []
    for _ in range(8):
        frame = wire.sent[-1]
        wire.refuse("storage_unavailable", retryable=True, now=now)
        due = wire.core.next_wake()
        assert due is not None
        delays.append(due - now)
        now = due
        wire.core.wake(now)
        wire.take()
        assert wire.sent[-1] == frame
    wire.answer(now, offset=1)
    assert wire.outcomes == {handle: {"offset": 1}}
    assert delays == [0.125, 0.25, 0.5, 1, 2, 4, 5, 5]


def test_the_servers_own_delay_counts_where_it_is_longer(wire: Wire) -> None:
    wire.ask(body=1)
    wire.refuse("rate_limited", retryable=True, retry_after_ms=700)
    wire.core.wake(0.0)
    wire.core.pause()  # no ping to hide it
    assert wire.core.next_wake() == 0.7


def test_a_wait_beyond_all_patience_is_the_callers_to_hear_of(wire: Wire) -> None:
    handle = wire.ask(body=1)
    wire.refuse("rate_limited", retryable=True, retry_after_s=30_000)
    assert isinstance(wire.outcomes[handle], RateLimited)


def test_no_more_than_the_servers_limit_is_unanswered() -> None:
    wire = Wire()
    wire.connect(resumed=False, limits={"unanswered_requests": 2})
    for n in range(4):
        wire.ask(body=n)
    assert [f["body"] for f in wire.sent[1:]] == [0, 1]
    wire.hear(id=3, type="result", result={})
    assert [f["body"] for f in wire.sent[1:]] == [0, 1, 2]


def test_nothing_is_sent_past_the_window_in_which_the_oldest_may_be_tried_again(wire: Wire) -> None:
    wire.ask(body="old")
    for n in range(2 * ID_WINDOW):
        wire.ask(body=n)
        if wire.sent[-1].get("body") == n:
            wire.answer(offset=n)
    assert wire.sent[-1]["id"] - 2 == ID_WINDOW - 1


def test_a_frame_over_the_limit_fails_here_and_is_not_sent(wire: Wire) -> None:
    handle = wire.ask(body="x" * 70_000)
    assert isinstance(wire.outcomes[handle], TooLarge)
    assert len(wire.sent) == 1


def test_a_lossy_request_is_not_sent_again(wire: Wire) -> None:
    handle = wire.ask("space.pulse", lossy=True, phase_rad=1.0)
    wire.lose()
    wire.connect()
    assert isinstance(wire.outcomes[handle], ConnectionLost)
    assert len(wire.sent) == 1


def test_a_lossy_request_without_a_connection_fails_at_once() -> None:
    wire = Wire()
    assert isinstance(wire.outcomes[wire.ask("space.pulse", lossy=True)], ConnectionLost)


def test_a_forgotten_request_is_not_sent_again(wire: Wire) -> None:
    wire.core.forget(wire.ask(body=1), 0.0)
    wire.lose()
    wire.connect()
    assert len(wire.sent) == 1


def test_seen_offsets_are_dropped_and_unnumbered_pushes_pass(wire: Wire) -> None:
    wire.join(3)
    wire.event(3)
    wire.event(4, body={"text": "hi"}, **{"from": {"id": "a", "name": "Ana"}, "at": "2026-01-01T00:00:00Z"})
    wire.event(4)
    wire.event(None, "presence", joined=[{"id": "b"}], left=[])
    assert [(e.event, e.offset) for e in wire.events] == [("snapshot", 3), ("message", 4), ("presence", None)]
    assert wire.events[1].sender.name == "Ana"
    assert wire.events[1].at.year == 2026
    assert wire.events[2].fields == {"joined": [{"id": "b"}], "left": []}


def test_a_gap_hangs_up_and_resumes_at_once_from_what_was_seen(wire: Wire) -> None:
    wire.join(3)
    wire.event(6)
    assert wire.core.phase is Phase.CLOSING
    wire.event(7)
    wire.lose(1.0)
    assert wire.core.reconnect_at == 1.0
    wire.connect(1.0)
    assert wire.sent[0]["resume"]["offsets"] == {STREAM: 3}
    for offset in (4, 5, 6):
        wire.event(offset)
    assert [e.offset for e in wire.events] == [3, 4, 5, 6]


def test_a_gap_that_a_resume_does_not_close_is_a_violation(wire: Wire) -> None:
    wire.join(3)
    wire.event(6)
    wire.lose()
    wire.connect()
    wire.event(6)
    assert isinstance(wire.core.error, ProtocolViolation)
    assert [ended.stream for ended in wire.ended] == [STREAM]


def test_a_snapshot_stands_in_for_a_gap_and_the_same_one_twice_is_once(wire: Wire) -> None:
    wire.join(3)
    for _ in range(2):
        wire.hear(type="snapshot", stream=STREAM, offset=90, state={"n": 2}, reason="gap")
    wire.event(91)
    assert [(e.event, e.offset) for e in wire.events] == [("snapshot", 3), ("snapshot", 90), ("message", 91)]


def test_a_snapshot_behind_what_was_seen_starts_the_stream_over(wire: Wire) -> None:
    wire.join(9)
    wire.hear(type="snapshot", stream=STREAM, offset=2, state={}, reason="gap")
    wire.event(3)
    assert [e.offset for e in wire.events] == [9, 2, 3]


def test_events_of_streams_that_are_not_followed_are_ignored(wire: Wire) -> None:
    wire.event(1)
    wire.join(3)
    wire.core.unfollow(STREAM)
    wire.event(9)
    assert len(wire.events) == 1


def test_the_practitioners_own_stream_is_followed_from_its_first_event(wire: Wire) -> None:
    wire.hear(type="event", stream="practitioner:me", offset=7, event="invited")
    wire.hear(type="event", stream="practitioner:other", offset=1, event="invited")
    wire.lose()
    wire.connect()
    assert [e.offset for e in wire.events] == [7]
    assert wire.sent[0]["resume"]["offsets"] == {"practitioner:me": 7}


def test_a_stream_that_the_server_takes_away_ends_with_the_reason(wire: Wire) -> None:
    wire.join()
    wire.event(None, "left", body={"reason": "forbidden"})
    assert isinstance(wire.ended[0].error, Forbidden)
    assert wire.core.offsets == {}


def test_a_join_whose_snapshot_was_cut_off_is_made_again(wire: Wire) -> None:
    wire.ask("space.join", space="morning")
    wire.answer(space={"id": "s"}, offset=3)
    wire.lose()
    wire.connect()
    assert wire.sent[0]["resume"]["offsets"] == {}
    assert wire.sent[1]["type"] == "space.join"
    assert wire.sent[1]["space"] == "s"


def test_a_new_session_joins_anew_and_fails_what_may_have_been_done(wire: Wire) -> None:
    wire.join(3)
    under_way = wire.ask(body=1)
    wire.lose()
    waiting = wire.ask(body=2)
    wire.connect(resumed=False)
    assert [(f["id"], f["type"]) for f in wire.sent[1:]] == [(2, "space.join"), (3, "space.send")]
    assert wire.sent[1]["after"] == 3
    assert isinstance(wire.outcomes[under_way], OutcomeUnknown)
    assert waiting not in wire.outcomes


def test_a_eustress_space_is_resumed_and_subscribed_to_anew_under_its_own_name(wire: Wire) -> None:
    name = 'cave: "3"'
    scene = f"eustress:{name}"
    wire.ask("eustress.subscribe", space=name)
    wire.answer(space=name, offset=3)
    wire.hear(type="snapshot", stream=scene, offset=3, state={}, reason="joined")
    wire.lose()
    wire.connect()
    assert wire.sent[0]["resume"]["offsets"] == {scene: 3}
    done = wire.ask("eustress.ingest", space=name, entities=[])
    wire.lose()
    wire.connect(resumed=False, session="S2")
    assert wire.sent[1:] == [{"id": 2, "type": "eustress.subscribe", "space": name, "after": 3}]
    assert isinstance(wire.outcomes[done], OutcomeUnknown)
    wire.answer(space=name, offset=4)
    wire.hear(type="event", stream=scene, event="changed", offset=4, body={})
    assert [(e.stream, e.event, e.offset) for e in wire.events] == [(scene, "snapshot", 3), (scene, "changed", 4)]


def test_what_was_refused_is_known_not_to_be_done_and_survives_a_new_session(wire: Wire) -> None:
    handle = wire.ask(body=1)
    wire.refuse("actor_unavailable", retryable=True)
    wire.lose()
    wire.connect(1.0, resumed=False)
    assert wire.sent[-1]["body"] == 1
    assert handle not in wire.outcomes


def test_a_stream_that_cannot_be_joined_anew_ends_with_that_error(wire: Wire) -> None:
    wire.join(3)
    wire.lose()
    wire.connect(resumed=False)
    wire.refuse("full", retryable=False)
    assert wire.ended[0].error.code == "full"


def test_a_refused_resume_goes_on_with_the_credentials_alone(wire: Wire) -> None:
    wire.lose()
    wire.core.connected(0.0)
    wire.hear(id=1, type="error", error={"code": "not_found", "message": "", "retryable": False})
    wire.lose()
    wire.connect(resumed=False)
    assert "resume" not in wire.sent[0]


@pytest.mark.parametrize(
    ("code", "error"),
    [(4001, Unauthenticated), (4003, Forbidden), (4000, ProtocolViolation), (1009, ProtocolViolation)],
)
def test_a_close_that_trying_again_cannot_change_stops(wire: Wire, code: int, error: type[Exception]) -> None:
    handle = wire.ask(body=1)
    wire.lose(code=code)
    assert wire.core.stopped
    assert isinstance(wire.outcomes[handle], error)
    assert isinstance(wire.outcomes[wire.ask(body=2)], error)


@pytest.mark.parametrize(("status", "error"), [(401, Unauthenticated), (421, Forbidden), (404, ProtocolViolation)])
def test_so_does_such_an_http_status(status: int, error: type[Exception]) -> None:
    wire = Wire()
    wire.lose(code=None, status=status)
    assert isinstance(wire.core.error, error)


def test_a_refused_authentication_stops() -> None:
    wire = Wire()
    wire.core.connected(0.0)
    wire.hear(id=1, type="error", error={"code": "unauthenticated", "message": "no", "retryable": False})
    assert isinstance(wire.core.error, Unauthenticated)


def test_too_slow_resumes_at_once_but_not_in_a_loop(wire: Wire) -> None:
    wire.lose(1.0, 4008)
    assert wire.core.reconnect_at == 1.0
    wire.connect(1.0)
    wire.lose(2.0, 4008)
    assert wire.core.reconnect_at > 2.0


def test_bye_comes_back_when_it_says_and_sends_nothing_meanwhile(wire: Wire) -> None:
    wire.hear(type="bye", code="draining", retry_after_ms=1830)
    wire.ask(body=1)
    assert len(wire.sent) == 1
    wire.lose(5.0, 1001)
    assert wire.core.reconnect_at == pytest.approx(6.83)
    wire.connect(7.0)
    assert wire.sent[-1]["body"] == 1


def test_a_server_that_says_bye_and_does_not_close_is_left(wire: Wire) -> None:
    wire.hear(type="bye", code="draining", retry_after_ms=10)
    wire.hear(type="later")
    assert wire.core.next_wake() == PONG_TIMEOUT_S
    wire.core.wake(PONG_TIMEOUT_S)
    assert wire.core.phase is Phase.CLOSING


def test_reconnects_back_off_with_jitter_up_to_a_cap_and_start_over_after_a_good_connection() -> None:
    wire, now = Wire(backoff=Backoff(base_s=1, cap_s=4)), 0.0
    for expected in (0.5, 1, 2, 2):
        wire.lose(now, None)
        assert wire.core.reconnect_at - now == expected
        now = wire.core.reconnect_at
    wire.connect(now, resumed=False)
    wire.lose(now + 60)
    assert wire.core.reconnect_at == now + 60.5


def test_it_gives_up_after_the_time_that_was_asked_for_counted_from_the_last_connection() -> None:
    wire = Wire(give_up_after_s=3)
    wire.connect(resumed=False)
    wire.lose(100.0)
    assert not wire.core.stopped
    wire.lose(104.0, None, why="refused")
    assert isinstance(wire.core.error, ConnectionLost)
    assert "refused" in wire.core.error.message


def test_retry_after_of_a_refused_upgrade_counts() -> None:
    wire = Wire()
    wire.lose(0.0, None, status=503, retry_after_s=9.0)
    assert wire.core.reconnect_at == 9.0


def test_an_authentication_without_an_answer_hangs_up() -> None:
    wire = Wire()
    wire.core.connected(1.0)
    assert wire.core.next_wake() == 1.0 + AUTH_TIMEOUT_S
    wire.core.wake(1.0 + AUTH_TIMEOUT_S)
    assert wire.core.phase is Phase.CLOSING


def test_a_ping_gives_latency_and_the_servers_clock(wire: Wire) -> None:
    wire.core.wake(10.0)
    wire.take()
    assert wire.sent[-1]["type"] == "ping"
    wire.answer(10.2, pong=True, server_time="1970-01-01T00:20:00Z")
    sample = wire.core.clock_sample
    assert sample is not None
    assert sample.round_trip_s == pytest.approx(0.2)
    assert sample.offset_s == pytest.approx(1200 - 10.1)
    assert wire.core.next_wake() == 35.0


def test_silence_after_a_ping_hangs_up_unless_we_do_not_read(wire: Wire) -> None:
    wire.core.wake(0.0)
    wire.core.pause()
    wire.core.wake(100.0)
    assert wire.core.phase is Phase.CONNECTED
    wire.core.unpause(100.0)
    wire.core.wake(100.0 + PONG_TIMEOUT_S)
    assert wire.core.phase is Phase.CLOSING


@pytest.mark.parametrize("frame", ["no json", "[]", "{}", '{"type":"event"}', '{"type":"result","id":1e400}'])
def test_what_cannot_be_understood_is_a_violation(wire: Wire, frame: str) -> None:
    wire.core.received(frame, 0.0)
    assert isinstance(wire.core.error, ProtocolViolation)


def test_unknown_types_are_left_alone(wire: Wire) -> None:
    wire.hear(type="weather", sun=True)
    assert wire.core.phase is Phase.CONNECTED


def test_the_reason_of_a_close_is_the_error_that_came_before_it(wire: Wire) -> None:
    wire.hear(type="error", error={"code": "unauthenticated", "message": "revoked", "retryable": False})
    wire.lose(code=4001)
    assert wire.core.error is not None
    assert wire.core.error.message == "revoked"

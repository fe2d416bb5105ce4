from __future__ import annotations

from actors.runtime.entity import DURABLE, LATEST, LOSSY
from server.ws.outbox import LOW_BYTES, Outbox, deliver


class Transport:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.waiting = 0
        self.closed = False

    def write(self, data: bytes) -> None:
        if self.closed:
            raise RuntimeError("the handle is closed")
        self.sent.append(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting


class Owner:
    session = "s"

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outbox: Outbox

    def too_slow(self) -> None:
        self.calls.append("slow")
        self.outbox.shut()

    def behind(self) -> None:
        self.calls.append("behind")

    def deferred(self) -> None:
        self.calls.append("deferred")


def make(limit: int = 1_000_000) -> tuple[Transport, Owner, Outbox]:
    transport, owner = Transport(), Owner()
    owner.outbox = Outbox(transport, owner, limit)
    return transport, owner, owner.outbox


def test_every_lane_is_written_while_the_client_keeps_up() -> None:
    transport, owner, outbox = make()
    for lane in (DURABLE, LATEST, LOSSY):
        outbox.put(b"x", lane, "k")
    assert transport.sent == [b"x"] * 3
    assert owner.calls == []


def test_above_the_mark_latest_coalesces_lossy_drops_and_durable_goes_on() -> None:
    transport, owner, outbox = make()
    transport.waiting = LOW_BYTES + 1
    outbox.put(b"lossy", LOSSY)
    outbox.put(b"a1", LATEST, "a")
    outbox.put(b"b1", LATEST, "b")
    outbox.put(b"a2", LATEST, "a")
    outbox.put(b"durable")
    assert transport.sent == [b"durable"]
    assert owner.calls == ["behind"]
    assert outbox.waiting_bytes == LOW_BYTES + 1 + 4
    assert outbox.drain() is False
    transport.waiting = 0
    assert outbox.drain() is True
    assert transport.sent == [b"durable", b"a2", b"b1"]
    assert outbox.waiting_bytes == 0


def test_latest_does_not_overtake_what_is_held() -> None:
    transport, _, outbox = make()
    transport.waiting = LOW_BYTES + 1
    outbox.put(b"1", LATEST, "k")
    transport.waiting = 0
    outbox.put(b"2", LATEST, "k")
    assert transport.sent == []
    outbox.drain()
    assert transport.sent == [b"2"]


def test_more_than_the_limit_ends_the_socket_once() -> None:
    transport, owner, outbox = make(limit=100)
    transport.waiting = 95
    outbox.put(b"x" * 5)
    assert owner.calls == []
    outbox.put(b"x" * 6)
    outbox.put(b"x" * 6)
    assert owner.calls == ["slow"]
    assert not outbox.open


def test_held_frames_count_towards_the_limit() -> None:
    transport, owner, outbox = make(limit=LOW_BYTES + 10)
    transport.waiting = LOW_BYTES + 1
    for n in range(12):
        outbox.put(b"x", LATEST, str(n))
    assert owner.calls == ["behind", "slow"]


def test_a_shut_outbox_takes_everything_and_does_nothing() -> None:
    transport, owner, outbox = make()
    outbox.shut()
    outbox.put(b"x")
    outbox.put(b"x", LATEST)
    outbox.defer(b"x")
    outbox.flush()
    deliver([outbox], b"x", 10)
    assert transport.sent == []
    assert outbox.size() == 0
    assert "slow" not in owner.calls


def test_a_closed_handle_shuts_the_outbox() -> None:
    for act in (lambda o: o.put(b"x"), lambda o: deliver([o], b"x", 100)):
        transport, _, outbox = make()
        transport.closed = True
        act(outbox)
        assert not outbox.open


def test_one_slow_or_dead_socket_does_not_stop_a_delivery() -> None:
    boxes = [make(100) for _ in range(4)]
    boxes[1][0].waiting = 99
    boxes[2][0].closed = True
    deliver([box for _, _, box in boxes], b"xx", 100)
    assert [transport.sent for transport, _, _ in boxes] == [[b"xx"], [], [], [b"xx"]]
    assert boxes[1][1].calls == ["slow"]


def test_replies_leave_with_the_next_frame_or_at_the_end_of_the_turn() -> None:
    transport, owner, outbox = make()
    outbox.defer(b"r1")
    outbox.defer(b"r2")
    assert owner.calls == ["deferred"]
    deliver([outbox], b"push", 100)
    outbox.flush()
    outbox.defer(b"r3")
    outbox.put(b"snapshot")
    outbox.defer(b"r4")
    outbox.flush()
    assert transport.sent == [b"r1r2push", b"r3snapshot", b"r4"]


def test_many_replies_do_not_wait_for_the_end_of_the_turn() -> None:
    transport, _, outbox = make()
    outbox.defer(b"x" * (LOW_BYTES + 1))
    assert len(transport.sent) == 1


def test_one_frame_may_be_larger_than_the_limit_but_nothing_may_wait_before_it() -> None:
    transport, owner, outbox = make(limit=100)
    outbox.put(b"x" * 1_000)
    assert (len(transport.sent), owner.calls) == (1, [])
    transport.waiting = 900
    outbox.put(b"y")
    assert (len(transport.sent), owner.calls) == (1, ["slow"])

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.entity import DURABLE, LATEST, LOSSY, Subscriber
from actors.runtime.wire import Dropped, Pushed, Resynced
from server.ws.outbox import Outbox
from server.ws.streams import StreamTable

LIMIT = 1_000_000


class Socket:
    """A client and its outbox; ``got`` are the payloads it received."""

    def __init__(self, session: str, practitioner: str = "p") -> None:
        self.session = session
        self.subscriber = Subscriber(session, practitioner)
        self.bytes = b""
        self.slow = False
        self.outbox = Outbox(self, self, LIMIT)

    def write(self, data: bytes) -> None:
        self.bytes += data

    def get_write_buffer_size(self) -> int:
        return 0

    def too_slow(self) -> None:
        self.slow = True

    def behind(self) -> None: ...

    def deferred(self) -> None: ...

    @property
    def got(self) -> list[bytes]:
        frames, at = [], 0
        while at < len(self.bytes):
            size = self.bytes[at + 1]
            frames.append(self.bytes[at + 2 : at + 2 + size])
            at += 2 + size
        return frames


class Table(StreamTable):
    def __init__(self) -> None:
        self.asked_to_flush = 0
        super().__init__("space", LIMIT, self._soon)

    def _soon(self) -> None:
        self.asked_to_flush += 1


def pushed(offset: int, frame: bytes = b"", **fields: Any) -> Pushed:
    return Pushed("x", offset, frame or b"%d" % offset, **fields)


def test_pushes_of_a_turn_leave_together_and_in_order() -> None:
    table, a, b = Table(), Socket("a"), Socket("b")
    for socket in (a, b):
        table.follow("x", 0, socket.outbox)
    table.push(pushed(1))
    table.push(pushed(2))
    assert (a.got, table.asked_to_flush) == ([], 1)
    table.flush()
    assert a.got == b.got == [b"1", b"2"]
    table.push(pushed(3))
    assert table.asked_to_flush == 2


def test_who_follows_in_the_middle_of_a_turn_gets_only_what_comes_after() -> None:
    table, a, b = Table(), Socket("a"), Socket("b")
    table.follow("x", 0, a.outbox)
    table.push(pushed(1))
    table.follow("x", 1, b.outbox)
    table.push(pushed(2))
    table.flush()
    assert (a.got, b.got) == ([b"1", b"2"], [b"2"])


def test_who_is_dropped_gets_the_push_that_says_why() -> None:
    table, a, b = Table(), Socket("a", "alice"), Socket("b", "bob")
    table.follow("x", 0, a.outbox)
    table.follow("x", 0, b.outbox)
    table.push(pushed(1))
    assert table.dropped(Dropped("x", "alice")) == [(a.outbox, False)]
    table.push(pushed(2))
    table.flush()
    assert (a.got, b.got) == ([b"1"], [b"1", b"2"])
    assert table.dropped(Dropped("x", None)) == [(b.outbox, False)]
    assert table.streams == {}


def test_a_push_at_or_below_the_head_is_a_repetition() -> None:
    table, a = Table(), Socket("a")
    table.follow("x", 5, a.outbox)
    for offset in (4, 5, 6, 6, 7):
        table.push(pushed(offset))
    table.flush()
    assert a.got == [b"6", b"7"]


def test_a_push_to_one_session_is_for_it_alone_and_keeps_its_place() -> None:
    table, a, b = Table(), Socket("a"), Socket("b")
    table.follow("x", 0, a.outbox)
    table.follow("x", 0, b.outbox)
    table.push(pushed(1))
    table.push(pushed(0, b"you", to="a"))
    table.push(pushed(0, b"gone", to="nobody"))
    table.push(pushed(2))
    table.flush()
    assert (a.got, b.got) == ([b"1", b"you", b"2"], [b"1", b"2"])


def test_a_burst_leaves_before_it_could_fill_an_outbox() -> None:
    table, a = Table(), Socket("a")
    table.follow("x", 0, a.outbox)
    for offset in range(1, 2000):
        table.push(pushed(offset, b"x" * 100))
    assert len(a.got) > 1000
    assert not a.slow


def test_a_catching_session_gets_pages_then_what_was_held_then_live() -> None:
    table, a = Table(), Socket("a")
    stream = table.follow("x", 5, a.outbox, after=2)
    table.push(pushed(6))
    table.push(pushed(0, b"presence", to="a"))
    table.push(pushed(0, b"old", lane=LATEST, key="k"))
    table.push(pushed(0, b"new", lane=LATEST, key="k"))
    table.push(pushed(0, b"lossy", lane=LOSSY))
    table.push(pushed(0, b"presence2", lane=DURABLE))
    assert a.got == []
    assert table.catch_up(stream, "a").after == 2  # type: ignore[union-attr]
    assert table.reached(stream, "a", 6, done=True)
    table.push(pushed(7))
    table.flush()
    assert a.got == [b"presence", b"new", b"presence2", b"7"]


def test_a_page_that_ends_behind_the_head_is_not_the_last() -> None:
    table, a = Table(), Socket("a")
    stream = table.follow("x", 5, a.outbox, after=2)
    table.push(pushed(6))
    assert not table.reached(stream, "a", 5, done=True)
    assert table.catch_up(stream, "a").after == 5  # type: ignore[union-attr]


def test_pages_ahead_of_the_links_replay_wait_for_it() -> None:
    table, a, live = Table(), Socket("a"), Socket("live")
    table.follow("x", 5, live.outbox)
    stream = table.follow("x", 5, a.outbox, after=2)
    assert not table.reached(stream, "a", 7, done=True)
    assert table.catch_up(stream, "a") is None, "nothing to page"
    for offset in (6, 7, 8):
        table.push(pushed(offset))
    table.flush()
    assert (a.got, live.got) == ([b"8"], [b"6", b"7", b"8"])


def test_a_resync_releases_or_sends_back_to_paging_who_was_ahead() -> None:
    table, a, b = Table(), Socket("a"), Socket("b")
    stream = table.follow("x", 5, a.outbox, after=2)
    table.follow("x", 5, b.outbox, after=2)
    table.reached(stream, "a", 7, done=True)
    table.reached(stream, "b", 6, done=True)
    assert table.resynced(Resynced("x", 7, b'{"offset":7}')) == [b.outbox]
    assert set(stream.live) == {"a"}
    assert table.catch_up(stream, "b").after == 6  # type: ignore[union-attr]


def test_a_resync_with_a_snapshot_is_for_the_live() -> None:
    table, a, b = Table(), Socket("a"), Socket("b")
    table.follow("x", 5, a.outbox)
    table.follow("x", 5, b.outbox, after=2)
    assert table.resynced(Resynced("x", 9, b'{"offset":9}')) == []
    assert a.got == [b'{"type":"snapshot","offset":9,"reason":"gap"}']
    assert b.got == []
    assert [(f.entity, f.after, len(f.sessions)) for f in table.follows()] == [("x", 9, 2)]


def test_too_much_held_for_a_catching_session_ends_it() -> None:
    table, a = Table(), Socket("a")
    table.follow("x", 5, a.outbox, after=2)
    for _ in range(11):
        table.push(pushed(0, b"x" * 100_000))
    assert a.slow


def test_a_session_that_another_socket_took_over_stays() -> None:
    table, old, new = Table(), Socket("s"), Socket("s")
    stream = table.follow("x", 0, old.outbox)
    table.follow("x", 0, new.outbox)
    table.remove(stream, old.outbox)
    table.push(pushed(1))
    table.flush()
    assert (old.got, new.got) == ([], [b"1"])
    table.remove(stream, new.outbox)
    assert table.streams == {}


def test_what_nobody_follows_is_ignored() -> None:
    table = Table()
    table.push(pushed(1))
    assert table.resynced(Resynced("x", 1)) == []
    assert table.dropped(Dropped("x")) == []


@given(
    st.lists(st.sampled_from(["say", "say", "join", "resume", "page", "flush", "leave"]), max_size=60),
    st.integers(1, 3),
)
def test_every_session_gets_each_numbered_push_once_and_in_order(steps: list[str], page: int) -> None:
    """Whatever the order of joins, resumes, pages, pushes and turns: from where it began to the head, without a hole."""
    table, head, sockets = Table(), 0, []
    began: dict[str, int] = {}
    for number, step in enumerate(steps):
        if step == "say":
            head += 1
            table.push(pushed(head))
        elif step in ("join", "resume"):
            socket = Socket(str(number))
            sockets.append(socket)
            began[socket.session] = head // 2 if step == "resume" else head
            table.follow("x", head, socket.outbox, began[socket.session] if step == "resume" else None)
        elif step == "flush":
            table.flush()
        elif step == "leave" and sockets and "x" in table.streams:
            table.remove(table.streams["x"], sockets.pop().outbox)
        elif step == "page":
            _page_all(table, sockets, head, page)
    for _ in range(head + 1):
        _page_all(table, sockets, head, page)
    table.flush()
    for socket in sockets:
        assert [int(frame) for frame in socket.got] == list(range(began[socket.session] + 1, head + 1))


def _page_all(table: Table, sockets: list[Socket], head: int, size: int) -> None:
    stream = table.streams.get("x")
    for socket in sockets:
        catch = table.catch_up(stream, socket.session) if stream else None
        if stream is None or catch is None:
            continue
        through = min(catch.after + size, head)
        for offset in range(catch.after + 1, through + 1):
            socket.write(b"\x81%c%d" % (len(str(offset)), offset))
        table.reached(stream, socket.session, through, done=through == head)

"""Who of the connected keeps others out: connections by address and in all, and how long each may take. No IO here.

A connection holds a ``Seat`` from the moment it is accepted. It is in one phase:

* HEAD: it has not sent a whole request head since it came, or since the first byte after an answer. Cut after
  ``header_timeout_s``; a TLS handshake is part of it.
* BUSY: a request is served. Where the client has to do something (send the body, take the answer) it must move at least
  ``RATE`` bytes a second, looked at each ``body_timeout_s``; our own work has no limit here.
* IDLE: between requests. aiohttp closes it after ``keepalive_s``; cut a little later where that did not help.
* SOCKET: a WebSocket; its gateway watches it by itself.

When all seats are taken, whoever has been in HEAD longest goes, then whoever has been IDLE longest: half-open connections
push out each other, however many there are, and a client that sends its request at once is served. Each phase is kept in
the order in which it was entered, so all of this costs the same with ten connections or twenty thousand.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Final, NamedTuple, Protocol

RATE: Final = 1024
"""Bytes a second, over ``body_timeout_s``: a phone at the edge of its cell does more; 4 MiB may take an hour."""
KEEPALIVE_GRACE_S: Final = 5.0
CUTS: Final = 32
"""Connections cut at once: each costs some 20 microseconds, and thousands may be due in one moment."""


class Phase(enum.Enum):
    """See the module."""

    HEAD = "head"
    BUSY = "busy"
    IDLE = "idle"
    SOCKET = "socket"


class Progress(NamedTuple):
    """What is waited for from a client, and an amount that grows with each byte of it."""

    what: str
    amount: int


class Wire(Protocol):
    """A connection, as the guard needs it."""

    def cut(self) -> None:
        """End it at once."""

    def progress(self) -> Progress | None:
        """What is waited for from the client now; None where it has nothing to do."""


class Nobody:
    """The wire of a seat whose connection is gone."""

    def cut(self) -> None:
        """It is."""

    def progress(self) -> Progress | None:
        """None."""
        return None


NOBODY: Final = Nobody()


class Seat:
    """One connection."""

    __slots__ = ("_at", "_mark", "address", "counted", "phase", "since", "wire")

    def __init__(self, address: str, wire: Wire, now: float, *, counted: bool) -> None:
        self.address = address
        self.wire = wire
        self.counted = counted
        """Whether it counts for its address; a trusted proxy's does not."""
        self.phase: Phase | None = Phase.HEAD
        """None once it is gone."""
        self.since = now
        self._mark: Progress | None = None
        self._at = now

    def stalled(self, now: float, timeout_s: float) -> bool:
        """Whether the client has not done its part."""
        progress, mark = self.wire.progress(), self._mark
        if progress is None or mark is None or progress.what != mark.what:
            self._mark, self._at = progress, now
            return False
        if now - self._at < timeout_s:
            return False
        if progress.amount - mark.amount < RATE * (now - self._at):
            return True
        self._mark, self._at = progress, now
        return False

    def unmark(self) -> None:
        """Progress is counted anew."""
        self._mark = None


class Limits(NamedTuple):
    """What the guard holds."""

    connections: int
    per_address: int | None
    """None lifts it."""
    header_timeout_s: float
    body_timeout_s: float
    keepalive_s: float


class Guard:
    """The seats of one gateway."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self.refused = 0
        self.cut = 0
        self._clock = clock
        self._phases: dict[Phase, dict[Seat, None]] = {phase: {} for phase in Phase}
        self._by_address: Counter[str] = Counter()

    def __len__(self) -> int:
        return sum(map(len, self._phases.values()))

    def count(self, phase: Phase) -> int:
        """Connections in a phase."""
        return len(self._phases[phase])

    def admit(self, address: str, wire: Wire, *, exempt: bool = False) -> Seat | None:
        """A seat for a new connection, or None: its address has as many as one may, or nobody can be sent away."""
        most = self.limits.per_address
        if not exempt and most is not None and self._by_address[address] >= most:
            self.refused += 1
            return None
        if len(self) >= self.limits.connections and not self.make_room():
            self.refused += 1
            return None
        seat = Seat(address, wire, self._clock(), counted=not exempt)
        self._phases[Phase.HEAD][seat] = None
        if seat.counted:
            self._by_address[address] += 1
        return seat

    def make_room(self) -> bool:
        """Send away whoever keeps a seat longest for nothing; False where everybody is at work."""
        for phase in (Phase.HEAD, Phase.IDLE):
            seat = next(iter(self._phases[phase]), None)
            if seat is not None:
                self._cut(seat)
                return True
        return False

    def move(self, seat: Seat, phase: Phase) -> None:
        """The connection is in another phase from now on, or begins the same one anew."""
        if seat.phase is None:
            return
        del self._phases[seat.phase][seat]
        self._phases[phase][seat] = None
        seat.phase, seat.since = phase, self._clock()
        seat.unmark()

    def leave(self, seat: Seat) -> None:
        """The connection is gone. May be said twice."""
        if seat.phase is None:
            return
        del self._phases[seat.phase][seat]
        seat.phase = None
        if seat.counted:
            self._by_address[seat.address] -= 1
            if not self._by_address[seat.address]:
                del self._by_address[seat.address]

    def _cut(self, seat: Seat) -> None:
        self.cut += 1
        self.leave(seat)
        seat.wire.cut()

    def sweep(self) -> bool:
        """Cut who took too long, the longest first; at most ``CUTS``. True: there are more. To be called about once a second."""
        now, limits = self._clock(), self.limits
        late = self._older(Phase.HEAD, now - limits.header_timeout_s)
        for seat in self._older(Phase.IDLE, now - limits.keepalive_s - KEEPALIVE_GRACE_S):
            if seat.wire.progress() is None:
                late.append(seat)
            else:
                self.move(seat, Phase.BUSY)  # the last answer is still on its way
        if len(late) < CUTS:
            late += [each for each in self._phases[Phase.BUSY] if each.stalled(now, limits.body_timeout_s)]
        for seat in late[:CUTS]:
            self._cut(seat)
        return len(late) > CUTS

    def _older(self, phase: Phase, than: float) -> list[Seat]:
        return list(islice(takewhile(lambda seat: seat.since <= than, self._phases[phase]), CUTS + 1))

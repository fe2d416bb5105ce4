"""What an entity remembers of the operations that changed it, so that a retry is answered and not done again.

An operation id is ``<session>:<n>`` for a request over a socket, where n counts upward, or any other text (an
idempotency key, an effect). A change over HTTP without a key is ``<link>:<n>`` (``LinkClient.once``). The journal has every
operation with its request's digest and its reply; memory has the recent ones and, by session, the highest n. So a higher n
is surely new without a look, which is the hot path, and only what is neither remembered nor surely new is looked up in the
journal's last ``WINDOW`` events: a key by its index, a request of a session by reading them (20 ms, but only for a retry
that comes late). Before they were told apart, every change over HTTP of an entity with more than ``REMEMBERED`` operations
read them all: 480 changes of a scene a second, and PostgreSQL had no time for anything else.

    NEW        decide it
    DONE       the remembered reply
    CONFLICT   the same id with another request, or too old to tell whether it was done
    UNSURE     look it up, then ask again

The journal has an operation once it is committed, and memory lets go of the oldest by count and by bytes, which a burst of large
replies reaches within one commit. Then memory is ``doubtful``: a look-up has to wait until nothing of the entity is uncommitted.

Rejected: the ring of recent replies in the state. It would make checkpoints of a busy space a megabyte each, and it was
all to be had from the journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from actors.runtime.ports import FoundOperations

WINDOW: Final = 16_384
"""Events of an entity in which an operation is looked up: 1,024 retryable requests for each of sixteen busy sessions."""
REMEMBERED: Final = 2_048
"""Operations kept in memory for an entity; the rest is a look-up away. About 300 bytes each."""
REMEMBERED_BYTES: Final = 1 << 20
"""Of their replies, together: those of a few kinds have 100 KB each. The newest is kept, however large."""
SESSION_LIFE_S: Final = 2 * 86_400
"""A session can be resumed for a day; twice that, and its counter may be forgotten."""

REUSED: Final = "this id was used for another request, or is too old to tell"
"""What a CONFLICT is told as. A door that gave the id another name tells it by that name."""


class Verdict(Enum):
    """What to do with an operation."""

    NEW = "new"
    DONE = "done"
    CONFLICT = "conflict"
    UNSURE = "unsure"


def split(operation_id: str) -> tuple[str, int] | None:
    """``<session>:<n>`` as its parts; None for any other operation id."""
    session, _, number = operation_id.partition(
        ":"
    )  # an effect's id has more colons and no counter, whatever it ends in
    return (session, int(number)) if session and number.isascii() and number.isdigit() else None


class OperationMemory:
    """The operations of one entity. Rebuilt from checkpoint and journal, never saved by itself."""

    __slots__ = ("_bytes", "_cleared", "_done", "_oldest", "_unsettled", "_whole", "doubtful", "sessions")

    def __init__(
        self, sessions: Mapping[str, tuple[int, int]] | None = None, *, whole: bool = False, doubtful: bool = False
    ) -> None:
        """``whole``: memory begins at the entity's first event, so what is not remembered never happened. ``doubtful``: what
        happened before may not be committed yet.
        """
        self.sessions: dict[str, tuple[int, int]] = dict(sessions or {})
        self._done: dict[str, tuple[bytes, bytes]] = {}
        self._cleared: set[str] = set()
        self._oldest: dict[str, int] = {}
        self._whole = whole
        self._bytes = 0
        self._unsettled = 0
        self.doubtful = doubtful

    def judge(self, operation_id: str, digest: bytes) -> tuple[Verdict, bytes]:
        """What to do with an operation, and the reply where it is DONE."""
        known = self._done.get(operation_id)
        if known is not None:
            return (Verdict.DONE, known[1]) if known[0] == digest else (Verdict.CONFLICT, b"")
        if self._whole or operation_id in self._cleared:
            return Verdict.NEW, b""
        parts = split(operation_id)
        if parts is None:
            return Verdict.UNSURE, b""
        session, number = parts
        last = self.sessions.get(session)
        if last is None or number > last[0]:
            return Verdict.NEW, b""
        oldest = self._oldest.get(session)
        if oldest is not None:  # looked up before: below the oldest that the window still has, none can tell
            return (Verdict.CONFLICT, b"") if number < oldest else (Verdict.UNSURE, b"")
        return Verdict.UNSURE, b""

    def is_unsure(self, operation_id: str) -> bool:
        """Whether only the journal can tell of an operation."""
        return self.judge(operation_id, b"")[0] is Verdict.UNSURE

    def record(self, operation_id: str, digest: bytes, reply: bytes, at_epoch_s: int) -> None:
        """The operation was done (or, on replay, had been)."""
        self._remember(operation_id, digest, reply)
        self._cleared.discard(operation_id)
        self._let_go()
        parts = split(operation_id)
        if parts is not None:
            last = self.sessions.get(parts[0])
            if last is None or parts[1] > last[0]:
                self.sessions[parts[0]] = (parts[1], at_epoch_s)

    def settled(self) -> None:
        """All that was recorded is committed."""
        self._unsettled = 0
        self.doubtful = False

    def _remember(self, operation_id: str, digest: bytes, reply: bytes) -> None:
        before = self._done.pop(operation_id, None)
        self._bytes += len(reply) - (0 if before is None else len(before[1]))
        self._done[operation_id] = (digest, reply)
        self._unsettled += 1

    def _let_go(self) -> None:
        """Of the oldest, down to the bounds; more than one, for what was looked up counts too."""
        while len(self._done) > REMEMBERED or (self._bytes > REMEMBERED_BYTES and len(self._done) > 1):
            self.doubtful |= self._unsettled >= len(self._done)
            _, reply = self._done.pop(next(iter(self._done)))
            self._bytes -= len(reply)
            self._whole = False

    def learn(self, asked: list[str], found: FoundOperations) -> None:
        """The answer to a look-up of ``asked``. Afterwards none of them is UNSURE."""
        if len(self._cleared) > REMEMBERED:
            self._cleared.clear()  # they failed and were not tried again; another look-up is the worst that comes of it
        for operation in found.operations:
            if operation.operation_id not in self._done:
                self._remember(operation.operation_id, operation.request_digest, operation.reply)
        for operation_id in asked:
            if operation_id in self._done:
                continue
            parts = split(operation_id)
            if not found.whole and parts is not None:
                session, number = parts
                # Requests of a session reach an entity in rising order: below the oldest in the window it may have been
                # done and evicted. A session with nothing in the window, yet known here, lies below it as a whole.
                floor = found.oldest.get(session, self.sessions.get(session, (0, 0))[0] + 1)
                if number < floor:
                    self._oldest[session] = floor
                    continue
            self._cleared.add(operation_id)

    def current_sessions(self, now_epoch_s: int) -> dict[str, tuple[int, int]]:
        """The sessions' counters that a checkpoint has to keep."""
        oldest = now_epoch_s - SESSION_LIFE_S
        return {session: last for session, last in self.sessions.items() if last[1] >= oldest}

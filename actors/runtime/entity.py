"""The contract of an entity: what a kind of actor has to say, and nothing of how it is run.

An entity is its state, and its state is the fold of its events. Three pure functions are all there is to a kind:

``decide(state, command, context) -> Decision``  what the command changes and answers, or an error that changes nothing
``evolve(state, event, at) -> state``            the fold; all that recovery needs
``rows(event, state) -> [Row]``                  the rows of the seeds' tables that the event implies

Two more follow from the state instead of being remembered beside it, so that they cannot be lost or doubled:

``agenda(state) -> Agenda``   alarms that are due some day and effects on other entities whose result is not yet known.
                              The shard compares it before and after a command; the difference goes into the commit.
``publish(event) -> Published | None``   the numbered push that the event makes. A replay renders the same event with
                              the same function, so what is replayed equals what was live.

Rejected: pushes and effects as lists in the decision. A list that was decided but not yet performed has to be journaled
beside the events; derived from state it already is.

Beside the durable state an entity has a *live* part (presence, pulses): never journaled, gone with the process, rebuilt
from the gateways that reconnect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Final, Literal, Protocol, cast

import msgspec

Json = bytes
"""A JSON text; named so that signatures say which bytes they mean."""

DURABLE: Final = 0
LATEST: Final = 1
LOSSY: Final = 2


class Struct(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values of the domain: immutable, slotted, compared by value. (gc=False: they hold no cycles.)"""


class Caller(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Who asks. ``name`` is what others may see: None for a practitioner whose privacy level is private."""

    practitioner: str
    name: str | None = None
    guest: bool = False
    session: str | None = None
    expires_at: float | None = None  # a guest's session ends then, epoch seconds; what it created ends with it


class Subscriber(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One session that follows an entity's stream through some gateway."""

    session: str
    practitioner: str
    name: str | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a decision may know beside state and command. ``now`` is UTC."""

    entity_id: str
    now: datetime
    next_offset: int
    """The offset that the first numbered event of this decision will get."""
    caller: Caller | None = None
    operation: str | None = None
    present: Mapping[str, Subscriber] = {}
    """Sessions that follow the stream now, by session."""
    live: Any = None
    request_id: str | None = None
    seq: int = 0
    """How many events the entity has had."""
    clean: bool = True
    """Whether all of them are committed."""


class Push(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An unnumbered push: the whole JSON frame but for ``type`` and ``stream`` is made from ``event`` and ``fields``."""

    event: str
    fields: Mapping[str, Any]
    lane: int = LOSSY
    key: str = ""
    """On lane LATEST only the newest push of a key matters."""
    to: str | None = None
    """One session; None is everyone who follows."""


class Published(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The numbered push of an event. ``sender`` is ``(id, name)``."""

    event: str
    body: Any
    sender: tuple[str, str | None] | None = None


class Address(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Where an entity is in the space of names: its kind and its id."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


class Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A command to another entity that must happen, once, whatever dies.

    It stays in the state until the entity has decided ``EffectDone`` for its ``id``. The receiver knows the operation by
    ``effect:<kind>:<entity>:<id>`` and answers a repetition with the first reply.
    """

    id: str
    target: Address
    command: bytes
    """As the target kind's ``encode_command`` made it."""
    series: str | None = None
    number: int = 0
    """Where effects of one entity come in a ``series``, ``number`` counts them upward. Then the receiver knows a new one as it
    knows a new request of a session, without a look into its journal: for what a busy receiver gets by the thousand."""


class EffectDone(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The result of an effect, delivered to the entity that asked: a reply, or a code of an error that is not retryable."""

    id: str
    reply: Json | None = None
    error: str | None = None


class AlarmFired(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An alarm of the entity's agenda is due. It may come twice; deciding it must take it from the agenda or move it."""

    name: str


class Tick(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The volatile timer that a decision asked for with ``tick_after_s``."""


class Attached(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Sessions began to follow the stream (also after a gateway's reconnect). ``context.present`` has them already."""

    sessions: Sequence[Subscriber]


class Detached(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Sessions no longer follow. ``context.present`` no longer has them."""

    sessions: Sequence[Subscriber]


SIGNALS: Final = (EffectDone, AlarmFired, Tick, Attached, Detached)
Signal = EffectDone | AlarmFired | Tick | Attached | Detached
"""What the runtime itself tells an entity; ``decide`` gets them like commands, with no caller."""


class Agenda(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the state still owes: alarms by name with their time, effects by id in the order of issue."""

    alarms: Mapping[str, datetime] = {}
    effects: Mapping[str, Effect] = {}


NOTHING_OWED: Final = Agenda()


class Decision(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a command does. No events means that nothing durable changes."""

    events: Sequence[Any] = ()
    reply: Any = None
    """JSON-able; ``msgspec.Raw`` for JSON already made."""
    pushes: Sequence[Push] = ()
    live: Any = None
    """The new live part; None keeps the old one."""
    tick_after_s: float | None = None
    """Ask for a Tick. An earlier Tick that is already due sooner stands."""
    subscribe: bool = False
    """The caller's session follows the stream from here on."""
    park: bool = False
    """It cannot be answered yet: it is decided again after each committed change of the entity. Of a command without an
    operation only, and nothing else of the decision counts."""
    unsubscribe: Sequence[str] | Literal["all"] = ()
    """Practitioners (all their sessions) that no longer follow after this decision's own pushes."""
    revises: bool = False
    """What was published before reads differently from here on, and the state of before is not to be kept: frames are made
    anew of the journal, and a checkpoint goes with the commit."""
    forget: int = 0
    """A checkpoint goes with the commit, and at most so many of the events at or below it, the oldest first, are deleted."""


class Upsert(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of a seed's table that is now so. ``values`` are by column and always include the key ``id``."""

    table: str
    values: Mapping[str, Any]


class Delete(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of a seed's table that is no more."""

    table: str
    id: str


class Purge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """At most ``limit`` rows of a practitioner's in a table are no more: a bounded step on the way to none."""

    table: str
    practitioner: str
    limit: int


class Begin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A version of a row of a versioned table begins and holds until it is ended. ``values`` are in the order of the table's
    columns without those that an ``End`` sets: the key first, then the version that it begins in."""

    table: str
    values: tuple[Any, ...]


class End(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The version of a row that began in ``since`` no longer holds from ``until`` on. ``key`` as the table names it.

    Where storage has no such row, it and the entity disagree, and the commit fails; unless it is not ``sure`` to be there (a
    ``Trim`` may have taken it).
    """

    table: str
    key: tuple[str, ...]
    since: int
    until: int
    at: datetime
    sure: bool = True


class Trim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """At most ``limit`` of an entity's rows in a table that ended before a time are no more. What a row of another table still
    shows stays; the statement says which. Those that ended before ``after`` are not looked at: what an earlier Trim left of
    them stays."""

    table: str
    entity_id: str
    before: datetime
    limit: int
    after: datetime | None = None


class ConfirmClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The claimed name is the entity's for good."""

    scope: str
    name: str


class ReleaseClaim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The name is free again."""

    scope: str
    name: str


Row = Upsert | Delete | Purge | Begin | End | Trim | ConfirmClaim | ReleaseClaim

EVERYTHING: Final = 2**31 - 1
"""As a Decision's ``forget``: all events, however many."""


class EntityKind(Protocol):
    """A kind of entity. Instances are stateless; a kind's settings are its constructor's arguments."""

    kind: ClassVar[str]
    format: ClassVar[int]
    """Of events and checkpoints as written now; older ones pass through ``upcast``."""
    sealed: ClassVar[bool]
    """Whether journal, replies and checkpoints are sealed when there is a key."""

    def initial(self, entity_id: str) -> Any:
        """The state before any event."""

    def decode_command(self, data: bytes) -> Any:
        """The command from its link encoding. Raises BadRequest, Invalid."""

    def subscribes(self, command: Any) -> bool:
        """Whether a successful command makes the caller's session follow the stream (also when it is a retry)."""

    def request(self, command: Any, data: bytes) -> bytes:
        """What of a command (``data`` is its link encoding) a retry has to repeat; the same id with another is a conflict."""

    def awaits(self, command: Any, operation: str | None, entity_id: str) -> Any | None:
        """The command that is asked in place of this one once it was done, and whose answer is the answer; None for none.

        It is asked without an operation and may park. So a command that begins what takes long is committed at once, and
        still answered with its outcome, also when it is a retry.
        """

    def claims(self, command: Any) -> Sequence[tuple[str, str]]:
        """Unique names ``(scope, name)`` that must be claimed before the command is decided."""

    def decide(self, state: Any, command: Any, context: Context) -> Decision:
        """What the command does. Raises SanghaError, which changes nothing."""

    def evolve(self, state: Any, event: Any, at: datetime) -> Any:
        """The state after the event. Never fails on an event that was once decided."""

    def rows(self, event: Any, state: Any, at: datetime) -> Iterable[Row]:
        """What the event, which led to ``state``, makes of the tables."""

    def agenda(self, state: Any) -> Agenda:
        """What the state still owes."""

    def publish(self, event: Any) -> Published | None:
        """The numbered push of an event; None where it makes none."""

    def shown(self, published: Published, state: Any) -> Published:
        """A published event as it reads now, under a later state."""

    def snapshot(self, state: Any, context: Context) -> Any:
        """What a follower sees of the whole, JSON-able."""

    def greeting(self, state: Any, context: Context) -> Sequence[Push]:
        """Unnumbered pushes for sessions that just began to follow: the full presence."""

    def may_read(self, state: Any, context: Context) -> None:
        """Raises where the caller may not read the stream's history."""

    def event_type(self, event: Any) -> str:
        """The name of an event in the journal."""

    def encode_event(self, event: Any) -> Json:
        """As it stands in the journal."""

    def decode_event(self, format_: int, data: Json) -> Any:
        """An event of any format ever written, upcast."""

    def encode_state(self, state: Any) -> Json:
        """As it stands in a checkpoint."""

    def decode_state(self, format_: int, data: Json) -> Any:
        """A state of any format ever written, upcast."""


class VersionedKind(EntityKind, Protocol):
    """A kind whose state is partly in versioned tables and not in the journal; that part is mutable, and only ``evolve`` and
    ``restored`` change it. What fails in between is never seen: the entity is loaded anew."""

    versioned: ClassVar[tuple[str, ...]]
    """The tables. After the fold of the journal an activation hands their live rows to ``restored``, table by table in this
    order, many at a time."""

    def restored(self, state: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> Any:
        """The state with live rows of a table, in the order of their keys; no rows: the table is at its end."""


def versioned(kind: EntityKind) -> VersionedKind | None:
    """The kind as one with versioned tables, where it is one."""
    return cast(VersionedKind, kind) if getattr(kind, "versioned", ()) else None

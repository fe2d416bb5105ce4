"""A group ritual in a world small enough to look at all of it: the real kinds, a model of what the runtime promises them.

A world is a value: what each entity has committed, what is in its memory, what is on its way. ``required`` gives every world
that follows by what the runtime will do, ``group_faults`` those that follow by what may happen or not. What the runtime
does, and no more:

* a decision is committed before anything of it leaves; a crash loses memory and what was not committed;
* an effect is asked for until its result is recorded, again after a crash of who asks (what the dead one sent may still
  arrive, its answer does not) or of whom it asks; the receiver knows an operation that its journal has;
* what awaits something is decided again after each commit;
* alarms fire at or after their time, in any order with everything else; a tick does too, if the entity lives so long;
* nobody is attached after a crash of the space until they come back, which may be late.

Asks and answers overtake each other freely. Faults are counted down (``Faults``), so all of it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from driving import BEGIN, Driver, account, follower, uuid
from group_driving import BRIEF, INSIGHT

from actors.practitioner import commands as pc
from actors.practitioner.entity import PractitionerKind
from actors.ritual import values as ritual
from actors.runtime.codec import NULL
from actors.runtime.entity import AlarmFired, Context, Effect, EffectDone, Tick
from actors.runtime.errors import SanghaError
from actors.space import commands as sc
from actors.space import group_events as r
from actors.space.entity import SpaceKind, SpaceLimits

SPACE = 0
"""The space's place among the entities; the practitioners follow, the first is the facilitator."""
KINDS: tuple[Any, ...] = (SpaceKind(SpaceLimits(participant_grace_s=1e6)), PractitionerKind())
REMEMBERS = True
"""Whether a receiver knows the operations that its journal has. Its memory is bounded, so this is not all there is to it."""
OWN = tuple(ritual.run_id_of(f"own:{k}") for k in range(3))
OUTCOMES = (r.ParticipantTransformed, r.ParticipantFailed)

_canonical = msgspec.json.Encoder(order="sorted").encode
_keys: dict[Any, int] = {}


def kind_of(place: int) -> Any:
    return KINDS[0] if place == SPACE else KINDS[1]


class Faults(NamedTuple):
    """How many of each may still happen."""

    crashes: int = 0
    duplicates: int = 0
    aborts: int = 0
    leaves: int = 0
    delays: int = 0
    """How often time goes on although something is on its way, or due."""
    runs: int = 0
    """Begun by the facilitator, who takes part too, for themselves."""


class History:
    """What an entity has committed. ``key`` is the same for histories that nobody can tell apart any more."""

    def __init__(self, place: int, id_: str, state: Any, parent: History | None, events: tuple[Any, ...], at: datetime):
        self.place, self.id, self.state, self.parent, self.events, self.at = place, id_, state, parent, events, at
        self.replies: dict[str, tuple[bytes, Any]] = dict(parent.replies) if parent else {}
        self.agenda = kind_of(place).agenda(state)
        self.effects: dict[str, Effect] = dict(parent.effects) if parent else {}
        for name, effect in self.agenda.effects.items():
            assert self.effects.setdefault(name, effect) == effect, "what is asked again is the same"

    @cached_property
    def key(self) -> int:
        state = _canonical(self.state)
        return _keys.setdefault((state, frozenset(self.replies)), len(_keys))

    def recovered(self) -> None:
        """A crash finds in the journal, and in a checkpoint, what was in memory."""
        kind, node, rows = kind_of(self.place), self, []
        while node is not None:
            rows.append(node)
            node = node.parent  # type: ignore[assignment]
        state = kind.initial(self.id)
        for row in reversed(rows):
            for event in row.events:
                again = kind.decode_event(kind.format, kind.encode_event(event))
                state = kind.evolve(state, again, row.at)
        assert state == self.state, "state is the fold of the events"
        assert kind.decode_state(kind.format, kind.encode_state(state)) == state
        assert kind.agenda(state) == self.agenda

    @cached_property
    def checked(self) -> bool:
        self.recovered()
        return True


class Ask(NamedTuple):
    """An effect on its way. ``stale``: who sent it is dead, nobody waits for the answer."""

    sender: int
    effect: str
    stale: bool = False


class Reply(NamedTuple):
    """An answer on its way to who asked."""

    sender: int
    effect: str
    reply: bytes | None
    error: str | None


class World(NamedTuple):
    """See the module. ``live``, ``present`` and ``tick_at`` are the space's memory."""

    now: datetime
    histories: tuple[History, ...]
    live: Any
    present: frozenset[int]
    tick_at: datetime | None
    asks: frozenset[Ask]
    replies: frozenset[Reply]
    parked: frozenset[tuple[int, Ask]]
    faults: Faults

    @property
    def space(self) -> Any:
        return self.histories[SPACE].state

    @property
    def gathers(self) -> bool:
        """Whether it still matters who is here."""
        group = self.space.group
        return bool(self.space.scheduled) if group is None else group.stage == "gathering"

    def key(self) -> Any:
        """Equal for worlds of which the same may follow. Presence matters to the group until opening begins."""
        live = (_canonical(self.live), self.present) if self.gathers else None
        return (self.now, tuple(h.key for h in self.histories), live, self.tick_at, *self[5:])


# The beginning


def begin(n: int, faults: Faults, **options: Any) -> World:
    """A ritual that gathers: ``n`` participants, joined and present."""
    _keys.clear()
    driver = Driver(KINDS[0])
    driver.do(sc.CreateSpace(name="Circle", purpose="to sit", access_level="open", participant_limit=50), account(1))
    for i in range(1, n + 1):
        driver.do(sc.Join(), account(i))
        driver.attach(account(i))
    command = sc.BeginRitual(brief=BRIEF, **{"starts_in_s": 20, "opening_s": 3, "integration_s": 3} | options)
    context = msgspec.structs.replace(driver.context(account(1)), operation="begin:1")
    decided = driver.kind.decide(driver.state, command, context)
    state = driver.state
    for event in decided.events:
        state = driver.kind.evolve(state, event, BEGIN)
    events = (*(event for _, event in driver.history), *decided.events)
    space = History(SPACE, driver.id, state, None, events, BEGIN)
    people = tuple(_registered(i) for i in range(1, n + 1))
    present = frozenset(range(1, n + 1))
    tick_at = None if decided.tick_after_s is None else BEGIN + timedelta(seconds=decided.tick_after_s)
    nothing: frozenset[Any] = frozenset()
    return World(BEGIN, (space, *people), decided.live, present, tick_at, nothing, nothing, nothing, faults)


def _registered(i: int) -> History:
    driver = Driver(KINDS[1], uuid(i))
    driver.do(pc.Register(email=f"p{i}@example.org", password_hash="h"), account(i))
    return History(i, uuid(i), driver.state, None, tuple(e for _, e in driver.history), BEGIN)


# One decision


def decide(world: World, place: int, what: Any, *, operation: str | None = None, caller: Any = None) -> Any:
    history, space = world.histories[place], place == SPACE
    present = {f"session-{i}": follower(account(i)) for i in sorted(world.present)} if space else {}
    context = Context(
        entity_id=history.id,
        now=world.now,
        next_offset=1_000,
        caller=caller,
        operation=operation,
        present=present,
        live=world.live if space else None,
    )
    return kind_of(place).decide(history.state, what, context)


def commit(world: World, place: int, decision: Any, operation: tuple[str, bytes] | None = None) -> World:
    """Events into the journal, the space's memory on; effects are not issued yet."""
    before, kind = world.histories[place], kind_of(place)
    if place == SPACE:
        world = world._replace(live=decision.live or world.live)
        if decision.tick_after_s is not None:
            at = world.now + timedelta(seconds=decision.tick_after_s)
            world = world._replace(tick_at=at if world.tick_at is None else min(world.tick_at, at))
    if not decision.events:
        return world
    state = before.state
    for event in decision.events:
        if place == SPACE:
            check_event(world, event, state)
        state = kind.evolve(state, event, world.now)
    after = History(place, before.id, state, before, tuple(decision.events), world.now)
    if operation is not None:
        after.replies[operation[0]] = (operation[1], decision.reply)
    return _with(world, place, after)


def _with(world: World, place: int, history: History) -> World:
    return world._replace(histories=(*world.histories[:place], history, *world.histories[place + 1 :]))


def issue(world: World, place: int) -> World:
    """What is owed and not on its way leaves. A ritual's own entity (its use count) answers at once."""
    history = world.histories[place]
    on_their_way = {ask.effect for ask in world.asks if ask.sender == place and not ask.stale}
    on_their_way |= {reply.effect for reply in world.replies if reply.sender == place}
    on_their_way |= {ask.effect for _, ask in world.parked if ask.sender == place}
    new = set()
    for id_, effect in history.agenda.effects.items():
        if effect.target.kind == "ritual":
            done = decide(world, place, EffectDone(id=id_, reply=b"{}"))
            world = commit(world, place, done)
        elif id_ not in on_their_way:
            new.add(Ask(place, id_))
    return _unpark(world._replace(asks=world.asks | new), place)


def _unpark(world: World, place: int) -> World:
    """Whoever awaits something of this entity is looked at again."""
    for parked in sorted(world.parked):
        if parked[0] == place:
            world = _await(world._replace(parked=world.parked - {parked}), place, parked[1])
    return world


def _await(world: World, place: int, ask: Ask) -> World:
    """What is asked in place of a command that was done, or the command's own reply."""
    history = world.histories[place]
    command, operation = _command(world, ask)
    reply = history.replies.get(operation, (b"", {}))[1]
    awaited = kind_of(place).awaits(command, operation, history.id)
    if awaited is not None:
        try:
            decision = decide(world, place, awaited)
        except SanghaError as refusal:
            return _answer(world, ask, None, refusal.code)
        if decision.park:
            return world if ask.stale else world._replace(parked=world.parked | {(place, ask)})
        reply = decision.reply
    return _answer(world, ask, msgspec.json.encode(reply), None)


def _answer(world: World, ask: Ask, reply: bytes | None, error: str | None) -> World:
    if ask.stale:
        return world
    return world._replace(replies=world.replies | {Reply(ask.sender, ask.effect, reply, error)})


def _command(world: World, ask: Ask) -> tuple[Any, str]:
    sender = world.histories[ask.sender]
    effect = sender.effects[ask.effect]
    kind = kind_of(ask.sender).kind
    command = KINDS[1].decode_command(effect.command) if effect.target.kind == "practitioner" else None
    return command, f"effect:{kind}:{sender.id}:{ask.effect}"


# Steps


def required(world: World) -> Iterator[tuple[str, World]]:
    """What the runtime will do sooner or later. Where there is nothing of it the world has come to its rest."""
    for ask in sorted(ask for ask in world.asks if not ask.stale):
        yield from delivered(world, ask)
    for reply in sorted(world.replies, key=repr):
        yield f"reply {reply.effect}", take_reply(world, reply)
    alarms = [
        (place, name, due)
        for place, history in enumerate(world.histories)
        for name, due in history.agenda.alarms.items()
        if name != "sweep"
    ]
    due_now = [(place, name) for place, name, due in alarms if due <= world.now]
    for place, name in due_now:
        yield f"alarm {place} {name}", fire(world, place, name)
    ticks = world.tick_at is not None and world.tick_at <= world.now
    if ticks:
        ticking = world._replace(tick_at=None)
        yield "tick", issue(commit(ticking, SPACE, decide(ticking, SPACE, Tick())), SPACE)
    waits = bool(due_now or ticks or world.replies or any(not ask.stale for ask in world.asks))
    if waits and world.faults.delays == 0:
        return
    if later := [due for _, _, due in alarms if due > world.now]:
        faults = world.faults._replace(delays=world.faults.delays - waits)
        yield "time", world._replace(now=min(later), faults=faults)


def fire(world: World, place: int, name: str) -> World:
    after = issue(commit(world, place, decide(world, place, AlarmFired(name=name))), place)
    due = after.histories[place].agenda.alarms.get(name)
    assert due is None or due > world.now, f"{name} is taken off the agenda, or it moves"
    return after


def take_reply(world: World, reply: Reply, *, keep: bool = False) -> World:
    if not keep:
        world = world._replace(replies=world.replies - {reply})
    done = EffectDone(id=reply.effect, reply=reply.reply, error=reply.error)
    return issue(commit(world, reply.sender, decide(world, reply.sender, done)), reply.sender)


def delivered(world: World, ask: Ask) -> Iterator[tuple[str, World]]:
    taken = world._replace(asks=world.asks - {ask})
    yield f"ask {ask.effect}", deliver(taken, ask)


def deliver(world: World, ask: Ask, *, crash: bool = False) -> World:
    """The receiver takes an ask. With ``crash`` it commits and dies before it said anything."""
    effect = world.histories[ask.sender].effects[ask.effect]
    if effect.target.kind != "practitioner":
        return _answer(world, ask, _worker(effect), None)
    place = next(i for i, h in enumerate(world.histories) if i != SPACE and h.id == effect.target.id)
    command, operation = _command(world, ask)
    history, digest = world.histories[place], kind_of(place).request(command, effect.command)
    if REMEMBERS and operation in history.replies:
        assert history.replies[operation][0] == digest, "a repetition is the same request"
    else:
        try:
            decision = decide(world, place, command, operation=operation)
        except SanghaError as refusal:
            if refusal.retryable:
                raise AssertionError("a part is taken, whatever else is under way") from refusal
            return _answer(world, ask, None, refusal.code)
        world = commit(world, place, decision, (operation, digest))
    if crash:
        return crashed(world if ask.stale else world._replace(asks=world.asks | {ask}), place)
    return _await(issue(world, place), place, ask)


def _worker(effect: Effect) -> bytes:
    """The sandbox and the oracle: what they answer depends on nothing but what they are asked."""
    if effect.target.kind == "oracle":
        return msgspec.json.encode(INSIGHT)
    request = ritual.codec.decode(effect.command)
    assert isinstance(request, ritual.RunRequest)
    before = request.state.archetypes.get("Witness", 0.0)
    state = msgspec.structs.replace(request.state, archetypes={"Witness": before + 0.125}, symbols=("circle",))
    return ritual.outcome_codec.encode(ritual.RunOutcome(state=state, fuel=1))


def crashed(world: World, place: int) -> World:
    """The entity's memory is gone; it comes back as what its journal says, and asks again for all it is owed."""
    assert world.histories[place].checked
    asks = {ask._replace(stale=True) if ask.sender == place else ask for ask in world.asks}
    asks |= {ask for where, ask in world.parked if where == place}
    world = world._replace(
        asks=frozenset(asks),
        replies=frozenset(reply for reply in world.replies if reply.sender != place),
        parked=frozenset(p for p in world.parked if p[0] != place and p[1].sender != place),
    )
    if place == SPACE:
        world = world._replace(live=None, present=frozenset(), tick_at=None)
    return issue(world, place)


def check_event(world: World, event: Any, state: Any) -> None:
    """Before an event of the space is folded: what it says is what happened."""
    group = state.group
    if isinstance(event, OUTCOMES):
        assert group.parts[event.practitioner].status == "called", "one outcome each"
        person = next(h.state for h in world.histories if h.id == event.practitioner)
        transformed = isinstance(event, r.ParticipantTransformed)
        assert versions(person) == int(transformed), "the outcome is what became of their state"
        assert group.plan.run not in (person.run and person.run.group, *(part.group for part in person.queue))
    if isinstance(event, r.RitualActive):
        assert all(versions(h.state) == 0 for h in world.histories[1:]), "nobody is transformed before"
    if isinstance(event, r.RitualClosed):
        assert state.last == NULL, "closed once"
        if group.stage in ("gathering", "opening"):
            assert all(versions(h.state) == 0 for h in world.histories[1:])


def versions(person: Any) -> int:
    """How many versions of the state group rituals made."""
    own = sum(id_ in OWN and end.result is not None for id_, end in person.runs.items())
    return 0 if person.version is None else int(person.version.number) - own

"""What may happen to a group ritual, or not: crashes, duplicates, strays; people who come back, leave, or abort it."""

from __future__ import annotations

from collections.abc import Iterator

from driving import account, follower, uuid
from group_world import BRIEF, SPACE, Ask, World, commit, crashed, decide, deliver, delivered, issue, take_reply

from actors.practitioner import commands as pc
from actors.runtime.entity import AlarmFired, Attached
from actors.runtime.errors import Conflict
from actors.space import commands as sc


def possible(world: World) -> Iterator[tuple[str, World]]:
    """What may happen or not: crashes, duplicates, strays, people."""
    for ask in sorted(ask for ask in world.asks if ask.stale):
        yield from delivered(world, ask)
    if world.gathers:
        for i in range(1, len(world.histories)):
            if i not in world.present and uuid(i) in world.space.participants:
                yield f"attach {i}", _attach(world, i)
    if world.space.group is not None:
        yield from _people(world)
        yield from _own_run(world)
    if world.faults.crashes:
        yield from _crashes(world._replace(faults=world.faults._replace(crashes=world.faults.crashes - 1)))
    if world.faults.duplicates:
        yield from _duplicates(world._replace(faults=world.faults._replace(duplicates=world.faults.duplicates - 1)))


def _attach(world: World, i: int) -> World:
    world = world._replace(present=world.present | {i})
    decision = decide(world, SPACE, Attached(sessions=[follower(account(i))]))
    return issue(commit(world, SPACE, decision), SPACE)


def _people(world: World) -> Iterator[tuple[str, World]]:
    if world.faults.aborts:
        aborting = world._replace(faults=world.faults._replace(aborts=world.faults.aborts - 1))
        decision = decide(aborting, SPACE, sc.AbortRitual(), operation="abort:1", caller=account(1))
        yield "abort", issue(commit(aborting, SPACE, decision, ("abort:1", b"")), SPACE)
    last = len(world.histories) - 1
    if world.faults.leaves and uuid(last) in world.space.participants:
        leaving = world._replace(faults=world.faults._replace(leaves=world.faults.leaves - 1))
        decision = decide(leaving, SPACE, sc.Leave(), operation="leave:1", caller=account(last))
        left = issue(commit(leaving, SPACE, decision, ("leave:1", b"")), SPACE)
        yield "leave", left._replace(present=left.present - {last})


def _own_run(world: World) -> Iterator[tuple[str, World]]:
    """Refused while another run is open, or waits; so a group's part is delayed by one run at most."""
    runs = world.faults.runs
    if not runs:
        return
    running = world._replace(faults=world.faults._replace(runs=runs - 1))
    command, operation, person = pc.RunRitual(brief=BRIEF), f"own:{runs - 1}", world.histories[1].state
    try:
        decision = decide(running, 1, command, operation=operation, caller=account(1))
    except Conflict:
        assert person.run is not None
        return
    assert person.run is None
    assert not person.queue
    yield operation, issue(commit(running, 1, decision, (operation, b"")), 1)


def _crashes(world: World) -> Iterator[tuple[str, World]]:
    places = range(len(world.histories))
    for place in places:
        yield f"crash {place}", crashed(world, place)
    everything = world
    for place in places:
        everything = crashed(everything, place)
    yield "crash of all", everything._replace(asks=frozenset(ask for ask in everything.asks if not ask.stale))
    for ask in sorted(world.asks):  # committed, but dead before the answer and the effects left
        if world.histories[ask.sender].effects[ask.effect].target.kind == "practitioner":
            yield f"crash after {ask.effect}", deliver(world._replace(asks=world.asks - {ask}), ask, crash=True)


def _duplicates(world: World) -> Iterator[tuple[str, World]]:
    for ask in sorted(ask for ask in world.asks if not ask.stale):
        yield f"twice {ask.effect}", deliver(world, ask)
    for reply in sorted(world.replies, key=repr):
        yield f"reply twice {reply.effect}", take_reply(world, reply, keep=True)
        lost = world._replace(replies=world.replies - {reply}, asks=world.asks | {Ask(reply.sender, reply.effect)})
        yield f"reply lost {reply.effect}", lost
    for name in ("ritual", "ritual-scheduled"):
        yield f"stray {name}", issue(commit(world, SPACE, decide(world, SPACE, AlarmFired(name=name))), SPACE)

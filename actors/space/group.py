"""A group ritual as a state machine: which event may follow in which stage, the fold, and what it owes to others.

    gathering ──► opening ──► active ──► integration ──► closed
        │            │           │            │             ▲
        │            │           └► aborting ─┼─────────────┤
        └────────────┴────────────────────────┴─────────────┘

What always holds, whatever the events: stages only go forward; who takes part is fixed when opening begins and nobody is
added later; every participant has exactly one outcome, recorded before their practitioner may forget it; it ends once.
``next_stage`` refuses every event that is not in the table, so an illegal history is not folded.

What each gets
==============

=========================================================  =========================================================
who                                                        what becomes of them
=========================================================  =========================================================
joined, with an account, and when opening begins           *takes part*: transformed exactly once, or ``failed`` with
connected or gone for less than the presence grace         a code and the state as it was
joined, but not there when opening begins                  ``absent``: not transformed, also when they come back
                                                           during the ritual; they see the stages that follow
leaves the space during gathering                          not in it
leaves the space during opening                            ``left``: not transformed, also when they come back
loses the connection during opening                        takes part: nobody is left out for a bad line
leaves, or loses the connection, from active on            takes part: it is under way and counts
joins after opening began                                  ``late``: sees the stages, is not transformed
a guest                                                    ``witness``: sees the stages; without an account there is
                                                           no state to transform
an account that is gone, a ritual that fails, a            ``failed`` with the code; the others are not touched
requirement that is not met
=========================================================  =========================================================

When nobody takes part it is closed as aborted ("nobody came"; "everyone left" during opening). Aborted in gathering or
opening nobody is transformed; in active whoever is being transformed still is, and it closes when the last of them is
done, without integration; in integration it closes at once: all are transformed, only the rest of the time and the
oracle's word are forgone. In each case the outcome is ``aborted`` and the summary says who was transformed.

After a restart of the space nobody is connected yet: opening waits up to ``RESTART_PATIENCE`` for those whose absence is
not known to be older than the restart, and no longer.

A scheduled ritual begins gathering a minute before its time. Where another one is under way (or the server was down)
it begins when it can, up to a minute after its time; later than that it is taken off the schedule as ``missed``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from actors.oracle import values as oracle
from actors.practitioner import commands as practitioner
from actors.ritual.values import NAMESPACE, Contribution
from actors.runtime.codec import NULL
from actors.runtime.entity import Address, Effect, Struct
from actors.space import group_events as e

Stage = Literal["gathering", "opening", "active", "aborting", "integration", "closed"]
Status = Literal["called", "transformed", "failed", "absent", "left", "late", "witness"]

GATHERING: Final = timedelta(seconds=60)
"""A scheduled ritual's gathering begins so long before its time."""
MISSED_AFTER: Final = timedelta(seconds=60)
"""A scheduled ritual that could not begin gathering until so long after its time is missed."""
RESTART_PATIENCE: Final = timedelta(seconds=10)
"""Gateways are back within two seconds of a shard's restart, clients after their back-off or a whole server's restart."""
ORACLE_PATIENCE: Final = timedelta(seconds=90)
"""An oracle has limits of its own below this; the ritual does not hang on them."""

TRANSITIONS: Final[Mapping[tuple[Stage | None, type], Stage]] = {
    (None, e.RitualGathering): "gathering",
    ("gathering", e.RitualHeld): "gathering",
    ("gathering", e.RitualOpening): "opening",
    ("gathering", e.RitualClosed): "closed",
    ("opening", e.RitualActive): "active",
    ("opening", e.RitualClosed): "closed",
    ("active", e.ParticipantTransformed): "active",
    ("active", e.ParticipantFailed): "active",
    ("active", e.RitualAborting): "aborting",
    ("active", e.RitualIntegration): "integration",
    ("aborting", e.ParticipantTransformed): "aborting",
    ("aborting", e.ParticipantFailed): "aborting",
    ("aborting", e.RitualClosed): "closed",
    ("integration", e.RitualHeld): "integration",
    ("integration", e.RitualInsight): "integration",
    ("integration", e.RitualClosed): "closed",
}


class IllegalTransition(ValueError):
    """The event cannot follow there; nothing decides it."""


class Part(Struct, frozen=True, kw_only=True):
    """What became of one who was there, or should have been."""

    status: Status
    contribution: Contribution | None = None
    """Kept until the collective state is made of it."""
    code: str | None = None
    """Of a failure. Why it came to that says what their state has or lacks, and is in their own run alone."""


class Ack(Struct, frozen=True, kw_only=True):
    """A practitioner is still to be told that their part in a ritual is recorded."""

    run: str
    practitioner: str


class GroupRitual(Struct, frozen=True, kw_only=True):
    """One that is under way."""

    plan: e.Plan
    stage: Stage
    began_at: datetime
    due_at: datetime | None
    """When to look at it next; None where that is for the participants to say."""
    opened_at: datetime | None = None
    active_at: datetime | None = None
    """Active begins then; from there on, when it began."""
    integrated_at: datetime | None = None
    closes_at: datetime | None = None
    parts: Mapping[str, Part] = {}
    """By practitioner, from opening on."""
    called: int = 0
    """How many are, or were, to be transformed."""
    settled: int = 0
    """How many of them have an outcome."""
    collective: msgspec.Raw = NULL
    consent: bool = False
    insight_by: datetime | None = None
    """Set while the oracle is asked."""
    insight: oracle.Insight | None = None
    insight_error: str | None = None


def next_stage(stage: Stage | None, event: type) -> Stage:
    """The stage after an event. Raises IllegalTransition."""
    found = TRANSITIONS.get((stage, event))
    if found is None:
        raise IllegalTransition(f"{event.__name__} in {stage or 'no ritual'}")
    return found


# The fold


def evolve(group: GroupRitual | None, event: Any, at: datetime) -> GroupRitual | None:
    """The ritual after one of its events; None when it is closed. Raises IllegalTransition."""
    stage = next_stage(None if group is None else group.stage, type(event))
    if group is None:
        return GroupRitual(plan=event.plan, stage=stage, began_at=at, due_at=event.plan.starts_at)
    if event.run != group.plan.run:
        raise IllegalTransition(f"{type(event).__name__} of another ritual")
    return None if stage == "closed" else structs.replace(_FOLD[type(event)](group, event, at), stage=stage)


def _held(group: GroupRitual, event: e.RitualHeld, at: datetime) -> GroupRitual:
    return structs.replace(group, due_at=event.until)


def _opening(group: GroupRitual, event: e.RitualOpening, at: datetime) -> GroupRitual:
    parts = {who: Part(status="called") for who in event.roster}
    parts |= {who: Part(status="absent") for who in event.absent}
    parts |= {who: Part(status="witness") for who in event.witnesses}
    return structs.replace(
        group, opened_at=at, active_at=event.active_at, due_at=event.active_at, parts=parts, called=len(event.roster)
    )


def _active(group: GroupRitual, event: e.RitualActive, at: datetime) -> GroupRitual:
    return structs.replace(group, active_at=at, due_at=None)


def _transformed(group: GroupRitual, event: e.ParticipantTransformed, at: datetime) -> GroupRitual:
    return _settled(group, event.practitioner, Part(status="transformed", contribution=event.contribution))


def _failed(group: GroupRitual, event: e.ParticipantFailed, at: datetime) -> GroupRitual:
    return _settled(group, event.practitioner, Part(status="failed", code=event.code))


def _settled(group: GroupRitual, who: str, part: Part) -> GroupRitual:
    if status_of(group, who) != "called":
        raise IllegalTransition(f"an outcome of one who is {status_of(group, who)}")
    return structs.replace(group, parts={**group.parts, who: part}, settled=group.settled + 1)


def _aborting(group: GroupRitual, event: e.RitualAborting, at: datetime) -> GroupRitual:
    return group


def _integration(group: GroupRitual, event: e.RitualIntegration, at: datetime) -> GroupRitual:
    return structs.replace(
        group,
        integrated_at=at,
        closes_at=event.closes_at,
        due_at=event.closes_at,
        parts={who: structs.replace(part, contribution=None) for who, part in group.parts.items()},
        collective=event.collective,
        consent=event.consent,
        insight_by=event.insight_by,
    )


def _insight(group: GroupRitual, event: e.RitualInsight, at: datetime) -> GroupRitual:
    if group.insight_by is None:
        raise IllegalTransition("an insight that nobody asked for")
    return structs.replace(group, insight_by=None, insight=event.insight, insight_error=event.error)


_FOLD: Final[Mapping[type, Callable[[GroupRitual, Any, datetime], GroupRitual]]] = {
    e.RitualHeld: _held,
    e.RitualOpening: _opening,
    e.RitualActive: _active,
    e.ParticipantTransformed: _transformed,
    e.ParticipantFailed: _failed,
    e.RitualAborting: _aborting,
    e.RitualIntegration: _integration,
    e.RitualInsight: _insight,
}


def joined(group: GroupRitual | None, who: str) -> GroupRitual | None:
    """Somebody joined the space: late, where opening has begun without them."""
    if group is None or group.stage == "gathering" or who in group.parts:
        return group
    return structs.replace(group, parts={**group.parts, who: Part(status="late")})


def left(group: GroupRitual | None, who: str) -> GroupRitual | None:
    """Somebody left the space, or was removed for absence: during opening they are out of it."""
    if group is None or group.stage != "opening" or status_of(group, who) != "called":
        return group
    return structs.replace(group, parts={**group.parts, who: Part(status="left")}, called=group.called - 1)


def status_of(group: GroupRitual, who: str) -> Status | None:
    """What became of them, so far."""
    part = group.parts.get(who)
    return None if part is None else part.status


# What it owes to others. Effects' ids have the run in them: an operation is once for ever, and there will be other rituals.


def insight_id(run: str) -> str:
    """The id of the oracle's insight for a group ritual."""
    return str(uuid.uuid5(NAMESPACE, f"{run}:insight"))


def transform_id(run: str, who: str) -> str:
    """The effect that transforms a participant."""
    return f"transform-{run}-{who}"


def settle_id(run: str, who: str) -> str:
    """The effect that lets a practitioner forget their part."""
    return f"settle-{run}-{who}"


def oracle_id(run: str) -> str:
    """The effect that asks the oracle."""
    return f"oracle-{run}"


def transforms(group: GroupRitual, space: str) -> dict[str, Effect]:
    """One for each who is called and has no outcome yet. All carry the same command."""
    plan = group.plan
    command = practitioner.encode(
        practitioner.RunInGroup(
            group=plan.run,
            space=space,
            brief=plan.brief,
            intention=plan.intention,
            parameters=bytes(plan.parameters),
            participants=group.called,
        )
    )
    called = (who for who, part in group.parts.items() if part.status == "called")
    return _by_id(
        Effect(id=transform_id(plan.run, who), target=Address("practitioner", who), command=command) for who in called
    )


def acknowledgement(ack: Ack) -> Effect:
    """Tells a practitioner that their part is recorded."""
    command = practitioner.encode(practitioner.SettleGroup(group=ack.run))
    target = Address("practitioner", ack.practitioner)
    return Effect(id=settle_id(ack.run, ack.practitioner), target=target, command=command)


def consultation(group: GroupRitual, space: str) -> Effect:
    """Asks the oracle about the collective state."""
    plan = group.plan
    consult = oracle.Consult(
        id=insight_id(plan.run),
        consent=group.consent,
        ritual_name=plan.brief.name,
        intention=plan.intention,
        collective=msgspec.json.decode(group.collective),
    )
    return Effect(id=oracle_id(plan.run), target=Address("oracle", space), command=oracle.encode(consult))


def owed(group: GroupRitual | None, unsettled: Mapping[str, Ack], space: str) -> dict[str, Effect]:
    """All that is owed: what the fold keeps up to date event by event, made anew."""
    effects = _by_id(acknowledgement(ack) for ack in unsettled.values())
    if group is not None and group.stage in ("active", "aborting"):
        effects |= transforms(group, space)
    if group is not None and group.insight_by is not None:
        effects |= _by_id([consultation(group, space)])
    return effects


def _by_id(effects: Iterable[Effect]) -> dict[str, Effect]:
    return {effect.id: effect for effect in effects}

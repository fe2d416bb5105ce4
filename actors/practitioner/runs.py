"""Runs of rituals on a practitioner's state: begun, awaited, ended, annotated; alone or as a part in a group ritual. Pure.

    RunRitual / RunInGroup ──▶ RunStarted ──effect "run-n" to the sandbox──▶ RunCompleted ──effect "use-n" to the ritual
                                    │                        └─────────────▶ RunFailed
                                    └──alarm "run-deadline"────────────────▶ RunFailed (actor_unavailable)
    RunInGroup, a run is open ──▶ GroupQueued ──the open run's end, in one commit with it──▶ RunStarted

At most one run is open. It runs on the state as it was when it began, and nothing else changes the state until it ended,
so a run changes the state once, as a whole, or not at all. An answer for a run that is no longer open changes nothing.

A part in a group ritual that comes while a run is open is queued. Each end of a run begins what is queued, first come first,
until a part stays open; so nothing is queued while no run is open, and no run of one's own gets ahead of a group that waits.
What a ritual requires, and the quota, is looked at when the part begins: on the state that it will run on.

A run fails with a code. ``actor_unavailable`` means that it was not the ritual's fault and a new run may do better; asking
again for the same run gives the same failure: it is what became of it.

Rejected: a group part that is refused (a requirement, the quota) as an error of the effect. The group must end with everyone's
fate known, and an error that is retryable would hold it up until midnight; so it is a run that failed at once. Refusing it
while another run is open, for the space to try again: whoever kept starting runs of their own would hold up the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec import UNSET, structs

from actors.practitioner import archetypal_state, chain
from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner import transformation as t
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.current_state import baseline
from actors.practitioner.guards import no_run_open, of_the_runtime, own
from actors.practitioner.replies import nul_free
from actors.practitioner.state import GROUPS_MAX, PractitionerState, RunEnd, evolve, usage_on
from actors.ritual.values import Brief, RunOutcome, group_run_id, outcome_codec, run_id_of
from actors.runtime.entity import AlarmFired, Context, Decision, EffectDone, Struct
from actors.runtime.errors import (
    CODES,
    ActorUnavailable,
    BadRequest,
    Internal,
    Invalid,
    NotFound,
    RateLimited,
    RitualFailed,
    SanghaError,
)

DEADLINE: Final = "run-deadline"
"""The alarm of an open run."""
DEADLINE_AFTER: Final = timedelta(seconds=120)
"""Four times what a run may take: a sandbox that died was replaced and asked again long before."""
NO_ANSWER: Final = "the sandbox did not answer; the state is as it was; run the ritual again"


class PractitionerLimits(Struct, frozen=True, kw_only=True):
    """The settings that bind a practitioner. ``unlimited`` lifts the quotas, for load tests."""

    runs_per_day: int = 2_000
    fuel_per_day: int = 100_000_000_000
    unlimited: bool = False


def effect_id(run: e.Run) -> str:
    """Of the effect that asks the sandbox."""
    return f"run-{run.number}"


def missing(brief: Brief, state: ArchetypalState) -> list[str]:
    """What a ritual requires and the state does not have."""
    lacks = [
        f"the archetype {name} active" for name in brief.required_archetypes if state.archetypes.get(name, 0.0) <= 0
    ]
    for name, least in brief.energy_requirements.items():
        level = state.energies.get(name, 0.0)
        if level < least:
            lacks.append(f"{name} energy of at least {least:g} (it is {level:g})")
    return lacks


# Begin


def run_ritual(
    state: PractitionerState, command: c.RunRitual, context: Context, limits: PractitionerLimits
) -> Decision:
    """Begin a run of one's own."""
    own(state, context)
    if context.operation is None:
        raise BadRequest("a run needs an operation id, from which its own follows")
    run_id, reply = run_id_of(context.operation), {"session_id": run_id_of(context.operation)}
    if _known(state, run_id):
        return Decision(reply=reply)
    no_run_open(state)
    c.check_parameters(command.parameters)
    if refusal := _refusal(state, command.brief, context, limits):
        raise refusal
    return Decision(events=_begun(state, command, run_id, context), reply=reply)


def run_in_group(
    state: PractitionerState, command: c.RunInGroup, context: Context, limits: PractitionerLimits
) -> Decision:
    """Begin the part in a group ritual, once; while another run is open, queue it.

    Raises ActorUnavailable (the effect is tried again) while too many spaces have not settled theirs.
    """
    of_the_runtime(context)
    run_id = group_run_id(command.group, state.id)
    reply = {"session_id": run_id}
    if command.group in state.groups or _known(state, run_id):
        return Decision(reply=reply)
    part = e.GroupQueued(
        group=command.group,
        space=command.space,
        brief=command.brief,
        intention=command.intention,
        parameters=msgspec.Raw(c.check_parameters(command.parameters)),
        participants=command.participants,
    )
    if len(state.groups) >= GROUPS_MAX:
        raise ActorUnavailable(f"{GROUPS_MAX} group rituals of this practitioner are not settled yet")
    events = (part,) if state.run is not None else _part_begun(state, part, context, limits)
    return Decision(events=events, reply=reply)


def _part_begun(
    state: PractitionerState, part: e.GroupQueued, context: Context, limits: PractitionerLimits
) -> tuple[e.PractitionerEvent, ...]:
    """The part's run; where it is refused, one that failed at once."""
    run_id = group_run_id(part.group, state.id)
    begun = _begun(state, part, run_id, context)
    if refusal := _refusal(state, part.brief, context, limits):
        code: Any = refusal.code
        return (*begun, e.RunFailed(run=run_id, code=code, message=refusal.message))
    return begun


def _known(state: PractitionerState, run_id: str) -> bool:
    """Whether the run is open, or among the newest that ended."""
    return run_id in state.runs or (state.run is not None and state.run.id == run_id)


def _refusal(
    state: PractitionerState, brief: Brief, context: Context, limits: PractitionerLimits
) -> RitualFailed | RateLimited | None:
    if lacks := missing(brief, state.archetypal_state):
        return RitualFailed(f"{brief.name} needs {' and '.join(lacks)}")
    used = usage_on(state, context.now)
    if limits.unlimited:
        return None
    if used.runs >= limits.runs_per_day:
        return _until_midnight(f"{limits.runs_per_day} runs a day are allowed", context.now)
    if used.fuel >= limits.fuel_per_day:
        return _until_midnight(f"rituals used up the day's {limits.fuel_per_day} of fuel", context.now)
    return None


def _until_midnight(why: str, now: datetime) -> RateLimited:
    refusal = RateLimited(f"{why}; no more until 00:00 UTC")
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), tzinfo=now.tzinfo)
    refusal.retry_after_s = (midnight - now).total_seconds()
    return refusal


def _begun(
    state: PractitionerState, asked: c.RunRitual | e.GroupQueued, run_id: str, context: Context
) -> tuple[e.PractitionerEvent, ...]:
    first, brief = baseline(state), asked.brief
    version = first[0].version if first else state.version
    run = e.Run(
        id=run_id,
        number=state.runs_begun + 1,
        ritual=brief.id,
        ritual_name=brief.name,
        module_hash=brief.module_hash,
        intention=asked.intention,
        parameters=msgspec.Raw(bytes(asked.parameters)),
        pre_state_id=None if version is None else version.id,
        started_at=context.now,
    )
    if isinstance(asked, e.GroupQueued):
        run = structs.replace(run, group=asked.group, space=asked.space, participants=asked.participants)
    return (*first, e.RunStarted(run=run))


# End


def ended(state: PractitionerState, done: EffectDone, context: Context, limits: PractitionerLimits) -> Decision:
    """The sandbox's answer. Of a run that is no longer open it changes nothing."""
    run = state.run
    if run is None or done.id != effect_id(run):
        return Decision()
    end: e.RunCompleted | e.RunFailed
    try:
        end = _end(state, run, _outcome(done))
    except SanghaError as refusal:
        code: Any = refusal.code
        end = e.RunFailed(run=run.id, code=code, message=refusal.message)
    return Decision(events=_and_next(state, end, context, limits))


def overdue(state: PractitionerState, alarm: AlarmFired, context: Context, limits: PractitionerLimits) -> Decision:
    """The alarm of an open run: its sandbox never answered."""
    if state.run is None or context.now < state.run.started_at + DEADLINE_AFTER:
        return Decision()  # of an earlier run
    end = e.RunFailed(run=state.run.id, code="actor_unavailable", message=NO_ANSWER)
    return Decision(events=_and_next(state, end, context, limits))


def _and_next(
    state: PractitionerState, end: e.RunCompleted | e.RunFailed, context: Context, limits: PractitionerLimits
) -> tuple[e.PractitionerEvent, ...]:
    """The open run's end, and what begins with it: queued parts, until one stays open."""
    if not state.queue:
        return (end,)
    events: list[e.PractitionerEvent] = [end]
    state = evolve(state, end, context.now)
    for part in state.queue:
        begun = _part_begun(state, part, context, limits)
        events += begun
        for event in begun:
            state = evolve(state, event, context.now)
        if state.run is not None:
            break
    return tuple(events)


def _outcome(done: EffectDone) -> RunOutcome:
    """Raises RitualRejected, ActorUnavailable where there is none."""
    if done.error == NotFound.code:
        raise CODES["ritual_rejected"]("the ritual is gone: its module is no longer there")
    if done.error is not None or done.reply is None:
        raise ActorUnavailable(NO_ANSWER)
    try:
        return _decode(bytes(done.reply))
    except msgspec.MsgspecError as failure:
        raise ActorUnavailable(NO_ANSWER) from failure


def _decode(reply: bytes) -> RunOutcome:
    outcome = outcome_codec.decode(outcome_codec.format, reply)
    if (clean := nul_free(reply)) == reply:
        return outcome
    # Of what is told, U+0000 is replaced; a name of the state that has one is the ritual's failure.
    return structs.replace(outcome_codec.decode(outcome_codec.format, clean), state=outcome.state)


def _end(state: PractitionerState, run: e.Run, outcome: RunOutcome) -> e.RunCompleted | e.RunFailed:
    """Raises ActorUnavailable where the outcome is none."""
    used: dict[str, Any] = {"fuel": outcome.fuel, "duration_ms": outcome.duration_us / 1000}
    if outcome.code is not None:
        return e.RunFailed(run=run.id, code=outcome.code, message=outcome.message, **used)
    if outcome.state is None:
        raise ActorUnavailable(NO_ANSWER)
    try:
        new = archetypal_state.check(outcome.state)
    except Invalid as refusal:
        return e.RunFailed(run=run.id, code="ritual_failed", message=f"its new state: {refusal.message}", **used)
    return _completed(state, run, new, outcome, used)


def _completed(
    state: PractitionerState, run: e.Run, new: ArchetypalState, outcome: RunOutcome, used: Mapping[str, Any]
) -> e.RunCompleted:
    """A version also where the ritual left the state as it was: that it was run stands in the chain."""
    version = chain.next_version(state.id, state.version, new)
    intensity = t.intensity(state.archetypal_state, new)
    result = t.TransformationResult(
        new_state=new,
        transformation_intensity=intensity,
        emerged_symbols=outcome.emerged_symbols,
        integration_required=outcome.integration_required,
        next_rituals_suggested=t.suggestions(new),
        oracle_consultation_recommended=t.oracle_recommended(intensity, outcome.emerged_symbols),
        session_id=run.id,
        ritual_id=run.ritual,
        state_id=version.id,
        state_hash=version.hash,
        clamped=outcome.clamped,
        log=outcome.log,
        resonance=outcome.resonance,
        **used,
    )
    return e.RunCompleted(version=version, result=result)


# Await


def await_run(state: PractitionerState, command: c.AwaitRun, context: Context) -> Decision:
    """The run's result, when there is one. Raises the error that it ended with; NotFound where it is not remembered."""
    own(state, context)
    if state.run is not None and state.run.id == command.run:
        return Decision(park=True)
    end = state.runs.get(command.run)
    if end is None:
        raise NotFound("this run is not among the newest")
    return Decision(reply=_result(end))


def _result(end: RunEnd) -> t.TransformationResult:
    if end.result is None:
        if end.code == ActorUnavailable.code:  # retryable would mean the same id, which is told the same for ever
            raise RitualFailed(end.message)
        raise CODES.get(end.code or "", Internal)(end.message)
    return end.result


def await_contribution(state: PractitionerState, command: c.AwaitContribution, context: Context) -> Decision:
    """The contribution to a group ritual, when there is one. Raises NotFound where there is no part in it."""
    of_the_runtime(context)
    part = state.groups.get(command.group)
    if part is None:
        raise NotFound("no part in this group ritual")
    return Decision(park=True) if part.contribution is None else Decision(reply=part.contribution)


def settle_group(state: PractitionerState, command: c.SettleGroup, context: Context) -> Decision:
    """The space knows. A part that is still queued then (it counted as failed there) is not begun any more."""
    of_the_runtime(context)
    events = (e.GroupSettled(group=command.group),) if command.group in state.groups else ()
    return Decision(events=events, reply={})


# Afterwards


def annotate_run(state: PractitionerState, command: c.AnnotateRun, context: Context) -> Decision:
    """Notes, and a rating, which goes to the ritual."""
    own(state, context)
    given: dict[str, Any] = {
        name: value
        for name in ("subjective_experience", "integration_notes", "effectiveness_rating")
        if (value := getattr(command, name)) is not UNSET
    }
    if not given:
        return Decision(reply=annotation(command))
    if "effectiveness_rating" in given:
        given["rating_version"] = state.ratings_given + 1
    annotated = e.RunAnnotated(run=command.run, ritual=command.ritual, **given)
    return Decision(events=(annotated,), reply=annotation(annotated))


def annotation(of: e.RunAnnotated | c.AnnotateRun) -> Mapping[str, Any]:
    """What was said of a run: the fields that were given."""
    said = {
        "session_id": of.run,
        "ritual_id": of.ritual,
        "subjective_experience": of.subjective_experience,
        "integration_notes": of.integration_notes,
        "effectiveness_rating": of.effectiveness_rating,
    }
    return {name: value for name, value in said.items() if value is not UNSET}


def settled(state: PractitionerState, done: EffectDone, context: Context) -> Decision:
    """A ritual knows of its use or rating (or never will: it said no). An effect that is not owed changes nothing."""
    if done.id not in state.uses and done.id not in state.ratings:
        return Decision()
    return Decision(events=(e.EffectSettled(effect=done.id),))

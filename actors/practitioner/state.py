"""The state of a practitioner: the fold of their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from msgspec import UNSET, structs

from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version
from actors.practitioner.commands import Farewell
from actors.practitioner.transformation import TransformationResult
from actors.ritual.values import Contribution, group_run_id
from actors.runtime.codec import Codec
from actors.runtime.entity import Struct

T = TypeVar("T")

RUNS_KEPT: Final = 8
"""Ends of runs, and insights, that a retry is answered with from memory; older ones stand in their tables."""
GROUPS_MAX: Final = 64
"""Parts in group rituals whose space has not said yet that it knows the contribution. A further one is refused until it has,
so none is ever forgotten before; the fold's own bound is that of journals written when the oldest was."""


class RunEnd(Struct, frozen=True, kw_only=True):
    """How a run ended: with a result, or with the code and message of an error."""

    result: TransformationResult | None = None
    code: str | None = None
    message: str = ""


class Part(Struct, frozen=True, kw_only=True):
    """The part in a group ritual; its contribution is None until the run has ended."""

    run: str
    contribution: Contribution | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """What was used up in a day (UTC)."""

    day: str = ""
    runs: int = 0
    fuel: int = 0


class Use(Struct, frozen=True, kw_only=True):
    """A completed run of which its ritual does not know yet."""

    ritual: str
    run: str


class Rated(Struct, frozen=True, kw_only=True):
    """A rating of which its ritual does not know yet."""

    ritual: str
    rating: int
    version: int


class Leaving(Struct, frozen=True, kw_only=True):
    """An account on its way out; see ``leaving``."""

    farewells: Mapping[str, Farewell] = {}
    """Not yet answered, by effect."""
    steps: tuple[int, int] | None = None
    """Of a large account: how many are left. None: not yet counted."""
    stepped_at: datetime


class PractitionerState(Struct, frozen=True, kw_only=True):
    """A practitioner; before ``created_at`` is set there is none."""

    id: str
    email: str = ""
    password_hash: str = ""
    profile: e.Profile = e.Profile()
    oracle_consent: bool = False
    archetypal_state: ArchetypalState = ArchetypalState()
    version: Version | None = None
    """Of the archetypal state; None before the first one that was counted."""
    sessions: Mapping[str, e.AuthSession] = {}
    """Logins that count, by id, oldest first."""
    run: e.Run | None = None
    """The open run: at most one."""
    runs: Mapping[str, RunEnd] = {}
    """The newest runs that ended, by id, oldest first."""
    groups: Mapping[str, Part] = {}
    """Parts in group rituals, by the group's id, oldest first, until the space settles them."""
    queue: tuple[e.GroupQueued, ...] = ()
    """Those of them that have not begun, first come first. Empty where no run is open: a run's end begins the next."""
    usage: Usage = Usage()
    uses: Mapping[str, Use] = {}
    """Owed to rituals, by the effect's id."""
    ratings: Mapping[str, Rated] = {}
    """Likewise; one a ritual, the newest."""
    reflection: e.Reflection | None = None
    """The open consultation of the oracle: at most one."""
    insights: Mapping[str, e.InsightReceived | None] = {}
    """The newest consultations that ended, by id, oldest first; None: without an insight."""
    runs_begun: int = 0
    ratings_given: int = 0
    reflections_begun: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    leaving: Leaving | None = None
    erased_at: datetime | None = None
    """There was a practitioner, and nothing else is known of them."""


codec: Final[Codec[PractitionerState]] = Codec(PractitionerState, e.FORMAT)


def evolve(state: PractitionerState, event: e.PractitionerEvent, at: datetime) -> PractitionerState:
    """The state after the event."""
    return _FOLD[type(event)](state, event, at)


def use_id(run: e.Run) -> str:
    """Of the effect that tells a ritual of its use."""
    return f"use-{run.number}"


def number_of_use(effect: str) -> int:
    """The run's number, from the effect's id."""
    return int(effect.removeprefix("use-"))


def usage_on(state: PractitionerState, at: datetime) -> Usage:
    """What was used up on the day of ``at``."""
    day = at.date().isoformat()
    return state.usage if state.usage.day == day else Usage(day=day)


def _newest(kept: Mapping[str, T], id_: str, value: T, most: int) -> dict[str, T]:
    """With one more, without the oldest beyond ``most``."""
    all_ = {**kept, id_: value}
    return {key: all_[key] for key in list(all_)[-most:]}


def _without(kept: Mapping[str, T], id_: str) -> dict[str, T]:
    return {key: value for key, value in kept.items() if key != id_}


def _registered(state: PractitionerState, event: e.Registered, at: datetime) -> PractitionerState:
    return PractitionerState(
        id=state.id,
        email=event.email,
        password_hash=event.password_hash,
        profile=event.profile,
        created_at=at,
        updated_at=at,
    )


def _profile_updated(state: PractitionerState, event: e.ProfileUpdated, at: datetime) -> PractitionerState:
    return structs.replace(state, profile=event.profile, updated_at=at)


def _password_changed(state: PractitionerState, event: e.PasswordChanged, at: datetime) -> PractitionerState:
    return structs.replace(state, password_hash=event.password_hash, updated_at=at)


def _consent_changed(state: PractitionerState, event: e.OracleConsentChanged, at: datetime) -> PractitionerState:
    return structs.replace(state, oracle_consent=event.oracle_consent, updated_at=at)


def _state_updated(state: PractitionerState, event: e.ArchetypalStateUpdated, at: datetime) -> PractitionerState:
    return structs.replace(state, archetypal_state=event.state, version=event.version)


def _session_opened(state: PractitionerState, event: e.SessionOpened, at: datetime) -> PractitionerState:
    return structs.replace(state, sessions={**state.sessions, event.session.id: event.session})


def _session_closed(state: PractitionerState, event: e.SessionClosed, at: datetime) -> PractitionerState:
    closed = {session.id for session in event.sessions}
    return structs.replace(state, sessions={id_: s for id_, s in state.sessions.items() if id_ not in closed})


def _invitation(state: PractitionerState, event: e.InvitationReceived, at: datetime) -> PractitionerState:
    return state


def _run_started(state: PractitionerState, event: e.RunStarted, at: datetime) -> PractitionerState:
    run, usage = event.run, usage_on(state, at)
    groups, queue = state.groups, state.queue
    if run.group is not None:
        groups = _newest(groups, run.group, Part(run=run.id), GROUPS_MAX)
        queue = _waiting(queue, run.group)
    return structs.replace(
        state,
        run=run,
        runs_begun=run.number,
        usage=structs.replace(usage, runs=usage.runs + 1),
        groups=groups,
        queue=queue,
    )


def _run_completed(state: PractitionerState, event: e.RunCompleted, at: datetime) -> PractitionerState:
    result, run = event.result, state.run
    new = result.new_state
    contribution = Contribution(
        status="transformed",
        archetypes=new.archetypes,
        energies=new.energies,
        symbols=new.symbols,
        intensity=result.transformation_intensity,
        oracle_consent=state.oracle_consent,
    )
    ended = _run_ended(state, RunEnd(result=result), contribution, result.fuel, at)
    uses = state.uses if run is None else {**state.uses, use_id(run): Use(ritual=run.ritual, run=run.id)}
    return structs.replace(ended, archetypal_state=new, version=event.version, uses=uses)


def _run_failed(state: PractitionerState, event: e.RunFailed, at: datetime) -> PractitionerState:
    contribution = Contribution(status="failed", code=event.code, message=event.message)
    return _run_ended(state, RunEnd(code=event.code, message=event.message), contribution, event.fuel, at)


def _run_ended(
    state: PractitionerState, end: RunEnd, contribution: Contribution, fuel: int, at: datetime
) -> PractitionerState:
    run, usage, groups = state.run, usage_on(state, at), state.groups
    if run is None:
        return state
    if run.group is not None and run.group in groups:
        groups = {**groups, run.group: Part(run=run.id, contribution=contribution)}
    return structs.replace(
        state,
        run=None,
        runs=_newest(state.runs, run.id, end, RUNS_KEPT),
        groups=groups,
        usage=structs.replace(usage, fuel=usage.fuel + fuel),
    )


def _run_annotated(state: PractitionerState, event: e.RunAnnotated, at: datetime) -> PractitionerState:
    rating, version = event.effectiveness_rating, event.rating_version
    if rating is UNSET or version is UNSET:
        return state
    owed = Rated(ritual=event.ritual, rating=rating, version=version)
    others = {id_: rated for id_, rated in state.ratings.items() if rated.ritual != event.ritual}
    return structs.replace(state, ratings={**others, f"rate-{version}": owed}, ratings_given=version)


def _group_queued(state: PractitionerState, event: e.GroupQueued, at: datetime) -> PractitionerState:
    part = Part(run=group_run_id(event.group, state.id))
    groups = _newest(state.groups, event.group, part, GROUPS_MAX)
    return structs.replace(state, groups=groups, queue=(*state.queue, event))


def _waiting(queue: tuple[e.GroupQueued, ...], gone: str) -> tuple[e.GroupQueued, ...]:
    """The queue without a group's part."""
    return tuple(part for part in queue if part.group != gone) if queue else queue


def _group_settled(state: PractitionerState, event: e.GroupSettled, at: datetime) -> PractitionerState:
    return structs.replace(state, groups=_without(state.groups, event.group), queue=_waiting(state.queue, event.group))


def _effect_settled(state: PractitionerState, event: e.EffectSettled, at: datetime) -> PractitionerState:
    leaving = state.leaving
    if leaving is not None:
        leaving = structs.replace(leaving, farewells=_without(leaving.farewells, event.effect), stepped_at=at)
    return structs.replace(
        state, uses=_without(state.uses, event.effect), ratings=_without(state.ratings, event.effect), leaving=leaving
    )


def _reflection_requested(state: PractitionerState, event: e.ReflectionRequested, at: datetime) -> PractitionerState:
    return structs.replace(state, reflection=event.reflection, reflections_begun=event.reflection.number)


def _insight_received(state: PractitionerState, event: e.InsightReceived, at: datetime) -> PractitionerState:
    return structs.replace(state, reflection=None, insights=_newest(state.insights, event.id, event, RUNS_KEPT))


def _reflection_failed(state: PractitionerState, event: e.ReflectionFailed, at: datetime) -> PractitionerState:
    return structs.replace(state, reflection=None, insights=_newest(state.insights, event.id, None, RUNS_KEPT))


def _leaving(state: PractitionerState, event: e.AccountLeaving, at: datetime) -> PractitionerState:
    """What only a living account needs is dropped; contributions that were made are kept, for spaces that ask again."""
    farewells = {f"farewell-{number}": farewell for number, farewell in enumerate(event.farewells, start=1)}
    return structs.replace(
        state,
        leaving=Leaving(farewells=farewells, stepped_at=at),
        run=None,
        queue=(),
        reflection=None,
        groups={id_: part for id_, part in state.groups.items() if part.contribution is not None},
    )


def _purged(state: PractitionerState, event: e.AccountPurged, at: datetime) -> PractitionerState:
    assert state.leaving is not None, "no step is decided before"
    return structs.replace(
        state, leaving=structs.replace(state.leaving, steps=(event.first, event.last), stepped_at=at)
    )


def _erased(state: PractitionerState, event: e.AccountErased, at: datetime) -> PractitionerState:
    return PractitionerState(id=state.id, erased_at=at)


_FOLD: Final[Mapping[type, Callable[[PractitionerState, Any, datetime], PractitionerState]]] = {
    e.Registered: _registered,
    e.ProfileUpdated: _profile_updated,
    e.OracleConsentChanged: _consent_changed,
    e.PasswordChanged: _password_changed,
    e.ArchetypalStateUpdated: _state_updated,
    e.SessionOpened: _session_opened,
    e.SessionClosed: _session_closed,
    e.InvitationReceived: _invitation,
    e.RunStarted: _run_started,
    e.RunCompleted: _run_completed,
    e.RunFailed: _run_failed,
    e.RunAnnotated: _run_annotated,
    e.GroupQueued: _group_queued,
    e.GroupSettled: _group_settled,
    e.EffectSettled: _effect_settled,
    e.ReflectionRequested: _reflection_requested,
    e.InsightReceived: _insight_received,
    e.ReflectionFailed: _reflection_failed,
    e.AccountLeaving: _leaving,
    e.AccountPurged: _purged,
    e.AccountErased: _erased,
}

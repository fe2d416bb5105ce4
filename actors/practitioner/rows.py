"""The rows of the seeds' tables that a practitioner's events make. Pure; values are plain, storage seals them.

A row of ``ritual_sessions`` is whole when its run begins; later events name the columns that they change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import UNSET, structs

from actors.practitioner import events as e
from actors.practitioner import leaving
from actors.practitioner.account import profile_fields
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version
from actors.practitioner.state import PractitionerState
from actors.practitioner.transformation import as_column
from actors.runtime.entity import ConfirmClaim, Delete, ReleaseClaim, Row, Upsert

EMAIL_SCOPE: Final = "practitioner.email"
MODEL_MAX: Final = 100
"""The seed's VARCHAR(100) of ``oracle_model``."""


def rows(event: e.PractitionerEvent, state: PractitionerState, at: datetime) -> Iterable[Row]:
    """What an event, which led to ``state``, makes of the tables."""
    match event:
        case e.Registered():
            return _account(state), ConfirmClaim(scope=EMAIL_SCOPE, name=state.email)
        case e.ProfileUpdated() | e.PasswordChanged():
            return (_account(state),)
        case e.OracleConsentChanged(oracle_consent=consent):
            return (_upsert("practitioners", state.id, oracle_consent=consent, updated_at=at),)
        case e.SessionOpened(session=session):
            return (_login(state, session, None),)
        case e.SessionClosed(sessions=sessions):
            return tuple(_login(state, session, at) for session in sessions)
        case e.ArchetypalStateUpdated(version=Version() as version):
            return (_version(state, version, event.state, event.origin, None, at),)
        case e.InsightReceived():
            return _insight(state, event, at)
        case e.AccountPurged():
            return leaving.purges(event, state)
        case e.AccountErased(email=email):
            # What refers to the practitioner's row goes with it.
            return Delete(table="practitioners", id=state.id), ReleaseClaim(scope=EMAIL_SCOPE, name=email)
        case _:
            return _of_a_run(event, state, at)


def _of_a_run(event: e.PractitionerEvent, state: PractitionerState, at: datetime) -> Iterable[Row]:
    match event:
        case e.RunStarted(run=run):
            return (_begun(state, run),)
        case e.RunCompleted():
            return _completed(state, event, at)
        case e.RunFailed():
            return (_failed(event, at),)
        case e.RunAnnotated():
            return tuple(_annotated(event))
        case _:
            return ()


def _upsert(table: str, id_: str, **values: Any) -> Upsert:
    return Upsert(table=table, values={"id": id_, **values})


def _account(state: PractitionerState) -> Upsert:
    return _upsert(
        "practitioners",
        state.id,
        email=state.email,
        password_hash=state.password_hash,
        **profile_fields(state.profile),
        created_at=state.created_at,
        updated_at=state.updated_at,
    )


def _login(state: PractitionerState, session: e.AuthSession, revoked_at: datetime | None) -> Upsert:
    values = {**structs.asdict(session), "practitioner_id": state.id, "revoked_at": revoked_at}
    return Upsert(table="auth_sessions", values=values)


def _version(
    state: PractitionerState, version: Version, new: ArchetypalState, origin: str, run: str | None, at: datetime
) -> Upsert:
    parts: Mapping[str, Any] = structs.asdict(new)
    return _upsert(
        "archetypal_states",
        version.id,
        practitioner_id=state.id,
        state_data=parts,
        **parts,
        state_hash=version.hash,
        prev_hash=version.prev_hash,
        version=version.number,
        origin=origin,
        session_id=run,
        created_at=at,
    )


def _begun(state: PractitionerState, run: e.Run) -> Upsert:
    return _upsert(
        "ritual_sessions",
        run.id,
        practitioner_id=state.id,
        ritual_id=run.ritual,
        pre_state_id=run.pre_state_id,
        status="running",
        intention=run.intention,
        parameters=run.parameters,
        participants=run.participants,
        module_hash=run.module_hash,
        group_id=run.group,
        space_id=run.space,
        created_at=run.started_at,
    )


def _completed(state: PractitionerState, event: e.RunCompleted, at: datetime) -> Iterable[Row]:
    result = event.result
    yield _version(state, event.version, result.new_state, "ritual", result.session_id, at)
    yield _upsert(
        "ritual_sessions",
        result.session_id,
        post_state_id=event.version.id,
        execution_duration_ms=round(result.duration_ms),
        transformation_intensity=as_column(result.transformation_intensity),
        status="completed",
        fuel=result.fuel,
        result=result,
        ended_at=at,
    )


def _failed(event: e.RunFailed, at: datetime) -> Upsert:
    return _upsert(
        "ritual_sessions",
        event.run,
        execution_duration_ms=round(event.duration_ms),
        status="failed",
        error_code=event.code,
        error_message=event.message,
        fuel=event.fuel,
        ended_at=at,
    )


def _annotated(event: e.RunAnnotated) -> Iterable[Row]:
    given = {
        name: value
        for name in ("subjective_experience", "integration_notes", "effectiveness_rating")
        if (value := getattr(event, name)) is not UNSET
    }
    yield _upsert("ritual_sessions", event.run, **given)


def _insight(state: PractitionerState, event: e.InsightReceived, at: datetime) -> Iterable[Row]:
    insight = event.insight
    yield _upsert(
        "oracle_insights",
        event.id,
        session_id=event.session_id,
        practitioner_id=state.id,
        insight_type=insight.insight_type,
        archetypal_analysis=insight.symbolic_analysis,
        integration_suggestions=insight.integration_guidance,
        symbolic_emergence=insight.emergent_symbols,
        interpretation=insight.interpretation,
        cautions=insight.cautions,
        next_rituals=insight.next_rituals,
        oracle_model=insight.oracle_model[:MODEL_MAX],
        confidence_score=insight.confidence_score,
        notice=insight.notice,
        created_at=at,
    )
    if event.session_id is not None:
        yield _upsert("ritual_sessions", event.session_id, ai_interpretation=insight.interpretation)

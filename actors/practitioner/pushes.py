"""The numbered pushes of a practitioner's own stream, from the event alone. Pure; no secret is in one."""

from __future__ import annotations

from typing import Any

import msgspec

from actors.practitioner import events as e
from actors.practitioner.account import profile_fields
from actors.practitioner.reflection import insight_object
from actors.practitioner.runs import annotation
from actors.runtime.entity import Published


def publish(event: e.PractitionerEvent) -> Published | None:
    """The push of an event; None of registering, of a baseline (nothing changed), of what only the runtime is told."""
    match event:
        case e.ProfileUpdated(profile=profile):
            return Published(event="profile_updated", body=profile_fields(profile))
        case e.OracleConsentChanged(oracle_consent=consent):
            return Published(event="oracle_consent_changed", body={"oracle_consent": consent})
        case e.ArchetypalStateUpdated(origin=origin) if origin != "baseline":
            return Published(event="archetypal_state_updated", body=_state(event))
        case e.SessionOpened(session=session):
            return Published(event="session_opened", body={"session": session.id})
        case e.SessionClosed(sessions=sessions, reason=reason):
            closed = {"sessions": [session.id for session in sessions], "reason": reason}
            return Published(event="session_closed", body=closed)
        case e.InvitationReceived():
            body = {"space": event.space, "name": event.name}
            return Published(event="invitation", body=body, sender=(event.by, event.by_name))
        case e.InsightReceived():
            return Published(event="insight", body=insight_object(event))
        case _:
            return _of_a_run(event)


def _of_a_run(event: e.PractitionerEvent) -> Published | None:
    match event:
        case e.RunStarted(run=run):
            body = {"session_id": run.id, "ritual_id": run.ritual, "name": run.ritual_name}
            return Published(event="ritual_started", body=body)
        case e.RunCompleted(result=result):
            return Published(event="ritual_completed", body=result)
        case e.RunFailed():
            body = {"session_id": event.run, "code": event.code, "message": event.message}
            return Published(event="ritual_failed", body=body)
        case e.RunAnnotated():
            return Published(event="run_annotated", body=annotation(event))
        case _:
            return None


def _state(event: e.ArchetypalStateUpdated) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(event.state)
    if event.version is None:
        return body
    return body | {"state_id": event.version.id, "state_hash": event.version.hash, "origin": event.origin}

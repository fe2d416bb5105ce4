"""Reflections: the oracle asked about a run, or about the state as it is. Pure.

    Reflect ──▶ ReflectionRequested ──effect "consult-n" to the oracle──▶ InsightReceived
                         └──the oracle cannot, alarm "reflection-deadline"──▶ ReflectionFailed

One at a time. The oracle's rules always answer, so failing is rare; then nothing is stored and the practitioner is told to ask
anew. Whether anything may leave the server is the practitioner's word at the time of sending: a consent that was withdrawn
meanwhile counts, one that was given meanwhile does not.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any, Final

import msgspec
from msgspec import structs

from actors.oracle.values import Consult, Insight, insight_codec
from actors.practitioner import archetypal_state
from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.guards import own
from actors.practitioner.replies import nul_free
from actors.practitioner.state import PractitionerState
from actors.ritual.values import NAMESPACE
from actors.runtime.entity import AlarmFired, Context, Decision, EffectDone
from actors.runtime.errors import BadRequest, Conflict, NotFound

DEADLINE: Final = "reflection-deadline"
DEADLINE_AFTER: Final = timedelta(seconds=300)
"""Beyond any model's time-out and retries: a reflection that never ends would keep every later one out."""


def reflection_id_of(operation: str) -> str:
    """The id of the reflection that an operation asks for, and of its insight."""
    return str(uuid.uuid5(NAMESPACE, f"reflection:{operation}"))


def effect_id(reflection: e.Reflection) -> str:
    """Of the effect that asks the oracle."""
    return f"consult-{reflection.number}"


def consult(state: PractitionerState, reflection: e.Reflection) -> Consult:
    """What the oracle is asked now."""
    return structs.replace(reflection.consult, consent=reflection.consult.consent and state.oracle_consent)


def reflect(state: PractitionerState, command: c.Reflect, context: Context) -> Decision:
    """Ask the oracle."""
    own(state, context)
    if context.operation is None:
        raise BadRequest("a reflection needs an operation id, from which its own follows")
    id_ = reflection_id_of(context.operation)
    asked = state.reflection
    if id_ in state.insights or (asked is not None and asked.consult.id == id_):
        return Decision(reply={"id": id_})
    if asked is not None:
        raise Conflict("the oracle is being asked already; wait for its answer")
    reflection = e.Reflection(
        number=state.reflections_begun + 1,
        session_id=None if command.run is None else command.run.id,
        consult=_question(state, command.run, id_),
        asked_at=context.now,
    )
    return Decision(events=(e.ReflectionRequested(reflection=reflection),), reply={"id": id_})


def _question(state: PractitionerState, run: c.RunToReflect | None, id_: str) -> Consult:
    if run is None:
        return Consult(id=id_, consent=state.oracle_consent, post=state.archetypal_state)
    return Consult(
        id=id_,
        consent=state.oracle_consent,
        ritual_name=run.ritual_name,
        intention=run.intention,
        pre=archetypal_state.check(run.pre),
        post=archetypal_state.check(run.post),
        intensity=run.intensity,
    )


def await_reflection(state: PractitionerState, command: c.AwaitReflection, context: Context) -> Decision:
    """The insight, when there is one. Raises Conflict where none was to be had, NotFound where it is not remembered."""
    own(state, context)
    if state.reflection is not None and state.reflection.consult.id == command.id:
        return Decision(park=True)
    if command.id not in state.insights:
        raise NotFound("this insight is not among the newest")
    received = state.insights[command.id]
    if received is None:
        raise Conflict("the oracle did not answer; ask anew")  # not retryable: the same id would be told the same
    return Decision(reply=insight_object(received))


def insight_object(received: e.InsightReceived) -> dict[str, Any]:
    """An insight as its practitioner sees it."""
    return {"id": received.id, "session_id": received.session_id, **structs.asdict(received.insight)}


def answered(state: PractitionerState, done: EffectDone, context: Context) -> Decision:
    """The oracle's answer. Of a reflection that is no longer open it changes nothing."""
    asked = state.reflection
    if asked is None or done.id != effect_id(asked):
        return Decision()
    insight = _insight(done)
    if insight is None:
        return Decision(events=(e.ReflectionFailed(id=asked.consult.id),))
    received = e.InsightReceived(id=asked.consult.id, session_id=asked.session_id, insight=insight)
    return Decision(events=(received,))


def _insight(done: EffectDone) -> Insight | None:
    if done.error is not None or done.reply is None:
        return None
    try:
        return insight_codec.decode(insight_codec.format, nul_free(bytes(done.reply)))
    except msgspec.MsgspecError:
        return None


def overdue(state: PractitionerState, alarm: AlarmFired, context: Context) -> Decision:
    """The alarm of an open reflection."""
    asked = state.reflection
    if asked is None or context.now < asked.asked_at + DEADLINE_AFTER:
        return Decision()  # of an earlier one
    return Decision(events=(e.ReflectionFailed(id=asked.consult.id),))

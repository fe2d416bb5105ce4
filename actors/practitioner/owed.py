"""What a practitioner's state still owes: a run to a sandbox, a question to the oracle, uses and ratings to rituals. Pure.

Sessions owe nothing: they end by their own date wherever they are looked at.
"""

from __future__ import annotations

from actors.oracle import values as oracle
from actors.practitioner import leaving, runs
from actors.practitioner import reflection as reflections
from actors.practitioner.events import Run
from actors.practitioner.state import PractitionerState, Rated, Use, number_of_use
from actors.ritual import commands as ritual
from actors.ritual import values as sandbox
from actors.runtime.entity import NOTHING_OWED, Address, Agenda, Effect


def agenda(state: PractitionerState) -> Agenda:
    """Alarms and effects. It is asked for after every change, most of which find nothing owed."""
    run, reflection = state.run, state.reflection
    if run is None and reflection is None and not state.uses and not state.ratings and state.leaving is None:
        return NOTHING_OWED
    alarms = leaving.alarms(state)
    effects = [_use(state, id_, use) for id_, use in state.uses.items()]
    effects += leaving.farewells(state)
    effects += [_rating(state, id_, rated) for id_, rated in state.ratings.items()]
    if run is not None:
        alarms[runs.DEADLINE] = run.started_at + runs.DEADLINE_AFTER
        effects.append(_run(state, run))
    if reflection is not None:
        alarms[reflections.DEADLINE] = reflection.asked_at + reflections.DEADLINE_AFTER
        command = oracle.encode(reflections.consult(state, reflection))
        effects.append(
            Effect(id=reflections.effect_id(reflection), target=Address("oracle", state.id), command=command)
        )
    return Agenda(alarms=alarms, effects={effect.id: effect for effect in effects})


def _run(state: PractitionerState, run: Run) -> Effect:
    """The state is what it was when the run began: nothing changes it meanwhile."""
    request = sandbox.RunRequest(
        run=run.id,
        ritual=run.ritual,
        module_hash=run.module_hash,
        state=state.archetypal_state,
        parameters=bytes(run.parameters),
        intention=run.intention,
        participants=run.participants,
    )
    return Effect(id=runs.effect_id(run), target=Address("sandbox", run.ritual), command=sandbox.encode(request))


def _use(state: PractitionerState, id_: str, use: Use) -> Effect:
    return Effect(
        id=id_,
        target=Address("ritual", use.ritual),
        command=ritual.encode(ritual.RecordUse(run=use.run)),
        series="use",  # a look into the ritual's journal for each was half of what a run cost
        number=number_of_use(id_),
    )


def _rating(state: PractitionerState, id_: str, rated: Rated) -> Effect:
    rate = ritual.Rate(practitioner=state.id, rating=rated.rating, version=rated.version)
    return Effect(id=id_, target=Address("ritual", rated.ritual), command=ritual.encode(rate))

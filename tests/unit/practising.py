"""Drives a practitioner through rituals and reflections: effects are taken from the agenda and answered by hand."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from driving import Driver, account, uuid

from actors.oracle import values as oracle
from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version, misfit
from actors.practitioner.entity import PractitionerKind, PractitionerLimits
from actors.ritual import commands as ritual
from actors.ritual.values import Brief, RunOutcome, codec, outcome_codec, run_id_of
from actors.runtime.codec import tag_of
from actors.runtime.entity import AlarmFired, Caller, Context, Decision, EffectDone
from actors.runtime.errors import SanghaError
from storage.tables import TABLES

SELF = account(1)
SPACE = uuid(80)
BRIEF = Brief(id=uuid(70), name="Descent", module_hash="ab" * 32)
NEW = ArchetypalState(archetypes={"Shadow": 0.75}, energies={"fire": 0.5}, symbols=("moon",))
INSIGHT = oracle.Insight(
    insight_type="interpretation",
    interpretation="The moon rises.",
    symbolic_analysis=("Shadow rose by 0.25",),
    integration_guidance=("Walk at night.",),
    emergent_symbols=("moon",),
    next_rituals=("shadow_integration",),
    cautions=(),
    oracle_model="rules-v1",
)
OLD = ArchetypalState(archetypes={"Shadow": 0.5}, energies={"fire": 0.5})
RUN = run_id_of("s:1")
NEEDY = msgspec.structs.replace(
    BRIEF, required_archetypes=("Shadow", "Sage", "Fool"), energy_requirements={"fire": 0.5, "air": 0.25}
)


class Practitioner(Driver):
    """Registered, and nothing else yet."""

    def __init__(self, limits: PractitionerLimits | None = None) -> None:
        super().__init__(PractitionerKind(limits), SELF.practitioner)
        self.operation: str | None = None
        self.do(c.Register(email="maya@example.org", password_hash="argon2-secret"), SELF)

    def context(self, caller: Caller | None = None) -> Context:
        return msgspec.structs.replace(super().context(caller), operation=self.operation)

    def ask(self, command: Any, operation: str, caller: Caller | None = SELF) -> Any:
        """As the runtime does: decide with the operation; then what is awaited in its place, None while that is parked."""
        self.operation = operation
        try:
            self.do(command, caller)
        finally:
            self.operation = None
        return self.awaited(command, operation, caller)

    def awaited(self, command: Any, operation: str, caller: Caller | None = SELF) -> Any:
        awaits = self.kind.awaits(command, operation, self.id)
        decision = self.do(awaits, caller)
        return None if decision.park else json(decision.reply)

    # Effects

    def owed(self) -> list[str]:
        return list(self.kind.agenda(self.state).effects)

    def request(self, effect: str) -> Any:
        command = self.kind.agenda(self.state).effects[effect].command
        kinds = {"sandbox": codec, "oracle": oracle.codec, "ritual": ritual.codec}
        return kinds[self.kind.agenda(self.state).effects[effect].target.kind].decode(command)

    def answer(self, effect: str, value: Any) -> Decision:
        encoded = outcome_codec.encode(value) if isinstance(value, RunOutcome) else msgspec.json.encode(value)
        return self.do(EffectDone(id=effect, reply=encoded))

    def refuse(self, effect: str, error: str) -> Decision:
        return self.do(EffectDone(id=effect, error=error))

    def alarm(self, name: str) -> Decision:
        return self.do(AlarmFired(name=name))

    # A run

    def run(self, operation: str = "s:1", brief: Brief = BRIEF, **fields: Any) -> Any:
        return self.ask(c.RunRitual(brief=brief, **fields), operation)

    def completed(self, operation: str = "s:1", new: ArchetypalState = NEW, **outcome: Any) -> Any:
        """A whole run; its result."""
        assert self.run(operation) is None
        self.answer(f"run-{self.state.runs_begun}", RunOutcome(state=new, **outcome))
        return json(self.do(c.AwaitRun(run=run_id_of(operation)), SELF).reply)

    # What the tables hold

    def table(self, name: str) -> dict[str, dict[str, Any]]:
        """By id; a later row changes the columns that it names."""
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows:
            if getattr(row, "table", None) == name:
                assert row.values.keys() <= TABLES[name].columns
                found.setdefault(row.values["id"], {}).update(row.values)
        return found

    def assert_chain(self) -> None:
        """The rows of states are the chain, and it ends where the state is."""
        last: Version | None = None
        for row in self.table("archetypal_states").values():
            recorded = Version(number=row["version"], id=row["id"], hash=row["state_hash"], prev_hash=row["prev_hash"])
            state = msgspec.convert(row["state_data"], ArchetypalState)
            assert misfit(self.id, last, recorded, state) is None
            last = recorded
        assert last == self.state.version


def json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def group(n: int = 90, **fields: Any) -> c.RunInGroup:
    return c.RunInGroup(group=uuid(n), space=SPACE, participants=12, **{"brief": BRIEF} | fields)


def practitioner(old: ArchetypalState | None = OLD, limits: PractitionerLimits | None = None) -> Practitioner:
    found = Practitioner(limits)
    if old is not None:
        found.do(c.PutArchetypalState(state=old), SELF)
    return found


def refused(
    who: Practitioner, error: type[SanghaError], command: Any, operation: str = "s:1", caller: Any = SELF
) -> str:
    before = who.state
    with pytest.raises(error) as refusal:
        who.ask(command, operation, caller)
    assert who.state is before
    return refusal.value.message


def event_types(decision: Decision) -> list[str]:
    return [tag_of(event) for event in decision.events]

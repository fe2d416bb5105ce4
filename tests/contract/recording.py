"""A practitioner as the runtime records them: real decisions, their events and rows committed together."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from making import NOW, ritual

from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.entity import PractitionerKind
from actors.practitioner.runs import effect_id
from actors.ritual.values import Brief, RunOutcome, codec, group_run_id, outcome_codec, run_id_of
from actors.runtime.entity import Caller, Context, Delete, EffectDone, Upsert
from actors.runtime.ports import Batch, JournalRow, Store
from storage.replay import Sandbox

FIRST = ArchetypalState(archetypes={"Shadow": 0.25, "Light": 0.75, "Aa": 1.0}, energies={"fire": 0.125, "air": 1e-9})


class Recorded:
    """One practitioner in a store that has been acquired."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.id = str(uuid4())
        self.kind = PractitionerKind()
        self.state = self.kind.initial(self.id)
        self.seq = 0

    async def register(self) -> Recorded:
        await self.do(c.Register(email=f"{self.id}@example.org", password_hash="h" * 64))
        return self

    async def put(self, *states: ArchetypalState) -> Recorded:
        for state in states:
            await self.do(c.PutArchetypalState(state=state))
        return self

    async def do(self, command: Any, operation: str | None = None) -> None:
        at = NOW + timedelta(seconds=self.seq)
        group = isinstance(command, c.RunInGroup | EffectDone)
        caller = None if group else Caller(practitioner=self.id)
        context = Context(entity_id=self.id, now=at, next_offset=self.seq + 1, caller=caller, operation=operation)
        journal, rows = [], []
        for event in self.kind.decide(self.state, command, context).events:
            self.seq += 1
            self.state = self.kind.evolve(self.state, event, at)
            rows += [row for row in self.kind.rows(event, self.state, at) if isinstance(row, Upsert | Delete)]
            journal.append(
                JournalRow(
                    entity_id=self.id,
                    seq=self.seq,
                    at=at,
                    event_type=self.kind.event_type(event),
                    format=self.kind.format,
                    data=self.kind.encode_event(event),
                )
            )
        await self.store.commit(Batch(journal=journal, rows=rows))

    async def run(self, brief: Brief, sandbox: Sandbox, group: str | None = None, **fields: Any) -> str:
        """A whole run; its id."""
        if group is None:
            operation = f"s:{self.seq}"
            session = run_id_of(operation)
            await self.do(c.RunRitual(brief=brief, **fields), operation)
        else:
            session = group_run_id(group, self.id)
            await self.do(c.RunInGroup(group=group, space=str(uuid4()), brief=brief, participants=3, **fields))
        assert self.state.run is not None
        effect = self.kind.agenda(self.state).effects[effect_id(self.state.run)]
        outcome: RunOutcome = sandbox.run(codec.decode(effect.command))  # type: ignore[arg-type]
        await self.do(EffectDone(id=effect.id, reply=outcome_codec.encode(outcome)))
        return session


def uploaded(module: bytes, module_hash: str, name: str = "n") -> tuple[Upsert, Brief]:
    row = ritual(name=name, wasm_module_data=module, wasm_module_hash=module_hash)
    return row, Brief(id=row.values["id"], name=name, module_hash=module_hash)

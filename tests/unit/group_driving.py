"""Drives a space through group rituals: commands with an operation, participants' outcomes, the timer."""

from __future__ import annotations

from typing import Any

import msgspec
from driving import Driver, account, uuid

from actors.oracle.values import Insight
from actors.ritual.values import Brief, Contribution
from actors.runtime.entity import AlarmFired, Context, Decision, EffectDone, Tick
from actors.space import commands as c
from actors.space import group as g
from actors.space.entity import SpaceKind, SpaceLimits

BRIEF = Brief(id=uuid(70), name="attunement", module_hash="0" * 64)
INSIGHT = Insight(insight_type="guidance", interpretation="together", oracle_model="rules-v1", cautions=("rest",))
DONE = Contribution(status="transformed", archetypes={"Light": 0.5}, symbols=("circle",), intensity=0.25)
A, B, C = account(1), account(2), account(3)


class Circle(Driver):
    """A space of accounts, all joined and attached; the first facilitates."""

    def __init__(self, n: int = 2, limits: SpaceLimits | None = None, **fields: Any) -> None:
        super().__init__(SpaceKind(limits or SpaceLimits()))
        self.operations = 0
        self.do(c.CreateSpace(**{"name": "Circle", "purpose": "to sit", "access_level": "open", **fields}), A)
        for i in range(1, n + 1):
            self.enter(account(i))
        self.wait(20)

    def context(self, caller: Any = None) -> Context:
        context = super().context(caller)
        if caller is None:
            return context
        self.operations += 1
        return msgspec.structs.replace(context, operation=f"session:{self.operations}")

    def enter(self, caller: Any) -> None:
        self.do(c.Join(), caller)
        self.attach(caller)

    def restart(self) -> None:
        """Memory is gone; what the journal says is not."""
        self.live, self.present = None, {}
        self.state = self.kind.decode_state(self.kind.format, self.kind.encode_state(self.replayed()))

    def begin(self, **options: Any) -> Any:
        options = {"starts_in_s": 10, "opening_s": 3, "integration_s": 3} | options
        return self.reply(c.BeginRitual(brief=BRIEF, **options), A)

    def tick(self, seconds: float = 0) -> Decision:
        self.wait(seconds)
        return self.do(Tick())

    def alarm(self, name: str = "ritual") -> Decision:
        """Fires when it is due, as the runtime would."""
        due = self.kind.agenda(self.state).alarms[name]
        self.now = max(self.now, due)
        decision = self.do(AlarmFired(name=name))
        assert self.kind.agenda(self.state).alarms.get(name) != due
        return decision

    def active(self, **options: Any) -> str:
        """A ritual whose participants are being transformed; its id."""
        run = self.begin(**options)["ritual_run"]
        self.tick(10)
        self.tick(3)
        assert self.stage == "active"
        return str(run)

    def integration(self, **options: Any) -> str:
        run = self.active(**options)
        for effect in self.owed("transform"):
            self.done(effect)
        assert self.stage == "integration"
        return run

    def done(self, effect: str, reply: Any = DONE, error: str | None = None) -> Decision:
        body = None if error is not None else msgspec.json.encode(reply)
        return self.do(EffectDone(id=effect, reply=body, error=error))

    def owed(self, what: str) -> list[str]:
        effects = self.kind.agenda(self.state).effects
        return [id_ for id_ in effects if id_.startswith(f"{what}-")]

    @property
    def group(self) -> g.GroupRitual:
        assert self.state.group is not None
        return self.state.group  # type: ignore[no-any-return]

    @property
    def stage(self) -> str | None:
        return None if self.state.group is None else self.state.group.stage

    @property
    def told(self) -> list[str]:
        return [published.event for _, published in self.frames if published.event.startswith("ritual_")]

    def body(self, event: str) -> Any:
        """Of the newest push of that name, as a client gets it."""
        bodies = [published.body for _, published in self.frames if published.event == event]
        return msgspec.json.decode(msgspec.json.encode(bodies[-1]))

    @property
    def summary(self) -> Any:
        return msgspec.json.decode(self.state.last)

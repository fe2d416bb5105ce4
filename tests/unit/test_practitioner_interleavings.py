"""A practitioner under every order of what can happen: commands, answers that repeat, come late or in another order, alarms
that are early or late, crashes. What must always hold is checked after each step, against the journal and not the state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from driving import uuid
from hypothesis import given
from hypothesis import strategies as st
from practising import BRIEF, INSIGHT, SELF, Practitioner, group

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.chain import Version, misfit
from actors.ritual.values import Contribution, RunOutcome, group_run_id
from actors.runtime.entity import NOTHING_OWED, Effect
from actors.runtime.errors import SanghaError

GROUPS = (uuid(90), uuid(91))
DEEP, QUEUED, WIDE = 8, 7, 4
"""Steps of every order of what concerns runs, of what concerns the queue of parts, and of every order of everything."""


class Model(Practitioner):
    """A practitioner; every effect that was ever issued, with what it said; every contribution that was ever told."""

    def __init__(self) -> None:
        super().__init__()
        self.do(c.PutArchetypalState(state=ArchetypalState(archetypes={"Shadow": 0.5})), SELF)
        self.issued: dict[str, Effect] = {}
        self.told: dict[str, Contribution] = {}
        self.settled: set[str] = set()

    def copy(self) -> Model:
        twin = Model.__new__(Model)
        for name, value in vars(self).items():
            setattr(twin, name, value.copy() if isinstance(value, (list, dict, set)) else value)
        return twin

    def key(self) -> tuple[Any, ...]:
        """What the future depends on."""
        return (self.kind.encode_state(self.state), self.now, *self.issued, *sorted(self.settled))

    def step(self, action: str) -> None:
        before = self.state
        try:
            ACTIONS[action](self)
        except SanghaError:
            assert self.state is before
        self.check(before)

    def answer_to(self, what: str, outcome: str, newest: bool) -> None:
        """An answer to the newest effect of a sort that was ever issued, or to the first: late, repeated, out of order."""
        effects = [id_ for id_ in self.issued if id_.startswith(what)]
        if not effects:
            return
        effect = effects[-1 if newest else 0]
        expected = self.ends_run() if what == "run" else 1
        owed = effect in self.owed()
        match outcome:
            case "new state":
                decision = self.answer(effect, RunOutcome(state=new_state(effect), fuel=1))
            case "failed":
                decision = self.answer(effect, RunOutcome(code="ritual_failed", message="no", fuel=1))
            case "done":
                decision = self.answer(effect, INSIGHT)
            case _:
                decision = self.refuse(effect, outcome)
        assert len(decision.events) == owed * expected

    def ends_run(self) -> int:
        """How many events the open run's end makes: with what is queued, the next part begins."""
        return 1 + bool(self.state.queue)

    def fire(self, name: str, after_s: float = 0) -> None:
        """An alarm does something when it is due, and nothing before (an earlier run's may still be on its way)."""
        self.wait(after_s)
        due_at = self.kind.agenda(self.state).alarms.get(name)
        expected = self.ends_run() if name == "run-deadline" else 1
        assert len(self.alarm(name).events) == (due_at is not None and due_at <= self.now) * expected

    def crash(self) -> None:
        self.state = self.replayed()

    # What must always hold

    def check(self, before: Any) -> None:
        events = [event for _, event in self.history]
        open_runs, changes = self.check_runs(events)
        assert changes == ([] if self.state.version is None else list(range(1, self.state.version.number + 1)))
        self.check_queue(events, open_runs)
        self.check_agenda(events, open_runs)
        self.check_contributions()
        if self.state is not before:
            assert self.replayed() == self.state
            assert self.kind.decode_state(1, self.kind.encode_state(self.state)) == self.state

    def check_runs(self, events: list[Any]) -> tuple[list[str], list[int]]:
        """At most one is open; each began once and ended at most once; only what may changes the state, in one chain."""
        begun: list[str] = []
        open_runs: list[str] = []
        state, version, numbers = ArchetypalState(), None, []
        for event in events:
            changed: tuple[Version, ArchetypalState] | None = None
            match event:
                case e.RunStarted(run=run):
                    assert not open_runs
                    assert run.id not in begun
                    begun.append(run.id)
                    open_runs.append(run.id)
                case e.RunCompleted(result=result):
                    assert open_runs == [result.session_id]
                    assert result.new_state == new_state(f"run-{len(begun)}")
                    changed = event.version, result.new_state
                    open_runs.clear()
                case e.RunFailed():
                    assert open_runs == [event.run]
                    open_runs.clear()
                case e.ArchetypalStateUpdated(version=Version() as updated):
                    assert not open_runs
                    changed = updated, event.state
            if changed is not None:
                assert misfit(self.id, version, *changed) is None
                version, state = changed
                numbers.append(version.number)
        assert (self.state.archetypal_state, self.state.version) == (state, version)
        return open_runs, numbers

    def check_queue(self, events: list[Any], open_runs: list[str]) -> None:
        """Parts begin in the order in which they came, once each, and nothing of one's own begins before them."""
        queue: list[str] = []
        queued: set[str] = set()
        for event in events:
            match event:
                case e.GroupQueued(group=id_):
                    assert id_ not in queued
                    queued.add(id_)
                    queue.append(id_)
                case e.RunStarted(run=run) if queue:
                    assert run.group == queue.pop(0)
        assert [part.group for part in self.state.queue] == queue
        assert open_runs or not queue
        for id_ in queue:
            assert self.kind.decide(self.state, c.AwaitContribution(group=id_), self.context()).park

    def check_agenda(self, events: list[Any], open_runs: list[str]) -> None:
        """Exactly what the journal says is open is owed; an effect never changes what it says."""
        agenda = self.kind.agenda(self.state)
        completed = sum(isinstance(event, e.RunCompleted) for event in events)
        asked = sum(isinstance(event, e.ReflectionRequested) for event in events)
        heard = sum(isinstance(event, e.InsightReceived | e.ReflectionFailed) for event in events)
        known = {event.effect for event in events if isinstance(event, e.EffectSettled)}
        uses = completed - len([effect for effect in known if effect.startswith("use")])
        sorts = Counter(effect.partition("-")[0] for effect in agenda.effects)
        assert (sorts["run"], sorts["consult"], sorts["use"]) == (len(open_runs), asked - heard, uses)
        assert sorts["rate"] <= 1
        assert not known & agenda.effects.keys()
        assert set(agenda.alarms) == {
            *(["run-deadline"] if open_runs else []),
            *(["reflection-deadline"] if asked > heard else []),
        }
        assert (agenda is NOTHING_OWED) == (not agenda.effects)
        for id_, effect in agenda.effects.items():
            assert self.issued.setdefault(id_, effect) == effect

    def check_contributions(self) -> None:
        """A part's contribution is what its run came to, and stays so until the space has settled it."""
        for id_ in GROUPS:
            part = self.state.groups.get(id_)
            if part is None:
                assert id_ not in self.told or id_ in self.settled
            elif part.contribution is not None:
                assert self.told.setdefault(id_, part.contribution) == part.contribution
                end = self.state.runs[group_run_id(id_, self.id)]
                assert (part.contribution.status == "transformed") == (end.result is not None)


def new_state(effect: str) -> ArchetypalState:
    """What the sandbox answers to an effect, always the same."""
    number = int(effect.partition("-")[2])
    return ArchetypalState(archetypes={"Shadow": 1 / (1 + number)}, symbols=(f"of run {number}",))


def settle(model: Model, id_: str) -> None:
    """As a space does: only after it was told the contribution."""
    if id_ in model.told:
        model.settled.add(id_)
        model.do(c.SettleGroup(group=id_))


Action = Callable[[Model], Any]
RUNS: Mapping[str, Action] = {
    "run 1": lambda m: m.run("s:1"),
    "run 2": lambda m: m.run("s:2"),
    "part A": lambda m: m.ask(group(90), "effect:A", None),
    "settle A": lambda m: settle(m, GROUPS[0]),
    "completed": lambda m: m.answer_to("run", "new state", newest=True),
    "first completed": lambda m: m.answer_to("run", "new state", newest=False),
    "failed": lambda m: m.answer_to("run", "failed", newest=True),
    "known": lambda m: m.answer_to("use", "done", newest=True),
    "early": lambda m: m.fire("run-deadline"),
    "late": lambda m: m.fire("run-deadline", 120),
    "crash": lambda m: m.crash(),
}
OTHERS: Mapping[str, Action] = {
    "part B": lambda m: m.ask(group(91), "effect:B", None),
    "settle B": lambda m: settle(m, GROUPS[1]),
    "refused": lambda m: m.answer_to("run", "internal", newest=True),
    "gone": lambda m: m.answer_to("run", "not_found", newest=False),
    "garbled": lambda m: m.answer_to("run", "done", newest=True),
    "first known": lambda m: m.answer_to("use", "not_found", newest=False),
    "rate": lambda m: m.do(c.AnnotateRun(run=uuid(5), ritual=BRIEF.id, effectiveness_rating=7), SELF),
    "rated": lambda m: m.answer_to("rate", "done", newest=True),
    "first rated": lambda m: m.answer_to("rate", "done", newest=False),
    "put": lambda m: m.do(c.PutArchetypalState(state=ArchetypalState(symbols=("put",))), SELF),
    "symbol": lambda m: m.do(c.TransformState(transformation_type="symbol", parameters=b'{"symbol":"by hand"}'), SELF),
    "reflect 3": lambda m: m.ask(c.Reflect(), "s:3"),
    "reflect 4": lambda m: m.ask(c.Reflect(), "s:4"),
    "insight": lambda m: m.answer_to("consult", "done", newest=True),
    "first insight": lambda m: m.answer_to("consult", "done", newest=False),
    "no insight": lambda m: m.answer_to("consult", "internal", newest=True),
    "early oracle": lambda m: m.fire("reflection-deadline"),
    "late oracle": lambda m: m.fire("reflection-deadline", 300),
}
ACTIONS: Mapping[str, Action] = {**RUNS, **OTHERS}
QUEUE = {
    name: ACTIONS[name]
    for name in ("run 1", "run 2", "part A", "part B", "settle A", "settle B", "completed", "failed", "late", "crash")
}


@given(st.lists(st.sampled_from(sorted(ACTIONS)), min_size=15, max_size=50))
def test_any_order_keeps_every_promise(actions: list[str]) -> None:
    model = Model()
    for action in actions:
        model.step(action)


def explore(actions: Mapping[str, Action], depth: int) -> tuple[int, int]:
    """Every order of so many steps, each situation once. The situations found, and in how many of them all was done."""
    seen, frontier, finished = set(), [Model()], 0
    for _ in range(depth):
        reached: list[Model] = []
        for model in frontier:
            for action in actions:
                twin = model.copy()
                twin.step(action)
                if (key := twin.key()) not in seen:
                    seen.add(key)
                    reached.append(twin)
                    finished += twin.kind.agenda(twin.state) is NOTHING_OWED
        frontier = reached
    return len(seen), finished


@pytest.mark.parametrize(
    ("actions", "depth", "least"),
    [(RUNS, DEEP, (2_800, 900)), (QUEUE, QUEUED, (5_700, 1_100)), (ACTIONS, WIDE, (6_800, 800))],
    ids=["runs", "queue", "all"],
)
def test_every_order_of_a_few_steps_keeps_every_promise(
    actions: Mapping[str, Action], depth: int, least: tuple[int, int]
) -> None:
    situations, finished = explore(actions, depth)
    assert situations >= least[0]
    assert finished >= least[1]


@pytest.mark.parametrize("order", [("run 1", "part A"), ("part A", "run 1")])
def test_whoever_comes_second_runs_on_what_the_first_left(order: tuple[str, str]) -> None:
    model = Model()
    for action in (order[0], order[1], "completed", "known", order[1], "completed"):
        model.step(action)
    assert model.state.archetypal_state == new_state("run-2")
    assert model.request("use-2").run == list(model.state.runs)[-1]

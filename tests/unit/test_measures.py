"""What a process counts, and what a shard counts of its commands, commits and waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakes import Add, Owe, Read, Refuse, World
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime import activation, commits
from actors.runtime.measures import Histogram, Histograms
from actors.runtime.trace import end, followed
from actors.runtime.wire import Answer, Ask, Refused


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commits, "SETTLE_PAUSE_S", 0)
    monkeypatch.setattr(activation, "LOAD_PAUSE_S", 0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = await World().start()
    yield world
    for task in list(world.shard._tasks):
        task.cancel()


class Noted:
    """A span that was started."""

    def __init__(self, name: str, parent: str | None, links: tuple[str, ...], number: int) -> None:
        self.name, self.parent, self.links = name, parent, links
        self.traceparent = f"00-t-{number}-01"
        self.outcome: str | None = None

    def end(self, outcome: str = "ok") -> None:
        assert self.outcome is None, "ended twice"
        self.outcome = outcome


class Notes:
    """A tracer that keeps all."""

    def __init__(self) -> None:
        self.spans: list[Noted] = []

    def start(self, name: str, parent: str | None, links: object = (), **_: object) -> Noted:
        self.spans.append(Noted(name, parent, tuple(links), len(self.spans)))  # type: ignore[call-overload]
        return self.spans[-1]

    def told(self) -> list[tuple[str, str | None, str | None]]:
        """Name, parent's name and outcome of each span."""
        names = {span.traceparent: span.name for span in self.spans}
        return [(span.name, names.get(span.parent or "", span.parent), span.outcome) for span in self.spans]


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0.001, 90), min_size=1, unique=True))
def test_a_histogram_puts_each_value_below_the_least_bound_that_is_not_less(
    values: list[float], bounds: list[float]
) -> None:
    histogram = Histogram(tuple(sorted(bounds)))
    for value in values:
        histogram.observe(value)
    edges = [*sorted(bounds), float("inf")]
    assert histogram.counts == [
        sum(low < value <= high for value in values) for low, high in zip([-1.0, *edges], edges, strict=False)
    ]
    assert histogram.total == pytest.approx(sum(values))


def test_histograms_are_made_when_first_needed() -> None:
    made = Histograms[str]((1.0,))
    made["a"].observe(0.5)
    assert {key: each.counts for key, each in made.items()} == {"a": [1, 0]}


async def test_commands_are_counted_by_type_and_outcome_and_retries_beside(world: World) -> None:
    await world.answer(Add(text="a"), "s:1")
    await world.answer(Add(text="a"), "s:1")
    await world.answer(Add(text="b"), "s:1")
    await world.answer(Refuse())
    await world.answer(Read())
    measures = world.shard.measures
    assert (measures.commands[Add], measures.commands[Read], measures.repeated) == (2, 1, 1)
    assert {(type_.__name__, code): n for (type_, code), n in measures.refusals.items()} == {
        ("Add", "conflict"): 1,
        ("Refuse", "full"): 1,
    }


async def test_a_batch_is_counted_once_with_its_size_its_time_and_its_longest_wait(world: World) -> None:
    await world.answer(Read())
    world.store.gate.clear()
    world.ask(Add(text="a"), "s:1")
    await world.idle()
    world.ask(Add(text="b"), "s:2")
    world.ask(Add(text="c"), "s:3")
    world.clock.passed_s += 2.0
    world.store.gate.set()
    await world.idle()
    measures = world.shard.measures
    assert measures.commits["committed"] == sum(measures.commit_s.counts) == sum(measures.gate_wait_s.counts) == 2
    assert measures.batch_commands.total == 3
    assert measures.commit_s.total == pytest.approx(2.0)
    assert measures.gate_wait_s.total == pytest.approx(4.0), "the second batch waited for the first"
    assert dict(measures.events) == {"Added": 3}


async def test_how_transactions_end_is_counted_and_what_is_decided_again_counts_as_one_command(world: World) -> None:
    await world.answer(Read())
    world.store.outcomes.extend(["unknown-gone", "ok", "unknown-there", "aborted"])
    assert await world.answer(Add(text="a"), "s:1") == {"offset": 1}
    assert await world.answer(Add(text="b"), "s:2") == {"offset": 2}
    assert await world.answer(Add(text="c"), "s:3") == "storage_unavailable"
    measures = world.shard.measures
    assert (measures.commits["unknown"], measures.commits["aborted"]) == (2, 1)
    assert measures.commands[Add] == 2
    assert measures.refusals[Add, "storage_unavailable"] == 1


async def test_a_traced_command_has_its_decision_its_wait_and_its_commit(world: World) -> None:
    world.shard.tracer = notes = Notes()
    ask(world, Add(text="a"), "s:1", "gateway-1")
    ask(world, Add(text="b"), "s:2", "gateway-2")
    ask(world, Read(), None, None)
    await world.idle()
    assert notes.told() == [
        ("decide log", "gateway-1", "ok"),
        ("gate log", "decide log", "ok"),
        ("decide log", "gateway-2", "ok"),
        ("gate log", "decide log", "ok"),
        ("commit log", "gate log", "ok"),
    ]
    assert notes.spans[-1].links == (notes.spans[3].traceparent,), "one commit, linked to the other command's span"


async def test_what_is_undone_ends_its_wait_and_is_decided_again(world: World) -> None:
    world.shard.tracer = notes = Notes()
    await world.answer(Read())
    world.store.outcomes.append("unknown-gone")
    ask(world, Add(text="a"), "s:1", "gateway-1")
    await world.idle()
    assert notes.told() == [
        ("decide log", "gateway-1", "ok"),
        ("gate log", "decide log", "undone"),
        ("commit log", "gate log", "unknown"),
        ("decide log", "gateway-1", "ok"),
        ("gate log", "decide log", "ok"),
        ("commit log", "gate log", "ok"),
    ]


async def test_an_effect_is_a_span_below_what_made_it_and_ends_with_its_answer(world: World) -> None:
    world.shard.tracer = notes = Notes()
    ask(world, Owe(id="x"), "s:1", "gateway-1")
    await world.idle()
    effect = next(span for span in notes.spans if span.name.startswith("effect"))
    assert (effect.parent, effect.outcome) == (notes.spans[1].traceparent, None)
    world.post.sent[0][1](Answer(0, b"{}"))
    await world.idle()
    assert effect.outcome == "ok"


async def test_without_a_tracer_nothing_of_a_trace_is_kept(world: World) -> None:
    ask(world, Add(text="a"), "s:1", "gateway-1")
    await world.idle()
    assert world.texts() == ["a"]


def test_a_question_without_a_span_is_asked_as_it_is() -> None:
    got: list[object] = []
    assert followed(None, "ask", "gateway-1", got.append) == (None, got.append)
    assert followed(Notes(), "ask", None, got.append) == (None, got.append)
    end(None)


def test_a_question_ends_its_span_with_the_answers_code() -> None:
    notes, got = Notes(), list[object]()
    trace, answered = followed(notes, "ask", "gateway-1", got.append)
    answered(Refused(1, "full", "no room"))
    assert (trace, notes.told()) == (notes.spans[0].traceparent, [("ask", "gateway-1", "full")])
    assert got == [Refused(1, "full", "no room")]


def ask(world: World, command: object, operation: str | None, trace: str | None) -> None:
    """As a gateway does, traced."""
    from fakes import _commands

    world.cid += 1
    world.shard.link_message(
        world.link, Ask(world.cid, "e", _commands.encode(command), None, operation, None, True, trace)
    )

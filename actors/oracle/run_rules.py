"""The rules about one run: what it moved, and what that asks for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from actors.oracle.context import NOTABLE, Shift, added, shifts
from actors.oracle.rule import Found, Rule
from actors.oracle.values import Consult
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import RECOMMEND_ABOVE, intensity
from actors.runtime.entity import Struct

CLEAR: Final = 0.3
"""Intensity from which a transformation is called clear; above ``RECOMMEND_ABOVE`` it is strong."""
SURGE: Final = 0.3
"""A rise of Shadow beyond this asks for care; so does such a fall of an energy that ends below ``SPENT``."""
SPENT: Final = 0.2
INTENTION_SHOWN: Final = 300


class Run(Struct, frozen=True, kw_only=True):
    """A run as the rules see it."""

    ritual: str
    intention: str
    intensity: float
    pre: ArchetypalState
    post: ArchetypalState
    archetypes: tuple[Shift, ...]
    energies: tuple[Shift, ...]
    symbols: tuple[str, ...]
    """New ones; so are the integrations."""
    integrations: tuple[str, ...]


def run(consult: Consult, pre: ArchetypalState) -> Run:
    """The facts of a consultation about a run."""
    post = consult.post or ArchetypalState()
    return Run(
        ritual=consult.ritual_name or "ritual",
        intention=consult.intention[:INTENTION_SHOWN],
        intensity=intensity(pre, post) if consult.intensity is None else consult.intensity,
        pre=pre,
        post=post,
        archetypes=shifts(pre.archetypes, post.archetypes),
        energies=shifts(pre.energies, post.energies),
        symbols=added(pre.symbols, post.symbols),
        integrations=added(pre.integrations, post.integrations),
    )


def _intensity(low: float, high: float) -> Callable[[Run], Iterator[Found]]:
    """Where low < intensity ≤ high."""

    def finds(facts: Run) -> Iterator[Found]:
        if low < facts.intensity <= high:
            yield {"ritual": facts.ritual, "intensity": facts.intensity, "low": low, "high": high}

    return finds


def _intention(facts: Run) -> Iterator[Found]:
    if facts.intention:
        yield {"intention": facts.intention, "length": len(facts.intention)}


def _told(moved: Iterable[Shift]) -> list[Found]:
    strongest = sorted(moved, key=lambda shift: -abs(shift.change))
    return [{"name": s.name, "pre": s.pre, "post": s.post, "change": s.change, "notable": NOTABLE} for s in strongest]


def _risen(facts: Run) -> list[Found]:
    return _told(shift for shift in facts.archetypes if shift.change > 0)


def _receded(facts: Run) -> list[Found]:
    return _told(shift for shift in facts.archetypes if shift.change < 0)


def _swelled(facts: Run) -> list[Found]:
    return _told(shift for shift in facts.energies if shift.change > 0)


def _ebbed(facts: Run) -> list[Found]:
    return _told(shift for shift in facts.energies if shift.change < 0)


def _only(there: Mapping[str, float], not_there: Mapping[str, float]) -> list[Found]:
    found = [(name, value) for name, value in there.items() if name not in not_there and value > NOTABLE]
    return [{"name": name, "value": value, "notable": NOTABLE} for name, value in sorted(found, key=lambda f: -f[1])]


def _awakened(facts: Run) -> list[Found]:
    return _only(facts.post.archetypes, facts.pre.archetypes)


def _withdrawn(facts: Run) -> list[Found]:
    return _only(facts.pre.archetypes, facts.post.archetypes)


def _symbols(facts: Run) -> Iterator[Found]:
    for name in facts.symbols:
        yield {"name": name, "before": len(facts.pre.symbols), "after": len(facts.post.symbols)}


def _integrations(facts: Run) -> Iterator[Found]:
    for name in facts.integrations:
        yield {"name": name, "before": len(facts.pre.integrations), "after": len(facts.post.integrations)}


def _closed(facts: Run) -> Iterator[Found]:
    for name in added(facts.post.transformations, facts.pre.transformations):
        yield {"name": name, "before": len(facts.pre.transformations), "after": len(facts.post.transformations)}


def _quiet(facts: Run) -> Iterator[Found]:
    moved = facts.archetypes or facts.energies or facts.symbols or facts.integrations
    if not (moved or _awakened(facts) or _withdrawn(facts)):
        yield {"notable": NOTABLE}


def _shadow_surge(facts: Run) -> list[Found]:
    return [
        {**found, "surge": SURGE}
        for found in _told(shift for shift in facts.archetypes if shift.name == "Shadow" and shift.change > SURGE)
    ]


def _spent(facts: Run) -> list[Found]:
    return [
        {**found, "surge": SURGE, "spent": SPENT}
        for found in _told(shift for shift in facts.energies if shift.change < -SURGE and shift.post < SPENT)
    ]


_SHIFT: Final = "{pre:.2f} → {post:.2f}, {change:+.2f}, beyond {notable:.2f}"
_BEFORE_AFTER: Final = "{before} before, {after} after"
_STRONG: Final = (RECOMMEND_ABOVE, float("inf"))

RULES: Final[tuple[Rule[Run], ...]] = (
    Rule(
        name="strong-transformation",
        part="interpretation",
        finds=_intensity(*_STRONG),
        says="“{ritual}” brought a strong transformation. Much in you moved at once; it is fine to go slowly from here.",
        because="intensity {intensity:.2f} > {low:.2f}",
    ),
    Rule(
        name="clear-transformation",
        part="interpretation",
        finds=_intensity(CLEAR, RECOMMEND_ABOVE),
        says="“{ritual}” brought a clear transformation: something in you has found a new place.",
        because="intensity {intensity:.2f}, above {low:.2f} and at most {high:.2f}",
    ),
    Rule(
        name="gentle-transformation",
        part="interpretation",
        finds=_intensity(0.0, CLEAR),
        says="“{ritual}” brought a gentle transformation. Small steps that are taken count.",
        because="intensity {intensity:.2f}, above {low:.2f} and at most {high:.2f}",
    ),
    Rule(
        name="still-or-releasing",
        part="interpretation",
        finds=_intensity(float("-inf"), 0.0),
        says="“{ritual}” added little; it held what is there, or let something go. Release is part of the work too.",
        because="intensity {intensity:.2f}, not above {high:.2f}",
    ),
    Rule(
        name="intention",
        part="interpretation",
        finds=_intention,
        says="You went in with the intention “{intention}”; hold what follows against it, and keep what rings true.",
        because="{length} characters of your own",
    ),
    Rule(
        name="archetype-risen",
        part="symbolic",
        finds=_risen,
        says="{name} grew stronger in you. It may ask to be lived more openly.",
        because=_SHIFT,
    ),
    Rule(
        name="archetype-receded",
        part="symbolic",
        finds=_receded,
        says="{name} stepped back. What it carried for you may be done for now, or may be resting.",
        because=_SHIFT,
    ),
    Rule(
        name="archetype-awakened",
        part="symbolic",
        finds=_awakened,
        says="{name} is newly awake in you. Meet it with curiosity.",
        because="not there before, {value:.2f} after, above {notable:.2f}",
    ),
    Rule(
        name="archetype-withdrawn",
        part="symbolic",
        finds=_withdrawn,
        says="{name} has withdrawn. You may thank it for its company.",
        because="{value:.2f} before, above {notable:.2f}, not there after",
    ),
    Rule(
        name="energy-risen",
        part="symbolic",
        finds=_swelled,
        says="Your {name} energy rose. Notice where in the body you feel it.",
        because=_SHIFT,
    ),
    Rule(
        name="energy-ebbed",
        part="symbolic",
        finds=_ebbed,
        says="Your {name} energy ebbed. Give it time to return.",
        because=_SHIFT,
    ),
    Rule(
        name="symbol-emerged",
        part="symbolic",
        finds=_symbols,
        says="The symbol {name} emerged. Watch for it in dreams, in images, in what people say.",
        because=f"symbols: {_BEFORE_AFTER}",
    ),
    Rule(
        name="quiet-run",
        part="symbolic",
        finds=_quiet,
        says="Nothing moved far this time. Stillness is an answer as well.",
        because="no change beyond {notable:.2f}, nothing new",
    ),
    Rule(
        name="integration-completed",
        part="guidance",
        finds=_integrations,
        says="You completed the integration {name}. Take a moment to honour it, alone or with someone you trust.",
        because=f"integrations: {_BEFORE_AFTER}",
    ),
    Rule(
        name="transformation-closed",
        part="guidance",
        finds=_closed,
        says="The transformation {name} has come to its end. Write down what it leaves with you.",
        because=f"open transformations: {_BEFORE_AFTER}",
    ),
    Rule(
        name="rest-after-strength",
        part="guidance",
        finds=_intensity(*_STRONG),
        says="Rest, drink water, go for a walk; leave a day or two before the next ritual.",
        because="intensity {intensity:.2f} > {low:.2f}",
    ),
    Rule(
        name="journal",
        part="guidance",
        finds=_intensity(float("-inf"), RECOMMEND_ABOVE),
        says="Write a few lines about what you felt, while it is fresh.",
        because="intensity {intensity:.2f}, at most {high:.2f}",
    ),
    Rule(
        name="much-at-once",
        part="caution",
        finds=_intensity(*_STRONG),
        says="That was a lot at once. If you feel unsettled, stay with what is simple and do not be alone with it.",
        because="intensity {intensity:.2f} > {low:.2f}",
    ),
    Rule(
        name="shadow-surge",
        part="caution",
        finds=_shadow_surge,
        says="{name} rose quickly. What comes up may be old; meet it kindly, and with company if it is heavy.",
        because="{pre:.2f} → {post:.2f}, {change:+.2f}, beyond {surge:.2f}",
    ),
    Rule(
        name="energy-spent",
        part="caution",
        finds=_spent,
        says="Your {name} energy is low after this. Let it recover before you spend it again.",
        because="{pre:.2f} → {post:.2f}: fell by more than {surge:.2f}, to below {spent:.2f}",
    ),
)

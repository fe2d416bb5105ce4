"""The rules about a group ritual: how much it moved, what the circle shares, how far it swung together. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from actors.oracle.context import Circle, Spread
from actors.oracle.rule import Found, Rule
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import RECOMMEND_ABOVE, suggestions
from actors.runtime.entity import Struct

SHARED: Final = 3
"""Archetypes, and energies, that are looked at: of those that most have, the strongest."""
CLOSE: Final = 0.15
"""A standard deviation up to this is called close, from ``WIDE`` on wide (of values in [0, 1] it is at most 0.5)."""
WIDE: Final = 0.25
TOGETHER: Final = 0.7
"""Kuramoto's r from which a circle is said to swing together."""


class Gathering(Struct, frozen=True, kw_only=True):
    """A circle and the ritual that it did."""

    ritual: str
    circle: Circle


def means(circle: Circle) -> ArchetypalState:
    """The circle's means as one state, for the suggestions of rituals."""
    return ArchetypalState(
        archetypes={spread.name: spread.mean for spread in circle.archetypes},
        energies={spread.name: spread.mean for spread in circle.energies},
    )


def _transformed(facts: Gathering) -> Iterator[Found]:
    yield {"ritual": facts.ritual, "transformed": facts.circle.transformed}


def _intensity(low: float, high: float) -> Callable[[Gathering], Iterator[Found]]:
    """Where the mean intensity is known and low < it ≤ high."""

    def finds(facts: Gathering) -> Iterator[Found]:
        if facts.circle.intensity is not None and low < facts.circle.intensity <= high:
            yield {"intensity": facts.circle.intensity, "strong": RECOMMEND_ABOVE}

    return finds


def _coherence(low: float, high: float) -> Callable[[Gathering], Iterator[Found]]:
    """Where it is known and low ≤ r < high."""

    def finds(facts: Gathering) -> Iterator[Found]:
        if facts.circle.coherence is not None and low <= facts.circle.coherence < high:
            yield {"r": facts.circle.coherence, "together": TOGETHER}

    return finds


def _unknown(facts: Gathering) -> Iterator[Found]:
    if facts.circle.coherence is None:
        yield {}


def _shared(spreads: Sequence[Spread], low: float, high: float) -> Iterator[Found]:
    """Of what most have, and have most of: where several have it and low ≤ sd < high."""
    for spread in sorted(spreads, key=lambda spread: (-spread.n, -spread.mean))[:SHARED]:
        if spread.mean > 0 and spread.n > 1 and low <= spread.sd < high:
            yield {"name": spread.name, "mean": spread.mean, "sd": spread.sd, "n": spread.n}


def _close(facts: Gathering) -> Iterator[Found]:
    return _shared(facts.circle.archetypes, 0.0, CLOSE)


def _between(facts: Gathering) -> Iterator[Found]:
    return _shared(facts.circle.archetypes, CLOSE, WIDE)


def _wide(facts: Gathering) -> Iterator[Found]:
    return _shared(facts.circle.archetypes, WIDE, float("inf"))


def _energies(facts: Gathering) -> Iterator[Found]:
    return _shared(facts.circle.energies, 0.0, float("inf"))


def by_holders(circle: Circle) -> list[tuple[str, int]]:
    """The symbols, those that most hold first."""
    return sorted(circle.symbols.items(), key=lambda entry: (-entry[1], entry[0]))


def _held_by_several(facts: Gathering) -> Iterator[Found]:
    for name, held in by_holders(facts.circle):
        if held > 1:
            yield {"name": name, "held": held}


def _called_for(facts: Gathering) -> Iterator[Found]:
    for ritual in suggestions(means(facts.circle)):
        yield {"ritual": ritual}


RULES: Final[tuple[Rule[Gathering], ...]] = (
    Rule(
        name="circle",
        part="interpretation",
        finds=_transformed,
        says="Your circle went through “{ritual}” together.",
        because="{transformed} transformed",
    ),
    Rule(
        name="strong-together",
        part="interpretation",
        finds=_intensity(RECOMMEND_ABOVE, float("inf")),
        says="It moved much in you.",
        because="mean intensity {intensity:.2f} > {strong:.2f}",
    ),
    Rule(
        name="steady-together",
        part="interpretation",
        finds=_intensity(float("-inf"), RECOMMEND_ABOVE),
        says="It moved you step by step.",
        because="mean intensity {intensity:.2f}, at most {strong:.2f}",
    ),
    Rule(
        name="swinging-together",
        part="interpretation",
        finds=_coherence(TOGETHER, float("inf")),
        says="Your rhythms came close to one another.",
        because="coherence r = {r:.2f}, at least {together:.2f}",
    ),
    Rule(
        name="each-their-own-rhythm",
        part="interpretation",
        finds=_coherence(0.0, TOGETHER),
        says="Each of you kept a rhythm of your own; a circle may be many-voiced.",
        because="coherence r = {r:.2f}, below {together:.2f}",
    ),
    Rule(
        name="rhythm-unknown",
        part="interpretation",
        finds=_unknown,
        says="How far your rhythms agreed is not known.",
        because="fewer than two sent a phase",
    ),
    Rule(
        name="common-ground",
        part="symbolic",
        finds=_close,
        says="{name} is common ground: you carry it alike.",
        because=f"mean {{mean:.2f}} over {{n}}, standard deviation {{sd:.2f}}, below {CLOSE:.2f}",
    ),
    Rule(
        name="shared-archetype",
        part="symbolic",
        finds=_between,
        says="{name} is strong among you.",
        because=f"mean {{mean:.2f}} over {{n}}, standard deviation {{sd:.2f}}, from {CLOSE:.2f} to {WIDE:.2f}",
    ),
    Rule(
        name="carried-by-some",
        part="symbolic",
        finds=_wide,
        says="{name} is strong in some of you and quiet in others: there may be something to tell each other.",
        because=f"mean {{mean:.2f}} over {{n}}, standard deviation {{sd:.2f}}, at least {WIDE:.2f}",
    ),
    Rule(
        name="shared-energy",
        part="symbolic",
        finds=_energies,
        says="{name} energy is what flows in the circle.",
        because="mean {mean:.2f} over {n}, standard deviation {sd:.2f}",
    ),
    Rule(
        name="shared-symbol",
        part="symbolic",
        finds=_held_by_several,
        says="The symbol {name} lives in several of you.",
        because="held by {held}",
    ),
    Rule(
        name="round-of-words",
        part="guidance",
        finds=_transformed,
        says="Let everyone say a sentence about what they bring back, before you part.",
        because="{transformed} transformed",
    ),
    Rule(
        name="rest-together",
        part="guidance",
        finds=_intensity(RECOMMEND_ABOVE, float("inf")),
        says="Stay together a little while, eat something, and leave a day or two before the next ritual.",
        because="mean intensity {intensity:.2f} > {strong:.2f}",
    ),
    Rule(
        name="circle-calls-for",
        part="guidance",
        finds=_called_for,
        says="Taken together, your states call for {ritual}.",
        because="by the thresholds of single states, on your means",
    ),
    Rule(
        name="much-at-once",
        part="caution",
        finds=_intensity(RECOMMEND_ABOVE, float("inf")),
        says="That was a lot at once. Look after one another, and see that nobody who feels unsettled goes home alone with it.",
        because="mean intensity {intensity:.2f} > {strong:.2f}",
    ),
)

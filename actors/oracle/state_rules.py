"""The rules about a state as it stands: its outline, and the rituals that it calls for. Pure.

``CALLS`` go with every consultation that has a state; ``OUTLINE`` is for one without a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from actors.oracle.rule import Found, Rule
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.transformation import ENERGY_HIGH, IMBALANCE, OPEN_MAX, suggestions

LEADING: Final = 3
"""Archetypes that are named."""


def _outline(state: ArchetypalState) -> Iterator[Found]:
    if state != ArchetypalState():
        yield {
            "archetypes": len(state.archetypes),
            "energies": len(state.energies),
            "symbols": len(state.symbols),
            "integrations": len(state.integrations),
            "open": len(state.transformations),
        }


def _nothing(state: ArchetypalState) -> Iterator[Found]:
    if state == ArchetypalState():
        yield {}


def _strongest(strengths: Mapping[str, float], most: int) -> list[Found]:
    ordered = sorted(strengths.items(), key=lambda entry: -entry[1])
    return [{"name": name, "value": value} for name, value in ordered[:most] if value > 0]


def _leading(state: ArchetypalState) -> list[Found]:
    return _strongest(state.archetypes, LEADING)


def _flowing(state: ArchetypalState) -> list[Found]:
    return _strongest(state.energies, 1)


def _newest_symbol(state: ArchetypalState) -> Iterator[Found]:
    if state.symbols:
        yield {"name": state.symbols[-1], "count": len(state.symbols)}


def _calls_for(
    ritual: str, numbers: Callable[[ArchetypalState], Found]
) -> Callable[[ArchetypalState], Iterator[Found]]:
    """Where the state calls for this ritual."""

    def finds(state: ArchetypalState) -> Iterator[Found]:
        if ritual in suggestions(state):
            yield numbers(state)

    return finds


def _total_energy(state: ArchetypalState) -> Found:
    return {"total": math.fsum(state.energies.values()), "high": ENERGY_HIGH}


def _poles(state: ArchetypalState) -> Found:
    light, shadow = state.archetypes["Light"], state.archetypes["Shadow"]
    return {"light": light, "shadow": shadow, "apart": abs(light - shadow), "imbalance": IMBALANCE}


def _open(state: ArchetypalState) -> Found:
    return {"open": len(state.transformations), "most": OPEN_MAX}


def _balanced(state: ArchetypalState) -> Iterator[Found]:
    if not suggestions(state):
        yield {"total": math.fsum(state.energies.values()), "open": len(state.transformations)}


CALLS: Final[tuple[Rule[ArchetypalState], ...]] = (
    Rule(
        name="much-energy",
        part="guidance",
        finds=_calls_for("energy_integration", _total_energy),
        says="There is much energy in you. The ritual energy_integration helps to settle it.",
        because="total energy {total:.2f} > {high:.2f}",
    ),
    Rule(
        name="light-and-shadow",
        part="guidance",
        finds=_calls_for("shadow_integration", _poles),
        says="Light and Shadow stand far apart in you. The ritual shadow_integration brings them to one table.",
        because="Light {light:.2f}, Shadow {shadow:.2f}, {apart:.2f} apart, more than {imbalance:.2f}",
    ),
    Rule(
        name="much-unfinished",
        part="guidance",
        finds=_calls_for("transformation_completion", _open),
        says="Several transformations are under way. The ritual transformation_completion helps to bring one to its end.",
        because="{open} open, more than {most}",
    ),
)

OUTLINE: Final[tuple[Rule[ArchetypalState], ...]] = (
    Rule(
        name="outline",
        part="interpretation",
        finds=_outline,
        says="This is where you stand today. Take it as a mirror, not as a verdict.",
        because="{archetypes} archetypes, {energies} energies, {symbols} symbols, {integrations} integrations, "
        "{open} open transformations",
    ),
    Rule(
        name="blank-page",
        part="interpretation",
        finds=_nothing,
        says="Your page is still blank, which is a fine place to begin: a first ritual, or a first archetype, writes on it.",
        because="0 archetypes, 0 energies, 0 symbols",
    ),
    Rule(
        name="leading-archetype",
        part="symbolic",
        finds=_leading,
        says="{name} is among the strongest voices in you. Ask what it wants, and what it protects.",
        because="strength {value:.2f}",
    ),
    Rule(
        name="leading-energy",
        part="symbolic",
        finds=_flowing,
        says="Your {name} energy flows most.",
        because="level {value:.2f}",
    ),
    Rule(
        name="living-symbol",
        part="symbolic",
        finds=_newest_symbol,
        says="The symbol {name} came to you last. Draw it, or carry it with you for a day.",
        because="the newest of {count}",
    ),
    Rule(
        name="nothing-presses",
        part="guidance",
        finds=_balanced,
        says="Nothing presses. Choose the next ritual by what draws you, or let there be none for a while.",
        because=f"total energy {{total:.2f}}, {{open}} open transformations; no suggested ritual's threshold "
        f"({ENERGY_HIGH:.2f}, {OPEN_MAX}, Light and Shadow {IMBALANCE:.2f} apart) is passed",
    ),
)

"""What a ritual did, in numbers. Pure maths, from the Control Engine's text.

    intensity = mean |new − old| over the archetypes and energies that both states have
              + 0.2 × (change in the number of integrations) + 0.3 × (change in the number of symbols)

signed as there, 0 where no key is shared, and clamped to ±9.99, which is what its column DECIMAL(3,2) holds. Sums are
exact (``fsum``): the order in which a state names its archetypes changes no bit.

Rejected: counting an archetype that only one state has as a change from or to 0. It is sensible, but not what is written.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.entity import Struct

INTENSITY_MAX: Final = 9.99
"""DECIMAL(3,2) overflows beyond."""
INTEGRATION_WEIGHT: Final = 0.2
SYMBOL_WEIGHT: Final = 0.3
RECOMMEND_ABOVE: Final = 0.7
"""Of intensity: a consultation of the oracle is recommended."""
ENERGY_HIGH: Final = 5.0
IMBALANCE: Final = 0.5
OPEN_MAX: Final = 2


class TransformationResult(Struct, frozen=True, kw_only=True):
    """What a completed run is answered with: the seed's six fields, and what else is known of the run."""

    new_state: ArchetypalState
    transformation_intensity: float
    emerged_symbols: tuple[str, ...] = ()
    integration_required: tuple[str, ...] = ()
    next_rituals_suggested: tuple[str, ...] = ()
    oracle_consultation_recommended: bool = False
    session_id: str
    ritual_id: str
    state_id: str
    state_hash: str
    clamped: tuple[str, ...] = ()
    """Paths of values that the ritual set beyond [0, 1]."""
    log: tuple[str, ...] = ()
    resonance: float | None = None
    fuel: int = 0
    duration_ms: float = 0.0
    """Wall time inside the sandbox."""


def intensity(old: ArchetypalState, new: ArchetypalState) -> float:
    """How much changed; see the module."""
    changes = [*_changes(old.archetypes, new.archetypes), *_changes(old.energies, new.energies)]
    if not changes:
        return 0.0
    integrations = (len(new.integrations) - len(old.integrations)) * INTEGRATION_WEIGHT
    symbols = (len(new.symbols) - len(old.symbols)) * SYMBOL_WEIGHT
    found = math.fsum(changes) / len(changes) + integrations + symbols
    return min(INTENSITY_MAX, max(-INTENSITY_MAX, found))


def _changes(old: Mapping[str, float], new: Mapping[str, float]) -> list[float]:
    return [abs(new[name] - was) for name, was in old.items() if name in new]


def as_column(value: float) -> float:
    """An intensity as DECIMAL(3,2) holds it."""
    return round(value, 2)


def suggestions(state: ArchetypalState) -> tuple[str, ...]:
    """The rituals that a state calls for, by name."""
    light, shadow = state.archetypes.get("Light"), state.archetypes.get("Shadow")
    found = {
        "energy_integration": math.fsum(state.energies.values()) > ENERGY_HIGH,
        "shadow_integration": light is not None and shadow is not None and abs(light - shadow) > IMBALANCE,
        "transformation_completion": len(state.transformations) > OPEN_MAX,
    }
    return tuple(name for name, called_for in found.items() if called_for)


def oracle_recommended(value: float, emerged: tuple[str, ...]) -> bool:
    """Whether the oracle has something to say of it: the intensity is high, or a symbol emerged."""
    return value > RECOMMEND_ABOVE or bool(emerged)

"""Changes of the archetypal state by the practitioner's own hand, one at a time. Pure.

    archetype_activation   {archetype, strength 0..1}
    energy_adjustment      {energy, level 0..1} or {energy, change -1..1} (from 0 where it is new; held within [0, 1])
    integration            {integration}     symbol   {symbol}
    transformation_open    {transformation}  transformation_close   {transformation}

What is there already is not added twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType, structs

from actors.practitioner import archetypal_state
from actors.practitioner.archetypal_state import NAME_MAX, ArchetypalState
from actors.practitioner.commands import check_parameters
from actors.runtime.codec import field_error, invalid, path
from actors.runtime.entity import Struct

Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX, pattern=r"^[^\x00]+$")]
Level = Annotated[float, Meta(ge=0, le=1)]


class ArchetypeActivation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How active an archetype is now."""

    archetype: Name
    strength: Level


class EnergyAdjustment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an energy flows now, or by how much more or less."""

    energy: Name
    level: Level | UnsetType = UNSET
    change: Annotated[float, Meta(ge=-1, le=1)] | UnsetType = UNSET


class Integration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something was integrated."""

    integration: Name


class Symbol(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A symbol emerged."""

    symbol: Name


class Transformation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transformation begins, or is done."""

    transformation: Name


def apply(state: ArchetypalState, transformation_type: str, parameters: bytes) -> ArchetypalState:
    """The state after one change. Raises Invalid."""
    type_, change = CHANGES[transformation_type]
    try:
        wanted = msgspec.json.decode(check_parameters(parameters), type=type_)
    except msgspec.ValidationError as failure:
        error = field_error(failure)
        raise invalid(path("parameters", *filter(None, (error.path,))), error.message) from failure
    return archetypal_state.check(change(state, wanted))


def _activate(state: ArchetypalState, wanted: ArchetypeActivation) -> ArchetypalState:
    return structs.replace(state, archetypes={**state.archetypes, wanted.archetype: wanted.strength})


def _adjust(state: ArchetypalState, wanted: EnergyAdjustment) -> ArchetypalState:
    if (wanted.level is UNSET) == (wanted.change is UNSET):
        raise invalid("parameters", "needs one of level and change")
    if isinstance(wanted.level, UnsetType):
        by = 0.0 if isinstance(wanted.change, UnsetType) else wanted.change
        level = min(1.0, max(0.0, state.energies.get(wanted.energy, 0.0) + by))
    else:
        level = wanted.level
    return structs.replace(state, energies={**state.energies, wanted.energy: level})


def _integrate(state: ArchetypalState, wanted: Integration) -> ArchetypalState:
    return structs.replace(state, integrations=_with(state.integrations, wanted.integration))


def _emerge(state: ArchetypalState, wanted: Symbol) -> ArchetypalState:
    return structs.replace(state, symbols=_with(state.symbols, wanted.symbol))


def _open(state: ArchetypalState, wanted: Transformation) -> ArchetypalState:
    return structs.replace(state, transformations=_with(state.transformations, wanted.transformation))


def _close(state: ArchetypalState, wanted: Transformation) -> ArchetypalState:
    if wanted.transformation not in state.transformations:
        raise invalid("parameters.transformation", "no such transformation is open")
    return structs.replace(
        state, transformations=tuple(name for name in state.transformations if name != wanted.transformation)
    )


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)


CHANGES: Final[Mapping[str, tuple[Any, Callable[[ArchetypalState, Any], ArchetypalState]]]] = {
    "archetype_activation": (ArchetypeActivation, _activate),
    "energy_adjustment": (EnergyAdjustment, _adjust),
    "integration": (Integration, _integrate),
    "symbol": (Symbol, _emerge),
    "transformation_open": (Transformation, _open),
    "transformation_close": (Transformation, _close),
}
"""By type: what its parameters are, and what it does."""

"""The archetypal state: which archetypes are active, which energies flow, what is integrated, emerging, under way.

A value, valid from ``parse`` on: strengths and levels are finite and in [0, 1] (the bound is Sangha's, the seed states
none), sizes are bounded, names are short. What is wrong is said all at once, each with its path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from actors.runtime.codec import path
from actors.runtime.entity import Struct
from actors.runtime.errors import FieldError, Invalid

ENTRIES_MAX: Final = 256
"""Entries of each map and list: a lifetime's symbols fit, and a state stays within some 150 KiB."""
NAME_MAX: Final = 100
"""Characters of a name, as the seed's VARCHAR(100) of other names."""
ERRORS_MAX: Final = 32
"""Errors told at once: enough to mend a form, too few to echo a hostile body."""

STRENGTHS: Final = ("archetypes", "energies")
NAMES: Final = ("integrations", "symbols", "transformations")


class ArchetypalState(Struct, frozen=True, kw_only=True):
    """``archetypes`` strength and ``energies`` level by name, in [0, 1]; lists in the order in which they came."""

    archetypes: Mapping[str, float] = {}
    energies: Mapping[str, float] = {}
    integrations: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    transformations: tuple[str, ...] = ()


def parse(value: object) -> ArchetypalState:
    """The state that a JSON value means; what is not given is empty. Raises Invalid with every path that is wrong."""
    if not isinstance(value, Mapping):
        raise Invalid("an archetypal state is an object", (FieldError(path="", message="must be an object"),))
    _refuse(_unknown(value))
    _refuse(error for name in STRENGTHS for error in _strength_errors(name, value.get(name, {})))
    _refuse(error for name in NAMES for error in _name_errors(name, value.get(name, ())))
    return msgspec.convert(dict(value), ArchetypalState)


def check(state: ArchetypalState) -> ArchetypalState:
    """The same state. Raises Invalid where it is out of bounds (it may have come over a link)."""
    return parse({name: getattr(state, name) for name in (*STRENGTHS, *NAMES)})


def _refuse(errors: Iterator[FieldError]) -> None:
    found = tuple(error for _, error in zip(range(ERRORS_MAX), errors, strict=False))
    if found:
        raise Invalid(f"{found[0].path}: {found[0].message}", found)


def _unknown(value: Mapping[Any, Any]) -> Iterator[FieldError]:
    for name in value:
        if name not in STRENGTHS and name not in NAMES:
            yield FieldError(path=str(name)[:NAME_MAX], message="no such field")


def _strength_errors(field: str, value: Any) -> Iterator[FieldError]:
    if not isinstance(value, Mapping):
        yield FieldError(path=field, message="must be an object of numbers")
        return
    if len(value) > ENTRIES_MAX:
        yield FieldError(path=field, message=f"{len(value)} entries, {ENTRIES_MAX} are allowed")
        return
    for name, strength in value.items():
        where = path(field, str(name)[:NAME_MAX])
        if (wrong := _wrong_name(name)) or (wrong := _wrong_strength(strength)):
            yield FieldError(path=where, message=wrong)


def _name_errors(field: str, value: Any) -> Iterator[FieldError]:
    if not isinstance(value, list | tuple):
        yield FieldError(path=field, message="must be a list of names")
        return
    if len(value) > ENTRIES_MAX:
        yield FieldError(path=field, message=f"{len(value)} entries, {ENTRIES_MAX} are allowed")
        return
    for index, name in enumerate(value):
        if wrong := _wrong_name(name):
            yield FieldError(path=path(field, index), message=wrong)


def _wrong_strength(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    if not 0 <= value <= 1:  # NaN is not either
        return "must be a number from 0 to 1"
    return None


def _wrong_name(value: object) -> str | None:
    if not isinstance(value, str):
        return "must be text"
    if not 1 <= len(value) <= NAME_MAX:
        return f"must have 1 to {NAME_MAX} characters"
    return "may not have the character U+0000" if "\0" in value else None

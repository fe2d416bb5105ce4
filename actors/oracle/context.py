"""What changed, as the rules and the prompt both see it. Pure.

A shift is a change of more than 0.1 of something that both states have, as in the Control Engine's text; a change is
rounded to nine digits first, so that 0.3 → 0.4 is no more a shift than 0.1 → 0.2 is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from actors.runtime.entity import Struct

NOTABLE: Final = 0.1
"""A change beyond this is worth a word."""
DIGITS: Final = 9
"""Of a change: below that is the noise of floating point."""


class Shift(Struct, frozen=True, kw_only=True):
    """A strength or level that moved."""

    name: str
    pre: float
    post: float
    change: float


def shifts(pre: Mapping[str, float], post: Mapping[str, float]) -> tuple[Shift, ...]:
    """What both have and what moved by more than ``NOTABLE``, in the order of ``pre``."""
    return tuple(
        Shift(name=name, pre=was, post=post[name], change=change)
        for name, was in pre.items()
        if name in post and abs(change := round(post[name] - was, DIGITS)) > NOTABLE
    )


def added(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """What of ``after`` was not there before, each once."""
    return tuple(dict.fromkeys(name for name in after if name not in before))


class Spread(Struct, frozen=True, kw_only=True):
    """One archetype or energy over the ``n`` participants who have it."""

    name: str
    mean: float
    sd: float
    n: int


class Circle(Struct, frozen=True, kw_only=True):
    """A group's collective state as far as it could be read: it crossed a link as plain JSON."""

    archetypes: tuple[Spread, ...] = ()
    energies: tuple[Spread, ...] = ()
    symbols: Mapping[str, int] = {}
    """How many participants hold each."""
    transformed: int = 0
    intensity: float | None = None
    """The mean over the transformed."""
    coherence: float | None = None


def circle(summary: Mapping[str, Any]) -> Circle:
    """What a summary says; what is missing or of another form is left out."""
    return Circle(
        archetypes=tuple(_spreads(summary.get("archetypes"))),
        energies=tuple(_spreads(summary.get("energies"))),
        symbols={name: _count(held) for name, held in _mapping(summary.get("symbols")).items()},
        transformed=_count(summary.get("transformed")),
        intensity=_number(summary.get("mean_intensity")),
        coherence=_number(_mapping(summary.get("coherence")).get("r")),
    )


def _spreads(found: object) -> Iterator[Spread]:
    for name, value in _mapping(found).items():
        told = _mapping(value)
        mean, sd = _number(told.get("mean")), _number(told.get("sd"))
        if mean is not None and sd is not None:
            yield Spread(name=name, mean=mean, sd=sd, n=_count(told.get("n")))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0

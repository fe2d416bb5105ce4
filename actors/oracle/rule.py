"""What a rule is, and how a table of rules becomes texts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Generic, Literal, TypeVar

from actors.runtime.entity import Struct

T = TypeVar("T")

FOUND_MAX: Final = 6
"""Findings of one rule that are told, the strongest first: a person reads this."""

Part = Literal["interpretation", "symbolic", "guidance", "caution"]
"""Where a finding is told."""
Found = Mapping[str, object]
"""The names and numbers of one finding, for the rule's sentences."""


class Rule(Struct, Generic[T], frozen=True, kw_only=True):
    """One row. ``says`` and ``because`` are sentences with the found names and numbers in braces."""

    name: str
    part: Part
    finds: Callable[[T], Iterable[Found]]
    says: str
    because: str

    def texts(self, facts: T) -> list[str]:
        """Each finding as a text that names the rule and its numbers."""
        return [
            f"{self.says.format_map(found)} ({self.name}: {self.because.format_map(found)})"
            for found in islice(self.finds(facts), FOUND_MAX)
        ]


def told(table: Sequence[Rule[T]], facts: T, part: Part) -> tuple[str, ...]:
    """What the table's rules say of the facts for one part, in the table's order."""
    return tuple(text for rule in table if rule.part == part for text in rule.texts(facts))

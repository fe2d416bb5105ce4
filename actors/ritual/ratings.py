"""What practitioners think of a ritual: each one's newest rating, and the exact mean of those. Pure.

Sum and count are integers, so the mean never drifts however many ratings came and changed; it is rounded once, where it is
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from actors.runtime.entity import Struct

UNRATED: Final = Decimal("0.00")
"""The seed's default of ``effectiveness_rating``; a count of 0 says that it is no rating."""


class Word(Struct, frozen=True, kw_only=True):
    """One practitioner's newest rating; ``version`` counts their words upward."""

    rating: int
    version: int


class Ratings(Struct, frozen=True, kw_only=True):
    """``total`` is always the sum of the ratings in ``newest``."""

    newest: Mapping[str, Word] = {}
    total: int = 0

    @property
    def count(self) -> int:
        """How many practitioners rated."""
        return len(self.newest)

    @property
    def mean(self) -> Decimal:
        """The mean to two places, rounded half to even; ``UNRATED`` where nobody rated."""
        if not self.newest:
            return UNRATED
        return Decimal(round(Fraction(100 * self.total, self.count))).scaleb(-2)

    def is_news(self, practitioner: str, version: int) -> bool:
        """Whether it is a later word than what is known of them. Effects may overtake each other."""
        known = self.newest.get(practitioner)
        return known is None or known.version < version

    def said(self, practitioner: str, word: Word) -> Ratings:
        """With the practitioner's newest word in place of what they said before."""
        known = self.newest.get(practitioner)
        total = self.total + word.rating - (known.rating if known is not None else 0)
        return Ratings(newest={**self.newest, practitioner: word}, total=total)

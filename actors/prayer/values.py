"""Bounds and words of a prayer wheel, and how rotations are counted. Pure.

One rotation is one recitation of the mantra that is in the wheel, and one bead of a mala; ``BEADS`` of them are a mala.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final

from msgspec import Meta

from actors.runtime.entity import Struct

BEADS: Final = 108
BY_HAND_MAX: Final = 100 * BEADS
"""Rotations told at once: a hundred malas, more than anybody turns between two messages."""
RATE_MIN_RPM: Final = 0.1
RATE_MAX_RPM: Final = 600.0
"""Ten rotations a second: faster than a wheel that stays on its table."""
SPIN_MAX_S: Final = 366 * 86_400
"""A spin that ends by itself ends within a year; one without an end goes on until it is stopped."""
MANTRAS_MAX: Final = 108
"""Different mantras of one wheel; each has its total in the wheel's state."""
ACCUMULATIONS_MAX: Final = 10_000
"""Of one wheel, dedicated ones too: one a day for twenty-seven years."""
MANTRA_MAX: Final = 200
INTENTION_MAX: Final = 2_000
DEDICATION_MAX: Final = 4_000
DEFAULT_MANTRA: Final = "Om Mani Padme Hum"

Mantra = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MANTRA_MAX,
        pattern=r"^(?!\s*$)[^\x00-\x1f\x7f]+$(?!\n)",
        description="a text without control characters that is not blank",
    ),
]
Intention = Annotated[str, Meta(max_length=INTENTION_MAX, pattern=r"^[^\x00]*$")]
Dedication = Annotated[str, Meta(min_length=1, max_length=DEDICATION_MAX, pattern=r"^(?!\s*$)[^\x00]*$")]
Rotations = Annotated[int, Meta(ge=1, le=BY_HAND_MAX)]
Rate = Annotated[
    float, Meta(ge=RATE_MIN_RPM, le=RATE_MAX_RPM, description="rotations a minute; counted to the thousandth")
]
SpinFor = Annotated[float, Meta(gt=0, le=SPIN_MAX_S, description="in seconds")]


class Count(Struct, frozen=True, kw_only=True):
    """Rotations, as whole malas and the beads of the one that is not whole yet."""

    rotations: int
    malas: Annotated[int, Meta(description=f"completed: {BEADS} rotations each")]
    beads: Annotated[int, Meta(description="of the current mala")]


def count_of(rotations: int) -> Count:
    """Rotations in malas."""
    malas, beads = divmod(rotations, BEADS)
    return Count(rotations=rotations, malas=malas, beads=beads)


def written(mantra: str) -> str:
    """A mantra as it is shown: NFC, one space between words."""
    return " ".join(unicodedata.normalize("NFC", mantra).split())


def key_of(mantra: str) -> str:
    """What two writings of one mantra have in common."""
    return written(mantra).casefold()

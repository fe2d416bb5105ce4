"""Flux positions: ``droot-v1``, our definition of the seed's ``compute_flux_position``, whose code was never published.

Each coordinate is quantised to whole millimetres, half to even, and its sign dropped; the decimal digits of the three integers
are summed, and the digital root of the sum is the flux position, 1 to 9. The origin (to the millimetre) is 9.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "droot-v1"
SACRED: Final = frozenset({3, 6, 9})


def digital_root(number: int) -> int:
    """The digits' sum's sum, until one digit is left: 0 of 0, else 1 + (n - 1) mod 9."""
    return 1 + (number - 1) % 9 if number else 0


def flux_position(x: float, y: float, z: float) -> int:
    """1 to 9, of finite coordinates in metres.

    An integer is congruent to the sum of its digits modulo 9, so the digits themselves are not needed; and -1 mod 9 is 8, which
    makes the origin 9. ``round`` of a float is an exact integer, however great.
    """
    return 1 + (round(abs(x) * 1000) + round(abs(y) * 1000) + round(abs(z) * 1000) - 1) % 9

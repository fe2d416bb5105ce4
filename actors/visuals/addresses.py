"""Where a picture of a sound is found. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from actors.audio.values import AUDIBLE_HZ

CYMATICS: Final = "/api/v1/visuals/cymatics"


def visual_of(frequencies: Sequence[float]) -> str:
    """The path of the Chladni figure of a sound: of its lowest frequency that can be heard, or of its lowest."""
    heard = [each for each in frequencies if each >= AUDIBLE_HZ]
    return f"{CYMATICS}?frequency={min(heard or frequencies):.10g}"

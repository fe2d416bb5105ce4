"""Bounds and words of sound. The types carry every bound: 0, -1, 1e9 and NaN Hz never become a frequency.

Levels are linear peak amplitudes, 1.0 is full scale; 0.8, the greatest, is -1.94 dBFS. Positions are seconds from the start of
what sounds, or samples of it at ``SAMPLE_RATE``.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

SAMPLE_RATE: Final = 44_100
CHANNELS: Final = 2
MAX_VOLUME: Final = 0.8
"""The ceiling of all that leaves: of a voice, and of the sum of voices (the limiter's)."""
FADE_S: Final = 0.02
"""At every start, stop and change, so that nothing clicks; domain.md asks for 10 ms at least."""
FADE_MAX_S: Final = 600
"""Ten minutes in which one sound becomes another."""
AUDIBLE_HZ: Final = 20.0
"""Below, a tone cannot be heard: it modulates a carrier instead, and the answer says so."""
CARRIER_HZ: Final = 136.1
"""What a tone below ``AUDIBLE_HZ`` modulates where nobody named a carrier."""
STRIKES_MIN_S: Final = 0.1
"""Between two strikes of a bowl: longer than the touch of the mallet (``FADE_S``)."""
VOICES_MAX: Final = 64
"""Of one recipe. A singing bowl is one voice of eleven modes."""
DURATION_MAX_S: Final = 86_400
"""A day. A tone has an end."""
LIST_MAX_S: Final = 10
"""A sound of at most so long is answered as a list of samples; a longer one as a place to stream it from."""

Frequency = Annotated[float, Meta(gt=0, le=20_000, description="in Hz")]
Level = Annotated[float, Meta(ge=0, le=MAX_VOLUME, description=f"linear peak, at most {MAX_VOLUME} (-1.94 dBFS)")]
Share = Annotated[float, Meta(ge=0, le=1)]
Duration = Annotated[float, Meta(gt=0, le=DURATION_MAX_S, description="in seconds")]
Position = Annotated[float, Meta(ge=0, le=DURATION_MAX_S, description="in seconds from the start")]
Fade = Annotated[float, Meta(ge=FADE_S, le=FADE_MAX_S, description="in seconds")]
DeviceName = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]

AudioType = Literal["prayer_bowl", "pure_sine", "solfeggio", "binaural", "chord"]
SOLFEGGIO_HZ: Final = (174.0, 285.0, 396.0, 417.0, 528.0, 639.0, 741.0, 852.0, 963.0)
EARTH_YEAR_HZ: Final = 2**32 / (365.24219 * 86_400)
"""136.10 Hz: 32 octaves above the tropical year."""

"""What sounds, whenever it sounds: voices over a span of time. Nothing here knows a clock or a device.

``render.render(recipe, start, count)`` makes of it the samples of any window, alike however it is cut. So a session is never
handed around as sound: a gateway, a device and a file each make it from the recipe and the position.

A voice begins and ends with a fade of ``values.FADE_S`` or longer. A change while something sounds (another frequency, another
volume) is a voice that ends ``FADE_S`` after the position at which the other begins: a crossfade. A bowl that takes over from one
that was struck before rings on from that strike (``struck_s``).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from actors.audio.values import STRIKES_MIN_S, VOICES_MAX, Duration, Fade, Frequency, Level, Position, Share
from actors.runtime.entity import Struct


class Voice(Struct, frozen=True, kw_only=True):
    """One of the below. ``level`` is its peak; silent before ``begins_s`` and from ``ends_s`` on (None: the recipe's end).

    A fade that is not given is ``values.FADE_S``. Of a voice with a ``fade_out_s``, and of one that begins so long before its end
    with the same ``fade_in_s``, the fades add up to 1: one becomes the other.
    """

    level: Level = 0.5
    begins_s: Position = 0.0
    ends_s: Position | None = None
    fade_in_s: Fade | UnsetType = UNSET
    fade_out_s: Fade | UnsetType = UNSET


class Sine(Voice, frozen=True, kw_only=True, tag="sine"):
    """One sine, in both ears alike."""

    frequency: Frequency


class Bowl(Voice, frozen=True, kw_only=True, tag="bowl"):
    """A singing bowl whose lowest pair of modes is around ``frequency`` (domain.md: STK's Tibetan bowl, Essl & Cook 2002).

    ``harmonics`` false: the lowest pair alone. ``envelopes`` false: no decay, it hums. ``strike_every_s`` 0: struck once.
    ``harmonic_strength``: level of the modes above the lowest pair. ``modulation_depth``: how deep a slow tremolo goes.
    ``struck_s``: the position of its first strike where that was before ``begins_s``.
    """

    frequency: Frequency
    harmonics: bool = True
    envelopes: bool = True
    harmonic_strength: Share = 0.5
    modulation_depth: Share = 0.0
    strike_every_s: Annotated[float, Meta(ge=0, le=3_600)] = 20.0
    struck_s: Position | UnsetType = UNSET

    def __post_init__(self) -> None:
        """ValueError for strikes closer than ``values.STRIKES_MIN_S``, and for a first one after it is heard."""
        if 0 < self.strike_every_s < STRIKES_MIN_S:
            raise ValueError(f"strike_every_s: 0 (struck once) or at least {STRIKES_MIN_S}")
        if self.first_strike_s > self.begins_s:
            raise ValueError("struck_s: at most begins_s")

    @property
    def first_strike_s(self) -> float:
        """The position of its first strike."""
        return self.begins_s if isinstance(self.struck_s, UnsetType) else self.struck_s


class Binaural(Voice, frozen=True, kw_only=True, tag="binaural"):
    """``carrier`` - ``beat``/2 in the left ear, + ``beat``/2 in the right; never mixed."""

    carrier: Frequency
    beat: Annotated[float, Meta(gt=0, le=100, description="in Hz")]


class Chord(Voice, frozen=True, kw_only=True, tag="chord"):
    """A blessing chord: sines of several frequencies, each with an equal share of the level."""

    frequencies: Annotated[tuple[Frequency, ...], Meta(min_length=1, max_length=32)]


class Pulse(Voice, frozen=True, kw_only=True, tag="pulse"):
    """A frequency that cannot be heard (below ``values.AUDIBLE_HZ``) as the amplitude modulation of a carrier that can."""

    frequency: Frequency
    carrier: Frequency


AnyVoice = Sine | Bowl | Binaural | Chord | Pulse


class Recipe(Struct, frozen=True, kw_only=True):
    """Voices, layered, for ``duration_s``; their sum is limited to ``values.MAX_VOLUME`` without a clip."""

    voices: Annotated[tuple[AnyVoice, ...], Meta(min_length=1, max_length=VOICES_MAX)]
    duration_s: Duration

"""A sound as HTTP asks for it, by the seed's names: in a body or in a query, which are the same sound; and what is made of it."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from actors.audio.presets import FREQUENCIES_MAX, LAYERS_MAX, Beat, Defaults, Layer, Layers, Made, Sound, made
from actors.audio.values import AudioType, Duration, Frequency, Level, Position, Share
from actors.runtime.codec import from_wire, invalid
from server.http.api import given_in
from server.http.contract import at_most
from server.settings import Settings
from server.sound.files import Format

BASE: Final = "/api/v1/audio"
LAYERS_TEXT_MAX: Final = 8_000
"""Of an address; eight layers of which everything is said are shorter."""

Volume = Annotated[Level, at_most("max_volume")]
Frequencies = Annotated[
    list[Frequency], Meta(max_length=FREQUENCIES_MAX, description="several, each with an equal share of the volume")
]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A sound, by the seed's names."""

    type: AudioType = "prayer_bowl"
    frequency: Annotated[Frequency | UnsetType, Meta(description="default 432; 528 of a solfeggio")] = UNSET
    frequencies: Frequencies = []
    base_frequency: Annotated[Frequency | UnsetType, Meta(description="the carrier of a binaural beat")] = UNSET
    beat_frequency: Beat = 7.83
    duration: Duration = 300.0
    volume: Volume = 0.5
    pure_sine: bool = False
    prayer_bowl_mode: Annotated[bool | UnsetType, Meta(description="default: the setting PRAYER_BOWL_MODE")] = UNSET
    harmonic_strength: Share = 0.5
    modulation_depth: Share = 0.0


class GenerateBody(Asked, frozen=True, kw_only=True):
    """A sound. Without anything: the seed's bowl of 432 Hz for 300 s."""

    layers: Annotated[
        Layers | UnsetType,
        Meta(
            description="several sounds at once or one after another, in place of one; `duration` and `volume` are the whole's"
        ),
    ] = UNSET
    intention: Annotated[str, Meta(max_length=2_000, description="nothing is made of it here")] = ""


class Layered(msgspec.Struct, frozen=True, kw_only=True):
    """``layers`` as they are in a query."""

    layers: Layers


class Query(Asked, frozen=True, kw_only=True):
    """A sound in a query."""

    layers: Annotated[
        str,
        Meta(max_length=LAYERS_TEXT_MAX, description=f"as of `POST generate`, as JSON: at most {LAYERS_MAX} sounds"),
    ] = ""


class RenderQuery(Query, frozen=True, kw_only=True):
    """A sound, and how it comes."""

    format: Annotated[Format, Meta(description="`ogg` is Vorbis, `opus` Opus in Ogg at 48 kHz")] = "wav"


class SpectrumQuery(Query, frozen=True, kw_only=True):
    """A sound, and where in it."""

    position: Annotated[Position, Meta(description="in seconds: the middle of what is measured")] = 1.0


def defaults_of(settings: Settings) -> Defaults:
    """What the settings say of sounds."""
    return Defaults(
        bowl_harmonics=settings.prayer_bowl_harmonics,
        bowl_envelopes=settings.prayer_bowl_envelopes,
        blessing=tuple(map(float, settings.blessing_frequencies)),
        max_volume=settings.max_volume,
    )


def made_of(asked: Asked, settings: Settings) -> Made:
    """The recipe of what is asked for. Raises Invalid."""
    carrier = (
        asked.base_frequency if asked.type == "binaural" and asked.base_frequency is not UNSET else asked.frequency
    )
    bowl = settings.prayer_bowl_mode if isinstance(asked.prayer_bowl_mode, UnsetType) else asked.prayer_bowl_mode
    layers = layers_of(asked)
    sound = Sound(
        audio_type=asked.type,
        frequencies=tuple(asked.frequencies),
        frequency=None if isinstance(carrier, UnsetType) else carrier,
        beat=asked.beat_frequency,
        duration_s=asked.duration,
        level=asked.volume,
        pure_sine=asked.pure_sine,
        bowl_mode=bowl,
        harmonic_strength=asked.harmonic_strength,
        modulation_depth=asked.modulation_depth,
        layers=layers,
    )
    return made(sound, defaults_of(settings))


def layers_of(asked: Asked) -> tuple[Layer, ...] | UnsetType:
    """The layers that were given, in a body or in a query. Raises Invalid."""
    if isinstance(asked, GenerateBody):
        return asked.layers
    if not isinstance(asked, Query) or not asked.layers:
        return UNSET
    try:
        given = orjson.loads(asked.layers)
    except orjson.JSONDecodeError as failure:
        raise invalid("layers", f"must be a JSON array: {failure}") from None
    return from_wire(Layered, {"layers": given}).layers


def url_of(asked: Asked, format_: Format) -> str:
    """What was given of it, as a query of ``render``."""
    defaults = GenerateBody()
    given = {
        name: value
        for name, value in given_in(asked).items()
        if name != "intention" and value != getattr(defaults, name)
    }
    query = {name: str(value).lower() if isinstance(value, bool) else value for name, value in given.items()}
    if given.get("layers"):
        query["layers"] = msgspec.json.encode(given["layers"]).decode()
    return f"{BASE}/render?{urlencode(query | {'format': format_}, doseq=True)}"

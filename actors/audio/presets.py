"""Recipes of what a person asks for: a kind of sound, frequencies, a volume. And sounds that have a name.

What cannot be heard as it was asked for is still made, another way, and ``Made.notes`` says so in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType, structs

from actors.audio.bowl import RATIOS
from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Pulse, Recipe, Sine
from actors.audio.values import (
    AUDIBLE_HZ,
    CARRIER_HZ,
    EARTH_YEAR_HZ,
    FADE_S,
    MAX_VOLUME,
    SOLFEGGIO_HZ,
    VOICES_MAX,
    AudioType,
    Duration,
    Fade,
    Frequency,
    Level,
    Position,
    Share,
)
from actors.runtime.codec import invalid
from actors.runtime.entity import Struct
from actors.runtime.errors import Invalid

HEARD_HZ: Final = 20_000.0
FREQUENCIES_MAX: Final = 32
"""Of one sound: each is a bowl, or has its share of a chord."""
LAYERS_MAX: Final = 8
DEFAULT_HZ: Final = 432.0
SOLFEGGIO_DEFAULT_HZ: Final = 528.0
BLESSING_HZ: Final = (7.83, 136.1, 528.0, 639.0, 741.0)
"""The seed's BLESSING_FREQUENCIES."""


class Defaults(Struct, frozen=True, kw_only=True):
    """What a server's settings say (the seed's names: PRAYER_BOWL_HARMONICS, …)."""

    bowl_harmonics: bool = True
    bowl_envelopes: bool = True
    blessing: tuple[float, ...] = BLESSING_HZ
    max_volume: float = MAX_VOLUME


Beat = Annotated[float, Meta(gt=0, le=100, description="Hz between the ears")]
Frequencies = Annotated[tuple[Frequency, ...], Meta(max_length=FREQUENCIES_MAX)]


class Layer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A sound among others, by the names that clients use; a named sound is one as it stands. Of a binaural one a frequency is
    the carrier.

    Two cross over where one ends (``ends``, ``fade_out``) as the other begins (``begins``, ``fade_in``).
    """

    type: AudioType = "prayer_bowl"
    frequency: Frequency | None = None
    frequencies: Annotated[Frequencies, Meta(description="several, in place of `frequency`")] = ()
    beat_frequency: Beat = 7.83
    volume: Annotated[Share, Meta(description="its part of the whole's volume")] = 1.0
    pure_sine: bool = False
    prayer_bowl_mode: Annotated[bool | None, Meta(description="null: as of the whole")] = None
    harmonic_strength: Share = 0.5
    modulation_depth: Share = 0.0
    begins: Annotated[Position, Meta(description="in seconds of the whole")] = 0.0
    ends: Annotated[Position | None, Meta(description="null: with the whole")] = None
    fade_in: Fade | UnsetType = UNSET
    fade_out: Fade | UnsetType = UNSET


Layers = Annotated[tuple[Layer, ...], Meta(max_length=LAYERS_MAX)]


class Sound(Struct, frozen=True, kw_only=True):
    """What is asked for. ``frequencies`` where there are any, else ``frequency``, else the kind's own.

    Of a binaural sound a frequency is the carrier. ``pure_sine``, or a bowl without ``bowl_mode``: sines in place of bowls.
    With ``layers`` it is those together, at the whole's ``level``, and what is said of one sound counts for nothing.
    """

    audio_type: AudioType = "prayer_bowl"
    frequencies: Frequencies = ()
    frequency: Frequency | None = None
    beat: Beat = 7.83
    duration_s: Duration = 300.0
    level: Level = 0.5
    pure_sine: bool = False
    bowl_mode: bool = True
    harmonic_strength: Share = 0.5
    modulation_depth: Share = 0.0
    layers: Layers | UnsetType = UNSET


class Made(Struct, frozen=True, kw_only=True):
    """A recipe, what of it a person should know, and the frequencies that were decided on."""

    recipe: Recipe
    notes: tuple[str, ...]
    frequencies: tuple[float, ...]


def made(sound: Sound, defaults: Defaults = Defaults()) -> Made:  # noqa: B008 - it is frozen
    """The recipe. Each frequency has an equal share of the level, so the sum is never limited.

    Raises Invalid: ``volume`` above the server's own greatest, ``frequency`` of a carrier that cannot be heard, ``layers`` that
    are never there.
    """
    if sound.level > defaults.max_volume:
        raise invalid("volume", f"at most {defaults.max_volume:g} (MAX_VOLUME)")
    return _layered(sound, sound.layers, defaults) if sound.layers else _alone(sound, defaults)


def _layered(sound: Sound, layers: Sequence[Layer], defaults: Defaults) -> Made:
    loudest = _loudest(layers, sound.duration_s)
    found = [_layer(sound, layer, max(loudest, 1.0), defaults, f"layers[{n}]") for n, layer in enumerate(layers)]
    frequencies = tuple(hz for each in found for hz in each.frequencies)
    if len(frequencies) > VOICES_MAX:
        raise invalid("layers", f"at most {VOICES_MAX} frequencies together")
    notes = [note for each in found for note in each.notes]
    if loudest > 1:
        notes.append(f"the layers' volumes add up to {loudest:g}: each has 1/{loudest:g} of its own")
    recipe = Recipe(voices=tuple(voice for each in found for voice in each.recipe.voices), duration_s=sound.duration_s)
    return Made(recipe=recipe, notes=tuple(dict.fromkeys(notes)), frequencies=tuple(dict.fromkeys(frequencies)))


def _layer(sound: Sound, layer: Layer, loudest: float, defaults: Defaults, path: str) -> Made:
    """A layer alone, in its place."""
    if layer.begins >= sound.duration_s:
        raise invalid(f"{path}.begins", f"the sound ends at {sound.duration_s:g} s")
    if layer.ends is not None and layer.ends <= layer.begins:
        raise invalid(f"{path}.ends", f"it begins at {layer.begins:g} s")
    one = Sound(
        audio_type=layer.type,
        frequencies=layer.frequencies,
        frequency=layer.frequency,
        beat=layer.beat_frequency,
        duration_s=sound.duration_s,
        level=sound.level * layer.volume / loudest,
        pure_sine=layer.pure_sine,
        bowl_mode=sound.bowl_mode if layer.prayer_bowl_mode is None else layer.prayer_bowl_mode,
        harmonic_strength=layer.harmonic_strength,
        modulation_depth=layer.modulation_depth,
    )
    try:
        found = _alone(one, defaults)
    except Invalid as wrong:
        raise invalid(f"{path}.{wrong.errors[0].path}", wrong.errors[0].message) from None
    placed = {"begins_s": layer.begins, "ends_s": layer.ends, "fade_in_s": layer.fade_in, "fade_out_s": layer.fade_out}
    voices = tuple(structs.replace(voice, **placed) for voice in found.recipe.voices)
    return structs.replace(found, recipe=structs.replace(found.recipe, voices=voices))


def _loudest(layers: Sequence[Layer], duration_s: float) -> float:
    """The greatest sum of volumes at any time. A layer counts for all of its fades, but where one fades out just as another fades
    in: of two that cross over one counts."""
    fades = [_fades(layer, duration_s) for layer in layers]
    rising = {(round(begins, 6), round(full, 6)) for begins, full, _, _ in fades}
    falling = {(round(fades_at, 6), round(ends, 6)) for _, _, fades_at, ends in fades}
    edges = []
    for layer, (begins, full, fades_at, ends) in zip(layers, fades, strict=True):
        crosses_in = (round(begins, 6), round(full, 6)) in falling
        crosses_out = (round(fades_at, 6), round(ends, 6)) in rising
        counts_from = (begins + full) / 2 if crosses_in else begins
        counts_to = (fades_at + ends) / 2 if crosses_out else ends
        edges += [(counts_from, 1, layer.volume), (max(counts_from, counts_to), 0, -layer.volume)]
    sums = list(accumulate(volume for _, _, volume in sorted(edges)))
    return round(max(sums), 9)


def _fades(layer: Layer, duration_s: float) -> tuple[float, float, float, float]:
    """Where a layer begins, has risen, begins to fall and ends, in seconds."""
    rising, falling = (FADE_S if isinstance(fade, UnsetType) else fade for fade in (layer.fade_in, layer.fade_out))
    ends = duration_s if layer.ends is None else min(layer.ends, duration_s)
    return layer.begins, layer.begins + rising, ends - falling, ends


def _alone(sound: Sound, defaults: Defaults) -> Made:
    frequencies = _frequencies(sound, defaults)
    heard = tuple(each for each in frequencies if each >= AUDIBLE_HZ)
    felt = tuple(each for each in frequencies if each < AUDIBLE_HZ)
    if sound.audio_type == "binaural":
        _check_carriers(frequencies, sound.beat)
        felt = ()
    carrier = min(heard, default=CARRIER_HZ)
    share = sound.level / len(frequencies)
    pulses: list[AnyVoice] = [Pulse(frequency=each, carrier=carrier, level=share) for each in felt]
    voices = _voices(sound, defaults, heard, share) if heard else []
    notes = [_felt(each, carrier) for each in felt] + _notes(sound, defaults, heard)
    recipe = Recipe(voices=(*voices, *pulses), duration_s=sound.duration_s)
    return Made(recipe=recipe, notes=tuple(notes), frequencies=frequencies)


def is_bowl(sound: Sound) -> bool:
    """Whether it is made of bowls, and not of sines."""
    return sound.audio_type == "prayer_bowl" and sound.bowl_mode and not sound.pure_sine


def _frequencies(sound: Sound, defaults: Defaults) -> tuple[float, ...]:
    if sound.frequencies:
        return sound.frequencies
    if sound.frequency is not None:
        return (sound.frequency,)
    if sound.audio_type == "chord":
        return defaults.blessing
    return (SOLFEGGIO_DEFAULT_HZ if sound.audio_type == "solfeggio" else DEFAULT_HZ,)


def _check_carriers(carriers: Sequence[float], beat: float) -> None:
    lowest = AUDIBLE_HZ + beat / 2
    if min(carriers) < lowest:
        message = f"the carrier of a binaural beat of {beat:g} Hz is at least {lowest:g} Hz, or one ear hears nothing"
        raise invalid("frequency", message)


def _voices(sound: Sound, defaults: Defaults, heard: tuple[float, ...], share: float) -> list[AnyVoice]:
    if sound.audio_type == "binaural":
        return [Binaural(carrier=each, beat=sound.beat, level=share) for each in heard]
    if is_bowl(sound):
        return [_bowl(sound, defaults, each, share) for each in heard]
    if len(heard) == 1:
        return [Sine(frequency=heard[0], level=share)]
    return [Chord(frequencies=heard, level=min(share * len(heard), sound.level))]  # 0.8 / 3 * 3 > 0.8


def _bowl(sound: Sound, defaults: Defaults, frequency: float, share: float) -> Bowl:
    return Bowl(
        frequency=frequency,
        level=share,
        harmonics=defaults.bowl_harmonics,
        envelopes=defaults.bowl_envelopes,
        harmonic_strength=sound.harmonic_strength,
        modulation_depth=sound.modulation_depth,
    )


def _felt(frequency: float, carrier: float) -> str:
    return f"{frequency:g} Hz is below {AUDIBLE_HZ:g} Hz and cannot be heard: it is the amplitude modulation of {carrier:g} Hz"


def _notes(sound: Sound, defaults: Defaults, heard: tuple[float, ...]) -> list[str]:
    """What is different from what a person may expect."""
    notes = []
    if sound.audio_type == "binaural":
        notes.append(f"one tone in each ear, {sound.beat:g} Hz apart: the beat is there with headphones only")
    if sound.audio_type == "solfeggio":
        known = ", ".join(f"{each:g}" for each in SOLFEGGIO_HZ)
        notes += [f"{each:g} Hz is none of the solfeggio ({known})" for each in heard if each not in SOLFEGGIO_HZ]
    if is_bowl(sound) and defaults.bowl_harmonics:
        notes += [
            _too_high(each, count) for each in heard if (count := sum(each * ratio > HEARD_HZ for ratio in RATIOS))
        ]
    return notes


def _too_high(frequency: float, count: int) -> str:
    return f"{count} of the {len(RATIOS)} modes of a bowl at {frequency:g} Hz are too high to be heard"


class Preset(Struct, frozen=True, kw_only=True):
    """A sound with a name: what ``POST /api/v1/audio/generate`` takes, and what it is."""

    name: str
    description: str
    type: AudioType
    frequency: Frequency
    volume: Level
    prayer_bowl_mode: bool = False
    harmonic_strength: Share = 0.0
    modulation_depth: Share = 0.0


PRESETS: Final[dict[str, Preset]] = {
    "om": Preset(
        name="Om",
        description="the octave of the Earth's year, as a bowl",
        type="prayer_bowl",
        frequency=round(EARTH_YEAR_HZ, 2),
        volume=0.8,
        prayer_bowl_mode=True,
        harmonic_strength=0.3,
        modulation_depth=0.05,
    ),
    "bowl": Preset(
        name="Singing bowl",
        description="a bowl of 432 Hz, struck every 20 seconds",
        type="prayer_bowl",
        frequency=432.0,
        volume=0.5,
        prayer_bowl_mode=True,
        harmonic_strength=0.5,
    ),
    "heart-chakra": Preset(
        name="Heart",
        description="528 Hz of the solfeggio, as a bowl that breathes",
        type="prayer_bowl",
        frequency=528.0,
        volume=0.7,
        prayer_bowl_mode=True,
        harmonic_strength=0.4,
        modulation_depth=0.1,
    ),
    "earth-resonance": Preset(
        name="Earth resonance",
        description="7.83 Hz, the lowest Schumann resonance: too low to be heard, so it is the pulse of a tone that can be",
        type="pure_sine",
        frequency=7.83,
        volume=0.6,
    ),
    "theta-beat": Preset(
        name="Binaural beat",
        description="432 Hz with 7.83 Hz between the ears; for headphones",
        type="binaural",
        frequency=432.0,
        volume=0.5,
    ),
    "pure-sine": Preset(
        name="Pure sine",
        description="440 Hz and nothing else: concert pitch, to tune by",
        type="pure_sine",
        frequency=440.0,
        volume=0.8,
    ),
}

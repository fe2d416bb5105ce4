"""What a session sounds like: from what somebody asked for to voices, decided once, and how it changes while it runs. Pure.

What nobody said is decided here too: 432 Hz (of solfeggio 528), the blessing chord of the settings. A frequency that cannot be
heard becomes the beat of a carrier that can, and a note says so. Several frequencies share the level equally, so that their sum
never exceeds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from actors.audio.recipe import AnyVoice, Binaural, Bowl, Chord, Pulse, Recipe, Sine
from actors.audio.values import (
    AUDIBLE_HZ,
    CARRIER_HZ,
    DURATION_MAX_S,
    FADE_S,
    MAX_VOLUME,
    SOLFEGGIO_HZ,
    VOICES_MAX,
    AudioType,
)
from actors.runtime.codec import invalid, path
from actors.runtime.entity import Struct

TONE_HZ: Final = 432.0
SOLFEGGIO_DEFAULT_HZ: Final = 528.0


class Defaults(Struct, frozen=True, kw_only=True):
    """The server's settings of sound."""

    bowl_harmonics: bool = True
    bowl_envelopes: bool = True
    blessing: tuple[float, ...] = (7.83, 136.1, 528.0, 639.0, 741.0)
    max_volume: float = MAX_VOLUME


class Sound(Struct, frozen=True, kw_only=True):
    """What was asked for. ``frequencies`` where there are any, else ``frequency``."""

    audio_type: AudioType = "prayer_bowl"
    frequencies: tuple[float, ...] = ()
    frequency: float | None = None
    beat: float = 7.83
    duration_s: float = 300.0
    level: float = 0.5
    pure_sine: bool = False
    bowl_mode: bool = True
    harmonic_strength: float = 0.5
    modulation_depth: float = 0.0


class Made(Struct, frozen=True, kw_only=True):
    """What became of it. ``frequencies``: those that were decided on, in Hz."""

    recipe: Recipe
    frequencies: tuple[float, ...]
    notes: tuple[str, ...] = ()


def made(sound: Sound, defaults: Defaults) -> Made:
    """The recipe of a sound. Raises Invalid with the path of a field that cannot be."""
    if sound.level > defaults.max_volume:
        raise invalid("volume", f"at most {defaults.max_volume:g}, which is this server's MAX_VOLUME")
    frequencies = _frequencies(sound, defaults)
    voices, notes = _voices(sound, frequencies, defaults)
    return Made(recipe=Recipe(voices=voices, duration_s=sound.duration_s), frequencies=frequencies, notes=notes)


def changed(recipe: Recipe, voices: Sequence[AnyVoice], at_s: float) -> Recipe:
    """The recipe with other voices from a position on, as a crossfade (render: what ends fades out in its last ``FADE_S``);
    before it everything stays as it was. What has ended longest ago is forgotten where there is no room: nobody hears it again,
    since a session that begins anew is made anew."""
    if at_s <= 0:
        return structs.replace(recipe, voices=tuple(voices))
    over = min(at_s + FADE_S, float(DURATION_MAX_S))
    ended = [
        voice if voice.ends_s is not None and voice.ends_s <= over else structs.replace(voice, ends_s=over)
        for voice in recipe.voices
        if voice.begins_s < at_s
    ]
    ended.sort(key=lambda voice: voice.ends_s or over)
    room = VOICES_MAX - len(voices)
    kept = ended[-room:] if room else []
    return structs.replace(recipe, voices=(*kept, *(structs.replace(voice, begins_s=at_s) for voice in voices)))


def _frequencies(sound: Sound, defaults: Defaults) -> tuple[float, ...]:
    if sound.frequencies:
        return sound.frequencies
    if sound.frequency is not None:
        return (sound.frequency,)
    if sound.audio_type == "chord":
        return defaults.blessing
    return (SOLFEGGIO_DEFAULT_HZ if sound.audio_type == "solfeggio" else TONE_HZ,)


def _voices(
    sound: Sound, frequencies: tuple[float, ...], defaults: Defaults
) -> tuple[tuple[AnyVoice, ...], tuple[str, ...]]:
    share = sound.level / len(frequencies)
    if sound.audio_type == "binaural":
        for n, hz in enumerate(frequencies):
            if hz < AUDIBLE_HZ or hz <= sound.beat / 2:
                where = path("frequencies", n) if sound.frequencies else "audio_frequency"
                raise invalid(where, f"a carrier that can be heard, from {AUDIBLE_HZ:g} Hz")
        return tuple(Binaural(carrier=hz, beat=sound.beat, level=share) for hz in frequencies), ()
    audible = tuple(hz for hz in frequencies if hz >= AUDIBLE_HZ)
    carrier = audible[0] if audible else CARRIER_HZ
    pulses = [Pulse(frequency=hz, carrier=carrier, level=share) for hz in frequencies if hz < AUDIBLE_HZ]
    notes = [f"{pulse.frequency:g} Hz cannot be heard; it modulates {carrier:g} Hz" for pulse in pulses]
    if sound.audio_type == "solfeggio":
        notes += [f"{hz:g} Hz is none of the solfeggio frequencies" for hz in audible if hz not in SOLFEGGIO_HZ]
    return (*_audible(sound, audible, share, defaults), *pulses), tuple(notes)


def _audible(sound: Sound, frequencies: tuple[float, ...], share: float, defaults: Defaults) -> tuple[AnyVoice, ...]:
    if not frequencies:
        return ()
    if sound.audio_type == "chord":
        return (Chord(frequencies=frequencies, level=min(sound.level, share * len(frequencies))),)
    if sound.audio_type == "prayer_bowl" and sound.bowl_mode and not sound.pure_sine:
        return tuple(
            Bowl(
                frequency=hz,
                level=share,
                harmonics=defaults.bowl_harmonics,
                envelopes=defaults.bowl_envelopes,
                harmonic_strength=sound.harmonic_strength,
                modulation_depth=sound.modulation_depth,
            )
            for hz in frequencies
        )
    return tuple(Sine(frequency=hz, level=share) for hz in frequencies)

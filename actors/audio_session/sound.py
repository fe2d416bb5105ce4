"""How what a session sounds like changes while it runs. Pure. (What it is made of is ``actors.audio.presets``'s.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import structs

from actors.audio import presets
from actors.audio.recipe import AnyVoice, Recipe
from actors.audio.values import DURATION_MAX_S, FADE_S, VOICES_MAX
from actors.runtime.codec import invalid
from actors.runtime.errors import Invalid

_FIELD: Final = "frequency"


def made(sound: presets.Sound, defaults: presets.Defaults) -> presets.Made:
    """``presets.made``. Raises Invalid with the path of a field as sessions name it."""
    try:
        return presets.made(sound, defaults)
    except Invalid as wrong:
        if [each.path for each in wrong.errors] != [_FIELD]:
            raise
        where = "frequencies" if sound.frequencies else "audio_frequency"
        raise invalid(where, wrong.errors[0].message) from None


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

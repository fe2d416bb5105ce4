"""How what a session sounds like changes while it runs. Pure. (What it is made of is ``actors.audio.presets``'s.)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import UNSET, UnsetType, structs

from actors.audio import presets
from actors.audio.recipe import AnyVoice, Bowl, Recipe
from actors.audio.values import DURATION_MAX_S, FADE_S, VOICES_MAX
from actors.runtime.codec import invalid
from actors.runtime.errors import Invalid

PAST_S: Final = 5.0
"""A voice that ended so long before the position sounds nowhere any more: a player is late by less."""
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


def changed(recipe: Recipe, voices: Sequence[AnyVoice], at_s: float, now_s: float) -> Recipe:
    """The recipe with other voices from a position on, as a crossfade (render: what ends fades out in its last ``FADE_S``);
    before it everything stays as it was. A bowl that only becomes louder or softer is not struck anew.

    A voice that is in a fade of its own goes through with it first: the change comes after it comes in, and not at all while it
    goes. What has ended longest ago is forgotten where there is no room; where there is none even for what still sounds at
    ``now_s``, the position that is heard now, the change comes at once, as silence until later would be worse.
    """
    if at_s <= 0:
        return structs.replace(recipe, voices=tuple(voices))
    begun = [voice for voice in recipe.voices if voice.begins_s < at_s]
    at_s = min(max([at_s, *(voice.begins_s + FADE_S for voice in begun)]), float(DURATION_MAX_S))
    struck = {_bowl(each): each.first_strike_s for each in begun if isinstance(each, Bowl) and _ends_s(each) > at_s}
    before = [_until(voice, at_s, recipe.duration_s) for voice in begun]
    after = [each for voice in voices if (each := _from(voice, at_s, recipe.duration_s, struck)) is not None]
    before.sort(key=_ends_s)
    lost = max(0, len(before) + len(after) - VOICES_MAX)
    if any(_ends_s(each) > now_s for each in before[:lost]):
        return _switched(recipe, voices, now_s)
    return structs.replace(recipe, voices=(*before[lost:], *after))


def _switched(recipe: Recipe, voices: Sequence[AnyVoice], now_s: float) -> Recipe:
    """The recipe with other voices from now on: nothing waits for a fade of its own, and of what sounded there fades out what
    there is room for."""
    if now_s <= 0:
        return structs.replace(recipe, voices=tuple(voices))
    begun = [voice for voice in recipe.voices if voice.begins_s < now_s]
    struck = {_bowl(each): each.first_strike_s for each in begun if isinstance(each, Bowl) and _ends_s(each) > now_s}
    after = [each for voice in voices if (each := _at_once(voice, now_s, struck)) is not None]
    over = min(now_s + FADE_S, float(DURATION_MAX_S))
    gives_way = [voice for voice in begun if not _goes(voice, over, recipe.duration_s)]
    before = sorted((voice for voice in begun if _ends_s(voice) <= now_s), key=_ends_s)
    before += [structs.replace(voice, ends_s=over, fade_out_s=UNSET) for voice in gives_way]
    lost = max(0, len(before) + len(after) - VOICES_MAX)
    return structs.replace(recipe, voices=(*before[lost:], *after))


def without_the_past(recipe: Recipe, position_s: float) -> Recipe:
    """The recipe without the voices that ended ``PAST_S`` before a position: from there on it sounds the same."""
    kept = tuple(voice for voice in recipe.voices if _ends_s(voice) > position_s - PAST_S)
    return structs.replace(recipe, voices=kept) if 0 < len(kept) < len(recipe.voices) else recipe


def stretched(recipe: Recipe, duration_s: float, position_s: float) -> Recipe:
    """The recipe with another length, heard from a position on: a voice that fades out by now goes on as it began to and comes
    back, one that has less time to fade out takes less."""
    voices = [each for voice in recipe.voices for each in _stretched(voice, recipe.duration_s, duration_s, position_s)]
    return structs.replace(recipe, voices=tuple(voices[-VOICES_MAX:]), duration_s=duration_s)


def _stretched(voice: AnyVoice, was_s: float, is_s: float, at_s: float) -> tuple[AnyVoice, ...]:
    over, ends, fade = min(_ends_s(voice), was_s), min(_ends_s(voice), is_s), _fade(voice.fade_out_s)
    fades = over - fade < at_s < over
    if ends < over and not fades:
        return (structs.replace(voice, fade_out_s=min(fade, max(ends - at_s, FADE_S))),) if fade > FADE_S else (voice,)
    if ends <= over or not fades or fade <= FADE_S:
        return (voice,)
    after = structs.replace(voice, begins_s=at_s, fade_in_s=max(over - at_s, FADE_S))
    if isinstance(after, Bowl) and isinstance(voice, Bowl):
        after = structs.replace(after, struck_s=voice.first_strike_s)
    return structs.replace(voice, ends_s=over), after


def softened(recipe: Recipe, level: float, most: float) -> Recipe:
    """The recipe of a sound of a level, no louder than ``most``."""
    if level <= most:
        return recipe
    voices = tuple(structs.replace(voice, level=voice.level * most / level) for voice in recipe.voices)
    return structs.replace(recipe, voices=voices)


def _ends_s(voice: AnyVoice) -> float:
    return float("inf") if voice.ends_s is None else voice.ends_s


def _until(voice: AnyVoice, at_s: float, duration_s: float) -> AnyVoice:
    """What sounds, giving way to what comes."""
    over = _change_s(voice, at_s) + FADE_S
    if _goes(voice, over, duration_s):
        return voice
    return structs.replace(voice, ends_s=min(over, float(DURATION_MAX_S)), fade_out_s=UNSET)


def _from(voice: AnyVoice, at_s: float, duration_s: float, struck: Mapping[Bowl, float]) -> AnyVoice | None:
    """What comes, from the change on; None where it would be going by then."""
    if voice.begins_s >= at_s:
        return voice
    begins = _change_s(voice, at_s)
    if _goes(voice, begins + FADE_S, duration_s):
        return None
    return _anew(structs.replace(voice, begins_s=begins, fade_in_s=UNSET), struck)


def _anew(voice: AnyVoice, struck: Mapping[Bowl, float]) -> AnyVoice:
    """A voice that begins in another's place: a bowl that rings already is not struck."""
    first = struck.get(_bowl(voice)) if isinstance(voice, Bowl) else None
    return voice if first is None else structs.replace(voice, struck_s=first)


def _at_once(voice: AnyVoice, now_s: float, struck: Mapping[Bowl, float]) -> AnyVoice | None:
    """What comes, from now on, with what is left of its own fade; None where it is over."""
    if voice.begins_s >= now_s:
        return voice
    if _ends_s(voice) <= now_s + FADE_S:
        return None
    comes = max(voice.begins_s + _fade(voice.fade_in_s) - now_s, FADE_S)
    return _anew(structs.replace(voice, begins_s=now_s, fade_in_s=comes), struck)


def _change_s(voice: AnyVoice, at_s: float) -> float:
    return max(at_s, voice.begins_s + _fade(voice.fade_in_s))


def _goes(voice: AnyVoice, at_s: float, duration_s: float) -> bool:
    """Whether it fades out by then, or is over."""
    return min(_ends_s(voice), duration_s) - _fade(voice.fade_out_s) <= at_s


def _fade(given: float | UnsetType) -> float:
    return FADE_S if isinstance(given, UnsetType) else given


def _bowl(bowl: Bowl) -> Bowl:
    """What bowls have in common that ring alike, however loud, and from whenever on they are heard."""
    return structs.replace(
        bowl, level=0.0, begins_s=0.0, ends_s=None, fade_in_s=UNSET, fade_out_s=UNSET, struck_s=UNSET
    )

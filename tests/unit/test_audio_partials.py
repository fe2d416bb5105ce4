"""What a recipe costs to play: crossfades count once, and nothing gets by."""

from __future__ import annotations

from actors.audio.recipe import Chord, Recipe
from actors.audio.state import at_once, partials
from actors.audio.values import FADE_S

WIDE = tuple(100.0 + n for n in range(32))


def test_a_crossfade_counts_once_at_whatever_position() -> None:
    for at_s in (0.3, 1.1, 7.3, 19.97, 12_345.678):
        before = Chord(frequencies=WIDE, ends_s=at_s + FADE_S)
        recipe = Recipe(voices=(before, Chord(frequencies=WIDE, begins_s=at_s)), duration_s=86_400)
        assert partials(recipe) == 32
        assert at_once(recipe, lambda voice: voice.level) == 2 * before.level  # of how loud it is, a bound is wanted


def test_voices_that_overlap_for_longer_and_such_as_are_only_fades_count_as_they_sound() -> None:
    early = Chord(frequencies=WIDE, begins_s=1 - 0.001)
    assert partials(Recipe(voices=(Chord(frequencies=WIDE, ends_s=1 + FADE_S), early), duration_s=9)) == 64
    short = Chord(frequencies=WIDE, begins_s=1, ends_s=1 + FADE_S)
    assert partials(Recipe(voices=(short,) * 3, duration_s=9)) == 96

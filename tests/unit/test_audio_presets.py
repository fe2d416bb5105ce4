"""What people ask for becomes voices; what they should know is said."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from actors.audio.presets import BLESSING_HZ, LAYERS_MAX, PRESETS, Defaults, Layer, Sound, made
from actors.audio.recipe import Binaural, Bowl, Chord, Pulse, Recipe, Sine
from actors.audio.render import render
from actors.audio.values import MAX_VOLUME
from actors.runtime.codec import from_wire
from actors.runtime.errors import Invalid


def kinds(recipe: Recipe) -> list[type]:
    return [type(voice) for voice in recipe.voices]


@pytest.mark.parametrize(
    ("sound", "expected", "hz"),
    [
        (Sound(), [Bowl], (432.0,)),
        (Sound(pure_sine=True), [Sine], (432.0,)),
        (Sound(bowl_mode=False), [Sine], (432.0,)),
        (Sound(audio_type="pure_sine", frequency=440.0), [Sine], (440.0,)),
        (Sound(audio_type="solfeggio"), [Sine], (528.0,)),
        (Sound(audio_type="binaural"), [Binaural], (432.0,)),
        (Sound(audio_type="chord"), [Chord, Pulse], BLESSING_HZ),
        (Sound(frequencies=(100.0, 200.0)), [Bowl, Bowl], (100.0, 200.0)),
        (Sound(audio_type="pure_sine", frequencies=(100.0, 200.0), frequency=3.0), [Chord], (100.0, 200.0)),
    ],
)
def test_a_kind_of_sound_has_its_voices_and_frequencies(
    sound: Sound, expected: list[type], hz: tuple[float, ...]
) -> None:
    found = made(sound)
    assert kinds(found.recipe) == expected
    assert found.frequencies == hz
    assert sum(voice.level for voice in found.recipe.voices) == pytest.approx(sound.level)


def test_what_cannot_be_heard_pulses_a_tone_that_can_and_it_is_said() -> None:
    found = made(Sound(audio_type="pure_sine", frequency=7.83))
    assert found.recipe.voices == (Pulse(frequency=7.83, carrier=136.1, level=0.5),)
    assert found.notes == ("7.83 Hz is below 20 Hz and cannot be heard: it is the amplitude modulation of 136.1 Hz",)
    with_others = made(Sound(frequencies=(7.83, 528.0, 300.0)))
    assert Pulse(frequency=7.83, carrier=300.0, level=0.5 / 3) in with_others.recipe.voices


def test_notes_tell_of_what_is_different() -> None:
    assert "headphones" in made(Sound(audio_type="binaural")).notes[0]
    assert "432 Hz is none of the solfeggio" in made(Sound(audio_type="solfeggio", frequency=432.0)).notes[0]
    assert made(Sound(frequency=5_000.0)).notes == ("7 of the 11 modes of a bowl at 5000 Hz are too high to be heard",)
    assert made(Sound()).notes == ()


def test_the_settings_of_bowls_count() -> None:
    (bowl,) = made(Sound(harmonic_strength=0.2), Defaults(bowl_harmonics=False, bowl_envelopes=False)).recipe.voices
    assert isinstance(bowl, Bowl)
    assert (bowl.harmonics, bowl.envelopes, bowl.harmonic_strength) == (False, False, 0.2)
    assert made(Sound(audio_type="chord"), Defaults(blessing=(50.0,))).frequencies == (50.0,)


@pytest.mark.parametrize(
    ("sound", "path"),
    [
        (Sound(audio_type="binaural", frequency=22.0), "frequency"),
        (Sound(level=0.6), "volume"),
    ],
)
def test_what_cannot_be_made_is_refused(sound: Sound, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        made(sound, Defaults(max_volume=0.5))
    assert refused.value.errors[0].path == path


@pytest.mark.parametrize("hz", [0, -1, 1e9, float("nan"), float("inf"), "432"])
def test_no_such_frequency_becomes_a_voice(hz: Any) -> None:
    with pytest.raises(Invalid):
        from_wire(Sound, {"frequency": hz})
    with pytest.raises(Invalid):
        from_wire(Recipe, {"voices": [{"type": "sine", "frequency": hz}], "duration_s": 1})


def test_ten_thousand_voices_a_year_and_a_strike_in_a_strike_are_refused() -> None:
    voice = {"type": "sine", "frequency": 432}
    for fields in (
        {"voices": [voice] * 10_000, "duration_s": 1},
        {"voices": [voice], "duration_s": 365 * 86_400},
        {"voices": [voice | {"level": 0.81}], "duration_s": 1},
        {"voices": [{"type": "bowl", "frequency": 432, "strike_every_s": 0.01}], "duration_s": 1},
    ):
        with pytest.raises(Invalid):
            from_wire(Recipe, fields)


@pytest.mark.parametrize("count", [1, 3, 7, 32])
def test_the_loudest_of_many_frequencies_is_kept_whole_by_the_journal(count: int) -> None:
    for kind in ("chord", "prayer_bowl", "pure_sine"):
        hz = tuple(100.0 + 10 * n for n in range(count))
        recipe = made(Sound(audio_type=kind, frequencies=hz, level=MAX_VOLUME)).recipe
        assert msgspec.json.decode(msgspec.json.encode(recipe), type=Recipe) == recipe


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_it_says_and_sounds(name: str) -> None:
    preset = from_wire(type(PRESETS[name]), msgspec.to_builtins(PRESETS[name]))
    sound = Sound(
        audio_type=preset.type,
        frequency=preset.frequency,
        level=preset.volume,
        bowl_mode=preset.prayer_bowl_mode,
        harmonic_strength=preset.harmonic_strength,
    )
    assert 0.1 < np.abs(render(made(sound).recipe, 0, 44_100)).max() <= np.float32(MAX_VOLUME)


def test_layers_sound_together_at_the_level_of_the_whole() -> None:
    layers = (
        Layer(frequency=136.1),
        Layer(type="binaural", frequency=200.0, beat_frequency=6.0, volume=0.5),
        Layer(type="chord", frequencies=(264.0, 330.0), volume=0.5),
    )
    found = made(Sound(layers=layers, level=0.6))
    assert kinds(found.recipe) == [Bowl, Binaural, Chord]
    assert [voice.level for voice in found.recipe.voices] == pytest.approx([0.3, 0.15, 0.15])
    assert found.frequencies == (136.1, 200.0, 264.0, 330.0)
    assert "headphones" in found.notes[0]
    assert found.notes[-1] == "the layers' volumes add up to 2: each has 1/2 of its own"
    assert np.abs(render(found.recipe, 0, 44_100)).max() <= 0.6


def test_two_named_sounds_cross_over_and_neither_is_softer_for_it() -> None:
    bowl, sine = (msgspec.convert(msgspec.to_builtins(PRESETS[name]), Layer) for name in ("bowl", "pure-sine"))
    first = msgspec.structs.replace(bowl, volume=1.0, ends=6.0, fade_out=2.0)
    then = msgspec.structs.replace(sine, volume=1.0, begins=4.0, fade_in=2.0)
    found = made(Sound(layers=(first, then), level=0.4, duration_s=10.0))
    assert [voice.level for voice in found.recipe.voices] == [0.4, 0.4]
    assert found.notes == ()
    samples = np.abs(render(found.recipe, 0, 441_000)[:, 0])
    assert samples.max() <= 0.4 + 1e-6, "also where both sound"
    assert samples[7 * 44_100 : 9 * 44_100].max() == pytest.approx(0.4, abs=1e-4)
    alone = render(made(Sound(level=0.4)).recipe, 0, 3 * 44_100)
    assert np.array_equal(render(found.recipe, 0, 3 * 44_100), alone), "the bowl before it begins to fade"


def test_a_layer_is_a_bowl_or_not_as_the_whole_is() -> None:
    layers = (Layer(), Layer(prayer_bowl_mode=True))
    assert kinds(made(Sound(layers=layers, bowl_mode=False)).recipe) == [Sine, Bowl]


@pytest.mark.parametrize(
    ("layers", "path"),
    [
        ((Layer(), Layer(begins=300.0)), "layers[1].begins"),
        ((Layer(begins=5.0, ends=5.0),), "layers[0].ends"),
        ((Layer(type="binaural", frequency=10.0),), "layers[0].frequency"),
        ((Layer(frequencies=(100.0,) * 32),) * 3, "layers"),
    ],
)
def test_layers_that_cannot_be_heard_are_refused_by_their_place(layers: tuple[Layer, ...], path: str) -> None:
    with pytest.raises(Invalid) as wrong:
        made(Sound(layers=layers))
    assert [each.path for each in wrong.value.errors] == [path]


@pytest.mark.parametrize(
    ("layers", "shares"),
    [
        ((Layer(ends=25.0), Layer(begins=25.0)), 1),  # one after the other
        ((Layer(ends=30.0, fade_out=10.0), Layer(begins=20.0, fade_in=10.0)), 1),  # one becomes the other
        ((Layer(ends=30.0, fade_out=20.0), Layer(begins=20.0)), 2),  # the one is loud still when the other is there
        ((Layer(ends=30.0), Layer(begins=20.0, fade_in=20.0)), 2),
    ],
)
def test_together_layers_are_never_louder_than_the_whole(layers: tuple[Layer, ...], shares: int) -> None:
    sines = tuple(msgspec.structs.replace(each, pure_sine=True) for each in layers)
    found = made(Sound(layers=sines, level=0.8, duration_s=50.0))
    assert [voice.level for voice in found.recipe.voices] == pytest.approx([0.8 / shares] * 2)


def test_there_are_at_most_eight_layers() -> None:
    with pytest.raises(Invalid):
        from_wire(Sound, {"layers": [{}] * (LAYERS_MAX + 1)})
    assert len(from_wire(Sound, {"layers": [{}] * LAYERS_MAX}).layers) == LAYERS_MAX  # type: ignore[arg-type]

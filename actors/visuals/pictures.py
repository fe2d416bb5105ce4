"""What can be drawn, as values: a kind, its parameters with their bounds, and the drawing as SVG or as pixels. Pure.

Every parameter is bounded by its type, so no picture costs more than a few seconds, and the same picture is always the same.
"""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Final, Literal

from msgspec import Meta

from actors.audio.presets import FREQUENCIES_MAX, Sound, made
from actors.audio.recipe import Bowl, Recipe
from actors.audio.values import AudioType, Frequency
from actors.runtime.codec import invalid
from actors.runtime.entity import Struct
from actors.visuals import chladni, color_field, figure, lattice, raster, spectrogram, sri_yantra
from actors.visuals.palettes import PALETTES, PaletteName
from actors.visuals.raster import Pixels

SIZE_MIN: Final = 16
SIZE_MAX: Final = 2048
"""Pixels a side: 12 MiB of them while a picture is made."""
SECONDS_MAX: Final = 60
"""Of a spectrogram: 2.6 million samples are rendered for it."""
BOWL_SECONDS_MAX: Final = 480
"""Bowls times seconds: eleven modes each, so some 2 s of a core. Sines are cheaper by far and need no bound of their own."""
START_MAX: Final = 3_600
SEED_MAX: Final = 2**53 - 1

Size = Annotated[int, Meta(ge=SIZE_MIN, le=SIZE_MAX, description="pixels a side")]
Color = Annotated[str, Meta(pattern=r"^#?[0-9a-fA-F]{6}$(?!\n)", description="`rrggbb`, with or without a `#`")]
Paper = Annotated[str, Meta(pattern=r"^(#?[0-9a-fA-F]{6}|none)$(?!\n)", description="`rrggbb`, or `none`: transparent")]
Format = Literal["svg", "png"]


class Picture(Struct, frozen=True, kw_only=True):
    """One of the below, as SVG or PNG."""

    format: Format = "svg"
    size: Size = 512


class Lines(Picture, frozen=True, kw_only=True):
    """A drawing of lines in one colour."""

    ink: Color = "a1441a"
    paper: Paper = "fffdf9"
    stroke: Annotated[float, Meta(ge=0.001, le=0.05, description="a line's width, in half sides of the picture")] = (
        0.006
    )


class FlowerOfLife(Lines, frozen=True, kw_only=True):
    """Circles on the hexagonal lattice, each through its neighbours' centres."""

    rings: Annotated[
        int, Meta(ge=0, le=8, description="around the middle circle; 2 are the traditional 19 circles")
    ] = 2
    enclosed: Annotated[bool, Meta(description="with two circles around all")] = True


class MetatronsCube(Lines, frozen=True, kw_only=True):
    """13 circles that touch, and the 78 lines between their centres."""


class SriYantra(Lines, frozen=True, kw_only=True):
    """Nine triangles whose lines meet in threes, exactly; with lotus petals and gates."""

    lotus: bool = True
    gates: bool = True


class Cymatics(Lines, frozen=True, kw_only=True):
    """The Chladni figure of the mode of a plate that is nearest to a tone."""

    plate: Annotated[Literal["square", "circular"], Meta(description="a circular one has a free edge")] = "square"
    frequency: Annotated[Frequency, Meta(description="of the tone, in Hz")] = 432.0
    fundamental: Annotated[
        float, Meta(ge=1, le=2_000, description="of the plate: its lowest mode that has such a figure, in Hz")
    ] = 40.0
    sign: Annotated[
        Literal["difference", "sum"],
        Meta(description="of a square plate's two modes; a difference is still at the middle"),
    ] = "difference"

    @property
    def mode(self) -> chladni.Mode:
        """The mode that is shown."""
        if self.plate == "circular":
            return chladni.round_mode(self.frequency, self.fundamental)
        return chladni.square_mode(self.frequency, self.fundamental)._replace(plus=self.sign == "sum")


class Spectrogram(Picture, frozen=True, kw_only=True):
    """What a sound is made of over time, measured from its samples."""

    audio_type: AudioType = "prayer_bowl"
    frequency: Frequency | None = None
    frequencies: Annotated[
        tuple[Frequency, ...],
        Meta(max_length=FREQUENCIES_MAX, description="several, each given; in place of `frequency`"),
    ] = ()
    beat_frequency: Annotated[float, Meta(gt=0, le=100)] = 7.83
    start: Annotated[float, Meta(ge=0, le=START_MAX, description="seconds from the sound's begin")] = 0.0
    seconds: Annotated[float, Meta(ge=0.2, le=SECONDS_MAX)] = 10.0
    low: Annotated[float, Meta(ge=20, le=10_000, description="the lowest frequency shown, in Hz")] = 60.0
    high: Annotated[float, Meta(ge=40, le=20_000, description="the highest one; an octave above `low` or more")] = (
        12_000.0
    )
    palette: PaletteName = "dusk"

    @property
    def recipe(self) -> Recipe:
        """The sound, somewhat longer than what is shown of it: the end's fade is not. Raises Invalid."""
        sound = Sound(
            audio_type=self.audio_type,
            frequency=self.frequency,
            frequencies=self.frequencies,
            beat=self.beat_frequency,
            duration_s=self.start + self.seconds + 1,
        )
        return made(sound).recipe


class ColorField(Picture, frozen=True, kw_only=True):
    """Soft-edged fields of colour; a seed is always the same picture."""

    seed: Annotated[int, Meta(ge=0, le=SEED_MAX)] = 1
    palette: Annotated[PaletteName | None, Meta(description="by default the seed picks one")] = None


AnyPicture = FlowerOfLife | MetatronsCube | SriYantra | Cymatics | Spectrogram | ColorField

KINDS: Final[dict[str, type[AnyPicture]]] = {
    "flower_of_life": FlowerOfLife,
    "metatrons_cube": MetatronsCube,
    "sri_yantra": SriYantra,
    "cymatics": Cymatics,
    "spectrogram": Spectrogram,
    "color_field": ColorField,
}


def check(picture: AnyPicture) -> None:
    """Raises Invalid for what the types cannot say: a number that is none, a spectrogram of less than an octave or of too
    many bowls for too long, a sound that cannot be made."""
    for name in picture.__struct_fields__:
        value = getattr(picture, name)
        if isinstance(value, float) and not isfinite(value):
            raise invalid(name, "must be a finite number")
    if isinstance(picture, Spectrogram):
        if picture.high < 2 * picture.low:
            raise invalid("high", f"at least {2 * picture.low:g}, an octave above `low`")
        bowls = sum(isinstance(voice, Bowl) for voice in picture.recipe.voices)
        if bowls * picture.seconds > BOWL_SECONDS_MAX:
            raise invalid("seconds", f"at most {BOWL_SECONDS_MAX / bowls:g} of {bowls} bowls")


def svg_of(picture: AnyPicture) -> str:
    """As an SVG document. Raises Invalid, as ``check``."""
    check(picture)
    size = picture.size
    if isinstance(picture, ColorField):
        return color_field.svg(_composition(picture), size)
    if isinstance(picture, Spectrogram):
        return spectrogram.svg(picture.recipe, _view(picture), size, PALETTES[picture.palette])
    if isinstance(picture, Cymatics):
        return chladni.svg(picture.mode, size, _look(picture))
    return figure.svg(_figure(picture), size, _look(picture))


def pixels_of(picture: AnyPicture) -> Pixels:
    """As ``size`` × ``size`` pixels. Raises Invalid, as ``check``."""
    check(picture)
    size = picture.size
    if isinstance(picture, ColorField):
        return color_field.drawn(_composition(picture), size)
    if isinstance(picture, Spectrogram):
        return spectrogram.drawn(picture.recipe, _view(picture), size, PALETTES[picture.palette])
    if isinstance(picture, Cymatics):
        return chladni.drawn(picture.mode, size, _look(picture))
    return raster.drawn(_figure(picture), size, _look(picture))


def _figure(picture: FlowerOfLife | MetatronsCube | SriYantra) -> figure.Figure:
    if isinstance(picture, FlowerOfLife):
        return lattice.flower_of_life(picture.rings, enclosed=picture.enclosed)
    if isinstance(picture, SriYantra):
        return sri_yantra.figure(lotus=picture.lotus, gates=picture.gates)
    return lattice.metatrons_cube()


def _look(picture: Lines) -> figure.Look:
    paper = None if picture.paper == "none" else _color(picture.paper)
    return figure.Look(_color(picture.ink), paper, picture.stroke)


def _color(text: str) -> str:
    return "#" + text.removeprefix("#").lower()


def _view(picture: Spectrogram) -> spectrogram.View:
    return spectrogram.View(picture.start, picture.seconds, picture.low, picture.high)


def _composition(picture: ColorField) -> color_field.Composition:
    return color_field.composition(picture.seed, None if picture.palette is None else PALETTES[picture.palette])

"""``sangha render``: sound from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from actors.audio.values import DURATION_MAX_S, MAX_VOLUME, AudioType
from server.cli_common import fail, read_settings

TYPES = ", ".join(get_args(AudioType))

Kind = Annotated[str, typer.Option("--type", help=f"What sounds: {TYPES}.")]
Hz = Annotated[list[float] | None, typer.Option("--frequency", help="In Hz; several: each has a share of the volume.")]
Beat = Annotated[float, typer.Option("--beat", help="Hz between the ears, of a binaural sound.")]
Duration = Annotated[float, typer.Option(help=f"In seconds, at most {DURATION_MAX_S}.")]
Volume = Annotated[float, typer.Option(help=f"Linear peak, at most {MAX_VOLUME} (-1.94 dBFS).")]
Strength = Annotated[float, typer.Option(help="Of a bowl: level of the modes above the lowest, 0 to 1.")]
Depth = Annotated[float, typer.Option(help="Of a bowl: how deep it swells, 0 to 1.")]


def register(app: typer.Typer) -> None:
    """Add the commands, where the help has them in order."""
    app.command()(render)


def made_of(kind: str, frequency: list[float] | None, **more: Any) -> Any:
    """The ``presets.Made`` of what was asked for on the command line. Exits with one line where it cannot be."""
    from actors.audio.presets import Defaults, Sound, made
    from actors.runtime.codec import from_wire
    from actors.runtime.errors import SanghaError

    settings = read_settings()
    asked = {"audio_type": kind, "frequencies": frequency or [], "bowl_mode": settings.prayer_bowl_mode}
    defaults = Defaults(
        bowl_harmonics=settings.prayer_bowl_harmonics,
        bowl_envelopes=settings.prayer_bowl_envelopes,
        blessing=tuple(map(float, settings.blessing_frequencies)),
        max_volume=settings.max_volume,
    )
    try:
        return made(from_wire(Sound, asked | more), defaults)
    except SanghaError as why:
        raise fail(_in_options(str(why))) from None


def _in_options(message: str) -> str:
    """The fields of a sound by the names of the options that they come from."""
    field, colon, rest = message.partition(": ")
    names = {"audio_type": "--type", "duration_s": "--duration", "level": "--volume", "frequencies": "--frequency"}
    return f"{names.get(field.partition('[')[0], '--' + field.replace('_', '-'))}{colon}{rest}"


def render(
    file: Annotated[Path, typer.Argument(help="Where to: its suffix is the format (.wav, .flac, .ogg, .opus).")],
    kind: Kind = "prayer_bowl",
    frequency: Hz = None,
    duration: Duration = 300.0,
    volume: Volume = 0.5,
    beat: Beat = 7.83,
    harmonic_strength: Strength = 0.5,
    modulation_depth: Depth = 0.0,
) -> None:
    """Render a sound into a file; needs no running server. One that is there is replaced."""
    from server.sound.files import FORMATS, format_of, write_file

    format_ = format_of(file)
    if format_ is None:
        raise fail(f"{file.name!r} has none of the suffixes {', '.join('.' + each for each in FORMATS)}")
    found = made_of(
        kind, frequency, duration_s=duration, level=volume, beat=beat, harmonic_strength=harmonic_strength,
        modulation_depth=modulation_depth,
    )  # fmt: skip
    console = Console(stderr=True)
    for note in found.notes:
        console.print(note)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("render", total=duration)
            write_file(found.recipe, file, format_, lambda seconds: bar.update(task, completed=seconds))
    except OSError as why:
        raise fail(f"{file}: {why.strerror or why}") from None
    console.print(f"{file}: {file.stat().st_size:,} bytes, {duration:g} s", highlight=False)

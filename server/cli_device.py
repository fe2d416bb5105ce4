"""``sangha devices``, ``sangha play``: the sound of this machine. Neither needs a running server."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table

from server.cli_audio import Beat, Depth, Duration, Hz, Kind, Strength, Volume, made_of
from server.cli_common import fail, read_settings

if TYPE_CHECKING:
    from actors.audio.commands import Report
    from actors.audio.events import Voice

LEAD: Final = timedelta(seconds=0.5)
"""What is handed to a device is heard that soon."""
LOOK_S: Final = 10.0
"""A device that is not there by then is none: what would be heard is over, or half over."""


def register(app: typer.Typer) -> None:
    """Add the commands, where the help has them in order."""
    app.command()(devices)
    app.command()(play)


def devices(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="What `ray start --resources` is to say of this machine, alone.")
    ] = False,
) -> None:
    """List this machine's sound devices."""
    from actors.audio.portaudio import NoSound, probe
    from server.audio_devices import OFF, RESOURCE

    try:
        found = [] if read_settings().audio_device == OFF else asyncio.run(probe())
    except NoSound as why:
        if not (json or ray):
            raise fail(str(why)) from None
        found = []
    if ray:
        print(orjson.dumps({RESOURCE: 1} if found else {}).decode())  # noqa: T201
    elif json:
        import msgspec

        print(orjson.dumps(msgspec.to_builtins(found), option=orjson.OPT_INDENT_2).decode())  # noqa: T201
    elif not found:
        raise fail("there is no sound device")
    else:
        Console().print(table_of(found))


def table_of(found: Any) -> Table:
    """A device a line; the one that is played on where nobody names one is marked."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("", "index", "device", "sound system", "channels", "rate", "latency"):
        table.add_column(title, justify="right" if title in ("index", "channels", "rate", "latency") else "left")
    for each in found:
        mark = "*" if each.default else ""
        rate, latency = f"{each.sample_rate:.0f} Hz", f"{each.latency_s * 1e3:.0f} ms"
        table.add_row(mark, str(each.index), each.name, each.host_api, str(each.channels), rate, latency)
    return table


def play(
    kind: Kind = "prayer_bowl",
    frequency: Hz = None,
    duration: Duration = 20.0,
    volume: Volume = 0.5,
    beat: Beat = 7.83,
    harmonic_strength: Strength = 0.5,
    modulation_depth: Depth = 0.0,
    device: Annotated[str | None, typer.Option(help="Name or index, as `sangha devices` lists it.")] = None,
) -> None:
    """Play a sound on this machine until it ends, or Ctrl-C."""
    found = made_of(
        kind, frequency, duration_s=duration, level=volume, beat=beat, harmonic_strength=harmonic_strength,
        modulation_depth=modulation_depth,
    )  # fmt: skip
    console = Console(stderr=True)
    for note in found.notes:
        console.print(note)
    from actors.audio.events import Voice
    from actors.audio.timeline import Timeline

    def begins(at: datetime) -> Voice:
        ends_at = at + timedelta(seconds=duration)
        return Voice(id=own, owner=own, timeline=Timeline(anchor_at=at), ends_at=ends_at, recipe=found.recipe)

    own = str(uuid.uuid4())
    try:
        _play(begins, device or read_settings().audio_device, console)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _play(begins: Callable[[datetime], Voice], device: str, console: Console) -> None:
    """To its end, from when the device goes on, so that all of it is heard. Exits with one line where it is not to be heard."""
    from actors.audio.state import DeviceVoices
    from server.audio_player import Player

    settings, said = read_settings(), threading.Event()
    last: list[Report] = []

    def told(report: Report) -> None:
        if report.present and (not last or report.status != last[-1].status):
            console.print(report.status)
        last[:] = [report]
        if report.drift_s is not None or not report.present:
            said.set()

    def play(voice: Voice) -> Voice:
        player.show(DeviceVoices(voices={voice.id: voice}))
        return voice

    player = Player(device, told, rate=settings.sample_rate, max_volume=settings.max_volume)
    play(begins(datetime.now(UTC) + timedelta(seconds=LOOK_S)))
    player.start()
    try:
        said.wait(LOOK_S)
        if not last or not last[-1].present:
            raise fail(last[-1].status if last else "the sound system does not answer")
        voice = play(begins(datetime.now(UTC) + LEAD))
        threading.Event().wait((voice.ends_at - datetime.now(UTC)).total_seconds() + LEAD.total_seconds())
    finally:
        player.end()
    if last[-1].underruns:
        console.print(f"{last[-1].underruns} samples came too late and were silent")

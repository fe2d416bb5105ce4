"""What the server's hardware can be asked and answers. Pure.

One desk a server, with three outputs. Its state is kept in memory and in nothing else: after a restart everything is off, for a
shaker that begins by itself is no comfort. Whatever is switched on has an end.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import UNSET, Meta, UnsetType

from actors.runtime.codec import Codec, CommandCodec
from actors.runtime.entity import Struct

DURATION_MAX_S: Final = 86_400
DURATION_S: Final = 300.0
"""The seed's session."""

Level = Annotated[int, Meta(ge=1, le=5)]
Intensity = Annotated[float, Meta(ge=0, le=1, description="0 to 1, of what the output can")]
Seconds = Annotated[float, Meta(ge=1, le=DURATION_MAX_S, description="after which it is switched off")]
GridFrequency = Annotated[float, Meta(gt=0, le=20_000, description="in Hz")]
BassFrequency = Annotated[float, Meta(ge=5, le=200, description="in Hz: what is felt more than heard")]
Name = Literal["amplifier", "crystal_grid", "bass_shaker"]
NAMES: Final[tuple[Name, ...]] = ("amplifier", "crystal_grid", "bass_shaker")


class Output(Struct, frozen=True, kw_only=True):
    """One output as it is to be. ``frequency_hz`` None: it has none, it passes on what sounds."""

    name: Name
    connected: Annotated[bool | None, Meta(description="null: nothing tells")] = None
    on: bool = False
    intensity: Intensity = 0.5
    frequency_hz: float | None = None
    ends_at: Annotated[datetime | None, Meta(description="when it is switched off; null: it is off")] = None
    error: Annotated[str | None, Meta(description="why the hardware may not be so")] = None


class Hardware(Struct, frozen=True, kw_only=True):
    """The desk. ``simulated``: there is no hardware behind it; everything else is as if there were."""

    simulated: bool
    adapter: Annotated[str, Meta(description="`simulator` or `serial`")]
    present: Annotated[bool, Meta(description="whether the hardware answered last")]
    status: Annotated[str, Meta(description="in words")]
    level: Annotated[
        Level, Meta(description="which of five levels of equipment is said to be there; nothing follows from it")
    ]
    amplifier: Output
    crystal_grid: Output
    bass_shaker: Output


class Command(Struct, frozen=True):
    """One of the below; each answers ``Hardware``."""


class GetHardware(Command, frozen=True, tag="get_hardware"):
    """As it is."""


class SetLevel(Command, frozen=True, kw_only=True, tag="set_level"):
    """A number that is kept."""

    level: Level


class Switch(Command, frozen=True, kw_only=True):
    """What is given changes. Switched on, or changed while it is on, it is on for ``duration_s`` from now."""

    on: bool | UnsetType = UNSET
    intensity: Intensity | UnsetType = UNSET
    duration_s: Seconds = DURATION_S


class SetAmplifier(Switch, frozen=True, kw_only=True, tag="amplifier"):
    """Conflict where none is connected."""


class SetCrystalGrid(Switch, frozen=True, kw_only=True, tag="crystal_grid"):
    """A grid of crystals around a driver that sounds at a frequency."""

    frequency_hz: GridFrequency | UnsetType = UNSET


class SetBassShaker(Switch, frozen=True, kw_only=True, tag="bass_shaker"):
    """A transducer under a floor or a chair."""

    frequency_hz: BassFrequency | UnsetType = UNSET


class AllOff(Command, frozen=True, tag="all_off"):
    """All outputs, at once."""


AnyCommand = GetHardware | SetLevel | SetAmplifier | SetCrystalGrid | SetBassShaker | AllOff
codec: Final[CommandCodec[AnyCommand]] = CommandCodec(AnyCommand)
encode = codec.encode
hardware_codec: Final[Codec[Hardware]] = Codec(Hardware, 1)

"""The desk as a value: what a command makes of its outputs, and which have come to their end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from msgspec import UNSET, structs

from actors.hardware import values as v
from actors.runtime.entity import Struct
from actors.runtime.errors import Conflict

GRID_HZ: Final = 136.1
"""The octave of the Earth year (domain.md), as elsewhere where nobody names a frequency."""
BASS_HZ: Final = 40.0


class Desk(Struct, frozen=True, kw_only=True):
    """Level and outputs."""

    level: int
    outputs: Mapping[v.Name, v.Output]


def begun(level: int, *, amplifier_connected: bool) -> Desk:
    """Everything is off."""
    outputs = (
        v.Output(name="amplifier", connected=amplifier_connected),
        v.Output(name="crystal_grid", frequency_hz=GRID_HZ),
        v.Output(name="bass_shaker", frequency_hz=BASS_HZ),
    )
    return Desk(level=level, outputs={each.name: each for each in outputs})


def switched(desk: Desk, command: v.SetAmplifier | v.SetCrystalGrid | v.SetBassShaker, now: datetime) -> v.Output:
    """The output as the command wants it. Raises Conflict."""
    name: v.Name = command.__struct_config__.tag  # type: ignore[assignment]
    found = desk.outputs[name]
    fields = ("on", "intensity", "frequency_hz")
    given = {field: value for field in fields if (value := getattr(command, field, UNSET)) is not UNSET}
    wanted = structs.replace(found, error=None, **given)
    if wanted.on and wanted.connected is False:
        raise Conflict(f"no {name} is connected; the setting AMPLIFIER_CONNECTED says so")
    ends_at = now + timedelta(seconds=command.duration_s) if wanted.on else None
    return structs.replace(wanted, ends_at=ends_at)


def off(output: v.Output) -> v.Output:
    """The same, switched off."""
    return structs.replace(output, on=False, ends_at=None, error=None)


def with_outputs(desk: Desk, outputs: Iterable[v.Output]) -> Desk:
    """The desk with these as they are now."""
    return structs.replace(desk, outputs={**desk.outputs, **{each.name: each for each in outputs}})


def over(desk: Desk, now: datetime) -> list[v.Output]:
    """Outputs whose end has come."""
    return [each for each in desk.outputs.values() if each.ends_at is not None and each.ends_at <= now]


def next_end(desk: Desk) -> datetime | None:
    """When the next one is to be switched off."""
    return min((each.ends_at for each in desk.outputs.values() if each.ends_at is not None), default=None)

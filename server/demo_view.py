"""What ``sangha demo`` shows: the group ritual as it is told by events, each practitioner's state, lines and the live table.

Values in, text out: no socket, no clock.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from server.client_events import Event

SHOWN: Final = 3
"""Values of a state that a row has room for."""
INSIGHT_MAX: Final = 160
BOUNDARIES: Final = {"gathering": "starts_at", "opening": "active_at", "integration": "closes_at"}
"""When each stage ends; the others end when their work is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ritual:
    """A group ritual as far as it was told. ``until``: when the stage ends, where that is known."""

    run: str
    name: str
    stage: str
    until: datetime | None = None
    settled: int = 0
    of: int = 0
    summary: Mapping[str, Any] | None = None


def heard(ritual: Ritual | None, event: Event) -> Ritual | None:
    """The ritual after a push of the space: stages, progress, or a snapshot that starts over."""
    if event.event == "snapshot":
        current = event.body.get("ritual")
        return ritual if current is None else _told(None, current)
    if event.event == "ritual_progress" and ritual is not None:
        return replace(ritual, settled=event.fields["settled"], of=event.fields["of"])
    if not event.event.startswith("ritual_") or event.body is None:
        return ritual
    if event.body.get("stage") in ("scheduled", "unscheduled"):
        return ritual
    return _told(ritual, event.body)


def _told(ritual: Ritual | None, body: Mapping[str, Any]) -> Ritual | None:
    if "ritual" in body:
        ritual = Ritual(run=body["ritual_run"], name=body["ritual"]["name"], stage="")
    if ritual is None or ritual.run != body["ritual_run"]:
        return ritual
    ends_at = body.get(BOUNDARIES.get(body["stage"], ""))
    return replace(
        ritual,
        stage=body["stage"],
        until=None if ends_at is None else datetime.fromisoformat(ends_at),
        settled=body.get("settled", body.get("transformed", 0)),
        of=body.get("participants", ritual.of),
        summary=body.get("summary"),
    )


def stage_line(ritual: Ritual | None, now: datetime | None, met_ms: float | None) -> str:
    """Which ritual, at which stage, and how long that goes on yet."""
    if ritual is None:
        return "no ritual yet"
    parts = [ritual.name, ritual.stage]
    if ritual.until is not None and now is not None:
        parts.append(f"{max(0.0, (ritual.until - now).total_seconds()):.1f} s")
    if ritual.stage in ("active", "aborting"):
        parts.append(f"{ritual.settled}/{ritual.of}")
    return " ".join(parts) + ("" if met_ms is None else f"  met within {met_ms:.1f} ms")


def apart_ms(times_s: Collection[float]) -> float | None:
    """How far the first and the last of some times lie apart; None of fewer than two."""
    return None if len(times_s) < 2 else (max(times_s) - min(times_s)) * 1000


def strengths(state: Mapping[str, Any]) -> dict[str, float]:
    """Archetypes and energies of a state, under their names."""
    return {**state.get("archetypes", {}), **state.get("energies", {})}


def changes(before: Mapping[str, float], after: Mapping[str, float]) -> str:
    """The values that changed most, as ``Light .90→.70``; without a change the first few as they are."""
    moved = sorted(
        (name for name in after if abs(after[name] - before.get(name, 0.0)) > 0.005),
        key=lambda name: (-abs(after[name] - before.get(name, 0.0)), name),
    )
    if not moved:
        return "  ".join(f"{name} {_short(value)}" for name, value in list(after.items())[:SHOWN])
    return "  ".join(f"{name} {_short(before.get(name, 0.0))}→{_short(after[name])}" for name in moved[:SHOWN])


def _short(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")


def report(summary: Mapping[str, Any], met_ms: float | None) -> list[str]:
    """What there is to say about a ritual that has ended, in a few lines."""
    counts, name = summary["counts"], summary["ritual"]["name"]
    head = f"{name}: {summary['transformed']} of {counts['participants']} transformed in {summary['duration_s']:.1f} s"
    if summary["outcome"] != "completed":
        head += f", {summary['outcome']} ({summary['reason']})"
    lines = [head + ("" if met_ms is None else f"; they met within {met_ms:.1f} ms")]
    lines += [f"  failed: {why}" for why in dict.fromkeys(failure["code"] for failure in summary["failed"])]
    lines += _of_the_whole(summary.get("collective") or {})
    said = (summary.get("insight") or {}).get("interpretation")
    if said:
        lines.append(f"  the oracle: {said if len(said) <= INSIGHT_MAX else said[: INSIGHT_MAX - 1] + '…'}")
    return lines


def _of_the_whole(collective: Mapping[str, Any]) -> list[str]:
    both = {**collective.get("archetypes", {}), **collective.get("energies", {})}
    means = [f"{name} {each['mean']:.2f} ± {each['sd']:.2f}" for name, each in both.items()]
    symbols = [f"{name} ×{count}" for name, count in collective.get("symbols", {}).items()]
    return [f"  together: {', '.join(each)}" for each in (means, symbols) if each]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One practitioner, as the table shows it."""

    name: str
    state: str
    offset: int | None
    latency_ms: float | None
    phase_rad: float
    values: str
    late_ms: float | None
    """After the first of the circle, at the last meeting."""


def table(title: str, rows: Sequence[Row], *lines: str) -> Group:
    """The circle, and lines below it."""
    shown = Table(title=title)
    for column in ("practitioner", "state"):
        shown.add_column(column)
    for column in ("offset", "latency ms"):
        shown.add_column(column, justify="right")
    shown.add_column("phase")
    shown.add_column("archetypal state")
    shown.add_column("met ms", justify="right")
    for row in rows:
        style = {"connected": "green", "stopped": "red"}.get(row.state, "yellow")
        shown.add_row(
            row.name,
            Text(row.state, style),
            "" if row.offset is None else str(row.offset),
            _ms(row.latency_ms),
            dial(row.phase_rad),
            row.values,
            _ms(row.late_ms, "+"),
        )
    return Group(shown, *(Text(line) for line in lines))


def _ms(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{value:{sign}.1f}"


def dial(phase_rad: float, width: int = 12) -> str:
    """A phase as a dot that goes along a line."""
    at = min(width - 1, int(phase_rad / (2 * math.pi) * width))
    return "·" * at + "●" + "·" * (width - 1 - at)

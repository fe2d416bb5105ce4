"""What ``sangha ritual check`` and ``run`` show: a report, a run, the state before and after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.practitioner.archetypal_state import NAMES, STRENGTHS
from actors.practitioner.transformation import intensity, suggestions

if TYPE_CHECKING:
    from actors.ritual.values import CheckReport, RunOutcome, RunRequest

SMALLEST: Final = 0.0005
"""A change that three decimals do not show is none to the eye."""


def print_report(console: Console, file: str, report: CheckReport) -> None:
    """What is known of a module."""
    table = _table()
    for what, value in (
        (file, "accepted" if report.accepted else "refused"),
        ("abi", report.abi or "unknown"),
        ("sha-256", report.module_hash),
        ("imports", ", ".join(report.imports) or "none"),
        ("exports", ", ".join(report.exports) or "none"),
        ("functions", f"{report.functions:,}"),
        ("memory", _memory(report)),
        ("dry run", _dry_run(report)),
        *(("refused:" if n == 0 else "", problem) for n, problem in enumerate(report.problems)),
        *(("note:" if n == 0 else "", note) for n, note in enumerate(report.notes)),
    ):
        table.add_row(Text(what), Text(value))
    console.print(table)


def _memory(report: CheckReport) -> str:
    pages, most = report.memory_pages_min, report.memory_pages_max
    limit = "" if most is None else f", at most {most}"
    return f"{pages} page{'' if pages == 1 else 's'} of 64 KiB{limit}"


def _dry_run(report: CheckReport) -> str:
    run = report.dry_run
    if run is None:
        return "none"
    return f"{'completed' if run.code is None else run.code}, fuel {run.fuel:,}"


def print_run(console: Console, request: RunRequest, outcome: RunOutcome) -> None:
    """The state before and after, and what else came of it."""
    if outcome.state is not None:
        table = _table("", "before", "after", "change")
        for row in (*_strengths(request, outcome), *_lists(request, outcome)):
            table.add_row(*map(Text, row))
        console.print(table)
        console.print()
    facts = _table()
    for what, value in _facts(request, outcome):
        facts.add_row(Text(what), Text(value))
    console.print(facts)


def _strengths(request: RunRequest, outcome: RunOutcome) -> Iterator[tuple[str, str, str, str]]:
    """A line a strength or level; those that were there first."""
    for field in STRENGTHS:
        old, new = getattr(request.state, field), getattr(outcome.state, field)
        if old or new:
            yield field, "", "", ""
        for name in (*old, *(name for name in new if name not in old)):
            before, after = old.get(name), new.get(name)
            yield f"  {_plain(name)}", _shown(before), _shown(after), _change(before or 0.0, after or 0.0)


def _lists(request: RunRequest, outcome: RunOutcome) -> Iterator[tuple[str, str, str, str]]:
    """A line a list, and one for each name that came or went."""
    for field in NAMES:
        old, new = getattr(request.state, field), getattr(outcome.state, field)
        if old or new:
            yield field, str(len(old)), str(len(new)), ""
        yield from ((f"  {_plain(name)}", "", "", "new") for name in new if name not in old)
        yield from ((f"  {_plain(name)}", "", "", "gone") for name in old if name not in new)


def _facts(request: RunRequest, outcome: RunOutcome) -> Iterator[tuple[str, str]]:
    if outcome.state is not None:
        yield "intensity", f"{intensity(request.state, outcome.state):.3f}"
    if outcome.resonance is not None:
        yield "resonance", f"{outcome.resonance:.3f}"
    for what, names in (
        ("to integrate", outcome.integration_required),
        ("clamped", outcome.clamped),
        ("suggested next", suggestions(outcome.state) if outcome.state is not None else ()),
    ):
        if names:
            yield what, ", ".join(map(_plain, names))
    yield from (("log" if n == 0 else "", _plain(line)) for n, line in enumerate(outcome.log))
    yield "fuel", f"{outcome.fuel:,}"
    yield "seed", request.run


def as_json(request: RunRequest, outcome: RunOutcome) -> dict[str, Any]:
    """All of it."""
    told: dict[str, Any] = {"run": request.run, **msgspec.to_builtins(outcome)}
    if outcome.state is not None:
        told["transformation_intensity"] = intensity(request.state, outcome.state)
        told["next_rituals_suggested"] = suggestions(outcome.state)
    return told


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, show_header=bool(titles))
    for title in titles or ("", ""):
        table.add_column(title, justify="right" if title else "left", overflow="fold")
    return table


def _plain(text: str) -> str:
    """A guest's text cannot play with the terminal."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _shown(level: float | None) -> str:
    return "–" if level is None else f"{level:.3f}"


def _change(before: float, after: float) -> str:
    return f"{after - before:+.3f}" if abs(after - before) >= SMALLEST else ""

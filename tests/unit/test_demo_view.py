"""What the demo shows, held against what a space really says: the stages are told by the space's own code."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import msgspec
import pytest
from demo_story import PLAN, T0, pushed, story
from rich.console import Console

from actors.space import group, telling
from actors.space import group_events as e
from server.client_events import Event
from server.demo_view import Ritual, Row, apart_ms, changes, heard, report, stage_line, strengths, table


def test_the_stages_are_followed_with_the_time_that_each_has_left() -> None:
    lines, ritual = [], None
    for event in story():
        ritual = heard(ritual, event)
        lines.append(stage_line(ritual, T0 + timedelta(seconds=8), None))
    assert lines == [
        "dance gathering 2.0 s",
        "dance opening 5.0 s",
        "dance active 0/2",
        "dance active 1/2",
        "dance integration 11.0 s",
        "dance closed",
    ]


def test_a_snapshot_in_the_middle_of_a_ritual_starts_over_from_it() -> None:
    under_way = group.GroupRitual(plan=PLAN, stage="active", began_at=T0, due_at=None, called=2, settled=1)
    state = {"ritual": json.loads(msgspec.json.encode(telling.current_object(under_way)))}
    ritual = heard(None, Event(stream="space:s", event="snapshot", offset=1, body=state))
    assert ritual == Ritual(run="r", name="dance", stage="active", settled=1, of=2)
    assert heard(ritual, Event(stream="space:s", event="snapshot", offset=2, body={"ritual": None})) == ritual


@pytest.mark.parametrize(
    "event",
    [
        Event(stream="space:s", event="message", offset=1, body={"stage": "dancing"}),
        Event(stream="space:s", event="coherence", fields={"phase_coherence": 0.5}),
        Event(stream="space:s", event="ritual_progress", fields={"settled": 1, "of": 2}),
        pushed(e.RitualScheduled(plan=PLAN)),
        pushed(e.RitualUnscheduled(run="r", reason="missed")),
        pushed(e.RitualActive(run="unknown", participants=2)),
    ],
    ids=lambda event: event.event,
)
def test_what_is_no_stage_of_a_known_ritual_changes_nothing(event: Event) -> None:
    assert heard(None, event) is None


def test_without_a_ritual_or_a_clock_the_line_says_so() -> None:
    assert stage_line(None, T0, None) == "no ritual yet"
    assert stage_line(heard(None, story()[0]), None, 1.234) == "dance gathering  met within 1.2 ms"


@pytest.mark.parametrize(("times_s", "ms"), [([], None), ([1.0], None), ([1.0, 1.25, 1.125], 250.0)])
def test_how_far_apart_they_met(times_s: list[float], ms: float | None) -> None:
    assert apart_ms(times_s) == ms


def test_the_values_that_changed_most_are_shown() -> None:
    state = {"archetypes": {"Light": 0.9, "Shadow": 0.1}, "energies": {"fire": 0.5, "air": 1.0}}
    before = strengths(state)
    assert changes(before, before) == "Light .90  Shadow .10  fire .50"
    assert (
        changes(before, before | {"fire": 0.2, "air": 0.9, "Self": 0.25}) == "fire .50→.20  Self .00→.25  air 1.00→.90"
    )


def test_a_report_has_the_numbers_and_the_failures() -> None:
    summary = dict(story()[-1].body["summary"])
    lines = ["dance: 2 of 2 transformed in 20.0 s", "  together: Light 0.60 ± 0.05", "  together: mandala ×2"]
    assert report(summary, None) == lines
    summary |= {"outcome": "aborted", "reason": "facilitator", "failed": [{"code": "ritual_failed"}] * 2}
    summary |= {"insight": {"interpretation": "x" * 400}, "collective": None}
    head, failed, said = report(summary, 1.0)
    assert head.endswith("in 20.0 s, aborted (facilitator); they met within 1.0 ms")
    assert failed == "  failed: ritual_failed"
    assert said.endswith("x…")


def test_the_table_has_a_row_for_each_and_the_lines_below() -> None:
    row = Row(name="Ana", state="connected", offset=7, latency_ms=1.25, phase_rad=0, values="Light .90", late_ms=0.5)
    console = Console(width=160, record=True, file=io.StringIO())
    newcomer = Row(name="Bo", state="joining", offset=None, latency_ms=None, phase_rad=1, values="", late_ms=None)
    console.print(table("space x", [row, newcomer], "the ritual"))
    text = console.export_text()
    assert "Ana" in text
    assert "+0.5" in text
    assert "the ritual" in text

"""A group ritual as a space's own code tells it, for the tests of the demo."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from actors.ritual.values import Brief
from actors.space import group, telling
from actors.space import group_events as e
from server.client_events import Event, event_of

T0 = datetime(2026, 11, 21, 7, 0, tzinfo=UTC)
PLAN = e.Plan(
    run="r",
    brief=Brief(id="i", name="dance", module_hash="00"),
    parameters=msgspec.Raw(b"{}"),
    starts_at=T0 + timedelta(seconds=10),
    opening_s=3,
    integration_s=3,
    by="a",
)


def pushed(event: Any) -> Event:
    body = json.loads(msgspec.json.encode(telling.BODIES[type(event)](event)))
    frame = {"stream": "space:s", "event": type(event).__struct_config__.tag, "offset": 1, "body": body}
    return event_of(frame)


def story() -> list[Event]:
    """A group ritual of two, from its countdown to its end."""
    started = group.GroupRitual(plan=PLAN, stage="gathering", began_at=T0, due_at=None)
    collective = {"archetypes": {"Light": {"mean": 0.6, "sd": 0.05, "n": 2}}, "symbols": {"mandala": 2}}
    summary = telling.summary(started, "completed", None, T0 + timedelta(seconds=20))
    summary |= {"transformed": 2, "counts": {"participants": 2}, "collective": collective}
    at = PLAN.starts_at
    return [
        pushed(e.RitualGathering(plan=PLAN)),
        pushed(e.RitualOpening(run="r", starts_at=at, active_at=at + timedelta(seconds=3), roster=("a", "b"))),
        pushed(e.RitualActive(run="r", participants=2)),
        Event(stream="space:s", event="ritual_progress", fields={"ritual_run": "r", "settled": 1, "of": 2}),
        pushed(e.RitualIntegration(run="r", transformed=2, failed=0, closes_at=at + timedelta(seconds=9))),
        pushed(e.RitualClosed(run="r", outcome="completed", summary=msgspec.Raw(msgspec.json.encode(summary)))),
    ]

"""What is told of group rituals: bodies of pushes, objects in replies, the summary, the row of an insight.

Times are the server's; clients meet at ``starts_at`` by the clock offset that ``ping`` gives them. Lists of practitioners
are cut where a circle is a crowd, counts never are: every push goes to everyone, and an outbox is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from actors.oracle.values import Insight
from actors.practitioner.rows import MODEL_MAX
from actors.runtime.entity import LATEST, Push, Upsert
from actors.space import group_events as e
from actors.space.group import GATHERING, GroupRitual, Status, insight_id, status_of

LISTED: Final = 200
"""Practitioners in one list of a push or summary: 8 KB of ids."""
ROSTER_LISTED: Final = 1_000
"""A longer roster is not told as a list: its participants find their own status with ``ritual_get``."""
STATUSES: Final[tuple[Status, ...]] = ("transformed", "failed", "absent", "left", "late", "witness")


def plan_object(plan: e.Plan) -> dict[str, Any]:
    """What is planned."""
    return {
        "ritual_run": plan.run,
        "ritual": {"id": plan.brief.id, "name": plan.brief.name},
        "intention": plan.intention,
        "starts_at": plan.starts_at,
        "opening_s": plan.opening_s,
        "integration_s": plan.integration_s,
        "by": plan.by,
    }


def scheduled_object(plan: e.Plan) -> dict[str, Any]:
    """What is planned for later."""
    return plan_object(plan) | {"stage": "scheduled", "gathering_at": plan.starts_at - GATHERING}


def current_object(group: GroupRitual) -> dict[str, Any]:
    """The ritual that is under way, as far as it has come."""
    return plan_object(group.plan) | {
        "stage": group.stage,
        "began_at": group.began_at,
        "opened_at": group.opened_at,
        "active_at": group.active_at,
        "integrated_at": group.integrated_at,
        "closes_at": group.closes_at,
        "participants": group.called,
        "settled": group.settled,
        "collective": group.collective,
    }


def progress_push(group: GroupRitual) -> Push:
    """How many have an outcome."""
    fields = {"ritual_run": group.plan.run, "stage": group.stage, "settled": group.settled, "of": group.called}
    return Push(event="ritual_progress", fields=fields, lane=LATEST, key="ritual_progress")


def summary(group: GroupRitual, outcome: e.Outcome, reason: str | None, now: datetime) -> dict[str, Any]:
    """The whole of a ritual that closes now."""
    by_status = {status: [who for who in group.parts if status_of(group, who) == status] for status in STATUSES}
    plan = group.plan
    return {
        "ritual_run": plan.run,
        "ritual": {"id": plan.brief.id, "name": plan.brief.name},
        "intention": plan.intention,
        "by": plan.by,
        "outcome": outcome,
        "reason": reason,
        "participants": _roster(group)[:LISTED],
        "transformed": len(by_status["transformed"]),
        "failed": [_failure(group, who) for who in by_status["failed"][:LISTED]],
        "absent": by_status["absent"][:LISTED],
        "left": by_status["left"][:LISTED],
        "late": by_status["late"][:LISTED],
        "witnesses": by_status["witness"][:LISTED],
        "counts": {"participants": group.called} | {status: len(found) for status, found in by_status.items()},
        "collective": group.collective,
        "insight": None if group.insight is None else insight_object(group.plan.run, group.insight),
        "insight_error": group.insight_error,
        "began_at": group.began_at,
        "opened_at": group.opened_at,
        "active_at": group.active_at if group.stage in ("active", "aborting", "integration") else None,
        "integrated_at": group.integrated_at,
        "closed_at": now,
        "duration_s": (now - group.began_at).total_seconds(),
    }


def _roster(group: GroupRitual) -> list[str]:
    return [who for who, part in group.parts.items() if part.status in ("called", "transformed", "failed")]


def _failure(group: GroupRitual, who: str) -> dict[str, Any]:
    return {"practitioner": who, "code": group.parts[who].code}


def insight_object(run: str, insight: Insight) -> dict[str, Any]:
    """An insight as clients see it."""
    fields: dict[str, Any] = msgspec.to_builtins(insight)
    del fields["tokens"]
    return {"id": insight_id(run)} | fields


def insight_row(event: e.RitualInsight, insight: Insight, space: str, at: datetime) -> Upsert:
    """``oracle_insights``: a group's insight belongs to a space, and to no one's run."""
    return Upsert(
        table="oracle_insights",
        values={
            "id": event.id,
            "space_id": space,
            "insight_type": insight.insight_type,
            "archetypal_analysis": list(insight.symbolic_analysis),
            "integration_suggestions": list(insight.integration_guidance),
            "symbolic_emergence": list(insight.emergent_symbols),
            "oracle_model": insight.oracle_model[:MODEL_MAX],
            "confidence_score": insight.confidence_score,
            "created_at": at,
            "interpretation": insight.interpretation,
            "cautions": list(insight.cautions),
            "next_rituals": list(insight.next_rituals),
            "notice": insight.notice,
        },
    )


# Numbered pushes


def _opening_body(event: e.RitualOpening) -> dict[str, Any]:
    return {
        "ritual_run": event.run,
        "stage": "opening",
        "roster": _listed(event.roster),
        "participants": len(event.roster),
        "starts_at": event.starts_at,
        "active_at": event.active_at,
    }


def _listed(roster: tuple[str, ...]) -> Iterable[str] | None:
    return roster if len(roster) <= ROSTER_LISTED else None


def _integration_body(event: e.RitualIntegration) -> dict[str, Any]:
    return {
        "ritual_run": event.run,
        "stage": "integration",
        "transformed": event.transformed,
        "failed": event.failed,
        "collective": event.collective,
        "closes_at": event.closes_at,
    }


def _closed_body(event: e.RitualClosed) -> dict[str, Any]:
    return {
        "ritual_run": event.run,
        "stage": "closed",
        "outcome": event.outcome,
        "reason": event.reason,
        "summary": event.summary,
    }


BODIES: Final[Mapping[type, Callable[[Any], dict[str, Any]]]] = {
    e.RitualScheduled: lambda event: scheduled_object(event.plan),
    e.RitualUnscheduled: lambda event: {"ritual_run": event.run, "stage": "unscheduled", "reason": event.reason},
    e.RitualGathering: lambda event: plan_object(event.plan) | {"stage": "gathering"},
    e.RitualOpening: _opening_body,
    e.RitualActive: lambda event: {"ritual_run": event.run, "stage": "active", "participants": event.participants},
    e.RitualAborting: lambda event: {"ritual_run": event.run, "stage": "aborting"},
    e.RitualIntegration: _integration_body,
    e.RitualClosed: _closed_body,
}


def sender(event: Any) -> tuple[str, str | None] | None:
    """Whoever made an event; None where time did."""
    if isinstance(event, e.RitualScheduled | e.RitualGathering):
        return event.plan.by, event.plan.by_name
    by: str | None = getattr(event, "by", None)
    return None if by is None else (by, event.by_name)

"""What happened to a space's group rituals, as it stands in the journal. See ``group`` for what follows on what.

``run`` is the ritual's id in each. All are numbered and pushed but what happens to single participants (in a circle of n
that would be n frames to n) and two of housekeeping: ``ritual_held``, ``ritual_insight``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType, structs

from actors.oracle.values import Insight
from actors.ritual.values import Brief, Contribution
from actors.runtime.codec import NULL
from actors.runtime.entity import Struct

Outcome = Literal["completed", "aborted"]


class Plan(Struct, frozen=True, kw_only=True):
    """What was asked for: a ritual, pinned to its module of that moment, and its times."""

    run: str
    brief: Brief
    intention: str = ""
    parameters: msgspec.Raw
    starts_at: datetime
    """Opening begins then."""
    opening_s: float
    integration_s: float
    by: str
    by_name: str | None = None


def nameless(plan: Plan, who: str, name: str) -> Plan:
    """The plan under another name, where it is theirs."""
    return structs.replace(plan, by_name=name) if plan.by == who and plan.by_name is not None else plan


class RitualScheduled(Struct, frozen=True, kw_only=True, tag="ritual_scheduled"):
    """It will be, some day."""

    plan: Plan


class RitualUnscheduled(Struct, frozen=True, kw_only=True, tag="ritual_unscheduled"):
    """It will not be: the facilitator took it back, or its time went by while another ritual (or an outage) lasted."""

    run: str
    reason: Literal["aborted", "missed"]
    by: str | None = None
    by_name: str | None = None


class RitualGathering(Struct, frozen=True, kw_only=True, tag="ritual_gathering"):
    """The countdown began."""

    plan: Plan


class RitualHeld(Struct, frozen=True, kw_only=True, tag="ritual_held"):
    """The stage goes on until then at most: something is waited for. Not published."""

    run: str
    until: datetime


class RitualOpening(Struct, frozen=True, kw_only=True, tag="ritual_opening"):
    """Who takes part is fixed from here on."""

    run: str
    starts_at: datetime
    active_at: datetime
    roster: tuple[str, ...]
    absent: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()


class RitualActive(Struct, frozen=True, kw_only=True, tag="ritual_active"):
    """The participants are being transformed."""

    run: str
    participants: int


class ParticipantTransformed(Struct, frozen=True, kw_only=True, tag="participant_transformed"):
    """One participant's part is done. Not published."""

    run: str
    practitioner: str
    contribution: Contribution


class ParticipantFailed(Struct, frozen=True, kw_only=True, tag="participant_failed"):
    """One participant's part failed, and their state is as it was. Not published. Their own run says why.

    ``answered``: the practitioner said so themselves, and remembers it until told that it is recorded.
    """

    run: str
    practitioner: str
    code: str
    answered: bool


class ParticipantAcknowledged(Struct, frozen=True, kw_only=True, tag="participant_acknowledged"):
    """A practitioner knows that their part is recorded. Not published."""

    effect: str


class RitualAborting(Struct, frozen=True, kw_only=True, tag="ritual_aborting"):
    """The facilitator ended it while participants were being transformed: they still are, then it closes."""

    run: str
    by: str
    by_name: str | None = None


class RitualIntegration(Struct, frozen=True, kw_only=True, tag="ritual_integration"):
    """All are settled. ``insight_by`` is set where the oracle is asked: it has until then."""

    run: str
    transformed: int
    failed: int
    collective: msgspec.Raw = NULL
    shared_state: msgspec.Raw | UnsetType = UNSET
    consent: bool = False
    closes_at: datetime
    insight_by: datetime | None = None


class RitualInsight(Struct, frozen=True, kw_only=True, tag="ritual_insight"):
    """The oracle answered, or will not. Not published: it is part of the summary."""

    run: str
    id: str
    insight: Insight | None = None
    error: str | None = None


class RitualClosed(Struct, frozen=True, kw_only=True, tag="ritual_closed"):
    """The end, with all that is to be said about it."""

    run: str
    outcome: Outcome
    reason: Literal["facilitator", "nobody came", "everyone left"] | None = None
    by: str | None = None
    by_name: str | None = None
    summary: msgspec.Raw


GroupEvent = (
    RitualScheduled
    | RitualUnscheduled
    | RitualGathering
    | RitualHeld
    | RitualOpening
    | RitualActive
    | ParticipantTransformed
    | ParticipantFailed
    | ParticipantAcknowledged
    | RitualAborting
    | RitualIntegration
    | RitualInsight
    | RitualClosed
)

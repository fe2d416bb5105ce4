"""How a Eustress space does, as operators read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.eustress.values import Policy
from server.http.eustress_spaces import health_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GOOD = {"changed_at": NOW, "last_snapshot": NOW, "horizon": None, "changes": 1, "unresolved": 0, "entity_count": 1}


def health(retention_s: int = 0, **row: Any) -> tuple[str, list[str]]:
    return health_of(GOOD | row, Policy(retention_s=retention_s), NOW)


@pytest.mark.parametrize(
    ("ago", "horizon", "status"),
    [(10, None, "good"), (1_000, None, "late"), (1_000, 1_001, "late"), (1_000, 999, "good")],
)
def test_a_space_whose_retention_does_not_come_on_is_late(ago: int, horizon: int | None, status: str) -> None:
    """Its archive cannot be written, say. A horizon after the last change has left nothing to remove."""
    at, until = NOW - timedelta(seconds=ago), None if horizon is None else NOW - timedelta(seconds=horizon)
    assert health(100, changed_at=at, last_snapshot=at, horizon=until)[0] == status
    assert health(0, changed_at=at, last_snapshot=at, horizon=until)[0] == "good"


@pytest.mark.parametrize(("unresolved", "said"), [(1, "1 connection waits"), (2, "2 connections wait")])
def test_what_waits_is_counted(unresolved: int, said: str) -> None:
    status, reasons = health(unresolved=unresolved)
    assert status == "waiting"
    assert reasons[0].startswith(said)

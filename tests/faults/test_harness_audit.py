"""The exact check notices what it is there for: a check that cannot fail proves nothing. No server here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import harness_audit as audit
import msgspec
import orjson
import pytest

from actors.runtime.cell import event_frame
from actors.space import events as e
from server.client_events import event_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
SPACE, ANA, BEN = (f"00000000-0000-0000-0000-00000000000{n}" for n in (1, 2, 3))


def message(by: str, n: int) -> e.Message:
    return e.Message(by=by, body=msgspec.Raw(orjson.dumps({"n": n})))


EVENTS = [
    e.Created(by=ANA, name="room", purpose="talk", participant_limit=5, access_level="open"),
    e.Joined(by=ANA, sweep_at=AT + timedelta(minutes=10)),
    message(ANA, 1),
    e.Joined(by=BEN),
    message(BEN, 1),
    e.Swept(next_at=AT + timedelta(minutes=20)),
    message(ANA, 2),
]
ACKNOWLEDGED = {1: 3, 2: 6}
"""Ana's messages, at their offsets."""


def stored() -> audit.Stored:
    """The events as storage would have them, with a checkpoint after the fourth."""
    kind, rows, offset = audit.KINDS["space"], [], 0
    for seq, event in enumerate(EVENTS, 1):
        published, push = kind.publish(event), None
        if published is not None:
            offset += 1
            push = orjson.loads(event_frame(f"space:{SPACE}", offset, AT, published))
        rows.append(audit.Row(seq, offset if push else None, AT, f"operation {seq}", event, push))
    whole = audit.Stored("space", SPACE, rows, None, None)
    return replace(whole, checkpoint=(4, whole.fold(to=4)))


def lost(good: audit.Stored) -> audit.Stored:
    """The last message is gone."""
    return replace(good, rows=good.rows[:-1])


def doubled(good: audit.Stored) -> audit.Stored:
    """The last message is there twice, as if a retry had been done."""
    last = good.rows[-1]
    again = replace(last, seq=8, offset=7, operation="operation 8", push=last.push | {"offset": 7})
    return replace(good, rows=[*good.rows, again])


def swapped(good: audit.Stored) -> audit.Stored:
    """Ana's messages changed places."""
    rows = list(good.rows)
    first, second = rows[2], rows[6]
    rows[2] = replace(first, push=first.push | {"body": {"n": 2}})
    rows[6] = replace(second, push=second.push | {"body": {"n": 1}})
    return replace(good, rows=rows)


def test_what_is_right_passes() -> None:
    good = stored()
    audit.check_journal(good)
    audit.check_messages(good, ANA, ACKNOWLEDGED)
    audit.check_seen(good, 1, [event_of(push) for push in good.pushes[1:]])
    audit.check_history(good, good.pushes)


@pytest.mark.parametrize("broken", [lost, doubled, swapped])
def test_a_message_lost_doubled_or_out_of_order_is_noticed(broken: Callable[[audit.Stored], audit.Stored]) -> None:
    with pytest.raises(AssertionError):
        audit.check_messages(broken(stored()), ANA, ACKNOWLEDGED)
    with pytest.raises(AssertionError):
        audit.check_seen(broken(stored()), 0, [event_of(push) for push in stored().pushes])
    with pytest.raises(AssertionError):
        audit.check_history(broken(stored()), stored().pushes)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda good: [*good.rows[:2], *good.rows[3:]],
        lambda good: [*good.rows[:-1], replace(good.rows[-1], offset=9)],
        lambda good: [*good.rows[:-1], replace(good.rows[-1], operation="operation 3")],
    ],
    ids=["a hole in the sequence", "a hole in the offsets", "an operation twice"],
)
def test_a_journal_that_is_not_dense_or_has_an_operation_twice_is_noticed(
    wrong: Callable[[audit.Stored], list[audit.Row]],
) -> None:
    with pytest.raises(AssertionError):
        audit.check_journal(replace(stored(), rows=wrong(stored())))


def test_a_checkpoint_that_is_not_the_fold_of_its_events_is_noticed() -> None:
    good = stored()
    with pytest.raises(AssertionError):
        audit.check_journal(replace(good, checkpoint=(4, good.fold(to=3))))

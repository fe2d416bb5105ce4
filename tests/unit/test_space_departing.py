from __future__ import annotations

import hashlib
import uuid as uuids
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driving import Driver, account, assert_replays, guest, record, uuid
from group_driving import Circle

from actors.practitioner import commands as practitioner
from actors.runtime.codec import from_wire
from actors.runtime.entity import AlarmFired, Caller, Delete, EffectDone, Tick
from actors.runtime.errors import Forbidden, NotFound
from actors.space import commands as c
from actors.space import departing
from actors.space import events as e
from actors.space.entity import SpaceKind

A, B, C = account(1), account(2), account(3)
GUEST = guest(9)
HISTORY = Path(__file__).parent / "histories" / "space_departing.json"


def space(access: str = "open", *joined: Caller) -> Driver:
    driver = Driver(SpaceKind())
    driver.do(from_wire(c.CreateSpace, {"name": "Circle", "purpose": "to sit", "access_level": access}), A)
    for caller in joined:
        driver.do(c.Join(), caller)
    return driver


def depart(driver: Driver, who: Caller) -> Any:
    return driver.do(c.Depart(practitioner=who.practitioner))


def says(driver: Driver) -> list[tuple[str, str | None]]:
    shown = [driver.kind.shown(published, driver.state) for _, published in driver.frames]
    return [published.sender for published in shown if published.sender is not None]


def test_what_they_said_is_of_departed_from_then_on_and_others_keep_their_names() -> None:
    driver = space("open", A, B)
    for caller in (A, B):
        driver.do(c.SendMessage(body=b'"hello"'), caller)
    decision = depart(driver, B)
    assert decision.revises
    assert {name for who, name in says(driver) if who == B.practitioner} == {"departed"}
    assert {name for who, name in says(driver) if who == A.practitioner} == {"name 1"}
    assert "name 2" not in driver.kind.encode_state(driver.state).decode()
    assert driver.replayed() == driver.state
    assert depart(driver, B).events == ()


def test_they_are_nobody_there_any_more() -> None:
    driver = space("open", A, B)
    driver.do(c.Invite(practitioner=C.practitioner), A)
    assert depart(driver, B).unsubscribe == (B.practitioner,)
    depart(driver, C)
    assert list(driver.state.participants) == [A.practitioner]
    assert not driver.state.invited
    for command in (c.Join(), c.SendMessage(body=b"1"), c.GetSpace()):
        with pytest.raises(NotFound):
            driver.do(command, B)


def test_facilitation_passes_to_the_oldest_participant_with_an_account() -> None:
    driver = space("open", A, GUEST, B, C)
    depart(driver, A)
    assert driver.state.facilitator == B.practitioner
    assert driver.frames[-1][1].body == {"facilitator": B.practitioner}
    assert driver.row("collective_spaces")["facilitator_id"] == B.practitioner


def test_a_vacant_seat_is_taken_by_the_next_account_that_joins() -> None:
    driver = space("open", A)
    depart(driver, A)
    assert driver.row("collective_spaces")["facilitator_id"] is None
    for nobody in (Caller(""), GUEST):
        with pytest.raises(Forbidden):
            driver.do(c.UpdateSpace(name="mine"), nobody)
    driver.do(c.Join(), GUEST)
    assert driver.state.facilitator == ""
    driver.do(c.Join(), B)
    assert driver.state.facilitator == B.practitioner
    assert driver.kind.snapshot(driver.state, driver.context(B))["facilitator"] == B.practitioner
    assert driver.replayed() == driver.state


@pytest.mark.parametrize(("access", "closed"), [("open", False), ("invite", True), ("private", True)])
def test_a_space_that_nobody_could_enter_again_is_closed(access: str, closed: bool) -> None:
    driver = space(access, A)
    depart(driver, A)
    assert (driver.state.closed_at is not None) is closed
    assert driver.replayed() == driver.state


def alone(stage: str) -> Circle:
    """A facilitator who is alone in a space that others need an invitation for, and holds a group ritual there."""
    circle = Circle(1, access_level="invite")
    circle.begin(starts_in_s=5)
    if stage != "gathering":
        circle.wait(5)
        circle.do(Tick())
    if stage == "active":
        circle.wait(3)
        circle.do(Tick())
    assert circle.state.group is not None
    assert circle.state.group.stage == stage
    return circle


@pytest.mark.parametrize("stage", ["gathering", "opening", "active"])
def test_a_group_ritual_comes_to_its_end_before_the_space_that_nobody_could_enter_again_is_closed(stage: str) -> None:
    circle = alone(stage)
    depart(circle, A)
    assert circle.state.is_open
    if stage == "active":
        for effect in list(circle.state.effects):
            circle.do(EffectDone(id=effect, error="not_found"))
    for _ in range(10):
        for name, due in circle.kind.agenda(circle.state).alarms.items():
            circle.now = max(circle.now, due)
            circle.do(AlarmFired(name=name))
    assert circle.state.group is None
    assert not circle.state.is_open
    agenda = circle.kind.agenda(circle.state)
    assert (agenda.alarms, agenda.effects) == ({}, {})
    assert [published.event for _, published in circle.frames[-2:]] == ["ritual_closed", "closed"]
    assert circle.replayed() == circle.state


def test_a_space_is_closed_when_the_last_guest_of_one_that_was_open_leaves() -> None:
    driver = space("open", A, GUEST)
    driver.do(c.UpdateSpace(access_level="invite"), A)
    depart(driver, A)
    assert driver.state.is_open
    driver.do(c.Leave(), GUEST)
    driver.do(Tick())
    assert not driver.state.is_open


def test_one_who_is_invited_keeps_the_space_open() -> None:
    driver = space("invite", A)
    driver.do(c.Invite(practitioner=B.practitioner), A)
    depart(driver, A)
    assert driver.state.is_open
    told = driver.kind.agenda(driver.state).effects.values()
    assert [practitioner.codec.decode(effect.command).by_name for effect in told] == ["departed"]
    driver.do(c.Join(), B)
    assert driver.state.facilitator == B.practitioner


def test_a_person_makes_nobody_depart() -> None:
    driver = space("open", A)
    for command in (c.Depart(practitioner=B.practitioner), c.FinishDeparture(practitioner=B.practitioner)):
        with pytest.raises(Forbidden):
            driver.do(command, A)


def test_a_space_that_never_was_knows_nobody_who_departs() -> None:
    assert depart(Driver(SpaceKind()), A).events == ()


def test_the_row_of_a_member_says_what_is_still_to_do() -> None:
    driver = space("open", A, B, GUEST)
    members = [row.values for row in driver.rows if getattr(row, "table", "") == "space_members"]
    assert [(row["practitioner_id"], row["participant"]) for row in members] == [
        (A.practitioner, False),
        (A.practitioner, True),
        (B.practitioner, True),
    ]
    driver.do(c.Leave(), B)
    assert driver.row("space_members")["participant"] is False
    before = len(driver.rows)
    driver.do(c.Leave(), GUEST)
    assert not [row for row in driver.rows[before:] if getattr(row, "table", "") == "space_members"]
    depart(driver, B)
    row = driver.row("space_members")
    assert row["departed_at"] == driver.now
    driver.do(c.FinishDeparture(practitioner=B.practitioner))
    assert driver.rows[-1] == Delete(table="space_members", id=row["id"])
    both = f"{driver.id}:{B.practitioner}".encode()
    assert row["id"] == str(uuids.UUID(hashlib.sha256(both).hexdigest()[:32]))


def test_stored_events_lose_the_name_and_nothing_else() -> None:
    driver = space("open", A, B)
    driver.do(c.SendMessage(body=b'"name 1 said name 2"'), B)
    depart(driver, B)
    at_departure = driver.state
    scrubbed = [(at, departing.scrubbed(event, B.practitioner)) for at, event in driver.history]
    assert [new is old for (_, old), (_, new) in zip(driver.history, scrubbed, strict=True)].count(False) == 2
    driver.history = scrubbed
    assert driver.replayed() == at_departure
    texts = [driver.kind.encode_event(event).decode() for _, event in scrubbed]
    assert not [text for text in texts if '"by_name":"name 2"' in text]
    assert [text for text in texts if "said name 2" in text]


def test_what_is_planned_keeps_no_name() -> None:
    plan = {
        "run": uuid(5),
        "brief": {"id": "i", "name": "n", "module_hash": "h"},
        "parameters": {},
        "by": A.practitioner,
    }
    plan |= {"starts_at": "2026-01-01T00:00:00Z", "opening_s": 1.0, "integration_s": 1.0, "by_name": "name 1"}
    scheduled = e.codec.decode(e.FORMAT, msgspec.json.encode({"type": "ritual_scheduled", "plan": plan}))
    assert departing.scrubbed(scheduled, A.practitioner).plan.by_name == "departed"  # type: ignore[union-attr]
    assert departing.scrubbed(scheduled, B.practitioner) is scheduled


def whole_departure() -> Driver:
    """``histories/space_departing.json`` is its record."""
    driver = space("open", A, B)
    driver.do(c.SendMessage(body=b'"hello"'), B)
    driver.do(c.Leave(), B)
    depart(driver, B)
    driver.do(c.FinishDeparture(practitioner=B.practitioner))
    depart(driver, A)
    driver.do(c.Join(), C)
    return driver


def test_a_recorded_departure_replays() -> None:
    assert_replays(SpaceKind(), HISTORY.read_bytes())
    assert record(whole_departure())["events"]

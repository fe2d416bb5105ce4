from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from driving import BEGIN, Driver, account, guest, uuid

from actors.practitioner import commands as practitioner
from actors.runtime.codec import from_wire
from actors.runtime.entity import (
    NOTHING_OWED,
    Address,
    AlarmFired,
    Caller,
    ConfirmClaim,
    EffectDone,
    ReleaseClaim,
    Tick,
)
from actors.runtime.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Full,
    Invalid,
    NotFound,
    SanghaError,
    TooLarge,
    Unauthenticated,
)
from actors.space import commands as c
from actors.space import entity
from actors.space.entity import SpaceKind, SpaceLimits

A, B, STRANGER = account(1), account(2), account(3)
GUEST = guest(9)


def space(access: str = "open", by: Caller = A, *, join: bool = True, **fields: Any) -> Driver:
    driver = Driver(SpaceKind(SpaceLimits(participant_limit_max=50)))
    fields = {"name": "Circle", "purpose": "to sit", "access_level": access} | fields
    driver.do(from_wire(c.CreateSpace, fields), by)
    if join:
        driver.do(c.Join(), by)
    return driver


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Caller | None) -> SanghaError:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value


# Create


def test_creating_answers_with_the_space_and_claims_its_slug() -> None:
    driver = Driver(SpaceKind())
    command = from_wire(
        c.CreateSpace, {"name": "Circle", "purpose": "to sit", "slug": "circle", "ritual_schedule": {"at": 1}}
    )
    assert driver.kind.claims(command) == (("space.slug", "circle"),)
    reply = driver.reply(command, A)
    assert msgspec.json.decode(msgspec.json.encode(reply)) == {
        "id": driver.id,
        "slug": "circle",
        "name": "Circle",
        "purpose": "to sit",
        "tradition": None,
        "participant_limit": 12,
        "current_participants": 0,
        "access_level": "invite",
        "facilitator": A.practitioner,
        "ritual_schedule": {"at": 1},
        "shared_state": {},
        "created_at": "2026-01-01T00:00:00Z",
    }
    assert ConfirmClaim(scope="space.slug", name="circle") in driver.rows
    assert driver.state.participants == {}


def test_without_a_slug_nothing_is_claimed() -> None:
    assert SpaceKind().claims(c.CreateSpace(name="n", purpose="p")) == ()
    driver = space()
    driver.do(c.Close(), A)
    assert not [row for row in driver.rows if isinstance(row, ConfirmClaim | ReleaseClaim)]


def test_a_slug_that_reads_as_an_id_is_invalid() -> None:
    command = from_wire(c.CreateSpace, {"name": "n", "purpose": "p", "slug": uuid(5)})
    assert refuses(Driver(SpaceKind()), Invalid, command, A).errors[0].path == "slug"


def test_creating_twice_is_a_conflict() -> None:
    refuses(space(), Conflict, c.CreateSpace(name="n", purpose="p"), A)


def test_a_space_answers_to_nobody_without_a_name() -> None:
    refuses(space(), Unauthenticated, c.Join(), None)
    refuses(Driver(SpaceKind()), Unauthenticated, c.CreateSpace(name="n", purpose="p"), None)


@pytest.mark.parametrize("limit", [1, 50])
def test_the_largest_and_smallest_limit_are_taken(limit: int) -> None:
    assert space(participant_limit=limit).state.participant_limit == limit


def test_one_above_the_largest_limit_is_invalid() -> None:
    driver = Driver(SpaceKind(SpaceLimits(participant_limit_max=50)))
    command = c.CreateSpace(name="n", purpose="p", participant_limit=51)
    assert refuses(driver, Invalid, command, A).errors[0].path == "participant_limit"
    assert refuses(space(), Invalid, c.UpdateSpace(participant_limit=51), A).errors[0].path == "participant_limit"


@pytest.mark.parametrize("command", [c.Join(), c.Leave(), c.GetSpace(), c.Close(), c.Pulse(phase_rad=0.0)])
def test_before_it_is_created_there_is_no_space(command: Any) -> None:
    refuses(Driver(SpaceKind()), NotFound, command, A)


# Who may enter


@pytest.mark.parametrize(
    ("access", "stranger", "a_guest"),
    [("open", None, None), ("invite", Forbidden, Forbidden), ("private", NotFound, NotFound)],
)
def test_who_may_enter(access: str, stranger: type[SanghaError] | None, a_guest: type[SanghaError] | None) -> None:
    for caller, error in ((STRANGER, stranger), (GUEST, a_guest)):
        for command in (c.GetSpace(), c.Join()):
            driver = space(access)
            if error is None:
                driver.do(command, caller)
            else:
                refuses(driver, error, command, caller)


@pytest.mark.parametrize("access", ["open", "invite", "private"])
def test_facilitator_and_invited_enter(access: str) -> None:
    driver = space(access)
    driver.do(c.Invite(practitioner=B.practitioner), A)
    assert driver.do(c.Join(), B).subscribe
    assert set(driver.state.participants) == {A.practitioner, B.practitioner}


@pytest.mark.parametrize(
    "command",
    [c.UpdateSpace(name="x"), c.Invite(practitioner=uuid(7)), c.Close()],
)
def test_only_the_facilitator_steers(command: Any) -> None:
    driver = space()
    driver.do(c.Join(), B)
    refuses(driver, Forbidden, command, B)
    refuses(space("private"), NotFound, command, STRANGER)


@pytest.mark.parametrize("command", [c.SendMessage(body=b"1"), c.Pulse(phase_rad=0.0)])
def test_only_participants_speak(command: Any) -> None:
    refuses(space(), Forbidden, command, STRANGER)
    refuses(space(join=False), Forbidden, command, A)
    refuses(space("private"), NotFound, command, STRANGER)


def test_participants_and_the_facilitator_read_the_history() -> None:
    driver = space("invite", join=False)
    driver.do(c.Invite(practitioner=B.practitioner), A)
    for caller in (B, STRANGER):
        with pytest.raises(Forbidden):
            driver.kind.may_read(driver.state, driver.context(caller))
    driver.do(c.Join(), B)
    for caller in (A, B):
        driver.kind.may_read(driver.state, driver.context(caller))
    private = space("private")
    with pytest.raises(NotFound):
        private.kind.may_read(private.state, private.context(STRANGER))


# Join, leave, limit


def test_joining_answers_with_the_head_and_follows() -> None:
    driver = space()
    decision = driver.do(c.Join(), B)
    assert decision.reply == {"space": driver.id, "offset": 3}
    assert decision.subscribe
    assert driver.frames[-1][1].sender == (B.practitioner, B.name)


def test_joining_again_changes_nothing_and_follows() -> None:
    driver = space()
    again = driver.do(c.Join(), A)
    assert (again.events, again.reply["offset"], again.subscribe) == ((), 2, True)


def test_joining_again_under_another_name_shows_it() -> None:
    driver = space()
    again = driver.do(c.Join(), account(1, None))
    assert again.reply["offset"] == driver.offset == 3
    assert driver.reply(c.GetSpace(), A)["participants"] == [{"id": A.practitioner, "name": None}]


def test_a_full_space_is_full_and_a_place_that_is_given_up_is_free() -> None:
    driver = space(participant_limit=2)
    driver.do(c.Join(), B)
    refuses(driver, Full, c.Join(), STRANGER)
    driver.do(c.Join(), B)
    driver.do(c.Leave(), B)
    driver.do(c.Join(), STRANGER)
    refuses(driver, Full, c.Join(), B)


def test_leaving_unsubscribes_and_is_told_and_leaving_again_changes_nothing() -> None:
    driver = space()
    driver.do(c.Join(), B)
    left = driver.do(c.Leave(), B)
    assert left.unsubscribe == (B.practitioner,)
    assert driver.frames[-1][1].body == {"reason": "left"}
    assert driver.do(c.Leave(), B).events == ()


def test_the_facilitator_may_leave_and_come_back() -> None:
    driver = space("private")
    driver.do(c.Leave(), A)
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    driver.do(c.Join(), A)


# Update


def test_an_update_changes_what_is_given_and_nothing_else() -> None:
    driver = space()
    driver.do(from_wire(c.UpdateSpace, {"name": "Ring", "tradition": "zen", "shared_state": {"a": [1]}}), A)
    assert driver.frames[-1][1].body == {"name": "Ring", "tradition": "zen", "shared_state": msgspec.Raw(b'{"a":[1]}')}
    assert (driver.state.name, driver.state.purpose) == ("Ring", "to sit")
    driver.do(from_wire(c.UpdateSpace, {"tradition": None, "shared_state": None}), A)
    assert driver.state.tradition is None
    assert driver.state.shared_state == msgspec.Raw(b"null")


def test_an_update_that_changes_nothing_makes_no_event() -> None:
    driver = space()
    assert driver.do(c.UpdateSpace(name="Circle"), A).events == ()


def test_the_limit_goes_down_to_those_who_are_in_and_no_further() -> None:
    driver = space(participant_limit=5)
    driver.do(c.Join(), B)
    assert refuses(driver, Conflict, c.UpdateSpace(participant_limit=1), A).errors[0].path == "participant_limit"
    driver.do(c.UpdateSpace(participant_limit=2), A)


@pytest.mark.parametrize("field", ["shared_state", "ritual_schedule"])
def test_json_is_kept_up_to_its_bound(field: str) -> None:
    driver = space()
    most = 256 * 1024
    driver.do(c.UpdateSpace(**{field: b'"' + b"x" * (most - 2) + b'"'}), A)
    error = refuses(driver, TooLarge, c.UpdateSpace(**{field: b'"' + b"x" * (most - 1) + b'"'}), A)
    assert error.errors[0].path == field
    assert refuses(driver, Invalid, c.UpdateSpace(**{field: b'"\\u0000"'}), A).errors[0].path == field


# Messages, pulses


def test_a_message_answers_its_offset_and_leaves_the_state_as_it_is() -> None:
    driver = space()
    before = driver.state
    assert driver.reply(c.SendMessage(body=b'{"text":"om"}'), A) == {"offset": 3}
    assert driver.state is before
    offset, published = driver.frames[-1]
    assert (offset, published.event, published.sender) == (3, "message", (A.practitioner, A.name))
    assert published.body == msgspec.Raw(b'{"text":"om"}')


def test_who_shows_nothing_speaks_without_a_name() -> None:
    driver = space(by=account(1, None))
    driver.do(c.SendMessage(body=b"1"), account(1, None))
    assert driver.frames[-1][1].sender == (A.practitioner, None)


def test_a_message_of_just_the_bound_is_sent_and_one_byte_more_is_too_large() -> None:
    driver = space()
    driver.do(c.SendMessage(body=b"1" * 16 * 1024), A)
    assert refuses(driver, TooLarge, c.SendMessage(body=b"1" * (16 * 1024 + 1)), A).errors[0].path == "body"


@pytest.mark.parametrize("phase", [math.nan, math.inf, -math.inf])
def test_a_phase_that_is_no_number_is_invalid(phase: float) -> None:
    assert refuses(space(), Invalid, c.Pulse(phase_rad=phase), A).errors[0].path == "phase_rad"


# Close


def test_closing_is_the_end_for_everyone() -> None:
    driver = space(slug="circle")
    driver.do(c.Join(), B)
    closed = driver.do(c.Close(), A)
    assert closed.unsubscribe == "all"
    assert ReleaseClaim(scope="space.slug", name="circle") in driver.rows
    assert driver.row("collective_spaces")["closed_at"] == driver.now
    assert driver.row("collective_spaces")["current_participants"] == 0
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    for command in (c.Join(), c.Leave(), c.GetSpace(), c.Close(), c.SendMessage(body=b"1"), c.UpdateSpace(name="x")):
        refuses(driver, NotFound, command, A)
    with pytest.raises(NotFound):
        driver.kind.may_read(driver.state, driver.context(A))
    for signal in (AlarmFired(name="sweep"), AlarmFired(name="guest"), EffectDone(id="invite-1"), Tick()):
        assert driver.do(signal).events == ()


# Invitations


def test_an_invitation_is_an_effect_until_it_is_delivered() -> None:
    driver = space("invite")
    driver.do(c.Invite(practitioner=B.practitioner), A)
    ((id_, effect),) = driver.kind.agenda(driver.state).effects.items()
    assert id_ == effect.id
    assert effect.target == Address("practitioner", B.practitioner)
    assert practitioner.codec.decode(effect.command) == practitioner.NotifyInvitation(
        space=driver.id, name="Circle", by=A.practitioner, by_name=A.name
    )
    driver.do(c.UpdateSpace(name="Ring"), A)
    assert driver.kind.agenda(driver.state).effects[id_] == effect
    offset = driver.offset
    driver.do(EffectDone(id=id_, reply=b"{}"))
    assert driver.offset == offset
    assert driver.kind.agenda(driver.state).effects == {}
    assert driver.do(EffectDone(id=id_, reply=b"{}")).events == ()
    driver.do(c.Join(), B)


def test_an_invitation_of_nobody_is_withdrawn_and_can_be_made_anew() -> None:
    driver = space("invite")
    driver.do(c.Invite(practitioner=B.practitioner), A)
    (first,) = driver.kind.agenda(driver.state).effects
    driver.do(EffectDone(id=first, error="not_found"))
    refuses(driver, Forbidden, c.Join(), B)
    driver.do(c.Invite(practitioner=B.practitioner), A)
    (second,) = driver.kind.agenda(driver.state).effects
    assert second != first


def test_inviting_twice_or_oneself_notifies_nobody() -> None:
    driver = space("invite")
    driver.do(c.Invite(practitioner=B.practitioner), A)
    assert driver.do(c.Invite(practitioner=B.practitioner), A).events == ()
    assert driver.do(c.Invite(practitioner=A.practitioner), A).events == ()


def test_invitations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entity, "INVITATIONS_MAX", 1)
    driver = space("invite")
    driver.do(c.Invite(practitioner=B.practitioner), A)
    refuses(driver, Full, c.Invite(practitioner=uuid(7)), A)


# Guests


@pytest.mark.parametrize("access", ["invite", "private"])
def test_guests_create_open_spaces_only(access: str) -> None:
    command = from_wire(c.CreateSpace, {"name": "n", "purpose": "p", "access_level": access})
    refuses(Driver(SpaceKind()), Forbidden, command, GUEST)
    refuses(space(by=GUEST), Forbidden, c.UpdateSpace(access_level=command.access_level), GUEST)


def test_guests_do_not_invite() -> None:
    refuses(space(by=GUEST), Forbidden, c.Invite(practitioner=B.practitioner), GUEST)


def test_an_invitation_does_not_let_a_guest_in() -> None:
    driver = space("invite")
    driver.do(c.Invite(practitioner=GUEST.practitioner), A)
    refuses(driver, Forbidden, c.Join(), GUEST)


def test_a_guests_space_ends_with_the_guests_session() -> None:
    driver = space(by=GUEST, slug="passing")
    driver.do(c.Join(), B)
    assert driver.kind.agenda(driver.state).alarms["guest"] == BEGIN + timedelta(hours=1)
    closed = driver.do(AlarmFired(name="guest"))
    assert closed.unsubscribe == "all"
    assert driver.frames[-1][1].body == {"reason": "guest"}
    assert driver.frames[-1][1].sender is None
    assert ReleaseClaim(scope="space.slug", name="passing") in driver.rows
    assert driver.do(AlarmFired(name="guest")).events == ()


def test_a_guest_without_an_end_creates_nothing() -> None:
    command = c.CreateSpace(name="n", purpose="p", access_level="open")
    refuses(Driver(SpaceKind()), BadRequest, command, Caller(uuid(9), "g", True, "s"))


def test_an_accounts_space_has_no_end() -> None:
    assert "guest" not in space().kind.agenda(space().state).alarms


# The sweep


def swept(driver: Driver) -> list[str]:
    """Fires the alarm at its time; who was removed."""
    driver.now = driver.kind.agenda(driver.state).alarms["sweep"]
    before = len(driver.frames)
    driver.do(AlarmFired(name="sweep"))
    frames = [published for _, published in driver.frames[before:]]
    assert {published.event for published in frames} <= {"left"}
    assert all(published.body == {"reason": "absent"} for published in frames)
    return [published.sender[0] for published in frames]


def test_the_sweep_is_due_while_there_are_participants() -> None:
    driver = space(join=False)
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    driver.do(c.Join(), A)
    assert driver.kind.agenda(driver.state).alarms == {"sweep": BEGIN + timedelta(seconds=600)}
    driver.wait(60)
    driver.do(c.Join(), B)
    assert driver.kind.agenda(driver.state).alarms == {"sweep": BEGIN + timedelta(seconds=600)}


def test_who_is_absent_for_the_grace_is_removed_at_that_moment() -> None:
    driver = space()
    driver.do(c.Join(), B)
    driver.attach(A)
    driver.attach(B)
    driver.wait(100)
    driver.detach(B)
    assert swept(driver) == []
    assert driver.state.sweep_at == BEGIN + timedelta(seconds=700)
    assert swept(driver) == [B.practitioner]
    assert driver.now == BEGIN + timedelta(seconds=700)
    assert driver.state.sweep_at == driver.now + timedelta(seconds=600)
    assert set(driver.state.participants) == {A.practitioner}


def test_who_was_away_and_came_back_stays() -> None:
    driver = space()
    driver.attach(A)
    driver.wait(100)
    driver.detach(A)
    swept(driver)
    driver.wait(50)
    driver.attach(A)
    assert driver.state.away == {}
    assert swept(driver) == []
    driver.live = None
    assert swept(driver) == []


def test_after_a_restart_absence_counts_from_the_first_sight() -> None:
    driver = space()
    driver.attach(A)
    driver.wait(500)
    driver.live, driver.present = None, {}
    driver.do(Tick())
    assert swept(driver) == []
    assert driver.state.sweep_at == BEGIN + timedelta(seconds=1100)
    assert swept(driver) == [A.practitioner]
    assert driver.kind.agenda(driver.state) is NOTHING_OWED


def test_an_entity_that_rests_between_sweeps_still_loses_its_absentees() -> None:
    """At rest the live part is forgotten: without what the sweep recorded each sweep would begin anew."""
    driver = space()
    driver.attach(A)
    driver.detach(A)
    driver.live = None
    assert swept(driver) == []
    driver.live = None
    assert swept(driver) == [A.practitioner]


def test_the_last_absentee_leaves_nothing_owed() -> None:
    driver = space()
    driver.attach(A)
    driver.detach(A)
    assert swept(driver) == [A.practitioner]
    assert driver.kind.agenda(driver.state) is NOTHING_OWED
    assert driver.row("collective_spaces")["current_participants"] == 0
    assert driver.do(AlarmFired(name="sweep")).events == ()


def test_an_alarm_that_comes_early_or_twice_moves_on() -> None:
    driver = space()
    driver.attach(A)
    driver.detach(A)
    driver.wait(599.999)
    driver.do(AlarmFired(name="sweep"))
    assert set(driver.state.participants) == {A.practitioner}
    assert driver.state.sweep_at == driver.now + timedelta(seconds=1)
    assert swept(driver) == [A.practitioner]


def test_a_newcomer_counts_from_their_joining() -> None:
    driver = space()
    driver.attach(A)
    driver.wait(599)
    driver.do(c.Join(), B)
    assert swept(driver) == []
    assert driver.state.sweep_at == BEGIN + timedelta(seconds=1199)

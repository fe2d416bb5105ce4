from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from driving import Driver, account, assert_replays, record
from msgspec import structs
from practising import BRIEF, SELF, Practitioner

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner import leaving
from actors.practitioner.entity import PractitionerKind
from actors.runtime.entity import (
    EVERYTHING,
    NOTHING_OWED,
    Address,
    AlarmFired,
    Context,
    Delete,
    EffectDone,
    Purge,
    ReleaseClaim,
    Tick,
)
from actors.runtime.errors import Conflict, Forbidden, NotFound

HISTORY = Path(__file__).parent / "histories" / "practitioner_leaving.json"
FAREWELLS = tuple(c.Farewell(target=Address("space", f"s{n}"), command=b"depart") for n in (1, 2))
LOGIN = "00000000-0000-4000-8000-0000000000aa"
GROUP = "00000000-0000-4000-8000-0000000000bb"


@pytest.fixture
def who() -> Practitioner:
    return member()


def member() -> Practitioner:
    who = Practitioner()
    expires = who.now.replace(year=2027)
    who.do(c.OpenSession(id=LOGIN, token_hash=b"t" * 32, expires_at=expires), SELF)
    return who


def leave(who: Practitioner) -> None:
    decision = who.do(c.DeleteAccount(farewells=FAREWELLS), SELF)
    assert decision.unsubscribe == "all"


def test_every_login_is_closed_and_everyone_is_told(who: Practitioner) -> None:
    leave(who)
    assert who.frames[-1][1].event == "session_closed"
    assert who.row("auth_sessions")["revoked_at"] is not None
    effects = who.kind.agenda(who.state).effects
    assert [(effect.target, effect.command) for effect in effects.values()] == [
        (Address("space", "s1"), b"depart"),
        (Address("space", "s2"), b"depart"),
    ]
    assert who.kind.agenda(who.state).alarms == {}


def test_nobody_is_there_from_then_on(who: Practitioner) -> None:
    leave(who)
    for command in (c.GetAccount(), c.GetProfile(), c.Enter(), c.NotifyInvitation(space="s", name="n", by="b")):
        with pytest.raises(NotFound):
            who.do(command, None)
    with pytest.raises(NotFound):
        who.kind.may_read(who.state, who.context(SELF))
    assert who.do(c.DeleteAccount(), SELF).events == ()
    assert who.do(c.AwaitErasure(), SELF).park


def test_it_is_erased_when_all_have_answered_one_way_or_the_other(who: Practitioner) -> None:
    leave(who)
    assert who.do(Tick()).events == ()
    who.do(EffectDone(id="farewell-1", reply=b"{}"))
    assert who.do(AlarmFired(name=leaving.ERASE)).events == ()
    who.do(EffectDone(id="farewell-2", error="not_found"))
    assert set(who.kind.agenda(who.state).alarms) == {leaving.ERASE}
    uncommitted = structs.replace(who.context(None), clean=False)
    later = who.kind.decide(who.state, Tick(), uncommitted)
    assert (later.events, later.tick_after_s) == ((), leaving.AGAIN_S)
    decision = who.do(Tick())
    assert decision.forget == EVERYTHING
    assert who.rows[-2:] == [
        Delete(table="practitioners", id=who.id),
        ReleaseClaim(scope="practitioner.email", name="maya@example.org"),
    ]
    assert who.kind.agenda(who.state) is NOTHING_OWED
    assert who.do(c.AwaitErasure(), SELF).reply == {}
    assert b"maya" not in who.kind.encode_state(who.state)
    assert who.replayed() == who.state


def test_what_is_erased_is_nobody_and_its_id_is_not_used_again(who: Practitioner) -> None:
    leave(who)
    gone(who)
    with pytest.raises(NotFound):
        who.do(c.GetAccount(), None)
    with pytest.raises(NotFound):
        who.do(c.DeleteAccount(), SELF)
    with pytest.raises(Conflict, match="deleted"):
        who.do(c.Register(email="maya@example.org", password_hash="x"), SELF)
    assert who.do(AlarmFired(name=leaving.ERASE)).events == ()
    assert who.do(Tick()).events == ()


def gone(who: Practitioner) -> None:
    for number in (1, 2):
        who.do(EffectDone(id=f"farewell-{number}", reply=b"{}"))
    who.do(Tick())


def test_another_cannot_delete_it(who: Practitioner) -> None:
    with pytest.raises(Forbidden):
        who.do(c.DeleteAccount(), account(2))


def test_an_open_run_is_given_up_and_a_group_does_not_wait(who: Practitioner) -> None:
    who.ask(c.RunRitual(brief=BRIEF), "s:1")
    part = c.RunInGroup(group=GROUP, space=GROUP, brief=BRIEF, participants=2)
    who.do(part)
    leave(who)
    assert not [id_ for id_ in who.owed() if id_.startswith("run-")]
    for command in (part, c.AwaitContribution(group=GROUP)):
        with pytest.raises(NotFound):
            who.do(command)
    assert who.do(EffectDone(id="run-1", reply=b"{}")).events == ()


def test_a_contribution_that_was_made_is_still_told(who: Practitioner) -> None:
    who.do(c.RunInGroup(group=GROUP, space=GROUP, brief=BRIEF, participants=2))
    who.refuse("run-1", "internal")
    leave(who)
    assert who.do(c.AwaitContribution(group=GROUP)).reply.status == "failed"


class Old(Practitioner):
    """Of whom more is kept than fits a commit."""

    def context(self, caller: object = None) -> Context:
        return msgspec.structs.replace(super().context(caller), seq=2_500)  # type: ignore[arg-type]


def test_a_large_account_goes_in_steps_runs_before_states() -> None:
    who = Old()
    who.do(c.PutArchetypalState(state=who.state.archetypal_state), SELF)
    who.do(c.DeleteAccount(), SELF)
    forgotten, purged = [], []
    while who.state.leaving is not None:
        who.rows.clear()
        forgotten.append(who.do(Tick()).forget)
        purged.append([row.table for row in who.rows if isinstance(row, Purge)])
    assert forgotten == [
        0,
        1_000,
        1_000,
        1_000,
        *([1_000] if purged[4:5] == [["archetypal_states"]] else []),
        EVERYTHING,
    ]
    assert purged[1:4] == [["oracle_insights", "ritual_sessions", "auth_sessions"]] * 3
    assert who.replayed() == who.state


def test_a_recorded_departure_replays() -> None:
    assert_replays(PractitionerKind(), HISTORY.read_bytes())


def life_and_end() -> Driver:
    """``histories/practitioner_leaving.json`` is its record."""
    who = Old()
    who.do(c.ChangePassword(password_hash="argon2-other"), SELF)
    who.do(c.DeleteAccount(farewells=FAREWELLS), SELF)
    gone(who)
    while who.state.leaving is not None:
        who.do(Tick())
    return who


def test_the_recorded_departure_has_every_event_of_one() -> None:
    recorded = {event["type"] for event in msgspec.json.decode(HISTORY.read_bytes())["events"]}
    assert recorded == {event["type"] for event in record(life_and_end())["events"]}
    assert {"account_leaving", "account_purged", "account_erased"} <= recorded
    assert e.FORMAT == 1


def test_another_password_closes_the_other_logins(who: Practitioner) -> None:
    other = "00000000-0000-4000-8000-0000000000ab"
    who.do(c.OpenSession(id=other, token_hash=b"u" * 32, expires_at=who.now.replace(year=2027)), SELF)
    decision = who.do(c.ChangePassword(password_hash="argon2-other", keep=other), SELF)
    assert decision.reply == {"sessions": [LOGIN]}
    assert (who.state.password_hash, list(who.state.sessions)) == ("argon2-other", [other])
    assert who.row("practitioners")["password_hash"] == "argon2-other"
    assert who.do(c.CloseSession(keep=other), SELF).events == ()
    assert who.do(c.CloseSession(), SELF).reply == {"sessions": [other]}
    with pytest.raises(Forbidden):
        who.do(c.ChangePassword(password_hash="x"), account(2))


def test_an_invitation_is_the_same_one_when_its_sender_is_gone_meanwhile(who: Practitioner) -> None:
    """Else its repetition would be a conflict, and the space would take it for refused."""
    said = c.NotifyInvitation(space="s", name="n", by="b", by_name="Maya")
    again = msgspec.structs.replace(said, by_name="departed")
    assert who.kind.request(said, c.encode(said)) == who.kind.request(again, c.encode(again))
    other = msgspec.structs.replace(said, space="t")
    assert who.kind.request(said, c.encode(said)) != who.kind.request(other, c.encode(other))

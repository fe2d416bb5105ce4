from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from driving import Driver, account, assert_replays, record, uuid
from hypothesis import given
from hypothesis import strategies as st
from practising import BRIEF, INSIGHT, NEW, Practitioner, group

from actors.practitioner import commands as c
from actors.practitioner import events as e
from actors.practitioner.archetypal_state import ArchetypalState
from actors.practitioner.entity import SESSIONS_MAX, PractitionerKind, display_name
from actors.ritual.values import RunOutcome, run_id_of
from actors.runtime.codec import from_wire, tag_of
from actors.runtime.entity import NOTHING_OWED, AlarmFired, Attached, ConfirmClaim, EffectDone, Tick
from actors.runtime.errors import Conflict, Forbidden, Full, Invalid, NotFound, SanghaError, TooLarge, Unauthenticated

HISTORY = Path(__file__).parent / "histories" / "practitioner.json"
"""What the first version wrote: no rituals, no versions of the state."""
RITUALS = Path(__file__).parent / "histories" / "practitioner_rituals.json"
LEAVING = Path(__file__).parent / "histories" / "practitioner_leaving.json"
SELF = account(1)
OTHER = account(2)
SECRETS = (b"argon2-secret", b"dG9rZW4", b"token-hash")


def token_hash(n: int) -> bytes:
    return f"token-hash-{n:021d}".encode()


def registered(**fields: Any) -> Driver:
    driver = Driver(PractitionerKind(), SELF.practitioner)
    fields = {"email": "Maya@Example.org", "password_hash": "argon2-secret"} | fields
    driver.do(from_wire(c.Register, fields), SELF)
    return driver


def open_session(driver: Driver, n: int, life_s: float = 3600) -> Any:
    expires_at = driver.now + timedelta(seconds=life_s)
    return driver.do(c.OpenSession(id=uuid(n), token_hash=token_hash(n), expires_at=expires_at))


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Any = SELF) -> SanghaError:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value


# Account


def test_registering_answers_with_the_profile_and_claims_the_email() -> None:
    driver = Driver(PractitionerKind(), SELF.practitioner)
    command = from_wire(
        c.Register, {"email": "Maya@Example.org", "password_hash": "argon2-secret", "energy_alignments": {"fire": 1}}
    )
    assert driver.kind.claims(command) == (("practitioner.email", "maya@example.org"),)
    reply = driver.reply(command)
    assert msgspec.json.decode(msgspec.json.encode(reply)) == {
        "id": SELF.practitioner,
        "email": "maya@example.org",
        "spiritual_name": None,
        "sacred_path": None,
        "privacy_level": "private",
        "archetypal_preferences": {},
        "energy_alignments": {"fire": 1},
        "archetypal_state": {
            "archetypes": {},
            "energies": {},
            "integrations": [],
            "symbols": [],
            "transformations": [],
        },
        "oracle_consent": False,
        "state_id": None,
        "state_hash": None,
        "version": 0,
        "under_way": None,
        "created_at": "2026-01-01T00:00:00Z",
    }
    assert ConfirmClaim(scope="practitioner.email", name="maya@example.org") in driver.rows
    assert driver.row("practitioners")["password_hash"] == "argon2-secret"
    assert driver.kind.agenda(driver.state) is NOTHING_OWED


def test_an_email_that_is_none_is_refused_before_anything_is_claimed() -> None:
    with pytest.raises(Invalid):
        PractitionerKind().claims(c.Register(email="nobody", password_hash="h"))


def test_registering_twice_is_a_conflict() -> None:
    refuses(registered(), Conflict, c.Register(email="a@b", password_hash="h"))


@pytest.mark.parametrize(
    "command",
    [
        c.OpenSession(id=uuid(5), token_hash=token_hash(5), expires_at=registered().now + timedelta(1)),
        c.CloseSession(),
        c.GetAccount(),
        c.GetProfile(),
        c.UpdateProfile(),
        c.PutArchetypalState(state=ArchetypalState()),
        c.Enter(),
        c.NotifyInvitation(space=uuid(5), name="n", by=uuid(6)),
        c.GetState(),
        c.RunRitual(brief=BRIEF),
        group(),
        c.SettleGroup(group=uuid(90)),
        c.Reflect(),
    ],
)
def test_whoever_is_not_registered_is_not_there(command: Any) -> None:
    refuses(Driver(PractitionerKind(), SELF.practitioner), NotFound, command)


@pytest.mark.parametrize(
    "command",
    [
        c.GetAccount(),
        c.UpdateProfile(spiritual_name="x"),
        c.PutArchetypalState(state=ArchetypalState()),
        c.Enter(),
        c.CloseSession(),
    ],
)
def test_nobody_else_touches_an_account(command: Any) -> None:
    refuses(registered(privacy_level="public"), Forbidden, command, OTHER)


def test_the_account_is_for_the_login_alone() -> None:
    assert registered().reply(c.GetAccount()) == {"id": SELF.practitioner, "password_hash": "argon2-secret"}


# Profile


def test_a_profile_changes_where_it_is_told_to() -> None:
    driver = registered(spiritual_name="Maya")
    reply = driver.reply(
        from_wire(c.UpdateProfile, {"sacred_path": "zen", "archetypal_preferences": {"Sage": 1}}), SELF
    )
    assert (reply["spiritual_name"], reply["sacred_path"]) == ("Maya", "zen")
    assert driver.row("practitioners")["archetypal_preferences"] == msgspec.Raw(b'{"Sage":1}')
    assert driver.frames[-1][1].event == "profile_updated"
    assert driver.frames[-1][1].body["sacred_path"] == "zen"
    assert driver.reply(c.UpdateProfile(spiritual_name=None), SELF)["spiritual_name"] is None


def test_consent_to_an_oracle_outside_is_off_until_it_is_given() -> None:
    driver = registered()
    assert driver.reply(c.GetProfile(), SELF)["oracle_consent"] is False
    driver.wait(1)
    reply = driver.reply(c.UpdateProfile(oracle_consent=True, sacred_path="zen"), SELF)
    assert (reply["oracle_consent"], reply["sacred_path"]) == (True, "zen")
    assert driver.row("practitioners") == {"id": driver.id, "oracle_consent": True, "updated_at": driver.now}
    assert [frame.event for _, frame in driver.frames] == ["profile_updated", "oracle_consent_changed"]
    assert driver.frames[-1][1].body == {"oracle_consent": True}
    assert driver.do(c.UpdateProfile(oracle_consent=True), SELF).events == ()


def test_an_update_that_changes_nothing_makes_no_event() -> None:
    assert registered(spiritual_name="Maya").do(c.UpdateProfile(spiritual_name="Maya"), SELF).events == ()


@pytest.mark.parametrize("field", ["archetypal_preferences", "energy_alignments"])
def test_preferences_are_objects_of_bounded_size(field: str) -> None:
    assert refuses(registered(), Invalid, c.UpdateProfile(**{field: b"[]"})).errors[0].path == field
    large = b'{"a":"' + b"x" * c.PREFERENCES_BYTES + b'"}'
    assert refuses(registered(), TooLarge, c.UpdateProfile(**{field: large})).errors[0].path == field


def test_others_see_a_public_profile_without_its_email_and_no_other() -> None:
    seen = registered(privacy_level="public", spiritual_name="Maya").reply(c.GetProfile(), OTHER)
    assert seen["spiritual_name"] == "Maya"
    assert not {"email", "archetypal_state", "password_hash"} & seen.keys()
    for level in ("private", "community"):
        refuses(registered(privacy_level=level), NotFound, c.GetProfile(), OTHER)


def test_the_name_that_others_see() -> None:
    profile = {"id": uuid(1), "spiritual_name": "Maya", "privacy_level": "private"}
    assert display_name(profile) is None
    assert display_name(profile | {"privacy_level": "community"}) == "Maya"
    assert display_name(profile | {"privacy_level": "public", "spiritual_name": None}) == "practitioner 00000000"


# Archetypal state


def test_the_archetypal_state_is_replaced() -> None:
    driver = registered()
    state = ArchetypalState(archetypes={"Shadow": 0.5}, symbols=("moon",))
    assert driver.reply(c.PutArchetypalState(state=state), SELF)["archetypes"] == {"Shadow": 0.5}
    assert driver.frames[-1][1].event == "archetypal_state_updated"
    assert list(driver.reply(c.GetProfile(), SELF)["archetypal_state"]["symbols"]) == ["moon"]
    assert driver.do(c.PutArchetypalState(state=state), SELF).events == ()


def test_a_state_out_of_bounds_is_invalid() -> None:
    bad = c.PutArchetypalState(state=ArchetypalState(archetypes={"Shadow": 1.5}))
    assert refuses(registered(), Invalid, bad).errors[0].path == "archetypes.Shadow"


# Sessions


def test_a_login_is_a_row_and_a_push_without_its_token() -> None:
    driver = registered()
    open_session(driver, 5)
    assert driver.row("auth_sessions") == {
        "id": uuid(5),
        "practitioner_id": SELF.practitioner,
        "token_hash": token_hash(5),
        "created_at": driver.now,
        "expires_at": driver.now + timedelta(hours=1),
        "revoked_at": None,
        "service": None,
        "name": None,
    }
    assert driver.frames[-1][1].body == {"session": uuid(5)}


def test_a_services_login_says_whose_it_is_and_never_gives_way_to_another() -> None:
    driver = registered()
    expires_at = driver.now + timedelta(days=365)

    def opening(n: int) -> c.OpenSession:
        return c.OpenSession(
            id=uuid(n), token_hash=token_hash(n), expires_at=expires_at, service="eustress", name="the lab's engine"
        )

    for n in range(100, 100 + SESSIONS_MAX):
        driver.do(opening(n))
    assert driver.row("auth_sessions")["service"] == "eustress"
    assert driver.row("auth_sessions")["name"] == "the lab's engine"
    assert "revoke one" in refuses(driver, Full, opening(200), None).message
    assert len(driver.state.sessions) == SESSIONS_MAX
    driver.do(c.CloseSession(id=uuid(100)))
    driver.do(opening(200))
    assert driver.state.sessions[uuid(200)].service == "eustress"


def test_a_login_that_is_over_or_there_already_is_refused() -> None:
    driver = registered()
    over = c.OpenSession(id=uuid(5), token_hash=token_hash(5), expires_at=driver.now)
    assert refuses(driver, Invalid, over, None).errors[0].path == "expires_at"
    open_session(driver, 5)
    later = driver.now + timedelta(hours=1)
    refuses(driver, Conflict, c.OpenSession(id=uuid(5), token_hash=token_hash(6), expires_at=later), None)


def test_a_logout_closes_one_or_all_and_says_which() -> None:
    driver = registered()
    for n in (5, 6, 7):
        open_session(driver, n)
    driver.wait(1)
    assert driver.reply(c.CloseSession(id=uuid(6))) == {"sessions": [uuid(6)]}
    assert driver.row("auth_sessions")["revoked_at"] == driver.now
    assert driver.row("auth_sessions")["token_hash"] == token_hash(6)
    assert driver.frames[-1][1].body == {"sessions": [uuid(6)], "reason": "logout"}
    assert driver.do(c.CloseSession(id=uuid(6))).events == ()
    assert driver.reply(c.CloseSession()) == {"sessions": [uuid(5), uuid(7)]}
    assert driver.state.sessions == {}


def test_expired_logins_go_when_the_next_one_comes() -> None:
    driver = registered()
    open_session(driver, 5, life_s=10)
    open_session(driver, 6)
    driver.wait(10)
    open_session(driver, 7)
    assert list(driver.state.sessions) == [uuid(6), uuid(7)]
    assert driver.frames[-2][1].body == {"sessions": [uuid(5)], "reason": "expired"}


def test_the_oldest_login_gives_way_to_one_too_many() -> None:
    driver = registered()
    for n in range(100, 100 + SESSIONS_MAX):
        open_session(driver, n)
    assert len(driver.state.sessions) == SESSIONS_MAX
    open_session(driver, 5)
    assert len(driver.state.sessions) == SESSIONS_MAX
    assert driver.frames[-2][1].body == {"sessions": [uuid(100)], "reason": "evicted"}


# The stream


def test_entering_follows_the_own_stream() -> None:
    driver = registered()
    decision = driver.do(c.Enter(), SELF)
    assert decision.subscribe
    assert driver.kind.subscribes(c.Enter())
    assert not driver.kind.subscribes(c.GetProfile())
    assert decision.reply["email"] == "maya@example.org"


def test_whoever_comes_with_a_login_that_ended_meanwhile_does_not_enter() -> None:
    """A socket that does not follow yet is not told of the end, and would stay until the login's day is over."""
    driver = registered()
    open_session(driver, 5)
    assert driver.do(c.Enter(login=uuid(5)), SELF).subscribe
    driver.do(c.CloseSession(id=uuid(5)), SELF)
    with pytest.raises(Unauthenticated):
        driver.do(c.Enter(login=uuid(5)), SELF)


def test_the_stream_is_the_practitioners_alone() -> None:
    driver = registered(privacy_level="public")
    driver.kind.may_read(driver.state, driver.context(SELF))
    for caller in (OTHER, None):
        with pytest.raises(Forbidden):
            driver.kind.may_read(driver.state, driver.context(caller))
    nobody = Driver(PractitionerKind(), SELF.practitioner)
    with pytest.raises(NotFound):
        nobody.kind.may_read(nobody.state, nobody.context(SELF))


def test_an_invitation_is_told_and_changes_nothing() -> None:
    driver = registered()
    before = driver.state
    driver.do(c.NotifyInvitation(space=uuid(8), name="Circle", by=uuid(9), by_name="Ona"))
    assert driver.state is before
    published = driver.frames[-1][1]
    assert published.event == "invitation"
    assert published.body == {"space": uuid(8), "name": "Circle"}
    assert published.sender == (uuid(9), "Ona")


def test_signals_are_none_of_a_practitioners_business() -> None:
    driver = registered()
    for signal in (Tick(), AlarmFired(name="x"), EffectDone(id="x"), Attached(sessions=())):
        assert driver.do(signal).events == ()


# All together

TEXTS = st.none() | st.text("abc é", min_size=1, max_size=5).filter(str.strip)
OBJECTS = st.dictionaries(st.text("ab", max_size=2), st.integers(0, 3), max_size=2).map(msgspec.json.encode)
MAYBE = st.just(msgspec.UNSET)
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        c.UpdateProfile,
        spiritual_name=MAYBE | TEXTS,
        sacred_path=MAYBE | TEXTS,
        privacy_level=MAYBE | st.sampled_from(["private", "community", "public"]),
        archetypal_preferences=MAYBE | OBJECTS,
        energy_alignments=MAYBE | OBJECTS,
    ),
    st.builds(
        c.PutArchetypalState,
        state=st.builds(
            ArchetypalState,
            energies=st.dictionaries(st.sampled_from(["fire", "water"]), st.floats(-0.5, 1.5), max_size=2),
            symbols=st.lists(st.sampled_from(["moon", ""]), max_size=2).map(tuple),
        ),
    ),
    st.builds(c.CloseSession, id=st.none() | st.integers(10, 15).map(uuid)),
    st.builds(c.NotifyInvitation, space=st.just(uuid(8)), name=st.just("Circle"), by=st.just(uuid(9))),
    st.integers(10, 15),
    st.just(c.Enter()),
)


@given(st.lists(st.tuples(COMMANDS, st.floats(0, 2000)), min_size=15, max_size=40))
def test_the_state_is_the_fold_of_its_events_the_rows_agree_and_no_secret_is_said(steps: list[Any]) -> None:
    driver = registered()
    opened: set[int] = set()
    for command, seconds in steps:
        driver.wait(seconds)
        before = driver.state
        try:
            if isinstance(command, int):
                open_session(driver, command)
                opened.add(command)
            else:
                driver.do(command, SELF)
        except SanghaError:
            assert driver.state is before
    kind, state = driver.kind, driver.state
    assert driver.replayed() == state
    assert kind.decode_state(kind.format, kind.encode_state(state)) == state
    assert driver.row("practitioners") == driver.row("practitioners") | msgspec.structs.asdict(state.profile)
    sessions = {row.values["id"]: row.values for row in driver.rows if getattr(row, "table", "") == "auth_sessions"}
    assert {id_ for id_, row in sessions.items() if row["revoked_at"] is None} == set(state.sessions)
    said = msgspec.json.encode([driver.frames, kind.snapshot(state, driver.context(SELF))])
    assert not [secret for secret in SECRETS if secret in said]


def test_a_checkpoint_of_the_first_version_is_read() -> None:
    recorded = msgspec.json.decode(HISTORY.read_bytes())
    state = PractitionerKind().decode_state(recorded["format"], msgspec.json.encode(recorded["state"]))
    assert (state.version, state.run, state.oracle_consent) == (None, None, False)


@pytest.mark.parametrize("history", [HISTORY, RITUALS], ids=lambda path: path.stem)
def test_a_recorded_history_replays(history: Path) -> None:
    assert_replays(PractitionerKind(), history.read_bytes())


def test_the_recorded_histories_have_every_event() -> None:
    histories = [msgspec.json.decode(path.read_bytes())["events"] for path in (HISTORY, RITUALS, LEAVING)]
    first, rituals, leaving = ({event["type"] for event in events} for events in histories)
    assert first | rituals | leaving == {tag_of(event) for event in get_args(e.PractitionerEvent)}
    assert rituals == {event["type"] for event in record(life_with_rituals())["events"]}


def life_with_rituals() -> Practitioner:
    """A practitioner to whom everything happens. ``histories/practitioner_rituals.json`` is its record."""
    who = Practitioner()
    who.do(c.UpdateProfile(sacred_path="zen", oracle_consent=True), SELF)
    who._take(e.ArchetypalStateUpdated(state=ArchetypalState(symbols=("sun",))))  # as it was before versions
    who.run("s:1", intention="to see", parameters=b'{"depth":[1]}')
    who.answer("run-1", RunOutcome(state=NEW, log=("descending",), fuel=12, duration_us=54, resonance=0.5))
    who.answer("use-1", {})
    notes = {"subjective_experience": "dark", "integration_notes": None, "effectiveness_rating": 8}
    who.do(c.AnnotateRun(run=run_id_of("s:1"), ritual=BRIEF.id, **notes), SELF)
    who.answer("rate-1", {})
    about = c.RunToReflect(id=run_id_of("s:1"), ritual_name="Descent", pre=NEW, post=NEW, intensity=0.5)
    who.ask(c.Reflect(run=about), "s:2")
    who.answer("consult-1", INSIGHT)
    who.ask(c.Reflect(), "s:3")
    who.refuse("consult-2", "internal")
    who.wait(60)
    who.ask(group(), "effect:space:x:part-1", None)
    who.answer("run-2", RunOutcome(code="ritual_failed", message="out of fuel", fuel=99))
    who.do(c.SettleGroup(group=group().group))
    who.ask(group(91), "effect:space:x:part-2", None)
    who.ask(c.Reflect(), "s:4")
    who.ask(group(92, intention="together", parameters=b'{"depth":[2]}'), "effect:space:x:part-3", None)
    who.ask(group(93), "effect:space:x:part-4", None)
    who.answer("run-3", RunOutcome(state=NEW, fuel=7))
    return who

from __future__ import annotations

import hashlib
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import pytest
from driving import Driver, account, assert_replays, guest, record, uuid
from hypothesis import given
from hypothesis import strategies as st

from actors.ritual import commands as c
from actors.ritual.entity import RitualKind
from actors.ritual.ratings import UNRATED, Ratings, Word
from actors.ritual.values import Brief
from actors.runtime.codec import from_wire
from actors.runtime.entity import NOTHING_OWED, AlarmFired, Attached, EffectDone, Tick
from actors.runtime.errors import Conflict, Forbidden, Invalid, NotFound, SanghaError
from storage.tables import TABLES

HISTORY = Path(__file__).parent / "histories" / "ritual.json"
AUTHOR = account(1)
OTHER = account(2)
GUEST = guest(3)
MODULE = b"\0asm\1\0\0\0" + bytes(range(64))
HASH = hashlib.sha256(MODULE).hexdigest()
FIELDS = {"name": "Descent", "description": "Down, and back up.", "intent": "to meet the shadow"}


def upload(**fields: Any) -> c.Upload:
    wire = FIELDS | {"module": MODULE, "module_hash": HASH, "abi": "codex"} | fields
    return from_wire(c.Upload, wire)


def uploaded(caller: Any = AUTHOR, **fields: Any) -> Driver:
    driver = Driver(RitualKind())
    driver.do(upload(**fields), caller)
    return driver


def refuses(driver: Driver, error: type[SanghaError], command: Any, caller: Any = AUTHOR) -> SanghaError:
    before = driver.state
    with pytest.raises(error) as refused:
        driver.do(command, caller)
    assert driver.state is before
    return refused.value


def rate(n: int, rating: int, version: int = 1) -> c.Rate:
    return c.Rate(practitioner=uuid(n), rating=rating, version=version)


def as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


# Upload


def test_an_upload_answers_with_the_ritual_and_writes_its_row_with_the_module() -> None:
    driver = Driver(RitualKind())
    reply = driver.reply(upload(is_public=True, tradition="jungian", energy_requirements={"fire": 0.2}), AUTHOR)
    assert as_json(reply) == FIELDS | {
        "id": driver.id,
        "tradition": "jungian",
        "difficulty_level": "beginner",
        "required_archetypes": [],
        "energy_requirements": {"fire": 0.2},
        "is_public": True,
        "module_language": None,
        "wasm_module_hash": HASH,
        "module_bytes": len(MODULE),
        "abi": "codex",
        "author_id": AUTHOR.practitioner,
        "builtin": False,
        "usage_count": 0,
        "effectiveness_rating": 0.0,
        "rating_count": 0,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
        "withdrawn_at": None,
    }
    row = driver.row("sacred_rituals")
    assert row == reply | {"wasm_module_data": MODULE, "effectiveness_rating": Decimal("0.00")}
    assert driver.kind.agenda(driver.state) is NOTHING_OWED


def test_a_module_that_is_not_what_was_checked_is_refused() -> None:
    wrong = upload(module_hash=hashlib.sha256(b"another").hexdigest())
    assert refuses(Driver(RitualKind()), Invalid, wrong).errors[0].path == "module_hash"


def test_a_ritual_is_uploaded_once_and_by_no_guest() -> None:
    refuses(uploaded(), Conflict, upload())
    refuses(uploaded(), Conflict, upload(), OTHER)
    refuses(uploaded(), Conflict, upload(), None)
    refuses(Driver(RitualKind()), Forbidden, upload(), GUEST)


def test_a_built_in_ritual_is_sanghas_own_and_may_be_uploaded_at_every_start() -> None:
    driver = uploaded(None, is_public=True)
    assert (driver.state.author, driver.row("sacred_rituals")["builtin"]) == (None, True)
    assert driver.do(upload(is_public=True), None).events == ()
    assert driver.reply(upload(is_public=True, intent="clearer words"), None)["intent"] == "clearer words"
    other = MODULE + b"\0"
    refuses(driver, Conflict, upload(module=other, module_hash=hashlib.sha256(other).hexdigest()), None)
    refuses(driver, Conflict, upload(is_public=True), OTHER)
    for command in (c.Edit(name="mine"), c.Withdraw()):
        refuses(driver, Forbidden, command, OTHER)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("name", "x" * 256),
        ("name", "a\0"),
        ("description", ""),
        ("intent", "x" * 10_001),
        ("tradition", "x" * 101),
        ("difficulty_level", "impossible"),
        ("required_archetypes", ["Shadow", ""]),
        ("required_archetypes", ["x"] * 65),
        ("energy_requirements", {"fire": 1.5}),
        ("energy_requirements", {"fire": float("nan")}),
        ("energy_requirements", {"fire": True}),
        ("energy_requirements", [1]),
        ("module_language", ""),
        ("is_public", "yes"),
        ("module", b"short"),
        ("module_hash", HASH + "\n"),
        ("module_hash", HASH.upper()),
        ("abi", "wasi"),
    ],
)
def test_an_upload_out_of_bounds_is_invalid_with_its_path(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refused:
        upload(**{field: value})
    assert refused.value.errors[0].path.startswith(field)


# Who sees it


@pytest.mark.parametrize("command", [c.GetDetails(), c.GetBrief(), c.GetModule()])
def test_a_private_ritual_is_there_for_its_author_alone(command: Any) -> None:
    driver = uploaded()
    driver.do(command, AUTHOR)
    for other in (OTHER, GUEST):
        refuses(driver, NotFound, command, other)
    driver.do(c.Edit(is_public=True), AUTHOR)
    for other in (OTHER, GUEST):
        driver.do(command, other)
    driver.do(c.Edit(is_public=False), AUTHOR)
    refuses(driver, NotFound, command, OTHER)


@pytest.mark.parametrize(
    "command",
    [
        c.Edit(name="x"),
        c.Withdraw(),
        c.GetDetails(),
        c.GetBrief(),
        c.GetModule(),
        c.RecordUse(run=uuid(5)),
        rate(2, 5),
    ],
)
def test_what_was_never_uploaded_is_not_there(command: Any) -> None:
    refuses(Driver(RitualKind()), NotFound, command, None)


def test_a_withdrawn_ritual_is_there_for_its_authors_eyes_and_for_replays() -> None:
    driver = uploaded(is_public=True)
    driver.wait(60)
    assert driver.reply(c.Withdraw(), AUTHOR)["withdrawn_at"] == driver.now
    assert driver.row("sacred_rituals") == {"id": driver.id, "withdrawn_at": driver.now, "updated_at": driver.now}
    assert driver.reply(c.GetDetails(), AUTHOR)["withdrawn_at"] == driver.now
    refuses(driver, NotFound, c.GetDetails(), OTHER)
    for command in (c.GetBrief(), c.GetModule()):
        refuses(driver, NotFound, command, AUTHOR)
        refuses(driver, NotFound, command, OTHER)
    assert driver.reply(c.GetModule()) == {"module_hash": HASH, "module": MODULE, "withdrawn": True}
    refuses(driver, NotFound, c.GetBrief(), None)
    refuses(driver, Conflict, c.Edit(name="again"))
    assert driver.do(c.Withdraw(), AUTHOR).events == ()


def test_a_brief_says_what_a_run_must_know() -> None:
    driver = uploaded(required_archetypes=["Shadow"], energy_requirements={"fire": 0.5})
    reply = msgspec.json.encode(driver.reply(c.GetBrief(), AUTHOR))
    assert msgspec.json.decode(reply, type=Brief) == Brief(
        id=driver.id,
        name="Descent",
        module_hash=HASH,
        required_archetypes=("Shadow",),
        energy_requirements={"fire": 0.5},
    )


# Edit


def test_an_edit_changes_what_is_given_and_writes_no_more_than_that() -> None:
    driver = uploaded(tradition="jungian")
    driver.wait(1)
    reply = driver.reply(c.Edit(name="Ascent", tradition=None, is_public=True), AUTHOR)
    assert (reply["name"], reply["tradition"], reply["is_public"], reply["intent"]) == (
        "Ascent",
        None,
        True,
        "to meet the shadow",
    )
    assert driver.row("sacred_rituals") == {
        "id": driver.id,
        "name": "Ascent",
        "tradition": None,
        "is_public": True,
        "updated_at": driver.now,
    }
    assert driver.do(c.Edit(name="Ascent"), AUTHOR).events == ()
    assert driver.do(c.Edit(), AUTHOR).events == ()


def test_only_its_author_changes_a_ritual() -> None:
    for command in (c.Edit(name="x"), c.Withdraw()):
        refuses(uploaded(is_public=True), Forbidden, command, OTHER)
        refuses(uploaded(is_public=True), Forbidden, command, None)
        refuses(uploaded(), NotFound, command, OTHER)


# Uses and ratings


def test_a_use_is_counted_and_moves_no_module() -> None:
    driver = uploaded(is_public=True)
    module = driver.state.module
    driver.do(c.RecordUse(run=uuid(5)))
    assert driver.reply(c.GetDetails(), OTHER)["usage_count"] == 1
    assert driver.row("sacred_rituals") == {"id": driver.id, "usage_count": 1}
    driver.do(rate(2, 7))
    assert driver.row("sacred_rituals") == {
        "id": driver.id,
        "effectiveness_rating": Decimal("7.00"),
        "rating_count": 1,
    }
    assert driver.state.module is module
    assert driver.frames == []


def test_uses_and_ratings_come_from_runs_and_not_from_callers() -> None:
    for command in (c.RecordUse(run=uuid(5)), rate(1, 10)):
        refuses(uploaded(), Forbidden, command, AUTHOR)


def test_the_rating_is_the_mean_of_each_practitioners_newest() -> None:
    driver = uploaded()
    for command in (rate(2, 10), rate(3, 3), rate(4, 9), rate(2, 1, version=2)):
        driver.do(command)
    reply = driver.reply(c.GetDetails(), AUTHOR)
    assert (reply["effectiveness_rating"], reply["rating_count"]) == (4.33, 3)


def test_a_word_that_comes_late_changes_nothing() -> None:
    driver = uploaded()
    driver.do(rate(2, 10, version=2))
    for late in (1, 2):
        assert driver.do(rate(2, 1, version=late)).events == ()
    assert driver.state.ratings.mean == 10


@pytest.mark.parametrize(
    ("ratings", "mean"),
    [
        ([], "0.00"),
        ([10], "10.00"),
        ([1, 1, 1, 1, 1, 1, 1, 2], "1.12"),  # 1.125, half to even
        ([1, 1, 1, 1, 1, 2, 2, 2], "1.38"),  # 1.375, half to even
        ([1, 2, 2], "1.67"),
    ],
)
def test_the_mean_is_rounded_once_half_to_even(ratings: list[int], mean: str) -> None:
    heard = Ratings()
    for n, rating in enumerate(ratings):
        heard = heard.said(uuid(n), Word(rating=rating, version=1))
    assert str(heard.mean) == mean


def test_who_never_was_rated_has_the_seeds_default() -> None:
    assert Ratings().mean is UNRATED


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(1, 10), st.integers(1, 5)), max_size=40))
def test_the_mean_is_exact_whatever_the_order_of_words(words: list[tuple[int, int, int]]) -> None:
    driver, newest = uploaded(), dict[int, tuple[int, int]]()
    for n, rating, version in words:
        driver.do(rate(n, rating, version))
        if version > newest.get(n, (0, 0))[0]:
            newest[n] = (version, rating)
    ratings = [rating for _, rating in newest.values()]
    assert (driver.state.ratings.total, driver.state.ratings.count) == (sum(ratings), len(ratings))
    exact = Fraction(sum(ratings), len(ratings)) if ratings else Fraction(0)
    assert abs(Fraction(driver.state.ratings.mean) - exact) <= Fraction(1, 200)


# The stream


def test_nobody_reads_the_stream_of_a_ritual() -> None:
    driver = uploaded(is_public=True)
    for caller in (AUTHOR, OTHER, None):
        with pytest.raises(Forbidden):
            driver.kind.may_read(driver.state, driver.context(caller))
    assert not driver.kind.subscribes(c.GetDetails())
    assert driver.kind.claims(upload()) == ()
    assert driver.kind.awaits(c.GetBrief(), None, driver.id) is None
    assert driver.kind.request(c.GetBrief(), b"data") == b"data"
    assert not driver.kind.sealed


def test_signals_are_none_of_a_rituals_business() -> None:
    for signal in (Tick(), AlarmFired(name="x"), EffectDone(id="x"), Attached(sessions=())):
        assert Driver(RitualKind()).do(signal).events == ()


# All together

MAYBE = st.just(msgspec.UNSET)
COMMANDS: st.SearchStrategy[Any] = st.one_of(
    st.builds(
        c.Edit,
        name=MAYBE | st.sampled_from(["Ascent", "Descent"]),
        tradition=MAYBE | st.none() | st.just("zen"),
        required_archetypes=MAYBE | st.just(("Shadow",)),
        energy_requirements=MAYBE | st.just({"fire": 0.5}),
        is_public=MAYBE | st.booleans(),
    ),
    st.just(c.Withdraw()),
    st.just(c.GetDetails()),
    st.just(c.GetBrief()),
    st.just(c.GetModule()),
    st.builds(c.RecordUse, run=st.integers(10, 15).map(uuid)),
    st.builds(rate, st.integers(1, 4), st.integers(1, 10), st.integers(1, 4)),
    st.just(upload()),
)


@given(st.lists(st.tuples(COMMANDS, st.sampled_from([AUTHOR, OTHER, None])), max_size=40))
def test_the_state_is_the_fold_of_its_events_and_the_rows_agree(steps: list[Any]) -> None:
    driver = uploaded()
    for command, caller in steps:
        driver.wait(1)
        before = driver.state
        try:
            driver.do(command, caller)
        except SanghaError:
            assert driver.state is before
    kind, state = driver.kind, driver.state
    assert driver.replayed() == state
    assert kind.decode_state(kind.format, kind.encode_state(state)) == state
    row: dict[str, Any] = {}
    for each in driver.rows:
        row |= each.values
    mean = state.ratings.mean
    assert row == kind.snapshot(state, driver.context()) | {"wasm_module_data": MODULE, "effectiveness_rating": mean}
    assert row.keys() == TABLES["sacred_rituals"].columns
    assert [each for each in driver.rows if "wasm_module_data" in each.values] == driver.rows[:1]


def test_the_recorded_history_replays() -> None:
    assert_replays(RitualKind(), HISTORY.read_bytes())


def test_the_recorded_history_has_every_event() -> None:
    recorded = {event["type"] for event in msgspec.json.decode(HISTORY.read_bytes())["events"]}
    written = {event["type"] for event in msgspec.json.decode(msgspec.json.encode(record(whole_life())))["events"]}
    assert recorded == written
    assert len(recorded) == 5


def whole_life() -> Driver:
    """A ritual to which everything happens. ``histories/ritual.json`` is the first version's record."""
    driver = uploaded(required_archetypes=["Shadow"], energy_requirements={"fire": 0.25}, module_language="wat")
    driver.wait(60)
    driver.do(c.Edit(name="Ascent", tradition="alchemical", is_public=True), AUTHOR)
    driver.do(c.RecordUse(run=uuid(5)))
    driver.do(rate(2, 9))
    driver.do(c.RecordUse(run=uuid(6)))
    driver.do(rate(3, 4))
    driver.do(rate(2, 6, version=2))
    driver.wait(60)
    driver.do(c.Withdraw(), AUTHOR)
    return driver

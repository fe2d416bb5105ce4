from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.errors import BadRequest, Conflict, Forbidden
from server.ws.session import WINDOW, Identity, MinuteCount, RequestLedger, SessionKeys, TokenBucket

KEYS = SessionKeys(b"secret")
ALICE, BOB = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
MINE = Identity(uuid=str(uuid.UUID(int=9)), practitioner=ALICE, expires_s=1000, guest=False)
GUEST = Identity(uuid=str(uuid.UUID(int=8)), practitioner=BOB, expires_s=1000, guest=True)


def test_a_session_string_says_who_and_until_when() -> None:
    assert KEYS.read(KEYS.sign(MINE), 999) == MINE
    assert KEYS.sign(MINE).startswith(MINE.uuid + ".")


def test_an_expired_session_and_what_is_none_are_no_session() -> None:
    assert KEYS.read(KEYS.sign(MINE), 1000) is None
    for none in (
        "",
        "x",
        MINE.uuid,
        f"{MINE.uuid}.",
        f"{MINE.uuid}.!!",
        f"{MINE.uuid}.AAAA",
        "." + KEYS.sign(MINE)[37:],
        "é.é",
    ):
        assert KEYS.read(none, 0) is None


@given(st.integers(0, 95), st.sampled_from("ABCabc019_-f"))
def test_a_changed_session_is_never_taken_for_a_good_one(at: int, char: str) -> None:
    good = KEYS.sign(MINE)
    changed = good[: at % len(good)] + char + good[at % len(good) + 1 :]
    if changed == good:
        return
    try:
        read = KEYS.read(changed, 0)
    except Forbidden:
        return
    assert read in (None, MINE), "the last character has bits to spare"


def test_a_session_of_another_cluster_is_forbidden() -> None:
    with pytest.raises(Forbidden):
        SessionKeys(b"other").read(KEYS.sign(MINE), 0)


def test_an_account_resumes_its_own_session_only() -> None:
    assert KEYS.resume_account(KEYS.sign(MINE), ALICE, 0) == MINE
    with pytest.raises(Forbidden):
        KEYS.resume_account(KEYS.sign(MINE), BOB, 0)
    with pytest.raises(Forbidden):
        KEYS.resume_account(KEYS.sign(GUEST), BOB, 0)


def test_a_guest_resumes_with_its_secret_and_name_only() -> None:
    secret = KEYS.guest_secret(GUEST, "Gaia")
    assert KEYS.resume_guest(KEYS.sign(GUEST), secret, "Gaia", 0) == GUEST
    for wrong_secret, name in ((None, "Gaia"), ("", "Gaia"), (secret, "Maia"), (secret[:-2], "Gaia"), ("é", "Gaia")):
        with pytest.raises(Forbidden):
            KEYS.resume_guest(KEYS.sign(GUEST), wrong_secret, name, 0)
    with pytest.raises(Forbidden):
        KEYS.resume_guest(KEYS.sign(MINE), KEYS.guest_secret(MINE, "Gaia"), "Gaia", 0)
    assert KEYS.resume_guest(KEYS.sign(GUEST), secret, "Gaia", 2000) is None


class Model:
    """The ledger as its rule says: every id within the window of the highest, with its digest."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.highest = 0

    def admit(self, request_id: int, digest: int) -> type[Exception] | None:
        if self.highest and request_id <= self.highest - WINDOW:
            return BadRequest
        if self.seen.get(request_id, digest) != digest:
            return Conflict
        self.seen[request_id] = digest
        self.highest = max(self.highest, request_id)
        return None


STEPS = [1, 1, 1, 1, 2, 15, 16, 17, 100, 1023, 1024, 1025, 5000, -1, -2, -16, -1000, -1023, -1024]


@given(st.integers(1, 3000), st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 3)), max_size=200))
def test_the_ledger_answers_as_its_rule_says(first: int, steps: list[tuple[int, int]]) -> None:
    ledger, model, at = RequestLedger(), Model(), first
    for step, digest in [(0, 1), *steps]:
        at = max(1, model.highest + step if step > 0 else at + step if step else at)
        expected = model.admit(at, digest)
        try:
            ledger.admit(at, digest)
            got: type[Exception] | None = None
        except (BadRequest, Conflict) as failure:
            got = type(failure)
        assert got is expected, (at, digest, model.highest)


def test_the_ledger_of_a_quiet_socket_is_small() -> None:
    ledger = RequestLedger()
    for request_id in range(7, 20):
        ledger.admit(request_id, 5)
    assert ledger._ring is not None
    assert len(ledger._ring) == 16
    for request_id in range(20, 5000):
        ledger.admit(request_id, 5)
    assert len(ledger._ring) == WINDOW


def test_negative_hashes_are_digests_too() -> None:
    ledger = RequestLedger()
    ledger.admit(1, -5)
    ledger.admit(1, -5)
    with pytest.raises(Conflict):
        ledger.admit(1, -6)


def test_a_bucket_gives_the_burst_then_the_rate() -> None:
    bucket = TokenBucket(3, 0.0)
    assert [bucket.take(0.0, 2, 3) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5, 2, 3) for _ in range(2)] == [True, False]
    assert [bucket.take(100.0, 2, 3) for _ in range(4)] == [True, True, True, False]


def test_what_counts_as_several_is_let_in_while_there_is_one_left_and_paid_for_after() -> None:
    bucket = TokenBucket(3, 0.0)
    assert bucket.take(0.0, 1, 3, 2)
    assert bucket.take(0.0, 1, 3, 3)
    assert not bucket.take(2.9, 1, 3)
    assert bucket.refused
    assert bucket.take(3.0, 1, 3)
    assert not bucket.refused


def test_the_tenth_within_a_minute_counts_and_older_ones_do_not() -> None:
    count = MinuteCount()
    assert [count.add(float(n), 10) for n in range(10)] == [False] * 9 + [True]
    count = MinuteCount()
    assert not any(count.add(n * 7.0, 10) for n in range(100))

"""What a guest says is judged: names, numbers, logs, new states."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from actors.practitioner.archetypal_state import ENTRIES_MAX, ArchetypalState, check
from actors.ritual.abi_values import (
    LOG_BYTES,
    LOG_CHARACTERS,
    LOG_LINES,
    Chance,
    Log,
    RunFailure,
    check_name,
    draft_of_result,
    draft_of_state,
    shown,
    strength,
    text_of,
)

BEFORE = ArchetypalState(archetypes={"Shadow": 0.5}, energies={"Fire": 0.25}, symbols=("Mirror",))


@given(st.floats())
def test_a_strength_ends_in_bounds_or_fails(value: float) -> None:
    clamped: dict[str, None] = {}
    if not math.isfinite(value):
        with pytest.raises(RunFailure, match="finite"):
            strength(value, "archetypes.Shadow", clamped)
        return
    assert strength(value, "archetypes.Shadow", clamped) == min(max(value, 0.0), 1.0)
    assert bool(clamped) == (not 0 <= value <= 1)


def test_minus_zero_is_zero() -> None:
    assert math.copysign(1, strength(-0.0, "archetypes.Shadow", {})) == 1


def test_texts_lose_the_nuls_that_follow_them() -> None:
    assert text_of("Schatten é".encode() + b"\0\0", "here") == "Schatten é"
    with pytest.raises(RunFailure, match=r"here: the text is not valid UTF-8 \(byte 1 of 2\)"):
        text_of(b"a\xff", "here")


@pytest.mark.parametrize(("name", "says"), [("", "empty"), ("x" * 101, "101 characters"), ("a\0b", r"U\+0000")])
def test_a_name_that_cannot_be_one_fails(name: str, says: str) -> None:
    with pytest.raises(RunFailure, match=says):
        check_name(name, "here")


@given(st.text())
def test_what_is_shown_is_short_and_printable(name: str) -> None:
    assert shown(name).isprintable()
    assert len(shown(name)) <= 81


def test_a_log_is_cut_in_both_directions_and_says_so() -> None:
    log = Log()
    log.add("a\0b")
    log.add("x" * (LOG_CHARACTERS + 1))
    for _ in range(LOG_LINES):
        log.add("y")
    assert log.lines[0] == "a\N{REPLACEMENT CHARACTER}b"
    assert log.lines[1] == "x" * LOG_CHARACTERS + "…"
    assert len(log.lines) == LOG_LINES + 1
    assert log.lines[-1] == "[2 more lines were left out]"


@given(st.text(min_size=LOG_BYTES, max_size=LOG_BYTES, alphabet="aé€😀"))
def test_a_log_line_cut_within_a_character_loses_that_one(line: str) -> None:
    log = Log()
    log.add_raw(line.encode()[:LOG_BYTES], True, "codex.log")
    assert log.lines == (line[: min(LOG_CHARACTERS, len(line.encode()[:LOG_BYTES].decode(errors="ignore")))] + "…",)


def test_a_log_line_that_is_not_utf8_fails() -> None:
    for cut in (False, True):
        with pytest.raises(RunFailure, match="UTF-8"):
            Log().add_raw(b"a\xffbcdefgh", cut, "codex.log")


def test_chance_is_the_stream_that_is_documented() -> None:
    chance = Chance("run")
    block = hashlib.sha256(b"sangha.chance" + b"run" + bytes(8)).digest()
    expected = [(int.from_bytes(block[at : at + 8], "little") >> 11) / 2**53 for at in (0, 8, 16, 24)]
    assert [chance.next() for _ in range(4)] == expected
    assert chance.next() != Chance("run").next()


@given(st.text(max_size=40))
def test_chance_lies_in_the_unit_interval(run: str) -> None:
    chance = Chance(run)
    assert all(0 <= chance.next() < 1 for _ in range(20))


def test_what_a_new_state_leaves_out_stays() -> None:
    draft = draft_of_state(b'{"symbols":["Mirror","Key","Key"]}', BEFORE, "it")
    assert draft.state == structs.replace(BEFORE, symbols=("Mirror", "Key", "Key"))
    assert draft.emerged_symbols == ("Key",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"archetypes":{"Shadow":NaN}}', "is not JSON"),
        ('{"archetypes":{"":1}}', "archetypes: the name is empty"),
        ('{"archetypes":{"Shadow":true}}', "archetypes"),
        ('{"archetypes":[]}', "archetypes"),
        ('{"symbols":[1]}', "symbols"),
        ('{"shadows":{}}', "shadows"),
        ("[]", "Expected an object"),
        (json.dumps({"symbols": ["x"] * (ENTRIES_MAX + 1)}), "257 entries"),
        (json.dumps({"transformations": ["x" * 101]}), "101 characters"),
        ("[" * 5_000, "it"),
    ],
)
def test_a_new_state_that_is_none_fails_and_says_where(text: str, says: str) -> None:
    with pytest.raises(RunFailure) as failure:
        draft_of_state(text.encode(), BEFORE, "it")
    assert says in failure.value.message
    assert failure.value.code == "ritual_failed"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["archetypes", "energies", "integrations", "symbols", "transformations", "other"])


@given(st.dictionaries(fields, json_values, max_size=4))
def test_any_json_becomes_a_valid_state_or_a_failure(value: dict[str, object]) -> None:
    with contextlib.suppress(RunFailure):
        check(draft_of_result(json.dumps({"state": value}).encode(), BEFORE, Log(), "it").state)


@given(st.binary(max_size=60))
def test_any_bytes_become_a_state_or_a_failure(text: bytes) -> None:
    with contextlib.suppress(RunFailure):
        check(draft_of_state(text, BEFORE, "it").state)

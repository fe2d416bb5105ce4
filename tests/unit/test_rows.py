"""A row as it is kept, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.pool import BadValue
from storage.rows import TEXT_MARK, kept, opened
from storage.seal import CannotUnseal, Sealer, Unsealed, to_text

SEAL = Sealer(b"k" * 32)
TABLE = "ritual_sessions"
TEXTS = st.one_of(st.text(), st.text().map(lambda text: TEXT_MARK + text), st.just(TEXT_MARK + to_text(b"\1x")))


@given(
    text=TEXTS,
    result=st.one_of(st.dictionaries(st.text(), st.floats(0, 1)), st.text(), st.just(to_text(b"\1x")), st.just(True)),
    seal=st.sampled_from([SEAL, None]),
)
def test_what_is_kept_is_opened_as_it_was(text: str, result: Any, seal: Sealer | None) -> None:
    row = {"id": "1", "status": "running", "intention": text, "error_message": None, "result": result}
    stored = kept(row, TABLE, seal)
    assert opened(stored, TABLE, SEAL) == row
    assert stored["status"] == "running"
    if seal is not None:
        assert stored["intention"].startswith(TEXT_MARK)
        assert isinstance(stored["result"], str)
        with pytest.raises(CannotUnseal):
            opened(stored, TABLE, Unsealed())


@pytest.mark.parametrize("column", ["intention", "result"])
def test_an_envelope_does_not_open_in_another_column_or_row(column: str) -> None:
    stored = kept({"id": "1", "intention": "x", "ai_interpretation": "y", "result": {}, "parameters": {}}, TABLE, SEAL)
    moved = {"intention": "ai_interpretation", "result": "parameters"}[column]
    for strange in ({"id": "1", moved: stored[column]}, {"id": "2", column: stored[column]}):
        with pytest.raises(CannotUnseal):
            opened(strange, TABLE, SEAL)


def test_columns_that_are_not_there_are_not_made() -> None:
    assert kept({"id": "1"}, TABLE, SEAL) == {"id": "1"}
    assert opened({"id": "1"}, TABLE, SEAL) == {"id": "1"}


def test_json_that_is_text_already_comes_as_raw_and_not_as_bytes() -> None:
    raw: dict[str, Any] = {"id": "1", "parameters": msgspec.Raw(b'{"a":1}')}
    assert opened(kept(raw, TABLE, SEAL), TABLE, SEAL)["parameters"] == {"a": 1}
    raw["parameters"] = msgspec.Raw(b' "a"')
    assert opened(kept(raw, TABLE, None), TABLE, SEAL)["parameters"] == "a"
    for column in ("parameters", "intention"):
        with pytest.raises(BadValue):
            kept({"id": "1", column: b"{}"}, TABLE, SEAL)


def test_a_text_that_was_tampered_with_is_said_to_be_so() -> None:
    for text in ("sealed:no base64", "sealed:" + to_text(b"strange")):
        with pytest.raises(CannotUnseal):
            opened({"id": "1", "intention": text}, TABLE, SEAL)

"""What the driver's errors mean, and what JSON may hold."""

from __future__ import annotations

import asyncpg
import msgspec
import pytest

from actors.runtime.ports import StoreDown
from storage.pool import BadValue, UnusableDatabase, Verdict, encode_json, refuse_unusable, translated, verdict


def server_error(sqlstate: str, severity: str = "ERROR") -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("said the server")
    error.sqlstate = sqlstate
    error.severity_en = severity
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (server_error("SG001"), Verdict.FENCED),
        (server_error("23505"), Verdict.DATA),
        (server_error("22P05"), Verdict.DATA),
        (server_error("53100"), Verdict.REFUSED),
        (server_error("57014"), Verdict.REFUSED),
        (server_error("40P01"), Verdict.REFUSED),
        (server_error("53100", "PANIC"), Verdict.GONE),
        (server_error("XX000", "FATAL"), Verdict.GONE),
        (server_error("57P01", "FATAL"), Verdict.GONE),
        (server_error("57P02"), Verdict.GONE),
        (server_error("57P03"), Verdict.GONE),
        (server_error("08006"), Verdict.GONE),
        (asyncpg.ConnectionDoesNotExistError("lost"), Verdict.GONE),
        (asyncpg.InterfaceError("closed"), Verdict.GONE),
        (asyncpg.DataError("invalid input for query argument"), Verdict.DATA),
        (ConnectionResetError(), Verdict.GONE),
        (TimeoutError(), Verdict.GONE),
    ],
    ids=repr,
)
def test_only_an_error_of_the_server_says_that_nothing_happened(error: Exception, expected: Verdict) -> None:
    assert verdict(error) is expected


def test_errors_are_translated_with_their_cause() -> None:
    lost, bad = ConnectionResetError(), server_error("22P02")
    with pytest.raises(StoreDown) as down, translated():
        raise lost
    assert down.value.__cause__ is lost
    with pytest.raises(BadValue) as refused, translated():
        raise bad
    assert refused.value.__cause__ is bad


class Of(msgspec.Struct):
    value: float


@pytest.mark.parametrize(
    "bad",
    [
        float("nan"),
        {"a": [1, (float("inf"),)]},
        {"a": object()},
        {1.5: None, "x": {2, object()}},
        {"a": Of(float("nan"))},
    ],
)
def test_what_is_not_json_is_a_bad_value(bad: object) -> None:
    with pytest.raises(BadValue):
        encode_json(bad)


def test_json_already_made_is_kept_as_it_is() -> None:
    assert encode_json({"a": msgspec.Raw(b'{"b": null}')}) == b'{"a":{"b": null}}'


def test_an_old_or_careless_server_is_refused() -> None:
    refuse_unusable(150_000, "on")
    with pytest.raises(UnusableDatabase, match="14"):
        refuse_unusable(140_012, "on")
    with pytest.raises(UnusableDatabase, match="fsync"):
        refuse_unusable(180_000, "off")

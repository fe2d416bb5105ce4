"""``sangha token``, of what the server would answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from server import cli_token
from server.cli import app

ROWS = [
    {"id": "0193abcd-0000-7000-8000-00000000000" + end, "service": "eustress", "name": "an engine\x1b[2J",
     "created_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z"}
    for end in "12"
] + [{"id": "f00dcafe-0000-7000-8000-000000000003", "service": "eustress", "name": None,
      "created_at": "2026-01-01T00:00:00Z", "expires_at": "2027-01-01T00:00:00Z"}]  # fmt: skip


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the command asks of its server."""
    made: list[tuple[str, str]] = []

    def ask(_settings: Any, _port: int | None, method: str, path: str, **_options: Any) -> Any:
        made.append((method, path))
        return ROWS if method == "GET" else None

    monkeypatch.setattr(cli_token, "ask_admin", ask)
    return made


def told(*words: str) -> Result:
    return CliRunner().invoke(app, ["token", *words], env={"COLUMNS": "30"})


def test_a_list_has_whole_ids_and_steers_no_terminal() -> None:
    lines = told("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [row["id"] for row in ROWS]
    assert "\x1b" not in lines[0]


def test_a_list_as_json_has_all_of_it() -> None:
    assert orjson.loads(told("--list", "--json").stdout) == ROWS


@pytest.mark.parametrize("given", ["f00dca", "F00DCAFE-0000", ROWS[2]["id"]])
def test_a_token_is_revoked_by_how_its_id_begins(given: str, asked: list[tuple[str, str]]) -> None:
    assert told("--revoke", given).exit_code == 0
    assert asked[-1] == ("DELETE", f"/api/admin/tokens/{ROWS[2]['id']}")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("0193ab", "2 tokens"),
        ("ffffff", "no token"),
        ("f00dc", "is no id"),
        ("../../users", "is no id"),
        ("", "is no id"),
    ],
)
def test_what_names_no_token_or_many_revokes_none(given: str, why: str, asked: list[tuple[str, str]]) -> None:
    result = told("--revoke", given)
    assert result.exit_code == 2
    assert why in result.stderr
    assert "DELETE" not in [method for method, _ in asked]


@pytest.mark.parametrize("words", ["--json", "--list --revoke f00dca", "--revoke f00dca --name x", "--list --days 1"])
def test_options_that_do_not_go_together_are_refused(words: str, asked: list[tuple[str, str]]) -> None:
    result = told(*words.split())
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert not asked

"""The migrations' files."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage import migrate
from storage.migrate import migrations
from storage.statements import SQL_DIR, statement


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize("names", [["0002_b.sql"], ["0001_a.sql", "0003_c.sql"], ["0001_a.sql", "notes.txt"]])
def test_a_gap_or_a_strange_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: list[str]) -> None:
    (tmp_path / "migrations").mkdir()
    for name in names:
        (tmp_path / "migrations" / name).write_text("SELECT 1")
    monkeypatch.setattr(migrate, "SQL_DIR", tmp_path)
    with pytest.raises(ValueError, match="migration"):
        migrations()


def test_every_statement_says_what_it_is_for_or_is_one_line() -> None:
    for path in SQL_DIR.rglob("*.sql"):
        text = path.read_text()
        assert text.startswith("-- ") or text.count("\n") == 1, path


def test_a_statement_is_found_by_its_name() -> None:
    assert "layouts" in statement("cluster/layouts")

"""SQL texts by name: every statement lives in ``storage/sql``, none in Python."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

SQL_DIR: Final = Path(__file__).parent / "sql"


@cache
def statement(name: str) -> str:
    """The text of ``storage/sql/<name>.sql``."""
    return (SQL_DIR / f"{name}.sql").read_text(encoding="utf-8")

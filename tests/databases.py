"""Names of databases on the tests' server."""

from __future__ import annotations


def dsn_of(dsn: str, database: str) -> str:
    """The same server, another database."""
    return dsn.replace("/postgres?", f"/{database}?")

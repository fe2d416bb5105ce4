"""Measurements of a running server (start it with ``--guests --lab``): each module has an async ``run`` that prints a table
and returns the same figures as a dict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def show(console: Console | None, title: str, figures: Mapping[str, Any]) -> None:
    """Print figures as a table, where there is a console."""
    if console is None:
        return
    table = Table(title=title, show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), "-" if value is None else f"{value:,}" if _number(value) else str(value))
    console.print(table)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

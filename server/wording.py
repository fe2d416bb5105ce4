"""Counts as people say them."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """A number with what is counted, in the singular as given: ``1 entity``, ``1,234 entities``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"

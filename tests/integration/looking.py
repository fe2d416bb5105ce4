"""Looks for words in a database and in files, as somebody would who got hold of a disk."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg

from storage.tables import TABLES


def disguises(word: str) -> Iterator[bytes]:
    """The word as text, in hex, and within base64 at each of the three places where it may begin."""
    plain = word.encode()
    yield plain
    yield plain.hex().encode()
    for skipped in range(3):
        whole = b64encode(bytes(skipped) + plain + bytes(-(skipped + len(plain)) % 3))
        yield whole[4 if skipped else 0 : len(whole) - 4]


async def cells(connection: asyncpg.Connection) -> AsyncIterator[tuple[str, bytes]]:
    """Every value of every column of every table, with its place."""
    tables = await connection.fetch(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    assert {row["table_name"] for row in tables} >= {*TABLES, "journal", "checkpoints"}
    for (table,) in tables:
        for row in await connection.fetch(f'SELECT * FROM "{table}"'):
            for column, value in row.items():
                yield f"{table}.{column}", value if isinstance(value, bytes) else str(value).encode()


async def places(dsn: str, *words: str) -> dict[str, set[str]]:
    """Where in the database each of the words is."""
    looked_for = {word: tuple(disguises(word)) for word in words}
    found: dict[str, set[str]] = {word: set() for word in words}
    connection = await asyncpg.connect(dsn)
    try:
        async for place, value in cells(connection):
            for word, forms in looked_for.items():
                if any(form in value for form in forms):
                    found[word].add(place)
    finally:
        await connection.close()
    return found


def files_with(root: Path, *words: str) -> dict[str, set[Path]]:
    """The files below a directory that have a word as plain text, by word. Others may write and remove them meanwhile."""
    found: dict[str, set[Path]] = {}
    for path in root.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_symlink() or not path.is_file():
                continue
            content = path.read_bytes()
            for word in words:
                if word.encode() in content:
                    found.setdefault(word, set()).add(path)
    return found

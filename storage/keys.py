"""Whether the keys that we were given are those of this database."""

from __future__ import annotations

import asyncpg

from storage.pool import translated
from storage.seal import Seal, Unsealed, from_text
from storage.statements import statement


async def check_keys(connection: asyncpg.Connection, seal: Seal | None) -> None:
    """Raises CannotUnseal where the database was sealed with a key that is not among ours, StoreDown."""
    opened = seal or Unsealed()
    with translated():
        rows = await connection.fetch(statement("queries/sealed_profiles"))
    for row in rows:
        opened.unseal(from_text(row["envelope"]), "practitioners.archetypal_preferences", str(row["id"]), 0)

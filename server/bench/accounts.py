"""Accounts for a load: rituals transform practitioners, and guests are none."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from server.client import register

AT_ONCE: Final = 8
"""Registrations under way: each costs the server an Argon2 hash."""


async def tokens_of_new_accounts(url: str, count: int) -> list[str]:
    """The tokens of so many new accounts (``--lab`` lifts the limit of registrations). Raises ClientError."""
    tag, gate = secrets.token_hex(4), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        email, password = f"bench-{tag}-{number}@example.org", secrets.token_urlsafe(16)
        async with gate:
            opened = await register(url, email, password, spiritual_name=f"bench {number}", privacy_level="community")
        token: str = opened["token"]
        return token

    return list(await asyncio.gather(*map(one, range(count))))

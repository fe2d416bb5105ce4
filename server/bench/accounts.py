"""Accounts for a load: rituals transform practitioners, and guests are none."""

from __future__ import annotations

import asyncio
import secrets
from ssl import SSLContext
from typing import Final

from server.client import register

AT_ONCE: Final = 8
"""Registrations under way: each costs the server an Argon2 hash."""


async def tokens_of_new_accounts(url: str, count: int, *, verify: SSLContext | bool = True) -> list[str]:
    """The tokens of so many new accounts (``--lab`` lifts the limit of registrations). Raises ClientError.

    ``verify``: what the server's certificate is checked with, as ``register`` has it.
    """
    tag, gate = secrets.token_hex(4), asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> str:
        email, password = f"bench-{tag}-{number}@example.org", secrets.token_urlsafe(16)
        async with gate:
            about = {"spiritual_name": f"bench {number}", "privacy_level": "community"}
            opened = await register(url, email, password, verify=verify, **about)
        token: str = opened["token"]
        return token

    return list(await asyncio.gather(*map(one, range(count))))

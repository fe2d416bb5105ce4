"""Bearer tokens: opaque, random (or derived, so that a retried registration gives the same one), stored only as a hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets


def new() -> str:
    """A token nobody can guess: 256 random bits."""
    return secrets.token_urlsafe(32)


def derived(secret: bytes, operation: str) -> str:
    """The token of an operation that has an idempotency key: the same for each retry, unguessable without the secret."""
    mac = hmac.digest(secret, b"sangha token " + operation.encode(), "sha256")
    return base64.urlsafe_b64encode(mac).decode().rstrip("=")


def salt(secret: bytes, operation: str) -> bytes:
    """A password salt that is the same for each retry of an operation, so that the command is the same too."""
    return hmac.digest(secret, b"sangha salt " + operation.encode(), "sha256")[:16]


def random_salt(size: int) -> bytes:
    """A salt for a password that is hashed once."""
    return secrets.token_bytes(size)


def hashed(token: str) -> bytes:
    """What is stored of a token. A plain SHA-256 is enough: the token has 256 random bits, there is nothing to guess."""
    return hashlib.sha256(token.encode()).digest()

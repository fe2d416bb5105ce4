"""Sealing: practitioners' payloads at rest, AES-256-GCM.

An envelope is ``0x01 | key id (8) | nonce (12) | ciphertext and tag (16)``. No JSON text begins with 0x01, so an envelope
and a row from before sealing was turned on are told apart by their first byte; the latter passes through. Its place (table and
column, id, seq) is the associated data: an envelope moved to another row does not open. What this does not prevent: whoever
may write to the database can put an unsealed row in a sealed one's place.

Nonces are random; NIST SP 800-38D allows 2^32 seals with one key (then ``rekey``).
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable
from hashlib import sha256
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.runtime.ports import Unreadable

VERSION: Final = b"\x01"
KEY_BYTES: Final = 32
KEY_ID_BYTES: Final = 8
NONCE_BYTES: Final = 12
HEADER_BYTES: Final = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES


class CannotUnseal(Unreadable):
    """The envelope does not open: its key is not among ours, or it is not the one that was put there."""


class Seal(Protocol):
    """How payloads are kept."""

    def seal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """As the payload is stored there."""

    def unseal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """The payload that was stored there. Raises CannotUnseal."""


class Sealer:
    """Seals with ``key``, opens what ``key`` or any of ``old_keys`` sealed. Keys are 32 bytes."""

    def __init__(self, key: bytes, old_keys: Iterable[bytes] = ()) -> None:
        self._key_id = _key_id(key)
        self._ciphers = {_key_id(any_key): AESGCM(_checked(any_key)) for any_key in (*old_keys, key)}

    def seal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """The envelope."""
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._key_id].encrypt(nonce, data, _place(table, row_id, seq))
        return VERSION + self._key_id + nonce + sealed

    def unseal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """What the envelope holds; data that is no envelope comes back as it is."""
        if not is_sealed(data):
            return data
        cipher = self._ciphers.get(data[1 : 1 + KEY_ID_BYTES])
        if cipher is None:
            raise CannotUnseal(f"{table} {row_id} {seq} is sealed with a key that is not configured")
        try:
            return cipher.decrypt(
                data[HEADER_BYTES - NONCE_BYTES : HEADER_BYTES], data[HEADER_BYTES:], _place(table, row_id, seq)
            )
        except (InvalidTag, ValueError) as error:
            raise CannotUnseal(f"{table} {row_id} {seq}: the envelope was damaged or belongs elsewhere") from error

    @property
    def prefix(self) -> bytes:
        """How envelopes of the newest key begin: 9 bytes, which are 12 characters in base64."""
        return VERSION + self._key_id

    @property
    def prefix_text(self) -> str:
        """The same as ``to_text`` has it."""
        return to_text(self.prefix)

    def current(self, data: bytes) -> bool:
        """Whether this is an envelope of the newest key, so that ``rekey`` can pass over it."""
        return data.startswith(self.prefix)


class Unsealed:
    """Keeps payloads as they are, and says so clearly where one turns out to be sealed."""

    def seal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """The data itself."""
        return data

    def unseal(self, data: bytes, table: str, row_id: str, seq: int) -> bytes:
        """The data itself."""
        if is_sealed(data):
            raise CannotUnseal(f"{table} {row_id} {seq} is sealed and no key is configured")
        return data


def is_sealed(data: bytes) -> bool:
    """Whether this is an envelope."""
    return data.startswith(VERSION)


def to_text(envelope: bytes) -> str:
    """The envelope as a jsonb column holds it: a JSON string's content."""
    return b64encode(envelope).decode()


def from_text(text: str) -> bytes:
    """The envelope from a jsonb column. Raises CannotUnseal."""
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise CannotUnseal("not an envelope") from error


def _checked(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
    return key


def _key_id(key: bytes) -> bytes:
    return sha256(b"sangha key id" + key).digest()[:KEY_ID_BYTES]


def _place(table: str, row_id: str, seq: int) -> bytes:
    return f"{table}\0{row_id}\0{seq}".encode()

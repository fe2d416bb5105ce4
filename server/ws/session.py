"""A session: who speaks, what of it can be resumed, which request ids are retries, and how much it may ask.

**The session string** is opaque to clients: ``<uuid>.<base64url of practitioner(16) expires_s(5) flags(1) mac(16)>``, the mac
an HMAC-SHA256 (cut to 16 bytes) under the cluster's secret. Any gateway can check it, so nothing about sessions is stored.
Operation ids use the uuid alone. A guest's *secret* is another HMAC over uuid, practitioner, expiry and name: whoever has
it is that guest again. A string of another shape is no session (the client gets a new one); one of the right shape with a
wrong mac, or another practitioner's, is ``forbidden``.

**Request ids** count upward. The ledger keeps the last ``WINDOW`` of them with a digest of their request: the same id with
another request is ``conflict``, an older id is ``bad_request``. Whether a retry was done before is the entity's to know.

Pure: times, ids and randomness come as arguments.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import uuid
from array import array
from typing import Final

import msgspec

from actors.runtime.errors import BadRequest, Conflict, Forbidden

WINDOW: Final = 1024
"""Request ids below the highest that may be retried; part of the protocol."""
_FIRST_RING: Final = 16
"""Most sockets send a handful of requests: their ring stays at 128 bytes."""
_MAC_BYTES: Final = 16
_PAYLOAD_BYTES: Final = 16 + 5 + 1


class Identity(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a session string says."""

    uuid: str
    practitioner: str
    expires_s: int
    """Epoch seconds; from then on it cannot be resumed (and a guest ends)."""
    guest: bool


class SessionKeys:
    """Makes and checks session strings and guests' secrets."""

    def __init__(self, secret: bytes) -> None:
        """``secret`` is the cluster's; the keys are derived, so neither mac can stand in for another use of it."""
        self._session_key = hmac.digest(secret, b"sangha session", "sha256")
        self._guest_key = hmac.digest(secret, b"sangha guest", "sha256")

    def sign(self, identity: Identity) -> str:
        """The session string."""
        payload = _payload(identity)
        return f"{identity.uuid}.{_text(payload + self._mac(self._session_key, identity, payload))}"

    def guest_secret(self, identity: Identity, name: str) -> str:
        """What lets a guest resume."""
        return _text(self._mac(self._guest_key, identity, _payload(identity) + name.encode()))

    def read(self, session: str, now_s: float) -> Identity | None:
        """The identity of a session string; None where it is none or has expired. Raises Forbidden on a wrong mac."""
        name, _, rest = session.partition(".")
        try:
            raw = base64.urlsafe_b64decode(rest + "=" * (-len(rest) % 4))
            canonical = str(uuid.UUID(name)) == name
        except (ValueError, binascii.Error):
            return None
        if len(raw) != _PAYLOAD_BYTES + _MAC_BYTES or not canonical:
            return None
        payload, mac = raw[:_PAYLOAD_BYTES], raw[_PAYLOAD_BYTES:]
        identity = Identity(
            uuid=name,
            practitioner=str(uuid.UUID(bytes=payload[:16])),
            expires_s=int.from_bytes(payload[16:21], "big"),
            guest=payload[21] == 1,
        )
        if not hmac.compare_digest(mac, self._mac(self._session_key, identity, payload)):
            raise Forbidden("this session is not one of ours")
        return identity if identity.expires_s > now_s else None

    def resume_account(self, session: str, practitioner: str, now_s: float) -> Identity | None:
        """The account's earlier session; None where a new one is due. Raises Forbidden where it is another's."""
        identity = self.read(session, now_s)
        if identity is not None and (identity.guest or identity.practitioner != practitioner):
            raise Forbidden("this session is another practitioner's")
        return identity

    def resume_guest(self, session: str, secret: str | None, name: str, now_s: float) -> Identity | None:
        """The guest's earlier session; None where a new one is due. Raises Forbidden without its secret."""
        identity = self.read(session, now_s)
        if identity is None:
            return None
        given = (secret or "").encode()
        if not identity.guest or not hmac.compare_digest(given, self.guest_secret(identity, name).encode()):
            raise Forbidden("the secret does not fit this guest's session")
        return identity

    @staticmethod
    def _mac(key: bytes, identity: Identity, data: bytes) -> bytes:
        return hmac.digest(key, uuid.UUID(identity.uuid).bytes + data, "sha256")[:_MAC_BYTES]


def _payload(identity: Identity) -> bytes:
    return (
        uuid.UUID(identity.practitioner).bytes
        + identity.expires_s.to_bytes(5, "big")
        + (b"\1" if identity.guest else b"\0")
    )


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class RequestLedger:
    """Which request ids were used lately on this socket, and for what.

    A ring of digests, one slot an id counted from the first; it doubles while the ids have not yet wrapped around it.
    """

    __slots__ = ("_base", "_ring", "highest")

    def __init__(self) -> None:
        self.highest = 0
        self._base = 0
        self._ring: array[int] | None = None

    def admit(self, request_id: int, digest: int) -> None:
        """A request with a digest (any non-zero 64 bits). Raises Conflict, BadRequest."""
        ring = self._ring
        if ring is None:
            ring = self._ring = array("Q", bytes(8 * _FIRST_RING))
            self._base, self.highest = request_id, request_id - 1
        if request_id <= self.highest - WINDOW:
            raise BadRequest(f"id {request_id} is more than {WINDOW} below the highest")
        slot = request_id - self._base
        if not 0 <= slot < len(ring):
            self._grow(ring, slot)
        size = len(ring)
        digest &= 0xFFFF_FFFF_FFFF_FFFF
        if request_id > self.highest:
            for jumped in range(max(self.highest + 1, request_id - size + 1), request_id):
                ring[(jumped - self._base) % size] = 0
            self.highest = request_id
        elif ring[slot % size] not in (0, digest):
            raise Conflict(f"id {request_id} was used for another request")
        ring[slot % size] = digest

    @staticmethod
    def _grow(ring: array[int], slot: int) -> None:
        size = len(ring)
        if size < WINDOW:
            wanted = 2 * size if 0 <= slot < 2 * size else WINDOW
            ring.frombytes(bytes(8 * (wanted - size)))


class TokenBucket:
    """So many a second, so many at once."""

    __slots__ = ("_at", "_tokens", "refused")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._at = now
        self.refused = False  # the last one

    def take(self, now: float, per_s: float, burst: float, cost: int = 1) -> bool:
        """One more, which may count as several; False where there is none left. The rate is the caller's: a bucket is small."""
        tokens = min(burst, self._tokens + (now - self._at) * per_s)
        self._at = now
        self.refused = tokens < 1
        self._tokens = tokens if self.refused else tokens - cost
        return not self.refused


class MinuteCount:
    """How often something happened within the last sixty seconds, up to a limit."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times: list[float] = []

    def add(self, now: float, limit: int) -> bool:
        """Once more; True where that makes ``limit`` within a minute."""
        self._times = [*(at for at in self._times if now - at < 60), now][-limit:]
        return len(self._times) >= limit


def space_id_of(operation: str) -> str:
    """The id of the space that an operation creates."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, operation))

"""How the two ends of a link prove to each other that they belong to one cluster: an HMAC over both nonces, each way.

    client → Hello(version, cluster, role, incarnation, nonce_c)
    server → Challenge(version, cluster, kind, shard, epoch, nonce_s, mac)    mac = HMAC(secret, "shard" ‖ all of both)
    client → Proof(mac)                                                       mac = HMAC(secret, "asker" ‖ all of both)

The two directions sign different words, so that neither can be answered with the other's reflection. Pure.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

import msgspec

from actors.runtime.wire import VERSION

NONCE_BYTES: Final = 16
MAX_HANDSHAKE_BYTES: Final = 4096
"""A stranger who reaches the port can make us buffer this much and no more."""


class HandshakeFailed(Exception):
    """The peer is not of this cluster, not of this version, or not whom we asked for."""


class Hello(msgspec.Struct, frozen=True, array_like=True, tag=100):
    """The client's first word. ``name`` is unique a process's life (a gateway's incarnation)."""

    version: int
    cluster: str
    name: str
    nonce: bytes


class Challenge(msgspec.Struct, frozen=True, array_like=True, tag=101):
    """The shard's answer: who it is, its epoch, and the proof that it knows the secret."""

    version: int
    cluster: str
    kind: str
    shard: str
    epoch: int
    nonce: bytes
    mac: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True, tag=102):
    """The client's proof."""

    mac: bytes


encode: Final = msgspec.msgpack.Encoder().encode


def _mac(secret: bytes, word: bytes, hello: Hello, challenge: Challenge) -> bytes:
    unsigned = msgspec.structs.replace(challenge, mac=b"")
    return hmac.new(secret, word + encode(hello) + encode(unsigned), sha256).digest()


def challenge(
    secret: bytes, hello: Hello, *, cluster: str, kind: str, shard: str, epoch: int, nonce: bytes
) -> Challenge:
    """The shard's answer to a Hello. Raises HandshakeFailed."""
    if hello.version != VERSION or hello.cluster != cluster or len(hello.nonce) != NONCE_BYTES:
        raise HandshakeFailed("another version or cluster")
    unsigned = Challenge(VERSION, cluster, kind, shard, epoch, nonce, b"")
    return msgspec.structs.replace(unsigned, mac=_mac(secret, b"shard", hello, unsigned))


def prove(secret: bytes, hello: Hello, answer: Challenge, *, kind: str, shard: str) -> Proof:
    """The client's answer to a Challenge. Raises HandshakeFailed where the shard is not the one asked for."""
    if answer.version != VERSION or answer.cluster != hello.cluster or (answer.kind, answer.shard) != (kind, shard):
        raise HandshakeFailed(f"expected {kind}/{shard}, met {answer.kind}/{answer.shard}")
    if not hmac.compare_digest(answer.mac, _mac(secret, b"shard", hello, answer)):
        raise HandshakeFailed("the shard does not know the secret")
    return Proof(_mac(secret, b"asker", hello, answer))


def verify(secret: bytes, hello: Hello, sent: Challenge, proof: Proof) -> None:
    """Raises HandshakeFailed where the client does not know the secret."""
    if not hmac.compare_digest(proof.mac, _mac(secret, b"asker", hello, sent)):
        raise HandshakeFailed("the asker does not know the secret")

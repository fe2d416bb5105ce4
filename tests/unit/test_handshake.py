"""The handshake: every single thing that can be wrong in it is noticed by the side that must notice it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actors.runtime.handshake import Challenge, HandshakeFailed, Hello, Proof, challenge, prove, verify
from actors.runtime.wire import VERSION

SECRET = b"s" * 32
HELLO = Hello(VERSION, "c", "gateway-1", b"n" * 16)


def _challenge(secret: bytes = SECRET, hello: Hello = HELLO, **changes: Any) -> Challenge:
    made = {"cluster": "c", "kind": "space", "shard": "3", "epoch": 7, "nonce": b"m" * 16, **changes}
    return challenge(secret, hello, **made)


def test_two_of_one_cluster_believe_each_other() -> None:
    sent = _challenge()
    verify(SECRET, HELLO, sent, prove(SECRET, HELLO, sent, kind="space", shard="3"))


@pytest.mark.parametrize(
    "hello",
    [
        Hello(VERSION + 1, "c", "g", b"n" * 16),
        Hello(VERSION, "other", "g", b"n" * 16),
        Hello(VERSION, "c", "g", b""),
        Hello(VERSION, "c", "g", b"n" * 17),
    ],
)
def test_a_hello_of_another_version_or_cluster_or_without_a_nonce_is_refused(hello: Hello) -> None:
    with pytest.raises(HandshakeFailed):
        _challenge(hello=hello)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": VERSION + 1},
        {"cluster": "other"},
        {"kind": "practitioner"},
        {"shard": "4"},
        {"epoch": 8},
        {"nonce": b"x" * 16},
        {"mac": b""},
        {"mac": b"\0" * 32},
    ],
)
def test_a_challenge_changed_in_any_field_is_refused(changes: dict[str, Any]) -> None:
    forged = msgspec.structs.replace(_challenge(), **changes)
    with pytest.raises(HandshakeFailed):
        prove(SECRET, HELLO, forged, kind="space", shard="3")


@pytest.mark.parametrize(("kind", "shard"), [("space", "4"), ("practitioner", "3")])
def test_an_honest_shard_that_was_not_asked_for_is_refused(kind: str, shard: str) -> None:
    with pytest.raises(HandshakeFailed):
        prove(SECRET, HELLO, _challenge(), kind=kind, shard=shard)


def test_a_proof_fits_one_hello_one_challenge_one_secret_and_one_direction() -> None:
    sent = _challenge()
    proof = prove(SECRET, HELLO, sent, kind="space", shard="3")
    other_hello = msgspec.structs.replace(HELLO, nonce=b"o" * 16)
    for secret, hello, of in (
        (b"t" * 32, HELLO, sent),
        (SECRET, other_hello, sent),
        (SECRET, msgspec.structs.replace(HELLO, name="gateway-2"), sent),
        (SECRET, HELLO, _challenge(nonce=b"o" * 16)),
    ):
        with pytest.raises(HandshakeFailed):
            verify(secret, hello, of, proof)
    with pytest.raises(HandshakeFailed):  # our own mac, reflected
        verify(SECRET, HELLO, sent, Proof(sent.mac))


def test_a_shard_without_the_secret_is_refused() -> None:
    with pytest.raises(HandshakeFailed):
        prove(SECRET, HELLO, _challenge(secret=b"t" * 32), kind="space", shard="3")

from __future__ import annotations

import hashlib

from server import tokens


def test_tokens_differ_and_are_hashed() -> None:
    assert tokens.new() != tokens.new()
    assert tokens.hashed("t") == hashlib.sha256(b"t").digest()


def test_what_is_derived_depends_on_secret_and_operation_alone() -> None:
    assert tokens.derived(b"s", "op") == tokens.derived(b"s", "op")
    assert len({tokens.derived(b"s", "op"), tokens.derived(b"t", "op"), tokens.derived(b"s", "po")}) == 3
    assert len(tokens.derived(b"s", "op")) == 43
    assert tokens.salt(b"s", "op") == tokens.salt(b"s", "op") != tokens.salt(b"s", "po")
    assert len(tokens.salt(b"s", "op")) == len(tokens.random_salt(16)) == 16

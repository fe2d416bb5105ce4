"""Compressed bodies: what they hold, and not a byte more than the bound."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.errors import BadRequest, TooLarge
from server.http.encoding import PIECE_BYTES, Inflating, inflate

LIMIT = 4 * 2**20


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@given(st.binary(max_size=300))
def test_what_was_packed_comes_out(data: bytes) -> None:
    assert inflate(gzip.compress(data), "gzip", LIMIT) == data
    assert inflate(zlib.compress(data), "deflate", LIMIT) == data
    assert inflate(raw_deflate(data) or b"\x03\x00", "deflate", LIMIT) == data


@given(st.binary(max_size=100), st.sampled_from(["gzip", "deflate"]))
def test_garbage_is_a_bad_request(data: bytes, encoding: str) -> None:
    with suppress(BadRequest):
        inflate(data, encoding, LIMIT)


def test_the_bound_is_of_what_comes_out() -> None:
    for size, fits in ((LIMIT, True), (LIMIT + 1, False)):
        packed = gzip.compress(bytes(size))
        if fits:
            assert len(inflate(packed, "gzip", LIMIT)) == LIMIT
        else:
            with pytest.raises(TooLarge):
                inflate(packed, "gzip", LIMIT)


def test_an_end_that_is_missing_or_not_the_end_is_a_bad_request() -> None:
    packed = gzip.compress(b"some text")
    for wrong in (packed[:-1], packed + b"x", packed * 2, b""):
        with pytest.raises(BadRequest):
            inflate(wrong, "gzip", LIMIT)


def test_a_bomb_costs_no_more_than_the_bound() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    assert len(bomb) < LIMIT
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises(TooLarge):
        inflate(bomb, "gzip", LIMIT)
    spent, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * LIMIT
    assert spent < 1


# A body without a bound


def inflated(encoding: str, *parts: bytes) -> list[bytes]:
    inflating = Inflating(encoding)
    pieces = [piece for part in parts for piece in inflating.feed(part)]
    inflating.check_end()
    return pieces


@given(st.binary(max_size=300), st.integers(1, 9), st.integers(1, 400))
def test_what_comes_in_parts_comes_out_whole(data: bytes, size: int, repeated: int) -> None:
    data *= repeated
    for encoding, packed in (
        ("gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", raw_deflate(data)),
    ):
        pieces = inflated(encoding, *(packed[at : at + size] for at in range(0, len(packed), size)))
        assert b"".join(pieces) == data
        assert max(map(len, pieces), default=0) <= PIECE_BYTES


def test_a_bomb_comes_out_in_pieces() -> None:
    packed = gzip.compress(bytes(64 * 2**20))
    tracemalloc.start()
    try:
        inflating = Inflating("gzip")
        assert sum(map(len, inflating.feed(packed))) == 64 * 2**20
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "parts", [(b"",), (b"\x1f",), (gzip.compress(b"x")[:-1],), (b"no gzip",), (gzip.compress(b"x"), b"y")]
)
def test_a_body_that_is_not_what_it_says_is_refused_in_parts_too(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(BadRequest, match="the body is not gzip"):
        inflated("gzip", *parts)
    if len(parts) > 1:
        with pytest.raises(BadRequest, match="ends late"):
            inflated("gzip", b"".join(parts))

"""Lines of a body in chunks: nothing is lost, nothing is torn, whatever the pieces in which it comes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.errors import TooLarge
from server.http.eustress_lines import CHUNK_BYTES, CHUNK_LINES, LINE_BYTES, Chunk, Cutter


def chunks(*pieces: bytes, first: int = 1) -> list[Chunk]:
    cutter = Cutter(first)
    return [chunk for piece in pieces for chunk in cutter.feed(piece)] + list(cutter.flush(end=True))


@given(st.lists(st.binary(max_size=30)), st.integers(1, 7), st.integers(1, 10**9))
def test_every_line_comes_once_and_in_order_however_the_body_is_cut(parts: list[bytes], size: int, first: int) -> None:
    body = b"\n".join(parts)
    wanted = [line for line in body.split(b"\n") if line.strip()]
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    found = chunks(*pieces, first=first)
    assert [line for chunk in found for line in chunk.lines.split(b"\n")] == wanted
    assert not found or found[0].first == first


def test_a_chunk_has_at_most_a_thousand_lines_and_knows_its_first() -> None:
    found = chunks(b"{}\n" * (2 * CHUNK_LINES + 1), first=7)
    assert [(chunk.first, chunk.lines.count(b"{}")) for chunk in found] == [(7, 1_000), (1_007, 1_000), (2_007, 1)]


def test_blank_lines_cost_next_to_nothing() -> None:
    cutter = Cutter(1)
    began = time.process_time()
    for _ in range(512):  # a body of 32 KiB may inflate to it
        assert list(cutter.feed(b"\n" * 65_536)) == []
    assert time.process_time() - began < 1.0  # 0.05 s; line by line it was 2.5
    assert list(cutter.flush(end=True)) == []


def test_a_chunk_has_bounded_bytes() -> None:
    found = chunks((b"x" * LINE_BYTES + b"\n") * 9)
    assert max(len(chunk.lines) for chunk in found) <= CHUNK_BYTES
    assert sum(chunk.lines.count(b"\n") + 1 for chunk in found) == 9


def test_blank_lines_are_none_and_are_not_counted() -> None:
    assert chunks(b"\n\r\n  \n1\r\n\n2\n\n") == [Chunk(1, b"1\r\n2")]
    assert chunks(b"\n" * 5_000) == chunks(b"") == []


def test_the_end_of_a_line_is_not_taken_before_it_came() -> None:
    cutter = Cutter(1)
    assert list(cutter.feed(b'{"a":1}\n{"b"')) == []
    assert list(cutter.flush()) == [Chunk(1, b'{"a":1}')]
    assert list(cutter.flush()) == []
    assert list(cutter.feed(b":2}")) == []
    assert list(cutter.flush(end=True)) == [Chunk(2, b'{"b":2}')]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_named_and_those_before_it_go_on(end: bytes) -> None:
    found = Cutter(11).feed(b"1\n2\n" + b"x" * (LINE_BYTES + 1) + end)
    assert next(found) == Chunk(11, b"1\n2")
    with pytest.raises(TooLarge) as refused:
        next(found)
    assert refused.value.errors[0].path == "line 13"
    assert refused.value.message.startswith("line 13: ")

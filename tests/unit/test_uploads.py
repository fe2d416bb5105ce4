from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ritual.values import MODULE_BYTES_MAX
from actors.runtime.errors import Invalid, TooLarge
from server.http import uploads
from server.http.uploads import AT_ONCE, PER_MINUTE, Uploads
from server.limits import TooSoon


def module_of(value: Any, **how: Any) -> bytes:
    return asyncio.run(uploads._module(memoryview(json.dumps(value, **how).encode())))


@given(st.binary(max_size=300), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":")]), st.integers(8, 40))
def test_an_array_means_its_bytes_wherever_it_is_cut(module: bytes, separators: tuple[str, str], slice_: int) -> None:
    whole, uploads.SLICE = uploads.SLICE, slice_  # type: ignore[misc]
    try:
        assert module_of(list(module), separators=separators) == module
    finally:
        uploads.SLICE = whole  # type: ignore[misc]


NOT_BYTES = st.one_of(
    st.integers(256),
    st.integers(max_value=-1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.lists(st.integers(0, 255), max_size=3),
    st.just({"a": 1}),
)


@given(st.lists(st.integers(0, 255), max_size=60), NOT_BYTES, st.integers(0, 60), st.integers(8, 40))
def test_an_array_with_anything_else_in_it_is_none(numbers: list[Any], strange: Any, where: int, slice_: int) -> None:
    numbers.insert(where, strange)
    whole, uploads.SLICE = uploads.SLICE, slice_  # type: ignore[misc]
    try:
        with pytest.raises(Invalid) as refused:
            module_of(numbers)
    finally:
        uploads.SLICE = whole  # type: ignore[misc]
    assert refused.value.errors[0].path == "wasm_module"


@given(st.binary(max_size=300))
def test_base64_means_its_bytes(module: bytes) -> None:
    assert module_of(base64.b64encode(module).decode()) == module
    assert module_of(base64.encodebytes(module).decode()) == module


@pytest.mark.parametrize(
    "text",
    [
        b"[7" + b" " * 100_000 + b"]",
        b"[7" + b" " * 100_000 + b",8]",
        b"[7," + b"1" * 100_000 + b"]",
        b'["' + b"\\u0041" * 20_000 + b'"]',
    ],
    ids=["spaces", "spaces before a comma", "a long number", "a long text"],
)
def test_an_array_with_a_stretch_that_is_no_byte_is_none(text: bytes) -> None:
    with pytest.raises(Invalid):
        asyncio.run(uploads._module(memoryview(text)))


def test_base64_may_be_escaped_as_json_may_and_in_lines() -> None:
    module = bytes(range(256)) * 3
    text = json.dumps(base64.encodebytes(module).decode()).replace("/", "\\/").replace("+", "\\u002B")
    assert asyncio.run(uploads._module(memoryview(text.encode()))) == module


@pytest.mark.parametrize("letter", [" a", "a ", "\\n", "é", "😀"])
def test_base64_longer_than_any_module_is_refused_before_it_is_looked_at(letter: str) -> None:
    text = ('"' + letter * (uploads.BASE64_BYTES // 2) + '"').encode()
    with pytest.raises(TooLarge):
        asyncio.run(uploads._module(memoryview(text)))


@pytest.mark.parametrize("text", ["é", "AAA", "A===", "\U0001f600", "AAAA!"])
def test_what_is_not_base64_is_none(text: str) -> None:
    with pytest.raises(Invalid):
        module_of(text)


def test_an_array_that_is_too_long_is_refused_before_its_end() -> None:
    text = memoryview(b"[" + b"0," * (MODULE_BYTES_MAX + uploads.SLICE) + b"no json any more")
    with pytest.raises(TooLarge):
        asyncio.run(uploads._module(text))


def test_places_are_few_and_one_a_practitioner() -> None:
    here = Uploads(lambda: 0.0)
    places = [here.place(f"p{n}") for n in range(AT_ONCE)]
    for place in places[:-1]:
        place.__enter__()
    with pytest.raises(TooSoon), here.place("p0"):
        pass
    places[-1].__enter__()
    with pytest.raises(TooSoon), here.place("another"):
        pass
    places[0].__exit__(None, None, None)
    with here.place("another"):
        pass


def test_a_place_is_given_back_whatever_happened() -> None:
    here = Uploads(lambda: 0.0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), here.place("p"):
            raise ZeroDivisionError


def test_so_many_uploads_a_minute_and_no_bound_in_the_lab() -> None:
    now = 0.0
    here, lab = Uploads(lambda: now), Uploads(lambda: now, lifted=True)
    for _ in range(PER_MINUTE):
        with here.place("p"), lab.place("p"):
            pass
    with lab.place("p"), pytest.raises(TooSoon) as refused, here.place("p"):
        pass
    assert refused.value.retry_after_s == 60
    now = 60.0
    with here.place("p"):
        pass

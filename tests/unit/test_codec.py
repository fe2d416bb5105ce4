from __future__ import annotations

import msgspec
import pytest

from actors.runtime.codec import Codec, FormatTooNew, has_nul
from actors.runtime.entity import Struct


class Thing(Struct, frozen=True, kw_only=True, tag="thing"):
    size: int


def test_old_formats_are_upcast_step_by_step() -> None:
    codec: Codec[Thing] = Codec(
        Thing, 3, {1: lambda old: {"type": "thing", "length": old["length"]}, 2: lambda old: {"size": old["length"]}}
    )
    assert codec.decode(1, b'{"length":7}') == Thing(size=7)
    assert codec.decode(2, b'{"type":"thing","length":8}') == Thing(size=8)
    assert codec.decode(3, codec.encode(Thing(size=9))) == Thing(size=9)


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(FormatTooNew):
        Codec[Thing](Thing, 1).decode(2, b"{}")


@pytest.mark.parametrize("value", ["\0", {"a\0": 1}, ["x\\\0"], "\\\0"])
def test_a_nul_is_found(value: object) -> None:
    assert has_nul(msgspec.json.encode(value))


@pytest.mark.parametrize("value", ["\\u0000", "u0000", "\\\\u0000", 0, None])
def test_what_only_looks_like_a_nul_is_none(value: object) -> None:
    assert not has_nul(msgspec.json.encode(value))

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta, UnsetType

from actors.runtime.codec import Codec, FormatTooNew, Uuid, field_error, from_wire, has_nul
from actors.runtime.entity import Struct
from actors.runtime.errors import Invalid


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


class Asked(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What a request says: places as texts."""

    target_id: str
    near: Annotated[
        Annotated[str, Meta(pattern="^[0-9],[0-9]$")] | UnsetType, Meta(description="the nearest to `x,y` first")
    ] = msgspec.UNSET
    from_: Annotated[Uuid | None, Meta(description="since this one")] = msgspec.field(default=None, name="from")
    bare: Annotated[str, Meta(pattern="^a$")] = "a"
    within: dict[str, list[Asked]] = {}


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({}, "target_id", "is required"),
        ({"target_id": "", "x": 1}, "x", "is not known here"),
        ({"within": {"k": [{"bare": "b"}]}}, "within[...][0].bare", "Not of the form that is allowed here"),
        ({"near": "1"}, "near", "Not of the form that is allowed here: the nearest to `x,y` first"),
        (
            {"within": {"k": [{"near": "1"}]}},
            "within[...][0].near",
            "Not of the form that is allowed here: the nearest to `x,y` first",
        ),
        ({"from": "1"}, "from", "Not of the form that is allowed here: a UUID in lower case"),
        ({"target_id": 1}, "target_id", "Expected a string, got an integer"),
    ],
)
def test_what_is_wrong_is_said_in_words(value: dict[str, Any], path: str, message: str) -> None:
    with pytest.raises(msgspec.ValidationError) as failed:
        msgspec.convert(value, Asked)
    wrong = field_error(failed.value, Asked)
    assert (wrong.path, wrong.message) == (path, message)


def test_a_command_says_it_with_the_path() -> None:
    with pytest.raises(Invalid, match=r"^target_id: is required$"):
        from_wire(Asked, {})

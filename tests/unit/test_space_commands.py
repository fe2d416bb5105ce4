from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from driving import BEGIN, uuid
from group_driving import BRIEF

from actors.runtime.codec import from_wire
from actors.runtime.errors import BadRequest, Invalid
from actors.space import commands as c

WHOLE: dict[str, Any] = {"name": "n", "purpose": "p"}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 100},
        {"purpose": "p" * 2000},
        {"purpose": ""},
        {"tradition": "t" * 100},
        {"tradition": None},
        {"slug": "a"},
        {"slug": "0" + "a-" * 31},
        {"participant_limit": 1},
        {"access_level": "private"},
        {"ritual_schedule": {"every": [1, None, "day"]}},
    ],
)
def test_values_just_within_their_bounds_are_taken(fields: dict[str, Any]) -> None:
    command = from_wire(c.CreateSpace, WHOLE | fields)
    assert c.codec.decode(c.encode(command)) == command


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "n" * 101},
        {"name": ""},
        {"name": "  \n"},
        {"name": "a\0b"},
        {"name": 7},
        {"purpose": "p" * 2001},
        {"purpose": "\0"},
        {"tradition": "t" * 101},
        {"slug": ""},
        {"slug": "A"},
        {"slug": "-a"},
        {"slug": "a\n"},
        {"slug": "a" * 64},
        {"participant_limit": 0},
        {"participant_limit": 2**31},
        {"participant_limit": 1.5},
        {"participant_limit": True},
        {"access_level": "secret"},
        {"surprise": 1},
    ],
)
def test_values_out_of_bounds_are_invalid_and_named(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        from_wire(c.CreateSpace, WHOLE | fields)
    assert [error.path for error in refused.value.errors] == list(fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"intention": "i" * 2_001},
        {"intention": "a\0b"},
        {"starts_in_s": -0.1},
        {"starts_in_s": 3_601},
        {"opening_s": 601},
        {"integration_s": -1},
        {"at": "2026-01-01T00:00:00"},
        {"surprise": 1},
    ],
)
def test_a_ritual_out_of_bounds_is_invalid_and_named(fields: dict[str, Any]) -> None:
    brief = msgspec.to_builtins(BRIEF)
    assert from_wire(c.BeginRitual, {"brief": brief}) == c.BeginRitual(brief=BRIEF)
    with pytest.raises(Invalid) as refused:
        from_wire(c.BeginRitual, {"brief": brief} | fields)
    assert [error.path for error in refused.value.errors] == list(fields)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        from_wire(c.CreateSpace, {"name": "n"})
    assert refused.value.errors[0].path == "purpose"


def test_an_update_tells_null_from_absent() -> None:
    assert from_wire(c.UpdateSpace, {"tradition": None}).tradition is None
    assert from_wire(c.UpdateSpace, {}).tradition is msgspec.UNSET


def test_a_body_is_any_json() -> None:
    assert from_wire(c.SendMessage, {"body": None}).body == b"null"
    assert from_wire(c.SendMessage, {"body": {"a": [1]}}).body == b'{"a":[1]}'


@pytest.mark.parametrize("who", ["", "x", uuid(1).upper().replace("0", "A"), uuid(1) + "\n"])
def test_who_is_invited_is_a_uuid(who: str) -> None:
    with pytest.raises(Invalid):
        from_wire(c.Invite, {"practitioner": who})


def test_every_command_crosses_a_link_unchanged() -> None:
    commands: list[c.SpaceCommand] = [
        c.CreateSpace(name="n", purpose="p", slug="s"),
        c.UpdateSpace(shared_state=b"{}", tradition=None),
        c.Invite(practitioner=uuid(1)),
        c.Join(),
        c.Leave(),
        c.Close(),
        c.SendMessage(body=b"1"),
        c.Pulse(phase_rad=math.pi),
        c.BeginRitual(brief=BRIEF, intention="peace", parameters=b'{"a":1}', at=BEGIN),
        c.AbortRitual(),
        c.AbortRitual(ritual_run=uuid(1)),
        c.GetRitual(),
        c.GetSpace(),
    ]
    assert [c.codec.decode(c.encode(command)) for command in commands] == commands


def test_what_a_link_brings_is_checked_again() -> None:
    with pytest.raises(Invalid) as refused:
        c.codec.decode(msgspec.msgpack.encode({"type": "create", "name": "", "purpose": ""}))
    assert refused.value.errors[0].path == "name"
    with pytest.raises(Invalid):
        c.codec.decode(msgspec.msgpack.encode({"type": "explode"}))
    with pytest.raises(BadRequest):
        c.codec.decode(b"\xc1")

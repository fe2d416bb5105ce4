from __future__ import annotations

from typing import Any

import pytest
from driving import BEGIN, uuid
from hypothesis import given
from hypothesis import strategies as st

from actors.practitioner import commands as c
from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.codec import from_wire
from actors.runtime.errors import Invalid, TooLarge

WHOLE: dict[str, Any] = {"email": "a@b.org", "password_hash": "h"}


@pytest.mark.parametrize(
    "fields",
    [
        {"spiritual_name": "n" * 100},
        {"spiritual_name": None},
        {"sacred_path": "s" * 100},
        {"privacy_level": "community"},
        {"password_hash": "h" * 255},
        {"archetypal_preferences": {"Sage": True}},
    ],
)
def test_values_just_within_their_bounds_are_taken(fields: dict[str, Any]) -> None:
    command = from_wire(c.Register, WHOLE | fields)
    assert c.codec.decode(c.encode(command)) == command


@pytest.mark.parametrize(
    "fields",
    [
        {"spiritual_name": "n" * 101},
        {"spiritual_name": " "},
        {"spiritual_name": "\0"},
        {"sacred_path": "s" * 101},
        {"privacy_level": "hidden"},
        {"password_hash": "h" * 256},
        {"password_hash": ""},
        {"email": "e" * 256},
        {"email": ""},
        {"surprise": 1},
    ],
)
def test_values_out_of_bounds_are_invalid_and_named(fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refused:
        from_wire(c.Register, WHOLE | fields)
    assert [error.path for error in refused.value.errors] == list(fields)


@pytest.mark.parametrize(
    ("email", "normal"),
    [
        ("A@B.Org", "a@b.org"),
        (" a@b ", "a@b"),
        ("Ame\u0301lie@b", "amélie@b"),
        ("x" * 253 + "@b", "x" * 253 + "@b"),
    ],
)
def test_emails_are_compared_without_case_and_in_one_form(email: str, normal: str) -> None:
    assert c.normal_email(email) == normal


@pytest.mark.parametrize("email", ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n.c", "a\0@b", "x" * 254 + "@b"])
def test_what_is_no_email_is_invalid(email: str) -> None:
    with pytest.raises(Invalid) as refused:
        c.normal_email(email)
    assert refused.value.errors[0].path == "email"


@given(st.emails())
def test_the_normal_form_is_stable(email: str) -> None:
    assert c.normal_email(c.normal_email(email)) == c.normal_email(email.upper().lower())


def test_preferences_are_objects_up_to_a_bound() -> None:
    most = b'{"a":"' + b"x" * (c.PREFERENCES_BYTES - 8) + b'"}'
    assert c.check_preferences("p", most) is most
    with pytest.raises(TooLarge):
        c.check_preferences("p", most[:-2] + b'x"}')
    for text in (b"[]", b"1", b'{"a":"\\u0000"}'):
        with pytest.raises(Invalid) as refused:
            c.check_preferences("p", text)
        assert refused.value.errors[0].path == "p"


def test_every_command_crosses_a_link_unchanged() -> None:
    commands: list[c.PractitionerCommand] = [
        c.Register(email="a@b", password_hash="h"),
        c.OpenSession(id=uuid(1), token_hash=b"h" * 32, expires_at=BEGIN),
        c.CloseSession(),
        c.CloseSession(id=uuid(1)),
        c.GetAccount(),
        c.GetProfile(),
        c.UpdateProfile(spiritual_name=None),
        c.PutArchetypalState(state=ArchetypalState(energies={"fire": 0.5}, symbols=("moon",))),
        c.Enter(),
        c.NotifyInvitation(space=uuid(2), name="Circle", by=uuid(3)),
    ]
    assert [c.codec.decode(c.encode(command)) for command in commands] == commands

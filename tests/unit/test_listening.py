"""Addresses to listen on, and the settings that depend on them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from server.listening import Listen, all_of, is_loopback, parse, shown
from server.settings import Settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8000", Listen("127.0.0.1", 8000)),
        ("0.0.0.0:7000", Listen("0.0.0.0", 7000)),
        (" localhost:3001 ", Listen("localhost", 3001)),
        ("[::1]:8080", Listen("::1", 8080)),
    ],
)
def test_an_address_is_a_port_or_a_host_and_a_port(text: str, expected: Listen) -> None:
    assert parse(text, "127.0.0.1") == expected


@pytest.mark.parametrize(
    "text", ["", "0", "65536", "host", "host:", ":80", "::1:80", "[::g]:80", "[1.2]:80", "a b:80", "-1"]
)
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse(text, "127.0.0.1")


def test_the_main_address_comes_first_and_none_twice() -> None:
    found = all_of("127.0.0.1", 8080, ("8000", "127.0.0.1:8080", "8000", "[::1]:8080"))
    assert list(map(str, found)) == ["127.0.0.1:8080", "127.0.0.1:8000", "[::1]:8080"]


def test_loopback_names() -> None:
    assert all(map(is_loopback, ("localhost", "LOCALHOST.", "a.localhost", "127.9.9.9", "::1", "127.0.0.1.")))
    assert not any(map(is_loopback, ("", "localhost.evil", "0.0.0.0", "10.0.0.1", "127.0.0.1.evil", "::")))
    assert (shown("::1"), shown("localhost")) == ("[::1]", "localhost")


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


@pytest.mark.parametrize("what", ["lab", "local_user"])
@pytest.mark.parametrize("where", [{"host": "0.0.0.0"}, {"listen": "8000,10.0.0.1:80"}, {"listen": ":::1"}])
def test_what_is_only_for_loopback_looks_at_every_address(what: str, where: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        settings(**{what: True}, **where)
    assert settings(**{what: True}, listen="8000,[::1]:80", host="localhost").addresses[1] == Listen("localhost", 8000)


@pytest.mark.parametrize(
    "wrong", [{"listen": "x"}, {"trusted_proxies": "10.0.0.0/8,proxy"}, {"tls_key": "key.pem"}, {"connections": 1}]
)
def test_a_bad_setting_is_noticed_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)


def test_the_scheme_follows_the_certificate() -> None:
    assert (settings().scheme, settings(tls_certificate="both.pem").scheme) == ("http", "https")

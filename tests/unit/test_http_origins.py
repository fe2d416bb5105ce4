from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.origins import Origins

PUBLIC = Origins(("https://sangha.example",), ("https://friend.example:8443",))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "a.localhost", "sangha.example"],
)
def test_hosts_that_are_ours(host: str) -> None:
    assert PUBLIC.host_is_ours(host)


FOREIGN_HOSTS = ("evil.example", "localhost.evil.example", "10.0.0.1:8080", "sangha.example.evil", "127.0.0.1.nip.io")


@pytest.mark.parametrize(
    "host", ["LocalHost:8080", "localhost.", "127.0.0.1.:8080", "SANGHA.example.:443", "localhost:"]
)
def test_case_and_the_dot_of_the_root_change_nothing(host: str) -> None:
    assert PUBLIC.host_is_ours(host)


VARIANTS = tuple(
    f"{host}{more}" for host in ("EVIL.example", "evil.example.", "[2001:db8::1]") for more in ("", ":8080")
)
MALFORMED = (
    "localhost@evil.example", "evil.example@localhost", "localhost:80@evil.example", "localhost:80:80", "localhost/x",
    "localhost\\x", "localhost?x", "localhost#x", " localhost", "localhost x", "localhost:x", "[localhost]", ".", ":80",
    "localhost..", "[::1]x", "localhost,evil.example", "127.1", "0x7f.1", "2130706433", "[::1%25lo]",
)  # fmt: skip


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::1", *FOREIGN_HOSTS, *VARIANTS, *MALFORMED])
def test_hosts_that_are_not(host: str) -> None:
    assert not PUBLIC.host_is_ours(host)


@pytest.mark.parametrize(
    "origin",
    [None, "http://localhost:8080", "http://127.0.0.1:8080", "https://sangha.example", "https://friend.example:8443"],
)
def test_origins_that_may(origin: str | None) -> None:
    assert PUBLIC.allows(origin, "localhost:8080")


FOREIGN_ORIGINS = ("https://evil.example", "https://friend.example", "http://localhost:3000", "http://localhost")


@pytest.mark.parametrize("origin", ["null", "", "file://localhost:8080", "http://localhost:x", *FOREIGN_ORIGINS])
def test_origins_that_may_not(origin: str) -> None:
    assert not PUBLIC.allows(origin, "localhost:8080")


def test_a_default_port_is_the_schemes() -> None:
    assert PUBLIC.allows("http://localhost", "localhost:80")
    assert PUBLIC.allows("http://localhost", "localhost")


def test_only_allowed_foreign_origins_need_cors_headers() -> None:
    assert PUBLIC.is_foreign_but_allowed("https://friend.example:8443/")
    assert not PUBLIC.is_foreign_but_allowed("https://sangha.example")


@given(st.text(max_size=40))
def test_no_text_breaks_the_rules(text: str) -> None:
    PUBLIC.host_is_ours(text)
    assert not PUBLIC.allows(f"http://{text}x.evil.example", "localhost:8080")

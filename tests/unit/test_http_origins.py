from __future__ import annotations

import pytest

from server.http.origins import Origins

PUBLIC = Origins(("https://sangha.example",), ("https://friend.example:8443",))


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "a.localhost", "sangha.example"],
)
def test_hosts_that_are_ours(host: str) -> None:
    assert PUBLIC.host_is_ours(host)


FOREIGN_HOSTS = ("evil.example", "localhost.evil.example", "10.0.0.1:8080", "sangha.example.evil", "127.0.0.1.nip.io")


@pytest.mark.parametrize("host", ["", "0.0.0.0", "[::1", *FOREIGN_HOSTS])
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

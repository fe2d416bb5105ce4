"""Who asks, where proxies stand between."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.http.forwarded import (
    HOPS_MAX,
    Client,
    Trusted,
    canonical,
    client_of,
    counted_as,
    parse_address,
    parse_forwarded,
)

PROXY = "10.0.0.1"
TRUSTED = Trusted(["10.0.0.0/8", "fd00::/8", "192.0.2.7"])
PUBLIC = st.ip_addresses(v=4, network="203.0.113.0/24") | st.ip_addresses(v=6, network="2001:db8::/32")
PROXIES = st.ip_addresses(v=4, network="10.0.0.0/8") | st.ip_addresses(v=6, network="fd00::/16")
GARBAGE = st.text(st.characters(codec="latin-1"), max_size=60)


def asked(peer: str = PROXY, **headers: str) -> Client:
    return client_of(peer, {name.replace("_", "-"): [value] for name, value in headers.items()}, TRUSTED)


def test_without_headers_it_is_the_peer() -> None:
    assert asked("203.0.113.5") == Client("203.0.113.5")
    assert asked() == Client(PROXY)


def test_who_is_not_trusted_says_nothing_about_others() -> None:
    said = asked("203.0.113.5", x_forwarded_for="127.0.0.1", x_forwarded_proto="https", x_forwarded_host="evil")
    assert said == Client("203.0.113.5", None, None, True)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("203.0.113.5", "203.0.113.5"),
        ("127.0.0.1, 203.0.113.5", "203.0.113.5"),
        ("127.0.0.1, 203.0.113.5, 10.9.9.9", "203.0.113.5"),
        ("203.0.113.5:4711", "203.0.113.5"),
        ("[2001:db8::1]:443, 192.0.2.7", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("203.0.113.5, unknown", PROXY),
        ("203.0.113.5, unknown, 10.2.2.2", "10.2.2.2"),
        ("203.0.113.5,", PROXY),
        ("203.0.113.5, fe80::1%eth0", PROXY),
        ("203.0.113.5, 010.1.1.1", PROXY),
        ("", PROXY),
    ],
)
def test_the_rightmost_that_is_no_proxy_of_ours_is_the_client(chain: str, client: str) -> None:
    assert asked(x_forwarded_for=chain).address == client


def test_lines_of_one_header_are_one_chain() -> None:
    headers = {"x-forwarded-for": ["198.51.100.1", "203.0.113.5, 10.0.0.9"]}
    assert client_of(PROXY, headers, TRUSTED).address == "203.0.113.5"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=203.0.113.5;proto=https;host=sangha.example", Client("203.0.113.5", "https", "sangha.example", True)),
        ('For="[2001:db8::1]:4711"; Proto=HTTPS', Client("2001:db8::1", "https", None, True)),
        ('for=1.2.3.4, for="203.0.113.5:80";by=_x', Client("203.0.113.5", None, None, True)),
        ('for="a\\"b,c", for=203.0.113.5', Client("203.0.113.5", None, None, True)),
        ("for=_hidden", Client(PROXY, None, None, True)),
        ("for=203.0.113.5;proto=gopher", Client("203.0.113.5", None, None, True)),
        ('for="unclosed, for=203.0.113.5', Client(PROXY, None, None, True)),
        ("nonsense", Client(PROXY, None, None, True)),
    ],
)
def test_the_standard_header_says_the_same(header: str, expected: Client) -> None:
    assert asked(forwarded=header) == expected


def test_of_both_headers_the_one_that_proxies_write_counts() -> None:
    assert asked(forwarded="for=127.0.0.1", x_forwarded_for="203.0.113.5").address == "203.0.113.5"


def test_scheme_and_host_are_the_nearest_proxys_word() -> None:
    said = asked(x_forwarded_for="203.0.113.5", x_forwarded_proto="http, wss", x_forwarded_host="evil, sangha.example")
    assert (said.scheme, said.host) == ("https", "sangha.example")


def test_an_ipv6_client_is_counted_by_its_network() -> None:
    assert counted_as("2001:db8:1:2:3:4:5:6") == counted_as("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert counted_as("203.0.113.5") == "203.0.113.5"
    assert counted_as("::1") == "::1"
    assert canonical("::ffff:203.0.113.5") == "203.0.113.5"
    assert canonical("fe80::1%eth0") == "fe80::1"


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="network"):
        Trusted(["10.0.0.0/33"])


@given(st.lists(PUBLIC, max_size=5), PUBLIC, st.lists(PROXIES, max_size=5))
def test_whatever_a_client_claims_it_is_the_one_that_our_proxies_saw(
    lies: list[ipaddress.IPv4Address], client: ipaddress.IPv4Address, proxies: list[ipaddress.IPv4Address]
) -> None:
    chain = ", ".join(map(str, [*lies, client, *proxies]))
    assert asked(x_forwarded_for=chain).address == str(client)
    elements = ", ".join(
        f'for="[{each}]"' if each.version == 6 else f"for={each}" for each in [*lies, client, *proxies]
    )
    assert asked(forwarded=elements).address == str(client)


@given(GARBAGE, GARBAGE, GARBAGE, GARBAGE)
def test_garbage_makes_nobody_else_the_client(one: str, two: str, proto: str, host: str) -> None:
    found = client_of(
        PROXY,
        {"x-forwarded-for": [f"{one}, 203.0.113.5"], "x-forwarded-proto": [proto], "x-forwarded-host": [host]},
        TRUSTED,
    )
    assert found.address == "203.0.113.5"
    assert found.scheme in (None, "http", "https")
    ipaddress.ip_address(client_of(PROXY, {"forwarded": [one, two]}, TRUSTED).address)


@given(GARBAGE)
def test_no_text_is_an_address_that_is_none(text: str) -> None:
    found = parse_address(text)
    if found is not None:
        assert str(found) == str(ipaddress.ip_address(str(found)))
    elements = parse_forwarded(text)
    assert elements is None or all(elements)


def test_no_more_hops_are_looked_at_than_any_way_has() -> None:
    chain = ", ".join(["203.0.113.5"] + ["10.0.0.9"] * HOPS_MAX)
    assert asked(x_forwarded_for=chain).address == "10.0.0.9"

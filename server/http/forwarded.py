"""Who really asks, where proxies stand between: ``X-Forwarded-For``, ``-Proto``, ``-Host`` and RFC 7239's ``Forwarded``. Pure.

Anybody can write these headers, so they count only where the peer is a proxy that the settings trust, and of what they say
only what a trusted proxy added: the addresses are read from the right, and the first that is not a trusted proxy's is the
client's. Where an entry cannot be read, the proxy that it came from is taken for the client; further left all may be lies.

``X-Forwarded-For`` wins where both stand: nginx, Caddy and HAProxy write it and pass a client's own ``Forwarded`` on. A proxy
that writes ``Forwarded`` has to remove the others.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

HOPS_MAX: Final = 32
"""Entries that are looked at; no real way has more proxies, and a header may have thousands."""
FORWARDING: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Via")
"""Where one of these stands, the request came through a proxy, or wants to be taken for such a one."""
_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PAIR: Final = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s",;="]+)\s*""")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Client(NamedTuple):
    """Who asks: ``scheme`` and ``host`` are None where no trusted proxy says otherwise than the request itself."""

    address: str
    scheme: str | None = None
    host: str | None = None
    forwarded: bool = False
    """Whether any forwarding header stands there, trusted or not."""

    @property
    def counted_as(self) -> str:
        """The key of limits by address: an IPv6 client owns its whole /64, so that is what is counted."""
        return counted_as(self.address)


class Trusted:
    """The proxies whose word counts."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Addresses and CIDRs. Raises ValueError."""
        self._networks: tuple[Network, ...] = tuple(ipaddress.ip_network(each, strict=False) for each in networks)

    def __contains__(self, address: object) -> bool:
        found = parse_address(address) if isinstance(address, str) else None
        return found is not None and any(found in network for network in self._networks)


def parse_address(text: str) -> Address | None:
    """The IP address of ``1.2.3.4``, ``1.2.3.4:80``, ``::1``, ``[::1]``, ``[::1]:80``; None where it is none."""
    text = text.strip()
    if text.startswith("["):
        inside, bracket, port = text[1:].partition("]")
        text = inside if bracket and (not port or _is_port(port)) else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
        text = host if _is_port(":" + port) else ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return None if found.scope_id else found.ipv4_mapped or found
    return found


def _is_port(text: str) -> bool:
    return re.fullmatch(r":[0-9]{1,5}", text) is not None


def canonical(address: str) -> str:
    """One spelling for one address: what is mapped into IPv6 is IPv4. What is no address stays as it is."""
    found = parse_address(address.partition("%")[0])
    return address if found is None else str(found)


def counted_as(address: str) -> str:
    """What limits by address count: the address, or an IPv6 address's /64."""
    found = parse_address(address)
    if isinstance(found, ipaddress.IPv6Address) and not found.is_loopback:
        return str(ipaddress.ip_network((found, 64), strict=False))
    return address


def client_of(peer: str, headers: Mapping[str, Sequence[str]], trusted: Trusted) -> Client:
    """``headers``: each header's values in order, by lower-case name."""
    forwarded = any(name.lower() in headers for name in FORWARDING)
    peer = canonical(peer)
    if not forwarded or peer not in trusted:
        return Client(peer, forwarded=forwarded)
    if "x-forwarded-for" in headers or "forwarded" not in headers:
        chain = [entry.strip() for entry in ",".join(headers.get("x-forwarded-for", ())).split(",")[-HOPS_MAX:]]
        scheme, host = _last(headers, "x-forwarded-proto"), _last(headers, "x-forwarded-host")
    else:
        elements = (parse_forwarded(",".join(headers["forwarded"])) or [])[-HOPS_MAX:]
        chain = [element.get("for", "") for element in elements]
        nearest = elements[-1] if elements else {}
        scheme, host = nearest.get("proto"), nearest.get("host")
    return Client(_rightmost(peer, chain, trusted), _SCHEMES.get((scheme or "").lower()), host or None, True)


def _rightmost(peer: str, chain: Sequence[str], trusted: Trusted) -> str:
    client = peer
    for entry in reversed(chain):
        found = parse_address(entry)
        if found is None:
            break
        client = str(found)
        if client not in trusted:
            break
    return client


def _last(headers: Mapping[str, Sequence[str]], name: str) -> str | None:
    values = headers.get(name)
    return values[-1].rpartition(",")[2].strip() if values else None


def parse_forwarded(text: str) -> list[dict[str, str]] | None:
    """The elements of a ``Forwarded`` header, names in lower case, quotes removed; None where it cannot be read."""
    elements: list[dict[str, str]] = [{}]
    position = 0
    while position < len(text):
        pair = _PAIR.match(text, position)
        if pair is not None:
            elements[-1].setdefault(pair[1].lower(), _unquoted(pair[2]))
            position = pair.end()
            if position == len(text):
                break
        elif text[position:].isspace():
            break
        if text[position] == ",":
            elements.append({})
        elif text[position] != ";":
            return None
        position += 1
        while position < len(text) and text[position] in " \t":
            position += 1
    return [element for element in elements if element]


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value

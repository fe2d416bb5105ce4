"""Where a server listens: ``host`` and ``port``, and the addresses that ``listen`` adds. Pure but for what it is told.

An address is ``PORT``, ``HOST:PORT`` or ``[IPv6]:PORT``; a bare port takes ``host``.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

_ADDRESS: Final = re.compile(r"(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):)?(?P<port>[0-9]{1,5})")


class Listen(NamedTuple):
    """One address to listen on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{shown(self.host)}:{self.port}"


def parse(text: str, host: str) -> Listen:
    """One of ``listen``'s addresses. Raises ValueError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"{text!r} is not PORT, HOST:PORT or [IPv6]:PORT")
    given = (found["host"] or host).strip("[]")
    if (found["host"] or "").startswith("["):
        ipaddress.IPv6Address(given)
    return Listen(given, int(found["port"]))


def all_of(host: str, port: int, more: tuple[str, ...]) -> list[Listen]:
    """Every address, the main one first, none twice. Raises ValueError."""
    return list(dict.fromkeys([Listen(host, port), *(parse(text, host) for text in more)]))


def is_loopback(name: str) -> bool:
    """Whether a host name means this machine, and nobody else, for every resolver. A trailing dot changes nothing."""
    name = name.lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def shown(host: str) -> str:
    """A host as a URL has it."""
    return f"[{host}]" if ":" in host else host

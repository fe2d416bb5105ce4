"""Unit tests are pure: whoever reaches for Ray, the network or a real wait fails at once."""

from __future__ import annotations

import socket
import sys
import time
from typing import Any, NoReturn

import pytest


def _forbidden(what: str) -> Any:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise AssertionError(f"a unit test must not use {what}")

    return refuse


@pytest.fixture(autouse=True)
def _pure(monkeypatch: pytest.MonkeyPatch) -> None:
    # socket.socketpair stays: the event loop wakes itself through one.
    for method in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, method, _forbidden("sockets"), raising=False)
    monkeypatch.setattr(time, "sleep", _forbidden("time.sleep"))
    if "ray" in sys.modules:
        monkeypatch.setattr(sys.modules["ray"], "init", _forbidden("Ray"), raising=False)
    else:
        monkeypatch.setitem(sys.modules, "ray", None)

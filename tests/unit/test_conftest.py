"""The purity of unit tests is enforced, not hoped for."""

from __future__ import annotations

import socket
import time

import pytest


def test_a_unit_test_cannot_wait() -> None:
    with pytest.raises(AssertionError, match=r"time\.sleep"):
        time.sleep(0)


def test_a_unit_test_cannot_reach_the_network() -> None:
    with socket.socket() as one, pytest.raises(AssertionError, match="sockets"):
        one.connect(("127.0.0.1", 1))


def test_a_unit_test_cannot_start_ray() -> None:
    with pytest.raises((ImportError, AssertionError)):
        __import__("ray").init()

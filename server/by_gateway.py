"""What a module keeps for each gateway, without the gateway's knowing of it.

A process has one gateway, but a test has many; so what is a gateway's own goes with it, and is no global of the process.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from server.gateway import Gateway

T = TypeVar("T")


class ByGateway(Generic[T]):
    """Called with a gateway: what is that gateway's, made when it is first asked for."""

    def __init__(self, make: Callable[[Gateway], T]) -> None:
        self._make = make
        self._known: weakref.WeakKeyDictionary[Gateway, T] = weakref.WeakKeyDictionary()

    def __call__(self, gateway: Gateway) -> T:
        """The same each time."""
        if gateway not in self._known:
            self._known[gateway] = self._make(gateway)
        return self._known[gateway]

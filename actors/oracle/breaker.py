"""The circuit breaker before a language model: after several failures in a row it is left alone for a while. Pure.

    closed     --5th failure in a row--> open
    open       --60 s later, on the next ask--> half-open: this one ask goes through, as a probe
    half-open  --the probe succeeds--> closed;  --it fails--> open again;  --it is given up--> open, next ask probes

An answer to an ask from before it opened still counts: a success closes it, a failure changes nothing.
"""

from __future__ import annotations

from typing import Final, Literal

from actors.runtime.entity import Struct

FAILURES: Final = 5
OPEN_S: Final = 60.0


class Breaker(Struct, frozen=True, kw_only=True):
    """Times are of a monotonic clock, in seconds."""

    failures: int = 0
    opened_at: float | None = None
    probing: bool = False

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        """Half-open: a probe may go, or is on its way."""
        if self.opened_at is None:
            return "closed"
        return "half-open" if self.probing or now - self.opened_at >= OPEN_S else "open"


def admit(breaker: Breaker, now: float) -> Breaker | None:
    """The breaker with this ask under way; None where it may not go."""
    if breaker.opened_at is None:
        return breaker
    if breaker.probing or now - breaker.opened_at < OPEN_S:
        return None
    return Breaker(failures=breaker.failures, opened_at=breaker.opened_at, probing=True)


def succeeded(_: Breaker) -> Breaker:
    """An ask was answered."""
    return Breaker()


def failed(breaker: Breaker, now: float, *, probe: bool) -> Breaker:
    """An ask was not answered, or not with what can be used. ``probe``: it was let through half-open."""
    if breaker.opened_at is not None and not probe:
        return breaker
    failures = breaker.failures + 1
    if probe or failures >= FAILURES:
        return Breaker(failures=failures, opened_at=now)
    return Breaker(failures=failures)


def given_up(breaker: Breaker, *, probe: bool) -> Breaker:
    """An ask ended without saying anything of the model (it was cancelled, or there was no budget)."""
    if probe:
        return Breaker(failures=breaker.failures, opened_at=breaker.opened_at)
    return breaker

"""The one error tree, with the stable codes that clients see.

SanghaError
├── BadRequest          bad_request          the caller's fault: not a request at all
├── Invalid             invalid              well formed, but a value is out of bounds (``errors`` has the paths)
├── Unauthenticated     unauthenticated
├── Forbidden           forbidden
├── NotFound            not_found
├── Conflict            conflict
├── Full                full
├── TooLarge            too_large
├── RateLimited         rate_limited         retryable
├── Timeout             timeout              retryable: the outcome is unknown, the same id asks again
├── StorageUnavailable  storage_unavailable  retryable: nothing was changed
├── ActorUnavailable    actor_unavailable    retryable
├── RitualFailed        ritual_failed
├── RitualRejected      ritual_rejected
├── Draining            draining             retryable
└── Internal            internal             ours; carries a reference that the log has too

An error changes nothing: ``decide`` raises one instead of returning a decision.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One field that was wrong: ``path`` in JSON Pointer form without the leading slash, and what was wrong."""

    path: str
    message: str


class SanghaError(Exception):
    """The root. ``code`` and ``retryable`` are part of the wire's contract and never change."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    retry_after_s: float | None = None
    """How long to wait before trying again, where that is known."""

    def __init__(self, message: str, errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors


class BadRequest(SanghaError):
    """Not a request that this server knows."""

    code = "bad_request"


class Invalid(SanghaError):
    """A value is out of its bounds."""

    code = "invalid"


class Unauthenticated(SanghaError):
    """No, or no longer, a known credential."""

    code = "unauthenticated"


class Forbidden(SanghaError):
    """Known, but not allowed."""

    code = "forbidden"


class NotFound(SanghaError):
    """There is none, or none that the caller may know of."""

    code = "not_found"


class Conflict(SanghaError):
    """The name is taken, or the operation id was used for something else."""

    code = "conflict"


class Full(SanghaError):
    """A limit of participants is reached."""

    code = "full"


class TooLarge(SanghaError):
    """More bytes than the limit."""

    code = "too_large"


class RateLimited(SanghaError):
    """More often than the limit."""

    code = "rate_limited"
    retryable = True


class Timeout(SanghaError):
    """No answer in time; what became of the command is unknown and the same id may ask again."""

    code = "timeout"
    retryable = True


class StorageUnavailable(SanghaError):
    """The commit was aborted or could not begin; nothing was changed."""

    code = "storage_unavailable"
    retryable = True


class ActorUnavailable(SanghaError):
    """The entity's shard cannot take the command now: full, or not there."""

    code = "actor_unavailable"
    retryable = True


class RitualFailed(SanghaError):
    """The ritual ran and failed."""

    code = "ritual_failed"


class RitualRejected(SanghaError):
    """The ritual's module is not acceptable."""

    code = "ritual_rejected"


class Draining(SanghaError):
    """The server is going away; come back."""

    code = "draining"
    retryable = True


class Internal(SanghaError):
    """Our fault. The message carries a reference and nothing else."""

    code = "internal"


CODES: dict[str, type[SanghaError]] = {
    kind.code: kind
    for kind in (
        BadRequest,
        Invalid,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        Full,
        TooLarge,
        RateLimited,
        Timeout,
        StorageUnavailable,
        ActorUnavailable,
        RitualFailed,
        RitualRejected,
        Draining,
        Internal,
    )
}

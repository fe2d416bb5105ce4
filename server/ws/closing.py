"""Why a socket is closed: the codes of the protocol, and how long a client has to take its leave."""

from __future__ import annotations

from typing import Final

NORMAL: Final = 1000
"""The session was resumed on another socket."""
GOING_AWAY: Final = 1001
MALFORMED: Final = 4000
UNAUTHENTICATED: Final = 4001
FORBIDDEN_ORIGIN: Final = 4003
TOO_SLOW: Final = 4008
TOO_MANY: Final = 4029

TOO_BIG: Final = 1009
"""aiohttp's own answer to a frame that is larger than ``frame_bytes``."""

MEANING: Final = {
    NORMAL: "the session was resumed on another socket",
    GOING_AWAY: "draining: come back",
    TOO_BIG: "a frame that is too big",
    MALFORMED: "too many malformed frames",
    UNAUTHENTICATED: "not authenticated in time, or no longer",
    FORBIDDEN_ORIGIN: "an origin that is not allowed",
    TOO_SLOW: "too slow a reader: resume",
    TOO_MANY: "too many sockets",
}
"""As the documents tell it."""

GRACE_S: Final = 5.0
"""How long a client has to take its last frames and close; then the connection is aborted, whatever waits for it."""

"""What Ray reads from the environment. It does so when it is imported, so this comes before, and imports nothing of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ALWAYS: Final = {
    # A dead node is noticed in about four seconds instead of half a minute.
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
    # Ray runs workers at nice 15, so that a batch job leaves the node's daemons alive. Ours answer people: beside anything
    # else that is busy, median latency was 80 ms instead of 3 (600 sockets, 57,000 deliveries a second, two cores).
    "RAY_worker_niceness": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
ON_LOOPBACK: Final = {
    # Ray replaces 127.0.0.1 with the machine's own address and then listens on every interface, except where a cluster of
    # several machines is ruled out, which it reads from here (the name tells for which systems that was made).
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Who has no token cannot attach to it, other users of this machine included.
    "RAY_AUTH_MODE": "token",
}
TOKEN_FILE: Final = "ray.token"


def prepare(*, local: bool) -> None:
    """Set this process's environment, and so that of Ray's processes. ``local``: a Ray of our own, on loopback only."""
    os.environ.update(ALWAYS)
    if local:
        os.environ.update(ON_LOOPBACK)


def use_token(path: Path) -> None:
    """Where Ray finds its token: a 0600 file of ours. Its own, in the home directory, others may read."""
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)

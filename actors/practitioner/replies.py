"""What a sandbox or the oracle answered, made fit for a text of the database. Pure."""

from __future__ import annotations

import re
from typing import Final

_NUL: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def nul_free(reply: bytes) -> bytes:
    """The same JSON with U+FFFD in place of U+0000, which Postgres keeps in no text: a model or a log may say anything."""
    if b"\\u0000" not in reply:  # a twentieth of what a run cost went into looking for what is not there
        return reply
    return _NUL.sub(rb"\1\\ufffd", reply)

"""The legacy ABI, as the Control Engine's text describes it: state at offset 0, parameters at 1024, both JSON ended by a NUL.

``execute_ritual`` answers 0. Where there is a ``get_state_transformation`` it gives a pointer to the NUL-terminated JSON of the
new state; else the state at offset 0 is read back. The text drops a JSON of 1024 bytes or more without a word; here it ends
the run, for a ritual that sees no state would make one up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from actors.ritual.abi_values import Draft, RunFailure, draft_of_state, rejected
from actors.ritual.guest import Guest
from actors.ritual.values import RunRequest

STATE_AT: Final = 0
PARAMETERS_AT: Final = 1_024
AREA_BYTES: Final = 1_024
_encode: Final = msgspec.json.Encoder().encode


def execute(guest: Guest, request: RunRequest, calls: tuple[str, ...], output_bytes: int) -> Draft:
    """Run it to its end. Raises RunFailure."""
    _place(guest, STATE_AT, _encode(request.state), "the state")
    _place(guest, PARAMETERS_AT, request.parameters, "the parameters")
    if status := guest.call_u32("execute_ritual"):
        signed = status - 2**32 if status >= 2**31 else status
        raise RunFailure("ritual_failed", f"execute_ritual answered {signed} (0 is success)", own=True)
    if "get_state_transformation" in calls:
        where = "the new state that get_state_transformation points to"
        text = guest.read_text(guest.call_u32("get_state_transformation"), output_bytes, where)
    else:
        where = "the new state at offset 0"
        text = guest.read_text(STATE_AT, AREA_BYTES, where)
    return draft_of_state(text, request.state, where)


def _place(guest: Guest, at: int, text: bytes, what: str) -> None:
    if len(text) >= AREA_BYTES:
        raise rejected(
            f"{what} has {len(text):,} bytes of JSON and a legacy ritual has room for {AREA_BYTES - 1:,}: "
            "one of the codex or sangha-1 ABI has no such limit"
        )
    if not guest.has(at, AREA_BYTES):
        raise rejected(f"its memory has no room for {what} at {at:,}: a legacy ritual needs a page of memory")
    guest.write(at, text + b"\0", what)

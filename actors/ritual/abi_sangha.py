"""The sangha-1 ABI: JSON in, JSON out.

1. The host calls ``alloc(n)`` for the n bytes of the input; the ritual gives an address (0 means that it could not).
2. It writes there ``{"state": {...}, "parameters": {...}, "intention": "...", "participants": 12}`` (the last one only in a
   group ritual) and calls ``execute(address, n)``.
3. The answer is an i64: the address of the result in the upper 32 bits, its length in the lower ones. The result is
   ``{"state": {...}, "emerged_symbols": [...], "integration_required": [...], "log": [...]}``; ``state`` has to be there, and
   what it leaves out stays as it was. It may lie where the input lay.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.ritual.abi_values import Draft, draft_of_result, failed
from actors.ritual.guest import Guest
from actors.ritual.values import RunRequest

_encode: Final = msgspec.json.Encoder().encode


def execute(guest: Guest, request: RunRequest, output_bytes: int) -> Draft:
    """Run it to its end. Raises RunFailure."""
    text = _encode(_input(request))
    at = guest.call_u32("alloc", len(text))
    if not at:
        raise failed(f"alloc({len(text)}) gave 0: it found no room for its input")
    guest.write(at, text, f"alloc({len(text)}) gave {at}")
    packed = guest.call_u64("execute", at, len(text))
    where, (result_at, size) = "the result of execute", (packed >> 32, packed & 0xFFFFFFFF)
    if not size:
        raise failed(
            f"{where} is empty: the lower 32 bits of what it answers are the length, the upper ones the address"
        )
    if size > output_bytes:
        guest.check(result_at, size, where)
        raise failed(f"{where} has {size:,} bytes; {output_bytes:,} are allowed")
    return draft_of_result(guest.read(result_at, size, where), request.state, guest.log, where)


def _input(request: RunRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "state": request.state,
        "parameters": msgspec.Raw(request.parameters),
        "intention": request.intention,
    }
    return fields if request.participants is None else fields | {"participants": request.participants}

"""What binds a ritual, from the settings: the same for a server's sandboxes, an author's trial and a replay."""

from __future__ import annotations

from actors.ritual.engine import SandboxLimits
from server.settings import Settings


def sandbox_limits(settings: Settings, *, fuel: int | None = None) -> SandboxLimits:
    """The settings' limits; ``fuel`` in place of theirs is what a recorded run had."""
    return SandboxLimits(
        memory_bytes=settings.wasm_max_memory, fuel=fuel or settings.ritual_fuel, deadline_s=settings.ritual_deadline_s
    )

"""What crosses between a practitioner, a sandbox and a space when a ritual runs. Pure values.

A sandbox is asked with a ``RunRequest`` (or ``CheckRequest``) and always answers with a ``RunOutcome`` (``CheckReport``):
a ritual that traps, loops or lies is an outcome and not an error of the link, so the effect that asked is done. What a run
gives depends on nothing but its request and the module: the same request gives the same outcome, bit for bit, which is why
a sandbox that died may simply be asked again, and why a recorded run can be replayed.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.codec import Codec, CommandCodec
from actors.runtime.entity import Struct

NAMESPACE: Final = uuid.UUID("0d5f5b0e-6a43-5c1e-8f0a-7b2f6f3c9d10")
MODULE_BYTES_MAX: Final = 4 * 2**20
"""Of an uploaded module: the limit of the upload's contract."""
PARAMETERS_BYTES: Final = 16 * 1024
INTENTION_MAX: Final = 2_000

Abi = Literal["codex", "legacy", "sangha-1"]
FailureCode = Literal["ritual_failed", "ritual_rejected", "actor_unavailable"]
"""failed: this run of it; rejected: the module itself; actor_unavailable: not its fault, try again."""


class Brief(Struct, frozen=True, kw_only=True):
    """What has to be known of a ritual to run it. Given by the ritual's entity, which also saw to it that the caller may."""

    id: str
    name: str
    module_hash: str
    """SHA-256 of the module, hex."""
    required_archetypes: tuple[str, ...] = ()
    """Each must be active (strength > 0)."""
    energy_requirements: Mapping[str, float] = {}
    """The least level of each energy."""


class RunRequest(Struct, frozen=True, kw_only=True, tag="run"):
    """Run a ritual once. ``run`` seeds all chance in it."""

    run: str
    ritual: str
    module_hash: str
    state: ArchetypalState
    parameters: bytes = b"{}"
    """A JSON object."""
    intention: str = ""
    participants: int | None = None
    """How many take part, where it is a group ritual."""


class CheckRequest(Struct, frozen=True, kw_only=True, tag="check"):
    """Inspect, compile and run a module once on an example state, as an upload does."""

    module: bytes
    required_archetypes: tuple[str, ...] = ()
    energy_requirements: Mapping[str, float] = {}


SandboxCommand = RunRequest | CheckRequest
codec: Final[CommandCodec[SandboxCommand]] = CommandCodec(SandboxCommand)
encode = codec.encode


class RunOutcome(Struct, frozen=True, kw_only=True):
    """How a run ended. With ``code`` it failed: ``state`` is None then and nothing of it counts."""

    code: FailureCode | None = None
    message: str = ""
    """What was wrong, told to the practitioner and the author."""
    state: ArchetypalState | None = None
    emerged_symbols: tuple[str, ...] = ()
    integration_required: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    """Paths (``archetypes.Shadow``) of values that the ritual set beyond [0, 1] and that were clamped."""
    log: tuple[str, ...] = ()
    resonance: float | None = None
    """What a codex ritual's ``get_resonance`` says."""
    fuel: int = 0
    """Instructions' fuel used; part of what a replay must match."""
    duration_us: int = 0
    """Wall time inside the sandbox; not part of what a replay must match."""


class CheckReport(Struct, frozen=True, kw_only=True):
    """What is known of a module. ``accepted`` False: ``problems`` says why, each a sentence that an author can act on."""

    accepted: bool
    module_hash: str
    abi: Abi | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    """``module.name``"""
    exports: tuple[str, ...] = ()
    functions: int = 0
    memory_pages_min: int = 0
    memory_pages_max: int | None = None
    dry_run: RunOutcome | None = None


outcome_codec: Final[Codec[RunOutcome]] = Codec(RunOutcome, 1)
report_codec: Final[Codec[CheckReport]] = Codec(CheckReport, 1)


class Contribution(Struct, frozen=True, kw_only=True):
    """What one participant brings to a group ritual's collective state: the answer to ``RunInGroup``."""

    status: Literal["transformed", "failed"]
    code: str | None = None
    message: str = ""
    archetypes: Mapping[str, float] = {}
    energies: Mapping[str, float] = {}
    symbols: tuple[str, ...] = ()
    intensity: float = 0.0
    oracle_consent: bool = False


def run_id_of(operation: str) -> str:
    """The id of the run (``session_id``) that an operation starts."""
    return str(uuid.uuid5(NAMESPACE, operation))


def group_run_id(group: str, practitioner: str) -> str:
    """The id of a participant's run in a group ritual: there is exactly one."""
    return str(uuid.uuid5(NAMESPACE, f"{group}:{practitioner}"))


def parse_contribution(reply: bytes) -> Contribution:
    """From the reply of an effect."""
    return msgspec.json.decode(reply, type=Contribution)

"""What an oracle is asked and answers. Pure values; the oracle's worker decodes the one and encodes the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.codec import Codec, CommandCodec
from actors.runtime.entity import Struct

InsightType = Literal["interpretation", "guidance", "warning", "celebration"]


class Consult(Struct, frozen=True, kw_only=True, tag="consult"):
    """Ask about a run (``pre`` and ``post``), about a state alone (``post``), or about a group (``collective``).

    ``consent`` False: nothing of this may leave the server; rules answer.
    """

    id: str
    consent: bool = False
    ritual_name: str | None = None
    intention: str = ""
    pre: ArchetypalState | None = None
    post: ArchetypalState | None = None
    intensity: float | None = None
    collective: Mapping[str, Any] | None = None
    """A group's summary, as ``actors.space.collective.collective`` makes it."""


codec: Final[CommandCodec[Consult]] = CommandCodec(Consult)
encode = codec.encode


class Insight(Struct, frozen=True, kw_only=True):
    """An oracle's answer. ``confidence_score`` is None where the model gives no probabilities to derive one from."""

    insight_type: InsightType
    interpretation: str
    symbolic_analysis: tuple[str, ...] = ()
    integration_guidance: tuple[str, ...] = ()
    emergent_symbols: tuple[str, ...] = ()
    next_rituals: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    oracle_model: str
    confidence_score: float | None = None
    notice: str | None = None
    """Why this is not what was asked for: "Oracle consultation unavailable: …; rules answered instead"."""
    tokens: int = 0
    """What the consultation used up, where a model answered."""


insight_codec: Final[Codec[Insight]] = Codec(Insight, 1)

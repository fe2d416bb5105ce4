"""What an oracle is asked and answers: an insight at once, or a text that is read as it is written.

Pure values; the oracle's worker decodes the one and encodes the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from actors.practitioner.archetypal_state import ArchetypalState
from actors.runtime.codec import Codec, CommandCodec, Uuid
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


TextKind = Literal["prayer", "dedication", "teaching", "meditation"]


class Write(Struct, frozen=True, kw_only=True, tag="write"):
    """Begin a text. ``id`` is the asker's name for it: the same again is the same text. Answers ``Piece``, with no text yet."""

    id: Uuid
    kind: TextKind
    intention: str = ""
    max_tokens: int = 600


class ReadOn(Struct, frozen=True, kw_only=True, tag="read_on"):
    """What there is of a text after so many characters; waits a while where there is nothing yet. Answers ``Piece``."""

    id: Uuid
    after: int = 0


class GiveUp(Struct, frozen=True, kw_only=True, tag="give_up"):
    """Nobody wants the text any more. Answers nothing."""

    id: Uuid


Command = Consult | Write | ReadOn | GiveUp
codec: Final[CommandCodec[Command]] = CommandCodec(Command)
encode = codec.encode


class Ending(Struct, frozen=True, kw_only=True):
    """How a text came to its end, and who wrote it."""

    model: str
    source: Literal["model", "written"]
    complete: bool = True
    """False: the model was cut off; ``notice`` says by what."""
    notice: str | None = None
    title: str | None = None
    text_id: str | None = None
    tokens: int = 0


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a text; ``ending`` is there with the last one."""

    id: Uuid
    text: str = ""
    ending: Ending | None = None


piece_codec: Final[Codec[Piece]] = Codec(Piece, 1)


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

"""Prayers, dedications, teachings and guided meditations, written for Sangha: ``prayers.json``. Pure once it is read.

None is a liturgy of a tradition, and none is copied. Mantras are short formulas that are everybody's.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from actors.runtime.entity import Struct

TextKind = Literal["prayer", "dedication", "teaching", "meditation"]
ORIGIN: Final = "written for Sangha"
DEFAULT_DEDICATION: Final = "merit-to-all"
_WORD: Final = re.compile(r"[^\W\d_]{3,}")


class Written(Struct, frozen=True, kw_only=True):
    """A text of the collection. ``themes``: single words of what it is about."""

    id: Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$(?!\n)", max_length=60)]
    kind: TextKind
    title: str
    text: str
    themes: tuple[str, ...]
    origin: str = ORIGIN


class MantraShown(Struct, frozen=True, kw_only=True):
    """A mantra that a wheel may be given; any other text may be, too."""

    mantra: str
    of: Annotated[str, Meta(description="whose it is, or what it calls on")]


MANTRAS: Final = (
    MantraShown(mantra="Om Mani Padme Hum", of="Avalokiteshvara, compassion"),
    MantraShown(mantra="Om Tare Tuttare Ture Soha", of="Tara, swift help"),
    MantraShown(mantra="Om Ah Hum Vajra Guru Padma Siddhi Hum", of="Padmasambhava"),
    MantraShown(mantra="Om Ami Dewa Hri", of="Amitabha, boundless light"),
    MantraShown(mantra="Gate Gate Paragate Parasamgate Bodhi Svaha", of="the perfection of wisdom"),
    MantraShown(mantra="Om Shanti Shanti Shanti", of="peace"),
)
COLLECTION: Final = msgspec.json.decode(
    files(__package__).joinpath("prayers.json").read_bytes(), type=tuple[Written, ...]
)
BY_ID: Final = {each.id: each for each in COLLECTION}


def of_kind(kind: TextKind) -> tuple[Written, ...]:
    """The texts of a kind, in their order."""
    return tuple(each for each in COLLECTION if each.kind == kind)


def fitting(kind: TextKind, intention: str, turn: int = 0) -> Written:
    """The text of a kind that shares the most words with an intention (themes count twice, then titles and texts); of equals the
    ``turn``-th, so that who asks again may be given another."""
    wanted = set(_WORD.findall(intention.casefold()))

    def shared(text: Written) -> int:
        words = set(_WORD.findall(f"{text.title} {text.text}".casefold()))
        return 2 * len(wanted & set(text.themes)) + len(wanted & words)

    texts = of_kind(kind)
    most = max(shared(text) for text in texts)
    best = [text for text in texts if shared(text) == most]
    return best[turn % len(best)]

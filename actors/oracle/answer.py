"""A language model's answer as text becomes an insight's parts, or is refused. Pure.

Three forms are read: the JSON object that was asked for; the same inside prose or a code fence; the six numbered sections
of the Control Engine's prompt as plain text. A JSON object that is cut off or of another shape is refused: half an insight
is none. Whatever is let through is bounded and free of control characters, also of those that turn the direction of text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

from actors.runtime.entity import Struct

INTERPRETATION_MAX: Final = 4_000
ITEM_MAX: Final = 600
NAME_MAX: Final = 100
"""Of a symbol, as of the symbols of a state."""
ITEMS_MAX: Final = 12
"""Of each list: the seed asks for six sections in 1,000 tokens."""

LISTS: Final = ("symbolic_analysis", "integration_guidance", "emergent_symbols", "next_rituals", "cautions")
FIELDS: Final = ("interpretation", *LISTS)


class NotAnInsight(ValueError):
    """The text is none. The message says why and repeats nothing of it."""


class Parts(Struct, frozen=True, kw_only=True):
    """What a model said, by field of the insight."""

    interpretation: str
    symbolic_analysis: tuple[str, ...] = ()
    integration_guidance: tuple[str, ...] = ()
    emergent_symbols: tuple[str, ...] = ()
    next_rituals: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()


def schema(text_max: int | None = None, items_max: int | None = None) -> dict[str, Any]:
    """The JSON schema of an answer. Without bounds, which not every endpoint takes; ours are applied to the answer anyway.

    A small model that is held to a grammar needs them, or it never comes to the end.
    """
    text: dict[str, Any] = {"type": "string"}
    if text_max is not None:
        text["maxLength"] = text_max
    texts: dict[str, Any] = {"type": "array", "items": text}
    if items_max is not None:
        texts["maxItems"] = items_max
    return {
        "type": "object",
        "properties": {"interpretation": text, **dict.fromkeys(LISTS, texts)},
        "required": list(FIELDS),
        "additionalProperties": False,
    }


def parse(text: str) -> Parts:
    """Raises NotAnInsight."""
    found = False
    for value in _objects(text):
        found = True
        if "interpretation" in value:
            return _of_fields(value)
    if sections := _sections(text):
        return _of_sections(sections)
    if found:
        raise NotAnInsight("the JSON has another shape than was asked for")
    if text.lstrip().startswith(("{", "```")):
        raise NotAnInsight("the JSON is not complete")
    raise NotAnInsight("there is neither JSON nor the six sections in it")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The outermost JSON objects that stand in a text, a few attempts long: ``{`` may also be a bracket in prose."""
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(8):
        if (at := text.find("{", at)) < 0:
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
        else:
            yield value


def _of_fields(value: dict[str, Any]) -> Parts:
    interpretation = value["interpretation"]
    if not isinstance(interpretation, str):
        raise NotAnInsight("interpretation is not text")
    lists: dict[str, tuple[str, ...]] = {}
    for name in LISTS:
        items = value.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise NotAnInsight(f"{name} is not a list of texts")
        lists[name] = tuple(items)
    return _bounded(interpretation, lists)


_SECTION: Final = re.compile(
    r"^[ \t#>*_]*([1-6])[.)][\s*_]*"
    r"(?:symbolic interpretation|integration guidance|emergent symbols|shadow dynamics|next steps|warnings?)\b[\s*_:]*",
    re.MULTILINE | re.IGNORECASE,
)
_BULLET: Final = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")
_NOTHING: Final = re.compile(
    r"(?:none|n/?a|nothing)(?: (?:at this time|needed|to warn of))?[.!]?|no (?:\w+ ){0,2}(?:warnings?|cautions?)\b.{0,40}",
    re.IGNORECASE,
)
"""A section that says that there is nothing to say."""


def _sections(text: str) -> dict[int, str]:
    """The text below each numbered heading. Empty without the first, which is the interpretation."""
    headings = list(_SECTION.finditer(text))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    found = {int(at[1]): text[at.end() : end].strip() for at, end in zip(headings, ends, strict=False)}
    return found if found.get(1) else {}


def _of_sections(sections: dict[int, str]) -> Parts:
    return _bounded(
        sections[1],
        {
            "symbolic_analysis": _items(sections.get(4, "")),
            "integration_guidance": _items(sections.get(2, "")),
            "emergent_symbols": _items(sections.get(3, "")),
            "next_rituals": _items(sections.get(5, "")),
            "cautions": _items(sections.get(6, "")),
        },
    )


def _items(section: str) -> tuple[str, ...]:
    """A section's lines, or paragraphs, as a list."""
    return tuple(_BULLET.sub("", line) for line in section.splitlines())


def _bounded(interpretation: str, lists: dict[str, tuple[str, ...]]) -> Parts:
    text = clean(interpretation, INTERPRETATION_MAX)
    if not text:
        raise NotAnInsight("the interpretation is empty")
    kept = {
        name: tuple(_kept(items, NAME_MAX if name == "emergent_symbols" else ITEM_MAX)) for name, items in lists.items()
    }
    return Parts(interpretation=text, **kept)


def _kept(items: tuple[str, ...], longest: int) -> list[str]:
    cleaned = (clean(item, longest) for item in items)
    return [item for item in cleaned if item and not _NOTHING.fullmatch(item)][:ITEMS_MAX]


def clean(text: str, longest: int) -> str:
    """Without what is not text (controls but line breaks, halves of surrogate pairs, direction marks), cut at ``longest``."""
    kept = "".join(char for char in text[: 4 * longest] if char in "\n\t" or not _unwanted(char)).strip()
    return kept if len(kept) <= longest else kept[: longest - 1].rstrip() + "…"


def plain(text: str) -> str:
    """A piece of a text without what is not text; nothing is cut."""
    return "".join(char for char in text if char in "\n\t" or not _unwanted(char))


def _unwanted(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Cc", "Cs") or char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )

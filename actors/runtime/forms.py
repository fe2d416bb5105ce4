"""What form a text is to have, in words: for who sent another and cannot read a regular expression. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec import inspect

_STEP: Final = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_KNOWN: Final = {
    repr(pattern): words
    for words, patterns in {
        "a UUID in lower case": (r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$(?!\n)",),
        "a text without control characters": (r"^[^\x00-\x1f\x7f]+$(?!\n)", r"^[^\x00-\x1f\x7f]*$(?!\n)"),
        "a text without U+0000": (r"^[^\x00]*$", r"^[^\x00]+$"),
        "a text that is not blank, without U+0000": (r"^(?!\s*$)[^\x00]*$",),
        "1 to 100 of A-Z a-z 0-9 . _ -": (r"^[A-Za-z0-9._-]{1,100}$(?!\n)",),
        "64 hexadecimal digits in lower case": (r"^[0-9a-f]{64}$(?!\n)", "^[0-9a-f]{64}$"),
    }.items()
    for pattern in patterns
}


def form_of(pattern: str, type_: Any, where: str) -> str | None:
    """The form of a pattern (as msgspec shows it), or of what is at a path of a type, by its description: that of the type itself
    before that of the field. None where nobody said."""
    if (known := _KNOWN.get(pattern)) is not None or type_ is None:
        return known
    kinds = list(_all([inspect.type_info(type_)]))
    for step in _STEP.findall(where):
        kinds = list(_all(_next(kinds, step)))
    told = [(kind.extra_json_schema or {}) for kind in kinds if isinstance(kind, inspect.Metadata)]
    descriptions = [each["description"] for each in told if "description" in each]
    return descriptions[-1] if descriptions else None


def _all(kinds: Iterable[inspect.Type]) -> Iterator[inspect.Type]:
    """The types, with those within unions and annotations, which come after them."""
    for kind in kinds:
        yield kind
        if isinstance(kind, inspect.Metadata):
            yield from _all([kind.type])
        elif isinstance(kind, inspect.UnionType):
            yield from _all(kind.types)


def _next(kinds: Iterable[inspect.Type], step: str) -> Iterator[inspect.Type]:
    for kind in kinds:
        if isinstance(kind, inspect.StructType):
            yield from (field.type for field in kind.fields if field.encode_name == step)
        elif step.startswith("["):
            if isinstance(kind, inspect.ListType | inspect.VarTupleType | inspect.SetType | inspect.FrozenSetType):
                yield kind.item_type
            elif isinstance(kind, inspect.DictType):
                yield kind.value_type
            elif isinstance(kind, inspect.TupleType):
                yield from kind.item_types

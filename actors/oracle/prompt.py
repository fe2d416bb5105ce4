"""What a language model is asked: the Control Engine's prompt from ``prompt.md``, filled with one consultation. Pure.

What practitioners wrote (names, intentions) stands inside JSON text, where no quotation mark and no line break of theirs
ends it; in the lines of the context, line breaks and other controls become spaces. Still a model may be talked into
anything: its answer is only ever shown as text, and validated before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

from actors.oracle.context import Shift, added, shifts
from actors.oracle.values import Consult
from actors.practitioner.archetypal_state import ArchetypalState

ENTRIES_MAX: Final = 64
"""Of each part of a state: the strongest, or the newest. A whole state of 256 long names is some 40,000 tokens."""
NAME_MAX: Final = 255

_PART: Final = re.compile(r"^=== (\w+)\n(.*?)\n*(?=^=== |\Z)", re.MULTILINE | re.DOTALL)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def parts(text: str) -> dict[str, Template]:
    """The named parts of a template file."""
    return {name: Template(body) for name, body in _PART.findall(text)}


PARTS: Final = parts(files(__package__).joinpath("prompt.md").read_text("utf-8"))


def messages(consult: Consult) -> list[dict[str, str]]:
    """The chat that asks for one insight."""
    return [
        {"role": "system", "content": PARTS["system"].template},
        {"role": "user", "content": f"{request(consult)}\n\n{PARTS['format'].template}"},
    ]


def request(consult: Consult) -> str:
    """The request itself, in the Control Engine's words."""
    told: dict[str, str] = {
        "closing": PARTS["closing"].template,
        "ritual": _quoted((consult.ritual_name or "")[:NAME_MAX]),
        "intention": _quoted(consult.intention),
    }
    if consult.collective is not None:
        return PARTS["group"].substitute(told, collective=_pretty(_bounded(consult.collective)))
    post = consult.post or ArchetypalState()
    if consult.pre is None:
        return PARTS["state"].substitute(told, post=pretty(post))
    return PARTS["run"].substitute(
        told,
        pre=pretty(consult.pre),
        post=pretty(post),
        intensity=f"{consult.intensity or 0.0:.2f}",
        context=context(consult.pre, post),
    )


def context(pre: ArchetypalState, post: ArchetypalState) -> str:
    """What shifted, in the Control Engine's form; it ends with a line break."""
    told = ["ARCHETYPAL SHIFTS:\n", *_lines(shifts(pre.archetypes, post.archetypes), "")]
    told += ["\nENERGETIC SHIFTS:\n", *_lines(shifts(pre.energies, post.energies), " Energy")]
    if new := added(pre.integrations, post.integrations):
        told.append(f"\nNEW INTEGRATIONS: {_quoted(new[-ENTRIES_MAX:])}\n")
    if new := added(pre.symbols, post.symbols):
        told.append(f"EMERGED SYMBOLS: {_quoted(new[-ENTRIES_MAX:])}\n")
    return "".join(told)


def pretty(state: ArchetypalState) -> str:
    """A state as indented JSON, each part bounded; what was left out is counted below it."""
    shown: dict[str, Any] = {
        "archetypes": _strongest(state.archetypes),
        "energies": _strongest(state.energies),
        "integrations": state.integrations[-ENTRIES_MAX:],
        "symbols": state.symbols[-ENTRIES_MAX:],
        "transformations": state.transformations[-ENTRIES_MAX:],
    }
    left_out = sum(len(getattr(state, name)) - len(part) for name, part in shown.items())
    return _pretty(shown) + (f"\n({left_out} weaker or older entries are not shown)" if left_out else "")


def _lines(moved: Sequence[Shift], suffix: str) -> list[str]:
    strongest = sorted(moved, key=lambda shift: -abs(shift.change))[:ENTRIES_MAX]
    return [
        f"  {_CONTROL.sub(' ', shift.name)}{suffix}: {shift.pre:.2f} → {shift.post:.2f} ({shift.change:+.2f})\n"
        for shift in moved
        if shift in strongest
    ]


def _strongest(strengths: Mapping[str, float]) -> Mapping[str, float]:
    if len(strengths) <= ENTRIES_MAX:
        return strengths
    kept = sorted(strengths, key=lambda name: -strengths[name])[:ENTRIES_MAX]
    return {name: strengths[name] for name in kept}


def _bounded(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A group's summary with at most so many entries of each part."""
    return {
        name: dict(list(value.items())[:ENTRIES_MAX])
        if isinstance(value, Mapping)
        else value[:ENTRIES_MAX]
        if isinstance(value, list | tuple)
        else value
        for name, value in list(summary.items())[:ENTRIES_MAX]
    }


def _pretty(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

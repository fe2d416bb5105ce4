"""README.md as the tests read it: its code blocks by section, its tables as rows. Run, it prints the table of settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import AliasChoices

from server.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A fenced block and the heading that it stands under."""

    section: str
    language: str
    text: str


def blocks() -> list[Block]:
    """Every fenced block, in order."""
    found, section = [], ""
    for part in re.finditer(r"^(#+) ([^\n]+)$|^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        if part[1]:
            section = part[2]
        else:
            found.append(Block(section, part[3], part[4]))
    return found


def blocks_of(section: str, language: str | None = None) -> list[Block]:
    """The blocks of one section."""
    return [b for b in blocks() if b.section == section and language in (None, b.language)]


def table_of(section: str) -> list[list[str]]:
    """The rows of all tables of one section, cells stripped, without the headings."""
    body = re.search(rf"^#+ {re.escape(section)}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert body is not None, f"README has no section {section!r}"
    lines = [line for line in body[1].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rules = [n for n, row in enumerate(rows) if all(re.fullmatch(r":?-+:?", cell) for cell in row)]
    return [row for n, row in enumerate(rows) if n not in rules and n + 1 not in rules]


def names_in(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def alike(text: str) -> str:
    """Text with whatever differs from run to run replaced: ids, times, tokens, blanks at line ends."""
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID", text)
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME", text)
    text = re.sub(r'"token": "[\w-]{43}"', '"token": "TOKEN"', text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def steady(text: str) -> str:
    """``alike``, and without what differs from one version of a compiler to the next, or by what a run was seeded with."""
    text = re.sub(r'"duration_ms": [\d.e-]+', '"duration_ms": N', alike(text))
    return re.sub(r"\b[0-9a-f]{64}\b", "SHA-256", re.sub(r"\bfuel( +|\": )[\d,]+", r"fuel\1N", text))


def settings_rows() -> list[str]:
    """The table of settings, from the code."""
    rows = ["| setting | environment | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [f"SANGHA_{name.upper()}"]
        variables = " ".join(f"`{variable}`" for variable in names if variable != name)
        rows.append(f"| `{name}` | {variables} | {_shown(field.default)} | {field.description} |")
    return rows


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default:g}`" if isinstance(default, float) and default < 10**5 else f"`{default}`"


if __name__ == "__main__":
    print("\n".join(settings_rows()))  # noqa: T201 - it is what this file is run for

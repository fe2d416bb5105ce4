"""What a guest says, judged: names, numbers, log lines, the JSON of a new state. Pure; the three ABIs share it.

Strengths and levels beyond [0, 1] are clamped and noted; all else that is out of bounds (NaN, infinities, invalid UTF-8, too
many or too long names) fails the run with a ``RunFailure`` that says what it was. A new state may leave fields out: those
stay as they were, so a ritual that forgets one destroys nothing.

``Chance`` is all the chance there is: the n-th block is SHA-256("sangha.chance" + run id + n as 8 bytes, big-endian), each
block gives four doubles, from the upper 53 bits of four little-endian 64-bit words divided by 2^53: uniform in [0, 1), the
same for the same run anywhere.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from actors.practitioner.archetypal_state import ENTRIES_MAX, NAME_MAX, ArchetypalState
from actors.ritual.values import FailureCode
from actors.runtime.codec import field_error
from actors.runtime.entity import Struct

T = TypeVar("T")

LOG_LINES: Final = 100
LOG_CHARACTERS: Final = 500
"""Of a line. What is beyond is cut and said to be: a log is for the author, the transformation counts without it."""
LOG_BYTES: Final = LOG_CHARACTERS * 4
"""What is looked at of a line, so that a log by the megabyte costs nothing."""
NAME_BYTES: Final = 512
"""Of a name, with what NULs may follow it: 100 characters of at most four bytes."""
SHOWN_MAX: Final = 80


class RunFailure(Exception):
    """The run ends here. ``own``: the ritual itself said that it does not succeed, in an orderly way."""

    def __init__(self, code: FailureCode, message: str, *, own: bool = False) -> None:
        super().__init__(message)
        self.code, self.message, self.own = code, message, own


def failed(message: str) -> RunFailure:
    """This run of it failed."""
    return RunFailure("ritual_failed", message)


def rejected(message: str) -> RunFailure:
    """The module itself, or its fit to its ABI, is at fault."""
    return RunFailure("ritual_rejected", message)


class Draft(NamedTuple):
    """What a ritual that ran to its end wants: still to become an outcome."""

    state: ArchetypalState
    emerged_symbols: tuple[str, ...] = ()
    integration_required: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    resonance: float | None = None


def shown(name: str) -> str:
    """A text of the guest's choosing, fit for a message: short and printable."""
    clean = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in name[: SHOWN_MAX + 1])
    return clean if len(clean) <= SHOWN_MAX else clean[:SHOWN_MAX] + "…"


def text_of(raw: bytes, where: str) -> str:
    """UTF-8, without the NULs that may follow it: published rituals count one in."""
    try:
        return raw.rstrip(b"\0").decode()
    except UnicodeDecodeError as wrong:
        raise failed(f"{where}: the text is not valid UTF-8 (byte {wrong.start} of {len(raw)})") from wrong


def check_name(name: str, where: str) -> str:
    """The same name. Raises where it cannot be one."""
    if not name:
        raise failed(f"{where}: the name is empty")
    if len(name) > NAME_MAX:
        raise failed(f"{where}: the name `{shown(name)}` has {len(name):,} characters; {NAME_MAX} are allowed")
    if "\0" in name:
        raise failed(f"{where}: the name `{shown(name)}` has the character U+0000 in it")
    return name


def strength(value: float, path: str, clamped: dict[str, None]) -> float:
    """In [0, 1], clamped and noted where it was not."""
    if 0.0 <= value <= 1.0:
        return value + 0.0  # -0.0 becomes 0.0
    if not math.isfinite(value):
        raise failed(f"{path} was set to {value}: a strength or level is a finite number")
    clamped[path] = None
    return 0.0 if value < 0 else 1.0


def room_for(entries: int, field: str) -> None:
    """Raises where another entry is one too many."""
    if entries >= ENTRIES_MAX:
        raise failed(f"{field}: more than {ENTRIES_MAX} entries; {ENTRIES_MAX} are allowed")


class Log:
    """The lines that a ritual logs, bounded."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._dropped = 0

    def add(self, line: str, cut: bool = False) -> None:
        """``cut``: more followed that was not looked at."""
        if len(self._lines) >= LOG_LINES:
            self._dropped += 1
            return
        line = line.replace("\0", "\N{REPLACEMENT CHARACTER}")
        self._lines.append(line if len(line) <= LOG_CHARACTERS and not cut else line[:LOG_CHARACTERS] + "…")

    def add_raw(self, raw: bytes, cut: bool, where: str) -> None:
        """A line as UTF-8; where it was ``cut``, perhaps within a character."""
        try:
            self.add(raw.rstrip(b"\0").decode(), cut)
        except UnicodeDecodeError as wrong:
            if not cut or wrong.start < len(raw) - 3:
                raise failed(f"{where}: the text is not valid UTF-8 (byte {wrong.start})") from wrong
            self.add(raw[: wrong.start].decode(), cut)

    @property
    def last(self) -> str:
        """Of the lines that were kept; empty where there is none."""
        return self._lines[-1] if self._lines else ""

    @property
    def lines(self) -> tuple[str, ...]:
        """With a last line that says what was left out."""
        left_out = (f"[{self._dropped:,} more lines were left out]",) if self._dropped else ()
        return (*self._lines, *left_out)


class Chance:
    """The doubles of a run."""

    def __init__(self, run: str) -> None:
        self._seed, self._block, self._words = b"sangha.chance" + run.encode(), 0, b""

    def next(self) -> float:
        """Uniform in [0, 1)."""
        if not self._words:
            self._words = hashlib.sha256(self._seed + self._block.to_bytes(8, "big")).digest()
            self._block += 1
        word, self._words = self._words[:8], self._words[8:]
        return (int.from_bytes(word, "little") >> 11) * 2.0**-53


class NewState(Struct, frozen=True, forbid_unknown_fields=True):
    """A state as a guest writes it; what it leaves out stays as it was."""

    archetypes: Mapping[str, float] | UnsetType = UNSET
    energies: Mapping[str, float] | UnsetType = UNSET
    integrations: tuple[str, ...] | UnsetType = UNSET
    symbols: tuple[str, ...] | UnsetType = UNSET
    transformations: tuple[str, ...] | UnsetType = UNSET


class Result(Struct, frozen=True, forbid_unknown_fields=True):
    """What ``execute`` of sangha-1 answers. Symbols that it does not name as emerged are found by comparing."""

    state: NewState
    emerged_symbols: tuple[str, ...] | UnsetType = UNSET
    integration_required: tuple[str, ...] = ()
    log: tuple[str, ...] = ()


_new_state: Final[msgspec.json.Decoder[NewState]] = msgspec.json.Decoder(NewState)
_result: Final[msgspec.json.Decoder[Result]] = msgspec.json.Decoder(Result)


def draft_of_state(text: bytes, before: ArchetypalState, where: str) -> Draft:
    """From the JSON of a new state (legacy)."""
    state, clamped = _applied(_decoded(_new_state.decode, text, where), before, where)
    return Draft(state, _emerged(state, before), (), clamped)


def draft_of_result(text: bytes, before: ArchetypalState, log: Log, where: str) -> Draft:
    """From the JSON of a ``Result`` (sangha-1)."""
    result = _decoded(_result.decode, text, where)
    for line in result.log:
        log.add(line)
    state, clamped = _applied(result.state, before, f"{where}: state")
    emerged = result.emerged_symbols
    return Draft(
        state,
        _emerged(state, before) if emerged is UNSET else _names(emerged, f"{where}: emerged_symbols"),
        _names(result.integration_required, f"{where}: integration_required"),
        clamped,
    )


def _decoded(decode: Callable[[bytes], T], text: bytes, where: str) -> T:
    try:
        return decode(text)
    except msgspec.ValidationError as wrong:
        error = field_error(wrong)
        raise failed(
            f"{where}: {shown(error.path)}: {shown(error.message)}" if error.path else f"{where}: {error.message}"
        ) from wrong
    except UnicodeDecodeError as wrong:
        raise failed(f"{where} is not valid UTF-8") from wrong
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise failed(f"{where} is not JSON ({shown(str(wrong))}; NaN and Infinity are not JSON)") from wrong


def _applied(new: NewState, before: ArchetypalState, where: str) -> tuple[ArchetypalState, tuple[str, ...]]:
    clamped: dict[str, None] = {}
    state = ArchetypalState(
        archetypes=before.archetypes
        if new.archetypes is UNSET
        else _strengths(new.archetypes, "archetypes", where, clamped),
        energies=before.energies if new.energies is UNSET else _strengths(new.energies, "energies", where, clamped),
        integrations=before.integrations
        if new.integrations is UNSET
        else _names(new.integrations, f"{where}: integrations"),
        symbols=before.symbols if new.symbols is UNSET else _names(new.symbols, f"{where}: symbols"),
        transformations=(
            before.transformations
            if new.transformations is UNSET
            else _names(new.transformations, f"{where}: transformations")
        ),
    )
    return state, tuple(clamped)


def _strengths(given: Mapping[str, float], field: str, where: str, clamped: dict[str, None]) -> dict[str, float]:
    _few_enough(given, f"{where}: {field}")
    return {
        check_name(name, f"{where}: {field}"): strength(float(value), f"{field}.{name}", clamped)
        for name, value in given.items()
    }


def _names(given: tuple[str, ...], where: str) -> tuple[str, ...]:
    _few_enough(given, where)
    return tuple(check_name(name, where) for name in given)


def _few_enough(given: Mapping[str, float] | tuple[str, ...], where: str) -> None:
    if len(given) > ENTRIES_MAX:
        raise failed(f"{where} has {len(given):,} entries; {ENTRIES_MAX} are allowed")


def _emerged(state: ArchetypalState, before: ArchetypalState) -> tuple[str, ...]:
    known: Iterable[str] = set(before.symbols)
    return tuple(dict.fromkeys(symbol for symbol in state.symbols if symbol not in known))

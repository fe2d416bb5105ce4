"""The tokens that a language model may use up in a day (UTC), kept in a small file so that a restart forgets nothing.

What a request may cost at most is written down before it is sent and corrected when the true figure is known: a process that
dies in between has counted too much, never too little. Who cannot count may not spend: with a file that cannot be read or
written nothing is asked, and one that makes no sense is a day's budget used up. One process writes it: there is one oracle.
"""

from __future__ import annotations

import logging
import os
from datetime import date
from pathlib import Path
from typing import Final

import msgspec

from actors.runtime.entity import Struct

log = logging.getLogger(__name__)

FILE_MODE: Final = 0o600


class Spending(Struct, frozen=True, kw_only=True):
    """Tokens of one day."""

    day: date
    tokens: int

    def on(self, day: date) -> Spending:
        """As of this day: a new day begins at 0."""
        return self if self.day == day else Spending(day=day, tokens=0)

    def plus(self, tokens: int) -> Spending:
        """More spent, or (negative) less than was thought."""
        return Spending(day=self.day, tokens=max(0, self.tokens + tokens))


class OverBudget(Exception):
    """The day's tokens are used up."""


class CannotCount(Exception):
    """The file cannot be read or written."""


class Ledger:
    """``Spending`` in a file, never beyond ``tokens_per_day``.

    Its methods write and sync in place, some milliseconds each: they cannot be cancelled half-way and need no lock.
    """

    def __init__(self, path: Path, tokens_per_day: int) -> None:
        self._path, self._limit = path, tokens_per_day
        self._spending: Spending | None = None

    def reserve(self, tokens: int, day: date) -> None:
        """Count so many tokens. Raises OverBudget where they do not fit, CannotCount."""
        spent = self._known(day).on(day)
        if spent.tokens + tokens > self._limit:
            raise OverBudget
        self._write(spent.plus(tokens))

    def correct(self, reserved: int, used: int, day: date) -> None:
        """What was reserved on this day was in truth so much. Raises CannotCount."""
        spent = self._known(day)
        if spent.day == day and used != reserved:
            self._write(spent.plus(used - reserved))

    def _known(self, day: date) -> Spending:
        if self._spending is None:
            try:
                self._spending = msgspec.json.decode(self._path.read_bytes(), type=Spending)
            except FileNotFoundError:
                self._spending = Spending(day=day, tokens=0)
            except msgspec.DecodeError:
                log.warning("%s is not ours; the budget of %s counts as used up", self._path, day)
                self._spending = Spending(day=day, tokens=self._limit)
            except OSError as failure:
                raise CannotCount(f"{self._path} cannot be read") from failure
        return self._spending

    def _write(self, spending: Spending) -> None:
        try:
            _replace(self._path, msgspec.json.encode(spending))
        except OSError as failure:
            raise CannotCount(f"{self._path} cannot be written") from failure
        self._spending = spending


def _replace(path: Path, data: bytes) -> None:
    """All of the new file or all of the old one, whatever dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.new")
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)

"""A prayer wheel as its practitioner sees it, and as its rows have it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from actors.prayer import events as e
from actors.prayer.replies import Accumulation, MantraTotal, Spinning, Wheel
from actors.prayer.spin import MILLI, Spin
from actors.prayer.state import Closed, Open, PrayerState
from actors.prayer.values import count_of, key_of
from actors.runtime.entity import Delete, Purge, Row, Upsert

WHEELS: Final = "prayer_wheels"
ACCUMULATIONS: Final = "prayer_accumulations"
STEP_ROWS: Final = 1_000
"""Accumulations that go in one commit of an erasure, as of an account's other rows."""


def wheel(state: PrayerState, now: datetime, concerning: Collection[str] | None = None) -> Wheel:
    """The wheel, with what a spin has turned by now: all of it, or of its accumulations and mantras those of these ids only."""
    spin, turned = state.spin, _turned(state.spin, now)
    spun = "" if spin is None else key_of(state.open[spin.accumulation].mantra)
    shown = tuple(each for id_, each in state.open.items() if concerning is None or id_ in concerning)
    keys = None if concerning is None else {key_of(each.mantra) for each in shown}
    return Wheel(
        practitioner=state.id,
        as_of=now,
        count=count_of(state.rotations + turned),
        spinning=None if spin is None or spin.is_over(now) else _spinning(state, spin, turned),
        accumulations=tuple(accumulation(state, each, now) for each in shown),
        mantras=tuple(
            MantraTotal(mantra=total.mantra, count=count_of(total.rotations + (turned if key == spun else 0)))
            for key, total in state.mantras.items()
            if keys is None or key in keys
        ),
        dedicated=state.begun - len(state.open),
    )


def accumulation(state: PrayerState, found: Open, now: datetime) -> Accumulation:
    """An open one."""
    spun = _turned(state.spin, now) if state.spin is not None and state.spin.accumulation == found.id else 0
    return Accumulation(
        id=found.id,
        mantra=found.mantra,
        intention=found.intention,
        count=count_of(found.rotations + spun),
        began_at=found.began_at,
    )


def dedicated(closed: Closed) -> Accumulation:
    """One that was closed."""
    return Accumulation(
        id=closed.of.id,
        mantra=closed.of.mantra,
        intention=closed.of.intention,
        count=count_of(closed.of.rotations),
        began_at=closed.of.began_at,
        dedicated_at=closed.dedicated_at,
        dedication=closed.text,
        dedication_id=closed.source,
    )


def of_row(row: Mapping[str, Any], now: datetime) -> Accumulation:
    """One as its row has it, with the wheel's spin where that counts into it (``storage.prayer_queries``)."""
    spun = 0
    if row["spin_began_at"] is not None:
        spin = Spin(
            accumulation=row["id"],
            rate_mrpm=row["rate_mrpm"],
            began_at=row["spin_began_at"],
            ends_at=row["spin_ends_at"],
            angle=row["spin_angle"],
        )
        spun = _turned(spin, now)
    return Accumulation(
        id=row["id"],
        mantra=row["mantra"],
        intention=row["intention"],
        count=count_of(row["rotations"] + spun),
        began_at=row["began_at"],
        dedicated_at=row["dedicated_at"],
        dedication=row["dedication"],
        dedication_id=row["dedication_id"],
    )


def _turned(spin: Spin | None, now: datetime) -> int:
    return 0 if spin is None else spin.turned(now)[0]


def _spinning(state: PrayerState, spin: Spin, turned: int) -> Spinning:
    return Spinning(
        accumulation=spin.accumulation,
        mantra=state.open[spin.accumulation].mantra,
        rate_rpm=spin.rate_mrpm / MILLI,
        began_at=spin.began_at,
        ends_at=spin.ends_at,
        rotations=turned,
    )


def rows(event: e.PrayerEvent, state: PrayerState, at: datetime) -> Iterable[Row]:
    """What an event, which led to ``state``, makes of the tables. A list's counts follow from a row as from the state: what a
    spin has turned is in none of them, and the spin stands beside it."""
    match event:
        case e.AccumulationBegan(id=id_):
            yield _wheel(state, at)
            yield _row(state.open[id_], practitioner_id=state.id, began_at=at, updated_at=at)
        case e.IntentionSet(accumulation=id_):
            yield Upsert(table=ACCUMULATIONS, values={"id": id_, "intention": event.intention, "updated_at": at})
        case e.Rotated(accumulation=id_) | e.SpinEnded(accumulation=id_):
            yield _wheel(state, at)
            yield _row(state.open[id_], updated_at=at)
        case e.SpinBegan():
            yield _wheel(state, at)
        case e.Dedicated(accumulation=id_):
            closed = {"dedicated_at": at, "dedication": event.text, "dedication_id": event.source}
            yield Upsert(table=ACCUMULATIONS, values={"id": id_, **closed, "updated_at": at})
        case e.Purged():
            yield Purge(table=ACCUMULATIONS, practitioner=state.id, limit=STEP_ROWS)
        case e.Erased():
            yield Delete(table=WHEELS, id=state.id)  # what is left of the accumulations goes with it


def _wheel(state: PrayerState, at: datetime) -> Upsert:
    spin = state.spin
    values: dict[str, Any] = {
        "id": state.id,
        "rotations": state.rotations,
        "created_at": state.created_at,
        "updated_at": at,
        "spinning": None if spin is None else spin.accumulation,
        "rate_mrpm": None if spin is None else spin.rate_mrpm,
        "spin_began_at": None if spin is None else spin.began_at,
        "spin_ends_at": None if spin is None else spin.ends_at,
        "spin_angle": None if spin is None else spin.angle,
    }
    return Upsert(table=WHEELS, values=values)


def _row(found: Open, **more: Any) -> Upsert:
    values = {"id": found.id, "mantra": found.mantra, "intention": found.intention, "rotations": found.rotations}
    return Upsert(table=ACCUMULATIONS, values=values | more)

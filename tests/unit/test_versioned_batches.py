"""What of versioned rows is written, of what the entries of a batch say."""

from __future__ import annotations

from fakes import BEGIN

from actors.runtime.cell import Cell, Entry, Work
from actors.runtime.commits import make_batch
from actors.runtime.entity import Begin, End, Row, Trim
from actors.runtime.ports import LIVE, Versions

TABLE = "eustress_entity_versions"


def begin(key: str, since: int) -> Begin:
    return Begin(table=TABLE, values=("e", key, since, BEGIN, None))


def entry_with(*rows: Row) -> Entry:
    entry = Entry(Cell("shelf", "e"), Work("e", None))
    entry.rows = list(rows)
    return entry


def over(key: str, since: int, until: int) -> End:
    return End(table=TABLE, key=("e", key), since=since, until=until, at=BEGIN)


def test_begins_and_ends_keep_their_order_and_tables() -> None:
    first, second, third = begin("a", 2), begin("b", 2), begin("a", 3)
    trim = Trim(table="eustress_markers", entity_id="e", before=BEGIN, limit=5)
    other = Begin(table="another", values=("e", "x", 2))
    batch = make_batch(
        [entry_with(over("a", 1, 2), first, second), entry_with(trim, other, third, over("c", 1, 3))], []
    )
    assert batch.trims == [trim]
    assert batch.versions == [
        Versions(table="another", begins=[("e", "x", 2, LIVE, None)]),
        Versions(
            table=TABLE,
            begins=[(*row.values, LIVE, None) for row in (first, second, third)],
            ends=[over("a", 1, 2), over("c", 1, 3)],
        ),
    ]


def test_what_ends_in_the_batch_in_which_it_began_is_written_ended() -> None:
    first, second, third = begin("a", 1), begin("a", 2), begin("a", 3)
    batch = make_batch([entry_with(first), entry_with(over("a", 1, 2), second), entry_with(over("a", 2, 3), third)], [])
    (part,) = batch.versions
    assert part.ends == []
    assert part.begins == [(*first.values, 2, BEGIN), (*second.values, 3, BEGIN), (*third.values, LIVE, None)]


def test_what_ends_twice_is_left_to_storage_to_refuse() -> None:
    batch = make_batch([entry_with(begin("a", 1), over("a", 1, 2), over("a", 1, 2))], [])
    assert batch.versions[0].ends == [over("a", 1, 2)]

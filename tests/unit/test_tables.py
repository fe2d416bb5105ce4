"""Folding a batch's rows."""

from __future__ import annotations

import pytest

from actors.runtime.entity import Delete, Upsert
from storage.pool import BadValue
from storage.tables import TableWrites, coalesce


def space(row_id: str, **values: object) -> Upsert:
    return Upsert(table="collective_spaces", values={"id": row_id, **values})


def test_writes_come_in_the_order_of_table_and_id() -> None:
    rows = [
        Upsert(table="practitioners", values={"id": "1"}),
        space("2"),
        space("1"),
        Delete(table="collective_spaces", id="0"),
    ]
    assert coalesce(rows) == [
        TableWrites(table="collective_spaces", deletes=["0"], upserts=[{"id": "1"}, {"id": "2"}]),
        TableWrites(table="practitioners", deletes=[], upserts=[{"id": "1"}]),
    ]


def test_a_later_row_adds_to_an_earlier_one() -> None:
    (writes,) = coalesce([space("1", name="a", purpose="p"), space("1", name="b")])
    assert writes.upserts == [{"id": "1", "name": "b", "purpose": "p"}]


def test_a_deleted_row_that_comes_back_begins_anew() -> None:
    (writes,) = coalesce([space("1", name="a"), Delete(table="collective_spaces", id="1"), space("1", purpose="p")])
    assert (writes.deletes, writes.upserts) == (["1"], [{"id": "1", "purpose": "p"}])


@pytest.mark.parametrize(
    "row",
    [
        space("1", no_such_column=1),
        Upsert(table="collective_spaces", values={"name": "x"}),
        Upsert(table="strange", values={"id": "1"}),
        Delete(table="strange", id="1"),
    ],
)
def test_what_no_table_has_is_a_bad_value(row: Upsert | Delete) -> None:
    with pytest.raises(BadValue):
        coalesce([row])

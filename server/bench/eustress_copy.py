"""What PostgreSQL itself does with the same rows: COPY over one connection, with as many rows a commit as a request had.

Into a table without indexes, and into one with the lake's own indexes and partitions, in a scratch schema that is dropped again.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

from server.bench.eustress_items import COLUMNS, row
from storage.pool import connect
from storage.statements import statement

TABLES: Final = ("plain", "indexed")


async def raw_rows_per_s(dsn: str, space: str, count: int, batch: int) -> dict[str, float]:
    """Rows a second, committed, into each of ``TABLES``. The rows are made before the clock runs. Raises StoreDown."""
    connection = await connect(dsn, application_name="sangha bench", statement_timeout_s=0)
    try:
        await connection.execute(statement("bench/eustress_scratch"))
        at = datetime.now(UTC)
        rows = [row(space, number, at) for number in range(count)]
        return {table: await _copied_per_s(connection, table, rows, batch) for table in TABLES}
    finally:
        await connection.execute(statement("bench/eustress_scratch_drop"))
        await connection.close()


async def _copied_per_s(connection: Any, table: str, rows: list[tuple[Any, ...]], batch: int) -> float:
    began = time.perf_counter()
    for start in range(0, len(rows), batch):
        await connection.copy_records_to_table(
            table, schema_name="sangha_bench", columns=COLUMNS, records=rows[start : start + batch]
        )
    return len(rows) / (time.perf_counter() - began)

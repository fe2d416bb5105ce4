"""README.md's table of metrics is the catalog's. Run, this prints the table."""

from __future__ import annotations

from readme import table_of

from server.metrics.catalog import METRICS


def rows() -> list[str]:
    """The table, from the code."""
    made = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for name, metric in METRICS.items():
        labels = " ".join(f"`{label}`" for label in metric.labels)
        made.append(f"| `{name}` | {metric.type} | {labels} | {metric.help} |")
    return made


def test_the_table_of_metrics_is_the_codes() -> None:
    assert ["| " + " | ".join(row) + " |" for row in table_of("Metrics")] == rows()[2:]


if __name__ == "__main__":
    print("\n".join(rows()))  # noqa: T201 - it is what this file is run for

"""What every column of a table became, in words: for the screen and for reports."""

from __future__ import annotations

from kerastune.data import tabular
from kerastune.data.raw import Raw
from kerastune.data.readers.columns import DROPPED, Column

HEADER = ("column", "became", "values", "missing", "example")
MOST_SHOWN = 30  # characters of an example


def rows(raw: Raw) -> list[tuple[str, ...]]:
    """The rows of a table's columns under `HEADER`, the label first; none for other data."""
    return [_label(raw), *map(row, raw.columns)] if raw.columns else []


def row(column: Column) -> tuple[str, ...]:
    """A column in words.

    Example:
        >>> row(Column("id", "dropped", why="it numbers the rows"))
        ('id', 'dropped: it numbers the rows', '', '', '')
    """
    became = f"{column.kind}: {column.why}" if column.why else column.kind
    if column.kind == DROPPED:
        return column.name, became, "", "", ""
    became += f", written as {column.written}" if column.written else ""
    became += f", input {safe}" if (safe := tabular.safe_name(column.name)) != column.name else ""
    missing, example = str(column.missing) if column.missing else "", column.example
    is_long = len(example) > MOST_SHOWN
    example = f"{example[: MOST_SHOWN - 1]}…" if is_long else example
    return column.name, became, str(column.distinct), missing, example


def _label(raw: Raw) -> tuple[str, ...]:
    distinct = len(set(raw.parts["training"].y.tolist()))
    return raw.label.name, f"label, {raw.kind}", str(distinct), "", ""

"""The table before a training: what every column of a table became."""

from __future__ import annotations

from kerastune.data import tabular
from kerastune.data.raw import Raw
from kerastune.data.readers.columns import DROPPED, Column

MOST_ROWS = 60


def show(raw: Raw) -> None:
    """Prints what every column of a table became; of other data nothing."""
    if not raw.columns:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = Table(title=f"Columns of {escape(raw.name)}")
    for heading in ("column", "became", "values", "missing", "example"):
        found.add_column(heading)
    found.add_row(*map(escape, _label(raw)))
    for column in raw.columns[:MOST_ROWS]:
        found.add_row(*map(escape, row(column)))
    console = Console()
    console.print(found)
    if left_out := raw.columns[MOST_ROWS:]:
        kinds = sorted({column.kind for column in left_out})
        counts = (f"{sum(each.kind == kind for each in left_out)} {kind}" for kind in kinds)
        console.print(f"and {len(left_out)} more columns: {', '.join(counts)}.")


def row(column: Column) -> tuple[str, ...]:
    """A column in words.

    Example:
        >>> row(Column("id", "dropped", why="it numbers the rows"))
        ('id', 'dropped: it numbers the rows', '', '', '')
    """
    became = f"{column.kind}: {column.why}" if column.why else column.kind
    if column.kind == DROPPED:
        return column.name, became, "", "", ""
    became += f", written as {column.style}" if column.style not in ("", "plain") else ""
    became += f", input {safe}" if (safe := tabular.safe_name(column.name)) != column.name else ""
    missing = str(column.missing) if column.missing else ""
    example = column.example if len(column.example) <= 30 else column.example[:29] + "…"
    return column.name, became, str(column.distinct), missing, example


def _label(raw: Raw) -> tuple[str, ...]:
    distinct = len(set(raw.parts["training"].y.tolist()))
    return raw.label.name, f"label, {raw.kind}", str(distinct), "", ""

"""The table before a training: what every column of a table became."""

from __future__ import annotations

from kerastune.data.raw import Raw
from kerastune.data.readers import column_rows

MOST_ROWS = 60


def show(raw: Raw) -> None:
    """Prints what every column of a table became; of other data nothing."""
    if not raw.columns:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    found = Table(title=f"Columns of {escape(raw.name)}")
    for heading in column_rows.HEADER:
        found.add_column(heading)
    for row in column_rows.rows(raw)[: MOST_ROWS + 1]:
        found.add_row(*map(escape, row))
    console = Console()
    console.print(found)
    if left_out := raw.columns[MOST_ROWS:]:
        kinds = sorted({column.kind for column in left_out})
        counts = (f"{sum(each.kind == kind for each in left_out)} {kind}" for kind in kinds)
        console.print(f"and {len(left_out)} more columns: {', '.join(counts)}.")

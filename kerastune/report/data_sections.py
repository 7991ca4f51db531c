"""The section on data and environment, which every report has."""

from __future__ import annotations

from typing import Any

from kerastune.data.readers import column_rows
from kerastune.report.blocks import Code, Items, Section, Table, Text
from kerastune.runtime.number_format import number

MOST_COLUMNS = 20  # of a table, that are not folded


def section(about: dict[str, Any]) -> Section:
    """The section on data and surroundings, of what `reporting.about` recorded."""
    parts = [(f"{part} examples", number(count)) for part, count in about["parts"].items() if count]
    rows = [("data", about["data"]), ("kind", about["kind"]), *parts]
    if about["class_names"]:
        rows.append(("classes", number(len(about["class_names"]))))
    rows += [
        ("model parameters", number(about["parameters"])),
        ("objective", about["objective"]),
    ]
    blocks = [Table("Problem", ("", "value"), tuple(rows))]
    if columns := about.get("columns"):
        rows, is_folded = tuple(map(tuple, columns)), len(columns) > MOST_COLUMNS
        blocks.append(Table("What every column became", column_rows.HEADER, rows, is_folded))
    if about["notes"]:
        blocks += [Text("Data preparation:"), Items(tuple(about["notes"]))]
    if about.get("summary"):
        blocks += [Text("Model:"), Code(about["summary"])]
    blocks.append(Table("Environment", ("", "value"), tuple(about["environment"].items())))
    return Section("Data and environment", tuple(blocks))

"""Reads a .csv: its label as targets, its other columns as numbers or texts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from kerastune.data import checks, memory, splits
from kerastune.problem import Part

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # cells of a .csv, in lower case
MOST_TEXT_VALUES = 100  # of a text column, each of which becomes one input
BYTES_PER_CSV_BYTE = 10  # cells are Python texts before they are numbers


def read(
    path: Path, label: str, groups: str = ""
) -> tuple[Part, str, tuple[str, ...], np.ndarray | None]:
    """Reads all rows as one part whose inputs are columns `[n]`.

    They are float64 with NaN where missing, or texts.

    Args:
        path: of a file with a header.
        label: name of the target column.
        groups: name of the column that tells what belongs together, which is no input; empty for
            none.

    Returns:
        The part, the kind that its targets tell, a sentence each for encoded texts and for filled
        gaps, and the cells
        of the groups as texts `[n]`, or `None`.

    Raises:
        ValueError: with one line, for a file or a column that cannot be used.
    """
    memory.check(BYTES_PER_CSV_BYTE * path.stat().st_size, str(path))
    check_columns(path, label, groups)
    header, rows = _rows(path)
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    y, kind = _target(cells.pop(label), label, path)
    of_groups = np.array([cell.strip() for cell in cells.pop(groups)]) if groups else None
    columns = {name: _column(values, name, path) for name, values in cells.items()}
    return Part(columns, y), kind, _notes(columns), of_groups


def check_columns(path: Path, label: str, groups: str = "") -> None:
    """Refuses a label, or groups, that the header does not have; no other row is read.

    Raises:
        ValueError: naming the column, and those that there are.
    """
    header = _header(path)
    if label not in header:
        what = f"({label!r}) is not a column of {path}" if label else f"is missing for {path}"
        raise ValueError(
            f"`--label` {what}: name the column to predict, one of {checks.shorten(header, 20)}."
        )
    if groups and (groups not in header or groups == label):
        others = ", ".join(name for name in header if name != label)
        raise ValueError(
            f"`--groups` ({groups!r}) must be a column of {path} other than its label: {others}."
        )
    if len(header) < (3 if groups else 2):
        besides = f"'{label}' and '{groups}'" if groups else f"'{label}'"
        raise ValueError(
            f"{path} has no column besides {besides}; give at least one to predict from."
        )


def _header(path: Path) -> list[str]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            return [name.strip() for name in next((line for line in lines if line), [])]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as comma-separated UTF-8 text: {error}.")


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows, all of one length, as texts."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, skipinitialspace=True, strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    if len(lines) < 2:
        raise ValueError(
            f"{path} has {len(lines)} rows; expected a header and at least one example."
        )
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(set(header)) < len(header) or "" in header:
        raise ValueError(
            f"The columns of {path} need different names, none empty: "
            f"{', '.join(map(repr, header))}."
        )
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"Row {number} of {path} has {len(row)} cells, expected {len(header)} as in its "
                "header."
            )
    return header, rows


def _numbers(cells: tuple[str, ...]) -> np.ndarray | None:
    """Cells as float64 with NaN where missing; `None` if one of them is not a number."""
    try:
        return np.array(
            [np.nan if cell.strip().lower() in MISSING else float(cell) for cell in cells]
        )
    except ValueError:
        return None


def _target(cells: tuple[str, ...], label: str, path: Path) -> tuple[np.ndarray, str]:
    missing = [row for row, cell in enumerate(cells, start=1) if cell.strip().lower() in MISSING]
    if missing:
        raise ValueError(
            f"{path} has no '{label}' in {len(missing)} rows, first in row {missing[0]}; remove "
            "them."
        )
    numbers = _numbers(cells)
    if numbers is None:
        return np.array(cells), "classification"
    whole = np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()
    if whole and len(np.unique(numbers)) <= splits.MOST_INTEGER_CLASSES:
        return numbers.astype(np.int64), "classification"
    return numbers, "regression"


def _column(cells: tuple[str, ...], name: str, path: Path) -> np.ndarray:
    """A column of numbers or of few texts; anything else is refused by name."""
    numbers = _numbers(cells)
    what = f"Column '{name}' of {path}"
    if numbers is not None:
        if np.isnan(numbers).all():
            raise ValueError(f"{what} is empty; remove it.")
        checks.check_numbers(np.nan_to_num(numbers, posinf=np.inf, neginf=-np.inf), what)
        return numbers
    distinct = len(set(cells))
    if distinct > MOST_TEXT_VALUES or distinct == len(cells):
        example = next(cell for cell in cells if _numbers((cell,)) is None)
        raise ValueError(
            f"{what} is text with {distinct} different values in {len(cells)} rows, such as "
            f"{example!r}; at most {MOST_TEXT_VALUES} repeated values can be encoded: remove it "
            "or turn it into numbers."
        )
    return np.array(cells)


def _notes(columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    texts = [
        f"{name} ({len(np.unique(cells))})"
        for name, cells in columns.items()
        if cells.dtype.kind == "U"
    ]
    gaps = {
        name: int(np.isnan(cells).sum())
        for name, cells in columns.items()
        if cells.dtype.kind == "f"
    }
    gaps = [f"{name} ({count})" for name, count in gaps.items() if count]
    notes = [f"One-hot encoded text columns: {', '.join(texts)}."] if texts else []
    return (
        *notes,
        *([f"Missing numbers replaced by the training median: {', '.join(gaps)}."] if gaps else []),
    )

"""Reads tables: a label as targets, and what every other column became as inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data import checks, splits
from kerastune.data.raw import Raw
from kerastune.data.readers import columns, numerals, table_files
from kerastune.data.readers.asked import Asked
from kerastune.data.readers.columns import Column
from kerastune.data.readers.table_files import Cells
from kerastune.problem import Part
from kerastune.runtime import naming

MOST_TOLD = 12  # columns of a list in a sentence
LARGEST_CLASS = 2.0**53  # from there on not every whole number is a float


def check(source: Any, asked: Asked) -> None:
    """Refuses columns that the header does not have; no other row is read.

    Raises:
        ValueError: naming all of them, and the columns that there are.
        FileNotFoundError: for a file that is missing.
    """
    names, what = table_files.header(source), table_files.name_of(source)
    label = asked.label
    if label not in names:
        of = f"({label!r}) is not a column of {what}" if label else f"is missing for {what}"
        raise ValueError(
            f"`label` {of}: name the column to predict, one of {checks.shorten(names, 20)}"
            f"{naming.did_you_mean(label, names) or '.'}"
        )
    for flag in ("groups", "time"):
        name = getattr(asked, flag)
        if name and (name not in names or name == label):
            others = [each for each in names if each != label]
            raise ValueError(
                f"`{flag}` ({name!r}) must be a column of {what} other than its label: "
                f"{checks.shorten(others, 20)}."
            )
    _check_named("ignore", asked.ignore, names, label, what)
    _check_named("types", asked.types, names, label, what)
    for name, kind in asked.types.items():
        if kind not in columns.ASKED:
            raise ValueError(
                f"`types` says that '{name}' is {kind!r}; expected one of "
                f"{', '.join(columns.ASKED)}."
            )
    if not set(names) - {label, asked.groups, *asked.ignore}:
        besides = " and ".join(f"'{name}'" for name in (label, asked.groups) if name)
        raise ValueError(
            f"{what} has no column besides {besides}; give at least one to predict from."
        )


def _check_named(flag: str, given: Any, names: list[str], label: str, what: str) -> None:
    strangers = [name for name in given if name not in names]
    if strangers:
        raise ValueError(
            f"`{flag}` names {checks.shorten(list(map(repr, strangers)))}, no column of {what}; "
            f"its columns are {checks.shorten(names, 20)}."
        )
    if flag == "ignore" and label in given:
        raise ValueError(f"`ignore` names '{label}', which is the label: leave it out.")


def read(source: Any, asked: Asked) -> Raw:
    """Reads a table, and further ones of the same form.

    Inputs are columns `[n]`: float64 with NaN where missing, or texts as objects; `Raw.columns`
    tells what each became.

    Args:
        source: a `.csv` or `.parquet` with a header, or a DataFrame.
        asked: what the user says of it.

    Raises:
        ValueError: in one line that names all columns that can't be used, each with its remedy.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"size": ["1,5", "2", "3,5"], "price": [10.5, 20.0, 30.5]})
        >>> raw = read(frame, Asked(label="price"))
        >>> raw.parts["training"].x["size"].tolist(), raw.kind, raw.columns[0].kind
        ([1.5, 2.0, 3.5], 'regression', 'number')
    """
    check(source, asked)
    what, cells = table_files.name_of(source), table_files.read(source)
    label = _recognized_label(cells[asked.label], asked.label, asked.types.get(asked.label, ""))
    y = target(cells[asked.label], label, what)
    _check_classes(y, label)
    found = recognized(cells, asked, what)
    order = _order(cells, found, asked, what)
    parts = {"training": Part(inputs(cells, found), y)}
    groups = [_groups(cells, asked.groups)] if asked.groups else []
    notes = list(told(found))
    for where, further in asked.further.items():
        its_name = table_files.name_of(further)
        others = table_files.read(further)
        check_columns(others, [label, *found], its_name)
        its_y = target(others[asked.label], label, its_name)
        parts[where] = Part(inputs(others, found), its_y)
        notes += told_of_lost(others, found, its_name)
        if asked.groups and where == "validation":
            groups.append(_groups(others, asked.groups))
    name = Path(source).stem if isinstance(source, str) else "table"
    return Raw(
        name,
        parts,
        kind=_kind(parts["training"].y, label),
        is_table=True,
        notes=tuple(notes),
        groups=np.concatenate(groups) if groups else None,
        order=order,
        columns=tuple(found),
        label=label,
    )


def recognized(cells: Cells, asked: Asked, what: str) -> list[Column]:
    """What every column but the label became, in their order.

    Raises:
        ValueError: in one line that names all columns that can't be used.
    """
    found, refused = [], []
    for name, column in cells.items():
        if name == asked.label:
            continue
        if name in asked.ignore or name == asked.groups:
            why = "its values are the groups" if name == asked.groups else "it is ignored"
            found.append(Column(name, columns.DROPPED, why=why))
            continue
        try:
            found.append(columns.recognize(name, column, asked.types.get(name, "")))
        except ValueError as error:
            refused.append(str(error))
    if refused:
        count = f"{len(refused)} columns" if len(refused) > 1 else "a column"
        raise ValueError(f"{what} has {count} that can't be used. {' '.join(refused)}")
    if not any(column.is_input for column in found):
        why = checks.shorten([f"{each.name}: {each.why}" for each in found], MOST_TOLD)
        raise ValueError(f"{what} has no column to predict from ({why}); `types` keeps a column.")
    return found


def inputs(cells: Cells, found: list[Column] | tuple[Column, ...]) -> dict[str, np.ndarray]:
    """The values `[n]` of the columns that a model takes, by name."""
    return {each.name: columns.values(cells[each.name], each) for each in found if each.is_input}


def check_columns(cells: Mapping[str, Any], found: list[Column], what: str) -> None:
    """Refuses a table that lacks columns.

    Raises:
        ValueError: naming all that are missing.

    Example:
        >>> check_columns({"a": 1}, [Column("a", "number"), Column("b", "text")], "new.csv")
        Traceback (most recent call last):
        ValueError: new.csv lacks the column 'b'; it has a.
    """
    missing = [each.name for each in found if each.is_input and each.name not in cells]
    if missing:
        s = "s" if len(missing) > 1 else ""
        raise ValueError(
            f"{what} lacks the column{s} {checks.shorten(list(map(repr, missing)), 20)}; it has "
            f"{checks.shorten(list(cells), 20)}."
        )


def target(cells: np.ndarray, label: Column, what: str, before: int = 0) -> np.ndarray:
    """Targets `[n]`: numbers, or stripped texts.

    Args:
        cells: of the label's column.
        label: as it was recognized.
        what: the table is called.
        before: rows of the table that come before these.

    Raises:
        ValueError: naming the rows without one.
    """
    found = columns.values(cells, label)
    missing = np.isnan(found) if label.is_numeric else found == ""
    if missing.any():
        rows = np.flatnonzero(missing)
        raise ValueError(
            f"{what} has no '{label.name}' in {len(rows)} rows, first in row "
            f"{before + rows[0] + 1}: remove them."
        )
    if not label.is_numeric:
        return found.astype(np.str_)
    # Larger numbers are no names of classes, and no integers of 64 bits.
    is_small = bool((np.abs(found) < LARGEST_CLASS).all())
    is_whole = is_small and bool((found == np.floor(found)).all())
    few = is_whole and len(np.unique(found)) <= splits.MOST_INTEGER_CLASSES
    return found.astype(np.int64) if few else found


def told(found: list[Column]) -> list[str]:
    """Sentences on what columns became.

    Example:
        >>> told([Column("id", "dropped", why="it numbers the rows")])
        ['Columns that are no inputs: id (it numbers the rows).']
    """
    sentences = (
        ("Columns that are no inputs", columns.DROPPED, lambda each: each.why),
        ("Dates", columns.DATE, lambda each: each.style),
        ("One-hot encoded text columns", columns.CATEGORY, _values),
        ("Columns whose words are inputs", columns.TEXT, lambda each: str(each.distinct)),
    )
    said = [
        f"{words}: {_listed(found, lambda each, kind=kind: each.kind == kind, of)}."
        for words, kind, of in sentences
        if any(each.kind == kind for each in found)
    ]
    gaps = _listed(
        found, lambda each: each.is_numeric and each.missing > 0, lambda each: str(each.missing)
    )
    return [*said, *([f"Missing numbers replaced by the training median: {gaps}."] if gaps else [])]


def _values(column: Column) -> str:
    return str(column.distinct + (column.missing > 0))  # no value at all is one, too


def _listed(
    found: list[Column], belongs: Callable[[Column], bool], of: Callable[[Column], str]
) -> str:
    return checks.shorten([f"{each.name} ({of(each)})" for each in found if belongs(each)], 12)


def told_of_lost(cells: Cells, found: list[Column], what: str) -> list[str]:
    """A sentence on cells of a further table that its columns do not understand."""
    lost = {
        each.name: columns.unreadable(cells[each.name], each) for each in found if each.is_input
    }
    shown = [f"{name} (such as {texts[0]!r})" for name, texts in lost.items() if texts]
    return (
        [f"Unreadable cells of {what} count as missing: {checks.shorten(shown)}."] if shown else []
    )


def _check_classes(y: np.ndarray, label: Column) -> None:
    """Refuses classes that are only one, before much time goes into the columns."""
    if not label.is_numeric:
        names = tuple(sorted(set(y.tolist())))
        checks.check_classes(np.arange(len(names)), names, "training")


def _recognized_label(cells: np.ndarray, name: str, asked: str) -> Column:
    """What the label is: numbers, or texts that are classes, whatever they say.

    Texts such as `NA` are gaps only among numbers that are too many for classes.
    """
    if asked and asked not in (columns.NUMBER, columns.CATEGORY):
        raise ValueError(
            f"`types` says that the label '{name}' is {asked!r}; expected number or category."
        )
    if cells.dtype.kind == "M":
        raise ValueError(
            f"The label '{name}' has dates; give a number, such as days, or a class instead."
        )
    if cells.dtype.kind in "biuf":
        is_truth = cells.dtype.kind == "b"
        return Column(name, asked or (columns.CATEGORY if is_truth else columns.NUMBER))
    if asked != columns.CATEGORY and numerals.plain_column(cells) is not None:
        return Column(name, columns.NUMBER, numerals.PLAIN)
    given = [text for text in columns.Distinct(cells).texts if text]
    style = numerals.style_of(given)
    gaps = sum(map(numerals.is_missing, given))
    if gaps and len(given) - gaps <= splits.MOST_INTEGER_CLASSES:
        style = ""
    if asked == columns.NUMBER:
        style = style or numerals.PLAIN
    is_number = bool(style) and asked != columns.CATEGORY
    return Column(name, columns.NUMBER if is_number else columns.CATEGORY, style * is_number)


def _kind(y: np.ndarray, label: Column) -> str:
    return "classification" if not label.is_numeric or y.dtype.kind == "i" else "regression"


def _groups(cells: Cells, name: str) -> np.ndarray:
    return columns.values(cells[name], Column(name, columns.CATEGORY)).astype(np.str_)


def _order(cells: Cells, found: list[Column], asked: Asked, what: str) -> np.ndarray | None:
    """Times `[n]` that rows are cut by; the passing of time itself is then no input."""
    if not asked.time:
        return None
    place = next(place for place, each in enumerate(found) if each.name == asked.time)
    column = found[place]
    if column.why and not column.is_numeric:
        column = columns.recognize(asked.time, cells[asked.time], columns.DATE)
    if not column.is_numeric:
        raise ValueError(
            f"`time` ({asked.time!r}) must be a column of dates or numbers; it is a {column.kind}."
        )
    times = columns.values(cells[asked.time], column)
    if np.isnan(times).any():
        raise ValueError(
            f"`time` ({asked.time!r}) is missing in {int(np.isnan(times).sum())} rows of {what}, "
            f"first in row {int(np.argmax(np.isnan(times))) + 1}: remove them."
        )
    if found[place].is_input:
        is_date = column.kind == columns.DATE
        found[place] = (
            dataclasses.replace(column, grows=False)
            if is_date
            else column.dropped("it is the time to cut by")
        )
    return times

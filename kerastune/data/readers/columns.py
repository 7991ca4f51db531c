"""What a column of a table is: numbers, dates, categories, texts, or nothing to learn from."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerastune.data import checks
from kerastune.data.readers import dates, mistakes, numerals
from kerastune.data.readers.asked import ignored, typed

NUMBER, BOOLEAN, DATE, CATEGORY, TEXT, DROPPED = (
    "number",
    "boolean",
    "date",
    "category",
    "text",
    "dropped",
)
# What `--types` may say of a column, and what it then is.
ASKED = {
    **{kind: (kind, "") for kind in (NUMBER, BOOLEAN, DATE, CATEGORY, TEXT)},
    **{order: (DATE, order) for order in dates.ORDERS[:3]},
}
MOST_SHOWN = 60  # characters of a cell
FEWEST = 10  # rows from which on it tells something that all values differ
WORDS_OF_TEXT = 3  # of an average cell of a column of texts
MOST_REPEATED_TEXTS = 50  # different long texts that are still categories
LEAST_EXAMPLES = 3  # of a category that stands for itself in a column of many
TRUTHS = {"true": 1.0, "false": 0.0}
_ID = re.compile(r"(?:^|[^A-Za-z])(?:id|uuid|guid|index|key)$", re.IGNORECASE)
_CAMEL_ID = re.compile(r"[a-z](?:Id|ID)$")


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column became.

    Args:
        name: in the header.
        kind: `"number"`, `"boolean"` (1 and 0), `"date"` (seconds since 1970), `"category"`,
            `"text"`, or `"dropped"`.
        style: how numbers (`numerals.STYLES`) or dates (`dates.ORDERS`) are written.
        why: it is dropped.
        distinct: number of different values.
        missing: number of missing ones.
        example: a cell, as it was read.
        grows: whether the passing of time is an input, of a date.

    Example:
        >>> Column("age", "number").is_input
        True
    """

    name: str
    kind: str
    style: str = ""
    why: str = ""
    distinct: int = 0
    missing: int = 0
    example: str = ""
    grows: bool = True

    @property
    def is_input(self) -> bool:
        """Whether a model takes the column."""
        return self.kind != DROPPED

    @property
    def is_numeric(self) -> bool:
        """Whether its values are float64, and not texts."""
        return self.kind in (NUMBER, BOOLEAN, DATE)

    @property
    def written(self) -> str:
        """How it is written, for people; empty for plain numbers and texts.

        Example:
            >>> Column("a", "number", "plain %").written, Column("a", "number", "1,234.5").written
            ('12 %', '1,234.5')
        """
        if self.style == numerals.PLAIN + numerals.PERCENT:
            return f"12{numerals.PERCENT}"
        return self.style if self.style != numerals.PLAIN else ""

    def dropped(self, why: str) -> Column:
        """The column without its values."""
        return dataclasses.replace(self, kind=DROPPED, why=why)


def recognize(name: str, cells: np.ndarray, asked: str = "") -> Column:
    """Tells what a column is.

    Args:
        name: of the column.
        cells: of the training part `[n]`: numbers, booleans, `datetime64`, or texts as objects.
        asked: one of `ASKED`, where the user says so; empty to find out.

    Raises:
        ValueError: in one line with the remedy, for what can't be told or used.

    Example:
        >>> column = recognize("day", np.array(["31/1/2024", "1/2/2024"], object))
        >>> column.kind, column.style
        ('date', 'd/m/y')
    """
    kind, style = ASKED[asked] if asked else ("", "")
    plain = numerals.plain_column(cells) if kind in ("", NUMBER) else None
    if plain is not None:
        cells = plain
        column = _of_numbers(name, cells, NUMBER, numerals.PLAIN)
    elif kind in ("", DATE) and (days := dates.plain_column(cells)) is not None:
        cells = days
        column = _of_numbers(name, cells, DATE, style)
    elif cells.dtype.kind in "biufM":
        column = _of_numbers(name, cells, kind)
    else:
        column = _of_texts(name, Distinct(cells), kind, style)
    return column if asked or not column.is_input else _if_informative(column, cells)


def values(cells: np.ndarray, column: Column) -> np.ndarray:
    """The values `[n]` of a column, of the training part or of new rows.

    Args:
        cells: as `recognize` takes them; texts that a column of numbers or dates does not
            understand are missing.
        column: what it was recognized as.

    Returns:
        float64 with NaN where missing, or stripped texts as objects.

    Example:
        >>> values(np.array(["1,5", "n/a"], object), Column("a", "number", "1.234,5")).tolist()
        [1.5, nan]
    """
    if cells.dtype.kind == "M":
        found = cells.astype("datetime64[us]").astype(np.float64) / 1e6
        found[np.isnat(cells)] = np.nan
        return found if column.is_numeric else _each(found, dates.text)
    if cells.dtype.kind in "biuf":
        return cells.astype(np.float64) if column.is_numeric else _each(cells, _as_text)
    if column.kind == DATE and (days := dates.plain_column(cells)) is not None:
        return values(days, column)
    if column.kind == NUMBER and (plain := numerals.plain_column(cells)) is not None:
        if not column.style.startswith(numerals.COMMA):
            return plain
    seen = Distinct(cells)
    if not column.is_numeric:
        return seen.spread(np.array(seen.texts, object))
    return seen.spread(_parsed(seen.texts, column))


def unreadable(cells: np.ndarray, column: Column) -> list[str]:
    """Different texts that a column of numbers, booleans or dates does not understand.

    Example:
        >>> unreadable(np.array(["1", "x", ""], object), Column("a", "number", "plain"))
        ['x']
    """
    if cells.dtype.kind in "biufM" or not column.is_numeric:
        return []
    given = numerals.given(Distinct(cells).texts)
    return mistakes.lost(given, _parsed(given, column))


class Distinct:
    """The different texts of a column, stripped, and where each stands.

    Args:
        cells: texts or other plain objects `[n]`; what is `None` or NaN is empty.

    Example:
        >>> Distinct(np.array(["a ", "b", "a"], object)).texts
        ['a', 'b']
    """

    def __init__(self, cells: np.ndarray):
        places: dict[str, int] = {}
        self.codes = np.array(
            [
                places.setdefault(
                    cell.strip() if isinstance(cell, str) else _as_text(cell), len(places)
                )
                for cell in cells.tolist()
            ],
            np.int64,
        )
        self.texts = list(places)

    def spread(self, by_text: np.ndarray) -> np.ndarray:
        """Values of the texts, one for every cell `[n]`."""
        return by_text[self.codes] if len(by_text) else by_text

    @property
    def counts(self) -> np.ndarray:
        """How many cells have each text."""
        return np.bincount(self.codes, minlength=len(self.texts))


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if isinstance(value, (float, np.floating)):
        return "" if np.isnan(value) else f"{value:.15g}"
    return "" if value is None else str(value).strip()


def _each(array: np.ndarray, text: Callable[[Any], str]) -> np.ndarray:
    return np.array([text(value) for value in array.tolist()], object)


def _parsed(texts: Sequence[str], column: Column) -> np.ndarray:
    if column.kind == BOOLEAN:
        return np.array([TRUTHS.get(text.lower(), np.nan) for text in texts], np.float64)
    if column.kind == DATE and column.style in dates.ORDERS:
        return dates.seconds(texts, column.style)
    return numerals.numbers(texts, column.style or numerals.PLAIN)


def _of_numbers(name: str, cells: np.ndarray, kind: str, style: str = "") -> Column:
    if cells.dtype.kind == "M":
        kind, style = kind or DATE, style or dates.YEAR_FIRST
    else:
        kind = kind or (BOOLEAN if cells.dtype.kind == "b" else NUMBER)
    found = values(cells, Column(name, NUMBER))
    _check_size(name, found)
    given = found[~np.isnan(found)]
    example = (dates.text if cells.dtype.kind == "M" else _as_text)(given[0]) if len(given) else ""
    # A third of the time of `np.unique`, of which a wide table needs many.
    distinct = int(np.count_nonzero(np.diff(np.sort(given)))) + bool(len(given))
    missing = len(found) - len(given)
    return Column(name, kind, style, distinct=distinct, missing=missing, example=example)


def _of_texts(name: str, seen: Distinct, kind: str, style: str) -> Column:
    texts = [text for text in seen.texts if text]
    given = numerals.given(texts) if kind in ("", NUMBER, DATE) else texts
    if not kind and not given:
        given = texts
    if not given:
        return Column(name, DROPPED, why="it is empty", missing=len(seen.codes))
    if kind == NUMBER:
        style = numerals.style_of(given) or mistakes.likely_style(given)
    elif kind == DATE:
        style = style or _order(name, given) or numerals.PLAIN
    elif not kind:
        kind, style = _found(name, seen, given)
    if kind in (CATEGORY, TEXT):
        given = texts
    column = Column(name, kind, style, distinct=len(given), example=given[0][:MOST_SHOWN])
    if column.is_numeric:
        parsed = seen.spread(_parsed(seen.texts, column))
        if np.isnan(parsed).all():
            raise ValueError(
                f"Column '{name}' has no text that is read as a {kind} (such as "
                f"{column.example!r}): give it another type, or say {ignored(name)}."
            )
        _check_size(name, parsed)
        return dataclasses.replace(column, missing=int(np.isnan(parsed).sum()))
    missing = int(seen.counts[seen.texts.index("")]) if len(texts) < len(seen.texts) else 0
    return dataclasses.replace(column, missing=missing)


def _found(name: str, seen: Distinct, given: list[str]) -> tuple[str, str]:
    """Kind and style of a column that the user says nothing of."""
    if all(text.lower() in TRUTHS for text in given):
        return BOOLEAN, ""
    if style := numerals.style_of(given):
        return NUMBER, style
    if order := _order(name, given):
        return DATE, order
    mistakes.refuse(name, given)
    some = given[:1000]
    words = sum(len(text.split()) for text in some) / len(some)
    is_long = words >= WORDS_OF_TEXT and len(given) > MOST_REPEATED_TEXTS
    return (TEXT if is_long else CATEGORY), ""


def _order(name: str, given: list[str]) -> str:
    try:
        return dates.order_of(given)
    except dates.Ambiguous as error:
        raise ValueError(
            f"Column '{name}' has dates that can be read in two ways ({error}): say "
            f"{typed(name, dates.DAY_FIRST)} or {typed(name, dates.MONTH_FIRST)}."
        ) from error


def _check_size(name: str, found: np.ndarray) -> None:
    largest = float(np.fmax.reduce(np.abs(found), initial=0.0))
    if largest <= checks.LARGEST:
        return
    infinite = int(np.isinf(found).sum())
    if infinite:
        raise ValueError(
            f"Column '{name}' has {infinite} infinite values, first in row "
            f"{int(np.argmax(np.isinf(found))) + 1}: mend them, or say {ignored(name)}."
        )
    raise ValueError(
        f"Column '{name}' has values up to {largest:.3g}, which are too large to compute with (at "
        f"most {checks.LARGEST:g}): give it in a larger unit, or say {ignored(name)}."
    )


def _if_informative(column: Column, cells: np.ndarray) -> Column:
    """The column, or a dropped one where there is nothing to learn from it."""
    present = len(cells) - column.missing
    if column.distinct == 0:
        return column.dropped("it is empty")
    is_own_value = column.kind in (CATEGORY, TEXT) and column.missing
    if column.distinct == 1 and not is_own_value:
        return column.dropped(f"it is always {column.example}")
    if present < FEWEST:
        return column
    if column.kind == CATEGORY and len(cells) >= FEWEST:
        counts = Distinct(cells).counts
        if column.distinct == present:
            return column.dropped("all its values differ, as of an id")
        if column.distinct >= present / 2 and counts.max() < LEAST_EXAMPLES:
            return column.dropped("nearly all its values differ")
    if column.kind == NUMBER and column.distinct == present:
        return _if_no_id(column, values(cells, column))
    return column


def _if_no_id(column: Column, found: np.ndarray) -> Column:
    is_whole = bool((found == np.floor(found)).all()) and not column.missing
    if is_whole and (_ID.search(column.name) or _CAMEL_ID.search(column.name)):
        return column.dropped("all its values differ, as of an id")
    if is_whole and found[0] in (0, 1) and bool((np.diff(found) == 1).all()):
        return column.dropped("it numbers the rows")
    return column

"""Prepares the columns of a table, on arrays and in the saved model.

Gaps are filled, numbers scaled, dates, categories and texts encoded.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerastune.data.encoding import calendar, words
from kerastune.data.preprocessing import Numbers, fit
from kerastune.data.profiling import profile
from kerastune.data.readers import dates
from kerastune.data.readers.columns import LEAST_EXAMPLES, TEXT, Column

FEW_CATEGORIES = 10  # up to here every one stands for itself, however rare it is
MOST_CATEGORIES = 1000  # of a column, each of which becomes one input


@dataclasses.dataclass(frozen=True)
class Category:
    """The values of a column of categories.

    Args:
        values: that stand for themselves.
        has_other: whether there is an input for all others, which training examples have.

    Example:
        >>> Category(("a", "b"), True).encoded(np.array(["b", "x"])).tolist()
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    """

    values: tuple[str, ...]
    has_other: bool = False

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.values) + self.has_other

    def encoded(self, cells: np.ndarray) -> np.ndarray:
        """One 1 in every row, float32 `[n, width]`.

        A value that no training example has is one of the others, or all zeros without those.
        """
        place = {value: number + 1 for number, value in enumerate(self.values)}
        found = np.zeros([len(cells), len(self.values) + 1], np.float32)
        found[np.arange(len(cells)), [place.get(cell, 0) for cell in cells]] = 1
        return found[:, 0 if self.has_other else 1 :]

    def restored(self, x: np.ndarray) -> np.ndarray:
        """The values of what `encoded` gave; empty for others."""
        x = x[:, int(self.has_other) :]
        return np.where(x.any(axis=1), np.array(self.values)[x.argmax(axis=1)], "")

    def graph(self, x: Any) -> Any:
        """As `encoded`, of a tensor `[n, 1]`."""
        import keras

        unknown = "<unknown>"
        while unknown in self.values:
            # Keras would swallow a value equal to its token.
            unknown += "_"
        lookup = keras.layers.StringLookup(
            vocabulary=list(self.values), oov_token=unknown, output_mode="one_hot"
        )
        return lookup(x)[:, 0 if self.has_other else 1 :]


@dataclasses.dataclass(frozen=True)
class Date:
    """What a model learns of a column of dates.

    Args:
        features: of `calendar.FEATURES`, those that vary in the training part.
        first: seconds since 1970 of the first date.

    Example:
        >>> Date(("year",), 0.0).encoded(np.array([0.0])).tolist()
        [[1970.0]]
    """

    features: tuple[str, ...]
    first: float

    def encoded(self, seconds: np.ndarray) -> np.ndarray:
        """Features `[n, features]`, NaN where the date is missing."""
        found = calendar.features(seconds, self.first)
        return np.stack([found[name] for name in self.features], axis=1)

    def graph(self, x: Any) -> Any:
        """As `encoded`, of a tensor `[n, 1]`."""
        from keras import ops

        found = calendar.features(x, self.first, ops)
        return ops.concatenate([found[name] for name in self.features], axis=-1)


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of a table as one array.

    Numbers come first, then what is told of dates, both prepared alike; then one column of 0 and 1
    for every category, and for every frequent word of a text.

    Raw input is an array if there are numbers only, else a dict of columns `[n, 1]`, under names
    that TensorFlow accepts in an exported model (`safe_name`). Dates are seconds since 1970.

    Args:
        names: numeric columns, in order.
        numbers: how they and the features of dates are prepared, as one array; `None` if there are
            none.
        texts: categories and their values, in order.
        dates: columns of dates, in order.
        words: columns of texts and their frequent words, in order.

    Example:
        >>> table = Table((), None, {"city": Category(("Bonn", "Rome"))})
        >>> table.apply({"city": np.array(["Rome", "Oslo"])}).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    names: tuple[str, ...]
    numbers: Numbers | None
    texts: dict[str, Category]
    dates: dict[str, Date] = dataclasses.field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    is_identity = False

    @property
    def width(self) -> int:
        """Number of prepared inputs."""
        numbers = 0 if self.numbers is None else self.numbers.shape[0]
        categories = sum(category.width for category in self.texts.values())
        return numbers + categories + sum(len(each) for each in self.words.values())

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """Where the inputs of each category and text begin and end, by column."""
        widths = {name: category.width for name, category in self.texts.items()}
        widths |= {name: len(kept) for name, kept in self.words.items()}
        ends = np.cumsum([self.width - sum(widths.values()), *widths.values()]).tolist()
        return dict(zip(widths, zip(ends[:-1], ends[1:])))

    def apply(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """Prepares columns `[n]` as one array.

        Columns are float64 with NaN where missing, or texts.
        """
        parts = []
        if self.numbers is not None:
            parts.append(self.numbers.apply(_numeric(self.names, self.dates, columns)))
        parts += [category.encoded(columns[name]) for name, category in self.texts.items()]
        parts += [words.encoded(columns[name], kept) for name, kept in self.words.items()]
        return np.concatenate(parts, axis=1).astype(np.float32, copy=False)

    def restore(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Columns `[n]` of prepared rows, up to rounding.

        A category that the training part does not have is empty; of a text there are the frequent
        words.
        """
        place = 0 if self.numbers is None else self.numbers.shape[0]
        numbers = () if self.numbers is None else self.numbers.restore(x[:, :place]).T
        columns = dict(zip(self.names, numbers))
        start = len(self.names)
        for name, date in self.dates.items():
            found = dict(zip(date.features, numbers[start:]))
            columns[name] = _restored_dates(date, found, len(x))
            start += len(date.features)
        for name, (begin, end) in self.parts.items():
            if name in self.texts:
                columns[name] = self.texts[name].restored(x[:, begin:end])
            else:
                kept = np.array(self.words[name])
                columns[name] = np.array([" ".join(kept[row]) for row in x[:, begin:end] > 0])
        return columns

    def inputs(self) -> Any:
        """One Keras input for a table of numbers, or one for every column."""
        import keras

        if self.is_one_array:
            return self.numbers.inputs()
        strings = {*self.texts, *self.words}
        return {
            safe_name(name): keras.Input(
                (1,), dtype="string" if name in strings else "float64", name=safe_name(name)
            )
            for name in (*self.names, *self.dates, *self.texts, *self.words)
        }

    @property
    def is_one_array(self) -> bool:
        """Whether the raw input is one array `[n, columns]`."""
        return not (self.texts or self.dates or self.words)

    def graph(self, x: Any) -> Any:
        """Prepares the tensor, or the dict of columns, as `apply` prepares arrays."""
        import keras

        if self.is_one_array:
            return self.numbers.graph(x)
        parts = [category.graph(x[safe_name(name)]) for name, category in self.texts.items()]
        parts += [
            words.layer(kept)(x[safe_name(name)][:, 0])[:, 1:] for name, kept in self.words.items()
        ]
        parts = [keras.ops.cast(part, "float32") for part in parts]
        if self.numbers is not None:
            raw = [x[safe_name(name)] for name in self.names]
            raw += [date.graph(x[safe_name(name)]) for name, date in self.dates.items()]
            joined = keras.ops.concatenate(raw, axis=-1) if len(raw) > 1 else raw[0]
            parts.insert(0, self.numbers.graph(joined))
        return keras.ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def safe_name(name: str) -> str:
    """A column's name as TensorFlow accepts it for an input of an exported model.

    Example:
        >>> safe_name("petal length (cm)")
        'petal_length__cm_'
    """
    return re.sub(r"^(?=[\d_]|$)", "x", re.sub(r"\W", "_", name, flags=re.ASCII))


def fit_table(
    columns: dict[str, np.ndarray],
    standardize: bool,
    kinds: Mapping[str, Column] | None = None,
    is_robust: bool = False,
) -> Table:
    """Fits the preparation of the columns of a table to the training part.

    Medians, means, scales, categories and frequent words.

    Args:
        columns: training columns `[n]`, float64 with NaN where a number is missing, or texts.
        standardize: standardize the numeric columns (those of 0 and 1 stay as they are).
        kinds: what columns are, by name; by default numbers and categories.
        is_robust: with that, by quartiles and with a smooth clip, as `preprocessing.fit` does.

    Raises:
        ValueError: for a numeric column without a single value, and for names that are alike once
            made safe.

    Example:
        >>> fit_table(
        ...     {"age": np.array([1.0, np.nan, 5.0])}, standardize=False
        ... ).numbers.fill.tolist()
        [3.0]
    """
    kinds = kinds or {}
    of_words = [name for name, column in kinds.items() if column.kind == TEXT]
    found_words = {name: words.known(name, columns[name]) for name in of_words if name in columns}
    categories = {
        name: _category(cells)
        for name, cells in columns.items()
        if cells.dtype.kind in "UO" and name not in found_words
    }
    found_dates = {
        name: _date(name, columns[name], column.grows)
        for name, column in kinds.items()
        if column.kind == "date" and name in columns
    }
    others = {*categories, *found_words, *found_dates}
    names = tuple(name for name in columns if name not in others)
    if others and len({safe_name(name) for name in columns}) < len(columns):
        raise ValueError(
            "Some column names differ only in characters that an exported model cannot keep; "
            "rename them."
        )
    numbers = _fit_numbers(names, found_dates, columns, standardize, is_robust)
    return Table(names, numbers, categories, found_dates, found_words)


def _category(cells: np.ndarray) -> Category:
    values, counts = np.unique(cells.astype(np.str_), return_counts=True)
    if len(values) <= FEW_CATEGORIES:
        return Category(tuple(values.tolist()))
    most = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
    kept = np.sort(most[counts[most] >= LEAST_EXAMPLES])
    return Category(tuple(values[kept].tolist()), has_other=len(kept) < len(values))


def _date(name: str, seconds: np.ndarray, grows: bool) -> Date:
    if np.isnan(seconds).all():
        raise _empty(name)
    first = float(np.floor(np.nanmin(seconds) / calendar.DAY) * calendar.DAY)
    found = calendar.features(seconds, first)
    told = {each: array[~np.isnan(array)] for each, array in found.items()}
    kept = tuple(
        each
        for each, array in told.items()
        if (grows or each not in calendar.GROWING) and np.ptp(array) > 0
    )
    return Date(kept or ("hour (sine)",), first)


def _fit_numbers(
    names: tuple[str, ...],
    found_dates: dict[str, Date],
    columns: dict[str, np.ndarray],
    standardize: bool,
    is_robust: bool,
) -> Numbers | None:
    if not (names or found_dates):
        return None
    for name in names:
        if np.isnan(columns[name]).all():
            raise _empty(name)
    values = _numeric(names, found_dates, columns)
    fill = np.nanmedian(values, axis=0)
    filled = np.where(np.isnan(values), fill, values)
    fitted = fit(profile(filled, standardize), False, standardize, is_robust)
    return dataclasses.replace(fitted, fill=fill)


def _empty(name: str) -> ValueError:
    return ValueError(f"Column '{name}' has no value in the training part; remove the column.")


def _numeric(
    names: tuple[str, ...], found_dates: dict[str, Date], columns: dict[str, np.ndarray]
) -> np.ndarray:
    parts = [np.stack([columns[name] for name in names], axis=1)] if names else []
    parts += [date.encoded(columns[name]) for name, date in found_dates.items()]
    return np.concatenate(parts, axis=1)


def _restored_dates(date: Date, found: dict[str, np.ndarray], count: int) -> np.ndarray:
    if "days" not in found:
        return np.full(count, "")
    seconds = np.round(found["days"] * calendar.DAY / 60) * 60 + date.first
    return np.array([dates.text(value) for value in seconds])

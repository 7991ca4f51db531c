"""Prepares the columns of a .csv, on arrays and in the saved model.

Gaps are filled, numbers scaled, texts encoded.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from kerastune.data.preprocessing import Numbers, fit
from kerastune.data.profiling import profile


@dataclasses.dataclass(frozen=True)
class Table:
    """Columns of a .csv as one array.

    Numbers come first, then one column of 0 and 1 for every value of a text column.

    A text that the training part does not have gives zeros. Raw input is an array if there are
    numbers only, else a dict of columns `[n, 1]`, under names that TensorFlow accepts in an
    exported model (`safe_name`).

    Args:
        names: numeric columns, in order.
        numbers: how they are prepared, as one array; `None` if there are none.
        texts: text columns and their values, in order.

    Example:
        >>> table = Table((), None, {"city": ("Bonn", "Rome")})
        >>> table.apply({"city": np.array(["Rome", "Oslo"])}).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    names: tuple[str, ...]
    numbers: Numbers | None
    texts: dict[str, tuple[str, ...]]

    is_identity = False

    def apply(self, columns: dict[str, np.ndarray]) -> np.ndarray:
        """Prepares columns `[n]` as one array.

        Columns are float64 with NaN where missing, or texts.
        """
        parts = [
            (columns[name][:, None] == np.array(values)[None])
            for name, values in self.texts.items()
        ]
        if self.numbers is not None:
            parts.insert(
                0, self.numbers.apply(np.stack([columns[name] for name in self.names], axis=1))
            )
        return np.concatenate(parts, axis=1).astype(np.float32)

    def restore(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Columns `[n]` of prepared rows, up to rounding.

        A text that the training part does not have is empty.
        """
        place = len(self.names)
        numbers = self.numbers.restore(x[:, :place]).T if self.names else ()
        columns = dict(zip(self.names, numbers, strict=True))
        for name, values in self.texts.items():
            is_value = x[:, place : place + len(values)]
            columns[name] = np.where(
                is_value.any(axis=1), np.array(values)[is_value.argmax(axis=1)], ""
            )
            place += len(values)
        return columns

    def inputs(self) -> Any:
        """One Keras input for a table of numbers, or one for every column."""
        import keras

        if not self.texts:
            return self.numbers.inputs()
        types = dict.fromkeys(self.names, "float64") | dict.fromkeys(self.texts, "string")
        return {
            safe_name(name): keras.Input((1,), dtype=types[name], name=safe_name(name))
            for name in types
        }

    def graph(self, x: Any) -> Any:
        """Prepares the tensor, or the dict of columns, as `apply` prepares arrays."""
        import keras

        if not self.texts:
            return self.numbers.graph(x)
        parts = [
            self._lookup(values)(x[safe_name(name)])[:, 1:] for name, values in self.texts.items()
        ]
        parts = [keras.ops.cast(part, "float32") for part in parts]
        if self.numbers is not None:
            numbers = keras.ops.concatenate([x[safe_name(name)] for name in self.names], axis=-1)
            parts.insert(0, self.numbers.graph(numbers))
        return keras.ops.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]

    def _lookup(self, values: tuple[str, ...]) -> Any:
        """A layer whose first column is for unknown texts.

        Keras would swallow a first value equal to its token.
        """
        import keras

        unknown = "<unknown>"
        while unknown in values:
            unknown += "_"
        return keras.layers.StringLookup(
            vocabulary=list(values), oov_token=unknown, output_mode="one_hot"
        )


def safe_name(name: str) -> str:
    """A column's name as TensorFlow accepts it for an input of an exported model.

    Example:
        >>> safe_name("petal length (cm)")
        'petal_length__cm_'
    """
    return re.sub(r"^(?=[\d_]|$)", "x", re.sub(r"\W", "_", name, flags=re.ASCII))


def fit_table(columns: dict[str, np.ndarray], standardize: bool, is_robust: bool = False) -> Table:
    """Fits the preparation of the columns of a .csv to the training part.

    Medians, means, scales and text values.

    Args:
        columns: training columns `[n]`, float64 with NaN where a number is missing, or texts.
        standardize: standardize the numeric columns (those of 0 and 1 stay as they are).
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
    texts = {
        name: tuple(np.unique(cells).tolist())
        for name, cells in columns.items()
        if cells.dtype.kind == "U"
    }
    names = tuple(name for name in columns if name not in texts)
    if texts and len({safe_name(name) for name in columns}) < len(columns):
        raise ValueError(
            "Some column names differ only in characters that an exported model cannot keep; "
            "rename them."
        )
    if not names:
        return Table(names, None, texts)
    values = np.stack([columns[name] for name in names], axis=1)
    for name, column in zip(names, values.T, strict=True):
        if np.isnan(column).all():
            raise ValueError(
                f"Column '{name}' has no value in the training part; remove the column."
            )
    fill = np.nanmedian(values, axis=0)
    profiled = profile(np.where(np.isnan(values), fill, values), standardize)
    fitted = fit(profiled, False, standardize, is_robust)
    return Table(names, dataclasses.replace(fitted, fill=fill), texts)

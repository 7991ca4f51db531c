"""Inputs and batches as users have them, as arrays: DataFrames, strings, `PyDataset`, generators.

Nothing of pandas or Keras is imported for it: what brought its own library is known by what it can
do.
"""

from __future__ import annotations

import itertools
import os
import pickle
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import memory

MOST_REPEATS = 100  # of the first batch, after which batches are taken to repeat for ever
MOST_SECONDS = 300.0  # that reading batches of unknown number may take


def is_frame(value: Any) -> bool:
    """Whether a value is a `pandas.DataFrame`.

    Example:
        >>> is_frame(np.zeros(3))
        False
    """
    return hasattr(value, "columns") and hasattr(value, "iloc") and hasattr(value, "dtypes")


def is_batches(value: Any) -> bool:
    """Whether a value gives batches: a Keras `PyDataset` or a generator.

    Example:
        >>> is_batches([1, 2]), is_batches(iter([1, 2]))
        (False, True)
    """
    return hasattr(value, "__next__") or (
        hasattr(value, "__getitem__")
        and hasattr(value, "num_batches")
        and hasattr(value, "workers")
    )


def columns(frame: Any) -> dict[str, np.ndarray]:
    """The columns `[n]` of a DataFrame by name.

    Example:
        >>> import pandas as pd
        >>> columns(pd.DataFrame({"age": [30, 41], "city": ["Rome", "Oslo"]}))["city"].tolist()
        ['Rome', 'Oslo']
    """
    return {str(name): as_numpy(frame[name]) for name in frame.columns}


def has_frame(value: Any) -> bool:
    """Whether a value is a DataFrame, or a pair such as `(x, y)` whose inputs are one.

    Example:
        >>> has_frame((np.zeros([3, 2]), np.zeros(3)))
        False
    """
    return is_frame(value[0] if isinstance(value, tuple) and value else value)


def unframed(value: Any, by_column: bool) -> Any:
    """What `has_frame` finds as a dict of columns `[n]`, or as an array `[n, columns]`.

    Example:
        >>> import pandas as pd
        >>> unframed((pd.DataFrame({"a": [1.0], "b": [2.0]}), [0]), by_column=False)
        (array([[1., 2.]]), [0])
    """
    if not has_frame(value):
        return value
    if isinstance(value, tuple):
        return (unframed(value[0], by_column), *value[1:])
    return columns(value) if by_column else as_numpy(value)


def as_numpy(value: Any) -> Any:
    """A pandas column or frame, or an array of objects, as an array of numbers or of strings.

    Missing numbers become NaN. What is no such thing, or holds other objects, stays as it is.

    Example:
        >>> as_numpy(np.array(["a", "b"], object)).dtype.kind
        'U'
    """
    if is_frame(value):
        return np.stack([as_numpy(value[name]) for name in value.columns], axis=1)
    if hasattr(value, "iloc") and hasattr(value, "dtype"):
        value = _column(value)
    if getattr(value, "dtype", None) != np.dtype(object):
        return value
    kinds = {type(each) for each in np.asarray(value).ravel().tolist()}
    if kinds and kinds <= {str, np.str_}:
        return np.asarray(value).astype(np.str_)
    if kinds == {bytes}:
        return np.char.decode(np.asarray(value).astype(bytes), "utf-8")
    if kinds <= {int, float, bool, np.float32, np.float64, np.int64, np.bool_}:
        return np.asarray(value).astype(np.float64)
    return value


def _column(series: Any) -> np.ndarray:
    """A pandas Series as an array; of a category its values."""
    kind = getattr(series.dtype, "kind", "O")
    is_extension = not isinstance(series.dtype, np.dtype)
    if is_extension and kind in "biuf":
        has_gaps = bool(series.isna().any())
        return series.to_numpy(dtype=np.float64 if has_gaps else series.dtype.numpy_dtype)
    return series.to_numpy(dtype=object) if is_extension else series.to_numpy()


def read(batches: Any, what: str, streams: bool = False) -> Any:
    """All examples of a `PyDataset` or a generator: `(x, y)`, or what else its batches hold.

    Args:
        batches: of arrays.
        what: they are, for messages.
        streams: whether those that would fill half of the memory come back as batches that are
            read again and again: the `PyDataset` itself, or what was written of a generator.

    Raises:
        ValueError: for batches that never end, are empty, or would not fit into memory.

    Example:
        >>> x, y = read(iter([(np.zeros([2, 3]), np.zeros(2))] * 2), "The training part")
        >>> x.shape, y.shape
        ((4, 3), (4,))
    """
    found, used, most = [], 0, memory.available() // 2
    has_length = getattr(batches, "num_batches", None) is not None
    coming = ending(_each(batches), what, has_length)
    for batch in coming:
        found.append(as_arrays(batch))
        used += sum(array.nbytes for array in nested.leaves(found[-1]))
        if used > most and not streams:
            raise ValueError(f"{what} is larger than memory; give fewer examples.")
        if used > most:
            return batches if has_length else Spilled(found, map(as_arrays, coming), what)
    if not found:
        raise ValueError(f"{what} is empty; give at least one batch.")
    return nested.mapped(lambda *arrays: np.concatenate(arrays), found[0], *found[1:])


class Spilled:
    """Batches of a generator, written to temporary files, to be read again and again.

    Args:
        first: batches that were read already; emptied.
        others: that are still to come.
        what: they are, for messages.

    Raises:
        ValueError: when the disk is full.

    Example:
        >>> kept = Spilled([(np.zeros(3),)], iter([(np.ones(3),)]), "The training part")
        >>> kept.num_batches, kept[1][0].tolist()
        (2, [1.0, 1.0, 1.0])
    """

    def __init__(self, first: list[tuple], others: Iterable[tuple], what: str):
        self._directory = tempfile.mkdtemp(prefix="kerastune-")
        weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        self.num_batches = 0
        first.reverse()
        while first:
            self._write(first.pop(), what)
        for batch in others:
            self._write(batch, what)

    def __getitem__(self, index: int) -> tuple:
        with open(self._path(index), "rb") as file:
            return pickle.load(file)

    def _write(self, batch: tuple, what: str) -> None:
        try:
            with open(self._path(self.num_batches), "wb") as file:
                pickle.dump(batch, file, protocol=pickle.HIGHEST_PROTOCOL)
        except OSError as error:
            raise ValueError(
                f"{what} is larger than memory, and can't be written to {self._directory} "
                f"({error.strerror}); give a tf.data.Dataset, or fewer examples."
            ) from error
        self.num_batches += 1

    def _path(self, index: int) -> str:
        return os.path.join(self._directory, f"{index}.batch")


def as_arrays(batch: Any) -> tuple:
    """A batch as a tuple of structures of arrays, those that are `None` left out.

    Example:
        >>> as_arrays(([1, 2], None))
        (array([1, 2]),)
    """
    batch = batch if isinstance(batch, tuple) else (batch,)
    given = (each for each in batch if each is not None)
    return tuple(nested.mapped(lambda array: as_numpy(np.asarray(array)), each) for each in given)


def _each(batches: Any) -> Iterable[Any]:
    if hasattr(batches, "__next__"):
        return batches
    count = batches.num_batches
    return (batches[index] for index in (itertools.count() if count is None else range(count)))


def ending(batches: Iterable[Any], what: str, is_finite: bool = False) -> Iterator[Any]:
    """Batches one after another, refused once they seem never to end.

    Args:
        batches: structures of arrays.
        what: they are, for the message.
        is_finite: whether their number is known.

    Raises:
        ValueError: when the first batch has come a hundred times, or after five minutes.
    """
    first, repeats, begun = None, 0, time.monotonic()
    for batch in batches:
        yield batch
        if is_finite:
            continue
        first = batch if first is None else first
        repeats += _is_same(batch, first)
        is_late = time.monotonic() - begun > MOST_SECONDS
        if repeats >= MOST_REPEATS or is_late:
            seen = f"after {MOST_SECONDS:.0f} s" if is_late else "its first batch comes again"
            raise ValueError(
                f"{what} does not end ({seen}); limit it with `.take(batches)`, or give arrays."
            )


def _is_same(batch: Any, other: Any) -> bool:
    """Whether two batches are equal; looks at their first examples before it looks at all."""
    pairs = list(zip(nested.leaves(batch), nested.leaves(other), strict=False))
    for few in (slice(1), slice(None)):
        if not all(np.array_equal(np.asarray(a)[few], np.asarray(b)[few]) for a, b in pairs):
            return False
    return True

"""Inputs and batches as users have them, as arrays: DataFrames, strings, `PyDataset`, generators.

Nothing of pandas or Keras is imported for it: what brought its own library is known by what it can
do.
"""

from __future__ import annotations

import time
import zlib
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


def read(batches: Any, what: str) -> tuple:
    """All examples of a `PyDataset` or a generator: `(x, y)`, or what else its batches hold.

    Raises:
        ValueError: for batches that never end, are empty, or would not fit into memory.

    Example:
        >>> x, y = read(iter([(np.zeros([2, 3]), np.zeros(2))] * 2), "The training part")
        >>> x.shape, y.shape
        ((4, 3), (4,))
    """
    found, used, most = [], 0, memory.available() // 2
    for batch in ending(_each(batches), what, hasattr(batches, "num_batches")):
        batch = batch if isinstance(batch, tuple) else (batch,)
        found.append(nested.mapped(np.asarray, tuple(each for each in batch if each is not None)))
        used += sum(array.nbytes for array in nested.leaves(found[-1]))
        if used > most:
            raise ValueError(
                f"{what} is larger than memory; give a tf.data.Dataset, which stays a stream."
            )
    if not found:
        raise ValueError(f"{what} is empty; give at least one batch.")
    return nested.mapped(lambda *arrays: np.concatenate(arrays), found[0], *found[1:])


def _each(batches: Any) -> Iterable[Any]:
    if hasattr(batches, "__next__"):
        return batches
    return (batches[index] for index in range(batches.num_batches))


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
        digest = _digest(batch)
        first = digest if first is None else first
        repeats += digest == first
        is_late = time.monotonic() - begun > MOST_SECONDS
        if repeats >= MOST_REPEATS or is_late:
            seen = f"after {MOST_SECONDS:.0f} s" if is_late else "its first batch comes again"
            raise ValueError(
                f"{what} does not end ({seen}); limit it with `.take(batches)`, or give arrays."
            )


def _digest(batch: Any) -> int:
    # Objects such as strings differ in their addresses.
    arrays = [np.asarray(as_numpy(np.asarray(each))) for each in nested.leaves(batch)]
    return zlib.crc32(b"".join(array.tobytes() for array in arrays))

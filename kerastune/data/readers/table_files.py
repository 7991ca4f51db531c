"""The cells of a .csv, a .parquet or a DataFrame, by column and as they are."""

from __future__ import annotations

import contextlib
import csv
import gc
import itertools
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data import memory, user_inputs
from kerastune.data.readers.asked import ignored

ENDINGS = (".csv", ".tsv", ".parquet")
SEPARATORS = ",;\t|"
MOST_COLUMNS = 100_000
BYTES_PER_CSV_BYTE = 10  # cells are Python texts before they are numbers
BYTES_PER_PARQUET_BYTE = 20
CELLS_AT_ONCE = 100_000  # of the rows of a .csv, before they are put into columns
LARGE = 50_000_000  # bytes from which on reading is told
UNNAMED = "Unnamed: 0"  # what pandas calls its index when it reads one that it wrote
logger = logging.getLogger("kerastune")

Cells = dict[str, np.ndarray]  # of columns `[n]`: numbers, booleans, datetime64, or objects


def is_table(source: Any) -> bool:
    """Whether a source is a DataFrame, or named like a file that holds a table.

    Example:
        >>> is_table("people.csv"), is_table("digits")
        (True, False)
    """
    if user_inputs.is_frame(source):
        return True
    return isinstance(source, (str, os.PathLike)) and Path(source).suffix.lower() in ENDINGS


def name_of(source: Any) -> str:
    """What a table is called in messages.

    Example:
        >>> name_of("data/people.csv")
        'data/people.csv'
    """
    return "The DataFrame" if user_inputs.is_frame(source) else str(source)


def header(source: Any) -> list[str]:
    """Names of the columns; of a .csv no other row is read.

    Raises:
        ValueError: with one line, for a file that can't be read and names that can't be used.
        ImportError: where a .parquet needs a package.
    """
    if user_inputs.is_frame(source):
        return _checked([str(name) for name in source.columns], "The DataFrame")
    path = Path(source)
    if path.suffix.lower() == ".parquet":
        return _checked(_parquet_columns(path), str(path))
    with _opened(path) as file:
        try:
            first = next((line for line in _reader(file) if line), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise _unreadable(path, error) from error
    return _checked(_named(first), str(path))


def read(source: Any) -> Cells:
    """All cells by column, in the order of the columns.

    Raises:
        ValueError: with one line, for a file that can't be read.
        ImportError: where a .parquet needs a package.

    Example:
        >>> import pandas as pd
        >>> read(pd.DataFrame({"age": [30, 41]}))["age"].tolist()
        [30.0, 41.0]
    """
    names = header(source)
    if user_inputs.is_frame(source):
        return _of_frame(source, "The DataFrame")
    path = Path(source)
    size = path.stat().st_size
    is_parquet = path.suffix.lower() == ".parquet"
    memory.check((BYTES_PER_PARQUET_BYTE if is_parquet else BYTES_PER_CSV_BYTE) * size, str(path))
    if size > LARGE:
        logger.info("Reading %s (%.0f MB).", path, size / 1e6)
    if is_parquet:
        return _of_frame(_parquet(path), str(path))
    return _whole(path, names)


def chunks(source: Any, most: int) -> Iterator[Cells]:
    """All cells by column, as `read` gives them, at most so many rows at a time.

    Raises:
        ValueError: with one line, for a file that can't be read.

    Example:
        >>> import pandas as pd
        >>> [len(cells["a"]) for cells in chunks(pd.DataFrame({"a": [1, 2, 3]}), 2)]
        [2, 1]
    """
    if user_inputs.is_frame(source) or Path(source).suffix.lower() == ".parquet":
        cells = read(source)
        count = len(next(iter(cells.values())))
        for start in range(0, count, most):
            yield {name: column[start : start + most] for name, column in cells.items()}
        return
    path, names = Path(source), header(source)
    before = 0
    for some in _rows(path, most):
        _check_lengths(_misfits(some, len(names), before), len(names), path)
        columns = (np.array(column, dtype=object) for column in zip(*some, strict=True))
        yield dict(zip(names, columns, strict=True))
        before += len(some)


def cells(values: Any) -> np.ndarray:
    """A column that is given as a list, an array or a Series.

    Example:
        >>> cells(["a", None]).tolist(), cells([1, 2]).dtype.kind
        (['a', ''], 'f')
    """
    import pandas as pd

    return _series(pd.Series(values), "", "The table")


@contextlib.contextmanager
def _no_search_for_cycles() -> Iterator[None]:
    """Rows are a million lists without a cycle: to look for one takes a quarter of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_no_search_for_cycles()
def _whole(path: Path, names: list[str]) -> Cells:
    """All cells of a .csv; every row that does not fit its header is counted."""
    columns: list[list[str]] = [[] for _ in names]
    misfits: list[tuple[int, int]] = []
    count = 0
    for some in _rows(path, max(1, CELLS_AT_ONCE // len(names))):
        misfits += _misfits(some, len(names), count)
        count += len(some)
        if not misfits:
            for column, more in zip(columns, zip(*some, strict=True), strict=True):
                column.extend(more)
    _check_lengths(misfits, len(names), path)
    if not count:
        raise ValueError(f"{path} has no rows below its header; expected at least one example.")
    found = (np.array(column, dtype=object) for column in columns)
    return dict(zip(names, found, strict=True))


def _opened(path: Path) -> Any:
    return open(path, newline="", encoding="utf-8-sig")


def _reader(file: Any) -> Any:
    """Rows of a .csv, with the separator that its header has most often."""
    csv.field_size_limit(2**31 - 1)
    place = file.tell()
    first = next((line for line in iter(file.readline, "") if line.strip()), "")
    file.seek(place)
    separator = max(SEPARATORS, key=first.count)
    return csv.reader(file, delimiter=separator, skipinitialspace=separator != "\t", strict=True)


def _rows(path: Path, most: int) -> Iterator[list[list[str]]]:
    """The rows below a header, at most so many at a time."""
    try:
        with _opened(path) as file:
            rows = (line for line in _reader(file) if line)
            next(rows, None)
            while some := list(itertools.islice(rows, most)):
                yield some
    except (csv.Error, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _misfits(rows: list[list[str]], width: int, before: int) -> list[tuple[int, int]]:
    """Number and cells of the rows that are longer or shorter than their header."""
    lengths = [len(row) for row in rows]
    if lengths.count(width) == len(rows):
        return []
    return [(before + place, length) for place, length in enumerate(lengths, 1) if length != width]


def _check_lengths(misfits: list[tuple[int, int]], width: int, path: Path) -> None:
    if misfits:
        others = f", and so do {len(misfits) - 1} other rows" if len(misfits) > 1 else ""
        row, found = misfits[0]
        raise ValueError(
            f"Row {row} of {path} has {found} cells, expected {width} as in its "
            f"header{others}: mend the file (a cell with the separator in it needs quotes)."
        )


def _unreadable(path: Path, error: Exception) -> ValueError:
    what = "UTF-8 text" if isinstance(error, UnicodeDecodeError) else "comma-separated UTF-8 text"
    return ValueError(f"{path} cannot be read as {what}: {error}; save it again as UTF-8.")


def _named(names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    return [UNNAMED, *names[1:]] if names[:1] == [""] and len(names) > 1 else names


def _checked(names: list[str], what: str) -> list[str]:
    if not names:
        raise ValueError(f"{what} is empty; expected a header and at least one example.")
    if len(names) > MOST_COLUMNS:
        raise ValueError(
            f"{what} has {len(names)} columns, at most {MOST_COLUMNS} are read: give fewer."
        )
    twice = sorted({name for name in names if names.count(name) > 1}) if _repeats(names) else []
    if twice or "" in names:
        found = f"{', '.join(map(repr, twice[:5]))} more than once" if twice else "an empty name"
        raise ValueError(f"The columns of {what} need different names, none empty; it has {found}.")
    return names


def _repeats(names: list[str]) -> bool:
    return len(set(names)) < len(names)


def _parquet_columns(path: Path) -> list[str]:
    pyarrow = _pyarrow(path)
    try:
        return list(pyarrow.read_schema(path).names)
    except (OSError, ValueError) as error:
        raise _no_parquet(path, error) from error


def _parquet(path: Path) -> Any:
    pyarrow = _pyarrow(path)
    try:
        return pyarrow.read_table(path).to_pandas()
    except (OSError, ValueError) as error:
        raise _no_parquet(path, error) from error


def _pyarrow(path: Path) -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(
            f"{path} needs pyarrow to be read: `pip install pyarrow`, or save it as .csv."
        ) from error
    return pyarrow.parquet


def _no_parquet(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} cannot be read as .parquet: {str(error).splitlines()[0]}")


def _of_frame(frame: Any, what: str) -> Cells:
    if not len(frame):
        raise ValueError(f"{what} has no rows; expected at least one example.")
    return {str(name): _series(frame[name], str(name), what) for name in frame.columns}


def _series(series: Any, name: str, what: str) -> np.ndarray:
    kind = getattr(series.dtype, "kind", "O")
    if kind == "M":
        is_zoned = getattr(series.dtype, "tz", None) is not None
        series = series.dt.tz_convert("UTC").dt.tz_localize(None) if is_zoned else series
        return series.to_numpy("datetime64[us]")
    if kind == "b":
        gaps = bool(series.isna().any())
        return series.to_numpy(np.float64, na_value=np.nan) if gaps else series.to_numpy(bool)
    if kind in "iuf":
        return series.to_numpy(np.float64, na_value=np.nan)
    if kind in "cmV":
        raise ValueError(
            f"Column '{name}' of {what} has dtype {series.dtype}: turn it into numbers or texts, "
            f"or say {ignored(name)}."
        )
    cells = np.array(series.astype(object), object)
    cells[series.isna().to_numpy()] = ""
    nested = next((cell for cell in cells if isinstance(cell, (list, dict, set, np.ndarray))), None)
    if nested is not None:
        raise ValueError(
            f"Column '{name}' of {what} holds a {type(nested).__name__} in its cells: give numbers "
            f"or texts, or say {ignored(name)}."
        )
    return cells

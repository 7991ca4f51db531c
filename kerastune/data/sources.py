"""Reads what `data` names: a known set, a file, a folder or a function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kerastune.data import streams
from kerastune.data.raw import Raw, from_pairs
from kerastune.data.readers import image_folders, named_sets, npz_files, table_files, tables
from kerastune.data.readers.asked import Asked
from kerastune.runtime import naming


def check(source: Any, asked: Asked = Asked()) -> None:
    """Refuses a source that can't be read, as far as can be told without reading it.

    Args:
        source: a name, a file, a folder, `module:function` or a DataFrame, as `data.load` lists
            them.
        asked: what the user says of it.

    Raises:
        ValueError: with one line, for an unknown source, or a column that it has not.
        FileNotFoundError: with one line, for a file that is missing.

    Example:
        >>> check("iris")
    """
    if table_files.is_table(source):
        for each in (source, *asked.further.values()):
            _check_file(each)
        tables.check(source, asked)
        return
    _refuse_of_tables(source, asked)
    path = Path(source)
    if source in named_sets.SCIKIT_LEARN + named_sets.KERAS:
        return
    if source in named_sets.KERAS_TEXT:
        raise ValueError(
            f"`data` ({source!r}) holds texts of different lengths, which are not supported: "
            "give arrays in a .npz."
        )
    if path.is_dir():
        image_folders.check(path)
    elif path.suffix == ".npz":
        _check_file(path)
        if asked.groups:
            npz_files.check_groups(path, asked.groups)
    elif ":" in source:
        naming.check_module(source, "data")
    else:
        known = named_sets.SCIKIT_LEARN + named_sets.KERAS
        hint = naming.did_you_mean(source, known) or f"; known names are {', '.join(known)}."
        raise ValueError(
            f"`data` ({source!r}) is not a known name, .npz, .csv, .parquet, folder or "
            f"module:function{hint}"
        )


def _check_file(source: Any) -> None:
    """A file is there; a DataFrame always is."""
    is_path = isinstance(source, (str, Path))
    if is_path and not table_files.is_table(source) and Path(source).suffix != ".npz":
        raise ValueError(
            f"{source} must be a table as the training data are: a .csv or .parquet with the same "
            "columns."
        )
    if is_path and not Path(source).is_file():
        raise FileNotFoundError(f"There is no file {source} (looked in {os.getcwd()}).")


def _refuse_of_tables(source: str, asked: Asked) -> None:
    """Refuses what is said of columns, where the source has none."""
    for name, value in asked.of_tables.items():
        raise ValueError(
            f"`{name}` ({value!r}) is for a table (.csv or .parquet), but the data are {source}; "
            "leave it out."
        )
    if asked.groups and Path(source).suffix != ".npz":
        raise ValueError(
            f"`groups` ({asked.groups!r}) names a column of a table or an array of a .npz, but "
            f"the data are {source}: leave it out."
        )
    for where in asked.further:
        raise ValueError(
            f"`{where}_data` is for a table (.csv or .parquet), but the data are {source}, which "
            f"may have a {where} part themselves: leave it out."
        )


def read(source: Any, asked: Asked = Asked()) -> Raw:
    """Finds out what kind of source is meant, and reads it.

    Args:
        source: as `check` takes it.
        asked: what the user says of it.

    Raises:
        ValueError: with one line, for an unknown source, or one that cannot be read.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> read("iris").parts["training"].x.shape
        (150, 4)
    """
    check(source, asked)
    if table_files.is_table(source):
        paths = _column_of_paths(source, asked)
        if paths:
            return image_folders.read_listed(Path(source), asked, paths)
        return tables.read(source, asked)
    path = Path(source)
    if source in named_sets.SCIKIT_LEARN + named_sets.KERAS:
        return named_sets.read(source)
    if path.is_dir():
        return image_folders.read(path, asked)
    return npz_files.read(path, asked.groups) if path.suffix == ".npz" else _read_function(source)


def _column_of_paths(source: Any, asked: Asked) -> str:
    """The column of a file's paths of images, which then are the inputs; else empty."""
    is_file = isinstance(source, (str, Path))
    return image_folders.column_of_paths(Path(source), asked) if is_file else ""


def _read_function(source: str) -> Raw:
    """Imports and calls `module:function`."""
    function = naming.imported(source, "data")
    if not callable(function):
        raise ValueError(f"data `{source}` is not a function.")
    return from_pairs(_by_part(function(), source), source)


def _by_part(value: Any, source: str) -> dict[str, Any]:
    """Sorts what a function gave into parts."""
    is_nested = isinstance(value, tuple) and all(
        isinstance(part, tuple) or streams.is_dataset(part) for part in value
    )
    if (
        isinstance(value, dict)
        and "train" in value
        and not set(value) - {"train", "validation", "test"}
    ):
        return value
    if is_nested and len(value) in (2, 3):
        names = ("train", "test") if len(value) == 2 else ("train", "validation", "test")
        return dict(zip(names, value, strict=True))
    if streams.is_dataset(value) or (isinstance(value, tuple) and len(value) in (2, 3)):
        return {"train": value}
    given = (
        f"a dict with {', '.join(map(str, value))}"
        if isinstance(value, dict)
        else f"a {type(value).__name__}"
    )
    raise ValueError(
        f"{source} returned {given}; expected (x, y), ((x, y), (x_test, y_test)), three such "
        "pairs, or a dict with `train` and optionally `validation` and `test`."
    )

"""Reads what `--data` names: a known set, a file, a folder or a function."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kerastune.data import streams
from kerastune.data.raw import Raw, from_pairs
from kerastune.data.readers import csv_files, image_folders, named_sets, npz_files
from kerastune.runtime import naming


def check(source: str, label: str = "", groups: str = "") -> None:
    """Refuses a source that can't be read, as far as can be told without reading it.

    Args:
        source: a name, a file, a folder or `module:function`, as `data.load` lists them.
        label: name of the target column of a .csv.
        groups: name of the column of a .csv, or of the array of a .npz, that tells which examples
            belong together.

    Raises:
        ValueError: with one line, for an unknown source, or a column that it has not.
        FileNotFoundError: with one line, for a file that is missing.

    Example:
        >>> check("iris")
    """
    path = Path(source)
    if label and path.suffix != ".csv":
        raise ValueError(
            f"`--label` ({label!r}) names a column of a .csv, but the data are {source}; leave it "
            "out."
        )
    if groups and path.suffix not in (".csv", ".npz"):
        raise ValueError(
            f"`--groups` ({groups!r}) names a column of a .csv or an array of a .npz, but the data "
            f"are {source}: leave it out."
        )
    known = named_sets.SCIKIT_LEARN + named_sets.KERAS
    if source in known:
        return
    if source in named_sets.KERAS_TEXT:
        raise ValueError(
            f"`--data` ({source!r}) holds texts of different lengths, which are not supported: "
            "give arrays in a .npz."
        )
    if path.is_dir():
        image_folders.check(path)
        return
    if path.suffix in (".npz", ".csv"):
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {source} (looked in {os.getcwd()}).")
        if path.suffix == ".csv":
            csv_files.check_columns(path, label, groups)
        elif groups:
            npz_files.check_groups(path, groups)
        return
    if ":" in source:
        naming.check_module(source, "data")
        return
    hint = naming.did_you_mean(source, known) or f"; known names are {', '.join(known)}."
    raise ValueError(
        f"`--data` ({source!r}) is not a known name, .npz, .csv, folder or module:function{hint}"
    )


def read(source: str, label: str, image_size: int, groups: str = "") -> Raw:
    """Finds out what kind of source is meant, and reads it.

    Args:
        source: as `check` takes it.
        label: name of the target column of a .csv.
        image_size: height and width that images in folders are resized to, in pixels.
        groups: as `check` takes it.

    Raises:
        ValueError: with one line, for an unknown source, or one that cannot be read.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> read("iris", "", 64).parts["training"].x.shape
        (150, 4)
    """
    check(source, label, groups)
    path = Path(source)
    if source in named_sets.SCIKIT_LEARN + named_sets.KERAS:
        return named_sets.read(source)
    if path.is_dir():
        return image_folders.read(path, image_size)
    if path.suffix == ".npz":
        return npz_files.read(path, groups)
    return _read_csv(path, label, groups) if path.suffix == ".csv" else _read_function(source)


def _read_csv(path: Path, label: str, groups: str) -> Raw:
    part, kind, notes, of_groups = csv_files.read(path, label, groups)
    return Raw(
        path.stem, {"training": part}, kind=kind, is_table=True, notes=notes, groups=of_groups
    )


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

"""What flags alone tell to be wrong with data and model; `flag_checks` has the others."""

from __future__ import annotations

import csv
import importlib.util
import os
import sys
import zipfile
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from absl import flags

from kerastune.data import sources
from kerastune.runtime import naming

BUILT_IN_MODELS = ("mlp", "cnn", "resnet")
PARTS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")  # of a .npz


def data(flag_values: flags.FlagValues) -> None:
    """`--data` is given and there, and `--label` names a column of it."""
    source, label = flag_values.data, flag_values.label
    path = Path(source)
    if not source:
        raise ValueError(
            "`--data` is missing: name a data set, a file, a folder or module:function, "
            "e.g. --data=digits."
        )
    if label and path.suffix != ".csv":
        raise ValueError(
            f"`--label` ({label!r}) names a column of a .csv, but the data are {source}; leave it "
            "out."
        )
    known = sources.SCIKIT_LEARN + sources.KERAS
    if source in known:
        return
    if source in sources.KERAS_TEXT:
        raise ValueError(
            f"`--data` ({source!r}) holds texts of different lengths, which are not supported: "
            "give arrays in a .npz."
        )
    if path.is_dir():
        _check_folder(path)
    elif path.suffix in (".npz", ".csv"):
        _check_file(path, label)
    elif ":" in source:
        check_module(source, "data")
    else:
        hint = naming.did_you_mean(source, known) or f"; known names are {', '.join(known)}."
        raise ValueError(
            f"`--data` ({source!r}) is no known name, .npz, .csv, folder or module:function{hint}"
        )


def _check_folder(path: Path) -> None:
    train = path / "train"
    folder = train if train.is_dir() else path
    if not any(each.is_dir() and each.name[0] != "." for each in folder.iterdir()):
        raise ValueError(
            f"`--data` ({folder}) has no class folders: put the images of every class into a "
            "folder of its own."
        )


def _check_file(path: Path, label: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path} (looked in {os.getcwd()}).")
    if path.suffix != ".csv":
        return
    columns = csv_columns(path)
    if columns and label not in columns:
        what = f"({label!r}) is not a column of {path}" if label else f"is missing for {path}"
        raise ValueError(
            f"`--label` {what}: name the column to predict, one of {_listed(columns)}."
        )


def csv_columns(path: Path) -> list[str]:
    """Names in the header of a .csv; none where it can't be read, which is told when all of it is.

    Example:
        >>> csv_columns(Path("gone.csv"))
        []
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = csv.reader(file, skipinitialspace=True, strict=True)
            return [name.strip() for name in next(filter(None, lines), [])]
    except (OSError, csv.Error, UnicodeDecodeError):
        return []


def npz_arrays(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile):
        return []


def _listed(names: Sequence[str], most: int = 20) -> str:
    further = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{further}"


def groups(flag_values: flags.FlagValues) -> None:
    """`--groups` names a column or an array of the data that is no input or target."""
    name, path = flag_values.groups, Path(flag_values.data)
    if not name:
        return
    if path.suffix not in (".csv", ".npz"):
        raise ValueError(
            f"`--groups` ({name!r}) names a column of a .csv or an array of a .npz, but the data "
            f"are {path}: leave it out."
        )
    is_csv = path.suffix == ".csv"
    found = csv_columns(path) if is_csv else npz_arrays(path)
    taken = (flag_values.label,) if is_csv else PARTS
    others = [each for each in found if each not in taken]
    if found and name not in others:
        what = "column" if is_csv else "array"
        raise ValueError(
            f"`--groups` ({name!r}) is no {what} of {path} that could tell groups; those are: "
            f"{_listed(others)}."
        )


def model(flag_values: flags.FlagValues) -> None:
    """`--model` is a built-in network, or in a module that is there."""
    name = flag_values.model
    if ":" in name:
        check_module(name, "model")
    elif name and name not in BUILT_IN_MODELS:
        hint = naming.did_you_mean(name, BUILT_IN_MODELS) or "."
        raise ValueError(
            f"`--model` ({name!r}) must be one of {', '.join(BUILT_IN_MODELS)} or module:name of "
            f"your own{hint}"
        )


def pretrained(flag_values: flags.FlagValues) -> None:
    """`--pretrained` is a file, or in a module that is there."""
    name = flag_values.pretrained
    if not name or os.path.isfile(name):
        return
    if ":" not in name:
        raise ValueError(
            f"`--pretrained` ({name!r}) is no file (looked in {os.getcwd()}): name a .keras file "
            "or module:function."
        )
    check_module(name, "pretrained")


def check_module(name: str, flag: str) -> None:
    """Raises `ValueError` unless the module of `module:name` can be found, without importing it.

    Of a package of the user's own every part is looked for; other packages may make parts of
    themselves as they are imported.

    Example:
        >>> check_module("json.decoder:JSONDecoder", "model")
        >>> check_module("jsn:loads", "model")
        Traceback (most recent call last):
            ...
        ValueError: `--model` ('jsn:loads'): there is no module `jsn` here or installed.
    """
    module, _, attribute = name.partition(":")
    if not module or module.startswith(".") or not attribute:
        raise ValueError(f"`--{flag}` ({name!r}) must be module:name, as in mine:build.")
    if not _is_there(module):
        raise ValueError(f"`--{flag}` ({name!r}): there is no module `{module}` here or installed.")


def _is_there(module: str) -> bool:
    importlib.invalidate_caches()
    place, *parts = module.split(".")
    # Found from the working directory first, as it is imported.
    found = PathFinder.find_spec(place, [os.getcwd()])
    if found is None:
        return place in sys.modules or importlib.util.find_spec(place) is not None
    for part in parts:
        place = f"{place}.{part}"
        found = PathFinder.find_spec(place, list(found.submodule_search_locations or ()))
        if found is None:
            return False
    return True

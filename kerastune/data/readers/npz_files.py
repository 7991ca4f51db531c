"""Reads a .npz: arrays by name, of the training, validation and test part."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from kerastune.data import checks, memory
from kerastune.data.raw import Raw
from kerastune.problem import Part

SHORT_NAMES = {"training": "train", "validation": "val", "test": "test"}


def read(path: Path, groups: str) -> Raw:
    """Reads arrays by name; nothing is ever unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            memory.check(2 * sum(member.file_size for member in archive.infolist()), str(path))
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is not a .npz file ({error}); write it with `np.savez`."
        ) from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds an array of objects, which is never unpickled; save numbers."
        ) from error
    parts = {where: _part(path, arrays, short) for where, short in SHORT_NAMES.items()}
    if parts["training"] is None:
        raise ValueError(
            f"{path} has no `x_train`; its arrays are: {checks.shorten(sorted(arrays), 20)}."
        )
    if groups:
        _check_groups(path, groups, list(arrays))
    of_groups = arrays.pop(groups) if groups else None
    notes = (f"Ignored arrays of {path.name}: {checks.shorten(sorted(arrays))}.",) if arrays else ()
    found = {where: part for where, part in parts.items() if part is not None}
    return Raw(path.stem, found, notes=notes, groups=of_groups)


def check_groups(path: Path, groups: str) -> None:
    """Refuses groups that are no array of their own; no array is read.

    A file that is no archive is refused when it is read.

    Raises:
        ValueError: naming the arrays that there are.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist()]
    parts = [f"{what}_{short}" for what in "xy" for short in SHORT_NAMES.values()]
    _check_groups(path, groups, [name for name in names if name not in parts])


def _check_groups(path: Path, groups: str, names: list[str]) -> None:
    if groups not in names:
        raise ValueError(
            f"`--groups` ({groups!r}) is not an array of {path}; others are: "
            f"{checks.shorten(sorted(names))}."
        )


def _part(path: Path, arrays: dict[str, np.ndarray], short: str) -> Part | None:
    """Takes the arrays of one part out of those of the file."""
    start = f"x_{short}/"
    x = {key.removeprefix(start): arrays.pop(key) for key in list(arrays) if key.startswith(start)}
    x = x or arrays.pop(f"x_{short}", None)
    y = arrays.pop(f"y_{short}", None)
    weight = arrays.pop(f"sample_weight_{short}", None)
    if (x is None) != (y is None):
        raise ValueError(f"{path} has only one of `x_{short}` and `y_{short}`; give both or none.")
    return None if x is None else Part(x, y, weight)

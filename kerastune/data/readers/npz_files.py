"""Reads a .npz: arrays by name, of the training, validation and test part."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from kerastune.data import checks, memory
from kerastune.data.raw import Raw
from kerastune.problem import Part

SHORT_NAMES = {"training": "train", "validation": "val", "test": "test"}


def read(path: Path, groups: str) -> Raw:
    """Reads arrays by name; nothing is ever unpickled."""
    arrays = _arrays(path)
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


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an archive by name, refused before memory is taken for what is not there."""
    try:
        with zipfile.ZipFile(path) as archive:
            memory.check(2 * sum(member.file_size for member in archive.infolist()), str(path))
            for member in archive.infolist():
                _check_member(archive, member, path)
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except zipfile.BadZipFile as error:
        raise ValueError(
            f"{path} is not a .npz file ({error}); write it with `np.savez`."
        ) from error
    except (OSError, EOFError, RuntimeError, NotImplementedError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); write it with `np.savez`.") from error


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    """Refuses a member whose header is no array's, or claims more or less than there is."""
    what = f"`{member.filename.removesuffix('.npy')}` of {path}"
    with archive.open(member) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            old = version == (1, 0)
            read_header = getattr(np.lib.format, f"read_array_header_{1 if old else 2}_0")
            shape, _, dtype = read_header(stream)
        except (ValueError, SyntaxError, TypeError) as error:
            words = str(error).splitlines()[0]
            raise ValueError(f"{what} is no array ({words}); write it with `np.savez`.") from error
        held = member.file_size - stream.tell()
    if dtype.hasobject:
        raise ValueError(
            f"{path} holds an array of objects, which is never unpickled; save numbers."
        )
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != held:
        raise ValueError(
            f"{what} says that it has the shape {shape} of {dtype}, but holds {held} bytes; write "
            "it with `np.savez`."
        )


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
            f"`groups` ({groups!r}) is not an array of {path}; others are: "
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

"""Reads images from class folders, and from a table of their paths."""

from __future__ import annotations

import collections
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerastune.data import checks, memory
from kerastune.data.raw import Raw
from kerastune.data.readers import image_files, table_files
from kerastune.data.readers.asked import Asked
from kerastune.problem import Part

FOLDER_PARTS = {"training": ("train",), "validation": ("validation", "val"), "test": ("test",)}
BYTES_PER_VALUE = 5  # as bytes, and as float32 once they are prepared
MOST_NAMED = 5  # broken files in a sentence


def read(path: Path, asked: Asked) -> Raw:
    """Reads images from class folders, or from those inside folders of the parts.

    Raises:
        ValueError: with one line, for folders without images and for files that can't be read.
    """
    _check_size(asked.image_size)
    found = {
        where: [path / name for name in names if (path / name).is_dir()]
        for where, names in FOLDER_PARTS.items()
    }
    folders = (
        {where: paths[0] for where, paths in found.items() if paths}
        if found["training"]
        else {"training": path}
    )
    class_names = _folder_names(folders["training"])
    files = {where: _by_class(folder, class_names) for where, folder in folders.items()}
    _check_memory(sum(len(part) for part, _ in files.values()), asked.image_size, path)
    parts, notes = {}, []
    for where, (names, classes) in files.items():
        x, kept, told = pixels(names, asked.image_size, asked.skip_broken)
        y = dict(zip(names, classes))
        parts[where] = Part(x, np.array([y[name] for name in kept]))
        notes += [*told, *_told_of_others(folders[where], set(names))]
    return Raw(
        path.resolve().name,
        parts,
        kind="classification",
        class_names=class_names,
        notes=tuple(notes),
        image_size=asked.image_size,
    )


def read_listed(path: Path, asked: Asked, column: str) -> Raw:
    """Reads the images that a table lists, with their labels.

    Args:
        path: of the table; relative paths in it are seen from its folder.
        asked: what the user says of it.
        column: that has the paths.

    Raises:
        ValueError: with one line, for files that are missing or can't be read.
    """
    _check_size(asked.image_size)
    sources = {"training": path, **asked.further}
    parts, notes = {}, []
    for where, source in sources.items():
        cells = table_files.read(source)
        folder = Path(source).parent
        names = [folder / str(cell).strip() for cell in cells[column]]
        _check_memory(len(names), asked.image_size, source)
        missing = [name for name in names if not name.is_file()]
        if missing:
            raise ValueError(
                f"{source} names {len(missing)} images that are not there, such as {missing[0]}."
            )
        x, kept, told = pixels(names, asked.image_size, asked.skip_broken)
        labels = dict(zip(names, (str(cell).strip() for cell in cells[asked.label])))
        parts[where] = Part(x, np.array([labels[name] for name in kept]))
        notes += told
    return Raw(
        path.stem,
        parts,
        kind="classification",
        notes=tuple(notes),
        image_size=asked.image_size,
    )


def column_of_paths(source: Path, asked: Asked) -> str:
    """The column of a table that has paths of images; empty if there is none.

    The first row tells; `--types=column:text` keeps such a column a text.
    """
    names = [name for name in table_files.header(source) if name not in asked.ignore]
    first = next(table_files.chunks(source, 1), {})
    for name in names:
        cell = str(first[name][0]).strip() if name in first else ""
        is_image = cell.lower().endswith(image_files.ENDINGS)
        if is_image and name != asked.label and name not in asked.types:
            return name
    return ""


def check(path: Path) -> None:
    """Refuses a folder without class folders; no image is opened.

    Raises:
        ValueError: naming the folder.
    """
    train = path / FOLDER_PARTS["training"][0]
    _folder_names(train if train.is_dir() else path)


def all_files(path: Path) -> list[Path]:
    """Image files in a folder and those below it, or the one file that is named.

    Links to folders above are not followed.

    Raises:
        ValueError: where there are none.
    """
    if path.is_file():
        return [path]
    seen, files = {str(each) for each in path.resolve().parents}, []
    for folder, below, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        files += [
            Path(folder) / name
            for name in sorted(names)
            if Path(name).suffix.lower() in image_files.ENDINGS and not name.startswith(".")
        ]
    if not files:
        raise ValueError(
            f"{path} has no images; endings read are {', '.join(image_files.ENDINGS)}."
        )
    return files


def pixels(
    files: Sequence[Path], image_size: int, skip_broken: bool = False
) -> tuple[np.ndarray, list[Path], tuple[str, ...]]:
    """Images as bytes `[n, image_size, image_size, 3]`.

    Args:
        files: to read.
        image_size: height and width they are resized to, in pixels.
        skip_broken: leave out files that can't be read.

    Returns:
        The images, the files that they are of, and a sentence on those that were left out.

    Raises:
        ValueError: naming the files that can't be read, if they are not left out.
    """
    x = np.empty((len(files), image_size, image_size, 3), np.uint8)
    kept, broken = [], []
    for path in files:
        try:
            x[len(kept)] = image_files.decode(path, image_size)
            kept.append(path)
        except (ValueError, OSError) as error:
            broken.append(f"{path} {error}")
    if not broken:
        return x, kept, ()
    told = f"{len(broken)} images can't be read: {checks.shorten(broken, MOST_NAMED)}"
    if not skip_broken:
        raise ValueError(f"{told}; remove them, or say `skip_broken=True`.")
    return x[: len(kept)], kept, (f"{told}; they are left out.",)


def classes_of(path: Path, files: Sequence[Path]) -> np.ndarray:
    """Names of the class folders that images are in, below `path` `[n]`.

    Example:
        >>> classes_of(Path("pets"), [Path("pets/cat/old/1.png")]).tolist()
        ['cat']
    """
    return np.array([each.relative_to(path).parts[0] for each in files])


def _check_size(image_size: int) -> None:
    if image_size < 1:
        raise ValueError(f"`image_size` must be at least 1 pixel, got {image_size}.")


def _check_memory(count: int, image_size: int, what: Path) -> None:
    memory.check(count * image_size**2 * 3 * BYTES_PER_VALUE, f"{what} ({count} images)")


def _folder_names(folder: Path) -> tuple[str, ...]:
    names = tuple(
        sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    )
    if not names:
        raise ValueError(
            f"{folder} has no class folders; expected one folder of images for every class."
        )
    return names


def _by_class(folder: Path, class_names: tuple[str, ...]) -> tuple[list[Path], list[int]]:
    """Image files of all classes, and the class of each.

    Refuses class folders that the training part does not have, and classes without images.
    """
    strangers = sorted(set(_folder_names(folder)) - set(class_names))
    if strangers:
        raise ValueError(
            f"{folder} has class folders that the training part does not have: "
            f"{', '.join(strangers)}."
        )
    files, classes = [], []
    for number, name in enumerate(class_names):
        if (folder / name).is_dir():
            found = _files_or_none(folder / name)
            files += found
            classes += [number] * len(found)
    if not files:
        raise ValueError(
            f"{folder} has no images in its class folders; endings read are "
            f"{', '.join(image_files.ENDINGS)}."
        )
    return files, classes


def _files_or_none(folder: Path) -> list[Path]:
    try:
        return all_files(folder)
    except ValueError:
        return []


def _told_of_others(folder: Path, read_files: set[Path]) -> list[str]:
    """A sentence on the files of a folder that are not read, by their endings."""
    counts = collections.Counter(
        each.suffix.lower() or "without an ending"
        for each in folder.rglob("*")
        if each.is_file() and each not in read_files and not each.name.startswith(".")
    )
    if not counts:
        return []
    endings = checks.shorten([f"{count} {ending}" for ending, count in counts.most_common()])
    return [f"{sum(counts.values())} files of {folder} are no images and not read: {endings}."]

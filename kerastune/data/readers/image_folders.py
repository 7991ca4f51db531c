"""Reads images from class folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerastune.data import memory
from kerastune.data.raw import Raw
from kerastune.problem import Part

FOLDER_PARTS = {"training": ("train",), "validation": ("validation", "val"), "test": ("test",)}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


def read(path: Path, image_size: int) -> Raw:
    """Reads images from class folders, or from those inside folders of the parts."""
    if image_size < 1:
        raise ValueError(f"`--image_size` must be at least 1 pixel, got {image_size}.")
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
    files = {where: _image_files(folder, class_names) for where, folder in folders.items()}
    num_images = sum(len(names) for part in files.values() for names in part)
    memory.check(num_images * image_size**2 * 3 * 5, f"{path} ({num_images} images)")
    parts = {where: _read_images(names, image_size) for where, names in files.items()}
    return Raw(path.resolve().name, parts, kind="classification", class_names=class_names)


def check(path: Path) -> None:
    """Refuses a folder without class folders; no image is opened.

    Raises:
        ValueError: naming the folder.
    """
    train = path / FOLDER_PARTS["training"][0]
    _folder_names(train if train.is_dir() else path)


def _folder_names(folder: Path) -> tuple[str, ...]:
    names = tuple(
        sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    )
    if not names:
        raise ValueError(
            f"{folder} has no class folders; expected one folder of images for every class."
        )
    return names


def _image_files(folder: Path, class_names: tuple[str, ...]) -> list[list[Path]]:
    """Image files by class.

    Refuses class folders that the training part does not have, and a part without images.
    """
    strangers = sorted(set(_folder_names(folder)) - set(class_names))
    if strangers:
        raise ValueError(
            f"{folder} has class folders that the training part does not have: "
            f"{', '.join(strangers)}."
        )
    files = [
        sorted(path for path in (folder / name).glob("*") if path.suffix.lower() in IMAGE_ENDINGS)
        for name in class_names
    ]
    if not any(files):
        raise ValueError(
            f"{folder} has no images in its class folders; endings read are "
            f"{', '.join(IMAGE_ENDINGS)}."
        )
    return files


def _read_images(files: list[list[Path]], image_size: int) -> Part:
    """Images as bytes `[n, image_size, image_size, 3]`, resized, and their classes."""
    from keras.utils import load_img

    y = np.repeat(np.arange(len(files)), [len(names) for names in files])
    x = np.empty((len(y), image_size, image_size, 3), np.uint8)
    for index, path in enumerate(path for names in files for path in names):
        try:
            x[index] = np.asarray(
                load_img(path, target_size=(image_size, image_size), interpolation="bilinear")
            )
        except OSError as error:
            raise ValueError(f"{path} cannot be read as an image; remove or replace it.") from error
    return Part(x, y)

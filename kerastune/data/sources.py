"""Reads what `--data` names, or takes arrays and datasets as they are given: both become a `Raw`,
still unchecked.
"""

from __future__ import annotations

import dataclasses
import gzip
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data import checks, csv_files, streams
from kerastune.problem import Part
from kerastune.runtime import naming

SCIKIT_LEARN = ("digits", "wine", "breast_cancer", "diabetes", "iris")
KERAS = ("mnist", "fashion_mnist", "cifar10", "cifar100", "california_housing", "boston_housing")
KERAS_TEXT = ("imdb", "reuters")
CLASS_NAMES = {
    "fashion_mnist": "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot".split(),
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
}
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGES = {"fashion_mnist": "dataset-fashion-mnist"}
SHORT_NAMES = {"training": "train", "validation": "val", "test": "test"}
FOLDER_PARTS = {"training": ("train",), "validation": ("validation", "val"), "test": ("test",)}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif")


@dataclasses.dataclass(frozen=True)
class Raw:
    """What a source gives, before it is checked, cut and prepared.

    With a `stream`, the training part holds a profile in place of the inputs. With `is_table`,
    inputs are columns. The `groups` that examples belong to are those of the training part, then of
    a validation part that the source has.
    """

    name: str
    parts: dict[str, Part]
    stream: Any = None
    kind: str = ""
    class_names: tuple[str, ...] = ()
    is_table: bool = False
    notes: tuple[str, ...] = ()
    groups: np.ndarray | None = None


def read(source: str, label: str, image_size: int, groups: str = "") -> Raw:
    """Finds out what kind of source is meant, and reads it.

    Args:
        source: a name, a file, a folder or `module:function`, as `data.load` lists them.
        label: name of the target column of a .csv.
        image_size: height and width that images in folders are resized to, in pixels.
        groups: name of the column of a .csv, or of the array of a .npz, that tells which examples
            belong together.

    Raises:
        ValueError: with one line, for an unknown source, or one that cannot be read.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> read("iris", "", 64).parts["training"].x.shape
        (150, 4)
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
            f"are {source}."
        )
    if source in SCIKIT_LEARN:
        return _read_scikit_learn(source)
    if source in KERAS:
        return _read_keras(source)
    if source in KERAS_TEXT:
        raise ValueError(
            f"`{source}` holds texts of different lengths, which are not supported; give arrays."
        )
    if path.is_dir():
        return _read_folder(path, image_size)
    if path.suffix in (".npz", ".csv"):
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {source} (looked in {os.getcwd()}).")
        return _read_npz(path, groups) if path.suffix == ".npz" else _read_csv(path, label, groups)
    if ":" in source:
        return _read_function(source)
    known = SCIKIT_LEARN + KERAS
    hint = naming.did_you_mean(source, known) or f"; known names are {', '.join(known)}."
    raise ValueError(
        f"`--data` ({source!r}) is no known name, .npz, .csv, folder or module:function{hint}"
    )


def _read_scikit_learn(name: str) -> Raw:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    class_names = tuple(str(target) for target in getattr(bunch, "target_names", ()))
    x = bunch.images if name == "digits" else bunch.data
    return Raw(name, {"training": Part(x, bunch.target)}, class_names=class_names)


def _read_keras(name: str) -> Raw:
    if name == "fashion_mnist" and DEBIAN_FASHION_MNIST.is_dir():
        parts = [Part(*(_read_idx(name, part, what) for what in ("images-idx3", "labels-idx1")))
                 for part in ("train", "t10k")]  # fmt: skip
    else:
        parts = [Part(*pair) for pair in _download(name)]
    return Raw(
        name, {"training": parts[0], "test": parts[1]}, class_names=tuple(CLASS_NAMES.get(name, ()))
    )


def _read_idx(name: str, part: str, what: str) -> np.ndarray:
    """Reads an array from the gzipped format of MNIST: two zeros, type, rank, sizes (big-endian),
    bytes.
    """
    path = DEBIAN_FASHION_MNIST / f"{part}-{what}-ubyte.gz"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing; reinstall it with `apt install {DEBIAN_PACKAGES[name]}`."
        )
    with gzip.open(path) as file:
        rank = file.read(4)[3]
        shape = np.frombuffer(file.read(4 * rank), ">i4")
        return np.frombuffer(file.read(), np.uint8).reshape(shape)


def _download(name: str) -> Any:
    import keras

    try:
        return getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises bare exceptions for a failed download
        package = DEBIAN_PACKAGES.get(name)
        remedy = f"; on Debian, `apt install {package}` brings it" if package else ""
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileNotFoundError(f"`{name}` could not be downloaded ({reason}){remedy}.") from error


def _read_npz(path: Path, groups: str) -> Raw:
    """Reads arrays by name; nothing is ever unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            checks.check_memory(
                2 * sum(member.file_size for member in archive.infolist()), str(path)
            )
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
    parts = {where: _npz_part(path, arrays, short) for where, short in SHORT_NAMES.items()}
    if parts["training"] is None:
        raise ValueError(
            f"{path} has no `x_train`; its arrays are: {checks.shorten(sorted(arrays), 20)}."
        )
    if groups and groups not in arrays:
        raise ValueError(
            f"`--groups` ({groups!r}) is no array of {path}; it also has: "
            f"{checks.shorten(sorted(arrays))}."
        )
    of_groups = arrays.pop(groups) if groups else None
    notes = (
        (f"Arrays of {path.name} left unread: {checks.shorten(sorted(arrays))}.",) if arrays else ()
    )
    found = {where: part for where, part in parts.items() if part is not None}
    return Raw(path.stem, found, notes=notes, groups=of_groups)


def _npz_part(path: Path, arrays: dict[str, np.ndarray], short: str) -> Part | None:
    """Takes the arrays of one part out of those of the file."""
    start = f"x_{short}/"
    x = {key.removeprefix(start): arrays.pop(key) for key in list(arrays) if key.startswith(start)}
    x = x or arrays.pop(f"x_{short}", None)
    y = arrays.pop(f"y_{short}", None)
    weight = arrays.pop(f"sample_weight_{short}", None)
    if (x is None) != (y is None):
        raise ValueError(f"{path} has only one of `x_{short}` and `y_{short}`; give both or none.")
    return None if x is None else Part(x, y, weight)


def _read_csv(path: Path, label: str, groups: str) -> Raw:
    part, kind, notes, of_groups = csv_files.read(path, label, groups)
    return Raw(
        path.stem, {"training": part}, kind=kind, is_table=True, notes=notes, groups=of_groups
    )


def _read_folder(path: Path, image_size: int) -> Raw:
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
    checks.check_memory(num_images * image_size**2 * 3 * 5, f"{path} ({num_images} images)")
    parts = {where: _read_images(names, image_size) for where, names in files.items()}
    return Raw(path.resolve().name, parts, kind="classification", class_names=class_names)


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
    """Image files by class; refuses class folders that the training part does not have, and a part
    without images.
    """
    strangers = sorted(set(_folder_names(folder)) - set(class_names))
    if strangers:
        raise ValueError(
            f"{folder} has class folders that the training part has not: {', '.join(strangers)}."
        )
    files = [sorted(path for path in (folder / name).glob("*") if path.suffix.lower() in IMAGE_ENDINGS)
             for name in class_names]  # fmt: skip
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


def _read_function(source: str) -> Raw:
    """Imports and calls `module:function`."""
    function = naming.imported(source, "data")
    if not callable(function):
        raise ValueError(f"data `{source}` is no function.")
    return raw(_by_part(function(), source), source)


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
    raise ValueError(f"{source} gave {given}; expected (x, y), ((x, y), (x_test, y_test)), three such pairs, or a dict "
                     "with `train` and optionally `validation` and `test`.")  # fmt: skip


def refuse_stream(x: Any) -> None:
    """Raises `ValueError` for a `tf.data.Dataset`, whose examples can't be cut into folds."""
    if streams.is_dataset(x):
        raise ValueError("A tf.data.Dataset can't be cut into folds; give arrays.")


def raw(values: dict[str, Any], name: str) -> Raw:
    """Turns pairs of arrays and datasets, by `train`, `validation` and `test`, into parts; `None`
    is left out.

    Example:
        >>> list(raw({"train": ([[1.0], [2.0]], [0, 1]), "test": None}, "two").parts)
        ['training']
    """
    parts = {
        where: _part(values[where], where)
        for where in ("validation", "test")
        if values.get(where) is not None
    }
    if not streams.is_dataset(values["train"]):
        return Raw(name, {"training": _part(values["train"], "training"), **parts})
    if "validation" not in parts:
        how = 'a "validation" part beside "train"'
        raise ValueError(
            f"{name}: a tf.data.Dataset cannot be cut; give a validation part as well ({how})."
        )
    train = streams.scan(values["train"])
    notes = () if "test" in parts else ("There is no test part: a tf.data.Dataset cannot be cut.",)
    stream = streams.single_examples(values["train"], len(train))
    return Raw(name, {"training": train, **parts}, stream=stream, notes=notes)


def _part(value: Any, where: str) -> Part:
    """A part from `(x, y)`, `(x, y, sample_weight)` or a dataset of those."""
    if streams.is_dataset(value):
        return streams.materialize(value, where)
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3) or value[1] is None:
        raise ValueError(
            f"The {where} part must be (x, y), (x, y, sample_weight) or a tf.data.Dataset of those."
        )
    x, y, *weight = value
    what = f"of the {where} part"
    if isinstance(x, dict):
        x = {name: checks.as_array(array, f"`{name}` {what}") for name, array in x.items()}
    else:
        x = checks.as_array(x, f"`x` {what}")
    weight = checks.as_array(weight[0], f"`sample_weight` {what}") if weight else None
    return Part(x, checks.as_array(y, f"`y` {what}"), weight)

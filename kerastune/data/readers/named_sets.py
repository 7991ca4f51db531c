"""Data sets that scikit-learn, Keras and Debian bring, by name."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from kerastune.data.raw import Raw
from kerastune.problem import Part

SCIKIT_LEARN = ("digits", "wine", "breast_cancer", "diabetes", "iris")
KERAS = ("mnist", "fashion_mnist", "cifar10", "cifar100", "california_housing", "boston_housing")
KERAS_TEXT = ("imdb", "reuters")
CLASS_NAMES = {
    "fashion_mnist": "t-shirt trouser pullover dress coat sandal shirt sneaker bag boot".split(),
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
}
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGES = {"fashion_mnist": "dataset-fashion-mnist"}


def read(name: str) -> Raw:
    """Reads one of the sets that scikit-learn or Keras name.

    Args:
        name: one of `SCIKIT_LEARN` or `KERAS`.

    Raises:
        FileNotFoundError: if it could not be downloaded.

    Example:
        >>> read("iris").parts["training"].x.shape
        (150, 4)
    """
    return _read_scikit_learn(name) if name in SCIKIT_LEARN else _read_keras(name)


def _read_scikit_learn(name: str) -> Raw:
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    class_names = tuple(str(target) for target in getattr(bunch, "target_names", ()))
    x = bunch.images if name == "digits" else bunch.data
    return Raw(name, {"training": Part(x, bunch.target)}, class_names=class_names)


def _read_keras(name: str) -> Raw:
    if name == "fashion_mnist" and DEBIAN_FASHION_MNIST.is_dir():
        parts = [
            Part(*(_read_idx(name, part, what) for what in ("images-idx3", "labels-idx1")))
            for part in ("train", "t10k")
        ]
    else:
        parts = [Part(*pair) for pair in _download(name)]
    return Raw(
        name, {"training": parts[0], "test": parts[1]}, class_names=tuple(CLASS_NAMES.get(name, ()))
    )


def _read_idx(name: str, part: str, what: str) -> np.ndarray:
    """Reads an array from MNIST's gzipped format.

    Two zeros, type, rank, sizes (big-endian), bytes.
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

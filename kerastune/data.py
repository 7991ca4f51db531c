"""From a name, a file, a folder, a function or arrays to a `Task`: read, checked, cut and prepared (`PLAYBOOK` P)."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import gzip
import importlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from kerastune import preflight, preprocessing, splits
from kerastune.preprocessing import Attachment, Profile
from kerastune.task import Part, Task

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
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")  # cells of a .csv, in lower case
MOST_TEXT_VALUES = 100  # of a text column, each of which becomes one input
BYTES_PER_CSV_BYTE = 10  # cells are Python texts before they are numbers
STREAM_BATCH = 256  # examples that are read from a tf.data.Dataset in one go
INFINITE = -1  # what tf.data gives as the cardinality of an endless dataset


@dataclasses.dataclass(frozen=True)
class Raw:
    """What a source gives, before it is checked, cut and prepared.

    With a `stream`, the training part holds a profile in place of the inputs. With `is_table`, inputs are columns.
    """

    name: str
    parts: dict[str, Part]
    stream: Any = None
    kind: str = ""
    class_names: tuple[str, ...] = ()
    is_table: bool = False
    notes: tuple[str, ...] = ()


def load(
    source: str = "digits",
    *,
    label: str = "",
    image_size: int = 64,
    standardise: bool | None = None,
    seed: int = 1,
    for_own_model: bool = False,
    kind: str = "",
) -> Task:
    """Loads a data set, refuses what cannot be trained on, cuts missing parts off and prepares it (`PLAYBOOK` P).

    Preparation is fitted on the training part only. For built-in models, tables are standardised by feature, images
    (rank 3 and more) by one mean and deviation, and images `[n, height, width]` get a channel axis. A user's own model
    gets its inputs as they are, unless `standardise`. Regression targets are always standardised.

    Args:
        source: one of
            `digits`, `wine`, `breast_cancer`, `diabetes`, `iris` (scikit-learn's);
            `mnist`, `fashion_mnist`, `cifar10`, `cifar100`, `california_housing`, `boston_housing` (Keras's);
            a `.npz` with `x_train`, `y_train` and optionally `x_val`, `y_val`, `x_test`, `y_test`,
            `sample_weight_train` (inputs by name as `x_train/name`);
            a `.csv` with a header: text columns become one column per value, missing numbers the training median;
            a folder of class folders of images, optionally inside `train`, `validation` (or `val`) and `test`;
            `module:function`, called without arguments, giving `(x, y)`, `((x, y), (x_test, y_test))`,
            `((x, y), (x_val, y_val), (x_test, y_test))` or a dict with `train`, `validation`, `test`; each part is
            `(x, y)`, `(x, y, sample_weight)` or a finite `tf.data.Dataset` of those.
        label: name of the target column of a `.csv`.
        image_size: height and width that images in folders are resized to, in pixels, at least 1.
        standardise: `None` means for built-in models only.
        seed: of the cuts, at least 0.
        for_own_model: whether the model is the user's own.
        kind: `"classification"` or `"regression"` where the targets would be taken for the other
            (`splits.infer_kind` tells how; a numeric label of a `.csv` is a class if it is whole and has at most 20
            values).

    Returns:
        The task; missing validation and test parts are cut from the training part (`splits.cut`), as its notes say.

    Raises:
        ValueError: with one line, for an unknown source or data that cannot be trained on.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> task = load("iris")
        >>> task.num_classes, task.train.x.shape
        (3, (109, 4))
    """
    raw = _read(source, label, image_size)
    return _finish(raw, seed, for_own_model, standardise, kind, cut_test=True)


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    test_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[Any, float] | None = None,
    seed: int = 1,
    name: str = "data",
    kind: str = "",
    prepare: bool = False,
) -> Task:
    """Makes a task of arrays, or of a finite `tf.data.Dataset` (`PLAYBOOK` P). Only a validation part is cut off.

    Args:
        x: inputs `[n, ...]`, a dict of them, or a `tf.data.Dataset` of `(x, y)` or `(x, y, sample_weight)`.
        y: targets; `None` with a dataset.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a dataset; needed if `x` is a dataset.
        test_data: as `validation_data`; without it the task has no test part.
        sample_weight: weights `[n]`, at least 0.
        class_weight: weight of every class, by the label as it is in `y`.
        seed: of the cut, at least 0.
        name: used in titles.
        kind: `"classification"` or `"regression"`; by default `splits.infer_kind` tells.
        prepare: prepare inputs as for built-in models; otherwise they stay as they are.

    Raises:
        ValueError: with one line, for data that cannot be trained on.

    Example:
        >>> task = from_arrays(np.eye(20), np.arange(20) % 2)
        >>> task.kind, len(task.train), len(task.validation), task.test
        ('classification', 17, 3, None)
    """
    if _is_dataset(x) and not (y is None and sample_weight is None):
        raise ValueError("With a tf.data.Dataset, `y` and `sample_weight` are part of its elements; leave them out.")
    train = x if _is_dataset(x) else (x, y) if sample_weight is None else (x, y, sample_weight)
    raw = _raw({"train": train, "validation": validation_data, "test": test_data}, name)
    return _finish(raw, seed, not prepare, None, kind, class_weight=class_weight)


# From what was read to a task.


def _finish(
    raw: Raw,
    seed: int,
    for_own_model: bool,
    standardise: bool | None,
    kind: str,
    class_weight: dict[Any, float] | None = None,
    cut_test: bool = False,
) -> Task:
    """Checks, cuts, and fits the preparation to what is left for training; in this order."""
    _check_raw(raw, for_own_model)
    kind = _kind(raw, kind)
    classes = splits.find_classes(raw.parts["training"].y, raw.class_names) if kind == "classification" else None
    parts, cut_notes = (raw.parts, []) if raw.stream is not None else _cut_parts(raw, classes, seed, cut_test)
    targets = splits.fit_targets(parts["training"].y, classes, as_given=for_own_model)
    preparation = _fit_inputs(raw, parts["training"].x, for_own_model, standardise)
    prepared = {where: _prepare_part(part, where, preparation, targets)
                for where, part in parts.items() if raw.stream is None or where != "training"}  # fmt: skip
    stream = _prepare_stream(raw.stream, preparation, targets) if raw.stream is not None else None
    class_names = classes.names if classes else ()
    units = () if classes else (targets.mean, targets.scale)
    is_plain = preparation.is_identity and not units
    return Task(
        name=raw.name,
        kind=kind,
        train=prepared.get("training"),
        validation=prepared["validation"],
        test=prepared.get("test"),
        class_names=class_names,
        target_mean=targets.mean,
        target_scale=targets.scale,
        attach=None if is_plain else Attachment(preparation, *units),
        stream=stream,
        class_weight=_class_weight(class_weight, classes),
        notes=(targets.sentence, *raw.notes, *cut_notes, *_class_notes(parts, classes)),
    )


def _check_raw(raw: Raw, for_own_model: bool) -> None:
    """Refuses what preparing would hide or stumble over."""
    train = raw.parts["training"]
    for where, part in raw.parts.items():
        if raw.is_table or (raw.stream is not None and where == "training"):
            preflight.check_targets(part.y, where)  # the inputs were checked when they were read
        else:
            preflight.check_part(part, where)
        preflight.check_same_shape(_shapes(train), _shapes(part), where)
    ranks = {name: len(shape) + 1 for name, shape in _shapes(train).items()}
    for name, rank in ranks.items():
        if rank > 4 and not for_own_model:
            raise ValueError(
                f"`{name}` has rank {rank}; built-in models take [examples, features], [examples, height, width] or "
                "[examples, height, width, channels]: reshape it or bring a model of your own."
            )


def _shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """Shape of one example, by input, and of its target; for arrays and for profiles."""
    inputs = {name: array.shape if isinstance(array, Profile) else array.shape[1:]
              for name, array in preflight.entries(part.x)}  # fmt: skip
    return inputs | {"y": part.y.shape[1:]}


def _kind(raw: Raw, kind: str) -> str:
    """The kind that was asked for, else that of the source, else what the targets look like."""
    if kind not in ("", "classification", "regression"):
        raise ValueError(f"`kind` must be 'classification' or 'regression', got {kind!r}.")
    y = raw.parts["training"].y
    kind = kind or raw.kind or splits.infer_kind(y)
    if kind == "regression" and y.dtype.kind == "U":
        raise ValueError(f"`kind` is regression, but the targets are texts such as {str(y[0])!r}; give numbers.")
    return kind


def _cut_parts(
    raw: Raw, classes: splits.Classes | None, seed: int, cut_test: bool
) -> tuple[dict[str, Part], list[str]]:
    """Cuts missing parts off the training part; gives all parts, and a sentence for each cut."""
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}.")
    parts, notes = dict(raw.parts), []
    for number, where in enumerate(("test", "validation")):
        if where in parts or (where == "test" and not cut_test):
            continue
        train = parts["training"]
        strata = classes.encode(train.y, "training") if classes else None
        stay, off = splits.cut(len(train), [seed, number], strata)
        parts["training"], parts[where] = take(train, stay), take(train, off)
        how = "stratified" if classes else "at random"
        notes.append(f"{len(off)} of {len(train)} training examples were cut off as the {where} part ({how}, "
                     f"seed {seed}).")  # fmt: skip
    return parts, notes


def take(part: Part, indices: np.ndarray) -> Part:
    """The examples of a part with these indices.

    Example:
        >>> take(Part(np.arange(6).reshape(3, 2), np.array([7, 8, 9])), np.array([0, 2])).y.tolist()
        [7, 9]
    """
    x = {name: array[indices] for name, array in part.x.items()} if isinstance(part.x, dict) else part.x[indices]
    return Part(x, part.y[indices], None if part.sample_weight is None else part.sample_weight[indices])


def _fit_inputs(raw: Raw, x: Any, for_own_model: bool, standardise: bool | None) -> Any:
    """Fits the preparation to the training inputs: columns, arrays, or the profile of a stream."""
    standardise = not for_own_model if standardise is None else standardise
    if raw.is_table:
        return preprocessing.fit_table(x, standardise)
    profiles = x if raw.stream is not None else preprocessing.profile(x, standardise)
    return preprocessing.fit(profiles, not for_own_model, standardise)


def _prepare_part(part: Part, where: str, preparation: Any, targets: splits.Targets) -> Part:
    if not preparation.is_identity:
        num_values = sum(array.size for _, array in preflight.entries(part.x))
        preflight.check_memory(4 * num_values, f"The prepared {where} part")
    return Part(preparation.apply(part.x), targets.encode(part.y, where), part.sample_weight)


def _class_notes(parts: dict[str, Part], classes: splits.Classes | None) -> list[str]:
    """Refuses a class without training examples; gives a sentence for those missing elsewhere."""
    notes = []
    for where, part in parts.items() if classes else ():
        missing = preflight.check_classes(classes.encode(part.y, where), classes.names, where)
        if missing:
            notes.append(f"Classes without an example in the {where} part: {preflight.shorten(missing)}.")
    return notes


def _class_weight(weights: dict[Any, float] | None, classes: splits.Classes | None) -> dict[int, float] | None:
    """Weights by integer class of weights by the user's labels."""
    if weights is None:
        return None
    places = {label: place for place, label in enumerate(classes.values.tolist())} if classes else {}
    numbered = {places.get(label, label): weight for label, weight in weights.items()}
    preflight.check_class_weight(numbered, classes.names if classes else ())
    return numbered


# Sources.


def _read(source: str, label: str, image_size: int) -> Raw:
    """Finds out what kind of source is meant, and reads it."""
    path = Path(source)
    if label and path.suffix != ".csv":
        raise ValueError(f"`--label` ({label!r}) names a column of a .csv, but the data are {source}; leave it out.")
    if source in SCIKIT_LEARN:
        return _read_scikit_learn(source)
    if source in KERAS:
        return _read_keras(source)
    if source in KERAS_TEXT:
        raise ValueError(f"`{source}` holds texts of different lengths, which are not supported; give arrays.")
    if path.is_dir():
        return _read_folder(path, image_size)
    if path.suffix in (".npz", ".csv"):
        if not path.is_file():
            raise FileNotFoundError(f"There is no file {source} (looked in {os.getcwd()}).")
        return _read_npz(path) if path.suffix == ".npz" else _read_csv(path, label)
    if ":" in source:
        return _read_function(source)
    near = difflib.get_close_matches(source, SCIKIT_LEARN + KERAS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known names are {', '.join(SCIKIT_LEARN + KERAS)}."
    raise ValueError(f"`--data` ({source!r}) is no known name, .npz, .csv, folder or module:function; {hint}")


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
    return Raw(name, {"training": parts[0], "test": parts[1]}, class_names=tuple(CLASS_NAMES.get(name, ())))


def _read_idx(name: str, part: str, what: str) -> np.ndarray:
    """Reads an array from the gzipped format of MNIST: two zeros, type, rank, sizes (big-endian), bytes."""
    path = DEBIAN_FASHION_MNIST / f"{part}-{what}-ubyte.gz"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; reinstall it with `apt install {DEBIAN_PACKAGES[name]}`.")
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


def _read_npz(path: Path) -> Raw:
    """Reads arrays by name; nothing is ever unpickled."""
    try:
        with zipfile.ZipFile(path) as archive:
            preflight.check_memory(2 * sum(member.file_size for member in archive.infolist()), str(path))
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a .npz file ({error}); write it with `np.savez`.") from error
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise ValueError(f"{path} holds an array of objects, which is never unpickled; save numbers.") from error
    parts = {where: _npz_part(path, arrays, short) for where, short in SHORT_NAMES.items()}
    if parts["training"] is None:
        raise ValueError(f"{path} has no `x_train`; its arrays are: {preflight.shorten(sorted(arrays), 20)}.")
    notes = (f"Arrays of {path.name} left unread: {preflight.shorten(sorted(arrays))}.",) if arrays else ()
    return Raw(path.stem, {where: part for where, part in parts.items() if part is not None}, notes=notes)


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


def _read_csv(path: Path, label: str) -> Raw:
    preflight.check_memory(BYTES_PER_CSV_BYTE * path.stat().st_size, str(path))
    header, rows = _csv_rows(path)
    if label not in header:
        raise ValueError(f"`--label` ({label!r}) is not a column of {path}; its columns are: {', '.join(header)}.")
    if len(header) < 2:
        raise ValueError(f"{path} has no column besides '{label}'; give at least one to predict it from.")
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    y, kind = _csv_target(cells.pop(label), label, path)
    columns = {name: _csv_column(values, name, path) for name, values in cells.items()}
    return Raw(path.stem, {"training": Part(columns, y)}, kind=kind, is_table=True, notes=_csv_notes(columns))


def _csv_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows, all of one length, as texts."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file, skipinitialspace=True, strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as comma-separated UTF-8 text: {error}.") from error
    if len(lines) < 2:
        raise ValueError(f"{path} has {len(lines)} rows; expected a header and at least one example.")
    header, rows = [name.strip() for name in lines[0]], lines[1:]
    if len(set(header)) < len(header) or "" in header:
        raise ValueError(f"The columns of {path} need different names, none empty: {', '.join(map(repr, header))}.")
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(f"Row {number} of {path} has {len(row)} cells, expected {len(header)} as in its header.")
    return header, rows


def _csv_numbers(cells: tuple[str, ...]) -> np.ndarray | None:
    """Cells as float64 with NaN where missing; `None` if one of them is not a number."""
    try:
        return np.array([np.nan if cell.strip().lower() in MISSING else float(cell) for cell in cells])
    except ValueError:
        return None


def _csv_target(cells: tuple[str, ...], label: str, path: Path) -> tuple[np.ndarray, str]:
    missing = [row for row, cell in enumerate(cells, start=1) if cell.strip().lower() in MISSING]
    if missing:
        raise ValueError(f"{path} has no '{label}' in {len(missing)} rows, first in row {missing[0]}; remove them.")
    numbers = _csv_numbers(cells)
    if numbers is None:
        return np.array(cells), "classification"
    whole = np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()
    if whole and len(np.unique(numbers)) <= splits.MOST_INTEGER_CLASSES:
        return numbers.astype(np.int64), "classification"
    return numbers, "regression"


def _csv_column(cells: tuple[str, ...], name: str, path: Path) -> np.ndarray:
    """A column of numbers or of few texts; anything else is refused by name."""
    numbers = _csv_numbers(cells)
    what = f"Column '{name}' of {path}"
    if numbers is not None:
        if np.isnan(numbers).all():
            raise ValueError(f"{what} is empty; remove it.")
        preflight.check_numbers(np.nan_to_num(numbers, posinf=np.inf, neginf=-np.inf), what)
        return numbers
    distinct = len(set(cells))
    if distinct > MOST_TEXT_VALUES or distinct == len(cells):
        example = next(cell for cell in cells if _csv_numbers((cell,)) is None)
        raise ValueError(
            f"{what} is text with {distinct} different values in {len(cells)} rows, such as {example!r}; at most "
            f"{MOST_TEXT_VALUES} that repeat can be encoded: remove it or turn it into numbers."
        )
    return np.array(cells)


def _csv_notes(columns: dict[str, np.ndarray]) -> tuple[str, ...]:
    texts = [f"{name} ({len(np.unique(cells))})" for name, cells in columns.items() if cells.dtype.kind == "U"]
    gaps = {name: int(np.isnan(cells).sum()) for name, cells in columns.items() if cells.dtype.kind == "f"}
    gaps = [f"{name} ({count})" for name, count in gaps.items() if count]
    notes = [f"Text columns became one input for every value: {', '.join(texts)}."] if texts else []
    return (*notes, *([f"Missing numbers became the training median: {', '.join(gaps)}."] if gaps else []))


def _read_folder(path: Path, image_size: int) -> Raw:
    """Reads images from class folders, or from those inside folders of the parts."""
    if image_size < 1:
        raise ValueError(f"`--image_size` must be at least 1 pixel, got {image_size}.")
    found = {where: [path / name for name in names if (path / name).is_dir()] for where, names in FOLDER_PARTS.items()}
    folders = {where: paths[0] for where, paths in found.items() if paths} if found["training"] else {"training": path}
    class_names = _folder_names(folders["training"])
    files = {where: _image_files(folder, class_names) for where, folder in folders.items()}
    num_images = sum(len(names) for part in files.values() for names in part)
    preflight.check_memory(num_images * image_size**2 * 3 * 5, f"{path} ({num_images} images)")
    parts = {where: _read_images(names, image_size) for where, names in files.items()}
    return Raw(path.resolve().name, parts, kind="classification", class_names=class_names)


def _folder_names(folder: Path) -> tuple[str, ...]:
    names = tuple(sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != "."))
    if not names:
        raise ValueError(f"{folder} has no class folders; expected one folder of images for every class.")
    return names


def _image_files(folder: Path, class_names: tuple[str, ...]) -> list[list[Path]]:
    """Image files by class; refuses class folders that the training part does not have, and a part without images."""
    strangers = sorted(set(_folder_names(folder)) - set(class_names))
    if strangers:
        raise ValueError(f"{folder} has class folders that the training part has not: {', '.join(strangers)}.")
    files = [sorted(path for path in (folder / name).glob("*") if path.suffix.lower() in IMAGE_ENDINGS)
             for name in class_names]  # fmt: skip
    if not any(files):
        raise ValueError(f"{folder} has no images in its class folders; endings read are {', '.join(IMAGE_ENDINGS)}.")
    return files


def _read_images(files: list[list[Path]], image_size: int) -> Part:
    """Images as bytes `[n, image_size, image_size, 3]`, resized, and their classes."""
    from keras.utils import load_img

    y = np.repeat(np.arange(len(files)), [len(names) for names in files])
    x = np.empty((len(y), image_size, image_size, 3), np.uint8)
    for index, path in enumerate(path for names in files for path in names):
        try:
            x[index] = np.asarray(load_img(path, target_size=(image_size, image_size), interpolation="bilinear"))
        except OSError as error:
            raise ValueError(f"{path} cannot be read as an image; remove or replace it.") from error
    return Part(x, y)


def _read_function(source: str) -> Raw:
    """Imports and calls `module:function`; modules in the current folder are found."""
    module_name, function_name = source.split(":", 1)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that theirs needs is missing: their traceback tells more
        raise ImportError(f"`--data` ({source!r}): there is no module {module_name} (also looked in the current "
                          "folder).") from error  # fmt: skip
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ImportError(f"`--data` ({source!r}): {module_name} has no function `{function_name}`.")
    return _raw(_by_part(function(), source), source)


def _by_part(value: Any, source: str) -> dict[str, Any]:
    """Sorts what a function gave into parts."""
    is_nested = isinstance(value, tuple) and all(isinstance(part, tuple) or _is_dataset(part) for part in value)
    if isinstance(value, dict) and "train" in value and not set(value) - {"train", "validation", "test"}:
        return value
    if is_nested and len(value) in (2, 3):
        names = ("train", "test") if len(value) == 2 else ("train", "validation", "test")
        return dict(zip(names, value, strict=True))
    if _is_dataset(value) or (isinstance(value, tuple) and len(value) in (2, 3)):
        return {"train": value}
    given = f"a dict with {', '.join(map(str, value))}" if isinstance(value, dict) else f"a {type(value).__name__}"
    raise ValueError(f"{source} gave {given}; expected (x, y), ((x, y), (x_test, y_test)), three such pairs, or a dict "
                     "with `train` and optionally `validation` and `test`.")  # fmt: skip


def _raw(values: dict[str, Any], name: str) -> Raw:
    """Turns pairs of arrays and datasets, by `train`, `validation` and `test`, into parts."""
    parts = {where: _part(values[where], where) for where in ("validation", "test") if values.get(where) is not None}
    if not _is_dataset(values["train"]):
        return Raw(name, {"training": _part(values["train"], "training"), **parts})
    if "validation" not in parts:
        raise ValueError(f"{name}: a tf.data.Dataset cannot be cut; give a validation part as well.")
    train = _scan(values["train"])
    notes = () if "test" in parts else ("There is no test part: a tf.data.Dataset cannot be cut.",)
    stream = _single_examples(values["train"], len(train))
    return Raw(name, {"training": train, **parts}, stream=stream, notes=notes)


def _part(value: Any, where: str) -> Part:
    """A part from `(x, y)`, `(x, y, sample_weight)` or a dataset of those."""
    if _is_dataset(value):
        return _materialise(value, where)
    if not isinstance(value, (tuple, list)) or len(value) not in (2, 3) or value[1] is None:
        raise ValueError(f"The {where} part must be (x, y), (x, y, sample_weight) or a tf.data.Dataset of those.")
    x, y, *weight = value
    what = f"of the {where} part"
    if isinstance(x, dict):
        x = {name: preflight.as_array(array, f"`{name}` {what}") for name, array in x.items()}
    else:
        x = preflight.as_array(x, f"`x` {what}")
    weight = preflight.as_array(weight[0], f"`sample_weight` {what}") if weight else None
    return Part(x, preflight.as_array(y, f"`y` {what}"), weight)


# tf.data.


def _is_dataset(value: Any) -> bool:
    # Named by what it can do, so that arrays can be loaded without importing TensorFlow.
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def _is_batched(dataset: Any, where: str) -> bool:
    """Whether the elements are batches; refuses datasets that are endless or not of plain tensors of one shape.

    Targets of rank 0 are single examples. Otherwise elements are batches if all leading sizes are open, or if all are
    the same and the inputs have rank 2 or more.
    """
    spec = dataset.element_spec
    what = f"The tf.data.Dataset of the {where} part"
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(f"{what} must give (x, y) or (x, y, sample_weight).")
    if int(dataset.cardinality()) == INFINITE:
        raise ValueError(f"{what} never ends; leave out `.repeat()`, steps are counted elsewhere.")
    inputs = list(spec[0].values()) if isinstance(spec[0], dict) else [spec[0]]
    tensors = [*inputs, *spec[1:]]
    for tensor in tensors:
        if type(tensor).__name__ != "TensorSpec" or tensor.shape.rank is None or tensor.dtype.name == "string":
            raise ValueError(f"{what} must hold dense numeric tensors of known rank, got {tensor}.")
    leading = {tensor.shape[0] if tensor.shape.rank else () for tensor in tensors}
    is_batched = leading == {None} or (len(leading) == 1 and () not in leading and inputs[0].shape.rank > 1)
    if any(None in tuple(tensor.shape)[is_batched:] for tensor in tensors):
        raise ValueError(f"{what} has examples of different shapes; pad, cut or resize them to one shape.")
    return is_batched


def _batches(dataset: Any, where: str) -> Any:
    """Batches of a dataset as checked parts."""
    batches = dataset if _is_batched(dataset, where) else dataset.batch(STREAM_BATCH)
    for batch in batches.as_numpy_iterator():
        part = Part(*batch)
        preflight.check_part(part, where)
        yield part


def _materialise(dataset: Any, where: str) -> Part:
    """All examples of a dataset as arrays; refused as soon as they fill half of the memory."""
    parts, used, most = [], 0, preflight.available_memory() // 2
    for part in _batches(dataset, where):
        parts.append(part)
        used += sum(array.nbytes for _, array in preflight.entries(part.x))
        if used > most:
            raise ValueError(f"The tf.data.Dataset of the {where} part is larger than memory; give fewer examples.")
    if not parts:
        raise ValueError(f"The tf.data.Dataset of the {where} part is empty; give at least one example.")
    join = {name: np.concatenate([dict(preflight.entries(part.x))[name] for part in parts])
            for name, _ in preflight.entries(parts[0].x)}  # fmt: skip
    x = join if isinstance(parts[0].x, dict) else join["x"]
    return Part(x, *_join_targets(parts))


def _join_targets(parts: list[Part]) -> tuple[np.ndarray, np.ndarray | None]:
    weights = [part.sample_weight for part in parts]
    return np.concatenate([part.y for part in parts]), None if weights[0] is None else np.concatenate(weights)


def _scan(dataset: Any) -> Part:
    """Reads a training dataset once: profile of its inputs, and all targets and weights."""
    profiles, parts = None, []
    for part in _batches(dataset, "training"):
        profiles = preprocessing.profile(part.x, measure=False) if profiles is None else profiles
        for name, array in preflight.entries(part.x):
            (profiles[name] if isinstance(profiles, dict) else profiles).add(array)
        parts.append(dataclasses.replace(part, x=None))
    if not parts:
        raise ValueError("The tf.data.Dataset of the training part is empty; give at least one example.")
    return Part(profiles, *_join_targets(parts))


def _single_examples(dataset: Any, num_examples: int) -> Any:
    import tensorflow as tf

    single = dataset.unbatch() if _is_batched(dataset, "training") else dataset
    return single.apply(tf.data.experimental.assert_cardinality(num_examples))


def _prepare_stream(stream: Any, preparation: Any, targets: splits.Targets) -> Any:
    """Prepares every example of a dataset as the arrays of the other parts were prepared."""
    import tensorflow as tf

    def target(y: Any) -> Any:
        if targets.classes is None:
            y = (tf.cast(y, tf.float64) - targets.mean) / targets.scale
            return tf.cast(y if targets.as_given or np.size(targets.mean) > 1 else tf.reshape(y, ()), tf.float32)
        if targets.as_given:
            return y
        y = tf.argmax(y) if y.shape.rank and y.shape[0] > 1 else tf.reshape(y, ())
        return tf.cast(y, tf.int32)

    def prepare(x: Any, y: Any, *weight: Any) -> tuple:
        batch = preparation.graph(tf.nest.map_structure(lambda tensor: tensor[None], x))
        return (tf.nest.map_structure(lambda tensor: tensor[0], batch), target(y), *weight)

    if targets.classes is not None and not targets.classes.is_numbered:
        raise ValueError(
            f"The labels of a tf.data.Dataset must run from 0 on, got {preflight.shorten(list(targets.classes.names))};"
            " number the classes in the dataset."
        )
    return stream.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)

"""Writes a Keras model as a SavedModel in a version directory, never half written."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.data import preprocessing
from kerastune.export import canary, serving_readme, versions, warmup
from kerastune.export.signatures import Service, named_inputs, structure_of
from kerastune.inference.stacking import nested
from kerastune.models import fixed_batches
from kerastune.study import run_directory

REMEDY = "export with `tta=False` (rotations and scales are such operations), or as a SavedModel"
FILE_FORMATS = tuple(format for format in versions.ENDINGS if format != versions.SAVED_MODEL)
LABELS = "labels.txt"
WARM_UP_BATCHES = (1, 32)


def export(
    model: keras.Model,
    base: str | os.PathLike,
    name: str,
    *,
    version: int | None = None,
    class_names: Sequence[str] = (),
    examples: Any = None,
    image: bool | tuple[float, float] | None = None,
    against: str | os.PathLike | None = None,
    labelled: tuple[Any, np.ndarray] | None = None,
) -> Path:
    """Writes a model as `<base>/<name>/<version>/` for TensorFlow Serving.

    How to serve it is written into `<base>`.

    Signatures are those of `serving.Service`. In the version stand the SavedModel, the labels
    (`assets/labels.txt`, one a line), warm-up requests and an example request for every signature
    (`assets.extra/`). In `<base>` stand `models.config` and a `README.md` with the lines that start
    the server and ask it.

    Members of one architecture that stand side by side in the model, as in an ensemble, are stacked
    where that answers sooner (`siblings.for_serving`).

    The version is built in `<base>/<name>/.tmp-...`, loaded again, compared with the Keras model,
    and only then renamed to its number (`publishing.new_version`): a server that polls never sees
    it half written.

    Args:
        model: a built Keras model, raw inputs in, with one output: probabilities, logits or
            numbers.
        base: directory of all models.
        name: name under which it is served, 1 to 64 letters, digits, `.`, `_` or `-`.
        version: by default 1 more than the largest that is there.
        class_names: names of the classes in the order of the integer labels; none for regression.
        examples: real inputs as the model takes them, an array `[n, ...]` or a dict of arrays; a
            few dozen.
        image: whether inputs are images, or the values of black and white in them, `(low, high)`;
            by default shape, type and examples tell (`pictures.picture`).
        against: directory of a version that is served: how the new one's answers to its recorded
            requests differ is told in the log before the new number appears.
        labelled: inputs as `examples`, any number, and integer classes `[n]` or numbers `[n,
            outputs]`, to tell whether the new version is better than `against`.

    Returns:
        The version's directory.

    Raises:
        ValueError: for a model or values that do not fit, a version that is there already, an
            exported model that does not give what the Keras model gives, and one with other
            signatures than `against`; nothing is left behind then.

    Example:
        >>> import tempfile
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3, "softmax")])
        >>> export(
        ...     model, tempfile.mkdtemp(), "iris", class_names=("setosa", "versicolor", "virginica")
        ... ).name
        '1'
    """
    if not run_directory.NAME.fullmatch(name) or name.startswith("."):
        raise ValueError(
            "`name` must be 1 to 64 letters, digits, `.`, `_` or `-`, not starting with a dot, "
            f"got {name!r}."
        )
    service = Service(model, class_names, examples, image)
    served, report = nested.for_serving(service.model, service.structured(service.examples))
    if report is not None:
        logging.getLogger("kerastune").info("%s", report.reason)
    with versions.new_version(Path(base) / name, version) as (directory, final):
        service.with_model(served).write(directory)
        _write_extras(service, directory, name)
        service.check(directory)
        if against is not None:
            _compare(service, Path(against), directory, labelled)
    serving_readme.write(Path(base))
    return final


def _compare(
    service: Service, old: Path, new: Path, labelled: tuple[Any, np.ndarray] | None
) -> None:
    known = None
    if labelled is not None:
        x, y = labelled
        known = canary.Labelled(service.named(x, None), y)
    for sentence in canary.compared(old, new, known):
        logging.getLogger("kerastune").info("%s", sentence)


def _write_extras(service: Service, directory: Path, name: str) -> None:
    extra = directory / serving_readme.EXTRA
    extra.mkdir()
    fixed = fixed_batches.size_of(service.model)
    sizes = dict.fromkeys(
        fixed or min(count, len(next(iter(service.examples.values())))) for count in WARM_UP_BATCHES
    )
    warm = [each for count in sizes for each in service.requests(count).items()]
    warmup.write(extra, name, warm)
    for signature, inputs in service.requests(1).items():
        (extra / f"{signature}.json").write_text(
            serving_readme.request(signature, inputs), encoding="utf-8"
        )
    if service.picture is not None:
        (extra / serving_readme.NOTES).write_text(f"{service.picture.sentence}\n", encoding="utf-8")
    if service.class_names:
        lines = [" ".join(label.split("\n")) for label in service.class_names]
        (directory / "assets").mkdir(exist_ok=True)
        (directory / "assets" / LABELS).write_text("\n".join([*lines, ""]), encoding="utf-8")


def save_as(model: keras.Model, directory: str | os.PathLike, name: str, format: str) -> Path:
    """Writes a model as one file in another format, with Keras's own means.

    Raw inputs in, the model's outputs out.

    Args:
        model: a built Keras model.
        directory: where the file goes; made if it is not there. A file of the same name is replaced
            when the new one is complete.
        name: of the file, to which the format's ending is added.
        format: `"keras"`, `"onnx"` or `"litert"`.

    Raises:
        ValueError: for an unknown format, and for a model with an operation that ONNX has not.
        ImportError: when the packages that Keras converts with are not installed.
    """
    if format not in FILE_FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FILE_FORMATS)}, got {format!r}.")
    versions.check_packages(format)
    path = Path(directory) / f"{name}{versions.ENDINGS[format]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".new-{path.name}")
    try:
        if format == "keras":
            model.save(unfinished)
        else:
            _convert(model, unfinished, format)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _convert(model: keras.Model, path: Path, format: str) -> None:
    """Keras's own conversion, of inputs by the names under which they are served.

    Images are of the training size.
    """
    model = preprocessing.of_training_size(model)
    signature = {}
    if getattr(model, "inputs", None):
        structure = structure_of(model)
        specs = [
            tf.TensorSpec((None, *x.shape[1:]), x.dtype, name)
            for name, x in named_inputs(structure).items()
        ]
        # Keras refuses to make one for a model that was loaded and never called.
        signature = {"input_signature": [keras.tree.pack_sequence_as(structure, specs)]}
    model.export(path, format=format, verbose=False, **(signature if format == "onnx" else {}))
    if format == "onnx":
        _check_onnx(path)
    elif words := _foreign_to_litert(path):
        logging.getLogger("kerastune").warning(
            "The file needs TensorFlow's own operations (LiteRT Flex): %s", words
        )


def _check_onnx(path: Path) -> None:
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    foreign = sorted({node.op_type for node in onnx.load(path).graph.node} - known)
    if foreign:
        raise ValueError(
            f"format `onnx` has no operation {', '.join(foreign)}, which this model needs: "
            f"{REMEDY}."
        )


def _foreign_to_litert(path: Path) -> str:
    """What LiteRT's own interpreter says of operations that it lacks; empty if it has all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it moves to another package
        interpreter = tf.lite.Interpreter(str(path))
        try:
            interpreter.allocate_tensors()
        except RuntimeError as error:
            why = " ".join(str(error).split("See instructions")[0].split())
            return f"{why} {REMEDY[0].upper()}{REMEDY[1:]}."
    return ""

"""Makes a `Problem` of a name, a file, a folder, a function or arrays (`PLAYBOOK` P)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune.data import checks, memory, preprocessing, sources, splits, streams, tabular
from kerastune.data.preprocessing import Attachment, Profile
from kerastune.data.raw import Raw, from_pairs
from kerastune.problem import Part, Problem

CUT_PARTS = ("test", "validation")  # in this order


def load(
    source: str = "digits",
    *,
    label: str = "",
    image_size: int = 64,
    standardize: bool | None = None,
    seed: int = 1,
    for_own_model: bool = False,
    kind: str = "",
) -> Problem:
    """Loads a data set: reads, checks, splits and prepares it (`PLAYBOOK` P).

    Preparation is fitted on the training part only. For built-in models, tables are standardized by
    feature, images (rank 3 and more) by one mean and deviation, and images `[n, height, width]` get
    a channel axis. A user's own model gets its inputs as they are, unless `standardize`. Regression
    targets are always standardized.

    Args:
        source: one of `digits`, `wine`, `breast_cancer`, `diabetes`, `iris` (scikit-learn's);
            `mnist`, `fashion_mnist`, `cifar10`, `cifar100`, `california_housing`, `boston_housing`
            (Keras's); a `.npz` with `x_train`, `y_train` and optionally `x_val`, `y_val`, `x_test`,
            `y_test`, `sample_weight_train` (inputs by name as `x_train/name`); a `.csv` with a
            header: text columns become one column per value, missing numbers the training median; a
            folder of class folders of images, optionally inside `train`, `validation` (or `val`)
            and `test`; `module:function`, called without arguments, giving `(x, y)`, `((x, y),
            (x_test, y_test))`, `((x, y), (x_val, y_val), (x_test, y_test))` or a dict with `train`,
            `validation`, `test`; each part is `(x, y)`, `(x, y, sample_weight)` or a finite
            `tf.data.Dataset` of those.
        label: name of the target column of a `.csv`.
        image_size: height and width that images in folders are resized to, in pixels, at least 1.
        standardize: `None` means for built-in models only.
        seed: of the cuts, at least 0.
        for_own_model: whether the model is the user's own.
        kind: `"classification"` or `"regression"` where the targets would be taken for the other
            (`splits.infer_kind` tells how; a numeric label of a `.csv` is a class if it is whole
            and has at most 20 values).

    Returns:
        The problem; missing validation and test parts are cut from the training part
        (`splits.cut`), as its notes say.

    Raises:
        ValueError: with one line, for an unknown source or data that cannot be trained on.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> problem = load("iris")
        >>> problem.num_classes, problem.train.x.shape
        (3, (109, 4))
    """
    raw = sources.read(source, label, image_size)
    return finish(raw, seed, for_own_model, standardize, kind, cut_test=True)


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
) -> Problem:
    """Makes a problem of arrays, or of a finite `tf.data.Dataset` (`PLAYBOOK` P).

    Only a validation part is cut off.

    Args:
        x: inputs `[n, ...]`, a dict of them, or a `tf.data.Dataset` of `(x, y)` or `(x, y,
            sample_weight)`.
        y: targets; `None` with a dataset.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a dataset; needed if `x` is a dataset.
        test_data: as `validation_data`; without it the problem has no test part.
        sample_weight: weights `[n]`, at least 0.
        class_weight: weight of every class, by the label as it is in `y`.
        seed: of the cut, at least 0.
        name: used in titles.
        kind: `"classification"` or `"regression"`; by default `splits.infer_kind` tells.
        prepare: prepare inputs as for built-in models; otherwise they stay as they are.

    Raises:
        ValueError: with one line, for data that cannot be trained on.

    Example:
        >>> problem = from_arrays(np.eye(20), np.arange(20) % 2)
        >>> problem.kind, len(problem.train), len(problem.validation), problem.test
        ('classification', 17, 3, None)
    """
    if streams.is_dataset(x) and not (y is None and sample_weight is None):
        raise ValueError(
            "With a tf.data.Dataset, `y` and `sample_weight` are part of its elements; leave them "
            "out."
        )
    train = (
        x if streams.is_dataset(x) else (x, y) if sample_weight is None else (x, y, sample_weight)
    )
    raw = from_pairs({"train": train, "validation": validation_data, "test": test_data}, name)
    return finish(raw, seed, not prepare, None, kind, class_weight=class_weight)


# From what was read to a problem.


def finish(
    raw: Raw,
    seed: int,
    for_own_model: bool,
    standardize: bool | None,
    kind: str,
    class_weight: dict[Any, float] | None = None,
    cut_test: bool = False,
) -> Problem:
    """Checks the data, cuts off missing parts, and fits the preparation, in this order.

    It is fitted to what is left for training.

    The arguments are those of `load` and `from_arrays`, but for `cut_test`: whether a missing test
    part is cut off too.
    """
    check_raw(raw, for_own_model)
    kind = kind_of(raw, kind)
    classes = (
        splits.find_classes(raw.parts["training"].y, raw.class_names)
        if kind == "classification"
        else None
    )
    parts, cut_notes = (
        (raw.parts, []) if raw.stream is not None else _cut_parts(raw, classes, seed, cut_test)
    )
    targets = splits.fit_targets(parts["training"].y, classes, as_given=for_own_model)
    preparation = _fit_inputs(raw, parts["training"].x, for_own_model, standardize)
    prepared = {
        where: _prepare_part(part, where, preparation, targets)
        for where, part in parts.items()
        if raw.stream is None or where != "training"
    }
    stream = (
        streams.prepare_stream(raw.stream, preparation, targets) if raw.stream is not None else None
    )
    class_names = classes.names if classes else ()
    units = () if classes else (targets.mean, targets.scale)
    is_plain = preparation.is_identity and not units
    return Problem(
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


def check_raw(raw: Raw, for_own_model: bool) -> None:
    """Refuses what preparing would hide or stumble over; raises `ValueError`."""
    train = raw.parts["training"]
    for where, part in raw.parts.items():
        if raw.is_table or (raw.stream is not None and where == "training"):
            checks.check_targets(part.y, where)  # the inputs were checked when they were read
        else:
            checks.check_part(part, where)
        checks.check_same_shape(_shapes(train), _shapes(part), where)
    ranks = {name: len(shape) + 1 for name, shape in _shapes(train).items()}
    for name, rank in ranks.items():
        if rank > 4 and not for_own_model:
            raise ValueError(
                f"`{name}` has rank {rank}; built-in models take [examples, features], [examples, "
                "height, width] or [examples, height, width, channels]: reshape it or use your "
                "own model."
            )


def _shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """As `preflight.shapes`, of profiles too."""
    profiles = {
        name: array.shape for name, array in checks.entries(part.x) if isinstance(array, Profile)
    }
    return checks.shapes(part) | profiles


def kind_of(raw: Raw, kind: str) -> str:
    """The kind that was asked for, else that of the source, else what the targets look like."""
    if kind not in ("", "classification", "regression"):
        raise ValueError(f"`kind` must be 'classification' or 'regression', got {kind!r}.")
    y = raw.parts["training"].y
    kind = kind or raw.kind or splits.infer_kind(y)
    if kind == "regression" and y.dtype.kind == "U":
        raise ValueError(
            f"`kind` is regression, but the targets are texts such as {str(y[0])!r}; give numbers."
        )
    return kind


def _cut_parts(
    raw: Raw, classes: splits.Classes | None, seed: int, cut_test: bool
) -> tuple[dict[str, Part], list[str]]:
    """Cuts missing parts off the training part; gives all parts, and a sentence for each cut."""
    if seed < 0:
        raise ValueError(f"`seed` must be at least 0, got {seed}.")
    parts, notes = dict(raw.parts), []
    for where in CUT_PARTS:
        if where in parts or (where == "test" and not cut_test):
            continue
        train = parts["training"]
        strata = classes.encode(train.y, "training") if classes else None
        stay, off = splits.cut(len(train), cut_seed(where, seed), strata)
        parts["training"], parts[where] = take(train, stay), take(train, off)
        how = "stratified" if classes else "at random"
        notes.append(
            f"{len(off)} of {len(train)} training examples were split off as the {where} part "
            f"({how}, seed {seed})."
        )
    return parts, notes


def cut_seed(where: str, seed: int) -> list[int]:
    """The seed of the cut of a part.

    The cuts of test and validation part are independent of each other.

    Example:
        >>> cut_seed("test", 7), cut_seed("validation", 7)
        ([7, 0], [7, 1])
    """
    return [seed, CUT_PARTS.index(where)]


def take(part: Part, indices: np.ndarray) -> Part:
    """The examples of a part with these indices.

    Example:
        >>> take(Part(np.arange(6).reshape(3, 2), np.array([7, 8, 9])), np.array([0, 2])).y.tolist()
        [7, 9]
    """
    x = (
        {name: array[indices] for name, array in part.x.items()}
        if isinstance(part.x, dict)
        else part.x[indices]
    )
    return Part(
        x, part.y[indices], None if part.sample_weight is None else part.sample_weight[indices]
    )


def _fit_inputs(raw: Raw, x: Any, for_own_model: bool, standardize: bool | None) -> Any:
    """Fits the preparation to the training inputs: columns, arrays, or the profile of a stream."""
    standardize = not for_own_model if standardize is None else standardize
    if raw.is_table:
        return tabular.fit_table(x, standardize)
    profiles = x if raw.stream is not None else preprocessing.profile(x, standardize)
    return preprocessing.fit(profiles, not for_own_model, standardize)


def _prepare_part(part: Part, where: str, preparation: Any, targets: splits.Targets) -> Part:
    if not preparation.is_identity:
        num_values = sum(array.size for _, array in checks.entries(part.x))
        memory.check(4 * num_values, f"The prepared {where} part")
    return Part(preparation.apply(part.x), targets.encode(part.y, where), part.sample_weight)


def _class_notes(parts: dict[str, Part], classes: splits.Classes | None) -> list[str]:
    """Refuses a class without training examples; gives a sentence for those missing elsewhere."""
    notes = []
    for where, part in parts.items() if classes else ():
        missing = checks.check_classes(classes.encode(part.y, where), classes.names, where)
        if missing:
            notes.append(
                f"Classes without an example in the {where} part: {checks.shorten(missing)}."
            )
    return notes


def _class_weight(
    weights: dict[Any, float] | None, classes: splits.Classes | None
) -> dict[int, float] | None:
    """Weights by integer class of weights by the user's labels."""
    if weights is None:
        return None
    places = (
        {label: place for place, label in enumerate(classes.values.tolist())} if classes else {}
    )
    numbered = {places.get(label, label): weight for label, weight in weights.items()}
    checks.check_class_weight(numbered, classes.names if classes else ())
    return numbered

"""Makes a `Problem` of a name, a file, a folder, a function or arrays (`PLAYBOOK` P)."""

from __future__ import annotations

from typing import Any

from kerastune.data import sources, streams, user_inputs
from kerastune.data.finishing import Ask, Wishes, finish
from kerastune.data.raw import from_pairs
from kerastune.data.readers.asked import Asked
from kerastune.problem import Problem


def load(
    source: Any = "digits",
    *,
    standardize: bool | None = None,
    seed: int = 1,
    for_own_model: bool = False,
    kind: str = "",
    ask: Ask | None = None,
    standardize_targets: bool | None = None,
    **asked: Any,
) -> Problem:
    """Loads a data set: reads, checks, splits and prepares it (`PLAYBOOK` P).

    Preparation is fitted on the training part only. For built-in models, tables are scaled by the
    quartiles of every feature and clipped smoothly, series standardized by channel, images (rank 3
    and more) by one mean and deviation, and images `[n, height, width]` get a channel axis. A
    user's own model gets its inputs as they are, unless `standardize`. Targets of a regression are
    standardized, but for those of a compiled model.

    Args:
        source: one of `digits`, `wine`, `breast_cancer`, `diabetes`, `iris` (scikit-learn's);
            `mnist`, `fashion_mnist`, `cifar10`, `cifar100`, `california_housing`, `boston_housing`
            (Keras's); a `.npz` with `x_train`, `y_train` and optionally `x_val`, `y_val`, `x_test`,
            `y_test`, `sample_weight_train` (inputs by name as `x_train/name`); a `.csv` or
            `.parquet` with a header, or a DataFrame; a folder of class folders of images,
            optionally inside `train`, `validation` (or `val`) and `test`, or a `.csv` of their
            paths and labels; `module:function`, called without arguments, giving `(x, y)`, `((x,
            y), (x_test, y_test))`, `((x, y), (x_val, y_val), (x_test, y_test))` or a dict with
            `train`, `validation`, `test`; each part is `(x, y)`, `(x, y, sample_weight)` or a
            finite `tf.data.Dataset` of those.
        standardize: `None` means for built-in models only.
        seed: of the cuts, at least 0.
        for_own_model: whether the model is the user's own.
        kind: `"classification"` or `"regression"` where the targets would be taken for the other
            (`target_kinds.kind_of` tells how; a numeric label of a `.csv` is a class if it is
            whole and has at most 20 values).
        ask: tells what the user's model says of its targets.
        standardize_targets: `None` means for all but compiled models.
        asked: what else there is to say of the source, as `asked.Asked` has it: `label`, `groups`,
            `time`, `ignore`, `types`, `image_size`, `skip_broken`, `validation_data`, `test_data`.

    Returns:
        The problem; missing validation and test parts are cut from the training part
        (`cutting.cut_parts`), as its notes say.

    Raises:
        ValueError: with one line, for an unknown source or data that cannot be trained on.
        FileNotFoundError, ImportError: with one line, for what is missing.

    Example:
        >>> problem = load("iris")
        >>> problem.num_classes, problem.train.x.shape
        (3, (109, 4))
    """
    wishes = Wishes(
        seed=seed,
        for_own_model=for_own_model,
        standardize=standardize,
        kind=kind,
        ask=ask,
        standardize_targets=standardize_targets,
        cut_test=True,
    )
    return finish(sources.read(source, Asked(**asked)), wishes)


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    validation_data: Any = None,
    test_data: Any = None,
    sample_weight: Any = None,
    class_weight: dict[Any, float] | str | None = None,
    seed: int = 1,
    name: str = "data",
    kind: str = "",
    prepare: bool = False,
    ask: Ask | None = None,
    standardize_targets: bool | None = None,
) -> Problem:
    """Makes a problem of arrays, or of a finite `tf.data.Dataset` (`PLAYBOOK` P).

    Only a validation part is cut off.

    Args:
        x: inputs `[n, ...]`, a dict, list or tuple of them; or a `tf.data.Dataset`, a `PyDataset`
            or a generator of `(x, y)` or `(x, y, sample_weight)`.
        y: targets; `None` with a dataset, or for a model that has none. Several are a dict or list
            of arrays.
        validation_data: `(x, y)`, `(x, y, sample_weight)` or a dataset; needed if `x` is a dataset.
        test_data: as `validation_data`; without it the problem has no test part.
        sample_weight: weights `[n]`, at least 0; as Keras takes them for several or dense targets.
        class_weight: weight of every class, by the label as it is in `y`; or `"balanced"`.
        seed: of the cut, at least 0.
        name: used in titles.
        kind: `"classification"` or `"regression"`; by default `target_kinds.kind_of` tells.
        prepare: prepare inputs as for built-in models; otherwise they stay as they are.
        ask: tells what the user's model says of its targets.
        standardize_targets: `None` means for all but compiled models.

    Raises:
        ValueError: with one line, for data that cannot be trained on.

    Example:
        >>> import numpy as np
        >>> problem = from_arrays(np.eye(20), np.arange(20) % 2)
        >>> problem.kind, len(problem.train), len(problem.validation), problem.test
        ('classification', 17, 3, None)
    """
    has_targets = streams.is_dataset(x) or user_inputs.is_batches(x)
    if has_targets and not (y is None and sample_weight is None):
        raise ValueError(
            "With a tf.data.Dataset, a PyDataset or a generator, `y` and `sample_weight` are part "
            "of its elements; leave them out."
        )
    train = x if has_targets else (x, y) if sample_weight is None else (x, y, sample_weight)
    raw = from_pairs({"train": train, "validation": validation_data, "test": test_data}, name)
    wishes = Wishes(
        seed=seed,
        for_own_model=not prepare,
        kind=kind,
        class_weight=class_weight,
        ask=ask,
        standardize_targets=standardize_targets,
    )
    return finish(raw, wishes)

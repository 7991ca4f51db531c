"""Makes a `Problem` of a name, a file, a folder, a function or arrays (`PLAYBOOK` P)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kerastune.analysis import nested
from kerastune.data import (
    checks,
    cutting,
    memory,
    new_data,
    preprocessing,
    sources,
    splits,
    streams,
    tabular,
    target_kinds,
    user_inputs,
)
from kerastune.data.preprocessing import Attachment, Profile
from kerastune.data.raw import Raw, from_pairs
from kerastune.data.readers.asked import Asked
from kerastune.data.targets import Targets
from kerastune.problem import Declared, Part, Problem

# Tells what a model says of its targets, from a few of its inputs.
Ask = Callable[[Any], Declared]

LOOKED_AT = 2  # examples that a model is shown


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

    Preparation is fitted on the training part only. For built-in models, tables are standardized by
    feature, images (rank 3 and more) by one mean and deviation, and images `[n, height, width]` get
    a channel axis. A user's own model gets its inputs as they are, unless `standardize`. Targets of
    a regression are standardized, but for those of a compiled model.

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
    raw = sources.read(source, Asked(**asked))
    return finish(
        raw,
        seed,
        for_own_model,
        standardize,
        kind,
        cut_test=True,
        ask=ask,
        standardize_targets=standardize_targets,
    )


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
    return finish(
        raw,
        seed,
        not prepare,
        None,
        kind,
        class_weight=class_weight,
        ask=ask,
        standardize_targets=standardize_targets,
    )


# From what was read to a problem.


def finish(
    raw: Raw,
    seed: int,
    for_own_model: bool,
    standardize: bool | None,
    kind: str,
    class_weight: dict[Any, float] | str | None = None,
    cut_test: bool = False,
    ask: Ask | None = None,
    standardize_targets: bool | None = None,
) -> Problem:
    """Checks the data, cuts off missing parts, and fits the preparation, in this order.

    It is fitted to what is left for training.

    The arguments are those of `load` and `from_arrays`, but for `cut_test`: whether a missing test
    part is cut off too.
    """
    declared = ask(few(raw)) if ask else Declared()
    raw = target_kinds.arranged(raw, declared)
    check_raw(raw, for_own_model)
    kind = target_kinds.of_raw(raw, kind, declared)
    classes = target_kinds.find_classes(raw, kind, declared)
    parts, cut_notes = (
        (raw.parts, [])
        if raw.stream is not None
        else cutting.cut_parts(raw, classes, seed, cut_test)
    )
    standardize_targets = target_kinds.is_standardized(kind, declared, standardize_targets)
    targets = target_kinds.fit(
        parts["training"].y, classes, kind, for_own_model, standardize_targets
    )
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
    units = (targets.mean, targets.scale) if standardize_targets else ()
    is_plain = preparation.is_identity and not units
    told = target_kinds.notes(targets, parts["training"].y, declared)
    spare = declared.is_compiled and (declared.width or 0) > 1 and classes is not None
    class_notes = _class_notes(parts, classes, spare)
    return Problem(
        name=raw.name,
        kind=kind,
        train=prepared.get("training"),
        validation=prepared["validation"],
        test=prepared.get("test"),
        class_names=class_names,
        target_mean=targets.mean,
        target_scale=targets.scale,
        target_std=targets.std,
        attach=None if is_plain else Attachment(preparation, *units),
        stream=stream,
        class_weight=target_kinds.class_weight(
            class_weight, classes, prepared.get("training", prepared["validation"])
        ),
        spare_outputs=spare,
        reading=new_data.described(raw),
        notes=(*told, *raw.notes, *cut_notes, *class_notes, *cutting.repeated(prepared)),
    )


def few(raw: Raw) -> Any:
    """A few inputs as a model takes them; `None` where none are at hand."""
    if raw.is_table:
        return None
    part = raw.parts["validation" if raw.stream is not None else "training"]
    return nested.mapped(lambda array: array[:LOOKED_AT], part.x)


def check_raw(raw: Raw, for_own_model: bool) -> None:
    """Refuses what preparing would hide or stumble over; raises `ValueError`."""
    train = raw.parts["training"]
    for where, part in raw.parts.items():
        if raw.is_table or (raw.stream is not None and where == "training"):
            # The inputs were checked when they were read.
            checks.check_targets(part.y, where, any_targets=True)
        else:
            checks.check_part(part, where, any_targets=True, any_inputs=for_own_model)
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
    """As `checks.shapes`, of profiles too."""
    profiles = {
        name: array.shape for name, array in checks.entries(part.x) if isinstance(array, Profile)
    }
    return checks.shapes(part) | profiles


def _fit_inputs(raw: Raw, x: Any, for_own_model: bool, standardize: bool | None) -> Any:
    """Fits the preparation to the training inputs: columns, arrays, or the profile of a stream."""
    if for_own_model and not standardize and not raw.is_table:
        profiles = x if raw.stream is not None else preprocessing.profile(x, measure=False)
        return preprocessing.AsGiven(profiles)
    standardize = not for_own_model if standardize is None else standardize
    if raw.is_table:
        kinds = {column.name: column for column in raw.columns if column.is_input}
        return tabular.fit_table(x, standardize, kinds)
    profiles = x if raw.stream is not None else preprocessing.profile(x, standardize)
    return preprocessing.fit(profiles, not for_own_model, standardize)


def _prepare_part(part: Part, where: str, preparation: Any, targets: Targets) -> Part:
    if not preparation.is_identity:
        width = getattr(preparation, "width", None)
        sizes = (array.size for _, array in checks.entries(part.x))
        num_values = sum(sizes) if width is None else width * len(part)
        memory.check(4 * num_values, f"The prepared {where} part")
    return Part(preparation.apply(part.x), targets.encode(part.y, where), part.sample_weight)


def _class_notes(
    parts: dict[str, Part], classes: splits.Classes | None, spare_outputs: bool
) -> list[str]:
    """Refuses a class without training examples; gives a sentence for those missing elsewhere.

    With `spare_outputs` for those as well.
    """
    notes = []
    for where, part in parts.items() if classes else ():
        encoded = classes.encode(part.y, where)
        missing = checks.check_classes(encoded, classes.names, where, spare_outputs)
        if missing:
            notes.append(
                f"Classes without an example in the {where} part: {checks.shorten(missing)}."
            )
    return notes

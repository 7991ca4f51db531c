"""Refuses, in one clear line each, data that Keras would accept silently (`PLAYBOOK` P).

Every function here takes plain arrays and raises `ValueError` with the name, the value, what was
expected and what to do. "Part" is `"training"`, `"validation"` or `"test"`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import folds
from kerastune.problem import OTHER, Part, Problem, labels

LARGEST = 1e38  # of a number: float32 holds little more


def check(problem: Problem, batch_size: int) -> None:
    """Refuses a problem that cannot be trained on with this batch size (`PLAYBOOK` P, P7).

    Checks every part (finite, numeric, equal lengths and shapes, rank, weights), the labels (in
    range, every class in the training part, at least two classes), the class weights and the batch
    size.

    Args:
        problem: the prepared problem; of its `stream`, which is checked when it is made, only the
            length is looked at.
        batch_size: examples per step, from 1 to the number of training examples.

    Raises:
        ValueError: with one line, for the first thing that is wrong.

    Example:
        >>> part = Part(np.zeros([4, 2], "float32"), np.array([0, 1, 1, 1]))
        >>> check(
        ...     Problem("toy", "classification", part, part, class_names=("a", "b")), batch_size=8
        ... )
        Traceback (most recent call last):
            ...
        ValueError: `batch_size` (8) is larger than the training part (4 examples); ...
    """
    parts = {"training": problem.train, "validation": problem.validation, "test": problem.test}
    if problem.train is None and problem.stream is None:
        raise ValueError("The problem has no training data; give `train` or `stream`.")
    expected = problem.validation if problem.train is None else problem.train
    for where, part in parts.items():
        if part is not None:
            check_part(part, where, any_targets=problem.kind == OTHER, any_inputs=True)
            check_same_shape(shapes(expected), shapes(part), where)
            check_task_labels(problem, part, where)
    if problem.class_weight is not None:
        check_class_weight(problem.class_weight, problem.class_names)
    check_batch_size(batch_size, len(problem.stream if problem.train is None else problem.train))


def check_joined_and_cut(problem: Problem, refit: bool, member_folds: int) -> None:
    """Refuses to join training and validation, or to cut folds, where that is impossible.

    Args:
        problem: the prepared problem.
        refit: whether training and validation part are to be joined.
        member_folds: folds of the training part, one of which is left out at a time; 0 for none.

    Raises:
        ValueError: for a stream, and for folds that the examples can't be cut into.
    """
    if refit and problem.train is None:
        raise ValueError(
            "`refit` joins training and validation data, which needs arrays, not a tf.data.Dataset."
        )
    if member_folds:
        folds.training_rows(problem, member_folds, left_out=1)


def check_batch_size(batch_size: int, num_examples: int) -> None:
    """Refuses a batch size below 1 or above the number of training examples (`PLAYBOOK` P7)."""
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
    if batch_size > num_examples:
        raise ValueError(
            f"`batch_size` ({batch_size}) is larger than the training part ({num_examples} "
            f"examples); choose at most {num_examples}."
        )


def check_part(part: Part, where: str, any_targets: bool = False, any_inputs: bool = False) -> None:
    """Refuses a part with wrong types, ranks, lengths, weights, or values that are not finite.

    With `any_targets` they may be of any rank, several, or none; with `any_inputs` strings, too, in
    any structure.

    Example:
        >>> check_part(Part(np.zeros([3, 2]), np.zeros(4)), "test")
        Traceback (most recent call last):
            ...
        ValueError: The test part has 3 examples in `x` but 4 in `y`; ...
    """
    check_inputs(part.x, where, any_inputs)
    check_targets(part.y, where, any_targets)
    for name, array in entries(part.x):
        for target, given in nested.named(part.y, "y"):
            if len(array) != len(given):
                raise ValueError(
                    f"The {where} part has {len(array)} examples in `{name}` but {len(given)} in "
                    f"`{target}`; give one target for every example."
                )
    for _, weight in nested.named(part.sample_weight, "sample_weight"):
        check_sample_weight(weight, len(part), where, any_targets)


def check_inputs(x: Any, where: str, any_inputs: bool = False) -> None:
    """Refuses inputs that are not finite numbers in one array, or a dict of arrays.

    `[n, features, ...]`, or `[n, ...]` in a dict; with `any_inputs` also strings, and any
    structure.
    """
    if isinstance(x, dict) and not x:
        raise ValueError(f"`x` of the {where} part is an empty dict; give at least one array.")
    for name, array in entries(x):
        what = f"`{name}` of the {where} part"
        if isinstance(name, str) and "/" in name:
            raise ValueError(
                f"{what} has a '/' in its name, which Keras refuses for inputs; rename it."
            )
        lowest = 1 if isinstance(x, dict) or any_inputs else 2
        if array.ndim < lowest:
            raise ValueError(
                f"{what} has rank {array.ndim} (shape {array.shape}); expected [examples, "
                "features, ...]: use `x.reshape(-1, 1)` for a single feature."
            )
        if not (any_inputs and array.dtype.kind == "U" and array.size):
            check_numbers(array, what)


def check_targets(y: Any, where: str, any_targets: bool = False) -> None:
    """Refuses targets that are not `[n]` or `[n, outputs]` of finite numbers, or texts `[n]`.

    With `any_targets` they may be of any rank, several, or none.
    """
    if any_targets and (y is None or nested.is_nested(y)):
        for name, array in nested.named(y, "y"):
            check_numbers(array, f"`{name}` of the {where} part")
        return
    what = f"`y` of the {where} part"
    if y.ndim not in (1, 2) and not any_targets:
        raise ValueError(
            f"{what} has rank {y.ndim} (shape {y.shape}); expected [examples] or [examples, "
            "outputs]."
        )
    if y.dtype.kind == "U" and len(y):
        return
    check_numbers(y, what)


def check_numbers(array: np.ndarray, what: str) -> None:
    """Refuses an array that is empty, not numeric, or holds NaN or infinite values.

    No features count as empty.
    """
    if len(array) == 0:
        raise ValueError(f"{what} is empty (shape {array.shape}); give at least one example.")
    if array.size == 0:
        raise ValueError(f"{what} has no features (shape {array.shape}); give at least one.")
    check_dtype(array, what)
    bad = ~np.isfinite(array) if array.dtype.kind == "f" else np.False_
    if bad.any():
        first = np.argwhere(bad)[0]
        column = f", first in row {first[0]}" + (f", column {first[1]}" if array.ndim == 2 else "")
        raise ValueError(
            f"{what} has {int(bad.sum())} values that are NaN or infinite{column}; clean or impute "
            "them first."
        )
    _check_size(array, what)


def _check_size(array: np.ndarray, what: str) -> None:
    """Refuses numbers that float32, which networks compute in, can't hold."""
    largest = float(np.abs(array).max()) if array.dtype.kind == "f" else 0.0
    if largest > LARGEST:
        raise ValueError(
            f"{what} has values up to {largest:.3g}, which are too large to compute with (at most "
            f"{LARGEST:g}): give them in a larger unit."
        )


def check_dtype(array: np.ndarray, what: str) -> None:
    """Refuses anything but booleans, integers and real numbers, by the name of the type."""
    if array.dtype.kind in "biuf":
        return
    remedy = {
        "O": "convert it with `.astype('float32')` (or `.astype(str)` for labels)",
        "c": "give real and imaginary parts as two features",
        "U": "encode the texts as numbers, or give a .csv, whose text columns are encoded",
        "S": "encode the bytes as numbers",
    }.get(array.dtype.kind, "convert it to numbers")
    raise ValueError(f"{what} has dtype {array.dtype}, expected numbers; {remedy}.")


def check_sample_weight(
    weight: np.ndarray, num_examples: int, where: str, any_targets: bool = False
) -> None:
    """Refuses weights that are not `[n]` finite numbers of at least 0 with a positive sum.

    With `any_targets` they may also be `[n, ...]`, as a loss of such targets takes them.
    """
    what = f"`sample_weight` of the {where} part"
    if weight.shape != (num_examples,) and not (any_targets and len(weight) == num_examples):
        raise ValueError(
            f"{what} has shape {weight.shape}, expected ({num_examples},): one weight for every "
            "example."
        )
    check_numbers(weight, what)
    if weight.min() < 0:
        raise ValueError(
            f"{what} has {int((weight < 0).sum())} negative values; weights are at least 0."
        )
    if weight.sum() == 0:
        raise ValueError(f"{what} is 0 for every example; at least one must be positive.")


def check_same_shape(expected: dict[str, tuple], given: dict[str, tuple], where: str) -> None:
    """Refuses a part whose inputs have other names or shapes than the training part's."""
    if expected != given:
        raise ValueError(
            f"Examples of the {where} part have the shapes {given}, those of the training part "
            f"{expected}; give all parts the same inputs and targets."
        )


def check_task_labels(problem: Problem, part: Part, where: str) -> None:
    """Refuses class labels of a problem that are not numbers from 0 to `num_classes - 1`."""
    if problem.kind != "classification":
        return
    if part.y.dtype.kind == "U":
        raise ValueError(f"`y` of the {where} part holds texts; number the classes from 0 on.")
    if part.y.ndim == 2 and part.y.shape[1] not in (1, problem.num_classes):
        raise ValueError(
            f"`y` of the {where} part has {part.y.shape[1]} columns, expected 1 or "
            f"{problem.num_classes}, one per class."
        )
    check_classes(labels(part.y), problem.class_names, where, problem.spare_outputs)


def check_classes(
    classes: np.ndarray, class_names: tuple[str, ...], where: str, spare_outputs: bool = False
) -> list[str]:
    """Refuses labels `[n]` out of range, and a training part that lacks a class.

    A training part needs at least two classes; with `spare_outputs` it may lack some.

    Returns:
        The names of the classes that are missing (outside the training part that is worth a note,
        not an error).

    Example:
        >>> check_classes(np.array([0, 0]), ("cat", "dog"), "validation")
        ['dog']
    """
    num_classes = len(class_names)
    if num_classes < 2:
        raise ValueError(
            f"There is only one class ({', '.join(class_names)}); classification needs at least "
            "two."
        )
    if classes.min() < 0 or classes.max() >= num_classes:
        worst = classes.min() if classes.min() < 0 else classes.max()
        raise ValueError(
            f"`y` of the {where} part has the label {worst}; expected 0 to {num_classes - 1} for "
            f"{num_classes} classes."
        )
    counts = np.bincount(classes, minlength=num_classes)
    if where == "training" and np.count_nonzero(counts) == 1:
        raise ValueError(
            f"All training examples have the class {class_names[classes[0]]}; there is nothing to "
            "learn."
        )
    missing = [class_names[index] for index in np.flatnonzero(counts == 0)]
    if missing and where == "training" and not spare_outputs:
        raise ValueError(
            f"{len(missing)} of {num_classes} classes have no example in the training part "
            f"({shorten(missing)}); add examples, or number only the classes that occur."
        )
    return missing


def check_class_weight(class_weight: dict[int, float], class_names: tuple[str, ...]) -> None:
    """Refuses weights of unknown classes, and those that are not finite and at least 0."""
    if not class_names:
        raise ValueError(
            "`class_weight` is for classification, one class per example; use `sample_weight`."
        )
    for label, weight in class_weight.items():
        if label not in range(len(class_names)):
            raise ValueError(
                f"`class_weight` has the label {label!r}; expected 0 to {len(class_names) - 1}."
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"`class_weight` of the label {label} is {weight}; expected a finite number, at "
                "least 0."
            )


def entries(x: Any) -> list[tuple[str, np.ndarray]]:
    """Names and arrays of inputs: `x` itself, or every entry of a dict or of a structure."""
    if isinstance(x, dict) and not any(nested.is_nested(each) for each in x.values()):
        return list(x.items())
    return nested.named(x, "x")


def shapes(part: Part) -> dict[str, tuple[int, ...]]:
    """Shape of one example, by input, and of its target.

    Example:
        >>> shapes(Part(np.zeros([3, 2]), np.zeros([3, 1])))
        {'x': (2,), 'y': (1,)}
    """
    given = [*entries(part.x), *nested.named(part.y, "y")]
    return {name: array.shape[1:] for name, array in given}


def shorten(names: list[str], most: int = 5) -> str:
    """Joins names with commas and says how many were left out."""
    left_out = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(str(name) for name in names[:most]) + left_out

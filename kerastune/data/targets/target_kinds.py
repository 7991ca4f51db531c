"""What targets are taken for: by what the user's model was compiled with, then by their values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import checks, splits
from kerastune.data.raw import Raw
from kerastune.data.targets.fitted import Targets, any_targets, fit_targets
from kerastune.problem import OTHER, Declared

KINDS = ("classification", "regression")
OF_CLASSES = ("sparsecategoricalcrossentropy", "categoricalcrossentropy", "categoricalhinge")
OF_CLASSES += ("categoricalfocalcrossentropy", "categoricalgeneralizedcrossentropy")
OF_TWO_CLASSES = ("binarycrossentropy", "binaryfocalcrossentropy")
# Losses of Keras's on any numbers: the same model learns the same in any unit.
OF_NUMBERS = ("meansquarederror", "meanabsoluteerror", "huber", "logcosh")
# Targets this many standard deviations from 0, or a standard deviation this many times off 1, are
# slow to learn as they are.
FAR = 5.0


def of_raw(raw: Raw, kind: str, declared: Declared) -> str:
    """The kind that was asked for, else that of model, source or targets.

    Raises:
        ValueError: as `kind_of`, and for targets that do not go with the kind or the outputs.
    """
    y = raw.parts["training"].y
    kind = kind_of(y, declared, kind or ("" if declared.is_compiled else raw.kind))
    if kind == "regression" and y.dtype.kind == "U":
        raise ValueError(
            f"`kind` is regression, but the targets are texts such as {str(y[0])!r}; give numbers."
        )
    return kind


def arranged(raw: Raw, declared: Declared) -> Raw:
    """Targets and weights that are given by name, in the order of a model's list of outputs.

    Raises:
        ValueError: as `check_names`.
    """

    def by_place(values: Any) -> Any:
        is_named = isinstance(values, dict) and set(values) == set(declared.names)
        return tuple(values[name] for name in declared.names) if is_named else values

    for where, part in raw.parts.items():
        check_names(part.y, declared, where)
    if not declared.is_listed or raw.stream is not None:
        return raw
    parts = {
        where: dataclasses.replace(
            part, y=by_place(part.y), sample_weight=by_place(part.sample_weight)
        )
        for where, part in raw.parts.items()
    }
    return dataclasses.replace(raw, parts=parts)


def find_classes(raw: Raw, kind: str, declared: Declared) -> splits.Classes | None:
    """The classes of the training part; `None` where there are none."""
    if kind != "classification":
        return None
    return splits.find_classes(raw.parts["training"].y, raw.class_names, declared.width)


def kind_of(y: Any, declared: Declared, kind: str = "") -> str:
    """The kind of a problem: `"classification"`, `"regression"` or `"other"`.

    Args:
        y: training targets as they were given.
        declared: what the model says of them.
        kind: that the user asked for; wins where there is one class or one row of numbers.

    Raises:
        ValueError: for targets that only a compiled model can learn, and where model and targets
            leave the kind open.

    Example:
        >>> mse = Declared(True, "meansquarederror", output=(1,), activation="linear")
        >>> kind_of(np.array([3, 8, 5]), mse), kind_of(np.array([3, 8, 5]), Declared())
        ('regression', 'classification')
    """
    if kind not in ("", *KINDS):
        raise ValueError(f"`kind` must be 'classification' or 'regression', got {kind!r}.")
    if y is None and not declared.is_compiled:
        raise ValueError(
            "`y` is missing: it must be given, unless the model is compiled and has a loss without "
            "targets."
        )
    special = "" if y is not None and kind and _is_row(y) else _special(y, declared)
    if special and not declared.is_compiled:
        raise ValueError(
            f"`y` {special}; only a compiled model tells how to learn that: compile it with a loss."
        )
    if special:
        return OTHER
    if declared.is_compiled and not kind:
        return _of_compiled(y, declared)
    return kind or _of_values(y, declared)


def _special(y: Any, declared: Declared) -> str:
    """Why targets are neither one class nor one row of numbers each; empty if they may be."""
    if y is None:
        return "is missing"
    if nested.is_nested(y) or declared.num_outputs > 1:
        return "has several targets"
    if y.ndim > 2 or declared.is_dense:
        return f"has rank {y.ndim} (shape {y.shape}), expected [examples] or [examples, outputs]"
    rows = y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "biuf"
    if rows and np.isin(y, (0, 1)).all() and not splits.is_one_hot(y):
        return "has rows of 0 and 1 that are not one-hot: several labels per example"
    return ""


def _is_row(y: Any) -> bool:
    return not nested.is_nested(y) and y.ndim <= 2


def _of_compiled(y: np.ndarray, declared: Declared) -> str:
    columns = 1 if y.ndim == 1 else y.shape[1]
    width = declared.width
    loss, own = declared.loss, declared.is_own_loss
    looks_like_classes = y.dtype.kind == "U" or columns > 1 and splits.is_one_hot(y)
    if wrong := misfit(y, declared):
        raise ValueError(wrong)
    if y.dtype.kind == "U":
        if width == 1 and len(np.unique(y)) > 2:
            raise ValueError(doubt(y, declared))
        return "classification"
    if loss in OF_CLASSES:
        return "classification" if looks_like_classes or columns == 1 else OTHER
    if loss in OF_TWO_CLASSES:
        two = any(np.isin(y, pair).all() for pair in ((0, 1), splits.SIGNS))
        few = two or y.dtype.kind in "biu" and len(np.unique(y)) <= 2
        is_binary = columns == 1 and width in (1, None) and few
        return "classification" if is_binary or looks_like_classes else OTHER
    if declared.activation == "softmax" and looks_like_classes:
        return "classification"
    if own and _are_labels(y, declared):
        return "classification"
    if declared.adds_losses:
        return OTHER
    is_measured = own or loss in OF_NUMBERS or loss.endswith("error") or loss == "poisson"
    return "regression" if is_measured and width in (columns, None) else OTHER


def misfit(y: np.ndarray, declared: Declared) -> str:
    """Why a cross-entropy can't be of such targets, and the remedy; empty if it can.

    Example:
        >>> ce = Declared(True, "categoricalcrossentropy", output=(3,))
        >>> misfit(np.array([0, 1, 2]), ce)[:55]
        '`y` has one label per example, but loss categoricalcros'
    """
    loss, columns = declared.loss, 1 if y.ndim == 1 else y.shape[1]
    is_sparse = loss == OF_CLASSES[0]
    if loss in OF_CLASSES and not is_sparse and columns == 1 and (declared.width or 0) > 1:
        return (
            f"`y` has one label per example, but loss {loss} takes one number for each of the "
            f"{declared.width} outputs: give one-hot rows, or compile a sparse loss."
        )
    if is_sparse and columns > 1:
        return (
            f"`y` has rows of {columns} numbers, but loss {loss} takes one label per example: "
            "compile categorical_crossentropy, or give labels."
        )
    is_number = y.dtype.kind in "iuf" and not np.isin(y, splits.SIGNS).all()
    if loss in OF_TWO_CLASSES and is_number and (y.min() < 0 or y.max() > 1):
        return (
            f"`y` has values from {y.min():g} to {y.max():g}, but loss {loss} takes 0 to 1: give "
            "such values, or the model one output per class and another loss."
        )
    return ""


def _are_labels(y: np.ndarray, declared: Declared) -> bool:
    """Whether a loss of the user's takes targets as classes, by outputs and metrics."""
    if y.ndim == 2 and y.shape[1] > 1:
        return declared.measures_accuracy and splits.is_one_hot(y)
    width = declared.width or 0
    if width > 1:
        return bool((y == np.floor(y)).all() and y.min() >= 0 and y.max() < width)
    told = declared.measures_accuracy or declared.activation == "sigmoid"
    return told and bool(np.isin(y, (0, 1)).all())


def _of_values(y: np.ndarray, declared: Declared) -> str:
    """The kind of the targets of a model that was not compiled."""
    kind = splits.infer_kind(y)
    is_single = y.ndim == 1 or y.shape[1] == 1
    if kind == "classification" and declared.width == 1 and is_single and len(np.unique(y)) > 2:
        raise ValueError(doubt(y, declared))
    return kind


def doubt(y: np.ndarray, declared: Declared) -> str:
    """What is asked where targets look like classes and the model has a single output."""
    loss = f"loss {declared.loss}" if declared.loss else "no loss"
    return (
        f"`y` has {len(np.unique(y))} classes, but the model one output and {loss}: say "
        "kind='regression', or give the model one output per class."
    )


def is_standardized(kind: str, declared: Declared, wanted: bool | None) -> bool:
    """Whether targets are standardized: only those of a regression ever are.

    Args:
        kind: of the problem.
        declared: what the model says of them.
        wanted: what the user said; `None` for all but compiled models.

    Raises:
        ValueError: where it is wanted and loss or last activation have a scale.
    """
    if kind != "regression":
        return False
    if wanted is None:
        return not declared.is_compiled
    if wanted and declared.is_compiled and not may_standardize(declared):
        raise ValueError(
            f"`standardize_targets` is True, but the loss ({declared.loss or 'none'}) or the last "
            f"activation ({declared.activation or 'unknown'}) has a scale of its own: leave it out."
        )
    return wanted


def may_standardize(declared: Declared) -> bool:
    """Whether a compiled model learns the same from targets in another unit."""
    return declared.loss in OF_NUMBERS and declared.activation == "linear"


def fit(
    y: Any, classes: splits.Classes | None, kind: str, as_given: bool, standardize: bool
) -> Targets:
    """How targets of a kind are prepared; see `Targets`."""
    if kind == OTHER:
        return any_targets(y)
    return fit_targets(y, classes, as_given, standardize)


def notes(targets: Targets, y: Any, declared: Declared) -> list[str]:
    """Sentences on what the targets were taken for, and on what would help."""
    is_free = targets.classes is None and targets.own_scale and not targets.are_kept
    hint = suggestion(y, declared) if is_free else ""
    return [sentence for sentence in (targets.sentence, _numbering(targets), hint) if sentence]


def _numbering(targets: Targets) -> str:
    """What labels of the user's own model are learnt as, where that is another number."""
    classes = targets.classes
    if classes is None or not targets.as_given or classes.is_numbered:
        return ""
    if classes.values.dtype.kind not in "iuf":
        return ""
    numbers = checks.shorten(list(range(len(classes.values))))
    return (
        f"Labels {checks.shorten(classes.values.tolist())} are learnt as {numbers}, and given so."
    )


def suggestion(y: np.ndarray, declared: Declared) -> str:
    """A sentence where standardizing the targets of a compiled model would clearly help.

    Example:
        >>> mse = Declared(True, "meansquarederror", output=(1,), activation="linear")
        >>> suggestion(np.array([900.0, 1000.0, 1100.0]), mse)[:49]
        'Targets have mean 1000 and standard deviation 82 '
    """
    mean, std = float(np.mean(y)), float(np.std(y))
    is_near = abs(mean) <= FAR * max(std, 1.0) and 1 / FAR <= std <= FAR
    if is_near or not may_standardize(declared):
        return ""
    return (
        f"Targets have mean {mean:.4g} and standard deviation {std:.2g} and are learnt as they "
        "are; standardize_targets=True would make them easier to learn, in your units at the end."
    )


def check_names(y: Any, declared: Declared, where: str) -> None:
    """Refuses targets whose names or number are not those of the model's outputs.

    Raises:
        ValueError: in one line.

    Example:
        >>> check_names({"a": 1}, Declared(True, num_outputs=2, names=("a", "b")), "training")
        Traceback (most recent call last):
        ValueError: `y` of the training part has no 'b'; the model's outputs are a, b.
    """
    if declared.num_outputs < 2 or y is None:
        return
    what, known = f"`y` of the {where} part", ", ".join(declared.names)
    if isinstance(y, dict) and declared.names:
        for name in declared.names:
            if name not in y:
                raise ValueError(f"{what} has no {name!r}; the model's outputs are {known}.")
        for name in y:
            if name not in declared.names:
                raise ValueError(
                    f"{what} has {name!r}, which is no output; the model's outputs are {known}."
                )
    elif not nested.is_nested(y) or len(y) != declared.num_outputs:
        given = f"{len(y)} arrays" if nested.is_nested(y) else "one array"
        raise ValueError(
            f"{what} is {given}, but the model has {declared.num_outputs} outputs"
            f"{f' ({known})' if known else ''}: give a dict or list with one array for each."
        )

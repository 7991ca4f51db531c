"""How targets are prepared: classes as integers, numbers standardized, all else as it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data.checks import shorten
from kerastune.data.splits import Classes


@dataclasses.dataclass(frozen=True)
class Targets:
    """How targets are prepared: labels become integer classes, numbers are standardized.

    Args:
        classes: the classes; `None` for regression.
        mean: mean of the training targets in the user's units, a number or `[outputs]` (0 for
            classes).
        scale: their standard deviation (1 for classes).
        as_given: keep shape, one-hot rows and numbered labels as they are, for a user's own model.
        std: standard deviation of the training targets that keep their scale, over all outputs.
        own_scale: what is told of targets that keep their scale; empty for classes and for numbers
            that are standardized.
        are_kept: whether they are neither one class nor one row of numbers per example, and taken
            as they are.

    Example:
        >>> fit_targets(np.array([1.0, 3.0]), None).encode(np.array([[5.0]]), "test").tolist()
        [3.0]
    """

    classes: Classes | None
    mean: float | np.ndarray = 0.0
    scale: float | np.ndarray = 1.0
    as_given: bool = False
    std: float = 1.0
    own_scale: str = ""
    are_kept: bool = False

    @property
    def sentence(self) -> str:
        """What the targets were taken for, for people."""
        if self.own_scale:
            return self.own_scale
        if self.classes is None:
            mean, scale = (
                np.array2string(np.asarray(value), precision=4) for value in (self.mean, self.scale)
            )
            return (
                f"Regression: targets have mean {mean} and standard deviation {scale}, and are "
                "standardized for training."
            )
        names = list(self.classes.names)
        return f"Classification with {len(names)} classes: {shorten(names)}."

    def encode(self, y: np.ndarray, where: str) -> np.ndarray:
        """Prepares the targets of a part; raises `ValueError` for labels that do not exist."""
        if self.are_kept:
            return y
        if self.classes is None:
            y = ((y.astype(np.float64) - self.mean) / self.scale).astype(np.float32)
            return y if self.as_given or np.ndim(self.mean) else y.reshape(len(y))
        encoded = self.classes.encode(y, where)
        stays = self.as_given and self.classes.is_numbered and y.dtype.kind in "iuf"
        return y if stays else encoded


def fit_targets(
    y: np.ndarray, classes: Classes | None, as_given: bool = False, standardize: bool = True
) -> Targets:
    """Fits the preparation of targets to those of the training part.

    Args:
        y: training targets `[n]`, `[n, outputs]`, or any labels that `classes` has.
        classes: for classification.
        as_given: see `Targets`.
        standardize: whether numbers are standardized.

    Raises:
        ValueError: if what is to be predicted is the same for every training example.

    Example:
        >>> fit_targets(np.array([[0.0, 5.0], [2.0, 7.0]]), None).mean.tolist()
        [1.0, 6.0]
    """
    if classes is not None:
        return Targets(classes, as_given=as_given)
    columns = y.astype(np.float64).reshape(len(y), -1)
    mean, scale = columns.mean(axis=0), columns.std(axis=0)
    is_constant = (columns == columns[0]).all(axis=0)
    scale[is_constant] = 1.0
    if is_constant.all():
        raise ValueError(
            f"`y` of the training part is constant ({columns[0][0]}); there is nothing to learn."
        )
    if len(mean) == 1:
        mean, scale = float(mean[0]), float(scale[0])
    if standardize:
        return Targets(None, mean, scale, as_given)
    told = (np.array2string(np.asarray(value), precision=4) for value in (mean, scale))
    told = "Regression: targets keep their scale (mean {}, standard deviation {}).".format(*told)
    std = float(np.sqrt(np.mean(np.square(scale))))
    return Targets(None, as_given=as_given, std=std, own_scale=told)


def balanced(labels: np.ndarray, num_classes: int) -> dict[int, float]:
    """Weights of classes with which all of them count the same in the loss.

    A class weighs as many times more than an average one as it is rarer.

    Args:
        labels: integers `[n]`, of the examples that are counted.
        num_classes: of them, those without an example included, which get no weight.

    Example:
        >>> balanced(np.array([0, 1, 1, 1]), 2)[0]
        2.0
    """
    counts = np.bincount(labels, minlength=num_classes)
    average = counts[counts > 0].mean()
    return {index: float(average / count) for index, count in enumerate(counts) if count}


def any_targets(y: Any) -> Targets:
    """Targets that are neither one class nor one row of numbers per example, kept as they are.

    Example:
        >>> any_targets({"mask": np.zeros([9, 4, 4])}).sentence
        "Targets are taken as they are (y['mask'] [4, 4]) and judged by the model's own loss."
    """
    shapes = ", ".join(
        f"{name} {list(array.shape[1:]) or 'one number'}" for name, array in nested.named(y, "y")
    )
    told = f"Targets are taken as they are ({shapes}) and judged by the model's own loss."
    if not shapes:
        told = "There are no targets: the model's own loss is learnt."
    return Targets(None, own_scale=told, are_kept=True)

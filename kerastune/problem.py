"""What there is to learn: the parts of the data, and what their targets mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

IMBALANCE = 3


@dataclasses.dataclass(frozen=True)
class Part:
    """One part (training, validation or test) of a data set.

    Args:
        x: inputs, an array `[n, ...]` or a dict of arrays that share `n`.
        y: targets: integer classes `[n]`, one-hot classes `[n, classes]`, or numbers `[n]` or `[n,
            outputs]`.
        sample_weight: weights `[n]`, or `None` when every example counts the same.

    Example:
        >>> len(Part(np.zeros([3, 2]), np.zeros(3)))
        3
    """

    x: Any
    y: np.ndarray
    sample_weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set, split, checked and prepared, ready for training.

    Args:
        name: what the user calls it; used in titles.
        kind: `"classification"` or `"regression"`.
        train: the training part, prepared; `None` when `stream` is given.
        validation: the part that chooses.
        test: the part that is touched once, at the end, to report; `None` when there is none.
        class_names: names of the classes, in the order of the integer labels; empty for regression.
        target_mean: mean of the training targets in the user's units (regression; 0 otherwise).
        target_scale: standard deviation of the training targets in the user's units (regression; 1
            otherwise).
        attach: given a Keras model of the prepared inputs, gives the Keras model of the raw inputs:
            the same preparation as layers. `None` when nothing was prepared.
        stream: a `tf.data.Dataset` of single training examples, when the user brought one.
        class_weight: weight of every class in the loss, by integer label, or `None`.
        notes: what was done to the data, one sentence each, for people.
        shuffled: whether training examples are drawn at random, and not in their order.

    Example:
        >>> part = Part(np.zeros([4, 2]), np.array([0, 1, 1, 1]))
        >>> Problem("toy", "classification", part, part, class_names=("a", "b")).imbalanced
        True
    """

    name: str
    kind: str
    train: Part | None
    validation: Part
    test: Part | None = None
    class_names: tuple[str, ...] = ()
    target_mean: float | np.ndarray = 0.0
    target_scale: float | np.ndarray = 1.0
    attach: Callable | None = None
    stream: Any = None
    class_weight: dict[int, float] | None = None
    notes: tuple[str, ...] = ()
    shuffled: bool = True

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for regression."""
        return len(self.class_names)

    @property
    def imbalanced(self) -> bool:
        """Whether the largest class is at least 3x the smallest (`PLAYBOOK`: imbalanced).

        In the training part; of a stream, in the validation part.
        """
        if self.kind != "classification":
            return False
        known = self.validation if self.train is None else self.train
        return is_imbalanced(np.bincount(labels(known.y), minlength=self.num_classes))


def is_imbalanced(counts: np.ndarray) -> bool:
    """Whether the largest class is at least 3x the smallest.

    From their numbers of examples `[classes]`.

    Example:
        >>> is_imbalanced(np.array([10, 30])), is_imbalanced(np.array([10, 29]))
        (True, False)
    """
    return len(counts) > 0 and bool(counts.max() >= IMBALANCE * max(counts.min(), 1))


def labels(y: np.ndarray) -> np.ndarray:
    """Integer classes `[n]` of targets given as integers `[n]`, `[n, 1]` or one-hot `[n, classes]`.

    Example:
        >>> labels(np.array([[0, 1], [1, 0]])).tolist()
        [1, 0]
    """
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        return y.argmax(axis=1)
    return y.reshape(len(y)).astype(np.int64)


def joined(first: Part, second: Part) -> Part:
    """The examples of two parts, one after the other; an example without a weight counts 1.

    Example:
        >>> len(joined(Part(np.zeros([3, 2]), np.zeros(3)), Part(np.ones([2, 2]), np.ones(2))))
        5
    """
    parts = (first, second)
    if isinstance(first.x, dict):
        x = {name: np.concatenate([part.x[name] for part in parts]) for name in first.x}
    else:
        x = np.concatenate([part.x for part in parts])
    weights = None
    if any(part.sample_weight is not None for part in parts):
        weights = [
            np.ones(len(part)) if part.sample_weight is None else part.sample_weight
            for part in parts
        ]
    return Part(
        x,
        np.concatenate([part.y for part in parts]),
        None if weights is None else np.concatenate(weights),
    )

"""What there is to learn: the parts of the data, and what their targets mean."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from kerastune.analysis import nested

IMBALANCE = 3
OTHER = "other"  # kind of targets that are not one class or one row of numbers per example


@dataclasses.dataclass(frozen=True)
class Declared:
    """What a user's model says of its targets, by its outputs and what it was compiled with.

    Args:
        is_compiled: whether it was compiled.
        loss: name of its one loss, as Keras names it, without underscores; `"several"`, or empty
            where there is none.
        is_own_loss: whether that loss is no loss of Keras's.
        output: shape of the one output of an example; `None` where it is not known.
        num_outputs: how many outputs the model has; 0 where it is not known.
        names: of the outputs, where targets may be given by name.
        is_listed: whether the outputs are a list, and a name stands for a place in it.
        activation: name of the last activation; empty where it is not known.
        measures_accuracy: whether it was compiled with accuracy among its metrics.
        adds_losses: whether its layers add losses of their own.
        batch_size: the only one that it takes; `None` for any.
        is_stateful: whether a layer keeps its state from one batch to the next.
        numbers: that it gives for an example, where means of several models' outputs can be judged
            by its loss; 0 where they can't, or it is not known.

    Example:
        >>> Declared(True, "meansquarederror", output=(1,), activation="linear").is_dense
        False
    """

    is_compiled: bool = False
    loss: str = ""
    is_own_loss: bool = False
    output: tuple[int | None, ...] | None = None
    num_outputs: int = 0
    names: tuple[str, ...] = ()
    is_listed: bool = False
    activation: str = ""
    measures_accuracy: bool = False
    adds_losses: bool = False
    batch_size: int | None = None
    is_stateful: bool = False
    numbers: int = 0

    @property
    def width(self) -> int | None:
        """Numbers that the model gives for an example; `None` where that is not one row."""
        return self.output[0] if self.output is not None and len(self.output) == 1 else None

    @property
    def is_dense(self) -> bool:
        """Whether an example's output is known and not one row of numbers."""
        return self.output is not None and len(self.output) != 1


@dataclasses.dataclass(frozen=True)
class Part:
    """One part (training, validation or test) of a data set.

    Args:
        x: inputs, an array `[n, ...]` or a dict of arrays that share `n`.
        y: targets: integer classes `[n]`, one-hot classes `[n, classes]`, or numbers `[n]` or `[n,
            outputs]`; of kind `"other"` arrays `[n, ...]`, a dict or tuple of them, or `None`.
        sample_weight: weights `[n]`, or `None` when every example counts the same; of kind
            `"other"` also `[n, ...]`, or one array for every target.

    Example:
        >>> len(Part(np.zeros([3, 2]), np.zeros(3)))
        3
    """

    x: Any
    y: Any
    sample_weight: Any = None

    def __len__(self) -> int:
        return len(nested.leaves(self.x if self.y is None else self.y)[0])

    def take(self, indices: np.ndarray) -> Part:
        """The examples with these indices.

        Example:
            >>> Part(np.zeros([3, 2]), np.array([7, 8, 9])).take(np.array([0, 2])).y.tolist()
            [7, 9]
        """
        given = (self.x, self.y, self.sample_weight)
        return Part(*(nested.mapped(lambda array: array[indices], each) for each in given))


@dataclasses.dataclass(frozen=True)
class Problem:
    """A data set, split, checked and prepared, ready for training.

    Args:
        name: what the user calls it; used in titles.
        kind: `"classification"` (a class for every example), `"regression"` (a row of numbers), or
            `"other"`: several outputs, several labels, dense targets or none, judged by the
            model's own loss.
        train: the training part, prepared; `None` when `stream` is given.
        validation: the part that chooses.
        test: the part that is touched once, at the end, to report; `None` when there is none.
        class_names: names of the classes, in the order of the integer labels; empty for regression.
        target_mean: mean of the training targets in the user's units (regression; 0 otherwise).
        target_scale: standard deviation of the training targets in the user's units (regression; 1
            otherwise). Targets that keep the user's scale have the mean 0 and the scale 1.
        target_std: standard deviation of the training targets as they are trained on: 1 where they
            are standardized, and 1 for what is no regression.
        attach: given a Keras model of the prepared inputs, gives the Keras model of the raw inputs:
            the same preparation as layers. `None` when nothing was prepared.
        stream: a `tf.data.Dataset` of single training examples, when the user brought one.
        class_weight: weight of every class in the loss, by integer label, or `None`.
        spare_outputs: whether the model has outputs for classes that no training example has.
        notes: what was done to the data, one sentence each, for people.
        shuffled: whether training examples are drawn at random, and not in their order.
        cut: how the validation part was cut off: at `"random"`, by `"time"`, as whole `"groups"` or
            off the `"end"`; empty where it was given.
        reading: how new examples of the same form are read, as plain values (`new_data.described`);
            empty for arrays.
        columns: what every column of a table became, the label first: name, what it became, number
            of different values, of missing ones, and an example, as texts; empty for other data.
        batch_size: the only one that the model takes; `None` for any.
        is_stateful: whether a layer of it keeps its state from one batch to the next.
        output_numbers: as `Declared.numbers`.

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
    target_std: float = 1.0
    attach: Callable | None = None
    stream: Any = None
    class_weight: dict[int, float] | None = None
    spare_outputs: bool = False
    notes: tuple[str, ...] = ()
    shuffled: bool = True
    cut: str = ""
    reading: dict[str, Any] = dataclasses.field(default_factory=dict)
    columns: tuple[tuple[str, ...], ...] = ()
    batch_size: int | None = None
    is_stateful: bool = False
    output_numbers: int = 0

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
        counts = np.bincount(labels(known.y), minlength=self.num_classes)
        return is_imbalanced(counts[counts > 0] if self.spare_outputs else counts)


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
    x = nested.mapped(_after, first.x, second.x)
    y = nested.mapped(_after, first.y, second.y)
    if first.sample_weight is None and second.sample_weight is None:
        return Part(x, y)
    like = second.sample_weight if first.sample_weight is None else first.sample_weight
    weights = [
        nested.mapped(lambda array, part=part: np.ones([len(part), *array.shape[1:]]), like)
        if part.sample_weight is None
        else part.sample_weight
        for part in parts
    ]
    return Part(x, y, nested.mapped(_after, *weights))


def _after(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, second])

"""Batches as `tf.data` pipelines, a function of the data, the seed and the step."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.data.augmentation import Augmentation, mirrored_at
from kerastune.data.targets.fitted import balanced
from kerastune.problem import Part, Problem, labels

VALIDATION_BATCH = 512
STREAM_SHUFFLE = 10_000  # examples held to shuffle a stream


def order(
    num_examples: int, batch_size: int, seed: int | None, start: int, until: int
) -> np.ndarray:
    """Indices of the examples that steps `start` to `until` see.

    The stream of examples is one seeded permutation of the data after another; a step takes the
    next `batch_size` of it. So each example is seen once per epoch, and a run that goes on from a
    checkpoint sees what it would have seen. Without a seed the data come in their own order.

    Returns:
        int32 array `[(until - start) * batch_size]`.

    Example:
        >>> whole = order(10, 4, seed=1, start=0, until=5)
        >>> (
        ...     bool((whole[12:] == order(10, 4, seed=1, start=3, until=5)).all()),
        ...     sorted(whole[:10]) == list(range(10)),
        ... )
        (True, True)
    """
    first, last = start * batch_size, until * batch_size
    epochs = range(first // num_examples, (last - 1) // num_examples + 1)
    if seed is None:
        return (np.arange(first, last) % num_examples).astype(np.int32)
    stream = [np.random.default_rng([seed, epoch]).permutation(num_examples) for epoch in epochs]
    offset = epochs[0] * num_examples
    return np.concatenate(stream)[first - offset : last - offset].astype(np.int32)


class Batches:
    """The batches of a problem, from arrays that are handed to TensorFlow once.

    Args:
        problem: the prepared data.
    """

    def __init__(self, problem: Problem):
        self._problem = problem
        self._training = (
            None if problem.stream is not None else _tensors(problem.train, _weights(problem))
        )
        given = _tensors(problem.validation, problem.validation.sample_weight)
        self._validation = _evaluated(given, len(problem.validation), problem.batch_size)

    def training(
        self,
        batch_size: int,
        seed: int,
        start: int,
        until: int,
        augmentation: float = 0.0,
        flip: bool = False,
        class_weights: str = "none",
        rows: np.ndarray | None = None,
    ) -> tf.data.Dataset:
        """Batches of steps `start` to `until`, exactly so many.

        `(x, y)` or `(x, y, sample_weight)`.

        `augmentation`, `flip` and `class_weights` are those of a recipe; `rows`, int32 `[n]`, are
        indices of the only examples that are seen, of all by default (a stream has none).
        """
        problem, mirrored = weighed(self._problem, class_weights), None
        if self._training is None:
            stream = _weighted(problem)
            if problem.is_stateful:  # every epoch begins with a batch
                whole = max(int(stream.cardinality()) // batch_size, 1)
                stream = stream.take(whole * batch_size)
            if problem.shuffled:
                stream = stream.shuffle(STREAM_SHUFFLE, seed=seed)
            is_fixed = problem.batch_size is not None
            stream = stream.repeat().batch(batch_size, drop_remainder=is_fixed)
            steps = until - start
            batches = stream.take(steps).apply(tf.data.experimental.assert_cardinality(steps))
        else:
            count = len(problem.train if rows is None else rows)
            indices = order(count, batch_size, seed if problem.shuffled else None, start, until)
            indices = indices if rows is None else rows[indices]
            if flip:
                mirrored = mirrored_at(indices, count, seed, start, batch_size)
            # The user's own weights are among the tensors already.
            examples = (
                self._training
                if problem is self._problem
                else (*self._training[:2], tf.constant(_weights(problem)))
            )
            is_fixed = problem.batch_size is not None
            batches = _gathered(examples, indices, batch_size, is_fixed)
        if augmentation or flip:
            batches = _augmented(
                batches, Augmentation(augmentation, flip, seed), mirrored, start, batch_size
            )
        return batches.prefetch(1)

    def validation(self) -> tf.data.Dataset:
        """The validation examples in their order; see `examples`."""
        return self._validation


def _augmented(
    batches: tf.data.Dataset, changed: Augmentation, mirrored, start: int, batch_size: int
) -> tf.data.Dataset:
    flips = None if mirrored is None else tf.constant(mirrored)

    def change(step, batch):
        first = (step - start) * batch_size
        own = None if flips is None else flips[first : first + batch_size]
        return (changed(batch[0], step, own), *batch[1:])

    return batches.enumerate(start).map(change)


def inputs(x: Any, batch_size: int, fills: bool = False) -> tf.data.Dataset:
    """Inputs alone, an array `[n, ...]` or a structure of them, in their order: `(x,)`.

    With `fills`, the last batch is filled up with the first examples.

    Keras makes a pipeline of arrays, too, at whose end it waits for the thread that tunes it:
    TensorFlow's looks up at doubling intervals only, so that a `predict` of 0.7 s may take 1.3 s.
    """
    tensors = keras.tree.map_structure(tf.convert_to_tensor, x)
    count = len(keras.tree.flatten(x)[0])
    # Keras would take a pair of inputs for inputs and targets.
    total = -(-count // batch_size) * batch_size if fills else count
    indices = np.arange(total, dtype=np.int32) % count
    return _gathered((tensors,), indices, batch_size, is_fixed=fills).prefetch(1)


def examples(part: Part, batch_size: int, is_fixed: bool = False) -> tf.data.Dataset:
    """Examples of a part in their order: `(x,)`, `(x, y)` or `(x, y, sample_weight)`.

    Where batches are all of one size (`is_fixed`), what fills no batch at the end is left out; of
    fewer examples than a batch, the first ones come again.
    """
    given = _tensors(part, part.sample_weight)
    if is_fixed:
        return _evaluated(given, len(part), batch_size)
    indices = np.arange(len(part), dtype=np.int32)
    return _gathered(given, indices, batch_size).prefetch(1)


def evaluated(count: int, batch_size: int) -> np.ndarray:
    """Indices of the examples that are evaluated in batches of one size.

    Example:
        >>> evaluated(7, 3).tolist(), evaluated(2, 3).tolist()
        ([0, 1, 2, 3, 4, 5], [0, 1, 0])
    """
    return np.arange(max(count // batch_size, 1) * batch_size, dtype=np.int32) % count


def _evaluated(given: tuple, count: int, batch_size: int | None) -> tf.data.Dataset:
    if batch_size is None:
        return _gathered(given, np.arange(count, dtype=np.int32), VALIDATION_BATCH).prefetch(1)
    indices = evaluated(count, batch_size)
    return _gathered(given, indices, batch_size, is_fixed=True).prefetch(1)


def weighed(problem: Problem, class_weights: str) -> Problem:
    """The problem with balanced class weights, where they are wanted.

    With `"balanced"`, all classes count the same in the loss.

    A class weighs as many times more than an average one as it is rarer, so an example weighs 1 on
    the mean. Counted in the training part; of a stream, in the validation part. Class weights of
    the user's are kept as they are.

    Example:
        >>> part = Part(np.zeros([4, 2]), np.array([0, 1, 1, 1]))
        >>> weighed(
        ...     Problem("toy", "classification", part, part, class_names=("a", "b")), "balanced"
        ... ).class_weight[0]
        2.0
    """
    if class_weights == "none" or problem.class_weight is not None:
        return problem
    counted = problem.validation if problem.train is None else problem.train
    return dataclasses.replace(
        problem, class_weight=balanced(labels(counted.y), problem.num_classes)
    )


def _weights(problem: Problem) -> np.ndarray | None:
    """Weight of every training example: its own times that of its class."""
    weights = problem.train.sample_weight
    if problem.class_weight is None:
        return weights
    by_class = _class_weights(problem)[labels(problem.train.y)]
    return by_class if weights is None else weights * by_class


def _class_weights(problem: Problem) -> np.ndarray:
    return np.array(
        [problem.class_weight.get(index, 1.0) for index in range(problem.num_classes)], np.float32
    )


def _weighted(problem: Problem) -> tf.data.Dataset:
    """The problem's stream, every example with its own weight times that of its class."""
    if problem.class_weight is None:
        return problem.stream
    weights = tf.constant(_class_weights(problem))

    def weigh(x, y, *own):
        label = (
            tf.argmax(y)
            if y.shape.rank and y.shape[0] > 1
            else tf.cast(tf.reshape(y, ()), tf.int64)
        )
        return x, y, tf.gather(weights, label) * (tf.cast(own[0], tf.float32) if own else 1.0)

    return problem.stream.map(weigh)


def _tensors(part: Part, weights):
    given = [part.x, part.y, weights]
    while given[-1] is None:
        given.pop()
    return keras.tree.map_structure(tf.convert_to_tensor, tuple(given))


def _gathered(
    examples, indices: np.ndarray, batch_size: int, is_fixed: bool = False
) -> tf.data.Dataset:
    indices = tf.constant(indices)

    def batch(step):
        # A slice that depends on `step` leaves the batch dimension `None`, so another batch size
        # traces nothing.
        rows = indices[step * batch_size : (step + 1) * batch_size]
        rows = tf.ensure_shape(rows, [batch_size]) if is_fixed else rows
        return tf.nest.map_structure(lambda array: tf.gather(array, rows), examples)

    count = -(-len(indices) // batch_size)
    return tf.data.Dataset.range(count).map(batch).with_options(_lean())


def _lean() -> tf.data.Options:
    """One thread that gathers the next batch.

    TensorFlow's defaults take cores from the training, and time to begin.
    """
    options = tf.data.Options()
    options.threading.private_threadpool_size = 1
    options.threading.max_intra_op_parallelism = 1
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return options

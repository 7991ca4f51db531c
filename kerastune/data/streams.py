"""Reads a `tf.data.Dataset`, or batches as one: as arrays, or scanned and prepared as a stream.

TensorFlow is imported only where a dataset is at hand, so that arrays can be loaded without it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from kerastune.analysis import nested
from kerastune.data import checks, memory, profiling, user_inputs
from kerastune.data.targets.fitted import Targets
from kerastune.problem import Part

STREAM_BATCH = 256  # examples that are read from a tf.data.Dataset in one go
INFINITE = -1  # what tf.data gives as the cardinality of an endless dataset


def is_dataset(value: Any) -> bool:
    """Whether a value is a `tf.data.Dataset`.

    Example:
        >>> is_dataset(np.zeros(3))
        False
    """
    # Named by what it can do, so that arrays can be loaded without importing TensorFlow.
    return hasattr(value, "element_spec") and hasattr(value, "as_numpy_iterator")


def as_tuples(dataset: Any) -> Any:
    """A dataset whose elements are tuples: `(x,)` where they are inputs alone."""
    spec = dataset.element_spec
    is_alone = not isinstance(spec, tuple) or len(spec) == 1
    return dataset.map(lambda x: (x,)) if is_alone else dataset


def of_batches(batches: Any) -> Any:
    """A dataset of the batches of a `PyDataset`, or of what can be read in the same way.

    Args:
        batches: that know their number, and are read by it.
    """
    import tensorflow as tf

    def each() -> Iterator[tuple]:
        for index in range(batches.num_batches):
            yield user_inputs.as_arrays(batches[index])
        if hasattr(batches, "on_epoch_end"):
            batches.on_epoch_end()

    def spec(array: np.ndarray) -> Any:
        return tf.TensorSpec((None, *array.shape[1:]), tf.as_dtype(array.dtype))

    first = user_inputs.as_arrays(batches[0])
    dataset = tf.data.Dataset.from_generator(each, output_signature=nested.mapped(spec, first))
    return dataset.apply(tf.data.experimental.assert_cardinality(batches.num_batches))


def _is_batched(dataset: Any, where: str) -> bool:
    """Whether the elements are batches.

    Refuses datasets that are endless or not of plain tensors of one shape.

    Targets of rank 0 are single examples. Otherwise elements are batches if all leading sizes are
    open, or if all are the same and the inputs have rank 2 or more.
    """
    spec = dataset.element_spec
    what = f"The tf.data.Dataset of the {where} part"
    if len(spec) > 3:
        raise ValueError(f"{what} must yield x, (x, y) or (x, y, sample_weight).")
    if int(dataset.cardinality()) == INFINITE:
        raise ValueError(f"{what} is infinite; leave out `.repeat()`.")
    inputs = nested.leaves(spec[0])
    tensors = [*inputs, *(each for given in spec[1:] for each in nested.leaves(given))]
    for tensor in tensors:
        if type(tensor).__name__ != "TensorSpec" or tensor.shape.rank is None:
            raise ValueError(f"{what} must hold dense tensors of known rank, got {tensor}.")
    leading = {tensor.shape[0] if tensor.shape.rank else () for tensor in tensors}
    return leading == {None} or (
        len(leading) == 1 and () not in leading and inputs[0].shape.rank > 1
    )


def _batches(dataset: Any, where: str) -> Any:
    """Batches of a dataset as checked parts."""
    what, first = f"The tf.data.Dataset of the {where} part", None
    dataset = as_tuples(dataset)
    try:
        batches = dataset if _is_batched(dataset, where) else dataset.batch(STREAM_BATCH)
        is_finite = int(dataset.cardinality()) >= 0
        for batch in user_inputs.ending(batches.as_numpy_iterator(), what, is_finite):
            x, *given = nested.mapped(user_inputs.as_numpy, batch)
            part = Part(x, *(given or [None]))
            checks.check_part(part, where, any_targets=True, any_inputs=True)
            first = first or checks.shapes(part)
            if checks.shapes(part) != first:
                raise ValueError(
                    f"{what} has examples of different shapes; pad, crop or resize them to one."
                )
            yield part
    except _tf_error() as error:
        said = str(error).strip().splitlines()[0]
        raise ValueError(f"{what} can't be read: {said}.") from error


def _tf_error() -> type[Exception]:
    import tensorflow as tf

    return tf.errors.OpError


def materialize(dataset: Any, where: str) -> Part:
    """All examples of a dataset as arrays; refused as soon as they fill half of the memory."""
    parts, used, most = [], 0, memory.available() // 2
    for part in _batches(dataset, where):
        parts.append(part)
        used += sum(array.nbytes for _, array in checks.entries(part.x))
        if used > most:
            raise ValueError(
                f"The tf.data.Dataset of the {where} part is larger than memory; give fewer "
                "examples."
            )
    if not parts:
        raise ValueError(
            f"The tf.data.Dataset of the {where} part is empty; give at least one example."
        )
    x = nested.mapped(_joined, *(part.x for part in parts))
    return Part(x, *_join_targets(parts))


def _join_targets(parts: list[Part]) -> tuple[Any, Any]:
    return (
        nested.mapped(_joined, *(part.y for part in parts)),
        nested.mapped(_joined, *(part.sample_weight for part in parts)),
    )


def _joined(*arrays: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays)


def scan(dataset: Any) -> tuple[Part, int]:
    """Reads a training dataset once: profile of its inputs, and all targets and weights.

    And the number of its examples.
    """
    profiles, parts, count = None, [], 0
    for part in _batches(dataset, "training"):
        profiles = profiling.profile(part.x, measure=False) if profiles is None else profiles
        for found, array in zip(nested.leaves(profiles), nested.leaves(part.x), strict=True):
            if array.dtype.kind != "U":
                found.add(array)
        parts.append(dataclasses.replace(part, x=None))
        count += len(part)
    if not parts:
        raise ValueError(
            "The tf.data.Dataset of the training part is empty; give at least one example."
        )
    return Part(profiles, *_join_targets(parts)), count


def single_examples(dataset: Any, num_examples: int) -> Any:
    """A training dataset of single examples, that knows how many there are."""
    import tensorflow as tf

    dataset = as_tuples(dataset)
    single = dataset.unbatch() if _is_batched(dataset, "training") else dataset
    return single.apply(tf.data.experimental.assert_cardinality(num_examples))


def prepare_stream(stream: Any, preparation: Any, targets: Targets) -> Any:
    """Prepares every example of a dataset as the arrays of the other parts were prepared."""
    import tensorflow as tf

    def target(y: Any) -> Any:
        if targets.are_kept:
            return y
        if targets.classes is None:
            y = (tf.cast(y, tf.float64) - targets.mean) / targets.scale
            return tf.cast(
                y if targets.as_given or np.size(targets.mean) > 1 else tf.reshape(y, ()),
                tf.float32,
            )
        if targets.as_given:
            return y
        y = tf.argmax(y) if y.shape.rank and y.shape[0] > 1 else tf.reshape(y, ())
        return tf.cast(y, tf.int32)

    def prepare(x: Any, *given: Any) -> tuple:
        batch = preparation.graph(tf.nest.map_structure(lambda tensor: tensor[None], x))
        return (
            tf.nest.map_structure(lambda tensor: tensor[0], batch),
            *map(target, given[:1]),
            *given[1:],
        )

    if targets.classes is not None and not targets.classes.is_numbered:
        raise ValueError(
            "The labels of a tf.data.Dataset must run from 0 on, got "
            f"{checks.shorten(list(targets.classes.names))}; number the classes in the dataset."
        )
    return stream.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)

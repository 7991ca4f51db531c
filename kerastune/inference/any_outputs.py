"""Outputs of models of any form as rows of numbers, and what a model's own loss says of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.analysis import nested
from kerastune.data import batches
from kerastune.models import example_losses, fixed_batches
from kerastune.problem import Part

AT_ONCE = 512  # examples in one call
COMPARED = 8  # examples by which losses of rows are compared with those of single examples
LEAST = 1e-7  # that Keras adds to the number of what a mask leaves


def rows(outputs: Any) -> np.ndarray:
    """Outputs `[n, ...]`, or a structure of them, as one array `[n, numbers]` in float32.

    Example:
        >>> rows({"a": np.zeros([5, 2, 3]), "b": np.zeros([5])}).shape
        (5, 7)
    """
    flat = [np.asarray(each, np.float32) for each in keras.tree.flatten(outputs)]
    return np.concatenate([each.reshape(len(each), -1) for each in flat], axis=1)


def predict(model: keras.Model, x: Any) -> np.ndarray:
    """Outputs of a model as `rows`."""
    return rows(model.predict(batches.inputs(x, AT_ONCE), verbose=0))


class OutputJudge:
    """Losses and metrics of outputs that may be of no model, such as the mean of several models'.

    Args:
        model: compiled; its loss and metrics count, and masks of its outputs hold.
        part: the examples.

    Example:
        >>> model = keras.Sequential([keras.Input([4]), keras.layers.Dense(3)])
        >>> model.compile(loss="mse", metrics=["mae"])
        >>> judge = OutputJudge(model, Part(np.zeros([2, 4]), np.ones([2, 3])))
        >>> judge.losses(np.zeros([2, 3])).tolist(), judge.figures(np.zeros([2, 3]))["mae"]
        ([1.0, 1.0], 1.0)
    """

    def __init__(self, model: keras.Model, part: Part):
        self._model = model
        self._given = tuple(
            nested.mapped(np.asarray, each) for each in (part.y, part.sample_weight)
        )
        first = model(fixed_batches.few(part.x, COMPARED, model), training=False)
        flat = keras.tree.flatten(first)
        self._like, self._shapes = first, [tuple(each.shape[1:]) for each in flat]
        is_masked = any(getattr(each, "_keras_mask", None) is not None for each in flat)
        self._masks = _masks(model, part.x) if is_masked else [None] * len(flat)
        self._terms = _terms(model, first, *self._given)
        self._is_by_row: bool | None = None
        model._clear_losses()

    def losses(self, outputs: np.ndarray) -> np.ndarray:
        """Loss of every example alone `[n]`, without penalties on weights.

        Args:
            outputs: as `rows` has them `[n, numbers]`.
        """
        if self._is_by_row is None:
            few = slice(COMPARED)
            found, alone = self._by_row(outputs), self._one_by_one(outputs, few)
            self._is_by_row = found is not None and np.allclose(found[few], alone, 1e-3, 1e-6)
        return self._by_row(outputs) if self._is_by_row else self._one_by_one(outputs)

    def figures(self, outputs: np.ndarray) -> dict[str, float]:
        """Loss and metrics by name, as `evaluate` gives them; single numbers only.

        Args:
            outputs: as `rows` has them `[n, numbers]`.
        """
        model, total, found = self._model, 0.0, {}
        model.reset_metrics()
        for start in range(0, len(outputs), AT_ONCE):
            chosen = slice(start, start + AT_ONCE)
            arrays, masks, *given = self._some(outputs, chosen)
            y, weight = (*given, None)[:2]
            predicted = self._packed(arrays, masks)
            loss = model._compute_loss(None, y, predicted, weight, training=False)
            total += float(loss) * len(outputs[chosen])
            found = dict(model.compute_metrics(None, y, predicted, weight))
        model.reset_metrics()
        found["loss"] = total / len(outputs)
        return {name: float(value) for name, value in found.items() if np.ndim(value) == 0}

    def _split(self, outputs: np.ndarray) -> list[np.ndarray]:
        """The array of every output `[n, ...]`."""
        ends = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1]
        parts = np.split(np.asarray(outputs, np.float32), ends, axis=1)
        shaped = zip(parts, self._shapes, strict=True)
        return [part.reshape(len(part), *shape) for part, shape in shaped]

    def _some(self, outputs: np.ndarray, chosen: slice) -> tuple:
        """Some examples: arrays and masks of the outputs, targets and, where there are, weights."""
        masks = [mask for mask in self._masks if mask is not None]
        given = [each for each in self._given if each is not None]
        of_examples = (tuple(self._split(outputs)), tuple(masks), *given)
        return tf.nest.map_structure(lambda a: tf.convert_to_tensor(a[chosen]), of_examples)

    def _packed(self, arrays: tuple, masks: tuple) -> Any:
        """Outputs with their masks in the structure in which the model gives them."""
        left = iter(masks)
        for array, mask in zip(arrays, self._masks, strict=True):
            if mask is not None:
                array._keras_mask = next(left)
        return keras.tree.pack_sequence_as(self._like, list(arrays))

    def _by_row(self, outputs: np.ndarray) -> np.ndarray | None:
        """The losses of all examples at once; `None` where one does not tell rows apart."""
        if self._terms is None:
            return None
        total = np.zeros(len(outputs))
        for term, given, mask in zip(self._terms, self._split(outputs), self._masks, strict=True):
            each = term.losses(given, mask)
            if each is None:
                return None
            total += each
        return total

    def _one_by_one(self, outputs: np.ndarray, chosen: slice = slice(None)) -> np.ndarray:
        """The losses of examples, each worked out alone, as the model would."""
        found = []
        for start in range(0, len(outputs[chosen]), AT_ONCE):
            few = slice(start, min(start + AT_ONCE, len(outputs[chosen])))
            found.append(self._alone(self._some(outputs, few)).numpy())
        self._model._clear_losses()
        return np.concatenate(found).astype(np.float64)

    @functools.cached_property
    def _alone(self) -> Any:
        model = self._model

        def loss(example: tuple) -> tf.Tensor:
            arrays, masks, *given = tf.nest.map_structure(lambda array: array[None], example)
            y, weight = (*given, None)[:2]
            outputs = self._packed(arrays, masks)
            total = model._compute_loss(None, y, outputs, weight, training=False)
            return tf.cast(total - example_losses.penalties(model), tf.float32)

        return tf.function(
            lambda examples: tf.map_fn(loss, examples, fn_output_signature=tf.float32),
            reduce_retracing=True,
        )


def _masks(model: keras.Model, x: Any) -> list[np.ndarray | None]:
    """Masks `[n, ...]` that a model gives its outputs, in their order; `None` for none."""
    found = []
    for batch in batches.inputs(x, AT_ONCE):
        outputs = keras.tree.flatten(model(batch[0], training=False))
        found.append([getattr(each, "_keras_mask", None) for each in outputs])
    return [
        None if each[0] is None else np.concatenate([mask.numpy() for mask in each])
        for each in zip(*found, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Term:
    """What one output adds to the total loss.

    Args:
        loss: of the output, an object or a function; `None` where it has none.
        factor: of the loss in the total.
        y: targets `[n, ...]`.
        weight: of the examples, or of what is in them; `None` for none.
    """

    loss: Any
    factor: float
    y: Any
    weight: np.ndarray | None

    def losses(self, outputs: np.ndarray, mask: np.ndarray | None) -> np.ndarray | None:
        """What it adds for every example `[n]`; `None` where the loss does not tell rows apart."""
        if self.loss is None:
            return np.zeros(len(outputs))
        y, outputs = example_losses.aligned(self.y, outputs)
        call = self.loss.call if isinstance(self.loss, keras.losses.Loss) else self.loss
        each = np.asarray(call(y, outputs), np.float64)
        if each.shape[:1] != (len(outputs),):
            return None
        counts = np.ones_like(each)
        if mask is not None:
            counts = counts * _spread(mask, each.ndim)
        each = each * counts
        if self.weight is not None:
            each = each * _spread(self.weight, each.ndim)
        of_row = counts.reshape(len(counts), -1)
        total = each.reshape(len(each), -1).sum(axis=1)
        return self.factor * total / (of_row.sum(axis=1) + (0 if mask is None else LEAST))


def _spread(array: np.ndarray, rank: int) -> np.ndarray:
    """An array with as many axes, new ones of length 1; a last one of length 1 may go."""
    if array.ndim > rank and array.shape[-1] == 1:
        array = array[..., 0]
    return array.reshape(*array.shape, *[1] * (rank - array.ndim))


def _terms(model: keras.Model, outputs: Any, y: Any, weight: Any) -> list[_Term] | None:
    """What every output adds to the loss, in the order of the outputs; `None` where that can't be
    told from names and places.
    """
    names = _names(model, outputs)
    settings = model._compile_config.config
    given = (settings["loss"], settings.get("loss_weights"), y, weight)
    if names is None or any(_is_deep(each) for each in given):
        return None
    found = []
    for name in names:
        loss, factor, true, own = (_of(each, name, names) for each in given)
        if loss is not None and true is None:
            return None
        loss = keras.losses.get(loss) if isinstance(loss, str) else loss
        found.append(_Term(loss, 1.0 if factor is None else float(factor), true, own))
    return found


def _names(model: keras.Model, outputs: Any) -> list[Any] | None:
    """The outputs' names or places, in the order in which Keras flattens them."""
    if isinstance(outputs, dict):
        return None if _is_deep(outputs) else keras.tree.flatten({name: name for name in outputs})
    if not isinstance(outputs, (list, tuple)):
        return [0]
    named = list(getattr(model, "output_names", None) or range(len(outputs)))
    return None if _is_deep(outputs) or len(named) != len(outputs) else named


def _is_deep(values: Any) -> bool:
    if isinstance(values, dict):
        values = values.values()
    is_several = not isinstance(values, (str, np.ndarray)) and isinstance(values, Collection)
    return is_several and any(isinstance(each, (dict, list, tuple)) for each in values)


def _of(given: Any, name: Any, names: list[Any]) -> Any:
    """What is given for one output: by its name, by its place, or the same for all."""
    if isinstance(given, dict):
        return given.get(name)
    if isinstance(given, (list, tuple)):
        place = names.index(name)
        return given[place] if place < len(given) else None
    return given

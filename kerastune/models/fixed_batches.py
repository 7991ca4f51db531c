"""Models that take batches of one size only, and layers that keep their state between batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.models.step_wrapper import StepWrapper


def size_of(model: keras.Model) -> int | None:
    """The batch size that a model's inputs have; `None` for any.

    A Sequential that was only called with a single example, and has no layer with a state, takes
    any.

    Example:
        >>> size_of(keras.Sequential([keras.Input(batch_shape=(16, 4)), keras.layers.Dense(2)]))
        16
        >>> size_of(keras.Sequential([keras.Input([4]), keras.layers.Dense(2)])) is None
        True
    """
    tensors = getattr(model, "inputs", None) or []
    size = next((tensor.shape[0] for tensor in tensors if tensor.shape[0]), None)
    called = size == 1 and isinstance(model, keras.Sequential) and not stateful_layers(model)
    return None if called else size


def stateful_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that go on with their state from one batch to the next.

    Example:
        >>> stateful_layers(keras.Sequential([keras.Input([4]), keras.layers.Dense(2)]))
        []
    """
    layers = model._flatten_layers()
    return [
        each for each in layers if getattr(each, "stateful", False) and hasattr(each, "reset_state")
    ]


def reset_states(model: keras.Model) -> None:
    """Sets the states of all `stateful_layers` to zero."""
    for layer in stateful_layers(model):
        layer.reset_state()


def states_of(model: keras.Model) -> list[keras.Variable]:
    """The states of all `stateful_layers`, each once, in the order of the layers.

    Example:
        >>> lstm = keras.layers.LSTM(3, stateful=True)
        >>> both = keras.layers.Bidirectional(lstm)
        >>> model = keras.Sequential([keras.Input(batch_shape=(4, 2, 1)), both])
        >>> [tuple(state.shape) for state in states_of(model)]
        [(4, 3), (4, 3), (4, 3), (4, 3)]
    """
    layers = stateful_layers(model)
    found = keras.tree.flatten([getattr(layer, "states", None) or [] for layer in layers])
    return list({id(state): state for state in found}.values())


def few(x: Any, count: int, model: keras.Model) -> Any:
    """The first examples of inputs, as many as a model takes.

    Args:
        x: inputs `[n, ...]`, or a structure of them.
        count: how many, if the model takes any number.
        model: whose batch size it is otherwise; fewer examples are repeated then.

    Example:
        >>> model = keras.Sequential([keras.Input(batch_shape=(3, 1)), keras.layers.Dense(2)])
        >>> few(np.arange(2), 8, model).tolist()
        [0, 1, 0]
    """
    size = size_of(model)
    rows = slice(count) if size is None else np.arange(size) % len(keras.tree.flatten(x)[0])
    return keras.tree.map_structure(lambda array: array[rows], x)


def called(model: keras.Model, x: Any) -> Any:
    """Outputs of a model for a few inputs `[n, ...]`, at its own batch size.

    Args:
        model: built.
        x: at most as many as the model takes in one batch.
    """
    size, count = size_of(model), len(keras.tree.flatten(x)[0])
    if size in (None, count):
        return model(x, training=False)
    outputs = model(few(x, count, model), training=False)
    return keras.tree.map_structure(lambda tensor: tensor[:count], outputs)


def check_stateful(model: keras.Model) -> None:
    """Refuses a stateful model, as its builder gave it, whose batch size is not known.

    Raises:
        ValueError: in one line, with the remedy.
    """
    stateful = stateful_layers(model)
    if stateful and size_of(model) is None:
        raise ValueError(
            f"layer `{stateful[0].name}` is stateful, and its batch size is not known: begin the "
            "model with keras.Input(batch_shape=(batch_size, ...))."
        )


def check(model: keras.Model, batch_size: int | None) -> None:
    """Refuses a model whose batch size is another one than that of the trainings.

    Args:
        model: built.
        batch_size: of the trainings; `None` for any.

    Raises:
        ValueError: in one line, with the remedy.
    """
    size = size_of(model)
    if size not in (None, batch_size):
        raise ValueError(
            f"model `{model.name}` takes batches of {size} only, but its first one was of "
            f"{batch_size or 'any size'}: give the inputs the same batch size for all "
            "hyperparameters."
        )


class KeptStates(keras.callbacks.Callback):
    """Evaluates from states of zero, and goes on training with those of before."""

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._before = [state.numpy() for state in states_of(self.model)]
        reset_states(self.model)

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        for state, value in zip(states_of(self.model), self._before, strict=True):
            state.assign(value)


class ResetStates(StepWrapper):
    """Sets states to zero where an epoch begins, inside the train function.

    Args:
        model: compiled and built.
        every: steps of an epoch, at least 1.
    """

    def __init__(self, model: keras.Model, every: int):
        super().__init__(model)
        self.every = tf.Variable(every, dtype=tf.int64, trainable=False)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)

    def begin(self, step: int, every: int) -> None:
        """Tells at which step a training begins, and how many an epoch has."""
        self._step.assign(step)
        self.every.assign(max(every, 1))

    def step(self, data: Any) -> Any:
        """The wrapped `train_step`."""
        begins = tf.equal(self._step % self.every, 0)
        self._step.assign_add(1)
        for state in states_of(self.model):
            value = tf.convert_to_tensor(state.value)
            state.assign(tf.where(begins, tf.zeros_like(value), value))
        return self.inner(data)

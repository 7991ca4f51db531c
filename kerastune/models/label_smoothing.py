"""Label smoothing in training only.

Validation and the saved model keep the loss the model was compiled with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerastune.models.step_wrapper import StepWrapper

CROSSENTROPIES = {
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy: keras.losses.SparseCategoricalCrossentropy,
}


class SmoothedCrossentropy(keras.losses.Loss):
    """One of Keras's cross-entropies, smoothed while a training step is traced.

    `(1 - strength) * loss of the targets + strength * loss of a target that gives every class the
    same`: what Keras's own `label_smoothing` is, but for integer targets too, and with the strength
    in a variable.

    Args:
        loss: as `model.compile` takes it.

    Raises:
        ValueError: for a loss that `why_not` has a word against.

    Example:
        >>> loss, y, outputs = (
        ...     SmoothedCrossentropy("binary_crossentropy"),
        ...     tf.ones([1, 1]),
        ...     tf.constant([[0.9]]),
        ... )
        >>> _ = loss.strength.assign(0.5)
        >>> round(float(loss(y, outputs)), 3)
        0.105
        >>> with loss.in_training():
        ...     round(float(loss(y, outputs)), 3)
        0.655
    """

    def __init__(self, loss: Any):
        if reason := why_not(loss):
            raise ValueError(f"`label_smoothing` is not possible: {reason}; set it to 0.")
        self.plain = _as_object(loss)
        super().__init__(
            name=self.plain.name, reduction=self.plain.reduction, dtype=self.plain.dtype
        )
        self.from_logits = self.plain.from_logits
        self.strength = tf.Variable(0.0, trainable=False, name="label_smoothing")
        self._is_training = False

    @contextlib.contextmanager
    def in_training(self) -> Iterator[None]:
        """Smooths what is traced meanwhile."""
        self._is_training = True
        try:
            yield
        finally:
            self._is_training = False

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        plain = self.plain.call(y_true, y_pred)
        if not self._is_training:
            return plain
        strength = tf.cast(self.strength, plain.dtype)
        return (1 - strength) * plain + strength * self._of_all_classes(y_pred)

    def _of_all_classes(self, y_pred):
        if isinstance(self.plain, keras.losses.BinaryCrossentropy):
            return self.plain.call(tf.fill(tf.shape(y_pred), tf.cast(0.5, y_pred.dtype)), y_pred)
        alike = tf.fill(tf.shape(y_pred), tf.cast(1 / y_pred.shape[-1], y_pred.dtype))
        return keras.losses.categorical_crossentropy(alike, y_pred, from_logits=self.from_logits)


class LabelSmoothing(StepWrapper):
    """Smooths the loss of a model, in its training steps only.

    The model was compiled with a `SmoothedCrossentropy`.
    """

    def step(self, data: Any) -> Any:
        # The code of a `train_step` under `tf.function` is traced here, not in a graph of its own.
        inner = getattr(self.inner, "python_function", self.inner)
        with self.model.loss.in_training():
            return inner(data)


def why_not(loss: Any) -> str:
    """Why a loss can't be smoothed, in words; empty if it can.

    Example:
        >>> why_not("sparse_categorical_crossentropy"), why_not("mse")
        ('', "the loss mean_squared_error is not a cross-entropy of Keras's")
    """
    known = _as_object(loss)
    if known is None:
        named = keras.losses.get(loss) if isinstance(loss, str) else loss
        name = (
            getattr(named, "name", None) or getattr(named, "__name__", None) or type(named).__name__
        )
        return f"the loss {name} is not a cross-entropy of Keras's"
    if getattr(known, "label_smoothing", 0):
        return f"the loss {known.name} smooths labels already"
    if getattr(known, "ignore_class", None) is not None:
        return f"the loss {known.name} ignores a class"
    if known._fn_kwargs.get("axis", -1) != -1:
        return f"the classes of the loss {known.name} are not on the last axis"
    return ""


def _as_object(loss) -> keras.losses.Loss | None:
    """One of Keras's cross-entropies as an object; `None` for any other loss."""
    loss = keras.losses.get(loss) if isinstance(loss, str) else loss
    for function, kind in CROSSENTROPIES.items():
        if loss is function:
            return kind()
        if type(loss) is kind:
            return loss
    return None

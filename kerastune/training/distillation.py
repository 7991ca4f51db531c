"""Distillation: a trained model teaches a smaller one how sure to be of every class (S4.4).

Keras's own `Distiller` takes all outputs for logits, so that what ends in a softmax goes through a
second one; it leaves out sample weights, and the student's regularizers. Here the student stays the
model that it is, and only the loss of its training steps is another.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.models import output_kind
from kerastune.models.step_wrapper import StepWrapper, replaced

# Probability of which a logarithm is taken: a gradient comes back from it.
LEAST = float(np.finfo(np.float32).tiny)
LEAST_OTHER = 1e-7  # the same of what is left to one: float32 has nothing between


def log_probabilities(outputs: Any, are_logits: bool) -> tf.Tensor:
    """What a temperature divides: logits, or logarithms of probabilities; float32.

    Args:
        outputs: `[n, classes]`, or `[n, 1]` of class 1.
        are_logits: whether they are logits, and not probabilities.

    Example:
        >>> probabilities = tf.constant([[0.2, 0.8]])
        >>> tf.nn.softmax(log_probabilities(probabilities, are_logits=False)).numpy().round(
        ...     3
        ... ).tolist()
        [[0.20000000298023224, 0.800000011920929]]
    """
    outputs = tf.cast(tf.convert_to_tensor(outputs), tf.float32)
    if are_logits:
        return outputs
    logarithms = tf.math.log(tf.clip_by_value(outputs, LEAST, 1.0))
    if outputs.shape[-1] > 1:
        return logarithms
    return logarithms - tf.math.log(tf.clip_by_value(1.0 - outputs, LEAST_OTHER, 1.0))


def soft_loss(teacher: tf.Tensor, student: tf.Tensor, temperature: float) -> tf.Tensor:
    """Cross-entropy of softened probabilities, times the temperature squared, `[n]`.

    `T^2 * -sum(softmax(teacher / T) * log softmax(student / T))` (Hinton, Vinyals and Dean 2015,
    "Distilling the Knowledge in a Neural Network", arXiv:1503.02531). The square keeps gradients as
    large as those of hard targets at any temperature. A single output counts as two classes.

    Args:
        teacher: as `log_probabilities` gives them, `[n, classes]`; no gradient flows into them.
        student: the same of the student.
        temperature: `> 0`; above 1, what the teacher takes for improbable counts more.

    Example:
        >>> alike = tf.constant([[1.0, 3.0]])
        >>> round(
        ...     float(soft_loss(alike, alike, 1.0)[0]), 4
        ... )  # the teacher's entropy: no student comes below it
        0.3653
    """
    teacher, student = tf.stop_gradient(teacher) / temperature, student / temperature
    if teacher.shape[-1] == 1:
        each = tf.nn.sigmoid_cross_entropy_with_logits(tf.sigmoid(teacher), student)[:, 0]
    else:
        each = tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher), student)
    return temperature**2 * each


def check(temperature: float, mix: float) -> None:
    """Raises `ValueError` for a temperature that is not above 0, or a mix outside [0, 1]."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` must be a finite number > 0, got {temperature}.")
    if not 0 <= mix <= 1:
        raise ValueError(
            f"`mix` must be in [0, 1], the fraction of the teacher in the loss, got {mix}."
        )


class Teaching(StepWrapper):
    """Adds a teacher to the loss of a student's training steps.

    Evaluation, metrics and the model itself stay.

    The loss becomes `(1 - mix) * own loss + mix * soft loss + regularizers`. The own loss is the
    compiled one, with sample weights; they weigh the soft loss too. Regularizers, and whatever else
    `student.losses` holds, count whole.

    Args:
        student: a compiled and built classifier.
        teacher: a built classifier of the same inputs and classes; it is asked as in `predict`, in
            the same graph, so it sees what augmentation has made of an example.
        temperature: `> 0`.
        mix: share of the teacher in the loss, in `[0, 1]`.
        sample: a few inputs `[batch, ...]`; needed where a model's end and loss do not tell whether
            it gives logits.

    Raises:
        ValueError: for a number out of range, models of different classes, or one that does not
            tell what it gives.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        temperature: float,
        mix: float,
        sample: Any = None,
    ):
        check(temperature, mix)
        super().__init__(student)
        self.teacher = teacher
        self._temperature = tf.Variable(temperature, trainable=False, dtype=tf.float32)
        self._mix = tf.Variable(mix, trainable=False, dtype=tf.float32)
        # Models that do not tell what they give are refused here.
        known = [output_kind.of(each, sample, "classification") for each in (teacher, student)]
        self._logits = [each.are_logits for each in known]
        self._is_asked = False

    def set(self, temperature: float, mix: float) -> None:
        """Other numbers from the next step on; nothing is traced anew."""
        check(temperature, mix)
        self._temperature.assign(temperature)
        self._mix.assign(mix)

    def step(self, data: Any) -> Any:
        # The code of a `train_step` under `tf.function` is traced here, not in a graph of its own.
        inner = getattr(self.inner, "python_function", self.inner)
        self._is_asked = False
        with replaced(self.model, "compute_loss", self._taught):
            logs = inner(data)
        if not self._is_asked:
            raise ValueError(
                f"the `train_step` of `{self.model.name}` does not call `compute_loss`, which "
                "distillation needs."
            )
        return logs

    def _taught(
        self, compute_loss, x=None, y=None, y_pred=None, sample_weight=None, *others, **named
    ):
        self._is_asked = True
        total = compute_loss(x, y, y_pred, sample_weight, *others, **named)
        regularizers = tf.add_n(
            [tf.cast(tf.reduce_sum(loss), total.dtype) for loss in self.model.losses] or [0.0]
        )
        said = self.teacher(x, training=False)
        _check_alike(said, y_pred)
        teacher, student = (
            log_probabilities(*pair) for pair in zip((said, y_pred), self._logits, strict=True)
        )
        each = soft_loss(teacher, student, tf.convert_to_tensor(self._temperature))
        if sample_weight is not None:
            each *= tf.reshape(tf.cast(sample_weight, each.dtype), tf.shape(each))
        soft = tf.cast(tf.reduce_mean(each), total.dtype)
        mix = tf.cast(self._mix, total.dtype)
        return (1 - mix) * (total - regularizers) + mix * soft + regularizers


def _check_alike(teacher: Any, student: Any) -> None:
    shapes = [getattr(each, "shape", None) for each in (teacher, student)]
    if None in shapes or len(shapes[0]) != 2 or shapes[0][-1] != shapes[1][-1]:
        raise ValueError(
            "outputs of teacher and student must both be [n, classes] with the same classes, got "
            f"{shapes[0]} and {shapes[1]}."
        )

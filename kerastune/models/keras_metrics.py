"""Keras's metrics that an objective names, with targets and outputs as they expect."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kerastune.problem import OTHER, Problem

OURS = ("f1", "macro_f1")
# Names that Keras, or a figure of merit here, has besides that of the class.
SHORT = {
    "acc": "categorical_accuracy",
    "accuracy": "categorical_accuracy",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mse": "mean_squared_error",
    "msle": "mean_squared_logarithmic_error",
    "r2": "r2_score",
    "rmse": "root_mean_squared_error",
}
OF_NUMBERS = (
    keras.metrics.CosineSimilarity,
    keras.metrics.LogCoshError,
    keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanAbsolutePercentageError,
    keras.metrics.MeanSquaredError,
    keras.metrics.MeanSquaredLogarithmicError,
    keras.metrics.Poisson,
    keras.metrics.R2Score,
    keras.metrics.RootMeanSquaredError,
)
# Of two classes these are about the second one.
OF_ONE_CLASS = (
    keras.metrics.AUC,
    keras.metrics.FalseNegatives,
    keras.metrics.FalsePositives,
    keras.metrics.Precision,
    keras.metrics.Recall,
    keras.metrics.TrueNegatives,
    keras.metrics.TruePositives,
)


@keras.saving.register_keras_serializable(package="kerastune")
class MacroF1(keras.metrics.Metric):
    """Macro-F1 from a running confusion matrix; targets may be integers or one-hot (P1).

    Args:
        num_classes: number of classes, `>= 2`.
        threshold: output of a single-output model above which class 1 is predicted.
        name: name in the logs.

    Example:
        >>> metric = MacroF1(2)
        >>> metric.update_state(
        ...     keras.ops.array([0, 0, 1]), keras.ops.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
        ... )
        >>> round(float(metric.result()), 4)
        0.6667
    """

    def __init__(
        self, num_classes: int, threshold: float = 0.5, name: str = "macro_f1", **kwargs: Any
    ):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.threshold = threshold
        self.confusion = self.add_weight(
            shape=(num_classes, num_classes), initializer="zeros", name="confusion"
        )

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        predicted = predicted_classes(y_pred, self.threshold)
        pairs = true_classes(y_true) * self.num_classes + predicted
        counts = keras.ops.bincount(pairs, minlength=self.num_classes**2)
        self.confusion.assign_add(
            keras.ops.cast(keras.ops.reshape(counts, self.confusion.shape), self.dtype)
        )

    def result(self) -> tf.Tensor:
        counts = keras.ops.sum(self.confusion, axis=0) + keras.ops.sum(self.confusion, axis=1)
        f1 = 2 * keras.ops.diagonal(self.confusion) / keras.ops.maximum(counts, 1)
        present = keras.ops.cast(counts > 0, self.dtype)
        return keras.ops.sum(f1 * present) / keras.ops.maximum(keras.ops.sum(present), 1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "threshold": self.threshold,
        }


class Measure(keras.metrics.Metric):
    """A Keras metric that gets other forms of targets and outputs.

    Values per class are averaged.

    Args:
        metric: what measures.
        prepare: of targets and outputs makes those that the metric expects.
        name: name in the logs.

    Example:
        >>> metric = Measure(
        ...     keras.metrics.F1Score(), lambda y, p: (keras.ops.one_hot(y, 2), p), "f1_score"
        ... )
        >>> metric.update_state(
        ...     keras.ops.array([0, 0, 1]), keras.ops.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
        ... )
        >>> round(float(metric.result()), 4)
        0.6667
    """

    def __init__(self, metric: keras.metrics.Metric, prepare: Callable, name: str):
        super().__init__(name=name)
        self.metric = metric
        self.prepare = prepare

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        self.metric.update_state(*self.prepare(y_true, y_pred), sample_weight=sample_weight)

    def result(self) -> tf.Tensor:
        return keras.ops.mean(self.metric.result())

    def reset_state(self) -> None:
        self.metric.reset_state()


def known(kind: str) -> list[str]:
    """Names of the metrics that `make` has for a `"classification"` or a `"regression"`.

    Example:
        >>> "auc" in known("classification"), "auc" in known("regression")
        (True, False)
    """
    classes = {
        name: _keras_classes()[SHORT.get(name, name)] for name in (*_keras_classes(), *SHORT)
    }
    if kind == OTHER:
        return []
    if kind == "regression":
        return [name for name, each in classes.items() if each in OF_NUMBERS]
    return [*OURS, *classes]


def make(name: str, problem: Problem, form: Callable) -> keras.metrics.Metric | None:
    """A metric for the validation value of this name.

    `f1` and `macro_f1` are `MacroF1`. What Keras has goes by Keras's own definition, and integer or
    one-hot targets, logits or probabilities are the same to it. Of two classes, precision, recall,
    AUC and the counts are about class 1, whether the model has one output or two; of more they
    count every class of every example as a question of its own (a micro-average). Values per class
    are averaged. Numbers of a regression are in the user's units.

    Args:
        name: as Keras names it, `"auc"`, `"top_k_categorical_accuracy"`, `"mae"` …
        problem: what is learnt.
        form: makes probabilities of the model's outputs `[n, outputs]`, as `evaluate.averaged_form`
            gives it.

    Returns:
        The metric, called `name` in the logs; `None` where there is none of this name for such a
        problem.

    Example:
        >>> make("acu", problem, keras.activations.linear) is None  # doctest: +SKIP
        True
    """
    if name not in known(problem.kind):
        return None
    if name in OURS:
        return MacroF1(
            problem.num_classes,
            name=name,
            threshold=0.5 if form is keras.activations.linear else 0.0,
        )
    metric = _keras_classes()[SHORT.get(name, name)]()
    if problem.kind == "regression":
        # R2 is the same in any unit, and Keras's loses its digits where the mean is large.
        units = (
            (0.0, 1.0)
            if isinstance(metric, keras.metrics.R2Score)
            else (problem.target_mean, problem.target_scale)
        )
        return Measure(metric, functools.partial(_in_units, *units), name)
    return Measure(metric, functools.partial(_as_classes, metric, form), name)


def _as_classes(metric: keras.metrics.Metric, form: Callable, y, outputs):
    """Targets and probabilities `[n, classes]`, or what else the metric takes."""
    classes = true_classes(y)
    # A new tensor: Keras hangs its logits to a softmax's output, and binary cross-entropy takes
    # them for a sigmoid's.
    probabilities = keras.ops.stop_gradient(form(keras.ops.cast(outputs, "float32")))
    if probabilities.shape[-1] == 1:
        probabilities = keras.ops.concatenate([1 - probabilities, probabilities], axis=-1)
    if "Sparse" in type(metric).__name__:
        return classes, probabilities
    if probabilities.shape[-1] == 2 and isinstance(metric, OF_ONE_CLASS):
        return classes[:, None], probabilities[:, 1:]
    return keras.ops.one_hot(classes, probabilities.shape[-1]), probabilities


def _in_units(mean, scale, y, outputs):
    outputs = keras.ops.cast(outputs, "float32")
    y = keras.ops.reshape(keras.ops.cast(y, "float32"), keras.ops.shape(outputs))
    mean, scale = (keras.ops.convert_to_tensor(each, "float32") for each in (mean, scale))
    return y * scale + mean, outputs * scale + mean


@functools.cache
def _keras_classes() -> dict[str, type]:
    """Keras's metrics that need no settings, by the names that `keras.metrics.get` takes."""
    classes = [each for each in vars(keras.metrics).values() if inspect.isclass(each)]
    return {
        _snake(each.__name__): each
        for each in classes
        if each is not keras.metrics.Accuracy and _is_usable(each)
    }


def _is_usable(metric: type) -> bool:
    needed = [p for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
    return not needed and {"y_true", "y_pred"} <= set(
        inspect.signature(metric.update_state).parameters
    )


def _snake(name: str) -> str:
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def true_classes(y: tf.Tensor) -> tf.Tensor:
    """Integer classes `[n]` of targets.

    Integers (of any dtype) `[n]` or `[n, 1]`, or one-hot `[n, classes]`.
    """
    return _largest(
        y,
        lambda values: tf.cast(tf.round(values) if values.dtype.is_floating else values, tf.int32),
    )


def predicted_classes(outputs: tf.Tensor, threshold: float = 0.5) -> tf.Tensor:
    """Integer classes `[n]` of predictions `[n, classes]`.

    Or of one output `[n, 1]`: 1 above `threshold`.
    """
    return _largest(outputs, lambda values: tf.cast(values > threshold, tf.int32))


def _largest(values, of_single):
    values = tf.convert_to_tensor(values)
    if values.shape.rank > 1 and values.shape[-1] != 1:
        return tf.argmax(values, axis=-1, output_type=tf.int32)
    return of_single(tf.reshape(values, [-1]))

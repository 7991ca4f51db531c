"""True values of every training step, collected inside Keras's own train function (P1, S1.7).

Keras's `logs["loss"]` is a running mean since the epoch began. A `StepRecorder` wraps `train_step` on the model
instance: it sets the running means aside, lets the step run from zero, reads the step's own values, and puts
the means back. The numbers go into variables inside the graph and are read once per chunk of steps, so that many
steps per execution stay one call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools

import keras
import numpy as np
import tensorflow as tf

from kerastune.wrapping import StepWrapper


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What a recorder collected since it was last read.

    Args:
        values: true values of every step, name to float32 array `[steps]`.
        ratio_steps: positions within the chunk at which norms were measured, integers `[k]`.
        update_norms: L2 norms of each layer's update, `[k, layers]`.
        weight_norms: L2 norms of each layer's weights before the update, `[k, layers]`.
        confusion: counts `[classes, classes]` (rows are true classes), or `None`.
    """

    values: dict[str, np.ndarray]
    ratio_steps: np.ndarray
    update_norms: np.ndarray
    weight_norms: np.ndarray
    confusion: np.ndarray | None

    def __len__(self) -> int:
        return len(next(iter(self.values.values()), ()))


class StepRecorder(StepWrapper):
    """Records true step values of one model from inside its train function.

    Args:
        model: a compiled and built Keras model.
        capacity: number of steps that fit between two calls of `read`, `>= model.steps_per_execution`.
        ratio_every: steps between two measurements of update and weight norms; 0 for none.
        num_classes: classes of the confusion matrix; 0 for none.
        threshold: output of a single-output model above which class 1 is predicted.

    Raises:
        ValueError: when the capacity is smaller than the model's `steps_per_execution`.
    """

    def __init__(self, model, capacity: int, ratio_every: int = 0, num_classes: int = 0, threshold=0.5):
        if capacity < model.steps_per_execution:
            raise ValueError(f"`capacity` ({capacity}) must be >= steps_per_execution ({model.steps_per_execution}).")
        super().__init__(model)
        self.means: dict[str, keras.metrics.Mean] = {}
        self.layers: dict[str, list] = {}
        self.ratio_every = ratio_every
        self._capacity = capacity
        self._rows = self._norms = None
        self._position = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._seen = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._num_norms = tf.Variable(0, dtype=tf.int32, trainable=False)
        self.threshold = threshold
        self._confusion = _variable([num_classes, num_classes]) if num_classes else None

    def reset(self, step: int = 0) -> None:
        """Forgets what was collected; `step` is the number of the next step, which places the measured norms."""
        self._position.assign(0)
        self._num_norms.assign(0)
        self._seen.assign(step)
        if self._confusion is not None:
            self._confusion.assign(tf.zeros_like(self._confusion))

    def read(self) -> Chunk:
        """Gives what was collected since the last call, and forgets it (the confusion matrix too)."""
        position, seen, num_norms = (int(v.numpy()) for v in (self._position, self._seen, self._num_norms))
        rows = self._rows.numpy()[:position] if position else np.zeros([0, len(self.means)], np.float32)
        norms = self._norms.numpy()[:num_norms] if position else np.zeros([0, 2 * len(self.layers)], np.float32)
        confusion = None if self._confusion is None else self._confusion.numpy()
        steps = np.arange(seen - position, seen)
        self.reset(seen)
        return Chunk(
            values={name: rows[:, column] for column, name in enumerate(self.means)},
            ratio_steps=np.flatnonzero(steps % self.ratio_every == 0) if self.ratio_every else np.zeros(0, int),
            update_norms=norms[:, : len(self.layers)],
            weight_norms=norms[:, len(self.layers) :],
            confusion=confusion,
        )

    def step(self, data):
        """The wrapped `train_step`: runs the inner one and records it. Called while Keras traces."""
        if self._rows is None:
            with tf.init_scope():
                self._prepare(data)
        before = self._kernels_if_due()
        saved = {name: (_read(metric.total), _read(metric.count)) for name, metric in self.means.items()}
        for metric in self.means.values():
            metric.total.assign(0.0)
            metric.count.assign(0.0)
        with self._capture_predictions():
            logs = self.inner(data)
        values, logs = self._restore(saved, logs)
        # Where nobody reads (a recorder left over after an exception), the last row is written again and again.
        row = tf.minimum(self._position, self._rows.shape[0] - 1)
        self._rows.scatter_nd_update([[row]], [tf.stack(values)])
        self._measure_if_due(before)
        self._position.assign_add(1)
        self._seen.assign_add(1)
        return logs

    def _prepare(self, data) -> None:
        """Makes the variables: their shapes depend on metrics and weights that Keras makes at the first batch."""
        self.model._symbolic_build(data_batch=data)
        self.means = mean_metrics(self.model)
        self.layers = kernels_by_layer(self.model) if self.ratio_every else {}
        num_norms = self._capacity // self.ratio_every + 1 if self.ratio_every else 0
        self._rows = _variable([self._capacity, len(self.means)])
        self._norms = _variable([num_norms, 2 * len(self.layers)])

    def _restore(self, saved, logs):
        """The step's own values, and the logs as Keras would have given them."""
        values, logs = [], dict(logs)
        for name, metric in self.means.items():
            total, count = _read(metric.total), _read(metric.count)
            value = tf.math.divide_no_nan(total, count)
            metric.total.assign(saved[name][0] + total)
            metric.count.assign(saved[name][1] + count)
            if name in logs:
                given = tf.cast(tf.convert_to_tensor(logs[name]), tf.float32)
                # A train_step of the user's may report a value of its own and never touch the metric.
                value = tf.where(count > 0, value, given)
                logs[name] = tf.where(count > 0, tf.convert_to_tensor(metric.result()), given)
            values.append(value)
        return values, logs

    def _due(self):
        return tf.equal(self._seen % self.ratio_every, 0)

    def _kernels_if_due(self):
        if not self.layers:
            return None
        kernels = [kernel for group in self.layers.values() for kernel in group]
        # XLA wants equal shapes from both branches; elsewhere an empty tensor saves the copy.
        empty = tf.zeros_like if self.model.jit_compile else lambda kernel: tf.zeros([0], kernel.dtype)
        return tf.cond(
            self._due(),
            lambda: [tf.convert_to_tensor(kernel.value) for kernel in kernels],
            lambda: [empty(kernel.value) for kernel in kernels],
        )

    def _measure_if_due(self, before) -> None:
        if not self.layers:
            return

        def measure():
            old = iter(before)
            pairs = [[(next(old), tf.convert_to_tensor(k.value)) for k in group] for group in self.layers.values()]
            updates = [tf.linalg.global_norm([_float32(new - old) for old, new in group]) for group in pairs]
            weights = [tf.linalg.global_norm([_float32(old) for old, _ in group]) for group in pairs]
            row = tf.minimum(self._num_norms, self._norms.shape[0] - 1)
            self._norms.scatter_nd_update([[row]], [tf.stack(updates + weights)])
            self._num_norms.assign_add(1)
            return True

        tf.cond(self._due(), measure, lambda: False)

    def _capture_predictions(self):
        if self._confusion is None:
            return contextlib.nullcontext()
        return _replaced(self.model, "compute_metrics", self._count_confusion)

    def _count_confusion(self, compute_metrics, x, y, y_pred, *args, **kwargs):
        pairs = tf.stack([classes(y), classes(y_pred, self.threshold)], axis=1)
        self._confusion.scatter_nd_add(pairs, tf.ones(tf.shape(pairs)[0]))
        return compute_metrics(x, y, y_pred, *args, **kwargs)


def mean_metrics(model) -> dict[str, keras.metrics.Mean]:
    """The metrics of a compiled model that are means, by their name in Keras's logs; the loss first."""
    found = {}
    for metric in model.metrics:
        for name, part in _named_parts(model, metric):
            if isinstance(part, keras.metrics.Mean):
                found[name] = part
    return {"loss": found.pop("loss", model._loss_tracker), **found}


def _named_parts(model, metric):
    """A metric, or the parts of the container in which `compile` keeps the user's metrics, with their log names."""
    if metric is not model._compile_metrics:
        return [(metric.name, metric)]
    groups = [group for group in metric._flat_metrics + metric._flat_weighted_metrics if group]
    return [
        (f"{group.output_name}_{part.name}" if group.output_name else part.name, part)
        for group in groups
        for part in group.metrics
    ]


def kernels_by_layer(model) -> dict[str, list]:
    """Trainable variables of rank 2 and more, by the path of their layer (S1.7: rank <= 1 is left out)."""
    layers: dict[str, list] = {}
    for variable in model.trainable_variables:
        if len(variable.shape) >= 2:
            layers.setdefault(variable.path.rsplit("/", 1)[0], []).append(variable)
    return layers


def classes(values, threshold: float = 0.5):
    """Integer classes `[n]` of integer or one-hot targets, or of predictions `[n, classes]` or `[n, 1]`."""
    values = tf.convert_to_tensor(values)
    if values.shape.rank > 1 and values.shape[-1] != 1:
        return tf.argmax(values, axis=-1, output_type=tf.int32)
    flat = tf.reshape(values, [-1])
    return tf.cast(flat > threshold, tf.int32) if flat.dtype.is_floating else tf.cast(flat, tf.int32)


def _variable(shape):
    return tf.Variable(tf.zeros(shape), trainable=False)


def _read(variable):
    return tf.cast(tf.convert_to_tensor(variable.value), tf.float32)


def _float32(tensor):
    return tf.cast(tensor, tf.float32)


@contextlib.contextmanager
def _replaced(instance, name, replacement):
    """Replaces a method of an instance by `replacement(original, ...)` for the length of a `with` block."""
    was_patched = name in vars(instance)
    original = getattr(instance, name)
    setattr(instance, name, functools.partial(replacement, original))
    try:
        yield
    finally:
        delattr(instance, name)
        if was_patched:
            setattr(instance, name, original)

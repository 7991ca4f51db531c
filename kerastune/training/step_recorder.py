"""True values of every training step, collected inside Keras's own train function (P1, S1.7).

Keras's `logs["loss"]` is a running mean since the epoch began. A `StepRecorder` wraps `train_step`
on the model instance: it sets the running means aside, lets the step run from zero, reads the
step's own values, and puts the means back. Whoever asks for a result meanwhile is given the running
one, so the logs stay what they were. The numbers go into variables inside the graph and are read
once per chunk of steps, so that many steps per execution stay one call.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerastune.models import keras_metrics, layer_groups
from kerastune.models.step_wrapper import StepWrapper, replaced


@dataclasses.dataclass(frozen=True)
class Chunk:
    """What a recorder collected since it was last read.

    Args:
        num_steps: number of steps.
        values: true values of every step, name to float32 array `[steps]`.
        ratio_steps: positions within the chunk at which norms were measured, integers `[k]`.
        update_norms: L2 norms of each layer's update, `[k, layers]`.
        weight_norms: L2 norms of each layer's weights before the update, `[k, layers]`.
        confusion: counts `[classes, classes]` (rows are true classes), or `None`.
    """

    num_steps: int
    values: dict[str, np.ndarray]
    ratio_steps: np.ndarray
    update_norms: np.ndarray
    weight_norms: np.ndarray
    confusion: np.ndarray | None

    def __len__(self) -> int:
        return self.num_steps


class StepRecorder(StepWrapper):
    """Records true step values of one model from inside its train function.

    Args:
        model: a compiled and built Keras model.
        capacity: number of steps that fit between two calls of `read`, `>=
            model.steps_per_execution`.
        ratio_every: steps between two measurements of update and weight norms; 0 for none.
        num_classes: classes of the confusion matrix; 0 for none.
        threshold: output of a single-output model above which class 1 is predicted.

    Raises:
        ValueError: when the capacity is smaller than the model's `steps_per_execution`.
    """

    def __init__(
        self,
        model: keras.Model,
        capacity: int,
        ratio_every: int = 0,
        num_classes: int = 0,
        threshold: float = 0.5,
    ):
        if capacity < model.steps_per_execution:
            raise ValueError(
                f"`capacity` ({capacity}) must be >= steps_per_execution "
                f"({model.steps_per_execution})."
            )
        super().__init__(model)
        self.names: tuple[str, ...] = ()
        self.layers: dict[str, list] = {}
        self._means: list[keras.metrics.Mean] = []
        self.ratio_every = ratio_every
        self._capacity = capacity
        self._rows = self._norms = None
        self._position = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._seen = tf.Variable(0, dtype=tf.int32, trainable=False)
        self._num_norms = tf.Variable(0, dtype=tf.int32, trainable=False)
        self.threshold = threshold
        self._confusion = _variable([num_classes, num_classes]) if num_classes else None

    def reset(self, step: int = 0) -> None:
        """Forgets what was collected.

        `step` is the number of the next step, which places the measured norms.
        """
        self._position.assign(0)
        self._num_norms.assign(0)
        self._seen.assign(step)
        if self._confusion is not None:
            self._confusion.assign(tf.zeros_like(self._confusion))

    def read(self) -> Chunk:
        """Gives what was collected since the last call, and forgets it."""
        position, seen, num_norms = (
            int(v.numpy()) for v in (self._position, self._seen, self._num_norms)
        )
        rows = (
            self._rows.numpy()[:position]
            if position
            else np.zeros([0, len(self.names)], np.float32)
        )
        norms = (
            self._norms.numpy()[:num_norms]
            if position
            else np.zeros([0, 2 * len(self.layers)], np.float32)
        )
        confusion = None if self._confusion is None else self._confusion.numpy()
        steps = np.arange(seen - position, seen)
        self.reset(seen)
        return Chunk(
            num_steps=position,
            values={name: rows[:, column] for column, name in enumerate(self.names)},
            ratio_steps=np.flatnonzero(steps % self.ratio_every == 0)
            if self.ratio_every
            else np.zeros(0, int),
            update_norms=norms[:, : len(self.layers)],
            weight_norms=norms[:, len(self.layers) :],
            confusion=confusion,
        )

    def step(self, data: Any) -> Any:
        """The wrapped `train_step`: runs the inner one and records it, while Keras traces."""
        if self._norms is None:
            with tf.init_scope():
                self.prepare(data)
        # The code of a `train_step` under `tf.function` is traced here, not in a graph of its own.
        inner = getattr(self.inner, "python_function", self.inner)
        before = self._kernels_if_due()
        means = [_OwnMean(metric) for metric in self._means]
        with contextlib.ExitStack() as stack:
            for mean in means:
                stack.enter_context(mean.of_this_step())
            if self._confusion is not None:
                stack.enter_context(replaced(self.model, "compute_metrics", self._count_confusion))
            logs = inner(data)
        self._measure_if_due(before)
        self._write(self._values(means, logs))
        return logs

    def prepare(self, data: Any) -> None:
        """Makes the variables, whose shapes depend on metrics that Keras makes at the first batch.

        Called before the first step it saves a trace: TensorFlow traces again what has made
        variables.

        Args:
            data: a batch, or the `TensorSpec`s of one.
        """
        # A model whose `train_step` does everything may have no `call`. What else is wrong, the
        # step itself will tell.
        with contextlib.suppress(RuntimeError, ValueError):
            self.model._symbolic_build(data_batch=data)
        self._means = mean_metrics(self.model)
        self.layers = kernels_by_layer(self.model) if self.ratio_every else {}
        num_norms = self._capacity // self.ratio_every + 1 if self.ratio_every else 0
        self._norms = _variable([num_norms, 2 * len(self.layers)])
        self._rows = _variable([self._capacity, len(self._means)])

    def _values(self, means: list[_OwnMean], logs: dict) -> dict:
        """The step's own value of every mean and loss in the logs, the loss first."""
        values = {}
        for name in sorted(logs, key=lambda name: name != "loss"):
            mean = next((mean for mean in means if mean.gave(logs[name])), None)
            if mean is not None:
                values[name] = mean.value()
            elif name.endswith("loss"):
                # A train_step of the user's that keeps no mean of it: this is the step's own.
                values[name] = _float32(tf.convert_to_tensor(logs[name]))
        return values

    def _write(self, values: dict) -> None:
        self.names = tuple(values)
        # A train_step of the user's logs something else than means.
        if self._rows.shape[1] != len(values):
            with tf.init_scope():
                self._rows = _variable([self._capacity, len(values)])
        # Where nobody reads (a recorder left over after an exception), the last row is written
        # again and again.
        row = tf.minimum(self._position, self._rows.shape[0] - 1)
        if values:
            self._rows.scatter_nd_update([[row]], [tf.stack([values[name] for name in self.names])])
        self._position.assign_add(1)
        self._seen.assign_add(1)

    def _due(self):
        return tf.equal(self._seen % self.ratio_every, 0)

    def _kernels_if_due(self):
        if not self.layers:
            return None
        kernels = [kernel for group in self.layers.values() for kernel in group]
        # XLA wants equal shapes from both branches; elsewhere an empty tensor saves the copy.
        empty = (
            tf.zeros_like if self.model.jit_compile else lambda kernel: tf.zeros([0], kernel.dtype)
        )
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
            pairs = [
                [(next(old), tf.convert_to_tensor(k.value)) for k in group]
                for group in self.layers.values()
            ]
            updates = [
                tf.linalg.global_norm([_float32(new - old) for old, new in group])
                for group in pairs
            ]
            weights = [
                tf.linalg.global_norm([_float32(old) for old, _ in group]) for group in pairs
            ]
            row = tf.minimum(self._num_norms, self._norms.shape[0] - 1)
            self._norms.scatter_nd_update([[row]], [tf.stack(updates + weights)])
            self._num_norms.assign_add(1)
            return True

        tf.cond(self._due(), measure, lambda: False)

    def _count_confusion(self, compute_metrics, x, y, y_pred, *args, **kwargs):
        pairs = tf.stack(
            [
                keras_metrics.true_classes(y),
                keras_metrics.predicted_classes(y_pred, self.threshold),
            ],
            axis=1,
        )
        last = self._confusion.shape[0] - 1
        # A loss may ignore a class, -1 or 255.
        known = tf.reduce_all((pairs >= 0) & (pairs <= last), axis=1)
        self._confusion.scatter_nd_add(tf.clip_by_value(pairs, 0, last), _float32(known))
        return compute_metrics(x, y, y_pred, *args, **kwargs)


class _OwnMean:
    """A running mean of Keras's whose value of one step alone can be read.

    Lives while Keras traces.
    """

    def __init__(self, metric: keras.metrics.Mean):
        self.metric = metric
        self._given: list = []
        self._own: tuple = ()

    @contextlib.contextmanager
    def of_this_step(self):
        """Lets the metric count from zero; at the end it has all that it had and what was added."""
        self._earlier = self._counts()
        self._assign(*(tf.zeros_like(count) for count in self._earlier))
        with replaced(self.metric, "result", self._running):
            yield
        total, count = self._counts()
        own = _float32(type(self.metric).result(self.metric))
        self._own = own, count
        self._assign(*self._with_earlier(total, count))

    def gave(self, logged) -> bool:
        """Whether a logged tensor is what the metric gave as its result."""
        return any(logged is given for given in self._given)

    def value(self):
        """The value of the step alone; what the metric held before where nothing was added."""
        own, count = self._own
        return tf.where(count > 0, own, _float32(type(self.metric).result(self.metric)))

    def _running(self, result):
        total, count = self._counts()
        self._assign(*self._with_earlier(total, count))
        self._given.append(result())
        self._assign(total, count)
        return self._given[-1]

    def _with_earlier(self, total, count):
        return self._earlier[0] + total, self._earlier[1] + count

    def _counts(self):
        return tf.convert_to_tensor(self.metric.total.value), tf.convert_to_tensor(
            self.metric.count.value
        )

    def _assign(self, total, count) -> None:
        self.metric.total.assign(total)
        self.metric.count.assign(count)


def mean_metrics(model: keras.Model) -> list[keras.metrics.Mean]:
    """The metrics of a compiled model that are means, the tracker of its loss included."""
    found = [model._loss_tracker]
    for metric in model.metrics:
        # `compile` keeps the user's metrics in a container.
        found += metric.metrics if metric is model._compile_metrics else [metric]
    return [metric for metric in dict.fromkeys(found) if isinstance(metric, keras.metrics.Mean)]


def kernels_by_layer(model: keras.Model) -> dict[str, list]:
    """Trainable variables of rank 2 and more, by the name of their layer.

    S1.7: rank <= 1 is left out.

    Names are those of `depth.forward`: the same whatever else was built, and whatever is frozen.
    """
    found = {}
    for layer, path in layer_groups.forward(model).items():
        if kernels := [
            variable for variable in layer_groups.own_kernels(layer) if variable.trainable
        ]:
            found[path[-1] if path else layer.name] = kernels
    return found


def _variable(shape):
    return tf.Variable(tf.zeros(shape), trainable=False)


def _float32(tensor):
    return tf.cast(tensor, tf.float32)
